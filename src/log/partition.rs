//! One partition's log: open, append, read, roll, flush, close, delete.
//!
//! ```text
//!        log start                flushed           log end
//!            v                       v                 v
//!   [ segment | segment | segment | active segment     ]
//! ```
//! `log start <= log end`, `flushed <= log end`; offsets below `flushed` survive a power loss. Only the active
//! segment changes. The append lock guards what [`Appender`] holds; `log_end` is raised within it, after the bytes
//! are in the file, and readers go by `log_end` alone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use felice_protocol::{
    record::{BatchHeader, Checked, HEADER_LEN, TimestampType},
    wire::Records,
};

use super::{
    config::LogConfig,
    epochs::{self, LeaderEpochs},
    files::{self, LogError, SNAPSHOT_SUFFIX},
    producers::{ProducerBatch, ProducerError, Producers, Verdict},
    progress::{Bench, Progress},
    recovery::{self, Recovered, Start},
    roll::Jitter,
    segment::{Batches, IndexPace, Segment},
    snapshot,
    transactions::{AbortedTxn, Stability, collect_aborted},
    walk::Wanted,
};
use crate::{
    env::{
        Disk, SharedDisk,
        faults::{Fault, planted},
        sync::{
            Mutex, RwLock,
            atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
        },
    },
    model::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition, Uuid},
};

/// Where a batch is in the log now, or has been before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The batch's time under LogAppendTime, or, of a duplicate, the timestamp its original has; else -1.
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
    /// Nothing was written: the batch was in the log.
    pub duplicate: bool,
    /// A flush is wanted now: `flush.messages` says so, or a segment was closed, which bounds what a recovery must check.
    pub flush_due: bool,
}

/// Why a batch was not appended. The log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("leader epoch {asked} is older than {current}")]
    FencedLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error("a batch of {size} bytes does not fit a segment of {segment_bytes}")]
    LargerThanSegment { size: usize, segment_bytes: u64 },
    #[error("a batch with last offset delta {0}")]
    InvalidCount(i32),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {asked} is not within {log_start} and {log_end}")]
    OutOfRange { asked: Offset, log_start: Offset, log_end: Offset },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Whole batches, as they lie in the log.
#[derive(Debug, Clone)]
pub struct ReadSlice {
    pub bytes: Bytes,
    /// First offset of the first batch, which may be below the one asked for.
    pub base_offset: Offset,
    /// Where to read on.
    pub next_offset: Offset,
}

/// Whole batches, in memory or where they lie in their file.
#[derive(Debug, Clone)]
pub struct LogSlice {
    pub records: Records,
    /// The aborted transactions that have records in here, by first offset; only for who reads committed records.
    pub aborted: Vec<AbortedTxn>,
    /// Where to read on.
    pub next_offset: Offset,
}

impl LogSlice {
    /// Nothing, at `offset`.
    pub fn empty(offset: Offset) -> LogSlice {
        LogSlice { records: Records::default(), aborted: Vec::new(), next_offset: offset }
    }
}

/// From this size on, sending from the file costs less than reading into memory, in bytes.
const FILE_RANGE_MIN: usize = 32 * 1024;

/// How a log is to be opened.
#[derive(Debug)]
pub struct Opening<'a, 'b> {
    pub start: Start,
    pub now: Timestamp,
    pub bench: &'a mut Bench<'b>,
}

/// What only the holder of the append lock sees.
pub(super) struct Appender {
    pub active: Arc<Segment>,
    pub producers: Producers,
    pub pace: IndexPace,
    /// Max timestamp of the active segment's first batch: its age is counted from here.
    pub first_timestamp: Option<Timestamp>,
    /// When the active segment was made or opened.
    pub since: Timestamp,
    pub jitter: Jitter,
}

