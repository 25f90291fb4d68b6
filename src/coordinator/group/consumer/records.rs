//! The records of consumer groups, as Kafka writes them.

use felice_protocol::coordinator::{GroupRecord, consumer_group::*};

/// A group's epoch, and the hash of its topics at that epoch.
pub(super) fn group_epoch(group_id: &str, epoch: i32, metadata_hash: i64) -> GroupRecord {
    let value = ConsumerGroupMetadataValue { epoch, metadata_hash, ..ConsumerGroupMetadataValue::default() };
    GroupRecord::ConsumerGroupMetadata(group_key(group_id), Some(value))
}

pub(super) fn no_group(group_id: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupMetadata(group_key(group_id), None)
}

/// Kafka before 4.1 wrote such records. They go with their group.
pub(super) fn no_partition_metadata(group_id: &str) -> GroupRecord {
    let key = ConsumerGroupPartitionMetadataKey {
        group_id: group_id.to_owned(),
        ..ConsumerGroupPartitionMetadataKey::default()
    };
    GroupRecord::ConsumerGroupPartitionMetadata(key, None)
}

/// What a member says of itself; none where it is gone.
pub(super) fn member(group_id: &str, member_id: &str, value: Option<ConsumerGroupMemberMetadataValue>) -> GroupRecord {
    let key = ConsumerGroupMemberMetadataKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
        ..ConsumerGroupMemberMetadataKey::default()
    };
    GroupRecord::ConsumerGroupMemberMetadata(key, value)
}

/// For which group epoch the target assignment is, and when it was made.
pub(super) fn target_epoch(group_id: &str, assignment_epoch: i32, assignment_timestamp: i64) -> GroupRecord {
    let value = ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch,
        assignment_timestamp,
        ..ConsumerGroupTargetAssignmentMetadataValue::default()
    };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(target_key(group_id), Some(value))
}

pub(super) fn no_target_epoch(group_id: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(target_key(group_id), None)
}

/// What a member shall have.
pub(super) fn target(group_id: &str, member_id: &str, topic_partitions: Vec<TopicPartition>) -> GroupRecord {
    let value = ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions,
        ..ConsumerGroupTargetAssignmentMemberValue::default()
    };
    GroupRecord::ConsumerGroupTargetAssignmentMember(target_member_key(group_id, member_id), Some(value))
}

pub(super) fn no_target(group_id: &str, member_id: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMember(target_member_key(group_id, member_id), None)
}

/// What a member has; none where it is gone.
pub(super) fn current(
    group_id: &str,
    member_id: &str,
    value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
) -> GroupRecord {
    let key = ConsumerGroupCurrentMemberAssignmentKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
        ..ConsumerGroupCurrentMemberAssignmentKey::default()
    };
    GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value)
}

/// The topics that a regular expression has matched; none where nobody subscribes by it any more.
pub(super) fn regex(group_id: &str, regex: &str, value: Option<ConsumerGroupRegularExpressionValue>) -> GroupRecord {
    let key = ConsumerGroupRegularExpressionKey {
        group_id: group_id.to_owned(),
        regular_expression: regex.to_owned(),
        ..ConsumerGroupRegularExpressionKey::default()
    };
    GroupRecord::ConsumerGroupRegularExpression(key, value)
}

fn group_key(group_id: &str) -> ConsumerGroupMetadataKey {
    ConsumerGroupMetadataKey { group_id: group_id.to_owned(), ..ConsumerGroupMetadataKey::default() }
}

fn target_key(group_id: &str) -> ConsumerGroupTargetAssignmentMetadataKey {
    ConsumerGroupTargetAssignmentMetadataKey {
        group_id: group_id.to_owned(),
        ..ConsumerGroupTargetAssignmentMetadataKey::default()
    }
}

fn target_member_key(group_id: &str, member_id: &str) -> ConsumerGroupTargetAssignmentMemberKey {
    ConsumerGroupTargetAssignmentMemberKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
        ..ConsumerGroupTargetAssignmentMemberKey::default()
    }
}
