//! Groups of the new consumer protocol (KIP-848), in `__consumer_offsets`.

use bytes::Bytes;

use crate::{Uuid, schema};

schema! {
    /// Which consumer group.
    ConsumerGroupMetadataKey {
        group_id: String,
    }

    /// A consumer group's epoch.
    ConsumerGroupMetadataValue {
        epoch: i32,
        /// Of the topics that the group has subscribed to (KIP-1101).
        metadata_hash: i64 [0+, tag 0],
    }

    /// Which consumer group. No longer written: a hash has taken its place (KIP-1101).
    ConsumerGroupPartitionMetadataKey {
        group_id: String,
    }

    /// The topics that the group has subscribed to, as they were at its epoch.
    ConsumerGroupPartitionMetadataValue {
        topics: Vec<TopicMetadata>,
    }

    /// A topic.
    TopicMetadata {
        topic_id: Uuid,
        topic_name: String,
        num_partitions: i32,
        partition_metadata: Vec<PartitionMetadata>,
    }

    /// The racks that have a partition.
    PartitionMetadata {
        partition: i32,
        racks: Vec<String>,
    }

    /// Which member.
    ConsumerGroupMemberMetadataKey {
        group_id: String,
        member_id: String,
    }

    /// What a member has said of itself.
    ConsumerGroupMemberMetadataValue {
        instance_id: Option<String>,
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        server_assignor: Option<String>,
        /// Where the member speaks the classic protocol; else null.
        classic_member_metadata: Option<ClassicMemberMetadata> [0+, tag 0] = Some(ClassicMemberMetadata::default()),
    }

    /// What a member of the classic protocol has said besides.
    ClassicMemberMetadata {
        session_timeout_ms: i32,
        supported_protocols: Vec<ClassicProtocol>,
    }

    /// A protocol that the member knows, and what it says in it.
    ClassicProtocol {
        name: String,
        metadata: Bytes,
    }

    /// Which consumer group.
    ConsumerGroupTargetAssignmentMetadataKey {
        group_id: String,
    }

    /// The group epoch that the target assignment is for.
    ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
        /// Milliseconds since 1970; 0 where not known.
        assignment_timestamp: i64 [0+, tag 0, ignorable],
    }

    /// Which member.
    ConsumerGroupTargetAssignmentMemberKey {
        group_id: String,
        member_id: String,
    }

    /// What a member shall have.
    ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition>,
    }

    /// Partitions of a topic.
    TopicPartition {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// Which member.
    ConsumerGroupCurrentMemberAssignmentKey {
        group_id: String,
        member_id: String,
    }

    /// What a member has, and what it is to give up.
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        /// 0 stable, 1 unrevoked partitions, 2 unreleased partitions, 127 unknown.
        state: i8,
        assigned_partitions: Vec<TopicPartitions>,
        partitions_pending_revocation: Vec<TopicPartitions>,
    }

    /// Partitions of a topic.
    TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
        /// The member's epoch when it got each of the partitions; empty where not known.
        assignment_epochs: Option<Vec<i32>> [0+, tag 0] = Some(Vec::new()),
    }

    /// Which regular expression of which group.
    ConsumerGroupRegularExpressionKey {
        group_id: String,
        regular_expression: String,
    }

    /// The topics that a regular expression matched.
    ConsumerGroupRegularExpressionValue {
        topics: Vec<String>,
        /// The offset of the metadata that it was matched against.
        version: i64,
        /// Milliseconds since 1970.
        timestamp: i64,
    }
}
