//! Taking back what was appended: a follower cuts its log where it parts from its leader's.
//!
//! The order is what makes it safe from a power loss at any moment. First the recovery point is lowered, durably, so that
//! the next start checks whatever follows; then producer snapshots go that know of more than will be left; only then the
//! files are cut. Each step is durable before the next. A start in between finds the log as it was before, or shorter.
//!
//! What reads meanwhile: nobody sees a batch that was not whole in the log at one moment. Reads that a truncation came
//! across are done again ([`Log::undisturbed`]). Of a range of a file that is on its way to a socket the part behind the cut
//! comes up short, and the connection ends there; it never shows other bytes in their place, since a file that was
//! cut is not appended to, a new segment is. (The kernel zeroes the rest of the page that is cut, so that a peer may
//! see zeroes where a batch was. Consumers read below the high watermark, where nothing is cut; a follower checks the CRC.)

use std::{collections::BTreeMap, sync::Arc};

use super::{
    files::{self, LogError, SNAPSHOT_SUFFIX},
    partition::{Appender, Log, ReadError},
    producers::Producers,
    recovery,
    segment::Segment,
};
use crate::{
    env::{
        faults::{Fault, planted},
        sync::atomic::Ordering,
    },
    model::{Offset, Timestamp},
};

/// What is stored of a log outside of its files, and must hold before a truncation may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalars {
    /// The recovery point may not be higher.
    pub recovery_point: Offset,
    /// The log start offset is this.
    pub log_start: Offset,
    /// Where the log will end. A view that is ahead of it, a high watermark or a cleaner's checkpoint must go back.
    pub log_end: Offset,
}

/// An error of reading that may be due to a segment that left the log.
pub(super) trait MayBeGone {
    fn is_gone(&self) -> bool;
}

impl MayBeGone for LogError {
    fn is_gone(&self) -> bool {
        self.is_not_found()
    }
}

impl MayBeGone for ReadError {
    fn is_gone(&self) -> bool {
        matches!(self, ReadError::Log(error) if error.is_not_found())
    }
}

/// Which segments stay.
struct Cut {
    /// Those before the last one that stays, and that one.
    kept: Vec<Arc<Segment>>,
    /// How many bytes of the last one.
    position: u64,
    /// The log end offset from then on.
    end: Offset,
}

impl Log {
    /// Removes the records from `offset` on, and those that share a batch with the one before it. Returns the log end
    /// offset, which is the end of the last whole batch below `offset`, or unchanged where the log ends before it. Where nothing
    /// above the log start is left, the log begins anew at `offset` or its start, whichever is lower.
    ///
    /// Kafka's log would end at `offset`, also in a hole that compaction left. This one ends before the hole and fetches it again: what
    /// was compacted away for the sake of records that are now lost may still be in the leader's log.
    ///
    /// The caller sees to it that `offset` is not below the high watermark. `store` is called before anything changes, with
    /// what must be stored, and synced, by the time it returns; what it writes must not be overtaken by a recovery
    /// point of an earlier flush.
    ///
    /// # Errors
    /// What `store` fails with; the log is as it was. A disk that fails later takes the log out of use, until the next
    /// start finds out what is there.
    pub fn truncate_to<E: From<LogError>>(
        &self,
        offset: Offset,
        now: Timestamp,
        store: impl FnOnce(Scalars) -> Result<(), E>,
    ) -> Result<Offset, E> {
        let _replacing = self.replacing.lock();
        let _flushing = self.flushing.lock();
        let mut appender = self.appender.lock();
        self.check_usable()?;
        let (log_start, log_end) = (self.log_start(), self.log_end());
        if offset >= log_end {
            // This replica may have begun an epoch as a leader and appended nothing in it. Its next leader does not know that
            // epoch, and would tell it to cut the log here for ever.
            if !planted(Fault::KeepEpochs) && self.epochs.write().truncate_end(log_end) {
                self.epochs_dirty.store(true, Ordering::Release);
            }
            return Ok(log_end);
        }
        let cut = self.plan_cut(offset)?.filter(|cut| cut.end > log_start);
        let Some(cut) = cut else {
            return self.restart(&mut appender, offset.min(log_start), now, store);
        };
        store(Scalars { recovery_point: cut.end.min(self.flushed()), log_start, log_end: cut.end })?;
        let end = cut.end;
        self.disturb(end, || self.cut(&mut appender, cut, now))?;
        Ok(end)
    }

