//! A compacted segment takes the place of those it was made of, so that a stop at any moment leaves the ones or the other.
//!
//! ```text
//! <base>.log.cleaned, .index.cleaned, ...   written and made durable, and their names too; a start removes them, unless there is
//! <base>.<end>.swap                         an empty file whose name, once durable, is the decision: from here on a start completes
//!                                           what follows. The new segment replaces those from <base> up to <end>
//! <base>.log, .index, ...                   the new one gets its names, which were the first old one's,
//! <old>.log.deleted, ...                    the other old ones make way, and the list changes: all that under the append lock
//!                                           and once it is durable, the decision is removed, then the old files
//! ```
//! Each of these names may outlive a power loss or not, but for the order of the decision: a start that finds it gives the cleaned
//! files that are left their names, and removes the segments in between, if the new one reaches to where they end. To do that twice
//! changes nothing.
//!
//! Truncation waits meanwhile: a decision must not outlive what it was about. Deletion of the oldest segments does not: where one
//! is gone by the time of the exchange, the decision is withdrawn, and where a start completes it all the same, the log start is
//! beyond the records that come back.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use felice_protocol::record::{
    Attributes, BatchHeader, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, emptied,
};

use super::{Closed, CompactError};
use crate::{
    env::{
        SharedDisk,
        faults::{Fault, planted},
    },
    log::{
        files::{
            self, CLEANED_SUFFIX, DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, LogError, SWAP_SUFFIX, TIME_INDEX_SUFFIX,
            TXN_INDEX_SUFFIX,
        },
        partition::Log,
        segment::{IndexPace, Segment},
        transactions::AbortedTxn,
    },
    model::Offset,
};

/// What a segment consists of.
const SUFFIXES: [&str; 4] = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, LOG_SUFFIX];

/// The decision that a compacted segment replaces those from `base` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Swap {
    pub base: Offset,
    pub end: Offset,
}

impl Swap {
    fn path(self, dir: &Path) -> PathBuf {
        files::segment_file(dir, self.base, &format!("{:020}.{SWAP_SUFFIX}", self.end.0))
    }

    /// From the name of a file without its `.swap`.
    pub fn parse(stem: &str) -> Option<Swap> {
        let (base, end) = stem.split_once('.').filter(|(base, end)| base.len() == 20 && end.len() == 20)?;
        let swap = Swap { base: Offset(base.parse().ok()?), end: Offset(end.parse().ok()?) };
        (swap.base.0 >= 0 && swap.base < swap.end).then_some(swap)
    }
}

fn cleaned_file(dir: &Path, base: Offset, suffix: &str) -> PathBuf {
    files::segment_file(dir, base, &format!("{suffix}.{CLEANED_SUFFIX}"))
}

