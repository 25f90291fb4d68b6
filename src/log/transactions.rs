//! The transactions of a log: Kafka's index of the aborted ones, and how far every transaction is decided.
//!
//! ```text
//! .txnindex   version i16 | producer id i64 | first offset i64 | last offset i64 | last stable offset i64
//! ```
//! One entry for each abort marker in the segment that ended something, in their order: the first offset may lie in an earlier
//! segment, the last offset is the marker's. The last stable offset is the log's just after it: an entry whose last stable offset is
//! at or beyond the end of a read is the last that can concern it. Most segments have no such file. It is no hint: records of a
//! transaction that is missing here would be taken for committed. So it is durable before a recovery point leaves its segment
//! behind, and made anew from the batches with the rest of what a start does not trust.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes};
use felice_protocol::record::{Batch, BatchHeader, Checked, EndTransactionMarker};
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use tracing::{error, warn};

use super::{
    files::{self, LogError},
    partition::{AppendError, Appended, Appender, Log},
    producers::{CompletedTxn, ProducerBatch, Verdict},
    recovery,
    segment::Segment,
};
use crate::{
    env::{PooledFile, SharedDisk},
    model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp},
};

const VERSION: i16 = 0;
const ENTRY_SIZE: usize = 34;

/// Entries read at once.
const READ_AT_ONCE: u64 = 64;

/// A batch of one marker is some 78 bytes; what is larger than this is none.
pub(super) const MARKER_MAX: usize = 4096;

/// A transaction that was aborted, as far as it concerns one partition. Kafka's class of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTxn {
    /// Of its first record.
    pub first_offset: Offset,
    /// Of its marker.
    pub last_offset: Offset,
    /// The log's, once the marker is below the high watermark.
    pub last_stable_offset: Offset,
    pub producer_id: ProducerId,
}

/// How a transaction ends on a partition, as its coordinator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionEnd {
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub marker: EndTransactionMarker,
    /// From 2 on each transaction has an epoch of its own, and the marker one above that of the records (KIP-890, KIP-1228).
    pub transaction_version: i16,
}

impl AbortedTxn {
    pub(super) fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        let mut out = &mut bytes[..];
        out.put_i16(VERSION);
        out.put_i64(self.producer_id.0);
        out.put_i64(self.first_offset.0);
        out.put_i64(self.last_offset.0);
        out.put_i64(self.last_stable_offset.0);
        bytes
    }

    /// From exactly [`ENTRY_SIZE`] bytes, of an index whose segment begins at `base`.
    fn decode(mut bytes: &[u8], base: Offset) -> Result<AbortedTxn, String> {
        if bytes.len() != ENTRY_SIZE {
            return Err(format!("{} bytes are no entry", bytes.len()));
        }
        let version = bytes.get_i16();
        let entry = AbortedTxn {
            producer_id: ProducerId(bytes.get_i64()),
            first_offset: Offset(bytes.get_i64()),
            last_offset: Offset(bytes.get_i64()),
            last_stable_offset: Offset(bytes.get_i64()),
        };
        let AbortedTxn { first_offset, last_offset, last_stable_offset, .. } = entry;
        if version != VERSION {
            return Err(format!("an entry of version {version}"));
        }
        if first_offset.0 < 0 || first_offset >= last_offset || last_offset < base || last_stable_offset.0 < 0 {
            return Err(format!("an impossible entry: {entry:?}"));
        }
        Ok(entry)
    }
}

/// A segment's `.txnindex`. Appends come from one thread at a time; they may go on while others read.
///
/// Invariant: last offsets ascend strictly, and none is below the segment's base.
#[derive(Debug)]
pub(super) struct TransactionIndex {
    disk: SharedDisk,
    path: PathBuf,
    base: Offset,
    /// Not there before the first entry is.
    file: PooledFile,
    /// `None` until it is first needed: a start looks at no file of a closed segment.
    state: RwLock<Option<State>>,
}