    /// Removes all records: the log is empty and begins at `offset`, as that of a follower that has nothing in common with
    /// its leader, whose log begins there. `store` and errors are as those of [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at<E: From<LogError>>(
        &self,
        offset: Offset,
        now: Timestamp,
        store: impl FnOnce(Scalars) -> Result<(), E>,
    ) -> Result<Offset, E> {
        let _replacing = self.replacing.lock();
        let _flushing = self.flushing.lock();
        let mut appender = self.appender.lock();
        self.check_usable()?;
        self.restart(&mut appender, offset, now, store)
    }

    /// What `read` returns when no truncation came in between: files and indexes are cut under a reader's hands then. It
    /// reads again, too, where it found a file gone and the log has other segments by now.
    pub(super) fn undisturbed<T, E: MayBeGone>(&self, read: impl Fn() -> Result<T, E>) -> Result<T, E> {
        loop {
            let before = self.truncations.load(Ordering::SeqCst);
            if before.is_multiple_of(2) {
                let segments = self.segments.load();
                let result = read();
                if self.truncations.load(Ordering::SeqCst) == before {
                    match result {
                        Err(error) if error.is_gone() && !Arc::ptr_eq(&segments, &self.segments.load()) => continue,
                        result => return result,
                    }
                }
            }
            // Until it is over.
            drop(self.appender.lock());
        }
    }

    /// Changes what readers rely on. From the beginning on the log ends at `end` for them.
    fn disturb(&self, end: Offset, change: impl FnOnce() -> Result<(), LogError>) -> Result<(), LogError> {
        self.truncations.fetch_add(1, Ordering::SeqCst);
        self.flushed.fetch_min(end.0, Ordering::AcqRel);
        self.recovery_point.fetch_min(end.0, Ordering::AcqRel);
        self.log_end.store(end.0, Ordering::Release);
        let result = change();
        if result.is_err() {
            self.out_of_use.store(true, Ordering::Release);
        }
        self.truncations.fetch_add(1, Ordering::SeqCst);
        result
    }

    /// Where to cut so that all that is left is below `offset`, which is below the log end; `None` where nothing would be.
    fn plan_cut(&self, offset: Offset) -> Result<Option<Cut>, LogError> {
        let segments = self.segments.load();
        let mut kept = segments.partition_point(|segment| segment.base < offset);
        while let Some(last) = kept.checked_sub(1).and_then(|at| segments.get(at)) {
            let position = last.locate(offset, last.size())?.map_or(last.size(), |(position, _)| position);
            if position > 0 {
                let end = last.end_offset_before(position)?;
                return Ok(Some(Cut { kept: segments.iter().take(kept).cloned().collect(), position, end }));
            }
            kept -= 1;
        }
        Ok(None)
    }

    fn cut(&self, appender: &mut Appender, cut: Cut, now: Timestamp) -> Result<(), LogError> {
        let Cut { kept, position, end } = cut;
        if !planted(Fault::KeepEpochs) && self.epochs.write().truncate_end(end) {
            self.write_epochs()?;
        }
        self.remove_snapshots(end)?;
        self.remove_segments(kept.len())?;
        let mut rebuild = None;
        if let Some(last) = kept.last() {
            if last.aborted.is_damaged()? {
                last.aborted.clear()?;
                rebuild = Some(last.base);
            }
            last.cut(position)?;
        }
        if !planted(Fault::KeepProducers) {
            let snapshots = files::list(&*self.disk, &self.dir)?.snapshots;
            let replayed = recovery::load_producers(&*self.disk, &self.dir, &kept, &snapshots, end, rebuild, now)?;
            self.stability.reset(replayed.producers.first_transaction(), replayed.ended);
            appender.producers = replayed.producers;
            if let Some(last) = kept.last().filter(|_| rebuild.is_some()) {
                last.aborted.sync()?;
            }
        }
        self.begin_segment(appender, kept, end, now)?;
        self.epochs_dirty.store(true, Ordering::Release);
        Ok(())
    }

    fn restart<E: From<LogError>>(
        &self,
        appender: &mut Appender,
        offset: Offset,
        now: Timestamp,
        store: impl FnOnce(Scalars) -> Result<(), E>,
    ) -> Result<Offset, E> {
        store(Scalars { recovery_point: offset.min(self.flushed()), log_start: offset, log_end: offset })?;
        self.disturb(offset, || {
            self.log_start.store(offset.0, Ordering::Release);
            self.flushed.store(offset.0, Ordering::Release);
            if !planted(Fault::KeepEpochs) {
                self.epochs.write().truncate_end(Offset::ZERO);
                self.write_epochs()?;
            }
            self.remove_snapshots(Offset(-1))?;
            // The first one goes last: what a stop in between leaves is the log's beginning, if anything.
            self.remove_segments(1)?;
            self.remove_segments(0)?;
            appender.producers = Producers::default();
            self.stability.reset(None, BTreeMap::new());
            self.begin_segment(appender, Vec::new(), offset, now)?;
            // No later segment may outlive it: nobody could tell that the log did not begin there.
            files::sync_dir(&*self.disk, &self.dir)?;
            self.epochs_dirty.store(true, Ordering::Release);
            Ok(())
        })?;
        Ok(offset)
    }

    /// Removes, durably, the producer snapshots above `end`.
    fn remove_snapshots(&self, end: Offset) -> Result<(), LogError> {
        let snapshots = files::list(&*self.disk, &self.dir)?.snapshots;
        for offset in snapshots.into_iter().filter(|offset| *offset > end) {
            files::remove(&*self.disk, &files::segment_file(&self.dir, offset, SNAPSHOT_SUFFIX))?;
        }
        files::sync_dir(&*self.disk, &self.dir)
    }

    /// Removes, durably, the segments but for the first `kept`; the last one first, so that no hole is left by a stop.
    fn remove_segments(&self, kept: usize) -> Result<(), LogError> {
        for segment in self.segments.load().iter().skip(kept).rev() {
            segment.remove()?;
        }
        files::sync_dir(&*self.disk, &self.dir)
    }
}
