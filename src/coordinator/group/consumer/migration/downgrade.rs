//! A consumer group of which all members that stay speak the classic protocol becomes a classic group: with its epoch as
//! generation, and with their targets as assignments.

use std::sync::Arc;

use bytes::Bytes;
use felice_protocol::{
    Uuid,
    coordinator::consumer_group::{ClassicProtocol, ConsumerGroupMemberMetadataValue},
    messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
};

use super::{
    super::super::{
        CallId, Caller, ConsumerGroup, GroupMachine,
        classic::{ClassicGroup, ClassicMember, classic_group_size},
        machine::Cx,
    },
    CONSUMER, assignment,
};

/// What each of the three records that say that a member is gone takes besides ids, rounded up.
const TOMBSTONE_SIZE: usize = 96;

impl GroupMachine {
    /// Whether the group has become a classic one, because without these members it speaks the classic protocol only. Members
    /// are to join it again.
    pub(in super::super) fn downgrade_without(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        leaving: &[Arc<str>],
    ) -> bool {
        let Some(group) = self.state.consumer.get(group_id) else { return false };
        let Some(index) = self.soft.consumer.index(group_id) else { return false };
        let classic_leaving = leaving.iter().filter(|member_id| group.is_classic(member_id)).count();
        let stay = group.members.size().saturating_sub(leaving.len());
        let all_classic = index.classic_members.saturating_sub(classic_leaving) == stay;
        if !all_classic || stay == 0 || !self.may_downgrade_to(stay) {
            return false;
        }
        self.downgrade(cx, group_id, leaving, None)
    }

    pub(super) fn may_downgrade_to(&self, members: usize) -> bool {
        self.settings.migration.downgrades() && members <= self.settings.classic_max_size
    }

    /// Makes it a classic group of all members but these, which are in order; false where that would not fit a record. Members are to join it again,
    /// unless there is one that can be told that it leads.
    pub(super) fn downgrade(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        leaving: &[Arc<str>],
        leader: Option<&Arc<str>>,
    ) -> bool {
        let Some(group) = self.state.consumer.get(group_id).cloned() else { return false };
        let stay = group.members.iter().filter(|(member_id, _)| leaving.binary_search(member_id).is_err());
        let members: Vec<ClassicMember> = stay.filter_map(|(id, value)| classic_member(id, value)).collect();
        let make = |members| ClassicGroup::stable(group_id.into(), group.epoch(), CONSUMER, members, cx.now);
        // The form of what a member is told depends on the protocol that they come to.
        let protocol = make(members.clone()).protocol().map(str::to_owned);
        let with_assignment = |mut member: ClassicMember| {
            let metadata =
                protocol.as_deref().and_then(|protocol| member.metadata(protocol)).cloned().unwrap_or_default();
            member.assignment = target_of(&group, &member.id, &metadata, cx);
            member
        };
        let mut classic = make(members.into_iter().map(with_assignment).collect());
        if let Some(leader) = leader {
            classic.lead_by(leader);
        }
        let tombstones = |member_id: &Arc<str>| 3 * (TOMBSTONE_SIZE + group_id.len() + member_id.len());
        let tombstones: usize = group.members.keys().map(tombstones).sum();
        if classic_group_size(&classic).saturating_add(tombstones) > self.settings.record_max_bytes {
            return false;
        }
        self.delete_consumer(cx, group_id);
        self.begin_classic(cx, classic, leader.is_none());
        true
    }
}

fn target_of(group: &ConsumerGroup, member_id: &str, metadata: &Bytes, cx: &Cx<'_>) -> Bytes {
    let target = group.target(member_id).iter().map(|topic| (topic.topic_id, topic.partitions.as_slice()));
    assignment(target, metadata, cx.image)
}

/// The member as if it had joined the classic group with what it has said last. `None` where it does not speak the classic
/// protocol.
fn classic_member(member_id: &Arc<str>, value: &ConsumerGroupMemberMetadataValue) -> Option<ClassicMember> {
    let classic = value.classic_member_metadata.as_ref()?;
    let protocol = |known: &ClassicProtocol| JoinGroupRequestProtocol {
        name: known.name.clone(),
        metadata: known.metadata.clone(),
        ..JoinGroupRequestProtocol::default()
    };
    let caller = Caller {
        call: CallId(0),
        version: 0,
        client_id: value.client_id.as_str().into(),
        client_host: value.client_host.as_str().into(),
        fresh: Uuid::ZERO,
    };
    let joined = JoinGroupRequest {
        group_instance_id: value.instance_id.clone(),
        session_timeout_ms: classic.session_timeout_ms,
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        protocols: classic.supported_protocols.iter().map(protocol).collect(),
        ..JoinGroupRequest::default()
    };
    Some(ClassicMember::new(Arc::clone(member_id), &caller, &joined))
}
