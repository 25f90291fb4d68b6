//! One segment and its indexes.

use std::path::Path;

use bytes::Bytes;
use felice_protocol::record::{Batch, BatchError, BatchHeader, CompressionError};

use super::{
    super::{
        epochs::LeaderEpochs,
        files,
        inspect::{AbortedTransaction, Entries, Entry, OffsetEntry, Region, Scanner, TimeEntry},
    },
    Finding, Severity, Verifier,
};
use crate::model::{LeaderEpoch, Offset, Timestamp};

/// Records of a batch that decompresses to more are not looked at, in bytes.
const DECOMPRESSED_MAX: usize = 128 << 20;

/// Progress is told after so many bytes.
const PROGRESS_EVERY: u64 = 8 << 20;

/// Damage of one kind in one file is told so often; a file of zeroes would fill the terminal.
const TOLD_MAX: usize = 20;

/// What the walk over a segment has seen.
struct Walk<'a> {
    path: &'a Path,
    base: Offset,
    next_base: Option<Offset>,
    epochs: Option<&'a LeaderEpochs>,
    largest: Option<Timestamp>,
    offsets: Option<Side<'a, OffsetEntry>>,
    times: Option<Side<'a, TimeEntry>>,
    told: usize,
    /// Damage lies between here and the last good batch: what the indexes say of that is not looked at.
    blurred: bool,
}

/// An index that is read beside the batches.
struct Side<'a, E: Entry> {
    path: &'a Path,
    entries: Entries<E>,
    last: Option<E>,
    told: usize,
}

