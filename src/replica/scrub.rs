//! The thread that reads old segments again, slowly, and tells what a disk has changed.
//!
//! Felice's own: `log.scrub.interval.ms` is the time between two passes over everything, `log.scrub.io.max.bytes.per.second` how
//! fast it reads. A pass begins at any partition, so that restarts do not keep the same ones from their turn.

use std::{
    collections::HashSet,
    io,
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Replicas;
use crate::{
    env::SharedEnv,
    log::{
        LogError,
        scrub::{self, ClosedSegment},
    },
};

/// The first pass begins so long after a start, or after the interval where that is shorter: a start has other work.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// Where everything was read at once there is a pause nevertheless.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// It rests once so much was read.
const STEP: u64 = 1 << 20;
/// Findings that are remembered, so that each is told once.
const TOLD_MAX: usize = 10_000;

/// How often, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScrubConfig {
    /// `None`: never.
    pub interval: Option<Duration>,
    pub bytes_per_second: u64,
}

/// See the module's documentation.
pub struct Scrubber {
    stopping: Arc<Stopping>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Stopping {
    stopped: Mutex<bool>,
    changed: Condvar,
}

struct Pass {
    replicas: Arc<Replicas>,
    env: SharedEnv,
    config: ScrubConfig,
    stopping: Arc<Stopping>,
    told: HashSet<(PathBuf, u64)>,
    /// Read since the last rest, and when that was.
    unpaid: u64,
    rested: Instant,
}

/// What a pass came to.
#[derive(Debug, Default)]
struct Seen {
    segments: u64,
    bytes: u64,
    damaged: u64,
}

impl Scrubber {
    /// # Errors
    /// There is no thread to be had.
    pub fn start(replicas: Arc<Replicas>, env: SharedEnv, config: ScrubConfig) -> io::Result<Scrubber> {
        let stopping = Arc::new(Stopping::default());
        let Some(interval) = config.interval.map(|interval| interval.max(INTERVAL_MIN)) else {
            return Ok(Scrubber { stopping, thread: Mutex::new(None) });
        };
        let (told, rested) = (HashSet::new(), Instant::now());
        let mut pass = Pass { replicas, env, config, stopping: Arc::clone(&stopping), told, unpaid: 0, rested };
        let builder = thread::Builder::new().name("scrub".to_owned()).stack_size(256 << 10);
        let thread = builder.spawn(move || {
            let mut pause = FIRST_AFTER.min(interval);
            while pass.stopping.rest(pause) {
                pass.run();
                pause = interval;
            }
        })?;
        Ok(Scrubber { stopping, thread: Mutex::new(Some(thread)) })
    }

    /// Returns once nothing is read any more.
    pub fn stop(&self) {
        *self.stopping.stopped.lock() = true;
        self.stopping.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Stopping {
    fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Lets time pass; false once stopped.
    fn rest(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        // What no clock reaches is waited for without a time.
        let until = Instant::now().checked_add(time).map(Instant::into_std);
        while !*stopped {
            match until {
                Some(until) if self.changed.wait_until(&mut stopped, until).timed_out() => return !*stopped,
                Some(_) => {}
                None => self.changed.wait(&mut stopped),
            }
        }
        false
    }
}

impl Pass {
    /// Reads all closed segments once.
    fn run(&mut self) {
        let mut folders = self.replicas.folders();
        folders.sort();
        if folders.is_empty() {
            return;
        }
        let first = (self.env.random_u64() % folders.len() as u64) as usize;
        folders.rotate_left(first);
        let started = Instant::now();
        (self.unpaid, self.rested) = (0, started);
        let mut seen = Seen::default();
        for folder in folders {
            let segments = match scrub::closed_segments(self.replicas.disk(), &folder) {
                Ok(segments) => segments,
                Err(error) => {
                    // Its topic was deleted, most likely.
                    debug!("{error}");
                    continue;
                }
            };
            for segment in &segments {
                if self.stopping.is_stopped() {
                    return;
                }
                self.segment(segment, &mut seen);
            }
        }
        if seen.segments > 0 {
            info!(
                "scrubbed {} segments, {} MB, in {} s: {} damaged",
                seen.segments,
                seen.bytes / 1_000_000,
                started.elapsed().as_secs(),
                seen.damaged
            );
        }
    }

    fn segment(&mut self, segment: &ClosedSegment, seen: &mut Seen) {
        seen.segments += 1;
        let replicas = Arc::clone(&self.replicas);
        let found = scrub::scrub(replicas.disk(), segment, &mut |bytes| {
            seen.bytes += bytes;
            self.pay(bytes)
        });
        match found {
            Ok(found) => {
                for finding in found {
                    seen.damaged += 1;
                    let place = (finding.path.clone(), finding.position.unwrap_or_default());
                    if self.told.len() < TOLD_MAX && self.told.insert(place) {
                        error!("damage on the disk: {finding}");
                    }
                }
            }
            Err(error @ LogError::Io { .. }) => warn!("cannot scrub: {error}"),
            Err(error) => error!("cannot scrub: {error}"),
        }
    }

    /// Rests as long as the bytes that were read may take.
    fn pay(&mut self, bytes: u64) -> ControlFlow<()> {
        self.unpaid += bytes;
        if self.unpaid < STEP {
            return ControlFlow::Continue(());
        }
        let takes = Duration::from_secs_f64(self.unpaid as f64 / self.config.bytes_per_second.max(1) as f64);
        let goes_on = self.stopping.rest(takes.saturating_sub(self.rested.elapsed()));
        (self.unpaid, self.rested) = (0, Instant::now());
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
