//! The health of a data folder's disk: what appends ask before they write, and the thread that sees it heal.
//!
//! [`health`](super::health) judges; here are the clock, the disk and the lines in the log.

use std::{
    fmt::Display,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing::{error, info, warn};

use super::health::{self, Room, Space, Trust, Verified};
use crate::{
    env::{self, SharedDisk, SharedEnv},
    model::{Timestamp, TopicPartition},
    store::SharedStore,
};

/// How often a full disk is looked at.
const FULL_INTERVAL: Duration = Duration::from_millis(250);
/// Looking is put off by no more than this, in milliseconds, whatever becomes of the clock.
const LOOK_MS_MAX: i64 = 1000;

/// Why nothing is written to a data folder for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the disk of the data folder is full")]
    Full,
    #[error("the disk of the data folder has failed, and is being checked")]
    Suspect,
}

/// How a round of verifying went.
#[derive(Debug, Default)]
pub struct Round {
    /// Partitions whose log is good, since it was opened again or flushed.
    pub checked: usize,
    /// Partitions whose log is not good yet, and what one of them says.
    pub failed: usize,
    pub why: Option<String>,
}

/// What the partitions of a data folder share of its disk's state.
pub struct FolderHealth {
    dir: PathBuf,
    /// `log.dir.min.free.bytes`
    min_free_bytes: Option<u64>,
    disk: SharedDisk,
    store: SharedStore,
    env: SharedEnv,
    /// Free space is below the floor. Written while `state` is locked.
    is_full: AtomicBool,
    /// A flush has failed, and not everything is verified since. Written while `state` is locked.
    is_suspect: AtomicBool,
    /// When an append looks at the free space next, by the wall clock in milliseconds. There is no need before: no disk fills
    /// that fast.
    next_look: AtomicI64,
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    trust: Trust,
    stopped: bool,
}

impl FolderHealth {
    pub fn new(
        dir: PathBuf,
        min_free_bytes: Option<u64>,
        disk: SharedDisk,
        store: SharedStore,
        env: SharedEnv,
    ) -> FolderHealth {
        FolderHealth {
            dir,
            min_free_bytes,
            disk,
            store,
            env,
            is_full: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
            next_look: AtomicI64::new(i64::MIN),
            state: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::default(),
        }
    }

    /// Starts the thread that waits for a sick disk to get well. `verify` is one round: it tells whoever waits for the disk,
    /// flushes what was not flushed, and opens again what could not be.
    pub fn start(self: &Arc<Self>, verify: impl Fn() -> Round + Send + 'static) -> io::Result<()> {
        let health = Arc::clone(self);
        // As much as a recovery may need.
        let builder = thread::Builder::new().name("disk-health".to_owned()).stack_size(1 << 20);
        *self.thread.lock() = Some(builder.spawn(move || health.run(verify))?);
        Ok(())
    }

    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    /// Whether appends may be made now. Costs three loads, and now and then a look at the disk.
    pub fn check(&self, now: Timestamp) -> Result<(), Trouble> {
        if self.is_suspect() {
            return Err(Trouble::Suspect);
        }
        if self.is_full.load(Ordering::Acquire) {
            return Err(Trouble::Full);
        }
        let next = self.next_look.load(Ordering::Relaxed);
        let is_due = now.0 >= next || next.saturating_sub(now.0) > LOOK_MS_MAX;
        let meanwhile = now.0.saturating_add(LOOK_MS_MAX);
        // One of those who come at the same time looks.
        if is_due && self.next_look.compare_exchange(next, meanwhile, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return if self.is_low(now) { Err(Trouble::Full) } else { Ok(()) };
        }
        Ok(())
    }

