//! The record types of `__consumer_offsets`.

use bytes::Bytes;

use super::{
    RecordError, RecordType, consumer_group::*, encode_key, offsets::*, records, share_group::*, split_key,
    streams_group::*,
};
use crate::{
    schema::{Stored, Versions},
    wire::Unencodable,
};

records! {
    /// A record of `__consumer_offsets`.
    GroupRecord {
        0 LegacyOffsetCommit(LegacyOffsetCommitKey, LegacyOffsetCommitValue) 0-0;
        1 OffsetCommit(OffsetCommitKey, OffsetCommitValue) 0-4, flexible 4+;
        2 GroupMetadata(GroupMetadataKey, GroupMetadataValue) 0-4, flexible 4+;
        3 ConsumerGroupMetadata(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue) 0-0, flexible 0+;
        4 ConsumerGroupPartitionMetadata(ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue)
            0-0, flexible 0+;
        5 ConsumerGroupMemberMetadata(ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue)
            0-0, flexible 0+;
        6 ConsumerGroupTargetAssignmentMetadata(
            ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue
        ) 0-0, flexible 0+;
        7 ConsumerGroupTargetAssignmentMember(
            ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue
        ) 0-0, flexible 0+;
        8 ConsumerGroupCurrentMemberAssignment(
            ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue
        ) 0-0, flexible 0+;
        10 ShareGroupMemberMetadata(ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue) 0-0, flexible 0+;
        11 ShareGroupMetadata(ShareGroupMetadataKey, ShareGroupMetadataValue) 0-0, flexible 0+;
        12 ShareGroupTargetAssignmentMetadata(
            ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue
        ) 0-0, flexible 0+;
        13 ShareGroupTargetAssignmentMember(
            ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue
        ) 0-0, flexible 0+;
        14 ShareGroupCurrentMemberAssignment(
            ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue
        ) 0-0, flexible 0+;
        15 ShareGroupStatePartitionMetadata(
            ShareGroupStatePartitionMetadataKey, ShareGroupStatePartitionMetadataValue
        ) 0-0, flexible 0+;
        16 ConsumerGroupRegularExpression(ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue)
            0-0, flexible 0+;
        17 StreamsGroupMetadata(StreamsGroupMetadataKey, StreamsGroupMetadataValue) 0-0, flexible 0+;
        19 StreamsGroupMemberMetadata(StreamsGroupMemberMetadataKey, StreamsGroupMemberMetadataValue) 0-0, flexible 0+;
        20 StreamsGroupTargetAssignmentMetadata(
            StreamsGroupTargetAssignmentMetadataKey, StreamsGroupTargetAssignmentMetadataValue
        ) 0-0, flexible 0+;
        21 StreamsGroupTargetAssignmentMember(
            StreamsGroupTargetAssignmentMemberKey, StreamsGroupTargetAssignmentMemberValue
        ) 0-0, flexible 0+;
        22 StreamsGroupCurrentMemberAssignment(
            StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue
        ) 0-0, flexible 0+;
        23 StreamsGroupTopology(StreamsGroupTopologyKey, StreamsGroupTopologyValue) 0-0, flexible 0+;
    }
}
