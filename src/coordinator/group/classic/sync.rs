//! SyncGroup and Heartbeat: the leader hands in what it has assigned, everybody gets its part, and says that it lives.

use std::collections::BTreeMap;

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{heartbeat::*, sync_group::*},
};

use super::{
    super::{Caller, GroupMachine, command::refused_sync, machine::Cx},
    ClassicGroup, ClassicState, Turn,
    record::group_record,
};
use crate::env::faults::{Fault, planted};

impl GroupMachine {
    pub(in super::super) fn sync_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: SyncGroupRequest) {
        if self.state.consumer.contains_key(request.group_id.as_str()) {
            return self.consumer_sync(cx, caller, request);
        }
        let (group, mut turn) = self.classic_turn(cx, &request.group_id);
        let checked = group.ok_or(ErrorCode::UnknownMemberId).and_then(|group| {
            group.check_sync(&request)?;
            Ok(group)
        });
        match checked {
            Ok(group) => {
                group.sync(&mut turn, caller, request);
                group.check_invariants();
            }
            Err(error) => turn.sync(caller.call, refused_sync(error)),
        }
    }

    pub(in super::super) fn heartbeat(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: HeartbeatRequest) {
        if self.state.consumer.contains_key(request.group_id.as_str()) {
            return self.consumer_classic_heartbeat(cx, caller, request);
        }
        let (group, mut turn) = self.classic_turn(cx, &request.group_id);
        let result = match group {
            Some(group) => group.heartbeat(&mut turn, &request),
            None => Err(ErrorCode::UnknownMemberId),
        };
        turn.heartbeat(caller.call, result);
    }
}

impl ClassicGroup {
    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |told: &Option<String>, is: &Option<String>| told.is_some() && is.is_some() && told != is;
        if request.generation_id != self.generation {
            Err(ErrorCode::IllegalGeneration)
        } else if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else if self.state == ClassicState::PreparingRebalance {
            Err(ErrorCode::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    fn sync(&mut self, turn: &mut Turn<'_>, caller: &Caller, request: SyncGroupRequest) {
        let member_id = request.member_id.as_str();
        self.unsynced.remove(member_id);
        if self.unsynced.is_empty() {
            turn.end_sync_phase(&self.id);
        }
        let is_leader = self.is_leader(member_id);
        let Some(member) = self.members.get_mut(member_id) else { return };
        if self.state == ClassicState::Stable {
            let assignment = member.assignment.clone();
            let answer = self.synced(assignment);
            return turn.sync(caller.call, answer);
        }
        if let Some(before) = member.sync.replace(caller.call) {
            // Kafka never answers it: it must have come over a connection that is gone.
            turn.sync(before, refused_sync(ErrorCode::RebalanceInProgress));
        }
        if is_leader {
            self.assign(turn, request.assignments);
        }
    }

    /// Takes the leader's assignments: the group is stable, and everybody who waits gets its own. Members that the leader has left out
    /// get nothing, and those that are none do not count.
    fn assign(&mut self, turn: &mut Turn<'_>, assignments: Vec<SyncGroupRequestAssignment>) {
        let mut assigned: BTreeMap<String, Bytes> =
            assignments.into_iter().map(|assigned| (assigned.member_id, assigned.assignment)).collect();
        for member in self.members.values_mut() {
            // In bytes of its own: a slice would keep the whole frame in memory.
            let assignment = assigned.remove(&*member.id).map(|assignment| Bytes::copy_from_slice(&assignment));
            member.assignment = assignment.unwrap_or_default();
        }
        if !self.fits_a_record(turn) {
            tracing::warn!(group = &*self.id, generation = self.generation, "the group is too large to be recorded");
            self.refuse_syncs(turn, ErrorCode::UnknownServerError);
            return self.prepare_rebalance(turn, &"what the leader has assigned is too large");
        }
        turn.write(group_record(self));
        self.enter(ClassicState::Stable, turn.now);
        tracing::debug!(group = &*self.id, generation = self.generation, "the group is stable");
        let mut answers = Vec::new();
        for member in self.members.values_mut() {
            if let Some(call) = member.sync.take() {
                answers.push((call, member.assignment.clone()));
                turn.renew_session(&self.id, &member.id, member.session_timeout_ms);
            }
        }
        for (call, assignment) in answers {
            turn.sync(call, self.synced(assignment));
        }
    }

    fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
            ..SyncGroupResponse::default()
        }
    }

    fn heartbeat(&mut self, turn: &mut Turn<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.renew_session(turn, &request.member_id);
        match self.state {
            ClassicState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether a member, or who is none, may commit offsets here now (Kafka's ClassicGroup.validateOffsetCommit). A commit keeps a
    /// session as a heartbeat does, but for a transaction's.
    pub(super) fn check_commit(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == ClassicState::Empty {
            return Ok(()); // Who uses the group for its offsets only.
        }
        if planted(Fault::CommitWithoutMembership) {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !is_transactional {
            return Err(ErrorCode::UnknownMemberId);
        }
        if is_transactional {
            return Ok(());
        }
        if self.state == ClassicState::CompletingRebalance {
            // It has learned of the generation, and not yet of what it may read in it.
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.renew_session(turn, member_id);
        Ok(())
    }

    fn renew_session(&self, turn: &mut Turn<'_>, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            turn.renew_session(&self.id, &member.id, member.session_timeout_ms);
        }
    }
}
