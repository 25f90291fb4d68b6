//! From the files of a partition to its state: after a clean stop by looking at the end of the log only, after any
//! other by checking what was not known to be durable.
//!
//! After an unclean stop every batch from the recovery point on is checked: header, CRC, offsets and leader epochs that follow each
//! other. The log is cut at the first one that fails, later segments are removed, indexes from the segment of the
//! recovery point on are made anew, and producer state is the newest good snapshot brought up to the log's end.
//! Time is proportional to what was not flushed, plus the headers of one segment.
//!
//! Damage below the recovery point is none that a stop can explain: what follows it was acknowledged and durable, and is kept. It is
//! told, reading there fails, and the log goes on behind it.
//!
//! After a flush that failed, what was checked is written anew as well: the kernel takes it for clean, and a flush that succeeds
//! says nothing about it.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use felice_protocol::record::BatchHeader;
use tracing::error;

use super::{
    compaction::complete_swaps,
    config::LogConfig,
    epochs::{self, EpochStart, LeaderEpochs},
    files::{self, INDEX_SUFFIX, LOG_SUFFIX, Listing, LogError, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX},
    inspect::Scanner,
    producers::Producers,
    progress::{Bench, Progress},
    segment::{Batches, IndexPace, Segment},
    snapshot,
    transactions::{AbortedTxn, MARKER_MAX, producer_batch},
};
use crate::{
    env::{
        Disk, SharedDisk,
        faults::{Fault, planted},
    },
    model::{LeaderEpoch, Offset, Timestamp},
};

/// Read at once while checking.
const SCAN_SIZE: usize = 256 * 1024;

/// What is known of a log before its files are opened.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// The broker was stopped cleanly and nobody else touched the files since.
    pub clean: bool,
    /// Everything below is durable and was checked before; 0 where that is not known.
    pub recovery_point: Offset,
    /// Records below were deleted, whether or not they are still in a file.
    pub log_start: Offset,
}

/// What opening a log found and did, for one line in the broker's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    pub segments: usize,
    /// Bytes whose CRC was checked.
    pub bytes_checked: u64,
    pub truncated: Option<Truncated>,
    /// Segments whose indexes were missing or damaged below the recovery point.
    pub indexes_rebuilt: usize,
    pub producers: usize,
    /// Places below the recovery point where something else is than was written.
    pub damaged: usize,
}

/// A tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The log ends here now.
    pub at: Offset,
    pub bytes: u64,
    pub why: String,
}

/// A partition's state as its files tell it. `segments` is never empty.
pub(super) struct Loaded {
    pub segments: Vec<Segment>,
    pub log_start: Offset,
    pub log_end: Offset,
    pub epochs: LeaderEpochs,
    pub producers: Producers,
    /// As [`Replayed::ended`].
    pub ended: BTreeMap<Offset, Offset>,
    pub pace: IndexPace,
    pub recovered: Recovered,
}

/// Producer state, and what bringing it up to the log's end has shown.
#[derive(Default)]
pub(super) struct Replayed {
    pub producers: Producers,
    /// Transactions that ended since the snapshot: their first offsets, and those of their markers.
    pub ended: BTreeMap<Offset, Offset>,
}

