//! ConsumerGroupHeartbeat: a member joins, says what it wants and has, and is told what to have.

use std::{collections::BTreeSet, sync::Arc};

use felice_protocol::{
    Uuid,
    coordinator::consumer_group::{
        ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue, TopicPartitions,
    },
    error::ErrorCode,
    messages::consumer_group_heartbeat::{
        self as wire, Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    },
};

use super::{
    super::{Answer, Caller, ConsumerGroup, GroupMachine, Timer, machine::Cx},
    live::{Index, subscribed_regex},
    member::{LEFT, LEFT_FOR_NOW, MemberState, Standing},
    reconcile::Step,
    records,
    refusal::{self, Refusal},
};

/// What a call has changed in what a member subscribes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SubscriptionChange {
    pub names: bool,
    pub regex: bool,
    /// The topics of the new regular expression are known.
    pub resolved: bool,
}

impl SubscriptionChange {
    pub fn any(self) -> bool {
        self.names || self.regex
    }
}

/// A member as it was before a call; neither part is there for who is new.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub value: Option<Arc<ConsumerGroupMemberMetadataValue>>,
    pub current: Option<Arc<ConsumerGroupCurrentMemberAssignmentValue>>,
}

impl GroupMachine {
    pub(in super::super) fn consumer_group_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: ConsumerGroupHeartbeatRequest,
    ) {
        let answer = match refusal::check(&request, caller.version, &self.settings) {
            Err(refusal) => Err(refusal),
            Ok(()) if matches!(request.member_epoch, LEFT | LEFT_FOR_NOW) => self.leave_by_heartbeat(cx, &request),
            Ok(()) => self.or_undo(cx, &request.group_id, |machine, cx| machine.live_heartbeat(cx, caller, &request)),
        };
        let answer = answer.unwrap_or_else(Refusal::heartbeat);
        cx.out.answer(caller.call, Answer::ConsumerGroupHeartbeat(answer));
    }

    /// What a refused call has written was never written.
    pub(super) fn or_undo<T>(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        attempt: impl FnOnce(&mut GroupMachine, &mut Cx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (state, written) = (self.state.clone(), cx.out.records.len());
        let result = attempt(self, cx);
        if result.is_err() && cx.out.records.len() > written {
            self.state = state;
            cx.out.records.truncate(written);
            self.soft.consumer.reload(&self.state, group_id);
        }
        result
    }

    /// A heartbeat of who joins or stays.
    fn live_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let group_id = request.group_id.as_str();
        let joins = request.member_epoch == 0;
        self.enter_consumer_group(cx, request, joins)?;
        self.check_consumer_group_size(group_id, &request.member_id)?;
        let member_id: Arc<str> = if request.member_id.is_empty() {
            caller.fresh.to_string().into()
        } else {
            request.member_id.as_str().into()
        };
        let before = match &request.instance_id {
            None => self.dynamic_member(group_id, &member_id, request, joins)?,
            Some(instance_id) => self.static_member(cx, group_id, &member_id, instance_id, request, joins)?,
        };

        let value = said_by(request, caller, before.value.as_deref());
        let change = self.write_member(cx, group_id, &member_id, before.value.as_deref(), value)?;
        let bumps = change.names || change.resolved;
        self.refresh_group_epoch(cx, group_id, bumps);
        self.refresh_target(cx, group_id)?;
        self.reconcile(cx, group_id, &member_id, change.any(), request.topic_partitions.as_deref())?;
        if before.value.as_ref().is_some_and(|value| value.classic_member_metadata.is_some()) {
            self.cancel_classic_timers(group_id, &member_id);
        }
        self.renew_consumer_session(cx, group_id, &member_id);
        Ok(self.heartbeat_answer(cx, group_id, &member_id, request, &before))
    }

    pub(super) fn check_consumer_group_size(&self, group_id: &str, member_id: &str) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(()) };
        let max = self.settings.consumer_max_size;
        if group.members.size() >= max && (member_id.is_empty() || !group.members.contains_key(member_id)) {
            let message = format!("The consumer group has reached its maximum capacity of {max} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        Ok(())
    }

    fn dynamic_member(
        &self,
        group_id: &str,
        member_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        joins: bool,
    ) -> Result<Before, Refusal> {
        match self.state.consumer.get(group_id).filter(|group| group.members.contains_key(member_id)) {
            Some(group) => {
                check_epoch(group, member_id, request)?;
                Ok(Before::of(group, member_id))
            }
            None if joins => Ok(Before::default()),
            None => Err(Refusal::unknown_member(group_id, member_id)),
        }
    }

    /// A static member that joins takes the place of the one that had its instance id and has left for now.
    fn static_member(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &Arc<str>,
        instance_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        joins: bool,
    ) -> Result<Before, Refusal> {
        let owner = self.instance_owner(group_id, instance_id);
        let Some((owner, group)) = owner.zip(self.state.consumer.get(group_id)) else {
            return if joins { Ok(Before::default()) } else { Err(Refusal::unknown_instance(instance_id)) };
        };
        if joins {
            // A member of the classic protocol never leaves for now: its place is free for who comes with the new protocol.
            if !group.is_classic(&owner) && group.member_epoch(&owner) != LEFT_FOR_NOW {
                return Err(Refusal::new(
                    ErrorCode::UnreleasedInstanceId,
                    format!(
                        "Static member {member_id} with instance id {instance_id} cannot join the group because the \
                         instance id is owned by {owner} member."
                    ),
                ));
            }
            return Ok(self.replace_static_member(cx, group_id, &owner, member_id));
        }
        if owner != *member_id {
            return Err(Refusal::fenced_instance(instance_id, member_id, &owner));
        }
        check_epoch(group, member_id, request)?;
        Ok(Before::of(group, member_id))
    }

    pub(super) fn instance_owner(&self, group_id: &str, instance_id: &str) -> Option<Arc<str>> {
        self.soft.consumer.index(group_id)?.instances.get(instance_id).cloned()
    }

    /// Gives all that a static member had to the one that comes in its place.
    pub(super) fn replace_static_member(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        owner: &Arc<str>,
        member_id: &Arc<str>,
    ) -> Before {
        let Some(group) = self.state.consumer.get(group_id) else { return Before::default() };
        let Some(value) = group.members.get(owner).cloned() else { return Before::default() };
        let target = group.target(owner).to_vec();
        let standing = Standing { epoch: 0, previous_epoch: 0, ..group.standing(owner) };
        self.write_member_gone(cx, group_id, owner);
        self.write(cx, records::member(group_id, member_id, Some((*value).clone())));
        self.write(cx, records::target(group_id, member_id, target));
        self.write(cx, records::current(group_id, member_id, Some(standing.value())));
        self.cancel_consumer_timers(group_id, owner);
        self.state.consumer.get(group_id).map_or_else(Before::default, |group| Before::of(group, member_id))
    }

    pub(super) fn write_member_gone(&mut self, cx: &mut Cx<'_>, group_id: &str, member_id: &str) {
        self.write(cx, records::current(group_id, member_id, None));
        self.write(cx, records::no_target(group_id, member_id));
        self.write(cx, records::member(group_id, member_id, None));
    }

    /// Records what a member says, where that is new.
    pub(super) fn write_member(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &str,
        before: Option<&ConsumerGroupMemberMetadataValue>,
        value: ConsumerGroupMemberMetadataValue,
    ) -> Result<SubscriptionChange, Refusal> {
        if before == Some(&value) {
            self.maybe_match_regexes(cx, group_id);
            return Ok(SubscriptionChange::default());
        }
        let names_before = before.map_or(&[][..], |before| &before.subscribed_topic_names);
        let mut change =
            SubscriptionChange { names: names_before != value.subscribed_topic_names, ..SubscriptionChange::default() };
        let regex_before = before.and_then(subscribed_regex);
        let regex = subscribed_regex(&value);
        change.regex = regex != regex_before;
        if change.regex {
            let index = self.soft.consumer.index(group_id);
            let is_known = |regex: &str| index.is_some_and(|index| index.regexes.contains_key(regex));
            change.resolved = match regex {
                None => true,
                Some(regex) if is_known(regex) => {
                    self.state.consumer.get(group_id).is_some_and(|group| group.regexes.contains_key(regex))
                }
                Some(regex) => super::regex::check(regex).map(|()| false)?,
            };
        }
        let regex_before = regex_before.filter(|_| change.regex).map(str::to_owned);
        self.write(cx, records::member(group_id, member_id, Some(value)));
        if let Some(regex) = regex_before {
            self.drop_unused_regex(cx, group_id, &regex);
        }
        self.maybe_match_regexes(cx, group_id);
        Ok(change)
    }

    /// Raises the group's epoch where that is asked for, or where its topics are not what its epoch is for.
    pub(super) fn refresh_group_epoch(&mut self, cx: &mut Cx<'_>, group_id: &str, bumps: bool) {
        let is_stale = self.soft.consumer.groups.get(group_id).is_none_or(|live| live.stale);
        if !bumps && !is_stale {
            return;
        }
        let hash = self.soft.consumer.metadata_hash(group_id, cx.image);
        let (epoch, hash_before) =
            self.state.consumer.get(group_id).map_or((1, 0), |group| (group.epoch(), group.metadata_hash()));
        if let Some(live) = self.soft.consumer.groups.get_mut(group_id) {
            live.stale = false;
        }
        if bumps || hash != hash_before {
            self.write(cx, records::group_epoch(group_id, epoch.saturating_add(1), hash));
        }
    }

    /// Takes a member one step towards its target.
    pub(super) fn reconcile(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &Arc<str>,
        subscription_changed: bool,
        owned: Option<&[wire::TopicPartitions]>,
    ) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(()) };
        let target_epoch = group.assignment_epoch();
        if !subscription_changed && group.is_reconciled(member_id, target_epoch) {
            return Ok(());
        }
        let Some(member) = group.members.get(member_id) else { return Ok(()) };
        let standing = group.standing(member_id);
        let index = self.soft.consumer.index(group_id);
        let owner = |topic, partition| index.and_then(|index: &Index| index.owner(topic, partition));
        let step = Step {
            target_epoch,
            target: group.target(member_id),
            subscribed: &subscribed_topic_ids(group, member, cx),
            subscription_changed,
            owned,
            is_free: |topic, partition| owner(topic, partition).is_none_or(|owner| owner == member_id),
        };
        let next = step.take(&standing).map_err(|_| {
            Refusal::new(
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.",
            )
        })?;
        if next == standing {
            return Ok(());
        }
        // A member of the classic protocol has its time to join and to sync instead.
        let rebalance_timeout_ms = member.classic_member_metadata.is_none().then_some(member.rebalance_timeout_ms);
        self.write(cx, records::current(group_id, member_id, Some(next.value())));
        if let Some(timeout_ms) = rebalance_timeout_ms {
            let timer = Timer::ConsumerRebalance { group: group_id.into(), member: Arc::clone(member_id) };
            if next.state == MemberState::UnrevokedPartitions {
                self.soft.timers.set(timer, super::after(cx.now, timeout_ms));
            } else {
                self.soft.timers.cancel(&timer);
            }
        }
        Ok(())
    }

    fn heartbeat_answer(
        &self,
        cx: &Cx<'_>,
        group_id: &str,
        member_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        before: &Before,
    ) -> ConsumerGroupHeartbeatResponse {
        let current = self.state.consumer.get(group_id).and_then(|group| group.currents.get(member_id));
        // A full request is one of who joins, or who has met with an error: then it wants to hear all of it.
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tells = request.member_epoch == 0 || is_full || has_other_partitions(before.current.as_deref(), current);
        let assignment = tells.then(|| Assignment {
            topic_partitions: current.map_or_else(Vec::new, |current| assigned(current)),
            ..Assignment::default()
        });
        ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_owned()),
            member_epoch: current.map_or(0, |current| current.member_epoch),
            heartbeat_interval_ms: self.settings.consumer_group(cx.image, group_id).heartbeat_interval_ms,
            assignment,
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }
}

