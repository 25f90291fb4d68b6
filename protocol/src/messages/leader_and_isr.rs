//! LeaderAndIsr (key 4): a controller tells a broker which partitions it leads and follows. Kafka 4, where brokers read
//! the metadata log instead, does not have it.
//!
//! Version notes:
//! - v0: partitions one by one
//! - v1: whether a partition is new, so that it may be made in any log directory (KIP-112)
//! - v2: the broker's epoch (KIP-380); partitions by topic
//! - v3: replicas that are added and removed (KIP-455)
//! - v4: flexible (KIP-482)
//! - v5: topic ids; whether the request is about all partitions (KIP-516); errors by topic
//! - v6: whether the leader recovers from an unclean election (KIP-704)
//! - v7: whether a KRaft controller sends it, while ZooKeeper is being left (KIP-866)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    LeaderAndIsrRequest {
        controller_id: i32,
        is_kraft_controller: bool [7+],
        controller_epoch: i32,
        broker_epoch: i64 [2+, ignorable] = -1,
        /// 0 unknown, 1 incremental, 2 all partitions.
        r#type: i8 [5+],
        ungrouped_partition_states: Vec<LeaderAndIsrPartitionState> [0-1],
        topic_states: Vec<LeaderAndIsrTopicState> [2+],
        live_leaders: Vec<LeaderAndIsrLiveLeader>,
    }

    /// A partition's leader and replicas.
    LeaderAndIsrPartitionState {
        topic_name: String [0-1, ignorable],
        partition_index: i32,
        controller_epoch: i32,
        leader: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        partition_epoch: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32> [3+, ignorable],
        removing_replicas: Vec<i32> [3+, ignorable],
        is_new: bool [1+, ignorable],
        /// 0 recovered, 1 recovering.
        leader_recovery_state: i8 [6+],
    }

    /// The partitions of a topic.
    LeaderAndIsrTopicState {
        topic_name: String,
        topic_id: Uuid [5+, ignorable],
        partition_states: Vec<LeaderAndIsrPartitionState>,
    }

    /// Where a leader is.
    LeaderAndIsrLiveLeader {
        broker_id: i32,
        host_name: String,
        port: i32,
    }

    /// The response: see the [module](self).
    LeaderAndIsrResponse {
        error_code: i16,
        partition_errors: Vec<LeaderAndIsrPartitionError> [0-4],
        topics: Vec<LeaderAndIsrTopicError> [5+],
    }

    /// What became of a partition.
    LeaderAndIsrPartitionError {
        topic_name: String [0-4, ignorable],
        partition_index: i32,
        error_code: i16,
    }

    /// What became of a topic's partitions.
    LeaderAndIsrTopicError {
        topic_id: Uuid,
        partition_errors: Vec<LeaderAndIsrPartitionError>,
    }
}
