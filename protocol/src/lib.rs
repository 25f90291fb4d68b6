//! Kafka's wire protocol: every message in every version, record batches with their compression, and the records of Kafka's
//! coordinators.
//!
//! The crate does no I/O and knows nothing of a broker. [`api`] is where to begin: it has the table of APIs, and reads and
//! writes whole requests and responses; [`messages`] has what they hold, and [`record`] what Produce and Fetch carry.

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

/// What the README shows is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