impl Before {
    pub fn of(group: &ConsumerGroup, member_id: &str) -> Before {
        Before { value: group.members.get(member_id).cloned(), current: group.currents.get(member_id).cloned() }
    }
}

/// A member may come with its present epoch, with 0 to join anew, or with the epoch before, where the answer that told of the
/// present one was lost: then it has no more than it was given.
fn check_epoch(group: &ConsumerGroup, member_id: &str, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let (received, epoch) = (request.member_epoch, group.member_epoch(member_id));
    if received == 0 || received == epoch {
        return Ok(());
    }
    if received < epoch {
        let standing = group.standing(member_id);
        let has_no_more = request.topic_partitions.as_ref().is_some_and(|owned| {
            owned.iter().all(|topic| {
                let assigned = standing.assigned.get(&topic.topic_id);
                assigned.is_some_and(|has| topic.partitions.iter().all(|partition| has.contains_key(partition)))
            })
        });
        if received == standing.previous_epoch && has_no_more {
            return Ok(());
        }
    }
    let which = if received > epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {which} member epoch ({received}) than the one known by the group coordinator \
         ({epoch}). The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}

/// What a member has said, with what it said before where it does not say it again.
fn said_by(
    request: &ConsumerGroupHeartbeatRequest,
    caller: &Caller,
    before: Option<&ConsumerGroupMemberMetadataValue>,
) -> ConsumerGroupMemberMetadataValue {
    let mut value = before.cloned().unwrap_or_else(|| ConsumerGroupMemberMetadataValue {
        subscribed_topic_regex: Some(String::new()),
        ..ConsumerGroupMemberMetadataValue::default()
    });
    let update = |field: &mut Option<String>, said: &Option<String>| {
        if said.is_some() {
            field.clone_from(said);
        }
    };
    update(&mut value.instance_id, &request.instance_id);
    update(&mut value.rack_id, &request.rack_id);
    update(&mut value.server_assignor, &request.server_assignor);
    update(&mut value.subscribed_topic_regex, &request.subscribed_topic_regex);
    if request.rebalance_timeout_ms != -1 {
        value.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        value.subscribed_topic_names = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    }
    if value.client_id != *caller.client_id {
        value.client_id = caller.client_id.to_string();
    }
    if value.client_host != *caller.client_host {
        value.client_host = caller.client_host.to_string();
    }
    value.classic_member_metadata = None;
    value
}

