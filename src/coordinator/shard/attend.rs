//! What has no caller: loading, deadlines, commits that come late, and writing the view.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use felice_protocol::error::ErrorCode;
use tokio::{select, time::Instant};
use tracing::{debug, error, info};

use super::{
    Core, Missed, Shard, Work,
    active::{Active, Clock, Uncommitted},
};
use crate::{
    coordinator::{
        group::GroupMachine,
        journal::{LoadError, Loaded},
    },
    replica::NotSafe,
};

/// So many bytes of changes are worth writing into the view.
const VIEW_BATCH: usize = 4 << 20;
/// Between two attempts to load a log that cannot be read.
const RELOAD_DELAY: Duration = Duration::from_secs(1);

enum Event {
    Load,
    Look,
    WriteView,
    Committed(Result<(), NotSafe>),
    End,
}

impl Shard {
    /// Loads the log, and does what has no caller, until the shard ends.
    pub async fn attend(self: Arc<Self>) {
        let mut writing = None;
        loop {
            match self.next_event().await {
                Event::Load => self.load().await,
                Event::Look => self.work_off(),
                Event::WriteView => {
                    writing = Some(tokio::task::spawn_blocking(self.write_view()));
                }
                Event::Committed(result) => self.committed(result),
                Event::End => break,
            }
        }
        let in_flight = writing.filter(|writing| !writing.is_finished());
        let last = self.write_view();
        // Nobody is answered any more, so that nothing is added to what is written here.
        self.finish(ErrorCode::NotCoordinator);
        let was_written = match in_flight {
            Some(writing) => writing.await.unwrap_or(false),
            None => true,
        };
        // Else the view would tell of a position, and not have all that was before it.
        if was_written {
            let _ = tokio::task::spawn_blocking(last).await;
        }
    }

    /// Takes what the view does not have, for the caller to write where it may take its time. What that returns is whether it could.
    fn write_view(self: &Arc<Self>) -> impl FnOnce() -> bool + Send + use<> {
        let mut taken = None;
        if let Core::Active(active) = &mut *self.core.lock() {
            // A transaction that is open would be missing from it.
            if !active.changes.is_empty() && active.committed.pending.is_empty() {
                taken = Some((mem::take(&mut active.changes), active.position, active.resets));
            }
            active.write_view_at = usize::MAX;
        }
        let shard = Arc::clone(self);
        move || {
            let Some((changes, position, resets)) = taken else {
                shard.allow_view(VIEW_BATCH);
                return true;
            };
            let written = match shard.journal.partition.flush_for_view() {
                // Then the log may not have them, and its groups are loaded anew.
                _ if shard.journal.partition.resets() != resets => Err("the log was opened again".to_owned()),
                Ok(end) if end >= position.offset => {
                    shard.view.write(&changes, position).map_err(|error| error.to_string())
                }
                Ok(_) => Err("it was not flushed".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            let Err(why) = written else {
                shard.allow_view(VIEW_BATCH);
                return true;
            };
            debug!(partition = %shard.journal.partition.name(), "the view was not written, and will be later: {why}");
            let mut core = shard.core.lock();
            if let Core::Active(active) = &mut *core
                && active.resets == resets
            {
                let later = mem::replace(&mut active.changes, changes);
                active.changes.extend(later);
                // Not at once again.
                active.write_view_at = active.changes.bytes().saturating_mul(2).max(VIEW_BATCH);
            }
            drop(core);
            shard.work_off();
            false
        }
    }

    pub(super) fn allow_view(&self, at: usize) {
        if let Core::Active(active) = &mut *self.core.lock() {
            active.write_view_at = at;
        }
        self.work_off();
    }

    async fn next_event(&self) -> Event {
        let woken = self.wake.notified();
        let (pending, sleep) = {
            let mut core = self.core.lock();
            match &mut *core {
                Core::Loading(_) => return if self.ending.is_cancelled() { Event::End } else { Event::Load },
                Core::Ended(_) => return Event::End,
                Core::Active(active) => {
                    if active.changes.bytes() >= active.write_view_at {
                        return Event::WriteView;
                    }
                    // First: where the clock was set, so are the deadlines.
                    let now = active.now(&self.around.env);
                    active.wakes_at = active.machine.next_deadline();
                    let in_trouble = self.journal.partition.trouble(now).is_some();
                    let sleep = active.wakes_at.map(|at| {
                        let left = Duration::from_millis(u64::try_from(at.0 - now.0).unwrap_or(0));
                        if in_trouble { left.max(RELOAD_DELAY) } else { left }
                    });
                    (active.pending.front().map(|first| first.pending), sleep)
                }
            }
        };
        // Commands that came while the lock was held here. Others have their turn, too, who wait for a commit.
        if !self.queue.lock().work.is_empty() {
            self.wake.notify_one();
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
                    *core = active.begin_anew(ErrorCode::CoordinatorNotAvailable);
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
                let machine = GroupMachine::load(
                    Arc::clone(&self.around.settings),
                    state.clone(),
                    wall,
                    &self.around.quorum.image(),
                );
                let active = Active {
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
                };
                let before = mem::replace(&mut *self.core.lock(), Core::Active(Box::new(active)));
                if let Core::Loading(Missed { is_late, deleted }) = before
                    && (is_late || !deleted.is_empty())
                {
                    self.queue.lock().work.push(Work::TopicsChanged { deleted: deleted.into() });
                }
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

    pub(super) fn finish(self: &Arc<Self>, error: ErrorCode) {
        let before = mem::replace(&mut *self.core.lock(), Core::Ended(error));
        if let Core::Active(mut active) = before {
            active.refuse_all(error);
        }
        self.work_off();
    }
}
