//! ShareGroupHeartbeat (key 76): joins, keeps and leaves a share group, and carries assignments.
//!
//! Version notes:
//! - v0: early access in Kafka 4.0
//! - v1: KIP-932. The oldest in Kafka 4.1

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ShareGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
        member_epoch: i32,
        rack_id: Option<String>,
        subscribed_topic_names: Option<Vec<String>>,
    }

    /// The response: see the [module](self).
    ShareGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        member_id: Option<String>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment>,
    }

    /// What a member may fetch.
    Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}
