//! OffsetDelete (key 47): forgets committed offsets of a group. Never flexible.
//!
//! Version notes:
//! - v0: KIP-496

use crate::schema;

schema! {
    /// The request: see the [module](self).
    OffsetDeleteRequest {
        group_id: String,
        topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// Partitions of a topic.
    OffsetDeleteRequestTopic {
        name: String,
        partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// A partition.
    OffsetDeleteRequestPartition {
        partition_index: i32,
    }

    /// The response: see the [module](self).
    OffsetDeleteResponse {
        error_code: i16,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// What became of a topic's offsets.
    OffsetDeleteResponseTopic {
        name: String,
        partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// What became of a partition's offset.
    OffsetDeleteResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
