//! Compaction: of each key only the last record stays. Kafka's `Cleaner`, for one log.
//!
//! ```text
//!   log start     first dirty              first uncleanable     log end
//!       v             v                            v                v
//!   [ segment | segment | segment | segment | segment | ... | active ]
//!       clean (one      dirty (keys may come    not yet durable, not yet
//!       record a key)   more than once)         committed, or too young
//! ```
//! A pass reads the keys of the dirty part into a map, as far as they fit ([`map`]), and then goes over the log from its beginning to
//! there, writing what stays of each group of segments ([`group`]) into a new one ([`filter`]), which then takes their place
//! ([`swap`]). Reading and writing holds no lock; appends, reads and flushes go on. Offsets stay what they are: the log gets holes, but
//! only within a segment: where the last batch of a new one goes, an empty one stands for it.
//!
//! A pass looks only at what is durable. Else a power loss could take the later record of a key after a pass has removed the
//! earlier one, and with it a value that was safe.

mod cleanable;
mod filter;
mod group;
mod map;
mod reader;
mod swap;
mod transactions;

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use felice_protocol::record::RecordViews;

pub(super) use self::swap::{Swap, complete_swaps};
pub use self::{cleanable::Cleanable, map::OffsetMap};
use self::{
    filter::{Counts, Filter, LastRecord, Outcome},
    reader::BatchReader,
    swap::Replacement,
    transactions::Transactions,
};
use super::{
    files::LogError,
    partition::{Log, first_timestamp},
    segment::Segment,
};
use crate::{
    env::faults::{Fault, planted},
    model::{Offset, ProducerId, Timestamp},
};

/// Why a pass ended early. The log is sound, and what the pass did up to there stays.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// A file cannot be used. Where it is [`LogError::Corrupt`], no pass can go beyond it, and the partition is uncleanable.
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("it was told to stop")]
    Stopped,
    /// Segments were deleted, or the log was cut or closed. Another pass may go well.
    #[error("the log changed under its hands")]
    Overtaken,
}

/// How a pass is to be done.
#[derive(Debug, Clone, Copy)]
pub struct CompactSettings {
    pub now: Timestamp,
    /// Random: the keys under which keys are hashed.
    pub seed: [u64; 2],
    /// `log.cleaner.io.buffer.size`, in bytes: read and written at once.
    pub io_buffer_bytes: usize,
    /// A batch that decompresses to more bytes makes the partition uncleanable.
    pub decompressed_max: usize,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Everything below is compacted: the first dirty offset of the next pass.
    pub first_dirty: Offset,
    /// Whether there is more that did not fit the map.
    pub is_partial: bool,
    pub keys: usize,
    /// While the map was filled.
    pub bytes_indexed: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub records_read: u64,
    pub records_kept: u64,
    /// Records without key, which are dropped.
    pub keyless: u64,
    pub segments_before: usize,
    pub segments_after: usize,
}

/// Told of bytes read or written, it may sleep, or end the pass.
pub(super) struct Pace<'a> {
    log: &'a Log,
    told: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl Pace<'_> {
    fn step(&mut self, bytes: u64) -> Result<(), CompactError> {
        if (self.told)(bytes).is_break() {
            return Err(CompactError::Stopped);
        }
        if self.log.is_out_of_use() { Err(CompactError::Overtaken) } else { Ok(()) }
    }
}

impl Log {
    /// What of the log can be compacted. `checkpoint` is the first dirty offset that the last pass ended with, and `until` the last
    /// stable offset, which is at most the high watermark. It is a look at the log as it is now, for little I/O.
    pub fn cleanable(&self, checkpoint: Option<Offset>, until: Offset, now: Timestamp) -> Result<Cleanable, LogError> {
        let segments = self.segments.load_full();
        let config = self.config();
        let (active, closed) = match segments.split_last() {
            Some((active, closed)) => (active.base, closed),
            None => (self.log_end(), &[][..]),
        };
        let mut extents = Vec::with_capacity(closed.len());
        for segment in closed {
            let largest = segment.largest().map(|largest| largest.timestamp).filter(|timestamp| timestamp.0 >= 0);
            let largest_timestamp = match largest {
                Some(largest) => largest,
                None if config.min_compaction_lag_ms > 0 => segment.modified()?,
                None => Timestamp::NONE,
            };
            let is_lag_bounded = config.max_compaction_lag_ms < i64::MAX;
            extents.push(cleanable::Extent {
                base: segment.base,
                bytes: segment.size(),
                largest_timestamp,
                first_timestamp: is_lag_bounded.then(|| first_timestamp(segment)).flatten(),
            });
        }
        let bounds = cleanable::Bounds {
            log_start: self.log_start(),
            log_end: self.log_end(),
            active,
            until: until.min(self.durable()),
        };
        Ok(cleanable::cleanable(&extents, bounds, checkpoint, &config, now))
    }

