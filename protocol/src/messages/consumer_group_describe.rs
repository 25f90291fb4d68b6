//! ConsumerGroupDescribe (key 69): groups of the new consumer protocol and their members.
//!
//! Version notes:
//! - v0: KIP-848
//! - v1: which protocol each member speaks (KIP-1099)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ConsumerGroupDescribeRequest {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    /// The response: see the [module](self).
    ConsumerGroupDescribeResponse {
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

    /// A member: what it has, and what it shall have.
    Member {
        member_id: String,
        instance_id: Option<String>,
        rack_id: Option<String>,
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        assignment: Assignment,
        target_assignment: Assignment,
        /// -1 unknown, 0 classic, 1 consumer.
        member_type: i8 [1+, ignorable] = -1,
    }

    /// What a member has.
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
