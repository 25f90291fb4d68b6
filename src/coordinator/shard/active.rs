//! What a coordinator has while its log is loaded.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::Arc,
};

use felice_protocol::error::ErrorCode;
use tokio::{sync::oneshot, time::Instant};

use super::{Core, Missed};
use crate::{
    coordinator::{
        group::{Answer, CallId, GroupMachine, State},
        view::Changes,
    },
    env::SharedEnv,
    model::{Offset, Timestamp},
    replica::{Pending, Position},
};

/// A clock that runs so much faster or slower than time does was set, in milliseconds.
const CLOCK_STEP_MS: i64 = 1_000;

/// A task that sleeps so much longer than it meant to was held up, in milliseconds: with its process, or with the whole machine.
const STALL_MS: i64 = 1_000;

pub(super) struct Active {
    pub machine: GroupMachine,
    /// What clients may be told.
    pub committed: State,
    /// Appended and not committed, in the order of the log.
    pub pending: VecDeque<Uncommitted>,
    pub calls: HashMap<CallId, Waiting>,
    pub clock: Clock,
    /// The last ones: where the removal of their offsets is lost, it has to begin anew.
    pub deleted_topics: VecDeque<Arc<str>>,
    /// How far `committed` is.
    pub position: Position,
    /// What `committed` has and the view has not.
    pub changes: Changes,
    /// From so many bytes of changes on they are written into the view.
    pub write_view_at: usize,
    /// The partition's when this was loaded.
    pub resets: u64,
    /// What the task sleeps until.
    pub wakes_at: Option<Timestamp>,
}

pub(super) struct Uncommitted {
    pub pending: Pending,
    pub state: State,
    pub end: Offset,
    pub changes: Changes,
    pub answers: Vec<(CallId, Answer)>,
}

/// A call without an answer, and what it is answered where the shard ends.
pub(super) struct Waiting {
    pub reply: oneshot::Sender<Answer>,
    pub refused: Option<Answer>,
}

pub(super) struct Clock {
    pub wall: Timestamp,
    pub at: Instant,
}

impl Active {
    pub(super) fn now(&mut self, env: &SharedEnv) -> Timestamp {
        let (wall, at) = (env.now(), Instant::now());
        let passed = i64::try_from(at.duration_since(self.clock.at).as_millis()).unwrap_or(i64::MAX);
        let step = wall.0.saturating_sub(self.clock.wall.0.saturating_add(passed));
        if step.abs() > CLOCK_STEP_MS {
            self.put_off(step);
        }
        // What members have sent meanwhile is not read yet, which takes a moment: they would all be taken for dead.
        let late = self.wakes_at.map_or(0, |at| wall.0.saturating_sub(at.0));
        if late > STALL_MS {
            self.put_off(late.saturating_add(STALL_MS));
        }
        self.clock = Clock { wall, at };
        wall
    }

    fn put_off(&mut self, by_ms: i64) {
        self.machine.clock_was_set(by_ms);
        self.wakes_at = self.wakes_at.map(|at| Timestamp(at.0.saturating_add(by_ms)));
    }

    pub(super) fn answer(&mut self, answers: Vec<(CallId, Answer)>) {
        for (call, answer) in answers {
            if let Some(waiting) = self.calls.remove(&call) {
                // Who has gone away does not hear it.
                let _ = waiting.reply.send(answer);
            }
        }
    }

    /// Once all is committed that was appended by now, of which these may tell.
    pub(super) fn answer_committed(&mut self, answers: Vec<(CallId, Answer)>) {
        match self.pending.back_mut() {
            Some(last) => last.answers.extend(answers),
            None => self.answer(answers),
        }
    }

    pub(super) fn answer_failed(&mut self, answers: Vec<(CallId, Answer)>, error: ErrorCode) {
        self.answer(answers.into_iter().map(|(call, answer)| (call, answer.failed(error))).collect());
    }

    /// Those who wait for something else than a commit.
    pub(super) fn refuse_all_but_pending(&mut self, error: ErrorCode) {
        let pending: HashSet<CallId> =
            self.pending.iter().flat_map(|pending| pending.answers.iter().map(|(call, _)| *call)).collect();
        for (call, waiting) in mem::take(&mut self.calls) {
            if pending.contains(&call) {
                self.calls.insert(call, waiting);
            } else if let Some(answer) = waiting.refused {
                let _ = waiting.reply.send(answer.failed(error));
            }
        }
    }

    /// What takes the place of this while the log is read again.
    pub(super) fn begin_anew(&mut self, error: ErrorCode) -> Core {
        self.refuse_all(error);
        Core::Loading(Missed { is_late: false, deleted: mem::take(&mut self.deleted_topics) })
    }

    pub(super) fn refuse_all(&mut self, error: ErrorCode) {
        for uncommitted in mem::take(&mut self.pending) {
            self.answer_failed(uncommitted.answers, error);
        }
        self.refuse_all_but_pending(error);
    }
}
