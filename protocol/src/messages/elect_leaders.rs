//! ElectLeaders (key 43): has leaders of partitions elected: the preferred ones, or unclean ones where there is none.
//!
//! Version notes:
//! - v0: preferred leaders (KIP-183)
//! - v1: unclean elections; a top-level error code (KIP-460)
//! - v2: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ElectLeadersRequest {
        /// 0 preferred, 1 unclean.
        election_type: i8 [1+],
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions>>,
        timeout_ms: i32 = 60000,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    ElectLeadersResponse {
        throttle_time_ms: i32,
        error_code: i16 [1+],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    /// What became of a topic's partitions.
    ReplicaElectionResult {
        topic: String,
        partition_result: Vec<PartitionResult>,
    }

    /// What became of a partition.
    PartitionResult {
        partition_id: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
