//! The place of a partition's log: open, or closed and opened again for the first who needs it.
//!
//! ```text
//!   clean start ──> at rest ──first use──> open ──its disk fails, reopening: read only──> open
//!   new, or unclean start ───────────────> open
//! ```
//! A log at rest was closed cleanly; what it told then ([`AtRest`]) still holds, since nobody else touches its files, and
//! answers many questions. So a start with thousands of partitions opens none of them.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwapOption;
use tracing::warn;

use super::{LogEnds, scalars::AtRest};
use crate::{
    env::{
        SharedDisk, SharedEnv,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
    },
    log::{self, Bench, Log, LogConfig, LogError, Opening, Progress, Recovered, Start},
    model::{Offset, TopicId, TopicPartition, Uuid},
};

/// What is needed to open any log of a data folder.
pub struct LogHome {
    pub data_dir: PathBuf,
    pub disk: SharedDisk,
    pub env: SharedEnv,
}

impl LogHome {
    pub fn dir(&self, name: &TopicPartition) -> PathBuf {
        log::partition_dir(&self.data_dir, name)
    }

    /// Opens or makes a log; a tail that had to be cut is told.
    pub fn open(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        start: Start,
    ) -> Result<(Log, Recovered), LogError> {
        let progress = Progress::default();
        self.open_among(name, topic_id, config, start, &mut Bench::new(&progress))
    }

    /// As [`LogHome::open`], one after the other of many.
    pub fn open_among(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        start: Start,
        bench: &mut Bench<'_>,
    ) -> Result<(Log, Recovered), LogError> {
        let opening = Opening { start, now: self.env.now(), bench };
        let disk = Arc::clone(&self.disk);
        let opened = Log::open_among(disk, &self.dir(name), name.clone(), topic_id, config, opening)?;
        if let Some(truncated) = &opened.1.truncated {
            warn!(
                partition = %name,
                "cut a torn tail of {} at offset {}: {}",
                display_bytes(truncated.bytes),
                truncated.at,
                truncated.why
            );
        }
        Ok(opened)
    }
}

pub(super) fn display_bytes(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", (bytes >> 20) as f64 / 1024.0),
    }
}

/// See the module's documentation.
pub struct LogSlot {
    home: Arc<LogHome>,
    name: TopicPartition,
    topic_id: TopicId,
    log: ArcSwapOption<Log>,
    /// How often the log was replaced since its disk failed. What was appended before may not be in the next one.
    resets: AtomicU64,
    /// Locked while the log is opened.
    closed: Mutex<Closed>,
    /// The log is being opened, and that may take long.
    recovering: AtomicBool,
}

/// How to open the log while it is closed.
struct Closed {
    start: Start,
    at_rest: Option<AtRest>,
    /// It is not opened any more: the partition was deleted.
    sealed: bool,
}

impl LogSlot {
    pub fn open(home: Arc<LogHome>, log: Log) -> LogSlot {
        let start = Start { clean: false, recovery_point: log.flushed(), log_start: log.log_start() };
        let (name, topic_id) = (log.partition().clone(), log.topic_id());
        let slot = LogSlot::closed(home, name, topic_id, Closed { start, at_rest: None, sealed: false });
        slot.log.store(Some(Arc::new(log)));
        slot
    }

    pub fn at_rest(
        home: Arc<LogHome>,
        name: TopicPartition,
        topic_id: TopicId,
        start: Start,
        at_rest: AtRest,
    ) -> LogSlot {
        debug_assert!(start.clean);
        LogSlot::closed(home, name, topic_id, Closed { start, at_rest: Some(at_rest), sealed: false })
    }

    fn closed(home: Arc<LogHome>, name: TopicPartition, topic_id: TopicId, closed: Closed) -> LogSlot {
        LogSlot {
            home,
            name,
            topic_id,
            log: ArcSwapOption::empty(),
            resets: AtomicU64::new(0),
            closed: Mutex::new(closed),
            recovering: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub fn dir(&self) -> PathBuf {
        self.home.dir(&self.name)
    }

    /// The log, if it is open.
    pub fn opened(&self) -> Option<Arc<Log>> {
        self.log.load_full()
    }

    pub fn is_open(&self) -> bool {
        self.log.load().is_some()
    }

    /// Whether this is the log that is open.
    pub fn holds(&self, log: &Arc<Log>) -> bool {
        self.log.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, log))
    }

    /// Of a log that is closed.
    pub fn closed_log_start(&self) -> Offset {
        self.closed.lock().start.log_start
    }