impl Verifier<'_> {
    /// Returns where the segment ends, where that can be told.
    pub(super) fn segment(
        &mut self,
        path: &Path,
        base: Offset,
        next_base: Option<Offset>,
        epochs: Option<&LeaderEpochs>,
    ) -> Option<Offset> {
        let mut scanner = match Scanner::open(self.disk, path, base, next_base) {
            Ok(scanner) => scanner.sparing_cache(),
            Err(error) => {
                self.failed(path, &error);
                return None;
            }
        };
        self.tally.segments += 1;
        // The indexes after the batches: what they name is there.
        let [offsets_path, times_path, txns_path] =
            [files::INDEX_SUFFIX, files::TIME_INDEX_SUFFIX, files::TXN_INDEX_SUFFIX].map(|s| path.with_extension(s));
        let mut walk = Walk {
            path,
            base,
            next_base,
            epochs,
            largest: None,
            offsets: self.side(&offsets_path),
            times: self.side(&times_path),
            told: 0,
            blurred: false,
        };
        let mut told_at = self.tally.bytes;
        loop {
            match scanner.next_region() {
                Ok(Some(region)) => {
                    self.region(&mut walk, &region, &mut scanner);
                    self.tally.bytes += region.size;
                }
                Ok(None) => break,
                Err(error) => {
                    self.failed(path, &error);
                    return None;
                }
            }
            if self.tally.bytes - told_at >= PROGRESS_EVERY {
                told_at = self.tally.bytes;
                (self.progress)(&self.tally);
            }
        }
        let end = scanner.next_offset();
        self.finish(walk, scanner.end());
        self.transactions(&txns_path, base, next_base.unwrap_or(end));
        Some(end)
    }

    fn side<'a, E: Entry>(&mut self, path: &'a Path) -> Option<Side<'a, E>> {
        match Entries::open(self.disk, path) {
            Ok(entries) => {
                self.tally.bytes += entries.bytes();
                if entries.odd_bytes() > 0 && !self.circumstances.in_use {
                    let what = format!("{} bytes behind the last whole entry", entries.odd_bytes());
                    self.damage(path, Some(entries.bytes() - entries.odd_bytes()), None, what);
                }
                Some(Side { path, entries, last: None, told: 0 })
            }
            Err(error) if error.is_not_found() => {
                if !self.circumstances.in_use {
                    self.damage(path, None, None, "it is missing; the next start makes it anew".to_owned());
                }
                None
            }
            Err(error) => {
                self.failed(path, &error);
                None
            }
        }
    }

    fn region(&mut self, walk: &mut Walk<'_>, region: &Region, scanner: &mut Scanner) {
        let Some(header) = &region.header else {
            walk.blurred = true;
            return self.gap(walk, region);
        };
        let (position, offset) = (region.position, Offset(header.base_offset));
        if let Some(what) = &region.damage {
            walk.blurred = true;
            return self.damaged(walk, position, region.expected, what.clone());
        }
        self.tally.batches += 1;
        let epoch = LeaderEpoch(header.partition_leader_epoch);
        if epoch < self.latest_epoch {
            let what = format!("leader epoch {epoch} after {}: one is wrong", self.latest_epoch);
            self.damaged(walk, position, offset, what);
        } else if let Some(what) = self.contradicts(walk.epochs, offset, epoch, offset == region.expected) {
            self.damaged(walk, position, offset, what);
        }
        self.latest_epoch = epoch;
        match self.records(scanner, header) {
            Ok(count) => self.tally.records += count,
            Err(why) => self.damaged(walk, position, offset, why),
        }
        let blurred = std::mem::take(&mut walk.blurred);
        if let Some(side) = &mut walk.offsets {
            if blurred {
                self.pass_over(side, |entry| u64::from(entry.position) < position);
            }
            self.offset_entries(side, walk.base, position, header);
        }
        if let Some(side) = &mut walk.times {
            if blurred {
                self.pass_over(side, |entry| walk.base.0 + i64::from(entry.relative_offset) < header.base_offset);
            }
            self.time_entries(side, walk.base, header, walk.largest);
        }
        walk.largest = walk.largest.max(Some(Timestamp(header.max_timestamp)));
    }

    /// Bytes that are no batch.
    fn gap(&mut self, walk: &mut Walk<'_>, region: &Region) {
        let why = region.damage.as_deref().unwrap_or_default();
        let is_newest = walk.next_base.is_none();
        if region.is_torn_tail && is_newest && self.circumstances.in_use {
            return;
        }
        if region.is_torn_tail && is_newest && !self.circumstances.clean {
            let what = format!(
                "{} bytes at the end are no whole batch ({why}): an append was interrupted, and the next start cuts them",
                region.size
            );
            return self.tell(Finding {
                severity: Severity::Note,
                path: walk.path.to_owned(),
                position: Some(region.position),
                offset: Some(region.expected),
                what,
            });
        }
        let what = format!("{} bytes are no whole batch: {why}", region.size);
        self.damaged(walk, region.position, region.expected, what);
    }

    fn damaged(&mut self, walk: &mut Walk<'_>, position: u64, offset: Offset, what: String) {
        walk.told += 1;
        match walk.told {
            ..TOLD_MAX => self.damage(walk.path, Some(position), Some(offset), what),
            TOLD_MAX => {
                self.damage(walk.path, Some(position), Some(offset), format!("{what}; further damage is not listed"));
            }
            _ => self.tally.damaged += 1,
        }
    }

    /// What is wrong with a batch's leader epoch by the checkpoint, which may be behind where the last stop was not clean.
    fn contradicts(
        &self,
        epochs: Option<&LeaderEpochs>,
        offset: Offset,
        epoch: LeaderEpoch,
        follows_on: bool,
    ) -> Option<String> {
        let epochs = epochs?;
        let after = epochs.entries().partition_point(|entry| entry.start <= offset);
        let known = after.checked_sub(1).and_then(|at| epochs.entries().get(at))?;
        let is_newest = after == epochs.entries().len();
        if known.epoch != epoch {
            let is_behind = is_newest && epoch > known.epoch && !self.circumstances.clean;
            return (!is_behind).then(|| format!("leader epoch {epoch} where the checkpoint has {}", known.epoch));
        }
        let begins = follows_on && self.latest_epoch != LeaderEpoch::NONE && self.latest_epoch < epoch;
        (begins && known.start != offset)
            .then(|| format!("leader epoch {epoch} begins here, and by the checkpoint at offset {}", known.start))
    }

    /// How many records are in the batch that was scanned last, or why they cannot be read.
    fn records(&mut self, scanner: &mut Scanner, header: &BatchHeader) -> Result<u64, String> {
        let count = u64::try_from(header.record_count).map_err(|_| format!("record count {}", header.record_count))?;
        let Ok(Some(bytes)) = scanner.batch() else { return Ok(count) };
        let (batch, _) = Batch::split_first(&Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())?;
        let records = match batch.record_bytes(DECOMPRESSED_MAX) {
            Ok(records) => records,
            Err(BatchError::Compression(CompressionError::TooLarge { .. })) => return Ok(count),
            Err(error) => return Err(error.to_string()),
        };
        let mut last = -1;
        for record in batch.record_views(&records).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset_delta <= last || record.offset_delta > header.last_offset_delta {
                let (delta, last_delta) = (record.offset_delta, header.last_offset_delta);
                return Err(format!("a record with offset delta {delta} after {last}, in a batch up to {last_delta}"));
            }
            last = record.offset_delta;
        }
        Ok(count)
    }

    /// The offset index's entries up to this batch.
    fn offset_entries(&mut self, side: &mut Side<'_, OffsetEntry>, base: Offset, position: u64, header: &BatchHeader) {
        while let Some((at, entry)) = self.entry(side, |entry| u64::from(entry.position) <= position) {
            let offset = base.plus(i64::from(entry.relative_offset));
            let what = if u64::from(entry.position) < position {
                format!("offset {offset} at byte {}, where no batch begins", entry.position)
            } else if offset.0 != header.last_offset() {
                let (position, last) = (entry.position, header.last_offset());
                format!("offset {offset} at byte {position}, where the batch ends at offset {last}")
            } else {
                continue;
            };
            self.misleads(side, at, offset, what);
        }
    }

    /// The time index's entries up to this batch; `largest` is the largest timestamp before it.
    fn time_entries(
        &mut self,
        side: &mut Side<'_, TimeEntry>,
        base: Offset,
        header: &BatchHeader,
        largest: Option<Timestamp>,
    ) {
        let last = header.last_offset();
        while let Some((at, entry)) = self.entry(side, |entry| base.0 + i64::from(entry.relative_offset) <= last) {
            let offset = base.plus(i64::from(entry.relative_offset));
            let timestamp = Timestamp(entry.timestamp);
            let what = if offset.0 != last {
                "an offset at which no batch ends".to_owned()
            } else if timestamp.0 != header.max_timestamp {
                format!("timestamp {timestamp} where the batch's largest is {}", header.max_timestamp)
            } else if largest.is_some_and(|largest| largest > timestamp) {
                format!("timestamp {timestamp} as the largest so far, where an earlier batch has a larger one")
            } else {
                continue;
            };
            self.misleads(side, at, offset, what);
        }
    }

    fn pass_over<E: Entry>(&mut self, side: &mut Side<'_, E>, is_blurred: impl Fn(&E) -> bool) {
        while self.entry(side, &is_blurred).is_some() {}
    }

    /// The next entry that `is_due`, once it is checked to ascend.
    fn entry<E: Entry>(&mut self, side: &mut Side<'_, E>, is_due: impl Fn(&E) -> bool) -> Option<(u64, E)> {
        let found = side.entries.peek().and_then(|found| match found {
            Some((_, entry)) if is_due(&entry) => side.entries.take(),
            _ => Ok(None),
        });
        let (at, entry) = match found {
            Ok(found) => found?,
            Err(error) => {
                self.failed(side.path, &error);
                return None;
            }
        };
        if side.last.is_some_and(|last| last.key() >= entry.key()) {
            self.misleads_at(side, at, None, "its entries do not ascend".to_owned());
        }
        side.last = Some(entry);
        Some((at, entry))
    }

    fn misleads<E: Entry>(&mut self, side: &mut Side<'_, E>, at: u64, offset: Offset, what: String) {
        self.misleads_at(side, at, Some(offset), what);
    }

    fn misleads_at<E: Entry>(&mut self, side: &mut Side<'_, E>, at: u64, offset: Option<Offset>, what: String) {
        side.told += 1;
        if side.told <= TOLD_MAX {
            self.damage(side.path, Some(at), offset, what);
        } else {
            self.tally.damaged += 1;
        }
    }

    /// What is left of the indexes after the last batch, and what they lack.
    fn finish(&mut self, mut walk: Walk<'_>, end: u64) {
        let is_newest = walk.next_base.is_none();
        let grows = is_newest && self.circumstances.in_use;
        // A kill may leave entries of batches that a power loss took; the next start makes them anew.
        let is_loose = (is_newest && !self.circumstances.clean) || walk.blurred;
        if let Some(side) = &mut walk.offsets {
            while let Some((at, entry)) = self.entry(side, |_| !grows && !is_loose) {
                let offset = walk.base.plus(i64::from(entry.relative_offset));
                let what = match u64::from(entry.position) {
                    position if position >= end => format!("byte {position}, beyond the segment's end"),
                    position => format!("byte {position}, where no batch begins"),
                };
                self.misleads(side, at, offset, what);
            }
        }
        if let Some(side) = &mut walk.times {
            while let Some((at, entry)) = self.entry(side, |_| !grows && !is_loose) {
                let offset = walk.base.plus(i64::from(entry.relative_offset));
                self.misleads(side, at, offset, "an offset at which no batch ends".to_owned());
            }
            let known = side.last.map(|last| Timestamp(last.timestamp));
            let largest = walk.largest.filter(|largest| largest.0 >= 0);
            if largest > known && !grows && !is_loose && walk.told == 0 && side.told == 0 {
                let told = known.map_or("none".to_owned(), |known| known.to_string());
                let what = format!(
                    "its last timestamp is {told}, where the segment's largest is {}",
                    largest.unwrap_or(Timestamp::NONE)
                );
                self.damage(side.path, None, None, what);
            }
        }
    }

    /// The `.txnindex`, which only segments with aborted transactions have.
    fn transactions(&mut self, path: &Path, base: Offset, end: Offset) {
        let mut entries: Entries<AbortedTransaction> = match Entries::open(self.disk, path) {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return,
            Err(error) => return self.failed(path, &error),
        };
        self.tally.bytes += entries.bytes();
        if entries.odd_bytes() > 0 && !self.circumstances.in_use {
            let what = format!("{} bytes behind the last whole entry", entries.odd_bytes());
            self.damage(path, Some(entries.bytes() - entries.odd_bytes()), None, what);
        }
        let mut before: Option<AbortedTransaction> = None;
        loop {
            let (at, entry) = match entries.take() {
                Ok(Some(found)) => found,
                Ok(None) => return,
                Err(error) => return self.failed(path, &error),
            };
            let AbortedTransaction { version, producer_id, first_offset, last_offset, last_stable_offset } = entry;
            let what = if version != 0 {
                Some(format!("version {version}"))
            } else if producer_id.0 < 0 {
                Some(format!("producer id {producer_id}"))
            } else if first_offset.0 < 0 || first_offset > last_offset {
                Some(format!("a transaction from offset {first_offset} to {last_offset}"))
            } else if last_offset < base || (last_offset >= end && !self.circumstances.in_use) {
                Some("a transaction that does not end in this segment".to_owned())
            } else if last_stable_offset.0 < 0 || last_stable_offset.0 > last_offset.0.saturating_add(1) {
                Some(format!("last stable offset {last_stable_offset} after a transaction up to {last_offset}"))
            } else if before.is_some_and(|before| before.last_offset >= last_offset) {
                Some("its entries do not ascend".to_owned())
            } else {
                None
            };
            if let Some(what) = what {
                self.damage(path, Some(at), Some(last_offset), what);
            }
            before = Some(entry);
        }
    }
}
