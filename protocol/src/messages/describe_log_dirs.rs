//! DescribeLogDirs (key 35): a broker's log directories, and how much of them partitions take.
//!
//! Version notes:
//! - v0: KIP-113
//! - v1: throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: a top-level error code
//! - v4: the volume's size, and what of it is free, in bytes (KIP-827)
//! - v5: whether a directory takes no new partitions (KIP-1066)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeLogDirsRequest {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic>>,
    }

    /// Partitions of a topic.
    DescribableLogDirTopic {
        topic: String,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    DescribeLogDirsResponse {
        throttle_time_ms: i32,
        error_code: i16 [3+, ignorable],
        results: Vec<DescribeLogDirsResult>,
    }

    /// A directory.
    DescribeLogDirsResult {
        error_code: i16,
        log_dir: String,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4+, ignorable] = -1,
        usable_bytes: i64 [4+, ignorable] = -1,
        is_cordoned: bool [5+, ignorable],
    }

    /// A topic's partitions in the directory.
    DescribeLogDirsTopic {
        name: String,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// A partition's size in bytes, and how far it is behind.
    DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        /// Whether this copy is being moved here from another directory.
        is_future_key: bool,
    }
}
