//! Decisions and what becomes of them: many are made at once, share an append, and are answered when that is committed.

use std::mem;

use felice_protocol::{error::ErrorCode, record::InvalidBatch};
use tracing::{debug, error, warn};

use super::{
    Core, DELETED_TOPICS_MAX, Shard, Work,
    active::{Active, Uncommitted, Waiting},
    refuse,
};
use crate::{
    coordinator::{
        group::{Answer, CallId, Command, Out, State},
        journal::Encoded,
        view::Changes,
    },
    model::{Offset, Timestamp},
    replica::AppendError,
};

/// Deadlines that are met at once before others have their turn.
const DEADLINES_AT_ONCE: usize = 1_000;

/// Decisions on their way into one append.
pub(super) struct Round {
    pub encoded: Encoded,
    pub answers: Vec<(CallId, Answer)>,
    /// Before the first of them.
    pub base: State,
}

impl Shard {
    pub(super) fn carry_out(&self, core: &mut Core, work: Vec<Work>) {
        let active = match core {
            Core::Active(active) => active,
            Core::Loading => return refuse(work, ErrorCode::CoordinatorLoadInProgress),
            Core::Ended(error) => return refuse(work, *error),
        };
        if self.journal.partition.resets() != active.resets {
            warn!(partition = %self.journal.partition.name(), "the log was opened again after its disk had failed: its groups are loaded anew");
            active.refuse_all(ErrorCode::CoordinatorLoadInProgress);
            *core = Core::Loading;
            self.wake.notify_one();
            return refuse(work, ErrorCode::CoordinatorLoadInProgress);
        }
        let image = self.around.quorum.image();
        let now = active.now(&self.around.env);
        let in_trouble = self.journal.partition.trouble(now).is_some();
        let mut round = active.begin_round();
        for work in work {
            match work {
                Work::Command { command, reply, .. } if in_trouble && !is_heartbeat(&command) => {
                    let _ = reply.send(command.refused(ErrorCode::CoordinatorNotAvailable));
                }
                Work::Command { caller, command, reply } => {
                    let refused = command.may_wait(ErrorCode::NotCoordinator);
                    active.calls.insert(caller.call, Waiting { reply, refused });
                    let before = active.machine.state().clone();
                    let mut out = Out::default();
                    active.machine.decide(now, &image, &caller, command, &mut out);
                    self.take_in(active, &mut round, before, out, now);
                }
                Work::Query { query, reply } => {
                    let _ = reply.send(Ok(active.machine.query(now, &active.committed, &image, &query)));
                }
                Work::TopicsChanged { deleted } => {
                    active.deleted_topics.extend(deleted.iter().cloned());
                    let too_many = active.deleted_topics.len().saturating_sub(DELETED_TOPICS_MAX);
                    active.deleted_topics.drain(..too_many);
                    let before = active.machine.state().clone();
                    let mut out = Out::default();
                    active.machine.on_image(now, &image, &deleted, &mut out);
                    self.take_in(active, &mut round, before, out, now);
                }
            }
        }
        // Nothing is due while nothing can be written: it would be due again and again.
        if !in_trouble && active.machine.next_deadline().is_some_and(|at| at <= now) {
            for _ in 0..DEADLINES_AT_ONCE {
                let before = active.machine.state().clone();
                let mut out = Out::default();
                if !active.machine.on_deadline(now, &image, &mut out) {
                    break;
                }
                self.take_in(active, &mut round, before, out, now);
            }
        }
        let state = active.machine.state().clone();
        self.append(active, round, state, now);
        let view_is_due = active.changes.bytes() >= active.write_view_at;
        if !active.pending.is_empty() || view_is_due || is_earlier(active.machine.next_deadline(), active.wakes_at) {
            self.wake.notify_one();
        }
    }

