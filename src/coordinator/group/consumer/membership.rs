//! Who is a member: who may come in, whose place a static member takes, and what of a member is recorded.

use std::sync::Arc;

use felice_protocol::{
    coordinator::consumer_group::{ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue},
    error::ErrorCode,
    messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
};

use super::{
    super::{ConsumerGroup, GroupMachine, machine::Cx},
    live::subscribed_regex,
    member::{LEFT_FOR_NOW, Standing},
    records,
    refusal::Refusal,
};

/// A member as it was before a call; neither part is there for who is new.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub value: Option<Arc<ConsumerGroupMemberMetadataValue>>,
    pub current: Option<Arc<ConsumerGroupCurrentMemberAssignmentValue>>,
}

impl Before {
    pub fn of(group: &ConsumerGroup, member_id: &str) -> Before {
        Before { value: group.members.get(member_id).cloned(), current: group.currents.get(member_id).cloned() }
    }
}

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

impl GroupMachine {
    pub(super) fn check_consumer_group_size(&self, group_id: &str, member_id: &str) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(()) };
        if !member_id.is_empty() && group.members.contains_key(member_id) {
            return Ok(());
        }
        let (has, max) = (group.members.size(), self.settings.consumer_max_size);
        let is_full = self.soft.consumer.groups.get(group_id).is_some_and(|live| live.full_until.is_some());
        // Of a group without members nobody would ever try its assignment again.
        if has < max && (!is_full || has == 0) {
            return Ok(());
        }
        let capacity = has.min(max);
        let message = format!("The consumer group has reached its maximum capacity of {capacity} members.");
        Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message))
    }

    pub(super) fn dynamic_member(
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
    pub(super) fn static_member(
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
            // A member that gets an instance id only now is the one that it was.
            let before = |group| Before::of(group, member_id);
            return match self.state.consumer.get(group_id) {
                group if joins => Ok(group.map_or_else(Before::default, before)),
                _ => Err(Refusal::unknown_instance(instance_id)),
            };
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
