//! ShareGroupDescribe (key 77): share groups and their members.
//!
//! Version notes:
//! - v0: early access in Kafka 4.0
//! - v1: KIP-932. The oldest in Kafka 4.1

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ShareGroupDescribeRequest {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    /// The response: see the [module](self).
    ShareGroupDescribeResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribedGroup>,
    }

    /// A group.
    DescribedGroup {
        error_code: i16,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<Member>,
        /// One bit for each operation, by its number in ACLs; `i32::MIN` where not asked for.
        authorized_operations: i32 = i32::MIN,
    }

    /// A member.
    Member {
        member_id: String,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        assignment: Assignment,
    }

    /// What a member may fetch.
    Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic_id: Uuid,
        topic_name: String,
        partitions: Vec<i32>,
    }
}