    /// One pass over what [`Log::cleanable`] found. It takes as long as it takes; one thread at a time may do it. `told` is called with
    /// the bytes that were read or written since it was called last; it may sleep, and it may end the pass.
    ///
    /// # Errors
    /// See [`CompactError`]. Segments that were replaced by then stay so; the first dirty offset is what it was.
    pub fn compact(
        &self,
        range: &Cleanable,
        map: &mut OffsetMap,
        settings: &CompactSettings,
        told: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Compacted, CompactError> {
        map.reset(settings.seed);
        let mut pass = Pass {
            log: self,
            settings,
            pace: Pace { log: self, told },
            reader: BatchReader::new(settings.io_buffer_bytes),
            done: Compacted { first_dirty: range.first_dirty, ..Compacted::default() },
        };
        pass.pace.step(0)?;
        // Of what goes, only the checkpoint knows the leader epochs.
        self.settle_folder()?;
        let done = pass.run(range, map);
        map.reset([0; 2]);
        done
    }

    /// Where a pass has to end: a later record of a key must not be less durable than the earlier one that goes.
    fn durable(&self) -> Offset {
        if planted(Fault::CompactUnflushed) { self.log_end() } else { self.flushed() }
    }

    /// The last that is in the log of each producer that may go on. What may be lost yet does not count: without it and what
    /// was before, nobody would know the producer, and what it sends again would be taken for new.
    fn last_records(&self, safe_until: Offset) -> HashMap<ProducerId, LastRecord> {
        let appender = self.appender.lock();
        let last = appender.producers.iter().map(|(id, producer)| {
            let last = producer.batches.iter().rev().find(|batch| batch.last_offset < safe_until);
            let last_offset = last.map(|batch| batch.last_offset);
            let is_known = last_offset.is_some() || producer.batches.is_empty();
            (id, LastRecord { last_offset, epoch: producer.epoch, is_known })
        });
        last.collect()
    }
}

struct Pass<'a> {
    log: &'a Log,
    settings: &'a CompactSettings,
    pace: Pace<'a>,
    reader: BatchReader,
    done: Compacted,
}

/// A closed segment, and where the next one begins.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub segment: Arc<Segment>,
    pub end: Offset,
}

