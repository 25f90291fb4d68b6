//! Members of a consumer group that speak the classic protocol: to them each step towards their target looks like a rebalance,
//! in which they join, sync, and heartbeat until they are told to join again.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use felice_protocol::{
    coordinator::consumer_group::{ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue},
    error::ErrorCode,
    messages::{
        consumer_group_heartbeat::TopicPartitions, consumer_protocol::ConsumerProtocolSubscription, heartbeat::*,
        join_group::*, leave_group::*, sync_group::*,
    },
};

use super::{
    super::{
        super::{
            Answer, Caller, ConsumerGroup, GroupMachine, MigrationPolicy, Timer, classic::SKIP_ASSIGNMENT_FROM,
            command::refused_join, machine::Cx,
        },
        after,
        member::MemberState,
        membership::Before,
        refusal::Refusal,
    },
    CONSUMER, assignment, by_topic_id, subscription,
};

/// From here on a member without an id is given one, and is to join with that (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

impl GroupMachine {
    pub(in super::super::super) fn consumer_join(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: JoinGroupRequest,
    ) {
        let answer = self.or_undo(cx, &request.group_id, |machine, cx| machine.join_as_classic(cx, caller, &request));
        let answer = answer.unwrap_or_else(|refusal| refused_join(String::new(), refusal.error));
        cx.out.answer(caller.call, Answer::JoinGroup(answer));
    }

