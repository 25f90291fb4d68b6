//! One partition that this broker leads: append, read, high watermark, and who waits for what.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use felice_protocol::record::{
    Codec, Compression, InvalidBatch, ProduceLimits, TimestampType, check_produced, is_laborious,
};
use tracing::{error, info};

use super::{
    dirty::Share,
    flusher::FlushQueue,
    health_folder::{FolderHealth, Trouble},
    housekeeping::Tended,
    machine::{Awaited, Became, Demands, LogEnds, Replica},
    rules::{Acks, EpochMismatch, Leadership},
    scalars::Scalars,
    slot::LogSlot,
    watch::{Watch, Watchers},
};
use crate::{
    env::sync::{
        Mutex, Notify,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    log::{self, Log, LogConfig, LogError, TimestampedOffset, TransactionEnd},
    model::{LeaderEpoch, NodeId, Offset, Timestamp, TopicIdPartition, TopicPartition},
};

/// When a flush is tried again that failed for want of a descriptor or of space.
const FLUSH_RETRY: Duration = Duration::from_secs(1);

/// About what a transaction marker takes, in bytes.
const MARKER_SIZE: u64 = 78;
/// Between two lines that tell that the same log cannot be read.
const UNREADABLE_INTERVAL_MS: i64 = 60_000;

/// A topic's settings as its partitions obey them.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    pub log: LogConfig,
    pub max_message_bytes: usize,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub min_insync_replicas: u32,
    /// `None` is `compression.type=producer`.
    pub compression: Option<Compression>,
    /// The most that a compressed batch may hold where it must be opened.
    pub max_decompressed_bytes: usize,
}

impl TopicSettings {
    /// Whether acknowledgement and reading wait for the disk (`flush.messages=1`).
    fn flushes_each(&self) -> bool {
        self.log.flush_messages <= 1
    }

    fn demands(&self) -> Demands {
        Demands { flushes_each: self.flushes_each(), min_insync_replicas: self.min_insync_replicas }
    }

    fn limits(&self, produce_version: i16, now: Timestamp) -> ProduceLimits {
        ProduceLimits {
            now: now.0,
            produce_version,
            timestamp_type: self.timestamp_type,
            before_max_ms: self.timestamp_before_max_ms,
            after_max_ms: self.timestamp_after_max_ms,
            max_message_bytes: self.max_message_bytes,
            compacted: self.log.compacts,
            compression: self.compression,
            max_decompressed_bytes: self.max_decompressed_bytes,
        }
    }
}

/// A batch that was appended, now or, as a duplicate, before.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub base_offset: Offset,
    pub log_append_time: Timestamp,
    pub log_start: Offset,
    /// What has to happen before the producer may be answered; `None` where it may be now.
    pub wait_for: Option<Pending>,
}

/// What a producer waits for, and under whom its batch was appended.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    awaited: Awaited,
    leader_epoch: LeaderEpoch,
    /// A log that is opened again after its disk failed may hold something else at the same offset.
    resets: u64,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("not the leader of this partition")]
    NotLeader,
    #[error("fewer replicas in sync than min.insync.replicas={0}")]
    NotEnoughReplicas(u32),
    #[error(transparent)]
    Folder(#[from] Trouble),
    #[error(transparent)]
    Invalid(#[from] InvalidBatch),
    #[error(transparent)]
    Log(#[from] log::AppendError),
}

/// Why an appended batch did not become as safe as was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSafe {
    #[error("this broker no longer leads the partition")]
    NotLeader,
    #[error("the disk failed")]
    Storage,
}

/// How far a client may read (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// To the high watermark.
    ReadUncommitted,
    /// To the last stable offset; the reader is told which transactions were aborted.
    ReadCommitted,
}

impl Isolation {
    /// As requests have it; `None` for numbers without a meaning.
    pub fn from_wire(isolation_level: i8) -> Option<Isolation> {
        match isolation_level {
            0 => Some(Isolation::ReadUncommitted),
            1 => Some(Isolation::ReadCommitted),
            _ => None,
        }
    }
}

/// What the partitions of a data folder share.
#[derive(Clone)]
pub(super) struct Folder {
    pub flusher: FlushQueue,
    pub health: Arc<FolderHealth>,
}

