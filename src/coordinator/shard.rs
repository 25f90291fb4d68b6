//! One coordinator: a state machine over one partition, and whoever waits for it.
//!
//! Whoever has a command puts it into the queue. One of those carries out all that is queued, with one append for as many as there
//! are, on its own thread; the others need not wait for the lock. A task for each shard does what has no caller: loading, deadlines,
//! and answers that wait until an append is committed.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use felice_protocol::{error::ErrorCode, messages::list_groups::ListedGroup, record::InvalidBatch};
use parking_lot::Mutex;
use tokio::{
    select,
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    group::{Answer, CallId, Caller, Command, GroupMachine, GroupSettings, Out, Query, State},
    journal::{Encoded, Journal, LoadError, Loaded},
    view::{Changes, View},
};
use crate::{
    env::SharedEnv,
    model::Offset,
    model::Timestamp,
    quorum::Quorum,
    replica::{AppendError, NotSafe, Pending, Position},
    store::SharedStore,
};

/// A clock that runs so much faster or slower than time does was set, in milliseconds.
const CLOCK_STEP_MS: i64 = 1_000;
/// Deadlines that are met at once before others have their turn.
const DEADLINES_AT_ONCE: usize = 1_000;
/// So many bytes of changes are worth writing into the view.
const VIEW_BATCH: usize = 4 << 20;
/// Deleted topics that are remembered.
const DELETED_TOPICS_MAX: usize = 10_000;
/// Between two attempts to load a log that cannot be read.
const RELOAD_DELAY: Duration = Duration::from_secs(1);

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
    Loading,
    Active(Box<Active>),
    Ended(ErrorCode),
}

struct Active {
    machine: GroupMachine,
    /// What clients may be told.
    committed: State,
    /// Appended and not committed, in the order of the log.
    pending: VecDeque<Uncommitted>,
    calls: HashMap<CallId, Waiting>,
    clock: Clock,
    /// The last ones: where the removal of their offsets is lost, it has to begin anew.
    deleted_topics: VecDeque<Arc<str>>,
    /// How far `committed` is.
    position: Position,
    /// What `committed` has and the view has not.
    changes: Changes,
    /// From so many bytes of changes on they are written into the view.
    write_view_at: usize,
    /// The partition's when this was loaded.
    resets: u64,
    /// What the task sleeps until.
    wakes_at: Option<Timestamp>,
}

struct Uncommitted {
    pending: Pending,
    state: State,
    end: Offset,
    changes: Changes,
    answers: Vec<(CallId, Answer)>,
}

/// A call without an answer, and what it is answered where the shard ends.
struct Waiting {
    reply: oneshot::Sender<Answer>,
    refused: Option<Answer>,
}

struct Clock {
    wall: Timestamp,
    at: Instant,
}

/// Decisions on their way into one append.
struct Round {
    encoded: Encoded,
    answers: Vec<(CallId, Answer)>,
    /// Before the first of them.
    base: State,
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
            core: Mutex::new(Core::Loading),
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
            Core::Loading | Core::Ended(_) => None,
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
    fn work_off(self: &Arc<Self>) {
        loop {
            let Some(mut core) = self.core.try_lock() else { return };
            let work = mem::take(&mut self.queue.lock().work);
            self.carry_out(&mut core, work);
            drop(core);
            // Whoever came while the lock was held has gone away again, and relies on this.
            if self.queue.lock().work.is_empty() {
                return;
            }
        }
    }

