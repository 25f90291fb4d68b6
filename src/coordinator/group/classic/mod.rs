//! Classic groups: members join, the leader assigns, everyone syncs; what is assigned the coordinator does not read.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::{heartbeat::*, join_group::*, leave_group::*, sync_group::*},
};

use super::{Caller, Command, GroupMachine, machine::Cx};
use crate::model::Timestamp;

/// The classic groups that live, with who is joining them.
#[derive(Debug, Default)]
pub struct ClassicGroups {}

impl GroupMachine {
    /// Makes live groups of what the log says. Sessions begin now.
    pub(super) fn load_classic(&mut self, _now: Timestamp) {}

    pub(super) fn join_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: JoinGroupRequest) {
        let answer = Command::JoinGroup(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn sync_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: SyncGroupRequest) {
        let answer = Command::SyncGroup(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn heartbeat(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: HeartbeatRequest) {
        let answer = Command::Heartbeat(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn leave_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: LeaveGroupRequest) {
        let answer = Command::LeaveGroup(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn classic_join_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>) {}

    pub(super) fn classic_sync_is_due(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>) {}

    pub(super) fn classic_session_ends(&mut self, _cx: &mut Cx<'_>, _group: &Arc<str>, _member: &Arc<str>) {}
}