/// What is in the file.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    entries: u64,
    last_offset: Option<Offset>,
}

impl TransactionIndex {
    /// An empty one; a file that is there is removed.
    pub fn create(disk: &SharedDisk, path: PathBuf, base: Offset) -> Result<TransactionIndex, LogError> {
        files::remove(&**disk, &path)?;
        let index = TransactionIndex::open(disk, path, base);
        *index.state.write() = Some(State::default());
        Ok(index)
    }

    /// What is there, which is looked at when it is needed.
    pub fn open(disk: &SharedDisk, path: PathBuf, base: Offset) -> TransactionIndex {
        let file = PooledFile::new(disk, path.clone());
        TransactionIndex { disk: Arc::clone(disk), path, base, file, state: RwLock::new(None) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`Segment::retire`].
    pub fn retire(&self) {
        self.file.retire();
    }

    fn state(&self) -> Result<State, LogError> {
        self.hold().map(|state| *state)
    }

    /// While this is held, the file is not replaced. It may grow.
    fn hold(&self) -> Result<MappedRwLockReadGuard<'_, State>, LogError> {
        loop {
            if let Ok(state) = RwLockReadGuard::try_map(self.state.read(), Option::as_ref) {
                return Ok(state);
            }
            let mut state = self.state.write();
            if state.is_none() {
                *state = Some(self.load()?);
            }
        }
    }

    fn load(&self) -> Result<State, LogError> {
        let size = match files::size(&self.file, &self.path) {
            Ok(size) => size,
            // Another file may have had its name, or none has it any more: nobody can tell what was in it.
            Err(error) if error.is_not_found() && !self.file.is_retired() => return Ok(State::default()),
            Err(error) => return Err(error),
        };
        if size % ENTRY_SIZE as u64 != 0 {
            return Err(LogError::corrupt(&self.path, size, "it ends within an entry"));
        }
        let entries = size / ENTRY_SIZE as u64;
        let last = entries.checked_sub(1).map(|last| self.entry(last)).transpose()?;
        Ok(State { entries, last_offset: last.map(|last| last.last_offset) })
    }

    /// Adds an entry; true where its file had to be made. Nothing has changed where this fails, or the file is lost.
    pub fn append(&self, entry: &AbortedTxn) -> Result<bool, LogError> {
        let State { entries, last_offset } = self.state()?;
        debug_assert!(last_offset.is_none_or(|last| last < entry.last_offset));
        if entries == 0 {
            files::open(&*self.disk, &self.path)?;
        }
        let position = entries * ENTRY_SIZE as u64;
        if let Err(error) = files::write_at(&self.file, &self.path, &entry.encode(), &[], position) {
            return match files::truncate(&self.file, &self.path, position) {
                Ok(()) => Err(error),
                Err(_) => Err(LogError::Failed { path: self.path.clone() }),
            };
        }
        *self.state.write() = Some(State { entries: entries + 1, last_offset: Some(entry.last_offset) });
        Ok(entries == 0)
    }

    /// Forgets the entries whose marker is at `end` or after.
    pub fn cut(&self, end: Offset) -> Result<(), LogError> {
        let state = self.state()?;
        if state.last_offset.is_none_or(|last| last < end) {
            return Ok(());
        }
        let entries = self.first_from(state, end)?;
        let last = entries.checked_sub(1).map(|last| self.entry(last)).transpose()?;
        files::truncate(&self.file, &self.path, entries * ENTRY_SIZE as u64)?;
        *self.state.write() = Some(State { entries, last_offset: last.map(|last| last.last_offset) });
        Ok(())
    }

    /// Forgets everything, whatever is in the file.
    pub fn clear(&self) -> Result<(), LogError> {
        let mut state = self.state.write();
        match files::truncate(&self.file, &self.path, 0) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        *state = Some(State::default());
        Ok(())
    }

