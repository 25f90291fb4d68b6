//! StopReplica (key 5): a controller tells a broker to stop following partitions, and to delete them. Not in Kafka 4.
//!
//! Version notes:
//! - v0: partitions one by one
//! - v1: the broker's epoch (KIP-380); partitions by topic
//! - v2: flexible (KIP-482)
//! - v3: leader epochs, and whether to delete, for each partition (KIP-570)
//! - v4: whether a KRaft controller sends it (KIP-866)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    StopReplicaRequest {
        controller_id: i32,
        is_kraft_controller: bool [4+],
        controller_epoch: i32,
        broker_epoch: i64 [1+, ignorable] = -1,
        delete_partitions: bool [0-2],
        ungrouped_partitions: Vec<StopReplicaPartitionV0> [0],
        topics: Vec<StopReplicaTopicV1> [1-2],
        topic_states: Vec<StopReplicaTopicState> [3+],
    }

    /// A partition to stop.
    StopReplicaPartitionV0 {
        topic_name: String,
        partition_index: i32,
    }

    /// A topic's partitions to stop.
    StopReplicaTopicV1 {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// A topic's partitions to stop.
    StopReplicaTopicState {
        topic_name: String,
        partition_states: Vec<StopReplicaPartitionState>,
    }

    /// A partition to stop.
    StopReplicaPartitionState {
        partition_index: i32,
        leader_epoch: i32 = -1,
        delete_partition: bool,
    }

    /// The response: see the [module](self).
    StopReplicaResponse {
        error_code: i16,
        partition_errors: Vec<StopReplicaPartitionError>,
    }

    /// What became of a partition.
    StopReplicaPartitionError {
        topic_name: String,
        partition_index: i32,
        error_code: i16,
    }
}