pub(super) fn load(
    disk: &SharedDisk,
    dir: &Path,
    config: &LogConfig,
    start: Start,
    now: Timestamp,
    bench: &mut Bench<'_>,
) -> Result<Loaded, LogError> {
    let mut listing = files::list(&**disk, dir)?;
    if !listing.swaps.is_empty() {
        complete_swaps(disk, dir, &listing.swaps, &listing.logs)?;
        listing = files::list(&**disk, dir)?;
    }
    tidy(&**disk, &listing)?;
    let logs = remove_deleted_records(&**disk, dir, &listing.logs, start.log_start)?;
    let start = Start { clean: start.clean && !listing.flush_failed, ..start };
    bench.buffer.resize(SCAN_SIZE, 0);
    let mut loader = Loader {
        disk,
        dir,
        rewrite: listing.flush_failed,
        interval: config.index_interval_bytes,
        progress: bench.progress,
        buffer: &mut bench.buffer,
        epochs: LeaderEpochs::default(),
        compacts: config.compacts,
        known: LeaderEpochs::default(),
        recovered: Recovered::default(),
        pace: IndexPace::default(),
        first_marker: None,
    };
    let epochs_known = loader.read_epochs()?;
    let (mut segments, mut log_end) = loader.load_segments(logs, start)?;
    if log_end < start.log_start || segments.is_empty() {
        // What the log should begin with is not there: nothing in the files is of use any more.
        for segment in &segments {
            segment.remove()?;
        }
        segments = vec![Segment::create(disk, dir, start.log_start)?];
        log_end = start.log_start;
        loader.pace = IndexPace::default();
    }
    let log_start = segments.first().map_or(log_end, |first| first.base.max(start.log_start));
    loader.epochs.truncate_end(log_end);
    if !epochs_known {
        loader.rebuild_epochs(&segments)?;
    } else if !start.clean {
        loader.complete_epochs(&segments, log_start)?;
    }
    loader.epochs.truncate_start(log_start);
    // Of a log without records none is left, whichever way it came to be empty.
    loader.epochs.truncate_end(log_end);
    let rebuild = loader.first_marker;
    let Replayed { producers, ended } =
        load_producers(&**disk, dir, &segments, &listing.snapshots, log_end, rebuild, now)?;
    if rebuild.is_some() {
        // Nothing else flushes what belongs to a closed segment, and a missing entry would not be noticed.
        segments.iter().try_for_each(|segment| segment.aborted.sync())?;
        files::sync_dir(&**disk, dir)?;
    }
    if listing.flush_failed {
        files::forget_flush_failure(&**disk, dir)?;
    }
    loader.recovered.segments = segments.len();
    loader.recovered.producers = producers.len();
    let Loader { epochs, recovered, pace, .. } = loader;
    Ok(Loaded { segments, log_start, log_end, epochs, producers, ended, pace, recovered })
}

/// Removes what an interrupted deletion or write left behind, and indexes without a log.
fn tidy(disk: &dyn Disk, listing: &Listing) -> Result<(), LogError> {
    let strays = listing.indexes.iter().filter(|(base, _)| listing.logs.binary_search(base).is_err());
    listing.rubbish.iter().chain(strays.map(|(_, path)| path)).try_for_each(|path| files::remove(disk, path))
}

/// Removes the segments that lie wholly below the log start, and returns the others. A retention was interrupted: a power loss may
/// have left any of them, and a hole among them must not be taken for the end of the log.
fn remove_deleted_records<'a>(
    disk: &dyn Disk,
    dir: &Path,
    bases: &'a [Offset],
    log_start: Offset,
) -> Result<&'a [Offset], LogError> {
    if planted(Fault::KeepDeletedRecords) {
        return Ok(bases);
    }
    let kept = bases.partition_point(|base| *base <= log_start).saturating_sub(1);
    for base in bases.iter().take(kept) {
        for suffix in [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX] {
            files::remove(disk, &files::segment_file(dir, *base, suffix))?;
        }
    }
    if kept > 0 {
        files::sync_dir(disk, dir)?;
    }
    Ok(bases.get(kept..).unwrap_or_default())
}

struct Loader<'a> {
    disk: &'a SharedDisk,
    dir: &'a Path,
    /// Bytes that are checked are written anew before they are flushed.
    rewrite: bool,
    interval: u64,
    progress: &'a Progress,
    buffer: &'a mut [u8],
    epochs: LeaderEpochs,
    /// The log is compacted.
    compacts: bool,
    /// As the checkpoint had them.
    known: LeaderEpochs,
    recovered: Recovered,
    pace: IndexPace,
    /// The base of the first segment without its transaction index, which has markers to make it from.
    first_marker: Option<Offset>,
}

/// How far a segment is good.
struct Checked {
    end: Offset,
    /// Where the first bad batch begins, and what is wrong with it.
    bad: Option<(u64, String)>,
    /// The batches before the end are damaged or gone, and were durable.
    lost: bool,
}

