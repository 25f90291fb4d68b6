//! ListPartitionReassignments (key 46): partitions that are on the move.
//!
//! Version notes:
//! - v0: KIP-455

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ListPartitionReassignmentsRequest {
        timeout_ms: i32 = 60000,
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    }

    /// Partitions of a topic.
    ListPartitionReassignmentsTopics {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The response: see the [module](self).
    ListPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        topics: Vec<OngoingTopicReassignment>,
    }

    /// A topic with partitions that move.
    OngoingTopicReassignment {
        name: String,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// A partition, where it is, comes and goes.
    OngoingPartitionReassignment {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
