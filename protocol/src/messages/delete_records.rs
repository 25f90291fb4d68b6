//! DeleteRecords (key 21): deletes the records of partitions before an offset.
//!
//! Version notes:
//! - v0: KIP-107
//! - v1: throttling happens after the response (KIP-219)
//! - v2: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    /// A topic with partitions to delete from.
    DeleteRecordsTopic {
        name: String,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// A partition, and the first offset to keep.
    DeleteRecordsPartition {
        partition_index: i32,
        /// -1 for the high watermark.
        offset: i64,
    }

    /// The response: see the [module](self).
    DeleteRecordsResponse {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// What became of a topic's partitions.
    DeleteRecordsTopicResult {
        name: String,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// A partition, and the first offset that it now has.
    DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: i16,
    }
}