impl Loader<'_> {
    /// False where there is no usable checkpoint.
    fn read_epochs(&mut self) -> Result<bool, LogError> {
        let content = files::read_whole(&**self.disk, &self.dir.join(epochs::CHECKPOINT_FILE))?;
        let known = content.and_then(|content| LeaderEpochs::from_checkpoint(&String::from_utf8_lossy(&content)));
        let usable = known.is_some();
        self.epochs = known.unwrap_or_default();
        self.known = self.epochs.clone();
        Ok(usable)
    }

    /// The segments that are good, and the log end offset.
    fn load_segments(&mut self, bases: &[Offset], start: Start) -> Result<(Vec<Segment>, Offset), LogError> {
        let mut segments = Vec::with_capacity(bases.len());
        // Where the last segment ends that was checked.
        let mut end: Option<Offset> = None;
        for (at, base) in bases.iter().enumerate() {
            let (segment, damaged) = Segment::load(self.disk, self.dir, *base)?;
            let next = bases.get(at + 1);
            let is_trusted =
                if start.clean { next.is_some() } else { next.is_some_and(|n| *n <= start.recovery_point) };
            if is_trusted {
                if damaged {
                    self.recovered.indexes_rebuilt += 1;
                    self.check(&segment, Offset(i64::MAX), next.copied(), None)?;
                    complete_indexes(&**self.disk, &segment)?;
                }
                segments.push(segment);
                continue;
            }
            // A clean stop left the log there, or beyond where that was not noted.
            let known_end = Some(start.recovery_point).filter(|end| start.clean && *end > Offset::ZERO);
            if start.clean
                && !damaged
                && let Ok(log_end) = segment.end_offset()
                && known_end.is_none_or(|end| end == log_end)
            {
                let indexed = segment.offsets.last().map_or(0, |last| u64::from(last.position));
                self.pace = IndexPace { bytes: segment.size() - indexed };
                return Ok((with(segments, segment), log_end));
            }
            // A closed segment lost its end in a power loss and this one did not: nothing in here follows on.
            // (Compaction makes holes too, but only in what is durable, below the recovery point.)
            if let Some(log_end) = end.filter(|end| end != base && *base > start.recovery_point) {
                let why = format!("segment {base} does not follow on");
                return self.cut(segments, log_end, 0, why, bases.get(at..).unwrap_or_default());
            }
            self.epochs.truncate_end(*base);
            segment.aborted.clear()?;
            let checked = self.check(&segment, start.recovery_point, next.copied(), known_end)?;
            end = Some(checked.end);
            let (size, rest) = (segment.size(), bases.get(at + 1..).unwrap_or_default());
            if let Some((position, why)) = checked.bad {
                segment.truncate(position)?;
                self.flush(&segment)?;
                if *base < start.recovery_point {
                    settle_indexes(&segment)?;
                }
                return self.cut(with(segments, segment), checked.end, size - position, why, rest);
            }
            self.flush(&segment)?;
            if *base < start.recovery_point {
                settle_indexes(&segment)?;
            }
            if next.is_some() || checked.lost {
                complete_indexes(&**self.disk, &segment)?;
            }
            segments.push(segment);
            if checked.lost && next.is_none() {
                // No offset that was given to a record is given to another.
                segments.push(Segment::create(self.disk, self.dir, checked.end)?);
                self.pace = IndexPace::default();
            }
        }
        Ok((segments, end.unwrap_or(Offset::ZERO)))
    }

    /// Makes durable what was checked.
    fn flush(&mut self, segment: &Segment) -> Result<(), LogError> {
        if self.rewrite {
            segment.rewrite(self.buffer)?;
        }
        segment.sync(false)
    }

    /// Notes a cut at `at` and removes the segments after it.
    fn cut(
        &mut self,
        segments: Vec<Segment>,
        at: Offset,
        mut bytes: u64,
        why: String,
        rest: &[Offset],
    ) -> Result<(Vec<Segment>, Offset), LogError> {
        for base in rest {
            let (segment, _) = Segment::load(self.disk, self.dir, *base)?;
            bytes += segment.size();
            segment.remove()?;
        }
        files::sync_dir(&**self.disk, self.dir)?;
        self.recovered.truncated = Some(Truncated { at, bytes, why });
        Ok((segments, at))
    }

    /// Makes a segment's indexes anew from its batches, checking those from `recovery_point` on.
    fn check(
        &mut self,
        segment: &Segment,
        recovery_point: Offset,
        next_base: Option<Offset>,
        known_end: Option<Offset>,
    ) -> Result<Checked, LogError> {
        segment.clear_indexes()?;
        self.pace = IndexPace::default();
        let mut end = segment.base;
        let mut batches = Batches::new(segment, 0, segment.size(), self.buffer);
        // Everything before was durable, and belongs to this segment.
        let durable = [Some(recovery_point), next_base, known_end].into_iter().flatten().min().unwrap_or(end);
        loop {
            let found = match batches.next() {
                // A batch ended there when it was noted. (Not so where compaction has put one in the place of others since. It leaves
                // the newest segment alone, but a cut or a power loss may make any the newest.)
                Ok(Some((position, header)))
                    if (!self.compacts || planted(Fault::RefuseBatchAcrossRecoveryPoint))
                        && next_base.is_none()
                        && end < recovery_point
                        && header.next_offset() > recovery_point.0 =>
                {
                    let why = format!("offset {} is beyond the recovery point {recovery_point}", header.last_offset());
                    Err((position, why))
                }
                Ok(Some(found)) => Ok(found),
                Ok(None) if known_end.is_some_and(|known| next_base.is_none() && end < known) => {
                    Err((segment.size(), "the file ends before the log does".to_owned()))
                }
                Ok(None) => return Ok(Checked { end, bad: None, lost: false }),
                Err(LogError::Corrupt { position, why, .. }) => Err((position, why)),
                Err(error) => return Err(error),
            };
            let (position, header) = match found {
                Ok(found) => found,
                Err((position, why)) if end < durable => {
                    error!("{} is corrupt at byte {position} (offset {end}): {why}", segment.path().display());
                    self.recovered.damaged += 1;
                    match next_sound(&**self.disk, segment, position, end, durable)? {
                        Some(next) => {
                            batches.skip_to(next, end);
                            continue;
                        }
                        None => return Ok(Checked { end: durable, bad: None, lost: true }),
                    }
                }
                Err(bad) => return Ok(Checked { end, bad: Some(bad), lost: false }),
            };
            if header.base_offset >= recovery_point.0 {
                let epoch = LeaderEpoch(header.partition_leader_epoch);
                let why = if let Some(before) = self.epochs.latest().filter(|latest| latest.epoch > epoch) {
                    // Of an append that was rolled back, which the power loss undid: what replaced it is of a later leader.
                    Some(format!("leader epoch {epoch} after {}", before.epoch))
                } else if !segment.reaches(Offset(header.last_offset())) {
                    Some(format!("offset {} is too far from the segment's base", header.last_offset()))
                } else if next_base.is_some_and(|next| header.last_offset() >= next.0) {
                    Some(format!("offset {} belongs to the next segment", header.last_offset()))
                } else if !planted(Fault::SkipCrcInRecovery) && !batches.crc_matches(position, &header)? {
                    Some("the CRC does not match".to_owned())
                } else {
                    None
                };
                if let Some(why) = why {
                    return Ok(Checked { end, bad: Some((position, why)), lost: false });
                }
                self.recovered.bytes_checked += header.size() as u64;
                self.progress.note(header.size())?;
            }
            match segment.index(&header, position, &mut self.pace, self.interval) {
                // A gap only makes looking up take longer, and a full disk should not keep a broker from its start.
                Err(error) if !error.is_disk_full() => return Err(error),
                _ => {}
            }
            if header.is_control() && recovery_point < Offset(i64::MAX) {
                self.first_marker.get_or_insert(segment.base);
            }
            note_epoch(&mut self.epochs, &header, &self.known, end);
            end = Offset(header.next_offset());
        }
    }

    /// The log's start was raised, the epochs before it were forgotten, and then nobody remembered the new start: the records are
    /// back, and their epochs have to be looked for.
    fn complete_epochs(&mut self, segments: &[Segment], log_start: Offset) -> Result<(), LogError> {
        let known = self.epochs.clone();
        let Some(first) = known.entries().first().filter(|first| first.start > log_start) else { return Ok(()) };
        self.epochs = LeaderEpochs::default();
        for segment in segments.iter().take_while(|segment| segment.base < first.start) {
            let mut batches = Batches::new(segment, 0, segment.size(), self.buffer);
            while let Some((_, header)) = next_intact(&**self.disk, segment, &mut batches)?
                && header.base_offset < first.start.0
            {
                note_epoch(&mut self.epochs, &header, &LeaderEpochs::default(), Offset(header.base_offset));
            }
        }
        for entry in known.entries() {
            self.epochs.assign(entry.epoch, entry.start);
        }
        Ok(())
    }

    fn rebuild_epochs(&mut self, segments: &[Segment]) -> Result<(), LogError> {
        self.epochs = LeaderEpochs::default();
        for segment in segments {
            let mut batches = Batches::new(segment, 0, segment.size(), self.buffer);
            while let Some((_, header)) = next_intact(&**self.disk, segment, &mut batches)? {
                note_epoch(&mut self.epochs, &header, &LeaderEpochs::default(), Offset(header.base_offset));
            }
        }
        Ok(())
    }
}

