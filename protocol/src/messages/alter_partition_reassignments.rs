//! AlterPartitionReassignments (key 45): starts and cancels moves of partitions to other brokers.
//!
//! Version notes:
//! - v0: KIP-455
//! - v1: refuses what would change the number of replicas, where asked to (KIP-860)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60000,
        allow_replication_factor_change: bool [1+] = true,
        topics: Vec<ReassignableTopic>,
    }

    /// A topic with partitions to move.
    ReassignableTopic {
        name: String,
        partitions: Vec<ReassignablePartition>,
    }

    /// A partition, and the brokers that shall have it.
    ReassignablePartition {
        partition_index: i32,
        /// Null cancels.
        replicas: Option<Vec<i32>>,
    }

    /// The response: see the [module](self).
    AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1+, ignorable] = true,
        error_code: i16,
        error_message: Option<String>,
        responses: Vec<ReassignableTopicResponse>,
    }

    /// What became of a topic's partitions.
    ReassignableTopicResponse {
        name: String,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    /// What became of a partition.
    ReassignablePartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
