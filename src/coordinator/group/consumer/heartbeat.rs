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
    membership::{Before, SubscriptionChange},
    reconcile::Step,
    records,
    refusal::{self, Refusal},
};
use crate::env::faults::{Fault, planted};

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

    /// A heartbeat of who joins or stays.
    fn live_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let group_id = request.group_id.as_str();
        let joins = request.member_epoch == 0;
        let was_classic = self.state.classic.contains_key(group_id);
        self.enter_consumer_group(cx, request, joins)?;
        let is_converted = was_classic && self.state.consumer.contains_key(group_id);
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

        let change = match before.value.as_deref() {
            Some(value) if says_nothing_new(request, caller, value) => {
                self.maybe_match_regexes(cx, group_id);
                SubscriptionChange::default()
            }
            value => self.write_member(cx, group_id, &member_id, value, said_by(request, caller, value))?,
        };
        // A classic group may have been about to rebalance: what a member had that is gone is nobody's in its last assignment. (Kafka
        // relies on it that who joins brings a new subscription; a static member may come back with the same.)
        let bumps = change.names || change.resolved || is_converted;
        self.refresh_group_epoch(cx, group_id, bumps);
        self.refresh_target(cx, group_id, before.value.is_none())?;
        self.reconcile(cx, group_id, &member_id, change.any(), request.topic_partitions.as_deref())?;
        if before.value.as_ref().is_some_and(|value| value.classic_member_metadata.is_some()) {
            self.cancel_classic_timers(group_id, &member_id);
        }
        self.renew_consumer_session(cx, group_id, &member_id);
        Ok(self.heartbeat_answer(cx, group_id, &member_id, request, &before))
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
        if bumps || hash != hash_before && !planted(Fault::IgnoreChangedTopics) {
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

/// Whether all that a member says is what it has said before.
fn says_nothing_new(
    request: &ConsumerGroupHeartbeatRequest,
    caller: &Caller,
    before: &ConsumerGroupMemberMetadataValue,
) -> bool {
    let is_old = |said: &Option<String>, before: &Option<String>| said.is_none() || said == before;
    let has_names = |names: &Vec<String>| {
        names.iter().collect::<BTreeSet<_>>().into_iter().eq(before.subscribed_topic_names.iter())
    };
    is_old(&request.instance_id, &before.instance_id)
        && is_old(&request.rack_id, &before.rack_id)
        && is_old(&request.server_assignor, &before.server_assignor)
        && is_old(&request.subscribed_topic_regex, &before.subscribed_topic_regex)
        && (request.rebalance_timeout_ms == -1 || request.rebalance_timeout_ms == before.rebalance_timeout_ms)
        && request.subscribed_topic_names.as_ref().is_none_or(has_names)
        && *before.client_id == *caller.client_id
        && *before.client_host == *caller.client_host
        && before.classic_member_metadata.is_none()
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