/// Producer state as of `log_end`: the newest good snapshot, brought up to there. Snapshots beyond it, and those without
/// a segment but for the newest, are removed for good: once the log has grown past them again, they would be of another log.
///
/// The segments from `rebuild` on have empty transaction indexes, which are made anew: a snapshot is used from before them.
pub(super) fn load_producers<S: Borrow<Segment>>(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[S],
    snapshots: &[Offset],
    log_end: Offset,
    rebuild: Option<Offset>,
    now: Timestamp,
) -> Result<Replayed, LogError> {
    let bases: BTreeSet<Offset> = segments.iter().map(|segment| segment.borrow().base).collect();
    let newest = rebuild.map_or(log_end, |rebuild| rebuild.min(log_end));
    let mut found = None;
    let mut removed = false;
    for offset in snapshots.iter().rev() {
        let path = files::segment_file(dir, *offset, SNAPSHOT_SUFFIX);
        if found.is_none() && *offset <= newest {
            let content = files::read_whole(disk, &path)?.unwrap_or_default();
            if let Ok(producers) = snapshot::decode(&content, now) {
                found = Some((*offset, producers));
                continue;
            }
        } else if *offset < log_end && bases.contains(offset) {
            continue;
        }
        files::remove(disk, &path)?;
        removed = true;
    }
    if removed {
        files::sync_dir(disk, dir)?;
    }
    let (from, producers) = found.unwrap_or_default();
    let mut replayed = Replayed { producers, ended: BTreeMap::new() };
    if from == log_end {
        return Ok(replayed);
    }
    let mut buffer = vec![0; SCAN_SIZE];
    let first = segments.partition_point(|segment| segment.borrow().base <= from).saturating_sub(1);
    for segment in segments.get(first..).unwrap_or_default().iter().map(Borrow::borrow) {
        let is_indexed = rebuild.is_none_or(|rebuild| segment.base < rebuild);
        let index = |aborted| if is_indexed { Ok(()) } else { segment.aborted.append(&aborted).map(drop) };
        replay(disk, segment, from, index, &mut replayed, &mut buffer, now)?;
    }
    Ok(replayed)
}

