//! Classic members are refused by consumer groups.

use felice_protocol::{
    error::ErrorCode,
    messages::{heartbeat::*, join_group::*, leave_group::*, sync_group::*},
};

use crate::coordinator::group::{Caller, Command, GroupMachine, machine::Cx};

impl GroupMachine {
    pub(in super::super) fn consumer_join(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: JoinGroupRequest) {
        cx.out.answer(caller.call, Command::JoinGroup(request).refused(ErrorCode::InconsistentGroupProtocol));
    }

    pub(in super::super) fn consumer_sync(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: SyncGroupRequest) {
        cx.out.answer(caller.call, Command::SyncGroup(request).refused(ErrorCode::UnknownMemberId));
    }

    pub(in super::super) fn consumer_classic_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: HeartbeatRequest,
    ) {
        cx.out.answer(caller.call, Command::Heartbeat(request).refused(ErrorCode::UnknownMemberId));
    }

    pub(in super::super) fn consumer_leave(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: LeaveGroupRequest) {
        cx.out.answer(caller.call, Command::LeaveGroup(request).refused(ErrorCode::UnknownMemberId));
    }
}
