//! Kafka's wire protocol: messages of every version, record batches and compression.
//!
//! The crate does no I/O and knows nothing of a broker.

#![warn(missing_docs)]

pub mod api;
pub mod coordinator;
pub mod error;
pub mod messages;
pub mod record;
pub mod schema;
mod uuid;
pub mod wire;

pub use uuid::Uuid;
