//! One segment: a `.log` file of record batches and its indexes.
//!
//! Readers need no lock: `size` is raised after the bytes are in the file, and nobody reads beyond it. Only the
//! holder of the partition's append lock calls `append`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use felice_protocol::{
    record::{BatchHeader, HEADER_LEN},
    wire::FileRange,
};

use super::{
    files::{self, CLEANED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, LogError, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX},
    index::{Entry, Index, OffsetEntry, TimeEntry},
    transactions::TransactionIndex,
    walk::{Known, Wanted},
};
use crate::{
    env::{
        DiskFile, OpenMode, PooledFile, SharedDisk,
        faults::{Fault, planted},
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering},
        },
    },
    model::{Offset, Timestamp},
};

/// What is read at once when only headers are wanted: on the stack, an index interval long.
const PROBE_SIZE: usize = 4096;

/// A timestamp and the last offset of the batch it is the largest of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimestampOffset {
    pub timestamp: Timestamp,
    pub offset: Offset,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub base: Offset,
    disk: SharedDisk,
    path: PathBuf,
    file: PooledFile,
    /// Bytes of whole batches. The file may be longer while an append is under way.
    size: AtomicU64,
    pub known: Known,
    pub offsets: Index<OffsetEntry>,
    pub times: Index<TimeEntry>,
    pub aborted: TransactionIndex,
    /// The largest timestamp in here and the first batch that has it.
    largest: Mutex<Option<TimestampOffset>>,
}

/// Whole batches as they lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub bytes: Bytes,
    pub base: Offset,
    pub next: Offset,
}

/// Counts appended bytes towards the next index entry.
#[derive(Debug, Default)]
pub(super) struct IndexPace {
    pub bytes: u64,
}

impl Segment {
    /// New and empty; whatever files are there under its name lose their content.
    ///
    /// The `.log` file comes last, and goes again where it cannot be used: it is what a start takes for a segment, and one
    /// that is left behind while the segment before grows beyond its base would hide or cut what was acknowledged.
    pub fn create(disk: &SharedDisk, dir: &Path, base: Offset) -> Result<Segment, LogError> {
        Segment::create_as(disk, |suffix| files::segment_file(dir, base, suffix), base)
    }

    /// As [`Segment::create`], under names that a start does not take for a segment's.
    pub fn create_cleaned(disk: &SharedDisk, dir: &Path, base: Offset) -> Result<Segment, LogError> {
        let name = |suffix: &str| files::segment_file(dir, base, &format!("{suffix}.{CLEANED_SUFFIX}"));
        Segment::create_as(disk, name, base)
    }

    fn create_as(disk: &SharedDisk, name: impl Fn(&str) -> PathBuf, base: Offset) -> Result<Segment, LogError> {
        let offsets = Index::create(disk, name(INDEX_SUFFIX))?;
        let times = Index::create(disk, name(TIME_INDEX_SUFFIX))?;
        let aborted = TransactionIndex::create(disk, name(TXN_INDEX_SUFFIX), base)?;
        let path = name(LOG_SUFFIX);
        let file = files::open_pooled(disk, &path, OpenMode::OrCreate)?;
        // Nothing is in it that would have to be flushed, so that it can be closed before it is written to.
        let emptied = file.opened().map_err(|error| LogError::io("open", &path, error));
        if let Err(error) = emptied.and_then(|file| files::truncate(&*file, &path, 0)) {
            return match files::remove(&**disk, &path) {
                Ok(()) => Err(error),
                Err(_) => Err(LogError::Failed { path }),
            };
        }
        Ok(Segment {
            base,
            disk: Arc::clone(disk),
            path,
            file,
            size: AtomicU64::new(0),
            known: Known::from(0),
            offsets,
            times,
            aborted,
            largest: Mutex::new(None),
        })
    }