    /// Takes a decision into the round, or first appends what the round has where both would be too large together.
    fn take_in(&self, active: &mut Active, round: &mut Round, before: State, out: Out, now: Timestamp) {
        let mut encoded = Encoded::default();
        let failed = out.records.iter().find_map(|record| encoded.push(record).err());
        let batch_max = self.journal.batch_max();
        if let Some(why) = failed {
            error!(partition = %self.journal.partition.name(), "a group's record cannot be written: {why}");
        } else if encoded.size() <= batch_max {
            if round.encoded.size() + encoded.size() > batch_max {
                let next = Round { encoded: Encoded::default(), answers: Vec::new(), base: before.clone() };
                let full = mem::replace(round, next);
                // After a failure the decision at hand is as lost as those.
                if !self.append(active, full, before, now) {
                    active.answer_failed(out.answers, ErrorCode::CoordinatorNotAvailable);
                    *round = active.begin_round();
                    return;
                }
            }
            round.encoded.extend(encoded);
            round.answers.extend(out.answers);
            return;
        } else {
            warn!(
                partition = %self.journal.partition.name(),
                "what a group would write, {} bytes, is more than max.message.bytes allows, {batch_max}", encoded.size()
            );
        }
        let next = Round { encoded: Encoded::default(), answers: Vec::new(), base: before.clone() };
        let full = mem::replace(round, next);
        let is_appended = self.append(active, full, before.clone(), now);
        active.answer_failed(out.answers, ErrorCode::UnknownServerError);
        // Else it has fallen back already, and further.
        if is_appended {
            self.fall_back(active, before, now, ErrorCode::CoordinatorNotAvailable);
        }
        *round = active.begin_round();
    }

    /// Appends a round, which leads to `state`: the machine may have decided more by now. False where that fails, and then it has never
    /// been.
    fn append(&self, active: &mut Active, round: Round, state: State, now: Timestamp) -> bool {
        let Round { encoded, answers, base } = round;
        if encoded.is_empty() {
            match active.pending.back_mut() {
                // They may tell of what is not committed.
                Some(last) => last.answers.extend(answers),
                None => active.answer(answers),
            }
            return true;
        }
        match self.journal.append(&encoded, now) {
            Ok(appended) => {
                let end = appended.base_offset.plus(encoded.len());
                let changes = encoded.changes();
                match (appended.wait_for, active.pending.back_mut()) {
                    (None, None) => self.commit(active, state, end, changes, answers),
                    // The log commits in order: what is before it is committed as well, and the task is about to see that.
                    (None, Some(last)) => {
                        last.state = state;
                        last.end = end;
                        last.changes.extend(changes);
                        last.answers.extend(answers);
                    }
                    (Some(pending), _) => {
                        active.pending.push_back(Uncommitted { pending, state, end, changes, answers });
                    }
                }
                true
            }
            Err(error) => {
                debug!(partition = %self.journal.partition.name(), "groups' records were not appended: {error}");
                let code = append_code(&error);
                active.answer_failed(answers, code);
                self.fall_back(active, base, now, code);
                false
            }
        }
    }

    pub(super) fn commit(
        &self,
        active: &mut Active,
        state: State,
        end: Offset,
        changes: Changes,
        answers: Vec<(CallId, Answer)>,
    ) {
        active.committed = state;
        active.position.offset = end;
        active.position.leader_epoch = self.journal.leader_epoch;
        active.changes.extend(changes);
        active.answer(answers);
    }

    /// Nothing that was decided after `state` has happened. Whoever waits looks for its coordinator again.
    fn fall_back(&self, active: &mut Active, state: State, now: Timestamp, error: ErrorCode) {
        active.refuse_all_but_pending(error);
        let image = self.around.quorum.image();
        active.machine.fall_back(state, now, &image, active.deleted_topics.iter().cloned());
    }
}

/// A heartbeat keeps its member while the disk is full, and mostly writes nothing.
fn is_heartbeat(command: &Command) -> bool {
    matches!(command, Command::Heartbeat(_) | Command::ConsumerGroupHeartbeat(_))
}

fn is_earlier(deadline: Option<Timestamp>, than: Option<Timestamp>) -> bool {
    deadline.is_some_and(|deadline| than.is_none_or(|than| deadline < than))
}

/// As Kafka's `CoordinatorOperationExceptionHelper` has them.
fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::NotLeader => ErrorCode::NotCoordinator,
        AppendError::NotEnoughReplicas(_) | AppendError::Folder(_) | AppendError::Log(_) => {
            ErrorCode::CoordinatorNotAvailable
        }
        AppendError::Invalid(InvalidBatch::TooLarge { .. }) => ErrorCode::UnknownServerError,
        AppendError::Invalid(_) => ErrorCode::UnknownServerError,
    }
}
