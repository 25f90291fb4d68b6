//! Classic groups: members join, the leader assigns, everyone syncs; what is assigned the coordinator does not read.
//!
//! The rules are Kafka 4.3's (its GroupMetadataManager and ClassicGroup), one file each for what a member may ask: [`join`], [`sync`],
//! [`leave`]; [`rebalance`] has what all of these come to. Requests come in the form of their newest versions, with a group id, but for what
//! [`join`] says. Different from Kafka:
//! - Every call is answered. Kafka forgets a JoinGroup or SyncGroup that waits when the same member sends another or is removed; here the
//!   first one gets REBALANCE_IN_PROGRESS, the other UNKNOWN_MEMBER_ID.
//! - A group is stable as soon as its record is decided, not once it is committed; the answers wait for that.
//! - What a group's members send is bounded (`HELD_BYTES_MAX`), and a static member whose metadata would not fit the record is refused.
//! - Where `group.max.size` turns away the last one that a rebalance waits for, the rebalance ends at once.
//! - Who leads after a leader has gone is the first by member id, and of two protocols with as many votes the first by name wins. In Kafka
//!   both are as its hash map has it.
//! - After generation 2147483647 comes 0, not a negative one.

mod group;
mod join;
mod leave;
mod member;
mod rebalance;
mod record;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use felice_protocol::{
    coordinator::GroupRecord,
    error::ErrorCode,
    messages::{describe_groups::DescribedGroup, heartbeat::*, join_group::*, leave_group::*, sync_group::*},
};

use self::{group::InitialDelay, record::tombstone};
pub use self::{
    group::{ClassicGroup, ClassicState},
    member::{ClassicMember, MemberProtocol},
};
pub(super) use self::{join::SKIP_ASSIGNMENT_FROM, record::size as classic_group_size};
use super::{Answer, CallId, GroupMachine, GroupSettings, Out, State, Timer, Timers, machine::Cx};
use crate::{
    env::faults::{Fault, planted},
    model::Timestamp,
};

/// The classic groups that live, with who is joining them, by group id.
///
/// A group that only has offsets is none of these before somebody joins it.
#[derive(Debug, Default)]
pub struct ClassicGroups {
    groups: BTreeMap<Arc<str>, ClassicGroup>,
}

impl ClassicGroups {
    /// Puts back a group that was taken, and whose waiting calls were not answered after all.
    pub(super) fn restore(&mut self, group: ClassicGroup) {
        self.groups.insert(Arc::clone(&group.id), group);
    }
}

/// What the rules of a group need beside the group: when it is, and where records, answers and deadlines go.
struct Turn<'a> {
    now: Timestamp,
    settings: &'a GroupSettings,
    state: &'a mut State,
    timers: &'a mut Timers,
    out: &'a mut Out,
}

impl GroupMachine {
    /// Makes live groups of what the log says. Sessions begin now. A group that is larger than it may be by now rebalances, so that
    /// consumers can commit before some are turned away.
    pub(super) fn load_classic(&mut self, now: Timestamp) {
        let groups = self.state.classic.iter();
        let groups: Vec<(ClassicGroup, bool)> =
            groups.map(|(id, value)| (record::group_of(id, value), record::is_unsettled(value))).collect();
        let mut out = Out::default();
        let cx = &mut Cx { now, image: &crate::metadata::Image::default(), out: &mut out };
        for (mut group, is_unsettled) in groups {
            let turn = &mut self.turn(cx);
            if !planted(Fault::LoadWithoutSessions) {
                group.begin_sessions(turn);
            }
            if group.members.len() > turn.settings.classic_max_size {
                group.prepare_rebalance(turn, &"the group is larger than it may be");
            } else if is_unsettled {
                group.prepare_rebalance(turn, &"the group had come to the classic protocol");
            }
            self.soft.classic.groups.insert(Arc::clone(&group.id), group);
        }
        debug_assert!(out.records.is_empty() && out.answers.is_empty(), "a stable group begins to rebalance without");
    }