/// A partition of which this broker has the log: the rules are [`Replica`]'s, and here are the bytes, the locks and who
/// waits.
///
/// Invariant: log start <= high watermark <= log end.
pub struct Partition {
    id: TopicIdPartition,
    node: NodeId,
    pub(super) slot: LogSlot,
    pub(super) settings: ArcSwap<TopicSettings>,
    /// Locked for a few comparisons at a time, and not while a batch is written or flushed.
    pub(super) replica: Mutex<Replica>,
    /// What `replica` knows, for those who only look. Written while it is locked.
    leadership: ArcSwap<Leadership>,
    high_watermark: AtomicI64,
    /// Deleted, or its disk failed.
    closed: AtomicBool,
    /// Fetches that wait for data.
    watchers: Watchers,
    /// Produce requests that wait for the high watermark.
    advanced: Notify,
    /// The flusher has this partition in its queue: for now, and for after `flush.ms`.
    flush_asked: AtomicBool,
    later_flush_asked: AtomicBool,
    /// Bytes that are not flushed; under `flush.messages=1` they cannot be read before.
    dirty: Share,
    /// The recovery point that was stored last.
    stored_recovery_point: AtomicI64,
    folder: Folder,
    /// The last append failed for the disk, and that was told.
    failing: AtomicBool,
    /// When it was told last that the log cannot be read, by the wall clock in milliseconds.
    unreadable_told: AtomicI64,
    /// What is stored of this partition besides its log. See [`Partition::keep`].
    pub(super) stored: Mutex<Scalars>,
    /// Held by who removes or compacts segments: one at a time.
    pub(super) tended: Mutex<Tended>,
}

impl Partition {
    pub(super) fn new(
        id: TopicIdPartition,
        node: NodeId,
        slot: LogSlot,
        settings: Arc<TopicSettings>,
        leadership: Leadership,
        scalars: Scalars,
        folder: Folder,
    ) -> Arc<Partition> {
        let log = slot.opened();
        let (log_start, ends) = match &log {
            Some(log) => (log.log_start(), log_ends(log)),
            None => slot.closed_extent(),
        };
        let mut replica = Replica::new(node, settings.demands(), log_start, ends, scalars.high_watermark);
        if let (Became::Leader { epoch, .. }, Some(log)) = (replica.change_leadership(leadership.clone()), log) {
            log.begin_epoch(epoch);
        }
        // What was cut off, or is lost, is not known to be on disk once it is written again.
        let stored = Scalars { recovery_point: scalars.recovery_point.min(ends.log_end), ..scalars };
        Arc::new(Partition {
            id,
            node,
            slot,
            settings: ArcSwap::new(settings),
            leadership: ArcSwap::from_pointee(leadership),
            high_watermark: AtomicI64::new(replica.high_watermark().0),
            replica: Mutex::new(replica),
            closed: AtomicBool::new(false),
            watchers: Watchers::default(),
            advanced: Notify::new(),
            flush_asked: AtomicBool::new(false),
            later_flush_asked: AtomicBool::new(false),
            dirty: Share::default(),
            stored_recovery_point: AtomicI64::new(0),
            folder,
            failing: AtomicBool::new(false),
            unreadable_told: AtomicI64::new(i64::MIN),
            stored: Mutex::new(stored),
            tended: Mutex::default(),
        })
    }

    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    pub fn name(&self) -> &TopicPartition {
        self.slot.name()
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leadership.load().leader_epoch
    }