/// Does what is left of swaps that were decided before a stop. `bases` are those of the segments that are there.
pub(in crate::log) fn complete_swaps(
    disk: &SharedDisk,
    dir: &Path,
    swaps: &[Swap],
    bases: &[Offset],
) -> Result<(), LogError> {
    for swap in swaps {
        for suffix in SUFFIXES {
            let cleaned = cleaned_file(dir, swap.base, suffix);
            match files::rename(&**disk, &cleaned, &files::segment_file(dir, swap.base, suffix)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        let replaced = bases.iter().filter(|base| **base > swap.base && **base < swap.end);
        for base in replaced.filter(|_| is_whole(disk, dir, *swap)) {
            for suffix in SUFFIXES {
                files::remove(&**disk, &files::segment_file(dir, *base, suffix))?;
            }
        }
        files::sync_dir(&**disk, dir)?;
        files::remove(&**disk, &swap.path(dir))?;
        files::sync_dir(&**disk, dir)?;
    }
    Ok(())
}

/// Whether the segment that is there now reaches to where the replaced ones end. Always so, by all that is known; nothing is
/// removed on the word of a file's name alone.
fn is_whole(disk: &SharedDisk, dir: &Path, swap: Swap) -> bool {
    let segment = Segment::load(disk, dir, swap.base);
    segment.is_ok_and(|(segment, _)| segment.end_offset().is_ok_and(|end| end == swap.end))
}

/// A segment that is written to take the place of a group.
pub(super) struct Replacement<'a> {
    log: &'a Log,
    group: &'a [Closed],
    base: Offset,
    end: Offset,
    /// Under its `.cleaned` names.
    segment: Segment,
    /// After the last batch.
    next: Offset,
    /// Batches that are not written yet.
    buffer: Vec<u8>,
    buffer_max: usize,
    pace: IndexPace,
    index_interval: u64,
    /// The `.txnindex`.
    aborted: Vec<u8>,
}

impl<'a> Replacement<'a> {
    /// `None` where the log is gone.
    pub fn begin(log: &'a Log, group: &'a [Closed], buffer_max: usize) -> Result<Option<Replacement<'a>>, LogError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(None) };
        let (base, end) = (first.segment.base, last.end);
        let created = {
            let deleted = log.deleted.lock();
            if *deleted {
                return Ok(None);
            }
            Segment::create_cleaned(&log.disk, &log.dir, base)
        };
        let segment = created.inspect_err(|_| remove_cleaned(log, base))?;
        Ok(Some(Replacement {
            log,
            group,
            base,
            end,
            segment,
            next: base,
            buffer: Vec::new(),
            buffer_max,
            pace: IndexPace::default(),
            index_interval: log.config().index_interval_bytes,
            aborted: Vec::new(),
        }))
    }

    /// Adds a batch. Returns how many bytes were written to the file now.
    pub fn push(&mut self, batch: &[u8]) -> Result<u64, LogError> {
        let position = self.bytes();
        let header = BatchHeader::parse(batch).map_err(|why| LogError::corrupt(self.segment.path(), position, why))?;
        self.segment.index(&header, position, &mut self.pace, self.index_interval)?;
        self.next = Offset(header.next_offset());
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() < self.buffer_max { Ok(0) } else { self.write_out() }
    }

    /// Adds, where the last batches have gone, one without records that reaches to the end of the group. `last` is the group's last
    /// batch. The new one is of no producer and no transaction, so that it does not keep anything else from going.
    pub fn reach_end(&mut self, last: &BatchHeader) -> Result<(), LogError> {
        if self.next >= self.end {
            return Ok(());
        }
        let header = emptied(&BatchHeader {
            base_offset: self.end.0 - 1,
            last_offset_delta: 0,
            attributes: Attributes::default(),
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            ..*last
        });
        self.push(&header.to_bytes()).map(drop)
    }

    /// Adds an aborted transaction whose marker is in here.
    pub fn push_aborted(&mut self, aborted: &AbortedTxn) -> Result<(), LogError> {
        self.aborted.extend_from_slice(&aborted.encode());
        Ok(())
    }

    fn write_out(&mut self) -> Result<u64, LogError> {
        self.segment.append(&self.buffer, &[])?;
        let written = self.buffer.len() as u64;
        self.buffer.clear();
        Ok(written)
    }

    /// Bytes of all batches so far.
    pub fn bytes(&self) -> u64 {
        self.segment.size() + self.buffer.len() as u64
    }

    /// Writes what is left and makes all of it durable, but for the names. Returns how many bytes were left.
    pub fn finish(&mut self) -> Result<u64, LogError> {
        let written = self.write_out()?;
        self.segment.settle()?;
        if !planted(Fault::SkipCleanedSync) {
            self.segment.sync(true)?;
        }
        // Of records without timestamps it is all that tells their age.
        if let Some(last) = self.group.last() {
            self.segment.set_modified(last.segment.modified()?)?;
        }
        // Made even where it is empty: the old one must not be taken for it after a stop half-way.
        let path = cleaned_file(&self.log.dir, self.base, TXN_INDEX_SUFFIX);
        let deleted = self.log.deleted.lock();
        if !*deleted {
            let file = files::open(&*self.log.disk, &path)?;
            files::truncate(&*file, &path, 0)?;
            files::write_at(&*file, &path, &self.aborted, &[], 0)?;
            files::sync(&*file, &path)?;
        }
        Ok(written)
    }

    /// Leaves the log as it is.
    pub fn discard(self) {
        remove_cleaned(self.log, self.base);
    }

    /// Puts it in the place of its group.
    ///
    /// # Errors
    /// The log is as it was, or where the disk failed half-way it is out of use, and the next start completes it.
    pub fn swap(self) -> Result<(), CompactError> {
        let log = self.log;
        let decision = Swap { base: self.base, end: self.end };
        let renamed = {
            let _replacing = log.replacing.lock();
            match self.decide(decision).and_then(|()| self.exchange()) {
                Ok(renamed) => {
                    self.settle(decision)?;
                    renamed
                }
                Err(error) => {
                    // Out of use, what is there belongs to the next start.
                    if !log.is_out_of_use() {
                        self.withdraw(decision)?;
                        self.discard();
                    }
                    return Err(error);
                }
            }
        };
        let deleted = log.deleted.lock();
        if !*deleted {
            // The files are still open, so that their space is freed by those who close them, and this takes no time.
            for path in renamed {
                files::remove(&*log.disk, &path)?;
            }
        }
        Ok(())
    }

    /// Makes the decision durable, and before that what it is about.
    fn decide(&self, decision: Swap) -> Result<(), CompactError> {
        let Log { disk, dir, .. } = self.log;
        let deleted = self.log.deleted.lock();
        if *deleted || self.log.is_out_of_use() || self.place().is_none() {
            return Err(CompactError::Overtaken);
        }
        if planted(Fault::SkipSwapDecision) {
            return Ok(());
        }
        files::sync_dir(&**disk, dir)?;
        files::open(&**disk, &decision.path(dir))?;
        files::sync_dir(&**disk, dir)?;
        Ok(())
    }

    /// The group's place in the log's list, as long as all of it is there.
    fn place(&self) -> Option<usize> {
        let current = self.log.segments.load();
        let at = current.partition_point(|segment| segment.base < self.base);
        let there = current.get(at..at + self.group.len())?;
        let is_same = there.iter().zip(self.group).all(|(there, closed)| Arc::ptr_eq(there, &closed.segment));
        is_same.then_some(at)
    }

    /// Renames the files and changes the list. Returns the paths of the old files.
    fn exchange(&self) -> Result<Vec<PathBuf>, CompactError> {
        let log = self.log;
        let _appender = log.appender.lock();
        let deleted = log.deleted.lock();
        let place = self.place().filter(|_| !*deleted && !log.is_out_of_use());
        let Some(place) = place else { return Err(CompactError::Overtaken) };
        // Who finds a file gone before the list has changed has to look once more when it has.
        log.truncations.fetch_add(1, Ordering::SeqCst);
        let exchanged = self.rename().and_then(|renamed| {
            let (segment, _) = Segment::load(&log.disk, &log.dir, self.base)?;
            let mut segments = Vec::clone(&log.segments.load());
            segments.splice(place..place + self.group.len(), [Arc::new(segment)]);
            log.segments.store(Arc::new(segments));
            Ok(renamed)
        });
        log.truncations.fetch_add(1, Ordering::SeqCst);
        // From the first rename on there is no way back.
        Ok(exchanged.inspect_err(|_| log.out_of_use.store(true, Ordering::Release))?)
    }

    fn rename(&self) -> Result<Vec<PathBuf>, LogError> {
        let Log { disk, dir, .. } = self.log;
        self.group.iter().for_each(|closed| closed.segment.retire());
        for suffix in SUFFIXES {
            let cleaned = cleaned_file(dir, self.base, suffix);
            files::rename(&**disk, &cleaned, &files::segment_file(dir, self.base, suffix))?;
        }
        let mut renamed = Vec::with_capacity(self.group.len() * SUFFIXES.len());
        for Closed { segment, .. } in self.group.iter().skip(1) {
            for suffix in SUFFIXES {
                let to = files::segment_file(dir, segment.base, &format!("{suffix}.{DELETED_SUFFIX}"));
                match files::rename(&**disk, &files::segment_file(dir, segment.base, suffix), &to) {
                    Ok(()) => renamed.push(to),
                    // Most segments have no index of transactions.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(renamed)
    }

    /// What was decided is done: makes that durable, and the decision is no longer needed.
    fn settle(&self, decision: Swap) -> Result<(), LogError> {
        let Log { disk, dir, .. } = self.log;
        let deleted = self.log.deleted.lock();
        if *deleted {
            return Ok(());
        }
        let settle = || {
            files::sync_dir(&**disk, dir)?;
            files::remove(&**disk, &decision.path(dir))?;
            files::sync_dir(&**disk, dir)
        };
        // A decision that stayed would be made of the next `.cleaned` files of this base, before they are whole.
        settle().inspect_err(|_| self.log.out_of_use.store(true, Ordering::Release))
    }

    /// Takes a decision back that may or may not be there. Nothing has been done about it.
    fn withdraw(&self, decision: Swap) -> Result<(), LogError> {
        let Log { disk, dir, .. } = self.log;
        let deleted = self.log.deleted.lock();
        if *deleted {
            return Ok(());
        }
        let withdraw = || {
            files::remove(&**disk, &decision.path(dir))?;
            files::sync_dir(&**disk, dir)
        };
        withdraw().inspect_err(|_| self.log.out_of_use.store(true, Ordering::Release))
    }
}

/// Removes the files of a segment that will not be used. What cannot be removed goes with the next start; so does what is there
/// of a log that is out of use, since another may have been opened in its place, and be compacted.
fn remove_cleaned(log: &Log, base: Offset) {
    let deleted = log.deleted.lock();
    if !*deleted && !log.is_out_of_use() {
        for suffix in SUFFIXES {
            let _ = files::remove(&*log.disk, &cleaned_file(&log.dir, base, suffix));
        }
    }
}