    pub(super) fn classic_join_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>) {
        if let (Some(group), mut turn) = self.classic_turn(cx, group) {
            group.join_phase_is_due(&mut turn);
            group.check_invariants();
        }
    }

    pub(super) fn classic_sync_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>) {
        if let (Some(group), mut turn) = self.classic_turn(cx, group) {
            group.sync_phase_is_due(&mut turn);
            group.check_invariants();
        }
    }

    pub(super) fn classic_session_ends(&mut self, cx: &mut Cx<'_>, group: &Arc<str>, member: &Arc<str>) {
        if let (Some(group), mut turn) = self.classic_turn(cx, group) {
            group.session_ends(&mut turn, member);
            group.check_invariants();
        }
        self.drop_if_never_joined(group);
    }

    /// A group of which the log has nothing but offsets, and that nobody has come into, is again what it was: else it would be known
    /// when its offsets are gone.
    pub(super) fn drop_if_never_joined(&mut self, group_id: &str) {
        let is_in_use = |group: &ClassicGroup| {
            group.state != ClassicState::Empty || group.generation > 0 || !group.pending.is_empty()
        };
        if !self.state.classic.contains_key(group_id) && !self.classic_group(group_id).is_some_and(is_in_use) {
            self.soft.classic.groups.remove(group_id);
        }
    }

    /// A classic group that lives.
    pub(super) fn classic_group(&self, group_id: &str) -> Option<&ClassicGroup> {
        self.soft.classic.groups.get(group_id)
    }

    /// The generation that members were told last. The log learns of it with its assignment.
    #[cfg(test)]
    pub fn classic_generation(&self, group_id: &str) -> Option<i32> {
        self.classic_group(group_id).map(ClassicGroup::generation)
    }

    /// Kafka's name for the state of a classic group; `None` where there is no such group.
    pub(super) fn classic_state(&self, group_id: &str) -> Option<&'static str> {
        self.classic_group(group_id).map(|group| group.state.name())
    }

    /// Such as `consumer`; `None` where there is no such group, or nobody has ever joined it.
    pub(super) fn classic_protocol_type(&self, group_id: &str) -> Option<&str> {
        self.classic_group(group_id)?.protocol_type()
    }

    /// As DescribeGroups shows it.
    pub(super) fn describe_classic(&self, group_id: &str) -> Option<DescribedGroup> {
        self.classic_group(group_id).map(ClassicGroup::describe)
    }

    /// Whether members of a classic group want a topic: see [`ClassicGroup::subscribes`].
    pub(super) fn classic_subscribes(&self, group_id: &str, topic: &str) -> bool {
        self.classic_group(group_id).is_some_and(|group| group.subscribes(topic))
    }

    /// Whether a member, or who is none, may commit offsets for a classic group now. Keeps the member's session.
    pub(super) fn check_classic_commit(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        let (group, mut turn) = self.classic_turn(cx, group_id);
        let group = group.ok_or(ErrorCode::GroupIdNotFound)?;
        group.check_commit(&mut turn, member_id, instance_id, generation, is_transactional)
    }

    /// Deletes a classic group, or one that has only offsets, which are left: the tombstone says so.
    pub(super) fn delete_classic(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let group = self.soft.classic.groups.remove(group_id);
        let mut turn = self.turn(cx);
        if let Some(mut group) = group {
            group.end(&mut turn, ErrorCode::CoordinatorNotAvailable);
        }
        turn.write(tombstone(group_id));
    }

    /// Ends a classic group that goes on in another form: with its tombstone, and with REBALANCE_IN_PROGRESS for whoever waits,
    /// upon which members join again.
    pub(super) fn take_classic(&mut self, cx: &mut Cx<'_>, group_id: &str) -> Option<ClassicGroup> {
        let mut group = self.soft.classic.groups.remove(group_id)?;
        let mut turn = self.turn(cx);
        group.end(&mut turn, ErrorCode::RebalanceInProgress);
        turn.write(tombstone(group_id));
        Some(group)
    }

    /// Begins a classic group that was in another form before, with its record. Sessions begin now. With `rebalance`, its members are
    /// to join again at once.
    pub(super) fn begin_classic(&mut self, cx: &mut Cx<'_>, mut group: ClassicGroup, rebalance: bool) {
        let mut turn = self.turn(cx);
        let rebalance = rebalance && group.state == ClassicState::Stable;
        turn.write(if rebalance { record::unsettled_record(&group) } else { record::group_record(&group) });
        group.begin_sessions(&mut turn);
        if rebalance {
            group.prepare_rebalance(&mut turn, &"the group has come to the classic protocol");
        }
        group.check_invariants();
        self.soft.classic.groups.insert(Arc::clone(&group.id), group);
    }

    /// What a member is told that has joined a group which stays as it is: it leads, where it does, and has nothing to assign
    /// (KIP-814).
    pub(super) fn back_in_classic(&self, group_id: &str, member_id: &str) -> Option<JoinGroupResponse> {
        let group = self.soft.classic.groups.get(group_id).filter(|group| group.state == ClassicState::Stable)?;
        Some(JoinGroupResponse { skip_assignment: group.is_leader(member_id), ..group.joined_as(member_id) })
    }

    fn turn<'a>(&'a mut self, cx: &'a mut Cx<'_>) -> Turn<'a> {
        let GroupMachine { settings, state, soft } = self;
        Turn { now: cx.now, settings, state, timers: &mut soft.timers, out: cx.out }
    }

    /// A group that lives, and what its rules need.
    fn classic_turn<'a>(&'a mut self, cx: &'a mut Cx<'_>, group_id: &str) -> (Option<&'a mut ClassicGroup>, Turn<'a>) {
        let GroupMachine { settings, state, soft } = self;
        let turn = Turn { now: cx.now, settings, state, timers: &mut soft.timers, out: cx.out };
        (soft.classic.groups.get_mut(group_id), turn)
    }
}