    /// Whether this broker leads the partition, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leadership.load().is_led_by(self.node)
    }

    pub fn check_leader_epoch(&self, asked: i32) -> Result<(), EpochMismatch> {
        self.leadership.load().check_leader_epoch(asked)
    }

    /// What consumers may read ends here, or at the last stable offset.
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// The largest batch that [`Partition::append`] takes, in bytes.
    pub fn max_message_bytes(&self) -> usize {
        self.settings.load().max_message_bytes
    }

    /// How often the log was opened again after its disk had failed. What was appended before and not flushed may be gone.
    pub fn resets(&self) -> u64 {
        self.slot.resets()
    }

    /// Why nothing can be appended for now.
    pub fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        self.folder.health.check(now).err()
    }

    /// Whether `compression.type` is zstd, which old clients cannot read.
    pub fn compresses_with_zstd(&self) -> bool {
        self.settings.load().compression.is_some_and(|compression| compression.codec() == Codec::Zstd)
    }

    /// Whether this partition was deleted or its disk failed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether [`Partition::append`] will take long on a processor, because it decompresses or compresses these records.
    pub fn is_laborious(&self, records: &Bytes, produce_version: i16, now: Timestamp) -> bool {
        is_laborious(records, &self.settings.load().limits(produce_version, now))
    }

    /// Checks and appends what a producer sent for this partition. Takes the partition's lock only around the write;
    /// `records` is never copied.
    pub fn append(
        self: &Arc<Self>,
        records: &Bytes,
        acks: Acks,
        produce_version: i16,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let leadership = self.leadership.load();
        if self.is_closed() || !leadership.is_led_by(self.node) {
            return Err(AppendError::NotLeader);
        }
        self.folder.health.check(now)?;
        let settings = self.settings.load();
        if acks == Acks::All && !leadership.has_enough_in_sync(settings.min_insync_replicas) {
            return Err(AppendError::NotEnoughReplicas(settings.min_insync_replicas));
        }
        let checked = check_produced(records, &settings.limits(produce_version, now))?;
        let size = checked.header.size() as u64;
        let resets = self.slot.resets();
        let log = self.log().map_err(log::AppendError::from);
        let appended = log.and_then(|log| Ok((log.append_as_leader(&checked, leadership.leader_epoch, now)?, log)));
        let (appended, awaited) = self.publish_append(appended, size, acks, &settings, now)?;
        let log_append_time = match settings.timestamp_type {
            // As Kafka answers: what is remembered of the original, whichever clock that was.
            _ if appended.duplicate => appended.log_append_time,
            TimestampType::LogAppendTime => now,
            TimestampType::CreateTime => Timestamp::NONE,
        };
        Ok(Appended {
            base_offset: appended.base_offset,
            log_append_time,
            log_start: appended.log_start_offset,
            wait_for: awaited.map(|awaited| Pending { awaited, leader_epoch: leadership.leader_epoch, resets }),
        })
    }

    /// Ends a producer's transaction here, at the word of the transaction's coordinator. As safe as `acks=all`.
    pub fn append_marker(self: &Arc<Self>, end: &TransactionEnd, now: Timestamp) -> Result<Appended, AppendError> {
        let leadership = self.leadership.load();
        if self.is_closed() || !leadership.is_led_by(self.node) {
            return Err(AppendError::NotLeader);
        }
        // On a full disk there is room for it, and what it ends takes more.
        if self.folder.health.is_suspect() {
            return Err(Trouble::Suspect.into());
        }
        let settings = self.settings.load();
        if !leadership.has_enough_in_sync(settings.min_insync_replicas) {
            return Err(AppendError::NotEnoughReplicas(settings.min_insync_replicas));
        }
        let resets = self.slot.resets();
        let log = self.log().map_err(log::AppendError::from);
        let appended = log.and_then(|log| Ok((log.append_marker(end, leadership.leader_epoch, now)?, log)));
        let (appended, awaited) = self.publish_append(appended, MARKER_SIZE, Acks::All, &settings, now)?;
        Ok(Appended {
            base_offset: appended.base_offset,
            log_append_time: Timestamp::NONE,
            log_start: appended.log_start_offset,
            wait_for: awaited.map(|awaited| Pending { awaited, leader_epoch: leadership.leader_epoch, resets }),
        })
    }

    /// Tells everyone whom it concerns of a batch of `size` bytes that was appended, and what its producer has to wait for.
    fn publish_append(
        self: &Arc<Self>,
        appended: Result<(log::Appended, Arc<Log>), log::AppendError>,
        size: u64,
        acks: Acks,
        settings: &TopicSettings,
        now: Timestamp,
    ) -> Result<(log::Appended, Option<Awaited>), AppendError> {
        self.report_disk(&appended, now);
        let (appended, log) = appended?;
        let end = appended.last_offset.plus(1);
        let is_too_dirty = !appended.duplicate && self.folder.flusher.dirty().wrote(&self.dirty, size);
        self.ask_for_flush(appended.flush_due || is_too_dirty, settings.log.flush_ms);
        // A flush may have just ended, whose bytes are not counted here: then whoever waits looks for itself.
        let readable = if settings.flushes_each() || appended.duplicate { u64::MAX } else { size };
        let awaited = self.update(readable, |replica| {
            if !self.slot.holds(&log) {
                return Err(log::AppendError::from(LogError::Failed { path: log.dir().to_owned() }));
            }
            replica.note_log(log_ends(&log));
            Ok(replica.awaited(acks, end))
        })?;
        Ok((appended, awaited))
    }

    /// One line when the disk begins to fail, and one when it takes appends again.
    fn report_disk<T>(&self, appended: &Result<T, log::AppendError>, now: Timestamp) {
        match appended {
            // One line for all partitions.
            Err(log::AppendError::Log(error)) if error.is_disk_full() && self.folder.health.is_low(now) => {}
            Err(log::AppendError::Log(_)) if self.is_closed() => {}
            Err(log::AppendError::Log(error)) if self.opened().is_some_and(|log| log.is_out_of_use()) => {
                self.folder.health.fail(self.name(), error);
            }
            Err(log::AppendError::Log(error)) if !self.failing.swap(true, Ordering::Relaxed) => {
                error!(partition = %self.name(), "cannot append: {error}");
            }
            Ok(_) if self.failing.load(Ordering::Relaxed) => {
                self.failing.store(false, Ordering::Relaxed);
                info!(partition = %self.name(), "appends are taken again");
            }
            _ => {}
        }
    }

    /// A line now and then: who cannot read asks again and again.
    pub fn report_unreadable(&self, cause: &LogError) {
        let (now, told) = (self.folder.health.now().0, self.unreadable_told.load(Ordering::Relaxed));
        let is_due = now.saturating_sub(told) >= UNREADABLE_INTERVAL_MS || now < told;
        if is_due && self.unreadable_told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            error!(partition = %self.name(), "the log cannot be read: {cause}");
        }
    }

    /// Changes what is known of this replica, and wakes who waits for its high watermark if that moves; `bytes` is about
    /// how much more can be read then.
    pub(super) fn update<T>(&self, bytes: u64, change: impl FnOnce(&mut Replica) -> T) -> T {
        let (result, moves, ends_one) = {
            let mut replica = self.replica.lock();
            let result = change(&mut replica);
            let before = self.high_watermark();
            let after = replica.high_watermark();
            let log = self.slot.opened();
            let stable = log.as_ref().map_or(before, |log| log.last_stable_offset(before));
            self.high_watermark.store(after.0, Ordering::Release);
            // The end of a transaction brings all of it to readers of committed records.
            let ends_one = stable < before && log.is_some_and(|log| stable < log.last_stable_offset(after));
            (result, before < after, ends_one)
        };
        if moves {
            self.watchers.mark(if ends_one { u64::MAX } else { bytes });
            self.advanced.notify_waiters();
        }
        result
    }

    /// Waits until what is awaited has happened, as long as this broker leads in `epoch`.
    pub async fn reached(&self, pending: Pending) -> Result<(), NotSafe> {
        loop {
            let advanced = self.advanced.notified();
            if self.folder.health.is_suspect() {
                return Err(NotSafe::Storage);
            }
            let has = self.replica.lock().has(pending.awaited);
            // Then: what there is may be in another log.
            let is_same_log = self.slot.resets() == pending.resets;
            if has && is_same_log {
                return Ok(());
            }
            // First: a deletion takes the log out of use as well.
            if self.is_closed() || self.leader_epoch() != pending.leader_epoch {
                return Err(NotSafe::NotLeader);
            }
            if !is_same_log || self.slot.opened().is_some_and(|log| log.is_out_of_use()) {
                return Err(NotSafe::Storage);
            }
            advanced.await;
        }
    }

    /// Waits until the high watermark is at `end`, as long as this broker leads in `leader_epoch`.
    pub async fn committed_to(&self, end: Offset, leader_epoch: LeaderEpoch) -> Result<(), NotSafe> {
        loop {
            let advanced = self.advanced.notified();
            if self.is_closed() || self.leader_epoch() != leader_epoch {
                return Err(NotSafe::NotLeader);
            }
            if self.high_watermark() >= end {
                return Ok(());
            }
            if self.folder.health.is_suspect() {
                return Err(NotSafe::Storage);
            }
            advanced.await;
        }
    }

    /// From now on data that arrives here marks `slot` of `watch`.
    pub fn watch(&self, watch: &Arc<Watch>, slot: u32) {
        self.watchers.add(watch, slot);
    }

    pub fn unwatch(&self, watch: &Arc<Watch>, slot: u32) {
        self.watchers.remove(watch, slot);
    }

    /// The first record whose timestamp is at least `timestamp`; `None` where that may not be read.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, LogError> {
        let found = self.log()?.offset_for_timestamp(timestamp)?;
        Ok(found.filter(|found| found.offset < self.readable_end(isolation)))
    }

    /// Where each segment begins, oldest first, and when it was last written to.
    pub fn segment_times(&self) -> Result<Vec<(Offset, Timestamp)>, LogError> {
        self.log()?.segment_times()
    }

    /// The record with the largest timestamp, the first of several; `None` where that may not be read.
    pub fn max_timestamp(&self, isolation: Isolation) -> Result<Option<TimestampedOffset>, LogError> {
        let found = self.log()?.max_timestamp()?;
        Ok(found.filter(|found| found.offset < self.readable_end(isolation)))
    }

    fn ask_for_flush(self: &Arc<Self>, now: bool, flush_ms: i64) {
        if now {
            self.folder.flusher.note_asked();
        }
        if now && !self.flush_asked.swap(true, Ordering::AcqRel) {
            self.folder.flusher.push(self, Duration::ZERO);
        }
        if flush_ms != i64::MAX && !self.later_flush_asked.swap(true, Ordering::AcqRel) {
            self.folder.flusher.push(self, Duration::from_millis(u64::try_from(flush_ms).unwrap_or(0).max(1)));
        }
    }

    /// A recovery point worth storing: the log's, where that is news.
    pub(super) fn recovery_point_to_store(&self) -> Option<Offset> {
        let known = self.slot.opened()?.recovery_point();
        if known <= Offset(self.stored_recovery_point.load(Ordering::Relaxed)) {
            return None;
        }
        self.stored_recovery_point.store(known.0, Ordering::Relaxed);
        Some(known)
    }

    /// Blocks until what is appended by now is on disk. Called by the flusher's thread.
    pub(super) fn flush(self: &Arc<Self>) -> Result<(), LogError> {
        // Cleared first: whoever appends from here on asks anew.
        self.flush_asked.store(false, Ordering::Release);
        self.later_flush_asked.store(false, Ordering::Release);
        let bytes = self.folder.flusher.dirty().take(&self.dirty);
        let Some(log) = self.slot.opened() else { return Ok(()) };
        let result = log.flush();
        match &result {
            Ok(_) => {
                self.update(bytes, |replica| self.slot.holds(&log).then(|| replica.note_log(log_ends(&log))));
                // Who waits for this disk alone.
                self.advanced.notify_waiters();
            }
            Err(_) if self.is_closed() => {}
            // Who waits for the disk must learn of it.
            Err(error) if log.is_out_of_use() => {
                self.folder.health.fail(self.name(), error);
                self.advanced.notify_waiters();
            }
            // Nobody may ask anew: a producer that sends the same batch again adds nothing to flush.
            Err(_) => {
                self.folder.flusher.dirty().wrote(&self.dirty, bytes);
                if !self.flush_asked.swap(true, Ordering::AcqRel) {
                    self.folder.flusher.push(self, FLUSH_RETRY);
                }
            }
        }
        result.map(|_| ())
    }

    pub(super) fn apply_leadership(&self, leadership: Leadership) {
        self.update(u64::MAX, |replica| {
            // One that is not open begins the epoch when it is opened.
            let log = self.slot.opened();
            if let Some(log) = log.as_ref().filter(|_| replica.is_leader()) {
                replica.note_log(log_ends(log));
            }
            if let (Became::Leader { epoch, .. }, Some(log)) = (replica.change_leadership(leadership), log) {
                log.begin_epoch(epoch);
            }
            self.leadership.store(Arc::new(replica.leadership().clone()));
        });
        self.wake_all();
    }

    pub(super) fn apply_settings(&self, settings: Arc<TopicSettings>) {
        let (demands, config) = (settings.demands(), settings.log.clone());
        self.settings.store(settings);
        if let Some(log) = self.slot.opened() {
            log.set_config(config);
        }
        // However much can be read now that no longer waits for the disk.
        self.update(u64::MAX, |replica| replica.set_demands(demands));
        // Nor may who waits for a flush.
        self.advanced.notify_waiters();
    }

    /// No append from now on; everyone who waits looks again.
    pub(super) fn close(&self) {
        // Whoever stores something of it has done so by then, and nobody does afterwards.
        let _stored = self.stored.lock();
        self.closed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Producers that wait look again.
    pub(super) fn tell_producers(&self) {
        self.advanced.notify_waiters();
    }

    /// Everyone who waits for data looks again: the log may start behind what they wait for.
    pub(super) fn wake_fetches(&self) {
        self.watchers.mark(u64::MAX);
    }

    pub(super) fn wake_all(&self) {
        self.wake_fetches();
        self.advanced.notify_waiters();
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.folder.flusher.dirty().take(&self.dirty);
    }
}

/// The log end is read last: it is never behind what is flushed.
pub(super) fn log_ends(log: &Log) -> LogEnds {
    let flushed = log.flushed();
    LogEnds { log_end: log.log_end(), flushed }
}
