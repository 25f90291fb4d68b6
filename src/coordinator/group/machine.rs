//! Where commands, deadlines and changes of the cluster come in. What they do is in the folders of each kind of group.

use std::sync::Arc;

use felice_protocol::coordinator::GroupRecord;

use super::{
    Answer, Caller, Command, GroupSettings, Out, Query, State, Timer, Timers, classic::ClassicGroups,
    consumer::ConsumerGroups, offsets::OffsetsSoft,
};
use crate::{metadata::Image, model::Timestamp};

/// The coordinator of the groups of one partition.
///
/// Invariant: `state` is what [`State::apply`] of all records so far comes to, those of decisions included that are not
/// committed yet.
#[derive(Debug)]
pub struct GroupMachine {
    pub(super) settings: Arc<GroupSettings>,
    pub(super) state: State,
    pub(super) soft: Soft,
}

/// What is known and not in the log.
#[derive(Debug, Default)]
pub struct Soft {
    pub(super) timers: Timers,
    pub(super) classic: ClassicGroups,
    pub(super) consumer: ConsumerGroups,
    pub(super) offsets: OffsetsSoft,
}

/// When it is, what the cluster is like, and where records and answers go.
pub(super) struct Cx<'a> {
    pub now: Timestamp,
    pub image: &'a Image,
    pub out: &'a mut Out,
}

impl GroupMachine {
    /// A coordinator that begins with what its log says. Sessions begin anew.
    pub fn load(settings: Arc<GroupSettings>, state: State, now: Timestamp, image: &Image) -> GroupMachine {
        let mut machine = GroupMachine { settings, state, soft: Soft::default() };
        machine.load_classic(now);
        machine.load_consumer(now, image);
        machine.load_offsets(now);
        machine
    }

    /// What was decided after `state` was lost. Begins anew with that, and knows of topics that were deleted meanwhile.
    ///
    /// Kafka goes back to the last snapshot of its groups, and lets timers and JoinGroups that wait be. Here what is not in the log
    /// has no snapshots, and is what it would be had another broker taken over: sessions begin now, and a rebalance that was not
    /// completed is not known. Clients are made for that, and it happens only where a disk or the leadership failed.
    pub fn fall_back(
        &mut self,
        state: State,
        now: Timestamp,
        image: &Image,
        deleted_topics: impl IntoIterator<Item = Arc<str>>,
    ) {
        let mut forgetting = self.take_forgetting();
        forgetting.extend(deleted_topics);
        *self = GroupMachine::load(Arc::clone(&self.settings), state, now, image);
        self.forget_anew(now, forgetting);
    }

    /// As [`GroupMachine::fall_back`], where all that was decided is of committed offsets: members, sessions and rebalances go on,
    /// since none of them depends on those. What an expiry did not get rid of is left to the next pass.
    pub fn fall_back_in_offsets(
        &mut self,
        state: State,
        now: Timestamp,
        deleted_topics: impl IntoIterator<Item = Arc<str>>,
    ) {
        let mut forgetting = self.take_forgetting();
        forgetting.extend(deleted_topics);
        self.state = state;
        self.forget_anew(now, forgetting);
    }

    /// All that is appended or decided.
    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn decide(&mut self, now: Timestamp, image: &Image, caller: &Caller, command: Command, out: &mut Out) {
        let cx = &mut Cx { now, image, out };
        match command {
            Command::JoinGroup(request) => self.join_group(cx, caller, request),
            Command::SyncGroup(request) => self.sync_group(cx, caller, request),
            Command::Heartbeat(request) => self.heartbeat(cx, caller, request),
            Command::LeaveGroup(request) => self.leave_group(cx, caller, request),
            Command::ConsumerGroupHeartbeat(request) => self.consumer_group_heartbeat(cx, caller, request),
            Command::OffsetCommit(request) => self.commit_offsets(cx, caller, request),
            Command::OffsetDelete(request) => self.delete_offsets(cx, caller, request),
            Command::DeleteGroup(group_id) => self.delete_group(cx, caller, group_id),
        }
    }

    /// What one batch of records may take by now, in bytes.
    pub fn set_record_max_bytes(&mut self, max: usize) {
        if self.settings.record_max_bytes != max {
            Arc::make_mut(&mut self.settings).record_max_bytes = max;
        }
    }

    /// The clock was set by so many milliseconds: nobody's time is up for that.
    pub fn clock_was_set(&mut self, by_ms: i64) {
        self.soft.timers.shift(by_ms);
        self.soft.offsets.shift(by_ms);
    }

    /// When [`GroupMachine::on_deadline`] has something to do, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.soft.timers.next()
    }

    /// Does one thing that is due; false where nothing is.
    pub fn on_deadline(&mut self, now: Timestamp, image: &Image, out: &mut Out) -> bool {
        let Some(timer) = self.soft.timers.pop_due(now) else { return false };
        let cx = &mut Cx { now, image, out };
        match timer {
            Timer::ClassicJoin { group } => self.classic_join_is_due(cx, &group),
            Timer::ClassicSync { group } => self.classic_sync_is_due(cx, &group),
            Timer::ClassicSession { group, member } => self.classic_session_ends(cx, &group, &member),
            Timer::ConsumerSession { group, member } => self.consumer_session_ends(cx, &group, &member),
            Timer::ConsumerRebalance { group, member } => self.consumer_rebalance_is_due(cx, &group, &member),
            Timer::ConsumerJoin { group, member } => self.consumer_join_is_due(cx, &group, &member),
            Timer::ConsumerSync { group, member } => self.consumer_sync_is_due(cx, &group, &member),
            Timer::ConsumerRegex { group } => self.consumer_regex_is_due(cx, &group),
            Timer::Expiry => self.expire_offsets(cx),
        }
        true
    }

    /// The cluster's metadata have changed: topics were made, grew, or are gone, or groups' settings.
    pub fn on_image(&mut self, now: Timestamp, image: &Image, deleted_topics: &[Arc<str>], out: &mut Out) {
        let cx = &mut Cx { now, image, out };
        self.forget_topics(cx, deleted_topics);
        self.consumer_topics_changed(cx);
    }

    /// What is answered by looking at `committed`, which this machine's state was before what is not committed yet.
    pub fn query(&self, now: Timestamp, committed: &State, image: &Image, query: &Query) -> Answer {
        match query {
            Query::OffsetFetch { group, require_stable } => {
                Answer::OffsetFetch(self.fetch_offsets(committed, image, group, *require_stable))
            }
            Query::ListGroups { states, types } => Answer::ListGroups(self.list_groups(now, committed, states, types)),
            Query::DescribeGroup(group_id) => Answer::DescribeGroup(self.describe_group(committed, group_id)),
            Query::ConsumerGroupDescribe(group_id) => {
                Answer::ConsumerGroupDescribe(self.describe_consumer_group(committed, image, group_id))
            }
        }
    }

    /// Writes a record: it holds from here on, and is appended with what else this decision writes.
    pub(super) fn write(&mut self, cx: &mut Cx<'_>, record: GroupRecord) {
        self.soft.consumer.follow(&self.state, &record);
        self.state.apply(None, &record);
        cx.out.records.push(record);
    }
}
