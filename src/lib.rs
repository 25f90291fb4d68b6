//! Felice: a Kafka-compatible broker in one binary. `ARCHITECTURE.md` is the map.

pub mod config;
pub mod controller;
pub mod env;
pub mod log;
pub mod metadata;
pub mod model;
pub mod quorum;
pub mod store;