/// The transactions that were aborted in the last of these segments, as the batches tell. Changes nothing.
pub(super) fn aborted_in_last(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[Arc<Segment>],
    now: Timestamp,
) -> Result<Vec<AbortedTxn>, LogError> {
    let Some(last) = segments.last() else { return Ok(Vec::new()) };
    let (mut from, mut replayed) = (Offset::ZERO, Replayed::default());
    for offset in files::list(disk, dir)?.snapshots.into_iter().rev().filter(|offset| *offset <= last.base) {
        let content = files::read_whole(disk, &files::segment_file(dir, offset, SNAPSHOT_SUFFIX))?.unwrap_or_default();
        if let Ok(producers) = snapshot::decode(&content, now) {
            (from, replayed.producers) = (offset, producers);
            break;
        }
    }
    let (mut found, mut buffer) = (Vec::new(), vec![0; SCAN_SIZE]);
    let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
    for segment in segments.get(first..).unwrap_or_default() {
        let index = |aborted| {
            if Arc::ptr_eq(segment, last) {
                found.push(aborted);
            }
            Ok(())
        };
        replay(disk, segment, from, index, &mut replayed, &mut buffer, now)?;
    }
    Ok(found)
}

/// Brings producer state up to the end of a segment, from the batch on that `from` lies in. `index` is told what was aborted there.
fn replay(
    disk: &dyn Disk,
    segment: &Segment,
    from: Offset,
    mut index: impl FnMut(AbortedTxn) -> Result<(), LogError>,
    replayed: &mut Replayed,
    buffer: &mut [u8],
    now: Timestamp,
) -> Result<(), LogError> {
    let end = segment.size();
    let position = match segment.locate(from, end) {
        Ok(Some((position, _))) => position,
        Ok(None) => return Ok(()),
        // On the way there.
        Err(LogError::Corrupt { .. }) => 0,
        Err(error) => return Err(error),
    };
    let mut batches = Batches::new(segment, position, end, buffer);
    while let Some((position, header)) = next_intact(disk, segment, &mut batches)? {
        if header.last_offset() < from.0 {
            continue;
        }
        let is_marker = header.is_control() && header.size() <= MARKER_MAX;
        let body = if is_marker { segment.batch_bytes(position, &header)? } else { Bytes::new() };
        let Some(batch) = producer_batch(&header, &body) else { continue };
        let base = Offset(header.base_offset);
        if let Some(aborted) = replayed.producers.aborted_by(&batch, base) {
            index(aborted)?;
        }
        if let Some(completed) = replayed.producers.appended(&batch, base, now) {
            replayed.ended.insert(completed.first_offset, completed.last_offset);
        }
    }
    Ok(())
}

