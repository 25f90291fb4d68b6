//! AlterPartition (key 56): a leader asks the controller for another set of in-sync replicas.
//!
//! Version notes:
//! - v0: KIP-497, then called AlterIsr
//! - v1: whether the leader recovers from an unclean election (KIP-704)
//! - v2: topic ids instead of names; INELIGIBLE_REPLICA, NEW_LEADER_ELECTED, UNKNOWN_TOPIC_ID (KIP-841). The oldest in
//!   Kafka 4
//! - v3: the broker epochs of the replicas (KIP-903)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    AlterPartitionRequest {
        broker_id: i32,
        broker_epoch: i64 = -1,
        topics: Vec<TopicData>,
    }

    /// Partitions of a topic.
    TopicData {
        topic_name: String [0-1, ignorable],
        topic_id: Uuid [2+, ignorable],
        partitions: Vec<PartitionData>,
    }

    /// The in-sync replicas that the leader wants.
    PartitionData {
        partition_index: i32,
        leader_epoch: i32,
        new_isr: Vec<i32> [0-2],
        new_isr_with_epochs: Vec<BrokerState> [3+],
        /// 0 recovered, 1 recovering.
        leader_recovery_state: i8 [1+],
        partition_epoch: i32,
    }

    /// A replica's broker.
    BrokerState {
        broker_id: i32,
        /// -1 where it is not known.
        broker_epoch: i64 = -1,
    }

    /// The response: see the [module](self).
    AlterPartitionResponse {
        throttle_time_ms: i32,
        error_code: i16,
        topics: Vec<TopicResponseData>,
    }

    /// What became of a topic's partitions.
    TopicResponseData {
        topic_name: String [0-1, ignorable],
        topic_id: Uuid [2+, ignorable],
        partitions: Vec<PartitionResponseData>,
    }

    /// The partition as it now is.
    PartitionResponseData {
        partition_index: i32,
        error_code: i16,
        leader_id: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        leader_recovery_state: i8 [1+, ignorable],
        partition_epoch: i32,
    }
}
