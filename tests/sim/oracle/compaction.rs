//! Compaction takes away only what nobody needs: a record that has a later one of its key, or a tombstone whose time is over. All
//! else stays where it is and what it is, whenever the process or the power goes in the middle of a pass.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    model::{Offset, Timestamp},
    sim::{
        contents::{StoredBatch, StoredRecord},
        workload::RecordId,
    },
};

/// A pass that was begun: what was there, and what it may touch.
#[derive(Debug, Clone)]
pub struct Pass {
    pub before: Vec<StoredBatch>,
    pub first_uncleanable: Offset,
    pub now: Timestamp,
    pub delete_retention_ms: i64,
}

impl Pass {
    /// `after` is all of the log, which ends at `log_end`, once the pass is over or has died. Returns the offset behind the last
    /// tombstone that was dropped.
    pub fn check(&self, after: &[StoredBatch], log_end: Offset) -> Result<Offset, Violation> {
        let by_base: BTreeMap<Offset, &StoredBatch> =
            self.before.iter().map(|batch| (batch.base_offset, batch)).collect();
        // Where the log's start was raised and that was lost, others are back.
        let begin = self.before.first().map_or(log_end, |first| first.base_offset);
        for batch in after.iter().filter(|batch| batch.base_offset >= begin) {
            if batch.records.is_empty() && batch.producer_id.0 < 0 {
                // It stands for others, up to where the segment ends.
                continue;
            }
            let Some(before) = by_base.get(&batch.base_offset) else {
                return violation(format!("there was no batch at {}", batch.base_offset));
            };
            self.check_batch(before, batch)?;
        }
        let left: BTreeMap<Offset, StoredRecord> = records(after).map(|(_, record)| (record.offset, record)).collect();
        let mut latest: BTreeMap<u8, Offset> = BTreeMap::new();
        let until = self.first_uncleanable.min(log_end);
        for (_, record) in records(&self.before).filter(|(_, record)| record.offset < until) {
            latest.insert(record.key, record.offset);
        }
        let mut dropped = Offset::ZERO;
        for (batch, record) in records(&self.before) {
            if record.offset >= log_end || left.contains_key(&record.offset) {
                continue;
            }
            let is_superseded = latest.get(&record.key).is_some_and(|latest| *latest > record.offset);
            let is_over = batch.delete_horizon.is_some_and(|horizon| horizon <= self.now);
            if record.is_tombstone && is_over {
                dropped = record.offset.plus(1);
            } else if !is_superseded || record.offset >= self.first_uncleanable {
                return violation(format!("{record:?} is gone, which was the last of its key"));
            }
        }
        Ok(dropped)
    }

    fn check_batch(&self, before: &StoredBatch, after: &StoredBatch) -> Result<(), Violation> {
        let begins = self.now.0 + self.delete_retention_ms;
        let horizon_is_right = after.records.is_empty()
            || after.delete_horizon == before.delete_horizon
            || before.delete_horizon.is_none() && after.delete_horizon == Some(Timestamp(begins));
        let records = after.records.iter().all(|record| before.records.contains(record));
        let same = StoredBatch { records: Vec::new(), max_timestamp: before.max_timestamp, ..after.clone() };
        let expected = StoredBatch { records: Vec::new(), delete_horizon: after.delete_horizon, ..before.clone() };
        if horizon_is_right && records && same == expected {
            return Ok(());
        }
        violation(format!("{before:?} became {after:?}"))
    }
}

fn records(batches: &[StoredBatch]) -> impl Iterator<Item = (&StoredBatch, StoredRecord)> {
    batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, *record)))
}

/// Whether a record may be missing at `offset` of a log that is compacted: nobody else is there, and its key has a later one or may
/// have had a tombstone.
pub fn may_be_gone(log: &BTreeMap<Offset, RecordId>, offset: Offset, id: RecordId) -> bool {
    let has_later = || log.range(offset..).any(|(_, later)| later.key() == id.key());
    !log.contains_key(&offset) && (id.may_be_deleted() || has_later())
}

fn violation<T>(what: String) -> Result<T, Violation> {
    Err(Violation::new("compaction", what))
}
