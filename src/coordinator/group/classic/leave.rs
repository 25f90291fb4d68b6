//! LeaveGroup: members that go, or that somebody else takes out.

use felice_protocol::{error::ErrorCode, messages::leave_group::*};

use super::{
    super::{Caller, GroupMachine, machine::Cx},
    ClassicGroup, ClassicState, Turn,
};

impl GroupMachine {
    pub(in super::super) fn leave_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: LeaveGroupRequest) {
        if self.state.consumer.contains_key(request.group_id.as_str()) {
            return self.consumer_leave(cx, caller, request);
        }
        let (group, mut turn) = self.classic_turn(cx, &request.group_id);
        let members = match group {
            Some(group) => group.leave(&mut turn, request.members),
            None => request.members.into_iter().map(|member| left(member, Err(ErrorCode::UnknownMemberId))).collect(),
        };
        turn.leave(caller.call, LeaveGroupResponse { members, ..LeaveGroupResponse::default() });
        self.drop_if_never_joined(&request.group_id);
    }
}

impl ClassicGroup {
    fn leave(&mut self, turn: &mut Turn<'_>, members: Vec<MemberIdentity>) -> Vec<MemberResponse> {
        let mut gone = 0;
        let mut answers = Vec::new();
        for member in members {
            let result = self.leaving(&member).map(|member_id| self.remove(turn, &member_id));
            if result.is_ok() {
                let reason = member.reason.as_deref().unwrap_or("no reason given");
                let reason: String = reason.chars().take(255).collect();
                tracing::info!(group = &*self.id, member = ?member.member_id, "a member leaves: {reason:?}");
                gone += 1;
            }
            answers.push(left(member, result));
        }
        if gone > 0 {
            match self.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => {
                    self.prepare_rebalance(turn, &format_args!("{gone} members have left"));
                }
                _ => self.complete_if_all_have_joined(turn),
            }
        }
        answers
    }

    /// Which member is meant: by member id, or a static one by its instance id alone, as administrators do.
    fn leaving(&self, member: &MemberIdentity) -> Result<String, ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            let owner = instance_id.and_then(|instance_id| self.instances.get(instance_id));
            return owner.map(|owner| owner.to_string()).ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.pending.contains(member.member_id.as_str()) {
            self.check_member(&member.member_id, instance_id)?;
        }
        Ok(member.member_id.clone())
    }
}

fn left(member: MemberIdentity, result: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: result.err().map_or(0, ErrorCode::code),
        ..MemberResponse::default()
    }
}