/// See the module's documentation. All methods may be called by many threads.
///
/// Whoever takes several of the locks takes `replacing` first, then `flushing`, then `appender`, and `deleted` last.
pub struct Log {
    pub(super) disk: SharedDisk,
    pub(super) dir: PathBuf,
    partition: TopicPartition,
    topic_id: TopicId,
    pub(super) config: ArcSwap<LogConfig>,
    pub(super) segments: ArcSwap<Vec<Arc<Segment>>>,
    pub(super) log_start: AtomicI64,
    pub(super) log_end: AtomicI64,
    pub(super) flushed: AtomicI64,
    /// See [`Log::recovery_point`].
    pub(super) recovery_point: AtomicI64,
    pub(super) epochs: RwLock<LeaderEpochs>,
    pub(super) epochs_dirty: AtomicBool,
    /// A file was created or removed since the folder was last flushed.
    pub(super) dir_dirty: AtomicBool,
    /// Closed, deleted, or its files' content is unknown: no append is taken any more.
    pub(super) out_of_use: AtomicBool,
    /// Odd while the log is being truncated, or segments are replaced.
    pub(super) truncations: AtomicU64,
    pub(super) stability: Stability,
    pub(super) appender: Mutex<Appender>,
    /// Held while files are flushed, and while files are renamed or removed: a flush opens indexes by name.
    pub(super) flushing: Mutex<()>,
    /// Held while closed segments are replaced by others, or cut. Taken before the append lock.
    pub(super) replacing: Mutex<()>,
    /// Whether `dir` is this log's no more. Held while something is done there by name: after a deletion a new topic may
    /// have its partition under the same path.
    pub(super) deleted: Mutex<bool>,
}

impl Log {
    /// Opens the log in `dir`, making it where there is none. What `Recovered` tells is for one line in the log.
    ///
    /// # Errors
    /// The folder belongs to another topic id, or the disk fails. Damage in what was not known to be durable is
    /// no error: it is cut off.
    pub fn open(
        disk: SharedDisk,
        dir: &Path,
        partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        start: Start,
        now: Timestamp,
    ) -> Result<(Log, Recovered), LogError> {
        let progress = Progress::default();
        let opening = Opening { start, now, bench: &mut Bench::new(&progress) };
        Log::open_among(disk, dir, partition, topic_id, config, opening)
    }

    /// As [`Log::open`], one after the other of many.
    ///
    /// # Errors
    /// As [`Log::open`], and [`LogError::Stopped`].
    pub fn open_among(
        disk: SharedDisk,
        dir: &Path,
        partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        Opening { start, now, bench }: Opening<'_, '_>,
    ) -> Result<(Log, Recovered), LogError> {
        files::create_dir(&*disk, dir)?;
        let known = files::read_owner(&*disk, dir, topic_id)?;
        match known {
            Some(found) if found != topic_id => {
                return Err(LogError::WrongTopic { path: dir.to_owned(), found, expected: topic_id });
            }
            Some(_) => {}
            None => files::write_partition_metadata(&*disk, dir, topic_id)?,
        }
        let loaded = recovery::load(&disk, dir, &config, start, now, bench)?;
        let segments: Vec<Arc<Segment>> = loaded.segments.into_iter().map(Arc::new).collect();
        let Some(active) = segments.last().cloned() else {
            return Err(LogError::corrupt(dir, 0, "no segment"));
        };
        let stability = Stability::new(loaded.producers.first_transaction(), loaded.ended);
        let recovery_point = active.base;
        let appender = Appender {
            first_timestamp: first_timestamp(&active),
            active,
            producers: loaded.producers,
            pace: loaded.pace,
            since: now,
            jitter: Jitter::of(topic_id, partition.partition),
        };
        let log = Log {
            disk,
            dir: dir.to_owned(),
            partition,
            topic_id,
            config: ArcSwap::from_pointee(config),
            segments: ArcSwap::from_pointee(segments),
            log_start: AtomicI64::new(loaded.log_start.0),
            log_end: AtomicI64::new(loaded.log_end.0),
            // Recovery flushed what it checked; before a clean stop everything was flushed.
            flushed: AtomicI64::new(loaded.log_end.0),
            recovery_point: AtomicI64::new(recovery_point.0),
            epochs: RwLock::new(loaded.epochs),
            epochs_dirty: AtomicBool::new(loaded.recovered.truncated.is_some() || !start.clean),
            dir_dirty: AtomicBool::new(true),
            out_of_use: AtomicBool::new(false),
            truncations: AtomicU64::new(0),
            stability,
            appender: Mutex::new(appender),
            flushing: Mutex::new(()),
            replacing: Mutex::new(()),
            deleted: Mutex::new(false),
        };
        if known.is_none() {
            // A later segment must not outlive the first one. The folder's own name can wait: all would go with it.
            files::sync_dir(&*log.disk, dir)?;
        } else if !start.clean {
            // A process that was killed may have made files whose names a power loss would still take.
            if bench.syncs_parent { log.sync_dirs()? } else { files::sync_dir(&*log.disk, dir)? }
        }
        Ok((log, loaded.recovered))
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// Everything below survives a power loss. Not yet a recovery point to store: of the batches that a start has found there,
    /// the leader epochs may be on disk only once [`Log::flush`] returned.
    pub fn flushed(&self) -> Offset {
        Offset(self.flushed.load(Ordering::Acquire))
    }

    /// Where a start may begin to check: everything below is durable, and lies in closed segments whose indexes are durable, too.
    /// As [`Log::flushed`] says, not to be stored before the first flush.
    pub fn recovery_point(&self) -> Offset {
        Offset(self.recovery_point.load(Ordering::Acquire))
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size()).sum()
    }

