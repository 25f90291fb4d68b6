//! The health of a data folder's disk: what appends ask before they write, and the thread that sees it heal.
//!
//! [`health`](super::health) judges; here are the clock, the disk and the lines in the log.

use std::{
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
use tracing::{info, warn};

use super::health::{self, Room, Space};
use crate::{
    env::{SharedDisk, SharedEnv},
    model::Timestamp,
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
    /// When an append looks at the free space next, by the wall clock in milliseconds. There is no need before: no disk fills
    /// that fast.
    next_look: AtomicI64,
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
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
            next_look: AtomicI64::new(i64::MIN),
            state: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::default(),
        }
    }

    /// Starts the thread that waits for a sick disk to get well.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        let health = Arc::clone(self);
        let builder = thread::Builder::new().name("disk-health".to_owned()).stack_size(256 << 10);
        *self.thread.lock() = Some(builder.spawn(move || health.run())?);
        Ok(())
    }

    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    /// Whether appends may be made now. Costs two loads, and now and then a look at the disk.
    pub fn check(&self, now: Timestamp) -> Result<(), Trouble> {
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

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            if self.is_full.load(Ordering::Acquire) {
                self.changed.wait_for(&mut state, FULL_INTERVAL);
                drop(state);
                self.is_low(self.env.now());
                state = self.state.lock();
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::{SystemEnv, disk::sim::SimDisk},
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
        health.start().unwrap();
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
}
