//! The record of a classic group: what it is after a rebalance, and what is made of it after a restart.

use std::sync::Arc;

use bytes::Bytes;
use felice_protocol::coordinator::{GroupRecord, offsets::*};

use super::{ClassicGroup, ClassicMember, ClassicState, MemberProtocol};
use crate::model::Timestamp;

/// What a batch of one record takes beyond key and value, rounded up.
const BATCH_OVERHEAD: usize = 128;

/// The group with its members' assignments.
pub(super) fn group_record(group: &ClassicGroup) -> GroupRecord {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let member = |member: &ClassicMember| MemberMetadata {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(protocol).cloned().unwrap_or_default(),
        assignment: member.assignment.clone(),
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        generation: group.generation,
        protocol: group.protocol.clone(),
        leader: group.leader.as_deref().map(str::to_owned),
        current_state_timestamp: group.since.unwrap_or(Timestamp::NONE).0,
        members: group.members.values().map(member).collect(),
        ..GroupMetadataValue::default()
    };
    GroupRecord::GroupMetadata(key(&group.id), Some(value))
}

/// The group as it comes from the consumer protocol, when its members are to join it again: what who has left had is nobody's until
/// then. It has no leader, so that a coordinator which begins anew in the middle knows.
pub(super) fn unsettled_record(group: &ClassicGroup) -> GroupRecord {
    let mut record = group_record(group);
    if let GroupRecord::GroupMetadata(_, Some(value)) = &mut record {
        value.leader = None;
    }
    record
}

/// As [`unsettled_record`] says.
pub(super) fn is_unsettled(value: &GroupMetadataValue) -> bool {
    value.leader.is_none() && !value.members.is_empty()
}

pub(super) fn tombstone(group_id: &str) -> GroupRecord {
    GroupRecord::GroupMetadata(key(group_id), None)
}

/// What the batch of a group's record takes at most, in the version that Kafka writes (3) and the next.
pub(in super::super) fn size(group: &ClassicGroup) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let names = group.id.len() + length(&group.protocol_type) + length(&group.protocol);
    let leader = group.leader.as_ref().map_or(0, |leader| leader.len());
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let members = group.members.values().map(|member| member_size(member, protocol));
    BATCH_OVERHEAD + names + leader + members.sum::<usize>()
}

pub(super) fn member_size(member: &ClassicMember, protocol: &str) -> usize {
    let names = member.id.len() + member.instance_id.as_ref().map_or(0, |id| id.len());
    let client = member.client_id.len() + member.client_host.len();
    // Four lengths in two bytes, two in four, two times in four.
    names + client + member.metadata(protocol).map_or(0, Bytes::len) + member.assignment.len() + 24
}

/// The group that a record tells of. Whatever the record says, what is made of it is a group: an id that comes twice counts once,
/// and a leader that is no member does not count.
pub(super) fn group_of(id: &Arc<str>, value: &GroupMetadataValue) -> ClassicGroup {
    let mut group = ClassicGroup::empty(Arc::clone(id), Timestamp::NONE);
    group.generation = value.generation;
    group.since = (value.current_state_timestamp != -1).then_some(Timestamp(value.current_state_timestamp));
    for stored in &value.members {
        let member = member_of(stored, value.protocol.as_deref());
        let taken = member.instance_id.as_ref().is_some_and(|instance_id| group.instances.contains_key(instance_id));
        if !taken && !group.members.contains_key(&member.id) {
            group.insert(member);
        }
    }
    let is_of_any = !value.protocol_type.is_empty() || !group.members.is_empty();
    group.protocol_type = is_of_any.then(|| value.protocol_type.clone());
    group.protocol = value.protocol.clone();
    if let Some((leader, _)) = value.leader.as_deref().and_then(|leader| group.members.get_key_value(leader)) {
        group.leader = Some(Arc::clone(leader));
    }
    group.state = if group.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
    group.topics = group.read_topics();
    group
}

fn member_of(stored: &MemberMetadata, protocol: Option<&str>) -> ClassicMember {
    let said = |name: &str| MemberProtocol { name: name.into(), metadata: stored.subscription.clone() };
    ClassicMember {
        id: stored.member_id.as_str().into(),
        instance_id: stored.group_instance_id.as_deref().map(Arc::from),
        client_id: stored.client_id.as_str().into(),
        client_host: stored.client_host.as_str().into(),
        session_timeout_ms: stored.session_timeout,
        // Records of version 0 have none.
        rebalance_timeout_ms: match stored.rebalance_timeout {
            -1 => stored.session_timeout,
            timeout => timeout,
        },
        protocols: protocol.map(said).into_iter().collect(),
        assignment: stored.assignment.clone(),
        join: None,
        sync: None,
        is_new: false,
    }
}

fn key(group_id: &str) -> GroupMetadataKey {
    GroupMetadataKey { group: group_id.to_owned(), ..GroupMetadataKey::default() }
}