    /// Opens what is there, trusting every byte; true where an index is missing or implausible and must be rebuilt.
    pub fn load(disk: &SharedDisk, dir: &Path, base: Offset) -> Result<(Segment, bool), LogError> {
        let path = files::segment_file(dir, base, LOG_SUFFIX);
        let file = files::open_pooled(disk, &path, OpenMode::Existing)?;
        let size = files::size(&file, &path)?;
        let (offsets_path, times_path) =
            (files::segment_file(dir, base, INDEX_SUFFIX), files::segment_file(dir, base, TIME_INDEX_SUFFIX));
        let offsets = Index::<OffsetEntry>::load(disk, offsets_path.clone())?;
        let offsets = offsets.filter(|index| index.last().is_none_or(|last| u64::from(last.position) < size));
        let times = Index::<TimeEntry>::load(disk, times_path.clone())?;
        // A closed segment that holds anything, not just a header, has its largest timestamp there.
        let is_empty = size <= HEADER_LEN as u64;
        let times = times.filter(|index| (index.entries() > 0 || is_empty) && index.last().is_none_or(is_plausible));
        let damaged = offsets.is_none() || times.is_none();
        let offsets = offsets.map_or_else(|| Index::create(disk, offsets_path), Ok)?;
        let times = times.map_or_else(|| Index::create(disk, times_path), Ok)?;
        let largest = times.last().map(|last| TimestampOffset {
            timestamp: Timestamp(last.timestamp),
            offset: base.plus(i64::from(last.relative_offset)),
        });
        let segment = Segment {
            base,
            disk: Arc::clone(disk),
            path,
            file,
            size: AtomicU64::new(size),
            known: Known::from(size),
            offsets,
            times,
            aborted: TransactionIndex::open(disk, files::segment_file(dir, base, TXN_INDEX_SUFFIX), base),
            largest: Mutex::new(largest),
        };
        Ok((segment, damaged))
    }

