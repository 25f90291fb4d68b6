//! Kafka's wire protocol: messages of every version, record batches and compression.
//!
//! The crate does no I/O and knows nothing of a broker.

mod uuid;

pub use uuid::Uuid;
