//! AlterShareGroupOffsets (key 91): sets where the partitions of an empty share group begin.
//!
//! Version notes:
//! - v0: KIP-932

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    AlterShareGroupOffsetsRequest {
        group_id: String,
        topics: Vec<AlterShareGroupOffsetsRequestTopic>,
    }

    /// A topic with offsets to set.
    AlterShareGroupOffsetsRequestTopic {
        topic_name: String,
        partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
    }

    /// A partition's offset.
    AlterShareGroupOffsetsRequestPartition {
        partition_index: i32,
        start_offset: i64,
    }

    /// The response: see the [module](self).
    AlterShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        responses: Vec<AlterShareGroupOffsetsResponseTopic>,
    }

    /// What became of a topic's offsets.
    AlterShareGroupOffsetsResponseTopic {
        topic_name: String,
        topic_id: Uuid,
        partitions: Vec<AlterShareGroupOffsetsResponsePartition>,
    }

    /// What became of a partition's offset.
    AlterShareGroupOffsetsResponsePartition {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
