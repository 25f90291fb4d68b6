//! Felice: a Kafka-compatible broker in one binary. `ARCHITECTURE.md` is the map.

pub mod api;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod env;
pub mod http;
pub mod log;
pub mod metadata;
pub mod metrics;
pub mod model;
pub mod net;
pub mod quorum;
pub mod replica;
pub mod store;

/// Seeded runs over simulated disks.
#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
