//! The log of a partition: segments, indexes, producer state, leader epochs, recovery; all in Kafka's file formats.
//!
//! [`Log`] is the way in. Appends are serialized by one short lock per partition; reads take no lock. The pure parts
//! are [`producers`] and [`epochs`].

mod compaction;
mod config;
pub mod epochs;
mod files;
mod follower;
mod index;
pub mod inspect;
#[cfg(all(test, feature = "interleave"))]
mod interleavings;
mod partition;
pub mod producers;
mod progress;
mod recovery;
mod reopening;
mod retention;
mod roll;
pub mod scrub;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod timestamps;
mod transactions;
mod truncation;
pub mod verify;
mod walk;

pub use compaction::{Cleanable, CompactError, CompactSettings, Compacted, OffsetMap};
pub use config::LogConfig;
pub use files::{
    LogError, deleted_dir_name, is_deleted_dir, parse_partition_dir, partition_dir, read_owner, read_partition_metadata,
};
pub use follower::{ReplicateError, Replicated};
pub use partition::{AppendError, Appended, Log, LogSlice, Opening, ReadError, ReadSlice, remove_deleted, set_aside};
pub use progress::{Bench, Progress, unchecked_bytes};
pub use recovery::{Recovered, Start, Truncated};
pub use retention::{Expired, remove_deleted_file};
pub use timestamps::TimestampedOffset;
pub use transactions::{AbortedTxn, TransactionEnd};
pub use truncation::Scalars;
