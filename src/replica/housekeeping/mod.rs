//! What goes on beside serving: old segments are removed, compacted topics are compacted, and files that were taken out of use
//! are deleted after a while. On threads of its own, so that no request waits for it.

mod cleaner;
mod retention;
mod throttle;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing::warn;

pub(super) use self::cleaner::Tended;
use self::{retention::Which, throttle::Throttle};
use super::{Replicas, Trouble, metrics::Cleaned};
use crate::{config::CleanerConfig, log, metrics::Source};

/// Retention first looks at the logs so long after the start, as Kafka's does, or after its interval where that is shorter.
const FIRST_CHECK_AFTER: Duration = Duration::from_secs(30);

/// See the module's documentation. Stops when told to; what was not deleted by then, the next start deletes.
pub struct Housekeeping {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    replicas: Arc<Replicas>,
    config: HousekeepingConfig,
    /// Of all cleaner threads together.
    throttle: Throttle,
    cleaned: Arc<Cleaned>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// Files to delete, those that are due first at the top.
    doomed: BinaryHeap<Reverse<(Instant, PathBuf)>>,
}

#[derive(Debug, Clone)]
pub struct HousekeepingConfig {
    /// `log.retention.check.interval.ms`
    pub retention_check_interval: Duration,
    pub cleaner: CleanerConfig,
}

impl Housekeeping {
    pub fn start(replicas: Arc<Replicas>, config: HousekeepingConfig) -> io::Result<Housekeeping> {
        let throttle = Throttle::new(config.cleaner.io_max_bytes_per_second);
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Shared { replicas, config, throttle, cleaned: Arc::default(), state, changed };
        let housekeeping = Housekeeping { shared: Arc::new(shared), threads: Mutex::default() };
        housekeeping.spawn("retention", Shared::tend)?;
        for _ in 0..housekeeping.shared.config.cleaner.threads {
            housekeeping.spawn("cleaner", Shared::clean)?;
        }
        Ok(housekeeping)
    }

    /// What compaction has done.
    pub fn cleaned(&self) -> Arc<dyn Source> {
        Arc::clone(&self.shared.cleaned) as Arc<dyn Source>
    }

    fn spawn(&self, name: &str, work: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Returns once nothing is under way any more.
    pub fn stop(&self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Housekeeping {
    /// Where not all threads could be started.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The life of the thread that removes segments and, later, their files.
    fn tend(&self) {
        let interval = self.config.retention_check_interval;
        // Who compacts a log looks after its old segments too.
        let which = if self.config.cleaner.threads > 0 { Which::NotCompacted } else { Which::All };
        let mut next_check = Instant::now().checked_add(FIRST_CHECK_AFTER.min(interval));
        while let Some(due) = self.wait_until(next_check) {
            match due {
                Due::File(path) => self.delete(&path),
                Due::Check => {
                    self.enforce_retention(which);
                    next_check = Instant::now().checked_add(interval);
                }
            }
        }
    }

    /// Waits for what is due first; `None` once stopped.
    fn wait_until(&self, next_check: Option<Instant>) -> Option<Due> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            if next_check.is_some_and(|at| at <= now) {
                return Some(Due::Check);
            }
            let next_file = state.doomed.peek().map(|Reverse((at, _))| *at);
            if next_file.is_some_and(|at| at <= now)
                && let Some(Reverse((_, path))) = state.doomed.pop()
            {
                return Some(Due::File(path));
            }
            match next_check.into_iter().chain(next_file).min() {
                Some(at) => {
                    self.changed.wait_until(&mut state, at.into_std());
                }
                // Neither comes before the end of any clock.
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Lets time pass, unless it is stopped.
    fn rest(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let until = Instant::now().checked_add(time);
        let mut state = self.state.lock();
        while !state.stopped && until.is_none_or(|until| Instant::now() < until) {
            match until {
                Some(until) => {
                    self.changed.wait_until(&mut state, until.into_std());
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Has files deleted after `delay_ms`.
    fn delete_later(&self, files: Vec<PathBuf>, delay_ms: i64) {
        // On a full disk nothing is worth more than its space.
        let is_urgent = self.replicas.trouble() == Some(Trouble::Full);
        let delay = Duration::from_millis(if is_urgent { 0 } else { u64::try_from(delay_ms).unwrap_or(0) });
        // Beyond any clock: the next start deletes them.
        let Some(at) = Instant::now().checked_add(delay) else { return };
        self.state.lock().doomed.extend(files.into_iter().map(|file| Reverse((at, file))));
        self.changed.notify_all();
    }

    fn delete(&self, path: &Path) {
        if let Err(error) = log::remove_deleted_file(self.replicas.disk(), path) {
            warn!("{}: cannot be removed, the next start will: {error}", path.display());
        }
    }
}

enum Due {
    File(PathBuf),
    Check,
}
