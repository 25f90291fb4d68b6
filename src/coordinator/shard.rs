//! One coordinator: a state machine over one partition, and whoever waits for it.
//!
//! Whoever has a command puts it into the queue. One of those carries out all that is queued, with one append for as many as there
//! are, on its own thread; the others need not wait for the lock. A task for each shard does what has no caller: loading, deadlines,
//! and answers that wait until an append is committed.

mod active;
mod attend;
mod round;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem, sync::Arc};

use felice_protocol::{error::ErrorCode, messages::list_groups::ListedGroup};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use self::active::Active;
use super::{
    group::{Answer, CallId, Caller, Command, GroupSettings, Query, State},
    journal::Journal,
    view::View,
};
use crate::{env::SharedEnv, quorum::Quorum, store::SharedStore};

/// Rounds that a caller carries out for others, who keep coming, before the task has to: it has an answer of its own to send.
const ROUNDS_AT_ONCE: usize = 16;
/// Deleted topics that are remembered.
const DELETED_TOPICS_MAX: usize = 10_000;

/// What shards share.
pub struct Surroundings {
    pub env: SharedEnv,
    pub quorum: Arc<Quorum>,
    /// Has the views.
    pub store: SharedStore,
    pub settings: Arc<GroupSettings>,
    /// `offsets.load.buffer.size`
    pub load_bytes: usize,
}

/// The coordinator of one partition's groups.
pub struct Shard {
    journal: Journal,
    view: View,
    around: Arc<Surroundings>,
    queue: Mutex<Queue>,
    core: Mutex<Core>,
    /// The task has something new to look at.
    wake: Notify,
    /// Ends the shard: the partition is led elsewhere, or the broker stops.
    ending: CancellationToken,
}

#[derive(Default)]
struct Queue {
    work: Vec<Work>,
    calls: u64,
}

enum Work {
    Command { caller: Caller, command: Command, reply: oneshot::Sender<Answer> },
    Query { query: Query, reply: oneshot::Sender<Result<Answer, ErrorCode>> },
    TopicsChanged { deleted: Vec<Arc<str>> },
}

enum Core {
    /// Reads its log.
    Loading(Missed),
    Active(Box<Active>),
    Ended(ErrorCode),
}

/// What was told of topics while nobody could look at them.
#[derive(Default)]
struct Missed {
    /// Topics have changed since the log began to be read, so that what is made of it has not seen that.
    is_late: bool,
    deleted: VecDeque<Arc<str>>,
}

/// Who calls, without what is made up here.
#[derive(Debug, Clone)]
pub struct NewCall {
    pub version: i16,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
}

/// What comes of a command.
pub enum Answered {
    Now(Answer),
    /// The group waits for others, or the log for its disk or replicas. Where the sender is gone the broker is about to be, too.
    Later(oneshot::Receiver<Answer>),
}

impl Shard {
    pub fn new(journal: Journal, around: Arc<Surroundings>, ending: CancellationToken) -> Arc<Shard> {
        let view = View::new(Arc::clone(&around.store), journal.partition.id());
        Arc::new(Shard {
            journal,
            view,
            around,
            queue: Mutex::default(),
            core: Mutex::new(Core::Loading(Missed::default())),
            wake: Notify::new(),
            ending,
        })
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Has nobody wait any more.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Carries a command out.
    pub fn submit(self: &Arc<Self>, call: NewCall, command: Command) -> Answered {
        let (reply, mut answer) = oneshot::channel();
        let fresh = self.around.env.uuid();
        let mut queue = self.queue.lock();
        queue.calls += 1;
        let NewCall { version, client_id, client_host } = call;
        let caller = Caller { call: CallId(queue.calls), version, client_id, client_host, fresh };
        queue.work.push(Work::Command { caller, command, reply });
        drop(queue);
        self.work_off();
        match answer.try_recv() {
            Ok(answer) => Answered::Now(answer),
            Err(_) => Answered::Later(answer),
        }
    }

    /// Looks something up in what is committed.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR.
    pub async fn query(self: &Arc<Self>, query: Query) -> Result<Answer, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        self.queue.lock().work.push(Work::Query { query, reply });
        self.work_off();
        answer.await.unwrap_or(Err(ErrorCode::NotCoordinator))
    }

    /// What is committed, and the groups with their states, as of now; `None` where that is not loaded.
    pub fn seen(self: &Arc<Self>) -> Option<(State, Vec<ListedGroup>)> {
        let mut core = self.core.lock();
        let seen = match &mut *core {
            Core::Active(active) => {
                let everything = Query::ListGroups { states: Vec::new(), types: Vec::new() };
                let (now, image) = (active.now(&self.around.env), self.around.quorum.image());
                match active.machine.query(now, &active.committed, &image, &everything) {
                    Answer::ListGroups(listed) => Some((active.committed.clone(), listed)),
                    _ => None,
                }
            }
            Core::Loading(_) | Core::Ended(_) => None,
        };
        drop(core);
        // For those who came meanwhile.
        self.work_off();
        seen
    }

    /// Topics were made, have grown or are gone, or settings of groups have changed. Looked at by the task, since whoever tells
    /// must not be held up.
    pub fn topics_changed(&self, deleted: Vec<Arc<str>>) {
        self.queue.lock().work.push(Work::TopicsChanged { deleted });
        self.wake.notify_one();
    }

    /// Sees to it that the queue is worked off, by this thread or by another that is at it.
    ///
    /// To be called by everyone who has held `core`, after that: whoever came meanwhile has gone away again, and relies on it.
    fn work_off(&self) {
        let mut rounds = 0;
        loop {
            let Some(mut core) = self.core.try_lock() else { return };
            let work = mem::take(&mut self.queue.lock().work);
            self.carry_out(&mut core, work);
            rounds += 1;
            let is_attended = matches!(&*core, Core::Active(_));
            drop(core);
            if self.queue.lock().work.is_empty() {
                return;
            }
            if is_attended && rounds >= ROUNDS_AT_ONCE {
                return self.wake.notify_one();
            }
        }
    }
}

impl Missed {
    fn note(&mut self, work: &[Work]) {
        for work in work {
            if let Work::TopicsChanged { deleted } = work {
                self.is_late = true;
                remember_deleted(&mut self.deleted, deleted);
            }
        }
    }
}

fn remember_deleted(deleted_topics: &mut VecDeque<Arc<str>>, deleted: &[Arc<str>]) {
    deleted_topics.extend(deleted.iter().cloned());
    let too_many = deleted_topics.len().saturating_sub(DELETED_TOPICS_MAX);
    deleted_topics.drain(..too_many);
}

fn refuse(work: Vec<Work>, error: ErrorCode) {
    for work in work {
        match work {
            Work::Command { command, reply, .. } => {
                let _ = reply.send(command.refused(error));
            }
            Work::Query { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Work::TopicsChanged { .. } => {}
        }
    }
}
