//! Partitions as this broker holds them: their logs, who leads them, and who waits for them.

mod delete_records;
mod dirty;
mod flusher;
mod health;
mod health_folder;
mod housekeeping;
#[cfg(all(test, feature = "interleave"))]
mod interleavings;
mod machine;
mod manager;
mod metrics;
mod opening;
mod parallel;
mod partition;
mod position;
mod recovering;
mod remover;
mod rules;
mod scalars;
mod scrub;
mod slot;
mod stored;
mod watch;

pub use delete_records::{DeleteBefore, DeleteRecordsError};
pub use health_folder::Trouble;
pub use housekeeping::{Housekeeping, HousekeepingConfig};
pub use machine::{Awaited, Became, Demands, LogEnds, Replica};
pub use manager::{Replicas, ReplicasConfig, StartError};
pub use partition::{AppendError, Appended, Isolation, NotSafe, Partition, Pending, TopicSettings};
pub use position::Position;
pub use rules::{Acks, EpochEnd, EpochMismatch, Leadership, Lineage, Truncation, lineage, truncation};
pub use scalars::{AtRest, Scalars};
pub use scrub::{ScrubConfig, Scrubber};
pub use watch::Watch;