impl Pass<'_> {
    fn run(mut self, range: &Cleanable, map: &mut OffsetMap) -> Result<Compacted, CompactError> {
        let segments = self.log.segments.load_full();
        let until = range.first_uncleanable.min(self.log.durable());
        let closed = segments.iter().zip(segments.iter().skip(1));
        let mut closed: Vec<Closed> = closed
            .map(|(segment, next)| Closed { segment: Arc::clone(segment), end: next.base })
            .take_while(|closed| closed.end <= until)
            .collect();
        let end = closed.last().map_or(range.first_dirty, |last| last.end);
        let map_end = self.fill(map, &closed, range.first_dirty).map_err(|error| overtaken(error, &closed))?;
        self.done.keys = map.len();
        closed.retain(|closed| closed.segment.base <= map_end);
        if map_end < range.first_dirty {
            return Ok(self.done);
        }
        let config = self.log.config();
        let last_records = self.log.last_records(range.safe_until);
        let filter = Filter {
            map,
            map_end,
            end,
            last_records: &last_records,
            now: self.settings.now,
            delete_retention_ms: config.delete_retention_ms,
            decompressed_max: self.settings.decompressed_max,
        };
        let extents: Vec<group::Extent> = closed.iter().map(Closed::extent).collect();
        let mut transactions = Transactions::default();
        for group in group::groups(&extents, config.segment_bytes, config.segment_index_bytes) {
            self.replace(closed.get(group).unwrap_or_default(), &filter, &mut transactions)?;
        }
        self.done.first_dirty = map_end.plus(1);
        Ok(self.done)
    }

    /// Reads the keys from `first_dirty` on, as far as they fit; returns the last offset that the map knows everything up to.
    fn fill(&mut self, map: &mut OffsetMap, closed: &[Closed], first_dirty: Offset) -> Result<Offset, CompactError> {
        let mut known = first_dirty.plus(-1);
        let Some(until) = closed.last().map(|last| last.end) else { return Ok(known) };
        let mut transactions = Transactions::default();
        transactions.expect(self.log.aborted_transactions(first_dirty, until)?);
        let decompressed_max = self.settings.decompressed_max;
        for Closed { segment, end } in closed.iter().filter(|closed| closed.end > first_dirty) {
            let Some((position, _)) = segment.locate(first_dirty, segment.size())? else { continue };
            let (mut is_full, bytes) = (false, &mut self.done.bytes_indexed);
            self.reader.walk(segment, position, &mut self.pace, |batch, _| {
                let header = &batch.header;
                *bytes += header.size() as u64;
                let decompressed = filter::decompressed(header, batch.payload(), decompressed_max);
                let decompressed = decompressed.map_err(|why| batch.corrupt(why))?;
                let records = decompressed.as_deref().unwrap_or(batch.payload());
                let mut views = RecordViews::new(header.record_count, records).map_err(|why| batch.corrupt(why))?;
                if header.is_control() {
                    let control = filter::control_type(views).map_err(|why| batch.corrupt(why))?;
                    transactions.on_control_batch(header, control);
                } else if !transactions.on_batch(header) {
                    for record in &mut views {
                        let record = record.map_err(|why| batch.corrupt(why))?;
                        let offset = Offset(header.base_offset.saturating_add(i64::from(record.offset_delta)));
                        if let Some(key) = record.key.filter(|_| offset >= first_dirty)
                            && !map.put(key, offset)
                        {
                            is_full = true;
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
                known = known.max(Offset(header.last_offset()));
                Ok(ControlFlow::Continue(()))
            })?;
            if is_full {
                self.done.is_partial = true;
                return Ok(known);
            }
            // The segment may end in a hole.
            known = end.plus(-1);
        }
        Ok(known)
    }

    /// Writes what stays of neighbouring segments into one, and puts that in their place.
    fn replace(
        &mut self,
        group: &[Closed],
        filter: &Filter<'_>,
        transactions: &mut Transactions,
    ) -> Result<(), CompactError> {
        if group.iter().all(|closed| closed.segment.size() == 0) {
            return Ok(());
        }
        let Some(mut replacement) = Replacement::begin(self.log, group, self.settings.io_buffer_bytes)? else {
            return Err(CompactError::Overtaken);
        };
        let written = self.write(group, filter, transactions, &mut replacement);
        match written {
            Ok(()) => replacement.swap()?,
            Err(error) => {
                replacement.discard();
                return Err(overtaken(error, group));
            }
        }
        self.done.segments_before += group.len();
        self.done.segments_after += 1;
        Ok(())
    }

    fn write(
        &mut self,
        group: &[Closed],
        filter: &Filter<'_>,
        transactions: &mut Transactions,
        replacement: &mut Replacement<'_>,
    ) -> Result<(), CompactError> {
        let (mut counts, mut last) = (Counts::default(), None);
        for closed in group {
            transactions.expect(self.log.aborted_transactions(closed.segment.base, closed.end)?);
            let bytes = &mut self.done.bytes_read;
            self.reader.walk(&closed.segment, 0, &mut self.pace, |batch, pace| {
                *bytes += batch.header.size() as u64;
                last = Some(batch.header);
                let outcome = filter.apply(batch, transactions, &mut counts);
                let written = match outcome.map_err(|why| batch.corrupt(why))? {
                    Outcome::Dropped => 0,
                    Outcome::Kept => replacement.push(batch.bytes)?,
                    Outcome::Rewritten(bytes) => replacement.push(&bytes)?,
                    Outcome::Emptied(header) => replacement.push(&header.to_bytes())?,
                };
                if written > 0 {
                    pace.step(written)?;
                }
                for kept in transactions.take_kept() {
                    replacement.push_aborted(&kept)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        self.done.records_read += counts.records_read;
        self.done.records_kept += counts.records_kept;
        self.done.keyless += counts.keyless;
        if let Some(last) = last {
            replacement.reach_end(&last)?;
        }
        let left = replacement.finish()?;
        self.done.bytes_written += replacement.bytes();
        self.pace.step(left)
    }
}

/// A file that is not there is no failure where its segment has left the log meanwhile.
fn overtaken(error: CompactError, segments: &[Closed]) -> CompactError {
    match error {
        CompactError::Log(error)
            if error.is_not_found() && segments.iter().any(|closed| closed.segment.is_retired()) =>
        {
            CompactError::Overtaken
        }
        error => error,
    }
}

impl Closed {
    fn extent(&self) -> group::Extent {
        group::Extent {
            base: self.segment.base,
            end: self.end,
            bytes: self.segment.size(),
            offset_index_bytes: self.segment.offsets.bytes(),
            time_index_bytes: self.segment.times.bytes(),
        }
    }
}
