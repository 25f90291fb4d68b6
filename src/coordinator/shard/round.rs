//! Decisions and what becomes of them: many are made at once, share an append, and are answered when that is committed.

use std::mem;

use felice_protocol::{coordinator::GroupRecord, error::ErrorCode, record::InvalidBatch};
use tracing::{debug, error, warn};

use super::{
    Core, Shard, Work,
    active::{Active, Uncommitted, Waiting},
    refuse, remember_deleted,
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

/// Decisions on their way into one append. Answers are only those that wait for its records.
struct Round {
    encoded: Encoded,
    answers: Vec<(CallId, Answer)>,
    /// Before the first of them.
    base: State,
    /// All records are of committed offsets.
    is_of_offsets: bool,
}

/// What was decided after `base` has never been.
struct Lost {
    base: State,
    is_of_offsets: bool,
    error: ErrorCode,
}

impl Round {
    fn after(base: State) -> Round {
        Round { encoded: Encoded::default(), answers: Vec::new(), base, is_of_offsets: true }
    }
}

impl Shard {
    pub(super) fn carry_out(&self, core: &mut Core, work: Vec<Work>) {
        let active = match core {
            Core::Active(active) => active,
            Core::Loading(missed) => {
                missed.note(&work);
                return refuse(work, ErrorCode::CoordinatorLoadInProgress);
            }
            Core::Ended(error) => return refuse(work, *error),
        };
        if self.journal.partition.resets() != active.resets {
            warn!(partition = %self.journal.partition.name(), "the log was opened again after its disk had failed: its groups are loaded anew");
            *core = active.begin_anew(ErrorCode::CoordinatorLoadInProgress);
            self.wake.notify_one();
            return self.carry_out(core, work);
        }
        let image = self.around.quorum.image();
        let now = active.now(&self.around.env);
        let in_trouble = self.journal.partition.trouble(now).is_some();
        active.machine.set_record_max_bytes(self.journal.batch_max());
        let mut round = Round::after(active.machine.state().clone());
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
                    remember_deleted(&mut active.deleted_topics, &deleted);
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
        if let Err(lost) = self.append(active, round, state, now) {
            self.fall_back(active, lost, now);
        }
        let view_is_due = active.changes.bytes() >= active.write_view_at;
        if !active.pending.is_empty() || view_is_due || is_earlier(active.machine.next_deadline(), active.wakes_at) {
            self.wake.notify_one();
        }
    }

    /// Takes a decision, made against `before`, into the round. What does not fit one batch goes into several where it may, and else
    /// into one of its own, which may be refused.
    fn take_in(&self, active: &mut Active, round: &mut Round, before: State, out: Out, now: Timestamp) {
        let Out { records, answers, is_divisible } = out;
        let is_of_offsets = records.iter().all(|record| matches!(record, GroupRecord::OffsetCommit(..)));
        let taken = match Encoded::of(&records) {
            Ok(encoded) if is_divisible => {
                let parts = records.iter().zip(encoded.split()).map(|(record, part)| (part, Some(record)));
                self.take_parts(active, round, before, parts, is_of_offsets, now)
            }
            Ok(encoded) => self.take_parts(active, round, before, [(encoded, None)], is_of_offsets, now),
            Err(why) => {
                error!(partition = %self.journal.partition.name(), "a group's record cannot be written: {why}");
                let full = mem::replace(round, Round::after(before.clone()));
                let appended = self.append(active, full, before.clone(), now);
                appended.and(Err(Lost { base: before, is_of_offsets, error: ErrorCode::UnknownServerError }))
            }
        };
        match taken {
            // It waits for nothing that may still be lost.
            Ok(()) if round.encoded.is_empty() => active.answer_committed(answers),
            Ok(()) => round.answers.extend(answers),
            Err(lost) => {
                // Before those who wait are told that their calls are lost: it is not only they who have no answer.
                active.answer_failed(answers, lost.error);
                self.fall_back(active, Lost { is_of_offsets: lost.is_of_offsets && is_of_offsets, ..lost }, now);
                *round = Round::after(active.machine.state().clone());
            }
        }
    }

    /// Takes the parts of a decision, which has led on from `state`, into the round, and appends what is full by then. The round may
    /// end within the decision where a part comes with its record.
    fn take_parts<'a>(
        &self,
        active: &mut Active,
        round: &mut Round,
        mut state: State,
        parts: impl IntoIterator<Item = (Encoded, Option<&'a GroupRecord>)>,
        is_of_offsets: bool,
        now: Timestamp,
    ) -> Result<(), Lost> {
        let batch_max = self.journal.batch_max();
        for (part, record) in parts {
            if !round.encoded.is_empty() && round.encoded.size() + part.size() > batch_max {
                let full = mem::replace(round, Round::after(state.clone()));
                self.append(active, full, state.clone(), now)?;
            }
            round.encoded.extend(part);
            round.is_of_offsets &= is_of_offsets;
            if let Some(record) = record {
                state.apply(None, record);
            }
        }
        // More than is let in, unless it is compressed well. With others it would be they who are refused.
        if round.encoded.size() > batch_max {
            let state = active.machine.state().clone();
            let large = mem::replace(round, Round::after(state.clone()));
            self.append(active, large, state, now)?;
        }
        Ok(())
    }

    /// Appends a round, which leads to `state`: the machine may have decided more by now. Where that fails its callers are told; the
    /// machine has yet to fall back.
    fn append(&self, active: &mut Active, round: Round, state: State, now: Timestamp) -> Result<(), Lost> {
        let Round { encoded, answers, base, is_of_offsets } = round;
        if encoded.is_empty() {
            debug_assert!(answers.is_empty());
            return Ok(());
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
                Ok(())
            }
            Err(why) => {
                debug!(partition = %self.journal.partition.name(), "groups' records were not appended: {why}");
                if matches!(why, AppendError::Invalid(_)) {
                    warn!(partition = %self.journal.partition.name(), "what a group would write is refused: {why}");
                }
                let error = append_code(&why);
                active.answer_failed(answers, error);
                Err(Lost { base, is_of_offsets, error })
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

    /// What is lost has not happened. Whoever waits for what may have been of it looks for its coordinator again.
    fn fall_back(&self, active: &mut Active, lost: Lost, now: Timestamp) {
        let Lost { base, is_of_offsets, error } = lost;
        let deleted_topics = active.deleted_topics.iter().cloned();
        if is_of_offsets {
            return active.machine.fall_back_in_offsets(base, now, deleted_topics);
        }
        active.machine.fall_back(base, now, &self.around.quorum.image(), deleted_topics);
        // Who asks for too much is told so; the others ask again.
        let again = if error == ErrorCode::UnknownServerError { ErrorCode::CoordinatorNotAvailable } else { error };
        active.refuse_all_but_pending(again);
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
