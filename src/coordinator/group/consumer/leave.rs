//! Members go: they leave, for good or for now, or their time is up.

use std::{collections::BTreeSet, sync::Arc};

use felice_protocol::messages::consumer_group_heartbeat::*;

use super::{
    super::{GroupMachine, Timer, machine::Cx},
    live::subscribed_regex,
    member::{LEFT_FOR_NOW, MemberState, Partitions, Standing},
    records,
    refusal::Refusal,
};

impl GroupMachine {
    /// A heartbeat of who leaves.
    pub(super) fn leave_by_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let group_id = request.group_id.as_str();
        let group = self.consumer_group(group_id)?;
        let member_id: Arc<str> = match &request.instance_id {
            None if !group.members.contains_key(request.member_id.as_str()) => {
                return Err(Refusal::unknown_member(group_id, &request.member_id));
            }
            None => request.member_id.as_str().into(),
            Some(instance_id) => match self.instance_owner(group_id, instance_id) {
                None => return Err(Refusal::unknown_instance(instance_id)),
                Some(owner) if *owner != *request.member_id => {
                    return Err(Refusal::fenced_instance(instance_id, &request.member_id, &owner));
                }
                Some(owner) => owner,
            },
        };
        if request.member_epoch == LEFT_FOR_NOW {
            self.leave_for_now(cx, group_id, &member_id);
        } else {
            self.remove_consumer_members(cx, group_id, &[member_id]);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// What it has is kept for it, until its session ends.
    fn leave_for_now(&mut self, cx: &mut Cx<'_>, group_id: &str, member_id: &Arc<str>) {
        let Some(group) = self.state.consumer.get(group_id) else { return };
        let mut standing = Standing { epoch: LEFT_FOR_NOW, revoking: Partitions::new(), ..group.standing(member_id) };
        // Who comes back in its place may commit for these partitions from its first epoch on.
        standing.assigned.values_mut().flat_map(|partitions| partitions.values_mut()).for_each(|epoch| *epoch = 0);
        self.write(cx, records::current(group_id, member_id, Some(standing.value())));
        let rebalance = Timer::ConsumerRebalance { group: group_id.into(), member: Arc::clone(member_id) };
        self.soft.timers.cancel(&rebalance);
    }

    /// Removes members, in order and each once, for which the group's epoch is raised; the group may become a classic one by it.
    pub(super) fn remove_consumer_members(&mut self, cx: &mut Cx<'_>, group_id: &str, member_ids: &[Arc<str>]) {
        debug_assert!(member_ids.is_sorted_by(|a, b| a < b), "{member_ids:?}");
        if member_ids.is_empty() || self.downgrade_without(cx, group_id, member_ids) {
            return;
        }
        let Some(group) = self.state.consumer.get(group_id) else { return };
        let epoch = group.epoch().saturating_add(1);
        let regexes: Vec<String> = member_ids
            .iter()
            .filter_map(|member_id| subscribed_regex(group.members.get(member_id)?).map(str::to_owned))
            .collect();
        for member_id in member_ids {
            self.write_member_gone(cx, group_id, member_id);
        }
        for regex in regexes {
            self.drop_unused_regex(cx, group_id, &regex);
        }
        let hash = self.soft.consumer.metadata_hash(group_id, cx.image);
        self.write(cx, records::group_epoch(group_id, epoch, hash));
        for member_id in member_ids {
            self.cancel_consumer_timers(group_id, member_id);
        }
    }

    /// A member was not heard of for too long.
    pub(in super::super) fn consumer_session_ends(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        self.remove_if_member(cx, group, member);
    }

    /// A member has not given up in time what it should.
    pub(in super::super) fn consumer_rebalance_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        let is_late = |state| state == MemberState::UnrevokedPartitions;
        if self.state.consumer.get(group).is_some_and(|group| is_late(group.member_state(member))) {
            self.remove_if_member(cx, group, member);
        }
    }

    /// A member of the classic protocol was told to join anew, and has not.
    pub(in super::super) fn consumer_join_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        self.remove_if_member(cx, group, member);
    }

    /// A member of the classic protocol has joined, and not asked for its assignment.
    pub(in super::super) fn consumer_sync_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        self.remove_if_member(cx, group, member);
    }

    fn remove_if_member(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        if self.state.consumer.get(group).is_some_and(|group| group.members.contains_key(member)) {
            self.remove_consumer_members(cx, group, &[Arc::clone(member)]);
        }
    }

    /// Removes a group of which the members are gone.
    pub(in super::super) fn delete_consumer(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let Some(group) = self.state.consumer.get(group_id).cloned() else { return };
        // A log whose front was cut off may have lost that somebody is a member.
        let (members, targets, currents) = (group.members.keys(), group.targets.keys(), group.currents.keys());
        let members: BTreeSet<&Arc<str>> = members.chain(targets).chain(currents).collect();
        for member_id in &members {
            self.write(cx, records::current(group_id, member_id, None));
        }
        for member_id in &members {
            self.write(cx, records::no_target(group_id, member_id));
        }
        self.write(cx, records::no_target_epoch(group_id));
        for member_id in &members {
            self.write(cx, records::member(group_id, member_id, None));
            self.cancel_consumer_timers(group_id, member_id);
        }
        for regex in group.regexes.keys() {
            self.write(cx, records::regex(group_id, regex, None));
        }
        self.write(cx, records::no_partition_metadata(group_id));
        self.write(cx, records::no_group(group_id));
        self.soft.timers.cancel(&Timer::ConsumerRegex { group: group_id.into() });
    }
}