    /// Whether what is in the file cannot be.
    pub fn is_damaged(&self) -> Result<bool, LogError> {
        let walk = || {
            let state = self.hold()?;
            self.walk(0, state.entries, |_| true)
        };
        match walk() {
            Ok(()) => Ok(false),
            Err(LogError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Puts these entries in the place of what is there, durably.
    fn replace(&self, entries: &[AbortedTxn]) -> Result<(), LogError> {
        let mut state = self.state.write();
        *state = None;
        let content: Vec<u8> = entries.iter().flat_map(AbortedTxn::encode).collect();
        files::truncate(&self.file, &self.path, 0)?;
        files::write_at(&self.file, &self.path, &content, &[], 0)?;
        files::sync(&self.file, &self.path)?;
        *state =
            Some(State { entries: entries.len() as u64, last_offset: entries.last().map(|last| last.last_offset) });
        Ok(())
    }

    /// Makes what was appended durable; the file's name is so once its folder is.
    pub fn sync(&self) -> Result<(), LogError> {
        let has_entries = self.state.read().is_some_and(|state| state.entries > 0);
        if has_entries { files::sync(&self.file, &self.path) } else { Ok(()) }
    }

    /// Collects the transactions that have records from `from` on and before `until`; true where no later segment can have one.
    fn collect(&self, from: Offset, until: Offset, found: &mut Vec<AbortedTxn>) -> Result<bool, LogError> {
        let state = self.hold()?;
        if state.last_offset.is_none_or(|last| last < from) {
            return Ok(false);
        }
        let mut is_complete = false;
        self.walk(self.first_from(*state, from)?, state.entries, |entry| {
            if entry.first_offset < until {
                found.push(entry);
            }
            is_complete = entry.last_stable_offset >= until;
            !is_complete
        })?;
        Ok(is_complete)
    }

    /// The first entry whose last offset is at least `offset`.
    fn first_from(&self, state: State, offset: Offset) -> Result<u64, LogError> {
        let (mut low, mut high) = (0, state.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.last_offset < offset { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Shows the entries from `first` on, as long as `visit` wants more.
    fn walk(&self, first: u64, entries: u64, mut visit: impl FnMut(AbortedTxn) -> bool) -> Result<(), LogError> {
        let (mut at, mut before) = (first, None);
        while at < entries {
            let length = (entries - at).min(READ_AT_ONCE) as usize * ENTRY_SIZE;
            let position = at * ENTRY_SIZE as u64;
            let bytes = files::read_bytes(&self.file, &self.path, position, length)?;
            if bytes.len() != length {
                return Err(LogError::corrupt(&self.path, position, "it is shorter than it was"));
            }
            for entry in bytes.chunks_exact(ENTRY_SIZE) {
                let corrupt = |why| LogError::corrupt(&self.path, at * ENTRY_SIZE as u64, why);
                let entry = AbortedTxn::decode(entry, self.base).map_err(corrupt)?;
                if before.is_some_and(|before| before >= entry.last_offset) {
                    return Err(corrupt("offsets run backwards".to_owned()));
                }
                if !visit(entry) {
                    return Ok(());
                }
                before = Some(entry.last_offset);
                at += 1;
            }
        }
        Ok(())
    }

    fn entry(&self, at: u64) -> Result<AbortedTxn, LogError> {
        let (mut bytes, position) = ([0; ENTRY_SIZE], at * ENTRY_SIZE as u64);
        let read = files::read_at(&self.file, &self.path, &mut bytes, position)?;
        AbortedTxn::decode(bytes.get(..read).unwrap_or_default(), self.base)
            .map_err(|why| LogError::corrupt(&self.path, position, why))
    }
}

/// How far the transactions of a log are decided: what its appends tell those who read, without the append lock.
///
/// A transaction that has ended goes on to hold back readers until its marker is below the high watermark: a new leader might not
/// have the marker, and end the transaction otherwise.
#[derive(Debug)]
pub(super) struct Stability {
    /// The first offset of the oldest open transaction; `i64::MAX` where there is none.
    first_open: AtomicI64,
    has_ended: AtomicBool,
    /// Transactions whose markers may be at the high watermark or above: first offset, and that of the marker.
    ended: Mutex<BTreeMap<Offset, Offset>>,
}

impl Stability {
    pub fn new(first_open: Option<Offset>, ended: BTreeMap<Offset, Offset>) -> Stability {
        let stability = Stability {
            first_open: AtomicI64::new(i64::MAX),
            has_ended: AtomicBool::new(false),
            ended: Mutex::default(),
        };
        stability.reset(first_open, ended);
        stability
    }

    /// Begins anew, after a truncation.
    pub fn reset(&self, first_open: Option<Offset>, ended: BTreeMap<Offset, Offset>) {
        let mut known = self.ended.lock();
        self.has_ended.store(!ended.is_empty(), Ordering::Release);
        *known = ended;
        self.first_open.store(first_open.map_or(i64::MAX, |first| first.0), Ordering::Release);
    }

    /// A batch was appended that may have begun or, where `completed`, ended a transaction. To be told before the log end is: who
    /// sees a high watermark above a batch must see what it did to transactions.
    pub fn note(&self, first_open: Option<Offset>, completed: Option<CompletedTxn>) {
        if let Some(completed) = completed {
            let mut ended = self.ended.lock();
            ended.insert(completed.first_offset, completed.last_offset);
            self.has_ended.store(true, Ordering::Release);
        }
        self.first_open.store(first_open.map_or(i64::MAX, |first| first.0), Ordering::Release);
    }

    /// The first offset whose transaction is undecided as seen from a high watermark; `i64::MAX` where there is none.
    fn first_unstable(&self, high_watermark: Offset) -> Offset {
        // In this order: a transaction that ends is among the ended ones before it is no longer open.
        let first_open = Offset(self.first_open.load(Ordering::Acquire));
        if !self.has_ended.load(Ordering::Acquire) {
            return first_open;
        }
        let mut ended = self.ended.lock();
        ended.retain(|_, marker| *marker >= high_watermark);
        self.has_ended.store(!ended.is_empty(), Ordering::Release);
        ended.first_key_value().map_or(first_open, |(first, _)| first_open.min(*first))
    }
}

impl Log {
    /// Where reading of committed records must end: at the first record of the oldest transaction that is open or whose end is
    /// not below `high_watermark`, else at that. `high_watermark` must have been read before this is called.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        // Records of an open transaction may have been deleted.
        self.stability.first_unstable(high_watermark).max(self.log_start()).min(high_watermark)
    }

    /// Where the oldest transaction begins that is open or whose end is not below `high_watermark`.
    pub fn first_undecided(&self, high_watermark: Offset) -> Option<Offset> {
        Some(self.stability.first_unstable(high_watermark)).filter(|first| first.0 != i64::MAX)
    }

    /// The aborted transactions that have records from `from` on and before `until`, which is at most the last stable offset; by
    /// their first offsets.
    pub fn aborted_transactions(&self, from: Offset, until: Offset) -> Result<Vec<AbortedTxn>, LogError> {
        let collect = || self.undisturbed(|| collect_aborted(&self.segments.load(), from, until));
        match collect() {
            Err(error) if self.restores_aborted(&error) => collect(),
            result => result,
        }
    }

    /// Whether an error was of a damaged transaction index, which is sound now: it was made anew from the batches.
    pub(super) fn restores_aborted(&self, error: &LogError) -> bool {
        let LogError::Corrupt { path, .. } = error else { return false };
        let restore = || {
            // Of the same log as long as this is held, but that it may roll.
            let _replacing = self.replacing.lock();
            let segments = self.segments.load_full();
            let Some(at) = segments.iter().position(|segment| segment.aborted.path() == path) else {
                return Ok(false);
            };
            // Nobody else appends to a closed one.
            let _appender = (at + 1 == segments.len()).then(|| self.appender.lock());
            let upto = segments.get(..=at).unwrap_or_default();
            let Some(segment) = upto.last() else { return Ok(false) };
            if segment.aborted.is_damaged()? {
                warn!("{error}: making it anew");
                let entries = recovery::aborted_in_last(&*self.disk, &self.dir, upto, Timestamp::NONE)?;
                segment.aborted.replace(&entries)?;
            }
            Ok(true)
        };
        restore().unwrap_or_else(|error: LogError| {
            error!("cannot make a transaction index anew: {error}");
            false
        })
    }

    /// Ends a producer's transaction here: appends its marker, which the transaction's coordinator sent. A marker without a
    /// transaction is appended as well: it fences older epochs.
    pub fn append_marker(
        &self,
        end: &TransactionEnd,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let bytes = end.marker.batch(end.producer_id.0, end.producer_epoch.0, now.0);
        let Ok((batch, _)) = Batch::split_first(&bytes) else { return Err(AppendError::InvalidCount(0)) };
        let batch = Checked { header: *batch.header(), payload: batch.payload() };
        let producer = ProducerBatch::of(&batch.header);
        let producer = producer.map(|producer| ProducerBatch { marker: Some(end.marker), ..producer });
        self.append_checked(&batch, producer, leader_epoch, now, |producers, expiration_ms| {
            producers.check_end(end, now, expiration_ms).map(|()| Verdict::Append)
        })
    }

    /// Writes batches to the active segment: several, or one of `producer`, which may be a marker. The transaction that it aborts
    /// is indexed before: after a kill the index may know too much, which recovery puts right, but never too little.
    pub(super) fn write_batches(
        &self,
        appender: &Appender,
        header: &[u8],
        payload: &[u8],
        producer: Option<&ProducerBatch>,
        base: Offset,
    ) -> Result<u64, LogError> {
        let active = &appender.active;
        let aborted = producer.and_then(|producer| appender.producers.aborted_by(producer, base));
        if let Some(aborted) = &aborted
            && active.aborted.append(aborted).inspect_err(|error| self.note_failure(error))?
        {
            self.dir_dirty.store(true, Ordering::Release);
        }
        active.append(header, payload).inspect_err(|error| {
            self.note_failure(error);
            if aborted.is_some() && active.aborted.cut(base).is_err() {
                self.out_of_use.store(true, Ordering::Release);
            }
        })
    }

    /// Takes note of a producer's batch that was written at `base`. To be called before the log end is raised.
    pub(super) fn note_producer(&self, appender: &mut Appender, batch: &ProducerBatch, base: Offset, now: Timestamp) {
        let completed = appender.producers.appended(batch, base, now);
        if batch.transactional {
            self.stability.note(appender.producers.first_transaction(), completed);
        }
    }
}

/// See [`Log::aborted_transactions`].
pub(super) fn collect_aborted(
    segments: &[Arc<Segment>],
    from: Offset,
    until: Offset,
) -> Result<Vec<AbortedTxn>, LogError> {
    let mut found = Vec::new();
    if from < until {
        let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        for segment in segments.iter().skip(first) {
            if segment.aborted.collect(from, until, &mut found)? {
                break;
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A batch as producer state sees it, its marker included; `None` where it is of no idempotent producer.
pub(super) fn producer_batch(header: &BatchHeader, batch: &Bytes) -> Option<ProducerBatch> {
    let marker = if header.is_control() { marker_in(batch) } else { None };
    ProducerBatch::of(header).map(|producer| ProducerBatch { marker, ..producer })
}

/// The marker in a control batch; `None` where compaction has emptied it, or where it is another control record.
fn marker_in(batch: &Bytes) -> Option<EndTransactionMarker> {
    let (batch, _) = Batch::split_first(batch).ok()?;
    let record = batch.records(MARKER_MAX).ok()?.next()?.ok()?;
    EndTransactionMarker::parse(&record).ok()?
}