    /// Where a log begins and ends that was closed cleanly and is not open.
    pub fn closed_extent(&self) -> (Offset, LogEnds) {
        let closed = self.closed.lock();
        let log_start = closed.start.log_start;
        let end = closed.at_rest.map_or(log_start, |at_rest| at_rest.log_end);
        (log_start, LogEnds { log_end: end, flushed: end })
    }

    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::Acquire)
    }

    /// What is known of the log while it was not opened since the clean stop.
    pub fn known_at_rest(&self) -> Option<AtRest> {
        let closed = self.closed.lock();
        closed.at_rest.filter(|_| !self.is_open())
    }

    /// Whether the files are as a clean stop left them, or the log is open.
    pub fn is_sound(&self) -> bool {
        self.is_open() || self.closed.lock().start.clean
    }

    /// Opens the log where it is closed. `publish` is called before others see it, and has to [`LogSlot::publish`] it.
    ///
    /// # Errors
    /// [`LogError::Failed`] where it is being recovered, or gone for good; else why it cannot be opened now.
    pub fn open_with(
        &self,
        config: impl FnOnce() -> LogConfig,
        publish: impl FnOnce(Arc<Log>, &Recovered),
    ) -> Result<Arc<Log>, LogError> {
        let failed = || LogError::Failed { path: self.dir() };
        if self.recovering.load(Ordering::Acquire) {
            return Err(failed());
        }
        let mut closed = self.closed.lock();
        if let Some(log) = self.opened() {
            return Ok(log);
        }
        if closed.sealed {
            return Err(failed());
        }
        self.recovering.store(!closed.start.clean, Ordering::Release);
        let opened = self.home.open(&self.name, self.topic_id, config(), closed.start);
        let result = opened.and_then(|(log, recovered)| {
            // Where the file was cut, what was read from it may still be on its way to a peer: nothing goes in its place.
            if recovered.truncated.is_some() {
                log.roll_now(self.home.env.now())?;
            }
            let log = Arc::new(log);
            publish(Arc::clone(&log), &recovered);
            Ok(log)
        });
        self.recovering.store(false, Ordering::Release);
        // Where it failed the files are as they were.
        if let Ok(log) = &result
            && let Some(at_rest) = closed.at_rest.take()
            && at_rest.log_end != log.log_end()
        {
            let (found, told) = (log.log_end(), at_rest.log_end);
            warn!(partition = %self.name, "the log ends at {found}, not at {told} as after the clean stop");
        }
        result
    }

    /// To be called within `publish` of [`LogSlot::open_with`] and [`LogSlot::reopen_with`].
    pub fn publish(&self, log: Arc<Log>) {
        self.log.store(Some(log));
    }

    /// Opens the log again that takes no appends any more, since its disk failed, with recovery from what was known to be
    /// durable. Until that has succeeded the old one can be read. A log that is in use stays as it is.
    ///
    /// # Errors
    /// It cannot be opened again for now, or the partition was deleted.
    pub fn reopen_with(
        &self,
        config: impl FnOnce() -> LogConfig,
        publish: impl FnOnce(Arc<Log>, &Recovered),
    ) -> Result<Arc<Log>, LogError> {
        let closed = self.closed.lock();
        let Some(old) = self.opened() else {
            drop(closed);
            return self.open_with(config, publish);
        };
        if !old.is_out_of_use() {
            return Ok(old);
        }
        if closed.sealed {
            return Err(LogError::Failed { path: self.dir() });
        }
        let start = old.give_way()?;
        let (log, recovered) = self.home.open(&self.name, self.topic_id, config(), start)?;
        // Where the file was cut, what was read from it may still be on its way to a peer: nothing goes in its place.
        if recovered.truncated.is_some() {
            log.roll_now(self.home.env.now())?;
        }
        let log = Arc::new(log);
        self.resets.fetch_add(1, Ordering::AcqRel);
        publish(Arc::clone(&log), &recovered);
        Ok(log)
    }

    /// The partition is deleted: its folder gets another name, which is returned, and the log is not opened any more. Reads under
    /// way may go on.
    pub fn delete(&self, unique: Uuid) -> Result<PathBuf, LogError> {
        let mut closed = self.closed.lock();
        closed.sealed = true;
        match self.opened() {
            Some(log) => log.delete(unique),
            None => log::set_aside(&*self.home.disk, &self.dir(), &self.name, unique),
        }
    }
}

impl std::fmt::Debug for LogSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSlot({}, {:?})", self.name, self.log.load().as_deref())
    }
}
