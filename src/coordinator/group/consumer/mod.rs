//! Consumer groups (KIP-848): members heartbeat, the coordinator assigns, and each member moves to its target by itself.

use std::sync::Arc;

use felice_protocol::{
    coordinator::{GroupRecord, consumer_group::ConsumerGroupMetadataKey},
    error::ErrorCode,
    messages::{consumer_group_heartbeat::*, heartbeat::*, join_group::*, leave_group::*, sync_group::*},
};

use super::{Caller, Command, GroupMachine, machine::Cx};
use crate::{metadata::Image, model::Timestamp};

/// What is known of consumer groups and not in the log.
#[derive(Debug, Default)]
pub struct ConsumerGroups {}

impl GroupMachine {
    /// Sessions begin now.
    pub(super) fn load_consumer(&mut self, _now: Timestamp, _image: &Image) {}

    pub(super) fn consumer_group_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: ConsumerGroupHeartbeatRequest,
    ) {
        let answer = Command::ConsumerGroupHeartbeat(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    /// Topics were made, grew or are gone, or groups' settings have changed.
    pub(super) fn consumer_topics_changed(&mut self, _cx: &mut Cx<'_>) {}

    pub(super) fn consumer_session_ends(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>, _member: &Arc<str>) {}

    pub(super) fn consumer_rebalance_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>, _member: &Arc<str>) {}

    pub(super) fn consumer_join_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>, _member: &Arc<str>) {}

    pub(super) fn consumer_sync_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>, _member: &Arc<str>) {}

    pub(super) fn consumer_regex_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>) {}

    pub(super) fn consumer_refresh_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>) {}
}

/// What classic members ask of consumer groups.
impl GroupMachine {
    pub(super) fn consumer_join(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: JoinGroupRequest) {
        cx.out.answer(caller.call, Command::JoinGroup(request).refused(ErrorCode::InconsistentGroupProtocol));
    }

    pub(super) fn consumer_sync(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: SyncGroupRequest) {
        cx.out.answer(caller.call, Command::SyncGroup(request).refused(ErrorCode::UnknownMemberId));
    }

    pub(super) fn consumer_classic_heartbeat(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: HeartbeatRequest) {
        cx.out.answer(caller.call, Command::Heartbeat(request).refused(ErrorCode::UnknownMemberId));
    }

    pub(super) fn consumer_leave(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: LeaveGroupRequest) {
        cx.out.answer(caller.call, Command::LeaveGroup(request).refused(ErrorCode::UnknownMemberId));
    }

    pub(super) fn delete_consumer(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let key = ConsumerGroupMetadataKey { group_id: group_id.to_owned(), ..ConsumerGroupMetadataKey::default() };
        self.write(cx, GroupRecord::ConsumerGroupMetadata(key, None));
    }
}