/// Where the next batch begins behind damage at `position` whose CRC is right and whose offsets lie between these two.
fn next_sound(
    disk: &dyn Disk,
    segment: &Segment,
    position: u64,
    from: Offset,
    until: Offset,
) -> Result<Option<u64>, LogError> {
    Scanner::open(disk, segment.path(), segment.base, Some(until))?.find_batch_behind(position, from)
}

/// The next batch; damage below the recovery point is passed over here, and told to whoever reads there.
fn next_intact(
    disk: &dyn Disk,
    segment: &Segment,
    batches: &mut Batches<'_>,
) -> Result<Option<(u64, BatchHeader)>, LogError> {
    loop {
        match batches.next() {
            Err(LogError::Corrupt { position, .. }) => {
                let expected = batches.expected();
                match next_sound(disk, segment, position, expected, Offset(i64::MAX))? {
                    Some(next) => batches.skip_to(next, expected),
                    None => return Ok(None),
                }
            }
            found => return found,
        }
    }
}

/// Makes the indexes of a segment durable as they are. It may be the last one, and the recovery point of a clean stop lie behind
/// its beginning: once the next one begins there, it counts as checked. A full disk should not keep a broker from its start.
fn settle_indexes(segment: &Segment) -> Result<(), LogError> {
    match segment.settle().and_then(|()| segment.sync(true)) {
        Err(error) if error.is_disk_full() => Ok(()),
        settled => settled,
    }
}

/// Writes the indexes of a segment that gets no more batches, durably: below the recovery point nobody looks at more than
/// their last entries again. On a full disk the next start makes them once more: who lacks its last entry would not know the
/// segment's largest timestamp.
fn complete_indexes(disk: &dyn Disk, segment: &Segment) -> Result<(), LogError> {
    let sync = || if planted(Fault::SkipIndexSync) { Ok(()) } else { segment.sync(true) };
    match segment.settle().and_then(|()| sync()) {
        Err(error) if error.is_disk_full() => files::remove(disk, segment.times.path()),
        settled => settled,
    }
}

/// A batch's leader epoch, where it is newer than what is noted. Compaction may have taken the first batches of an epoch, or all:
/// of the hole that begins at `hole` and ends with this batch, the checkpoint knows more. A later beginning would tell a
/// follower that its own records there, which no leader ever committed, were those of the epoch before.
fn note_epoch(epochs: &mut LeaderEpochs, header: &BatchHeader, checkpoint: &LeaderEpochs, hole: Offset) {
    let (epoch, base) = (LeaderEpoch(header.partition_leader_epoch), Offset(header.base_offset));
    let latest = epochs.latest().map_or(LeaderEpoch::NONE, |latest| latest.epoch);
    // Where nothing is noted, the epoch may have begun before all that is left.
    let from = if latest == LeaderEpoch::NONE { Offset::ZERO } else { hole };
    let is_told =
        |entry: &&EpochStart| entry.epoch > latest && entry.epoch <= epoch && (from..=base).contains(&entry.start);
    let told = checkpoint.entries().iter().filter(is_told);
    for entry in told.filter(|_| !planted(Fault::EpochsBeginWithBatches)) {
        epochs.assign(entry.epoch, entry.start);
    }
    if epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
        epochs.assign(epoch, Offset(header.base_offset));
    }
}

fn with(mut segments: Vec<Segment>, segment: Segment) -> Vec<Segment> {
    segments.push(segment);
    segments
}