    /// Base offsets of the segments.
    pub fn segment_bases(&self) -> Vec<Offset> {
        self.segments.load().iter().map(|segment| segment.base).collect()
    }

    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Takes effect with the next append.
    pub fn set_config(&self, config: LogConfig) {
        self.config.store(Arc::new(config));
    }

    /// Whether appends are refused since a failure, or since the log was closed.
    pub fn is_out_of_use(&self) -> bool {
        self.out_of_use.load(Ordering::Acquire)
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.read().latest().map(|latest| latest.epoch)
    }

    /// The leader epoch of the record at `offset`.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.read().epoch_of(offset)
    }

    /// The largest epoch up to `asked` and the offset after its last record; `None` where the log knows no answer.
    pub fn epoch_end_offset(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.read().end_offset(asked, self.log_end())
    }

    /// A leader begins here, at the log's end, before it appends anything.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) {
        let _appender = self.appender.lock();
        self.note_epoch(epoch, self.log_end());
    }

    /// How many idempotent producers are known.
    pub fn producer_count(&self) -> usize {
        self.appender.lock().producers.len()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`. To be called now and then.
    pub fn expire_producers(&self, now: Timestamp) {
        let expiration_ms = self.config.load().producer_id_expiration_ms;
        self.appender.lock().producers.expire(now, expiration_ms);
    }

    /// Appends one batch of a client, or finds that it is there already.
    pub fn append_as_leader(
        &self,
        batch: &Checked,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        debug_assert!(!batch.header.is_control(), "clients send none");
        let producer = ProducerBatch::of(&batch.header);
        self.append_checked(batch, producer, leader_epoch, now, |producers, expiration_ms| match &producer {
            Some(producer) => producers.check(producer, now, expiration_ms),
            None => Ok(Verdict::Append),
        })
    }

    /// Appends a batch of `producer` if `check`, given the producers and when they expire, lets it.
    pub(super) fn append_checked(
        &self,
        batch: &Checked,
        producer: Option<ProducerBatch>,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
        check: impl FnOnce(&Producers, i64) -> Result<Verdict, ProducerError>,
    ) -> Result<Appended, AppendError> {
        let config = self.config.load();
        let mut header = batch.header;
        let size = header.size();
        if header.last_offset_delta < 0 {
            return Err(AppendError::InvalidCount(header.last_offset_delta));
        }
        if size as u64 > config.segment_bytes {
            return Err(AppendError::LargerThanSegment { size, segment_bytes: config.segment_bytes });
        }

        let mut appender = self.appender.lock();
        self.check_usable()?;
        if let Some(current) = self.latest_epoch().filter(|current| *current > leader_epoch) {
            return Err(AppendError::FencedLeaderEpoch { asked: leader_epoch, current });
        }
        if let Verdict::Duplicate(written) = check(&appender.producers, config.producer_id_expiration_ms)? {
            return Ok(Appended {
                base_offset: written.base_offset(),
                last_offset: written.last_offset,
                log_append_time: written.timestamp,
                log_start_offset: self.log_start(),
                duplicate: true,
                flush_due: false,
            });
        }
        let base = self.log_end();
        header.base_offset = base.0;
        header.partition_leader_epoch = leader_epoch.0;
        let last = Offset(header.last_offset());
        let rolled = appender.must_roll(&config, &header, 0, now);
        if rolled {
            if planted(Fault::SnapshotAfterBatch)
                && let Some(producer) = &producer
            {
                appender.producers.appended(producer, base, now);
            }
            self.roll(&mut appender, &config, now)?;
        }
        let position = self.write_batches(&appender, &header.to_bytes(), &batch.payload, producer.as_ref(), base)?;
        appender.written(&header, position, &config);
        self.note_epoch(leader_epoch, base);
        if let Some(producer) = &producer {
            self.note_producer(&mut appender, producer, base, now);
        }
        self.log_end.store(last.0 + 1, Ordering::Release);
        drop(appender);

        let unflushed = last.0 + 1 - self.flushed().0;
        Ok(Appended {
            base_offset: base,
            last_offset: last,
            log_append_time: match header.timestamp_type() {
                TimestampType::LogAppendTime => Timestamp(header.max_timestamp),
                TimestampType::CreateTime => Timestamp::NONE,
            },
            log_start_offset: self.log_start(),
            duplicate: false,
            flush_due: rolled || unflushed as u64 >= config.flush_messages || self.disk.files().is_crowded(),
        })
    }

    /// Reads whole batches, from the one that contains `from` on, up to `max_bytes`, none that reaches beyond
    /// `until` (the high watermark, last stable offset or log end). Where `at_least_one`, the first batch comes
    /// whole even if it is larger. Empty where there is nothing below `until`, or not enough room.
    ///
    /// # Errors
    /// `OutOfRange` below the log start and above the log end.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
    ) -> Result<ReadSlice, ReadError> {
        self.undisturbed(|| self.try_read(from, max_bytes, until, at_least_one))
    }

    fn try_read(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
    ) -> Result<ReadSlice, ReadError> {
        let until = self.readable(from, until)?;
        if from < until {
            let segments = self.segments.load();
            let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
            for (at, segment) in segments.iter().enumerate().skip(first) {
                let limit = segments.get(at + 1).map_or_else(|| self.log_end(), |next| next.base);
                if let Some(slice) = segment.read(Wanted { from, until, max_bytes, at_least_one, limit })? {
                    return Ok(ReadSlice { bytes: slice.bytes, base_offset: slice.base, next_offset: slice.next });
                }
            }
        }
        Ok(ReadSlice { bytes: Bytes::new(), base_offset: from, next_offset: from })
    }

    /// As [`Log::read`], but what is large stays in its file, to go from there to the socket without being copied. So does
    /// what is larger than `memory_max`.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn slice(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
        memory_max: usize,
    ) -> Result<LogSlice, ReadError> {
        self.undisturbed(|| self.try_slice(from, max_bytes, until, at_least_one, memory_max, false))
    }

    /// As [`Log::slice`], for who reads committed records: with the aborted transactions. `until` is at most the last stable offset.
    pub fn slice_committed(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
        memory_max: usize,
    ) -> Result<LogSlice, ReadError> {
        let slice = || self.undisturbed(|| self.try_slice(from, max_bytes, until, at_least_one, memory_max, true));
        match slice() {
            Err(ReadError::Log(error)) if self.restores_aborted(&error) => slice(),
            result => result,
        }
    }

    fn try_slice(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
        memory_max: usize,
        with_aborted: bool,
    ) -> Result<LogSlice, ReadError> {
        let until = self.readable(from, until)?;
        if from < until {
            let segments = self.segments.load();
            let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
            for (at, segment) in segments.iter().enumerate().skip(first) {
                let limit = segments.get(at + 1).map_or_else(|| self.log_end(), |next| next.base);
                if let Some(span) = segment.span(Wanted { from, until, max_bytes, at_least_one, limit })? {
                    let after = || segments.get(at + 1).map_or(until, |next| next.base);
                    let is_large = span.length >= FILE_RANGE_MIN || span.length > memory_max;
                    let records = match is_large.then(|| segment.file_range(&span)).flatten() {
                        Some(range) => Records::File(range),
                        None => Records::Bytes(segment.bytes(&span)?),
                    };
                    let next_offset = span.next.unwrap_or_else(after);
                    // By the same segments: compaction drops records and their transactions at once.
                    let aborted =
                        if with_aborted { collect_aborted(&segments, from, next_offset)? } else { Vec::new() };
                    return Ok(LogSlice { records, aborted, next_offset });
                }
            }
        }
        Ok(LogSlice::empty(from))
    }

    /// Where reading from `from` must end: at `until`, and at the log end.
    fn readable(&self, from: Offset, until: Offset) -> Result<Offset, ReadError> {
        let (log_start, log_end) = (self.log_start(), self.log_end());
        if from < log_start || from > log_end {
            return Err(ReadError::OutOfRange { asked: from, log_start, log_end });
        }
        Ok(until.min(log_end))
    }

    /// Records below `offset` are deleted: they can no longer be read. Their segments go with the next retention.
    /// Returns the log start offset, which never goes backwards nor beyond the log end.
    pub fn advance_log_start(&self, offset: Offset) -> Offset {
        let _appender = self.appender.lock();
        let start = offset.min(self.log_end());
        if start > self.log_start() {
            self.log_start.store(start.0, Ordering::Release);
            if self.epochs.write().truncate_start(start) {
                self.epochs_dirty.store(true, Ordering::Release);
            }
        }
        self.log_start()
    }

    /// Makes everything that is appended by now durable and returns the offset up to which it is, which may then be stored as
    /// the recovery point. Threads that ask while a flush is under way wait for it and share the next one.
    ///
    /// # Errors
    /// After a failed flush of batches nobody knows what the disk holds: the log takes no appends any more, and no later flush
    /// succeeds. Where the rest failed (no descriptor is left, the disk is full), it can be tried again.
    pub fn flush(&self) -> Result<Offset, LogError> {
        let asked = self.log_end();
        let _flushing = self.flushing.lock();
        self.check_usable()?;
        self.flush_up_to(asked)
    }

    /// At least so far. The caller holds `flushing`.
    fn flush_up_to(&self, asked: Offset) -> Result<Offset, LogError> {
        let flushed = self.flushed();
        if flushed >= asked && !self.epochs_dirty.load(Ordering::Acquire) {
            return Ok(flushed);
        }
        let log_end = self.log_end();
        let segments = self.segments.load_full();
        // Of the segment that ends there, the indexes may have been completed since.
        let first = segments.partition_point(|segment| segment.base < flushed).saturating_sub(1);
        for (at, segment) in segments.iter().enumerate().skip(first) {
            let is_closed = at + 1 < segments.len();
            if planted(Fault::SkipDataSync) {
                continue;
            }
            if let Err(error) = segment.sync(is_closed) {
                if *self.deleted.lock() {
                    break;
                }
                // It left the log meanwhile; nothing of it has to be durable any more.
                if error.is_not_found() && segment.is_retired() {
                    continue;
                }
                self.out_of_use.store(true, Ordering::Release);
                return Err(error);
            }
        }
        self.settle_folder().inspect_err(|error| {
            if error.is_broken_disk() {
                let _ = files::note_flush_failure(&*self.disk, &self.dir);
                self.out_of_use.store(true, Ordering::Release);
            }
        })?;
        self.flushed.fetch_max(log_end.0, Ordering::AcqRel);
        if let Some(active) = segments.last() {
            self.recovery_point.fetch_max(active.base.0, Ordering::AcqRel);
        }
        Ok(log_end)
    }

    /// Makes durable what of the folder is not: its leader epochs and the names of its files.
    pub(super) fn settle_folder(&self) -> Result<(), LogError> {
        let deleted = self.deleted.lock();
        if *deleted {
            return Ok(());
        }
        if self.epochs_dirty.swap(false, Ordering::AcqRel) {
            self.write_epochs().inspect_err(|_| self.epochs_dirty.store(true, Ordering::Release))?;
        }
        if self.dir_dirty.swap(false, Ordering::AcqRel) {
            self.sync_dirs().inspect_err(|_| self.dir_dirty.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    /// Begins a new segment, unless the active one is empty.
    pub fn roll_now(&self, now: Timestamp) -> Result<(), LogError> {
        let mut appender = self.appender.lock();
        self.check_usable()?;
        if appender.active.size() == 0 {
            return Ok(());
        }
        self.roll(&mut appender, &self.config.load(), now)
    }

    /// The end of a clean stop: no appends any more, everything durable, producer state in a snapshot. The next
    /// start may then be a clean one.
    pub fn close(&self) -> Result<(), LogError> {
        let appender = self.appender.lock();
        self.check_usable()?;
        self.out_of_use.store(true, Ordering::Release);
        appender.active.settle()?;
        appender.active.sync(true)?;
        let path = files::segment_file(&self.dir, self.log_end(), SNAPSHOT_SUFFIX);
        files::write_atomically(&*self.disk, &path, &snapshot::encode(&appender.producers))?;
        self.epochs_dirty.store(true, Ordering::Release);
        // Nobody appends any more.
        drop(appender);
        let _flushing = self.flushing.lock();
        self.flush_up_to(self.log_end())?;
        Ok(())
    }

    /// Takes the partition out of the data folder under a name that no start opens, and returns the new path.
    /// [`remove_deleted`] then frees the space, which may take long; the data folder must be synced before, so that no power loss
    /// leaves half of a folder under its old name. Reads under way may go on.
    pub fn delete(&self, unique: Uuid) -> Result<PathBuf, LogError> {
        let _appender = self.appender.lock();
        self.out_of_use.store(true, Ordering::Release);
        let mut deleted = self.deleted.lock();
        *deleted = true;
        self.segments.load().iter().for_each(|segment| segment.retire());
        set_aside(&*self.disk, &self.dir, &self.partition, unique)
    }

    pub(super) fn check_usable(&self) -> Result<(), LogError> {
        if self.is_out_of_use() { Err(LogError::Failed { path: self.dir.clone() }) } else { Ok(()) }
    }

    /// Where the files' content is unknown, nothing more may be built on it.
    pub(super) fn note_failure(&self, error: &LogError) {
        if matches!(error, LogError::Failed { .. }) {
            self.out_of_use.store(true, Ordering::Release);
        }
    }

    pub(super) fn note_epoch(&self, epoch: LeaderEpoch, start: Offset) {
        if self.latest_epoch() != Some(epoch) && self.epochs.write().assign(epoch, start) {
            self.epochs_dirty.store(true, Ordering::Release);
        }
    }

    pub(super) fn write_epochs(&self) -> Result<(), LogError> {
        let text = self.epochs.read().to_checkpoint();
        files::write_atomically(&*self.disk, &self.dir.join(epochs::CHECKPOINT_FILE), text.as_bytes())
    }

    /// Makes the log's own entry in its parent and its files' entries in its folder durable.
    fn sync_dirs(&self) -> Result<(), LogError> {
        if planted(Fault::SkipDirSync) {
            return Ok(());
        }
        files::sync_dir(&*self.disk, &self.dir)?;
        self.dir.parent().map_or(Ok(()), |parent| files::sync_dir(&*self.disk, parent))
    }

    /// Closes the active segment and begins one at the log end. Nothing has changed where this fails.
    pub(super) fn roll(&self, appender: &mut Appender, config: &LogConfig, now: Timestamp) -> Result<(), LogError> {
        let base = self.log_end();
        debug_assert!(base > appender.active.base);
        appender.active.settle()?;
        appender.producers.expire(now, config.producer_id_expiration_ms);
        // It is not flushed here: a torn snapshot is told by its CRC, and a lost one costs a longer walk. The leader epochs are left to
        // the next flush: a torn checkpoint would take the place of a good one.
        let path = files::segment_file(&self.dir, base, SNAPSHOT_SUFFIX);
        files::write_unflushed(&*self.disk, &path, &snapshot::encode(&appender.producers))?;
        self.epochs_dirty.store(true, Ordering::Release);
        self.begin_segment(appender, Vec::clone(&self.segments.load()), base, now)
    }

    /// Makes an empty active segment that begins at `base`, after `segments`. Nothing has changed where this fails.
    pub(super) fn begin_segment(
        &self,
        appender: &mut Appender,
        mut segments: Vec<Arc<Segment>>,
        base: Offset,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let active = Segment::create(&self.disk, &self.dir, base).inspect_err(|error| self.note_failure(error))?;
        let active = Arc::new(active);
        segments.push(active.clone());
        self.segments.store(Arc::new(segments));
        self.dir_dirty.store(true, Ordering::Release);
        appender.active = active;
        appender.pace = IndexPace::default();
        appender.first_timestamp = None;
        appender.since = now;
        Ok(())
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({} {}..{})", self.partition, self.log_start(), self.log_end())
    }
}

impl Appender {
    pub(super) fn written(&mut self, header: &BatchHeader, position: u64, config: &LogConfig) {
        if position == 0 {
            self.first_timestamp = Some(Timestamp(header.max_timestamp));
        }
        // An index that cannot be written to has a gap, and a gap only makes looking up take longer.
        let _ = self.active.index(header, position, &mut self.pace, config.index_interval_bytes);
    }
}

/// As [`Log::delete`], of a log that is not open.
pub fn set_aside(disk: &dyn Disk, dir: &Path, partition: &TopicPartition, unique: Uuid) -> Result<PathBuf, LogError> {
    let renamed = dir.with_file_name(files::deleted_dir_name(partition, unique));
    files::rename(disk, dir, &renamed)?;
    Ok(renamed)
}

/// Removes a folder that [`Log::delete`] renamed, or that a stop in between left behind.
pub fn remove_deleted(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    files::remove_dir(disk, dir)
}

/// The max timestamp of a segment's first batch.
pub(super) fn first_timestamp(segment: &Segment) -> Option<Timestamp> {
    let mut header = [0; HEADER_LEN];
    let first = Batches::new(segment, 0, segment.size(), &mut header).next();
    first.ok().flatten().map(|(_, header)| Timestamp(header.max_timestamp))
}
