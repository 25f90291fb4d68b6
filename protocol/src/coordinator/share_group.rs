//! Share groups (KIP-932) as the group coordinator keeps them, in `__consumer_offsets`.

use crate::{Uuid, schema};

schema! {
    /// Which share group.
    ShareGroupMetadataKey {
        group_id: String,
    }

    /// A share group's epoch.
    ShareGroupMetadataValue {
        epoch: i32,
        /// Of the topics that the group has subscribed to (KIP-1101).
        metadata_hash: i64,
    }

    /// Which member.
    ShareGroupMemberMetadataKey {
        group_id: String,
        member_id: String,
    }

    /// What a member has said of itself.
    ShareGroupMemberMetadataValue {
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
    }

    /// Which share group.
    ShareGroupTargetAssignmentMetadataKey {
        group_id: String,
    }

    /// The group epoch that the target assignment is for.
    ShareGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
        /// Milliseconds since 1970; 0 where not known.
        assignment_timestamp: i64 [0+, tag 0, ignorable],
    }

    /// Which member.
    ShareGroupTargetAssignmentMemberKey {
        group_id: String,
        member_id: String,
    }

    /// What a member shall have.
    ShareGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition>,
    }

    /// Partitions of a topic.
    TopicPartition {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// Which member.
    ShareGroupCurrentMemberAssignmentKey {
        group_id: String,
        member_id: String,
    }

    /// What a member has.
    ShareGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        state: i8,
        assigned_partitions: Vec<TopicPartitions>,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// Which share group.
    ShareGroupStatePartitionMetadataKey {
        group_id: String,
    }

    /// The partitions of which the share coordinator has state, or begins or ends it.
    ShareGroupStatePartitionMetadataValue {
        initializing_topics: Vec<TopicPartitionsInfo>,
        initialized_topics: Vec<TopicPartitionsInfo>,
        deleting_topics: Vec<TopicInfo>,
    }

    /// Partitions of a topic.
    TopicPartitionsInfo {
        topic_id: Uuid,
        topic_name: String,
        partitions: Vec<i32>,
    }

    /// A topic.
    TopicInfo {
        topic_id: Uuid,
        topic_name: String,
    }
}