    /// Whether nothing may be acknowledged: a flush has failed, and not everything is verified since.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Acquire)
    }

    /// Whether free space is below the floor.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// The space on the disk, as it is now.
    pub fn space(&self) -> io::Result<env::Space> {
        self.disk.space(&self.dir)
    }

    /// The log of `partition` is out of use, since its disk failed.
    pub fn fail(&self, partition: &TopicPartition, error: &dyn Display) {
        let mut state = self.state.lock();
        let is_news = state.trust.fail(self.env.now());
        self.is_suspect.store(true, Ordering::Release);
        drop(state);
        if is_news {
            let dir = self.dir.display();
            error!(%partition, "{dir}: nothing is acknowledged until all that may not be on the disk is checked: {error}");
            self.changed.notify_all();
        }
    }

    pub fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// Looks at the free space now. Tells of it where it has become too little, or enough.
    pub fn is_low(&self, now: Timestamp) -> bool {
        let state = self.state.lock();
        let was_low = self.is_full.load(Ordering::Acquire);
        // First: what is set aside now is no more available.
        let reserve_missing = self.store.reserve_missing();
        // A file system that does not tell is found full by the append that fails.
        let Ok(space) = self.disk.space(&self.dir) else { return was_low };
        let space = Space { available: space.available, total: space.total, reserve_missing };
        let is_low = match health::room(self.min_free_bytes, space, was_low) {
            Room::Enough { for_ms } => {
                self.next_look.store(now.0.saturating_add(for_ms), Ordering::Relaxed);
                false
            }
            Room::Low => true,
        };
        self.is_full.store(is_low, Ordering::Release);
        drop(state);
        let (dir, free) = (self.dir.display(), space.available >> 10);
        match (was_low, is_low) {
            (false, true) => {
                let floor = health::floor(self.min_free_bytes, space) >> 10;
                warn!("{dir}: the disk is full: {free} KiB free, nothing is appended below {floor} KiB");
                self.changed.notify_all();
            }
            (true, false) => info!("{dir}: there is space again: {free} KiB free, appends are taken"),
            _ => {}
        }
        is_low
    }

    fn run(&self, verify: impl Fn() -> Round) {
        let mut state = self.state.lock();
        while !state.stopped {
            let is_full = self.is_full.load(Ordering::Acquire);
            let round_in = state.trust.next_round(self.env.now());
            if round_in == Some(0) {
                state.trust.begin();
                drop(state);
                self.end_round(&verify());
                state = self.state.lock();
                continue;
            }
            let round_in = round_in.map(|ms| Duration::from_millis(ms.unsigned_abs()));
            match round_in.into_iter().chain(is_full.then_some(FULL_INTERVAL)).min() {
                Some(wait) => drop(self.changed.wait_for(&mut state, wait)),
                None => self.changed.wait(&mut state),
            }
            if is_full {
                drop(state);
                self.is_low(self.env.now());
                state = self.state.lock();
            }
        }
    }

    #[cfg(test)]
    pub fn begin_round(&self) {
        self.state.lock().trust.begin();
    }

    pub fn end_round(&self, round: &Round) {
        let verified = {
            let mut state = self.state.lock();
            let verified = state.trust.end(self.env.now(), round.failed == 0);
            self.is_suspect.store(!state.trust.is_good(), Ordering::Release);
            verified
        };
        let (dir, checked) = (self.dir.display(), round.checked);
        match verified {
            Verified::Good { after_ms } => {
                info!("{dir}: the data folder is good again after {}: {checked} partitions checked", seconds(after_ms));
            }
            Verified::Failed { retry_ms } => {
                let (failed, retry) = (round.failed, seconds(retry_ms));
                let why = round.why.as_deref().unwrap_or("another flush has failed");
                warn!("{dir}: the disk still fails, {failed} partitions wait for the next try in {retry}: {why}");
            }
        }
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        env::{SystemEnv, disk::sim::SimDisk},
        model::PartitionIndex,
        store::MapStore,
    };

    const MIB: u64 = 1 << 20;

    fn space(available: u64) -> crate::env::Space {
        crate::env::Space { available, total: 1024 * MIB }
    }

    #[test]
    fn appends_are_refused_below_the_floor_and_taken_again_once_there_is_space() {
        let disk = SimDisk::new(1);
        let shared: SharedDisk = disk.clone();
        let store = Arc::new(MapStore::new());
        let health = FolderHealth::new(PathBuf::from("/data"), None, shared, store, Arc::new(SystemEnv));
        let at = |ms| health.check(Timestamp(ms));
        disk.set_space(space(40 * MIB));
        assert_eq!(at(100), Ok(()));
        disk.set_space(space(31 * MIB));
        assert_eq!(at(100), Ok(()), "8 MiB are not written in no time");
        assert_eq!(at(101), Err(Trouble::Full));
        assert_eq!(at(101), Err(Trouble::Full));
        disk.set_space(space(33 * MIB));
        assert!(health.is_low(Timestamp(102)), "not yet");
        disk.set_space(space(48 * MIB));
        assert_eq!(at(103), Err(Trouble::Full), "nobody has looked");
        assert!(!health.is_low(Timestamp(103)));
        assert_eq!(at(103), Ok(()));
        disk.set_space(space(0));
        assert_eq!(at(-1_000_000), Err(Trouble::Full), "the clock was set back");
    }

    #[test]
    fn the_thread_sees_that_there_is_space_again() {
        let disk = SimDisk::new(1);
        let shared: SharedDisk = disk.clone();
        let store = Arc::new(MapStore::new());
        let health = FolderHealth::new(PathBuf::from("/data"), None, shared, store, Arc::new(SystemEnv));
        let health = Arc::new(health);
        health.start(Round::default).unwrap();
        disk.set_space(space(0));
        assert_eq!(health.check(Timestamp(1)), Err(Trouble::Full));
        disk.set_space(space(512 * MIB));
        let mut state = health.state.lock();
        while health.is_full.load(Ordering::Acquire) {
            // Woken by nobody: the thread's own look is what is waited for.
            health.changed.wait_for(&mut state, Duration::from_millis(5));
        }
        drop(state);
        health.stop();
    }

    #[test]
    fn a_folder_is_suspect_until_a_round_succeeds() {
        let disk: SharedDisk = SimDisk::new(1);
        let health = FolderHealth::new("/data".into(), None, disk, Arc::new(MapStore::new()), Arc::new(SystemEnv));
        let health = Arc::new(health);
        let (ask, asked) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let verify = move || {
            ask.send(()).unwrap();
            told.recv().unwrap()
        };
        health.start(verify).unwrap();
        let now = health.now();
        assert_eq!(health.check(now), Ok(()));
        let partition = TopicPartition { topic: "t".into(), partition: PartitionIndex(0) };
        health.fail(&partition, &"cannot flush");
        health.fail(&partition, &"cannot flush");
        assert_eq!(health.check(now), Err(Trouble::Suspect));
        asked.recv().unwrap();
        tell.send(Round { failed: 1, ..Round::default() }).unwrap();
        // The next round comes by itself.
        asked.recv().unwrap();
        assert!(health.is_suspect());
        tell.send(Round { checked: 1, ..Round::default() }).unwrap();
        while health.is_suspect() {
            thread::yield_now();
        }
        assert_eq!(health.check(now), Ok(()));
        health.stop();
    }
}
