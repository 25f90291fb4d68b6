//! Partitions as this broker holds them: their logs, who leads them, and who waits for them.

mod flusher;
mod manager;
mod parallel;
mod partition;
mod rules;
mod watch;

pub use manager::{Replicas, ReplicasConfig, StartError};
pub use partition::{Acks, AppendError, Appended, NotSafe, Partition, TopicSettings};
pub use rules::{EpochMismatch, Leadership};
pub use watch::Watch;