    fn carry_out(&self, core: &mut Core, work: Vec<Work>) {
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

    /// The settings of groups, with what the topic's own allow. A change of these is seen when the groups are loaded anew.
    fn settings(&self) -> Arc<GroupSettings> {
        let settings = &self.around.settings;
        let record_max_bytes = self.journal.batch_max();
        if record_max_bytes == settings.record_max_bytes {
            return Arc::clone(settings);
        }
        Arc::new(GroupSettings { record_max_bytes, ..GroupSettings::clone(settings) })
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

    fn commit(&self, active: &mut Active, state: State, end: Offset, changes: Changes, answers: Vec<(CallId, Answer)>) {
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

    /// Loads the log, and does what has no caller, until the shard ends.
    pub async fn attend(self: Arc<Self>) {
        loop {
            match self.next_event().await {
                Event::Load => self.load().await,
                Event::Look => self.work_off(),
                Event::WriteView => {
                    let writing = self.write_view();
                    tokio::task::spawn_blocking(writing);
                }
                Event::Committed(result) => self.committed(result),
                Event::End => break,
            }
        }
        let writing = self.write_view();
        // Nobody is answered any more, so that nothing is added to what is written here.
        self.finish(ErrorCode::NotCoordinator);
        let _ = tokio::task::spawn_blocking(writing).await;
    }

    /// Takes what the view does not have, for the caller to write where it may take its time.
    fn write_view(self: &Arc<Self>) -> impl FnOnce() + Send + use<> {
        let mut taken = None;
        if let Core::Active(active) = &mut *self.core.lock() {
            // A transaction that is open would be missing from it.
            if !active.changes.is_empty() && active.committed.pending.is_empty() {
                taken = Some((mem::take(&mut active.changes), active.position));
            }
            active.write_view_at = usize::MAX;
        }
        let shard = Arc::clone(self);
        move || {
            let Some((changes, position)) = taken else { return shard.allow_view(VIEW_BATCH) };
            let written = match shard.journal.partition.flush_for_view() {
                Ok(end) if end >= position.offset => {
                    shard.view.write(&changes, position).map_err(|error| error.to_string())
                }
                Ok(_) => Err("it was not flushed".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            let Err(why) = written else { return shard.allow_view(VIEW_BATCH) };
            debug!(partition = %shard.journal.partition.name(), "the view was not written, and will be later: {why}");
            let mut core = shard.core.lock();
            if let Core::Active(active) = &mut *core {
                let later = mem::replace(&mut active.changes, changes);
                active.changes.extend(later);
                // Not at once again.
                active.write_view_at = active.changes.bytes().saturating_mul(2).max(VIEW_BATCH);
            }
        }
    }

    fn allow_view(&self, at: usize) {
        if let Core::Active(active) = &mut *self.core.lock() {
            active.write_view_at = at;
        }
    }

    async fn next_event(&self) -> Event {
        let woken = self.wake.notified();
        let (pending, sleep) = {
            let mut core = self.core.lock();
            match &mut *core {
                Core::Loading => return if self.ending.is_cancelled() { Event::End } else { Event::Load },
                Core::Ended(_) => return Event::End,
                Core::Active(active) => {
                    if active.changes.bytes() >= active.write_view_at {
                        return Event::WriteView;
                    }
                    active.wakes_at = active.machine.next_deadline();
                    let now = active.now(&self.around.env);
                    let in_trouble = self.journal.partition.trouble(now).is_some();
                    let sleep = active.wakes_at.map(|at| {
                        let left = Duration::from_millis(u64::try_from(at.0 - now.0).unwrap_or(0));
                        if in_trouble { left.max(RELOAD_DELAY) } else { left }
                    });
                    (active.pending.front().map(|first| first.pending), sleep)
                }
            }
        };
        // Commands that came while the lock was held here.
        if !self.queue.lock().work.is_empty() {
            return Event::Look;
        }
        select! {
            () = self.ending.cancelled() => Event::End,
            () = woken => Event::Look,
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => Event::Look,
            result = async {
                match pending {
                    Some(pending) => self.journal.partition.reached(pending).await,
                    None => std::future::pending().await,
                }
            } => Event::Committed(result),
        }
    }

    /// What was appended first of what waits is committed, or will never be.
    fn committed(self: &Arc<Self>, result: Result<(), NotSafe>) {
        {
            let mut core = self.core.lock();
            let Core::Active(active) = &mut *core else { return };
            match result {
                Ok(()) => {
                    if let Some(Uncommitted { state, end, changes, answers, .. }) = active.pending.pop_front() {
                        self.commit(active, state, end, changes, answers);
                    }
                }
                Err(NotSafe::NotLeader) => {
                    active.refuse_all(ErrorCode::NotCoordinator);
                    *core = Core::Ended(ErrorCode::NotCoordinator);
                }
                // What is in the log will be seen when its disk is well again.
                Err(NotSafe::Storage) => {
                    active.refuse_all(ErrorCode::CoordinatorNotAvailable);
                    *core = Core::Loading;
                }
            }
        }
        self.work_off();
    }

    async fn load(self: &Arc<Self>) {
        let begun = Instant::now();
        let shard = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || {
            let resets = shard.journal.partition.resets();
            let loaded = shard.journal.load(&shard.view, shard.around.load_bytes, || !shard.ending.is_cancelled());
            loaded.map(|loaded| (loaded, resets))
        });
        let error = match loaded.await {
            Ok(Ok((Loaded { state, position, changes }, resets))) => {
                // Nobody may be told of what is not committed yet.
                let committed = select! {
                    () = self.ending.cancelled() => Err(NotSafe::NotLeader),
                    committed = self.journal.partition.committed_to(position.offset, self.journal.leader_epoch) => committed,
                };
                match committed {
                    Ok(()) => {}
                    Err(NotSafe::NotLeader) => return self.finish(ErrorCode::NotCoordinator),
                    Err(NotSafe::Storage) => return self.wait_to_reload("the disk failed").await,
                }
                let groups = state.classic.size() + state.consumer.size();
                let took = begun.elapsed();
                if took > Duration::from_secs(1) {
                    info!(partition = %self.journal.partition.name(), groups, "groups loaded in {:.1} s", took.as_secs_f64());
                }
                let wall = self.around.env.now();
                let machine = GroupMachine::load(self.settings(), state.clone(), wall, &self.around.quorum.image());
                *self.core.lock() = Core::Active(Box::new(Active {
                    machine,
                    committed: state,
                    pending: VecDeque::new(),
                    deleted_topics: VecDeque::new(),
                    position,
                    changes,
                    write_view_at: VIEW_BATCH,
                    calls: HashMap::new(),
                    clock: Clock { wall, at: Instant::now() },
                    resets,
                    wakes_at: None,
                }));
                self.work_off();
                return;
            }
            Ok(Err(LoadError::NotLeader | LoadError::Stopping)) => return self.finish(ErrorCode::NotCoordinator),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.wait_to_reload(&error).await;
    }

    async fn wait_to_reload(self: &Arc<Self>, why: &str) {
        error!(partition = %self.journal.partition.name(), "groups cannot be loaded: {why}");
        select! {
            () = self.ending.cancelled() => self.finish(ErrorCode::NotCoordinator),
            () = tokio::time::sleep(RELOAD_DELAY) => {}
        }
    }

    fn finish(self: &Arc<Self>, error: ErrorCode) {
        let before = mem::replace(&mut *self.core.lock(), Core::Ended(error));
        if let Core::Active(mut active) = before {
            active.refuse_all(error);
        }
        self.work_off();
    }
}

enum Event {
    Load,
    Look,
    WriteView,
    Committed(Result<(), NotSafe>),
    End,
}

impl Active {
    fn begin_round(&self) -> Round {
        Round { encoded: Encoded::default(), answers: Vec::new(), base: self.machine.state().clone() }
    }

    fn now(&mut self, env: &SharedEnv) -> Timestamp {
        let (wall, at) = (env.now(), Instant::now());
        let passed = i64::try_from(at.duration_since(self.clock.at).as_millis()).unwrap_or(i64::MAX);
        let step = wall.0.saturating_sub(self.clock.wall.0.saturating_add(passed));
        if step.abs() > CLOCK_STEP_MS {
            self.machine.clock_was_set(step);
        }
        self.clock = Clock { wall, at };
        wall
    }

    fn answer(&mut self, answers: Vec<(CallId, Answer)>) {
        for (call, answer) in answers {
            if let Some(waiting) = self.calls.remove(&call) {
                // Who has gone away does not hear it.
                let _ = waiting.reply.send(answer);
            }
        }
    }

    fn answer_failed(&mut self, answers: Vec<(CallId, Answer)>, error: ErrorCode) {
        self.answer(answers.into_iter().map(|(call, answer)| (call, answer.failed(error))).collect());
    }

    /// Those who wait for something else than a commit.
    fn refuse_all_but_pending(&mut self, error: ErrorCode) {
        let pending: std::collections::HashSet<CallId> =
            self.pending.iter().flat_map(|pending| pending.answers.iter().map(|(call, _)| *call)).collect();
        for (call, waiting) in mem::take(&mut self.calls) {
            if pending.contains(&call) {
                self.calls.insert(call, waiting);
            } else if let Some(answer) = waiting.refused {
                let _ = waiting.reply.send(answer.failed(error));
            }
        }
    }

    fn refuse_all(&mut self, error: ErrorCode) {
        for uncommitted in mem::take(&mut self.pending) {
            self.answer_failed(uncommitted.answers, error);
        }
        self.refuse_all_but_pending(error);
    }
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
            // Whoever loads looks at the topics as they are then.
            Work::TopicsChanged { .. } => {}
        }
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
