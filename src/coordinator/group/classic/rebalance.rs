//! How a group comes from one generation to the next: who begins a rebalance, how long it waits for whom, and what ends it.
//!
//! ```text
//!           first join: waits group.initial.rebalance.delay.ms, and as long again while others come
//!  Empty ───────────────────────────────> PreparingRebalance <───────────────────────────┐
//!    ^                                     │   all have joined, or the                    │ a join, leave or
//!    └──────────── nobody is left ─────────┤   rebalance timeout is up                     │ end of a session
//!                                          v                                               │
//!                                 CompletingRebalance ── the leader's SyncGroup ──> Stable ┘
//! ```

use std::{fmt::Display, sync::Arc};

use felice_protocol::{error::ErrorCode, messages::join_group::*};

use super::{
    ClassicGroup, ClassicState, InitialDelay, Turn,
    record::{self, group_record},
};

impl ClassicGroup {
    /// Begins a rebalance where none runs, or ends the one that runs if this was what it waited for.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>, reason: &dyn Display) {
        if self.state == ClassicState::PreparingRebalance {
            self.complete_if_all_have_joined(turn);
        } else {
            self.prepare_rebalance(turn, reason);
        }
    }

    /// Has all members join anew. Who waits for an assignment of the generation that ends here is told so.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>, reason: &dyn Display) {
        if self.state == ClassicState::CompletingRebalance {
            self.members.values_mut().for_each(|member| member.assignment.clear());
            self.refuse_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        self.unsynced.clear();
        turn.end_sync_phase(&self.id);

        let is_first = self.state == ClassicState::Empty;
        self.enter(ClassicState::PreparingRebalance, turn.now);
        tracing::info!(group = &*self.id, generation = self.generation, "preparing to rebalance: {reason}");
        if is_first {
            let delay_ms = turn.settings.initial_rebalance_delay_ms.max(0);
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.initial = Some(InitialDelay { delay_ms, remaining_ms, joined: false });
            turn.begin_join_phase(&self.id, delay_ms);
        } else if self.all_have_joined() {
            self.complete_join_phase(turn);
        } else {
            turn.begin_join_phase(&self.id, self.rebalance_timeout_ms());
        }
    }

    /// Ends the join phase if nobody is missing, but not a group's first, which waits for members that nobody knows of yet.
    pub(super) fn complete_if_all_have_joined(&mut self, turn: &mut Turn<'_>) {
        if self.state == ClassicState::PreparingRebalance && self.initial.is_none() && self.all_have_joined() {
            self.complete_join_phase(turn);
        }
    }

    /// As [`ClassicGroup::complete_if_all_have_joined`], also in a group's first join phase: where a member is gone or a pending
    /// one, there may be nobody to wait for.
    pub(super) fn complete_if_nobody_is_missing(&mut self, turn: &mut Turn<'_>) {
        if self.state == ClassicState::PreparingRebalance && self.all_have_joined() {
            self.complete_join_phase(turn);
        }
    }

    /// The join phase has lasted long enough.
    pub(super) fn join_phase_is_due(&mut self, turn: &mut Turn<'_>) {
        if self.state != ClassicState::PreparingRebalance {
            return;
        }
        match &mut self.initial {
            Some(initial) if initial.joined && initial.remaining_ms != 0 => {
                let delay_ms = turn.settings.initial_rebalance_delay_ms.clamp(0, initial.remaining_ms);
                let remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms).max(0);
                *initial = InitialDelay { delay_ms, remaining_ms, joined: false };
                turn.begin_join_phase(&self.id, delay_ms);
            }
            _ => self.complete_join_phase(turn),
        }
    }

    /// Who has joined is the next generation. Dynamic members that have not are out; static ones stay as long as their sessions.
    fn complete_join_phase(&mut self, turn: &mut Turn<'_>) {
        turn.end_join_phase(&self.id);
        if self.joined < self.members.len() {
            let is_out = |member: &&_| is_dynamic_and_absent(member);
            let out: Vec<Arc<str>> =
                self.members.values().filter(is_out).map(|member| Arc::clone(&member.id)).collect();
            tracing::info!(group = &*self.id, "{} members have not joined in time", out.len());
            out.iter().for_each(|member_id| self.remove(turn, member_id));
        }
        if !self.elect_who_has_joined() && !self.members.is_empty() {
            tracing::info!(group = &*self.id, "no member has joined: waiting on, until sessions end");
            turn.begin_join_phase(&self.id, self.rebalance_timeout_ms());
            return;
        }
        self.next_generation(turn.now);
        tracing::debug!(
            group = &*self.id,
            generation = self.generation,
            members = self.members.len(),
            "all have joined"
        );
        if self.members.is_empty() {
            turn.write(group_record(self));
            return;
        }
        let members: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in &members {
            if let Some(call) = self.take_join(member_id) {
                turn.join(call, self.joined_as(member_id));
            }
            if let Some(member) = self.members.get_mut(member_id) {
                member.is_new = false;
                turn.renew_session(&self.id, member_id, member.session_timeout_ms);
            }
        }
        self.unsynced = members.into_iter().collect();
        turn.begin_sync_phase(&self.id, self.rebalance_timeout_ms());
    }

    /// What a member of this generation is told: the leader of all members, the others of the leader.
    pub(super) fn joined_as(&self, member_id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: member_id.to_owned(),
            members: if self.is_leader(member_id) { self.joined_members() } else { Vec::new() },
            ..JoinGroupResponse::default()
        }
    }

    /// Members that have not asked for their assignments in time are out, dynamic or static.
    pub(super) fn sync_phase_is_due(&mut self, turn: &mut Turn<'_>) {
        let in_time = !matches!(self.state, ClassicState::CompletingRebalance | ClassicState::Stable);
        if in_time || self.unsynced.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.unsynced);
        out.iter().for_each(|member_id| self.remove(turn, member_id));
        self.prepare_rebalance(turn, &format_args!("{} members have not synced in time", out.len()));
    }

    /// A member was not heard of for as long as its session, or has not used the member id that it was given.
    pub(super) fn session_ends(&mut self, turn: &mut Turn<'_>, member_id: &Arc<str>) {
        if self.pending.contains(member_id) {
            self.remove(turn, member_id);
            self.complete_if_nobody_is_missing(turn);
            return;
        }
        let Some(member) = self.members.get(member_id) else { return };
        if member.may_be_silent() {
            return; // The answer that it waits for begins a new session.
        }
        self.remove(turn, member_id);
        match self.state {
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.prepare_rebalance(turn, &format_args!("the session of {member_id:?} has ended"));
            }
            _ => self.complete_if_nobody_is_missing(turn),
        }
    }

    /// Answers all SyncGroups that wait with an error. Sessions begin anew, since they did not count while waiting.
    pub(super) fn refuse_syncs(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        for member in self.members.values_mut() {
            if let Some(call) = member.sync.take() {
                turn.sync(call, super::super::command::refused_sync(error));
                turn.renew_session(&self.id, &member.id, member.session_timeout_ms);
            }
        }
    }

    /// Whether the record of this generation, with these assignments, would fit into one batch.
    pub(super) fn fits_a_record(&self, turn: &Turn<'_>) -> bool {
        record::size(self) <= turn.settings.record_max_bytes
    }
}

fn is_dynamic_and_absent(member: &super::ClassicMember) -> bool {
    member.join.is_none() && member.instance_id.is_none()
}