impl ClassicGroup {
    fn begin_sessions(&self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            turn.renew_session(&self.id, &member.id, member.session_timeout_ms);
        }
    }

    /// Stops all that runs for it.
    fn end(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        self.refuse_all(turn, error);
        turn.end_join_phase(&self.id);
        turn.end_sync_phase(&self.id);
        for member_id in self.members.keys().chain(&self.pending) {
            turn.end_session(&self.id, member_id);
        }
    }
}

impl Turn<'_> {
    /// Writes a record: it holds from here on, and is appended with what else this decision writes.
    fn write(&mut self, record: GroupRecord) {
        self.state.apply(None, &record);
        self.out.records.push(record);
    }

    fn join(&mut self, call: CallId, answer: JoinGroupResponse) {
        self.out.answer(call, Answer::JoinGroup(answer));
    }

    fn sync(&mut self, call: CallId, answer: SyncGroupResponse) {
        self.out.answer(call, Answer::SyncGroup(answer));
    }

    fn heartbeat(&mut self, call: CallId, result: Result<(), ErrorCode>) {
        let error_code = result.err().map_or(0, ErrorCode::code);
        self.out.answer(call, Answer::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }));
    }

    fn leave(&mut self, call: CallId, answer: LeaveGroupResponse) {
        self.out.answer(call, Answer::LeaveGroup(answer));
    }

    fn begin_join_phase(&mut self, group: &Arc<str>, timeout_ms: i32) {
        let at = self.after(timeout_ms);
        self.timers.set(Timer::ClassicJoin { group: Arc::clone(group) }, at);
    }

    fn end_join_phase(&mut self, group: &Arc<str>) {
        self.timers.cancel(&Timer::ClassicJoin { group: Arc::clone(group) });
    }

    fn begin_sync_phase(&mut self, group: &Arc<str>, timeout_ms: i32) {
        let at = self.after(timeout_ms);
        self.timers.set(Timer::ClassicSync { group: Arc::clone(group) }, at);
    }

    fn end_sync_phase(&mut self, group: &Arc<str>) {
        self.timers.cancel(&Timer::ClassicSync { group: Arc::clone(group) });
    }

    /// A member, or a pending one, was heard of: it may be silent for this long.
    fn renew_session(&mut self, group: &Arc<str>, member: &Arc<str>, timeout_ms: i32) {
        let at = self.after(timeout_ms);
        self.timers.set(Timer::ClassicSession { group: Arc::clone(group), member: Arc::clone(member) }, at);
    }

    fn end_session(&mut self, group: &Arc<str>, member: &Arc<str>) {
        self.timers.cancel(&Timer::ClassicSession { group: Arc::clone(group), member: Arc::clone(member) });
    }

    fn after(&self, timeout_ms: i32) -> Timestamp {
        Timestamp(self.now.0.saturating_add(i64::from(timeout_ms.max(0))))
    }
}