/// The topics that a member subscribes to and that exist. A regular expression that was not matched yet matches none.
pub(super) fn subscribed_topic_ids(
    group: &ConsumerGroup,
    member: &ConsumerGroupMemberMetadataValue,
    cx: &Cx<'_>,
) -> BTreeSet<Uuid> {
    let matched = subscribed_regex(member).and_then(|regex| group.regexes.get(regex));
    let names = member.subscribed_topic_names.iter().chain(matched.iter().flat_map(|matched| &matched.topics));
    names.filter_map(|name| Some(cx.image.topic(name)?.id().0)).collect()
}

fn has_other_partitions(
    before: Option<&ConsumerGroupCurrentMemberAssignmentValue>,
    after: Option<&Arc<ConsumerGroupCurrentMemberAssignmentValue>>,
) -> bool {
    let after = after.map(|after| &**after);
    match (before, after) {
        (Some(before), Some(after)) if std::ptr::eq(before, after) => false,
        _ => {
            let partitions = |value: Option<&ConsumerGroupCurrentMemberAssignmentValue>| {
                value.map(|value| Standing::of(value).assigned).unwrap_or_default()
            };
            partitions(before) != partitions(after)
        }
    }
}

fn assigned(current: &ConsumerGroupCurrentMemberAssignmentValue) -> Vec<wire::TopicPartitions> {
    let topic = |topic: &TopicPartitions| wire::TopicPartitions {
        topic_id: topic.topic_id,
        partitions: topic.partitions.clone(),
        ..wire::TopicPartitions::default()
    };
    current.assigned_partitions.iter().map(topic).collect()
}