    fn join_as_classic(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: &JoinGroupRequest,
    ) -> Result<JoinGroupResponse, Refusal> {
        let group_id = request.group_id.as_str();
        let inconsistent = |message: String| Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message));
        if self.settings.migration == MigrationPolicy::Disabled {
            return inconsistent(format!(
                "Cannot join the consumer group {group_id} with the classic protocol because the group migration is \
                 disabled."
            ));
        }
        let is_unknown = request.member_id.is_empty();
        let member_id: Arc<str> =
            if is_unknown { caller.fresh.to_string().into() } else { request.member_id.as_str().into() };
        self.check_consumer_group_size(group_id, &member_id)?;
        let Some(preferred) = request.protocols.first().filter(|_| self.knows_protocols(group_id, request)) else {
            return inconsistent(format!("Member {member_id}'s protocols are not supported."));
        };
        let instance_id = request.group_instance_id.as_deref();
        if is_unknown && instance_id.is_none() && caller.version >= MEMBER_ID_REQUIRED_FROM {
            if let Some(live) = self.soft.consumer.groups.get_mut(group_id) {
                live.invited.add(Arc::clone(&member_id));
            }
            return Ok(refused_join(member_id.to_string(), ErrorCode::MemberIdRequired));
        }
        let (before, downgrades) = self.joining_classic(cx, group_id, &member_id, instance_id, is_unknown)?;
        // Kafka reads what it says only of one that has an id, and may use it.
        let Some(wants) = subscription(&preferred.metadata) else {
            return Err(Refusal::new(ErrorCode::UnknownServerError, "Malformed embedded consumer protocol."));
        };
        let is_invited =
            self.soft.consumer.groups.get_mut(group_id).is_some_and(|live| live.invited.take(&request.member_id));
        // One that still has partitions although it is not known was thrown out, and others may have them by now: it is to let go of
        // them before it joins. One that comes back with a new id has been told so, whether it has listened (franz-go does not) or
        // not, and learns from its next assignment what it has. (Kafka takes in both.)
        if before.value.is_none() && !is_unknown && !is_invited && !wants.owned_partitions.is_empty() {
            let message = format!("Member {member_id} is not a member of group {group_id}.");
            return Err(Refusal::new(ErrorCode::UnknownMemberId, message));
        }
        let value = said_by(request, caller, &wants, before.value.as_deref());
        let change = self.write_member(cx, group_id, &member_id, before.value.as_deref(), value)?;
        self.refresh_group_epoch(cx, group_id, change.any());
        let owned = owned_partitions(&wants, cx);
        let is_assigned =
            self.state.consumer.get(group_id).is_none_or(|group| group.assignment_epoch() >= group.epoch());
        let is_settled = is_assigned && self.others_are_reconciled(group_id, &member_id);
        if !downgrades {
            self.refresh_target(cx, group_id, before.value.is_none())?;
        }
        if !downgrades || is_assigned {
            self.reconcile(cx, group_id, &member_id, change.any(), Some(&owned))?;
        }
        let mut answer = JoinGroupResponse {
            member_id: member_id.to_string(),
            generation_id: self.state.consumer.get(group_id).map_or(0, |group| group.member_epoch(&member_id)),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: Some(preferred.name.clone()),
            ..JoinGroupResponse::default()
        };
        // Only who leads sees topics change. Nobody else has been told that it leads: where this one cannot be, all join again. (Kafka
        // leaves the group without one that knows.) They do also where one has yet to give up what is to be another's: Kafka hands
        // out the targets at once, and then both have it.
        let leader = (is_settled && caller.version >= SKIP_ASSIGNMENT_FROM).then_some(&member_id);
        if downgrades && self.downgrade(cx, group_id, &[], leader) {
            if let Some(told) = leader.and_then(|leader| self.back_in_classic(group_id, leader)) {
                return Ok(told);
            }
            // By that it is known when it syncs, and is told to join with all others.
            if let Some(group) = self.classic_group(group_id) {
                answer.generation_id = group.generation();
            }
        } else {
            let (group, member): (Arc<str>, Arc<str>) = (group_id.into(), member_id);
            self.soft.timers.cancel(&Timer::ConsumerJoin { group: Arc::clone(&group), member: Arc::clone(&member) });
            self.renew_session_for(cx, group_id, &member, request.session_timeout_ms);
            let sync = Timer::ConsumerSync { group, member };
            self.soft.timers.set(sync, after(cx.now, request.rebalance_timeout_ms));
        }
        Ok(answer)
    }

    fn others_are_reconciled(&self, group_id: &str, member_id: &str) -> bool {
        let Some(group) = self.state.consumer.get(group_id) else { return true };
        let mut others = group.members.keys().filter(|other| other.as_ref() != member_id);
        others.all(|other| group.is_reconciled(other, group.assignment_epoch()))
    }

    /// Whether a member knows a protocol that all others know which speak the classic protocol.
    fn knows_protocols(&self, group_id: &str, request: &JoinGroupRequest) -> bool {
        let Some(index) = self.soft.consumer.index(group_id) else { return false };
        let knowing = |name: &str| index.classic_protocols.get(name).copied().unwrap_or(0);
        request.protocol_type == CONSUMER
            && request.protocols.iter().any(|protocol| knowing(&protocol.name) == index.classic_members)
    }

    /// The member as it was, and whether with it the last one is replaced that speaks the consumer protocol.
    fn joining_classic(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &Arc<str>,
        instance_id: Option<&str>,
        is_unknown: bool,
    ) -> Result<(Before, bool), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok((Before::default(), false)) };
        let Some(instance_id) = instance_id else { return Ok((Before::of(group, member_id), false)) };
        let Some(owner) = self.instance_owner(group_id, instance_id) else {
            return if is_unknown {
                Ok((Before::default(), false))
            } else {
                Err(Refusal::unknown_instance(instance_id))
            };
        };
        let members = group.members.size();
        let others_are_classic = self.soft.consumer.index(group_id).is_some_and(|i| i.classic_members + 1 == members);
        let downgrades = others_are_classic && !group.is_classic(&owner) && self.may_downgrade_to(members);
        if is_unknown {
            return Ok((self.replace_static_member(cx, group_id, &owner, member_id), downgrades));
        }
        if owner != *member_id {
            return Err(Refusal::fenced_instance(instance_id, member_id, &owner));
        }
        Ok((Before::of(group, member_id), downgrades))
    }

    pub(in super::super::super) fn consumer_sync(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: SyncGroupRequest,
    ) {
        let answer = self
            .sync_as_classic(cx, request)
            .unwrap_or_else(|error| SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() });
        cx.out.answer(caller.call, Answer::SyncGroup(answer));
    }

    fn sync_as_classic(&mut self, cx: &mut Cx<'_>, request: SyncGroupRequest) -> Result<SyncGroupResponse, ErrorCode> {
        let group_id = request.group_id.as_str();
        let (group, member) =
            self.classic_member(group_id, &request.member_id, request.group_instance_id.as_deref())?;
        let epoch = group.member_epoch(&member.id);
        if epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let preferred = member.classic.supported_protocols.first();
        let differs = |told: &Option<String>, is: Option<&str>| told.is_some() && told.as_deref() != is;
        if differs(&request.protocol_type, Some(CONSUMER))
            || differs(&request.protocol_name, preferred.map(|protocol| protocol.name.as_str()))
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // Who has to give something up first has joined already, and does so again when it has.
        if group.assignment_epoch() > epoch && group.member_state(&member.id) != MemberState::UnrevokedPartitions {
            let (member_id, timeout_ms) = (member.id, member.rebalance_timeout_ms);
            self.expect_join(cx, group_id, member_id, timeout_ms);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let has = group.currents.get(&member.id).into_iter().flat_map(|current| &current.assigned_partitions);
        let has = has.map(|topic| (topic.topic_id, topic.partitions.as_slice()));
        let metadata = preferred.map_or_else(Bytes::new, |protocol| protocol.metadata.clone());
        let assignment = assignment(has, &metadata, cx.image);
        let (member_id, session_timeout_ms) = (member.id, member.classic.session_timeout_ms);
        let sync = Timer::ConsumerSync { group: group_id.into(), member: Arc::clone(&member_id) };
        self.soft.timers.cancel(&sync);
        self.renew_session_for(cx, group_id, &member_id, session_timeout_ms);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type,
            protocol_name: request.protocol_name,
            assignment,
            ..SyncGroupResponse::default()
        })
    }

    pub(in super::super::super) fn consumer_classic_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: HeartbeatRequest,
    ) {
        let error_code = self.heartbeat_as_classic(cx, &request).err().map_or(0, ErrorCode::code);
        let answer = HeartbeatResponse { error_code, ..HeartbeatResponse::default() };
        cx.out.answer(caller.call, Answer::Heartbeat(answer));
    }

    /// A member is to join again where there is a new target, where it has something to give up, and where what it waits for
    /// was given up.
    fn heartbeat_as_classic(&mut self, cx: &mut Cx<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let group_id = request.group_id.as_str();
        let (group, member) =
            self.classic_member(group_id, &request.member_id, request.group_instance_id.as_deref())?;
        let epoch = group.member_epoch(&member.id);
        if epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let is_to_join = epoch < group.assignment_epoch()
            || match group.member_state(&member.id) {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_partitions(group_id, group, &member.id),
                MemberState::Stable | MemberState::Unknown => false,
            };
        let (member_id, rebalance_timeout_ms) = (member.id, member.rebalance_timeout_ms);
        let session_timeout_ms = member.classic.session_timeout_ms;
        self.renew_session_for(cx, group_id, &member_id, session_timeout_ms);
        if is_to_join {
            self.expect_join(cx, group_id, member_id, rebalance_timeout_ms);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether somebody still has partitions that a member shall have.
    fn waits_for_partitions(&self, group_id: &str, group: &ConsumerGroup, member_id: &str) -> bool {
        let Some(index) = self.soft.consumer.index(group_id) else { return false };
        group.target(member_id).iter().any(|topic| {
            let mut owners = topic.partitions.iter().filter_map(|partition| index.owner(topic.topic_id, *partition));
            owners.any(|owner| **owner != *member_id)
        })
    }

    pub(in super::super::super) fn consumer_leave(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: LeaveGroupRequest,
    ) {
        let mut leaving: Vec<Arc<str>> = Vec::new();
        let mut answers = Vec::with_capacity(request.members.len());
        for member in request.members {
            let result = self.leaving_member(&request.group_id, &member);
            let error_code = result.as_ref().err().map_or(0, |error| error.code());
            leaving.extend(result.ok());
            answers.push(MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                error_code,
                ..MemberResponse::default()
            });
        }
        leaving.sort_unstable();
        leaving.dedup();
        let removed = self.or_undo(cx, &request.group_id, |machine, cx| {
            machine.remove_consumer_members(cx, &request.group_id, &leaving);
            Ok(())
        });
        let answer = match removed {
            Ok(()) => LeaveGroupResponse { members: answers, ..LeaveGroupResponse::default() },
            Err(refusal) => LeaveGroupResponse { error_code: refusal.error.code(), ..LeaveGroupResponse::default() },
        };
        cx.out.answer(caller.call, Answer::LeaveGroup(answer));
    }

    /// An operator may name a member by its instance id alone.
    fn leaving_member(&self, group_id: &str, member: &MemberIdentity) -> Result<Arc<str>, ErrorCode> {
        match &member.group_instance_id {
            Some(instance_id) => {
                let owner = self.instance_owner(group_id, instance_id).ok_or(ErrorCode::UnknownMemberId)?;
                let is_meant = member.member_id.is_empty() || *owner == *member.member_id;
                if is_meant { Ok(owner) } else { Err(ErrorCode::FencedInstanceId) }
            }
            None => {
                let group = self.state.consumer.get(group_id).ok_or(ErrorCode::UnknownMemberId)?;
                let is_member = group.members.contains_key(member.member_id.as_str());
                if is_member { Ok(member.member_id.as_str().into()) } else { Err(ErrorCode::UnknownMemberId) }
            }
        }
    }

    /// A member that speaks the classic protocol, as which a request may speak.
    fn classic_member(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(&ConsumerGroup, Speaker<'_>), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let owner = self.instance_owner(group_id, instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if *owner != *member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let group = self.state.consumer.get(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let (id, value) = group.members.get_key_value(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let classic = value.classic_member_metadata.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
        Ok((group, Speaker { id: Arc::clone(id), rebalance_timeout_ms: value.rebalance_timeout_ms, classic }))
    }

    /// A member was told to join: from the first time on it has so long.
    fn expect_join(&mut self, cx: &Cx<'_>, group_id: &str, member_id: Arc<str>, timeout_ms: i32) {
        let timer = Timer::ConsumerJoin { group: group_id.into(), member: member_id };
        if self.soft.timers.deadline(&timer).is_none() {
            self.soft.timers.set(timer, after(cx.now, timeout_ms));
        }
    }
}

/// A member that speaks the classic protocol.
struct Speaker<'a> {
    id: Arc<str>,
    rebalance_timeout_ms: i32,
    classic: &'a ClassicMemberMetadata,
}

