//! ConsumerGroupHeartbeat (key 68): joins, keeps and leaves a group of the new consumer protocol, and carries
//! assignments.
//!
//! Version notes:
//! - v0: KIP-848
//! - v1: topics by a regular expression that the broker evaluates; the client makes its member id (KIP-848, KIP-1082)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ConsumerGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
        /// 0 joins, -1 leaves, -2 leaves as a static member that will come back.
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>>,
        subscribed_topic_regex: Option<String> [1+],
        server_assignor: Option<String>,
        topic_partitions: Option<Vec<TopicPartitions>>,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment>,
    }

    /// What a member has.
    Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }
}
