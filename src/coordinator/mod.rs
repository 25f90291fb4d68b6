//! Coordinators: state machines whose every change is a record of an internal topic's partition.
//!
//! What is decided is pure (`group/`); the runtime around it appends, waits until that is committed, and answers.

pub mod group;
mod journal;
mod metrics;
mod runtime;
mod shard;
mod view;

pub use runtime::{GroupCoordinator, GroupCoordinatorConfig, OFFSETS_TOPIC};
pub use shard::{Answered, NewCall};