fn said_by(
    request: &JoinGroupRequest,
    caller: &Caller,
    wants: &ConsumerProtocolSubscription,
    before: Option<&ConsumerGroupMemberMetadataValue>,
) -> ConsumerGroupMemberMetadataValue {
    // In bytes of their own: a slice would keep the request's frame.
    let protocol = |protocol: &JoinGroupRequestProtocol| ClassicProtocol {
        name: protocol.name.clone(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
        ..ClassicProtocol::default()
    };
    let mut value = before.cloned().unwrap_or_default();
    if request.group_instance_id.is_some() {
        value.instance_id.clone_from(&request.group_instance_id);
    }
    if wants.rack_id.as_ref().is_some_and(|rack| !rack.is_empty()) {
        value.rack_id.clone_from(&wants.rack_id);
    }
    if request.rebalance_timeout_ms != -1 {
        value.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    value.client_id = caller.client_id.to_string();
    value.client_host = caller.client_host.to_string();
    value.subscribed_topic_names = wants.topics.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    value.subscribed_topic_regex = Some(String::new());
    value.classic_member_metadata = Some(ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: request.protocols.iter().map(protocol).collect(),
        ..ClassicMemberMetadata::default()
    });
    value
}

/// What the member says it has; a member of an eager assignor has given up all before it joins.
fn owned_partitions(wants: &ConsumerProtocolSubscription, cx: &Cx<'_>) -> Vec<TopicPartitions> {
    let topics = by_topic_id(&wants.owned_partitions, cx.image).into_iter();
    let topic = |(topic_id, partitions): (_, BTreeSet<i32>)| TopicPartitions {
        topic_id,
        partitions: partitions.into_iter().collect(),
        ..TopicPartitions::default()
    };
    topics.map(topic).collect()
}