    /// Of its `.log` file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the buffer from `position` on; returns the bytes read, which are fewer where the file ends.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogError> {
        files::read_at(&self.file, &self.path, buffer, position)
    }

    /// Bytes that may be read.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// When the last batch was written.
    pub fn modified(&self) -> Result<Timestamp, LogError> {
        files::modified(&self.file, &self.path)
    }

    pub fn set_modified(&self, at: Timestamp) -> Result<(), LogError> {
        self.file.set_modified(at).map_err(|error| LogError::io("set the time of", &self.path, error))
    }

    pub fn largest(&self) -> Option<TimestampOffset> {
        *self.largest.lock()
    }

    /// Writes a batch, or several: a patched header, then what follows. On an error nothing of it remains, or, where even that
    /// fails, [`LogError::Failed`] says that the file is lost.
    pub fn append(&self, header: &[u8], payload: &[u8]) -> Result<u64, LogError> {
        let position = self.size.load(Ordering::Relaxed);
        if let Err(error) = files::write_at(&self.file, &self.path, header, payload, position) {
            if planted(Fault::SkipRollback) {
                self.size.store(files::size(&self.file, &self.path)?, Ordering::Release);
                return Err(error);
            }
            return match files::truncate(&self.file, &self.path, position) {
                Ok(()) => Err(error),
                Err(_) => Err(LogError::Failed { path: self.path.clone() }),
            };
        }
        self.size.store(position + (header.len() + payload.len()) as u64, Ordering::Release);
        Ok(position)
    }

    /// Takes note of a batch that lies at `position`: largest timestamp and, every `interval` bytes, index entries.
    pub fn index(
        &self,
        header: &BatchHeader,
        position: u64,
        pace: &mut IndexPace,
        interval: u64,
    ) -> Result<(), LogError> {
        let last_offset = Offset(header.last_offset());
        let largest = {
            let mut largest = self.largest.lock();
            if largest.is_none_or(|known| known.timestamp.0 < header.max_timestamp) {
                *largest = Some(TimestampOffset { timestamp: Timestamp(header.max_timestamp), offset: last_offset });
            }
            *largest
        };
        let due = pace.bytes > interval;
        if due {
            pace.bytes = 0;
        }
        pace.bytes += header.size() as u64;
        if due
            && let Some(relative_offset) = self.relative(last_offset)
            && let Ok(position) = u32::try_from(position)
        {
            let position = if planted(Fault::IndexNextBatch) { position + header.size() as u32 } else { position };
            self.offsets.push(OffsetEntry { relative_offset, position })?;
            self.push_time(largest)?;
        }
        Ok(())
    }

    /// Completes the indexes, as no batch follows for now, and writes them to their files.
    pub fn settle(&self) -> Result<(), LogError> {
        self.push_time(self.largest())?;
        self.offsets.settle()?;
        self.times.settle()
    }

    /// Makes the batches durable, with `indexes` those too.
    pub fn sync(&self, indexes: bool) -> Result<(), LogError> {
        let sync = || {
            files::sync(&self.file, &self.path)?;
            if indexes {
                self.offsets.sync()?;
                self.times.sync()?;
                self.aborted.sync()?;
            }
            Ok(())
        };
        sync().inspect_err(|error: &LogError| {
            // One that is not there was not flushed, and did not fail.
            if let Some(dir) = self.path.parent().filter(|_| !error.is_not_found()) {
                // Where this fails too, the disk is most likely gone for good.
                let _ = files::note_flush_failure(&*self.disk, dir);
            }
        })
    }

    /// Writes every byte and the length once more, for a flush to come that must not take them for clean.
    pub fn rewrite(&self, buffer: &mut [u8]) -> Result<(), LogError> {
        files::truncate(&self.file, &self.path, self.size())?;
        let mut position = 0;
        loop {
            let read = files::read_at(&self.file, &self.path, buffer, position)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            files::write_at(&self.file, &self.path, bytes, &[], position)?;
            position += read as u64;
        }
    }

    /// Empties the indexes before they are made anew.
    pub fn clear_indexes(&self) -> Result<(), LogError> {
        *self.largest.lock() = None;
        self.offsets.clear()?;
        self.times.clear()
    }

    /// Cuts the file. The caller holds the append lock or is alone, and puts the indexes right.
    pub fn truncate(&self, size: u64) -> Result<(), LogError> {
        self.size.store(size, Ordering::Release);
        files::truncate(&self.file, &self.path, size)
    }

    /// Cuts a segment that gets no more batches where a batch begins or the last one ends, its indexes with it, and makes
    /// that durable. Ranges of the file that were handed out come up short: bytes behind the cut are never written again.
    pub fn cut(&self, position: u64) -> Result<(), LogError> {
        self.truncate(position)?;
        self.offsets.cut(|entry| u64::from(entry.position) < position)?;
        let mut end = self.base;
        let mut probe = [0; PROBE_SIZE];
        let mut batches = Batches::new(self, self.last_indexed(position)?, position, &mut probe);
        let mut since = Vec::new();
        while let Some((_, header)) = batches.next()? {
            end = Offset(header.next_offset());
            since.push(TimestampOffset {
                timestamp: Timestamp(header.max_timestamp),
                offset: Offset(header.last_offset()),
            });
        }
        self.times.cut(|entry| self.base.plus(i64::from(entry.relative_offset)) < end)?;
        self.aborted.cut(end)?;
        // No batch before the last one that is indexed is later than what the time index says.
        let mut largest = self.times.last().map(|last| TimestampOffset {
            timestamp: Timestamp(last.timestamp),
            offset: self.base.plus(i64::from(last.relative_offset)),
        });
        for batch in since {
            if largest.is_none_or(|known| known.timestamp < batch.timestamp) {
                largest = Some(batch);
            }
        }
        *self.largest.lock() = largest;
        self.settle()?;
        self.sync(true)
    }

    /// From now on no file is opened by its name for this segment: the names may soon be gone, or those of other files. To be
    /// called once the segment is no longer in the log's list, and before anything is renamed or removed. Whoever has a file
    /// open goes on reading; others find that it is not there ([`LogError::is_not_found`]) and look at the list again.
    pub fn retire(&self) {
        self.file.retire();
        self.offsets.retire();
        self.times.retire();
        self.aborted.retire();
    }

    pub fn is_retired(&self) -> bool {
        self.file.is_retired()
    }

    /// Retires the segment and removes its files.
    pub fn remove(&self) -> Result<(), LogError> {
        self.retire();
        files::remove(&*self.disk, &self.path)?;
        files::remove(&*self.disk, self.offsets.path())?;
        files::remove(&*self.disk, self.times.path())?;
        files::remove(&*self.disk, self.aborted.path())
    }

    /// Whether `offset` can be told relative to the base in four bytes, as Kafka's signed ones.
    pub fn reaches(&self, offset: Offset) -> bool {
        self.relative(offset).is_some_and(|relative| relative <= i32::MAX as u32)
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        u32::try_from(offset.0.checked_sub(self.base.0)?).ok()
    }

    fn push_time(&self, largest: Option<TimestampOffset>) -> Result<(), LogError> {
        let Some(TimestampOffset { timestamp, offset }) = largest.filter(|largest| largest.timestamp.0 >= 0) else {
            return Ok(());
        };
        let Some(relative_offset) = self.relative(offset) else { return Ok(()) };
        self.times.push(TimeEntry { timestamp: timestamp.0, relative_offset })
    }

    /// The first batch whose last offset is at least `offset`, and where it begins; `None` where all end before.
    pub fn locate(&self, offset: Offset, end: u64) -> Result<Option<(u64, BatchHeader)>, LogError> {
        Ok(self.find(offset, end)?.map(|found| (found.position, found.header)))
    }

    /// As [`Segment::locate`], with what was met on the way.
    fn find(&self, offset: Offset, end: u64) -> Result<Option<Located>, LogError> {
        let mut probe = [0; PROBE_SIZE];
        if let Some(hint) = self.hint(offset)?.filter(|hint| hint.position < end) {
            let mut batches = Batches::new(self, hint.position, end, &mut probe);
            match batches.next() {
                Ok(Some(first)) if first.1.last_offset() == hint.last_offset => {
                    return batches.seek(offset, Some(first), true);
                }
                // The entry does not lead to the batch it names: walk from the beginning.
                Ok(_) | Err(LogError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut batches = Batches::new(self, 0, end, &mut probe);
        let first = batches.next()?;
        batches.seek(offset, first, false)
    }

    /// The index's word on where to begin to look for `offset`.
    fn hint(&self, offset: Offset) -> Result<Option<Hint>, LogError> {
        let relative = u32::try_from(offset.0.saturating_sub(self.base.0).max(0)).unwrap_or(u32::MAX);
        let entry = match self.offsets.floor(relative) {
            Err(error) if error.is_not_found() => None,
            found => found?,
        };
        Ok(entry.map(|entry| Hint {
            position: u64::from(entry.position),
            last_offset: self.base.0.saturating_add(i64::from(entry.key())),
        }))
    }

    /// The offset after the last batch.
    pub fn end_offset(&self) -> Result<Offset, LogError> {
        self.end_offset_before(self.size())
    }

    /// The offset after the last batch that ends by `end`, looked for from the last index entry on.
    pub fn end_offset_before(&self, end: u64) -> Result<Offset, LogError> {
        let mut probe = [0; PROBE_SIZE];
        let mut batches = Batches::new(self, self.last_indexed(end)?, end, &mut probe);
        let mut next = self.base;
        while let Some((_, header)) = batches.next()? {
            next = Offset(header.next_offset());
        }
        Ok(next)
    }

    /// Where the last batch begins that the index knows of before `end`; 0 where it knows none.
    fn last_indexed(&self, end: u64) -> Result<u64, LogError> {
        let entry = match self.offsets.last_where(|entry| u64::from(entry.position) < end) {
            Err(error) if error.is_not_found() => None,
            found => found?,
        };
        let Some(entry) = entry else { return Ok(0) };
        let last_offset = self.base.plus(i64::from(entry.relative_offset));
        Ok(self.locate(last_offset, end)?.map_or(0, |(position, _)| position))
    }

    /// Whole batches from the one that contains `from` on, up to `max_bytes`, none that reaches `until`. The first
    /// comes whole where `at_least_one` asks for it. `None` where all batches end before `from`.
    pub fn read(&self, wanted: Wanted) -> Result<Option<Slice>, LogError> {
        let Wanted { from, until, max_bytes, at_least_one, .. } = wanted;
        let end = self.size();
        let Some(found) = self.find(from, end)? else { return Ok(None) };
        let (position, first) = (found.position, found.header);
        let length = max_bytes.max(first.size());
        if !self.known.covers(position, position.saturating_add(length as u64).min(end)) {
            let span = self.walk(found, end, wanted)?;
            let base = if span.length > 0 { Offset(first.base_offset) } else { from };
            return Ok(Some(Slice { bytes: self.bytes(&span)?, base, next: span.next.unwrap_or(from) }));
        }
        let empty = Slice { bytes: Bytes::new(), base: from, next: from };
        let fits = first.size() <= max_bytes;
        if first.next_offset() > until.0 || !(fits || at_least_one) {
            return Ok(Some(empty));
        }
        let available = usize::try_from(end - position).unwrap_or(usize::MAX);
        let wanted = if fits { max_bytes.min(available) } else { first.size() };
        let bytes = files::read_bytes(&self.file, &self.path, position, wanted)?;
        let (length, next) = self.whole_batches(&bytes, position, first.base_offset, until)?;
        Ok(Some(Slice { bytes: bytes.slice(..length), base: Offset(first.base_offset), next: Offset(next) }))
    }

    /// Where the batches lie that [`Segment::read`] would read. Costs a few reads of headers, however large the answer.
    pub fn span(&self, wanted: Wanted) -> Result<Option<Span>, LogError> {
        let Wanted { from, until, max_bytes, at_least_one, .. } = wanted;
        let end = self.size();
        let Some(found) = self.find(from, end)? else { return Ok(None) };
        let (position, first) = (found.position, found.header);
        let fits = first.size() <= max_bytes;
        let length = if fits { max_bytes } else { first.size() };
        if !self.known.covers(position, position.saturating_add(length as u64).min(end)) {
            return self.walk(found, end, wanted).map(Some);
        }
        if first.next_offset() > until.0 || !(fits || at_least_one) {
            return Ok(Some(Span { position, length: 0, next: Some(from) }));
        }
        if !fits {
            return Ok(Some(Span { position, length: first.size(), next: Some(Offset(first.next_offset())) }));
        }
        let beyond = self.locate(until, end)?.map(|(position, header)| (position, Offset(header.base_offset)));
        let readable = beyond.map_or(end, |(position, _)| position);
        let limit = position.saturating_add(max_bytes as u64);
        let (stop, next) = if readable <= limit {
            (readable, beyond.map(|(_, next)| next))
        } else {
            let (stop, next) = self.boundary_before(limit, position, readable)?;
            (stop, Some(next))
        };
        let length = usize::try_from(stop.saturating_sub(position)).unwrap_or(0);
        Ok(Some(Span { position, length, next }))
    }

    /// Where the first batch begins that does not end by `limit`, and its first offset. `position` is that of a batch
    /// before, and `end` lies beyond `limit`.
    fn boundary_before(&self, limit: u64, position: u64, end: u64) -> Result<(u64, Offset), LogError> {
        let mut probe = [0; PROBE_SIZE];
        let hint = match self.offsets.last_where(|entry| u64::from(entry.position) <= limit) {
            Err(error) if error.is_not_found() => None,
            found => found?,
        };
        let mut start = position;
        if let Some(hint) = hint.filter(|hint| u64::from(hint.position) > position) {
            let last_offset = self.base.0.saturating_add(i64::from(hint.key()));
            let mut batches = Batches::new(self, u64::from(hint.position), end, &mut probe);
            // An entry that does not lead to the batch it names is no help: the walk begins at the first batch.
            if batches.next().is_ok_and(|found| found.is_some_and(|(_, header)| header.last_offset() == last_offset)) {
                start = u64::from(hint.position);
            }
        }
        let mut batches = Batches::new(self, start, end, &mut probe);
        while let Some((position, header)) = batches.next()? {
            if position + header.size() as u64 > limit {
                return Ok((position, Offset(header.base_offset)));
            }
        }
        Err(LogError::corrupt(&self.path, limit, "no batch where one has to be"))
    }

    /// A range of the file, as [`Segment::span`] found it; `None` where the disk has no files to send from.
    pub fn file_range(&self, span: &Span) -> Option<FileRange> {
        let file = self.file.as_file()?;
        Some(FileRange { file, offset: span.position, len: span.length })
    }

    /// The bytes of a range, as [`Segment::span`] found it.
    pub fn bytes(&self, span: &Span) -> Result<Bytes, LogError> {
        self.exactly(span.position, span.length)
    }

    /// The length of the whole batches at the beginning of `bytes` that end before `until`, and the offset after.
    fn whole_batches(&self, bytes: &[u8], position: u64, first: i64, until: Offset) -> Result<(usize, i64), LogError> {
        let (mut length, mut next) = (0, first);
        while let Some(rest) = bytes.get(length..).filter(|rest| rest.len() >= HEADER_LEN) {
            let header = checked_header(rest, next)
                .map_err(|why| LogError::corrupt(&self.path, position + length as u64, why))?;
            if header.size() > rest.len() || header.next_offset() > until.0 {
                break;
            }
            length += header.size();
            next = header.next_offset();
        }
        Ok((length, next))
    }

    /// All bytes of one batch.
    pub fn batch_bytes(&self, position: u64, header: &BatchHeader) -> Result<Bytes, LogError> {
        self.exactly(position, header.size())
    }

    fn exactly(&self, position: u64, length: usize) -> Result<Bytes, LogError> {
        let bytes = files::read_bytes(&self.file, &self.path, position, length)?;
        if bytes.len() != length {
            return Err(LogError::corrupt(&self.path, position, "the file ends within a batch"));
        }
        Ok(bytes)
    }

    /// Where to begin to look for records of `timestamp` and later at or after `from`: no batch before has any.
    pub fn position_of_timestamp(&self, timestamp: Timestamp, from: Offset, end: u64) -> Result<u64, LogError> {
        let entry = match self.times.floor(timestamp.0) {
            Err(error) if error.is_not_found() => None,
            found => found?,
        };
        // An entry that does not lead to the batch it names is no help: the walk begins where the caller does.
        if let Some(entry) = entry
            && let offset = self.base.plus(i64::from(entry.relative_offset))
            && offset > from
            && let Some((position, header)) = self.locate(offset, end)?
            && (header.last_offset(), header.max_timestamp) == (offset.0, entry.timestamp)
        {
            return Ok(position);
        }
        Ok(self.locate(from.max(self.base), end)?.map_or(end, |(position, _)| position))
    }
}

/// Where whole batches lie in a segment's file.
pub(super) struct Span {
    pub position: u64,
    pub length: usize,
    /// Where to read on; `None` where this reaches the segment's end.
    pub next: Option<Offset>,
}

/// A batch that was looked for.
pub(super) struct Located {
    pub position: u64,
    pub header: BatchHeader,
    /// The batch before it, where that was met.
    pub before: Option<(u64, BatchHeader)>,
    /// The index has an entry for it.
    pub by_index: bool,
}

/// An entry of the offset index, as positions and offsets.
struct Hint {
    position: u64,
    last_offset: i64,
}

fn is_plausible(last: TimeEntry) -> bool {
    // A block that never reached the disk reads as zeroes.
    last.timestamp != 0 || last.relative_offset != 0
}

/// A header whose offsets begin at `expected` or after and do not run backwards.
pub(super) fn checked_header(bytes: &[u8], expected: i64) -> Result<BatchHeader, String> {
    let header = BatchHeader::parse(bytes).map_err(|error| error.to_string())?;
    if header.base_offset < expected {
        return Err(format!("base offset {} where at least {expected} has to follow", header.base_offset));
    }
    if header.last_offset_delta < 0 || header.last_offset() == i64::MAX {
        return Err(format!("last offset delta {}", header.last_offset_delta));
    }
    Ok(header)
}

/// Walks over the headers of a segment's batches. An error says where the first bad one begins.
pub(super) struct Batches<'a> {
    segment: &'a Segment,
    position: u64,
    end: u64,
    expected: i64,
    buffer: &'a mut [u8],
    buffer_at: u64,
    buffered: usize,
}

impl<'a> Batches<'a> {
    /// `position` is a batch's; `buffer` holds at least a header.
    pub fn new(segment: &'a Segment, position: u64, end: u64, buffer: &'a mut [u8]) -> Batches<'a> {
        debug_assert!(buffer.len() >= HEADER_LEN);
        Batches { segment, position, end, expected: segment.base.0, buffer, buffer_at: 0, buffered: 0 }
    }

    /// The offset after the last batch so far.
    pub fn expected(&self) -> Offset {
        Offset(self.expected)
    }

    /// Goes on at `position`, where a batch from `offset` on begins.
    pub fn skip_to(&mut self, position: u64, offset: Offset) {
        (self.position, self.expected) = (position, offset.0);
    }

    pub fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, LogError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let (position, left) = (self.position, self.end - self.position);
        let path = &self.segment.path;
        let expected = self.expected;
        let bytes = self.bytes(position, HEADER_LEN)?;
        let header = checked_header(bytes, expected).map_err(|why| LogError::corrupt(path, position, why))?;
        if header.size() as u64 > left {
            let why = format!("a batch of {} bytes where {left} are left", header.size());
            return Err(LogError::corrupt(path, position, why));
        }
        self.position += header.size() as u64;
        self.expected = header.next_offset();
        Ok(Some((position, header)))
    }

    /// Walks on until a batch reaches `offset`, beginning with `current`, of which an index may know.
    fn seek(
        &mut self,
        offset: Offset,
        mut current: Option<(u64, BatchHeader)>,
        mut by_index: bool,
    ) -> Result<Option<Located>, LogError> {
        let mut before = None;
        while current.is_some_and(|(_, header)| header.last_offset() < offset.0) {
            (before, by_index) = (current, false);
            current = self.next()?;
        }
        Ok(current.map(|(position, header)| Located { position, header, before, by_index }))
    }

    /// Whether the CRC of a batch is right.
    pub fn crc_matches(&mut self, position: u64, header: &BatchHeader) -> Result<bool, LogError> {
        /// The CRC covers everything from the attributes on.
        const COVERED_FROM: u64 = 21;
        let (mut at, end) = (position + COVERED_FROM, position + header.size() as u64);
        let mut crc = 0;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let bytes = self.bytes(at, wanted)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, bytes);
            at += bytes.len() as u64;
        }
        Ok(crc == header.crc)
    }

    /// `length` bytes at `position`, fewer where the file ends; `length` is at most the buffer's.
    fn bytes(&mut self, position: u64, length: usize) -> Result<&[u8], LogError> {
        let within = position.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        let within = within.filter(|at| at.saturating_add(length) <= self.buffered);
        let at = match within {
            Some(at) => at,
            None => {
                let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
                let capacity = self.buffer.len().min(left);
                let buffer = self.buffer.get_mut(..capacity).unwrap_or_default();
                self.buffered = files::read_at(&self.segment.file, &self.segment.path, buffer, position)?;
                self.buffer_at = position;
                0
            }
        };
        Ok(self.buffer.get(at..self.buffered.min(at + length)).unwrap_or_default())
    }
}
