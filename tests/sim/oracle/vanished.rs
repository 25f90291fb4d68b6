//! What one consumer was given at an offset, every consumer is given there, then and later, and each leader's log holds.
//! The only excuse is that of `acks=all`: the last in-sync replica lost its power before it flushed the record, with
//! Kafka's default of not waiting for the disk.

use std::collections::BTreeMap;

use super::{Violation, compaction::may_be_gone};
use crate::{
    model::Offset,
    sim::{contents::StoredBatch, workload::RecordId},
};

#[derive(Debug, Default)]
pub struct Vanished {
    given: BTreeMap<Offset, RecordId>,
    /// Records may be gone where their key has later ones.
    compacts: bool,
    /// Later records were lost, with all that was in sync, after a compaction had gone by them: any may be gone.
    lost_compacted: bool,
}

impl Vanished {
    pub fn new(compacts: bool) -> Vanished {
        Vanished { compacts, ..Vanished::default() }
    }

    /// A consumer is given these; whole batches, of which it looks at what is below the high watermark.
    pub fn read(&mut self, batches: &[StoredBatch], high_watermark: Offset) -> Result<(), Violation> {
        for (offset, id) in batches.iter().flat_map(StoredBatch::offsets) {
            if offset >= high_watermark {
                let what = format!("{id} at {offset} was given away, beyond the high watermark of {high_watermark}");
                return Err(Violation::new("vanished", what));
            }
            match self.given.insert(offset, id) {
                Some(before) if before != id => return Err(other(offset, before, Some(&id))),
                _ => {}
            }
        }
        Ok(())
    }

    /// A log was compacted by what it has then lost.
    pub fn excuse_compacted(&mut self) {
        self.lost_compacted = true;
    }

    fn may_be_gone(&self, log: &BTreeMap<Offset, RecordId>, offset: Offset, id: RecordId) -> bool {
        let is_excused = self.lost_compacted && !log.contains_key(&offset);
        is_excused || self.compacts && may_be_gone(log, offset, id)
    }

    /// See `Acknowledged::excuse_from`.
    pub fn excuse_from(&mut self, flushed: Offset) {
        self.given.split_off(&flushed);
    }

    /// A new leader's log.
    pub fn check(&self, log: &BTreeMap<Offset, RecordId>, log_start: Offset) -> Result<(), Violation> {
        let is_gone =
            |offset: Offset, id: RecordId| log.get(&offset) != Some(&id) && !self.may_be_gone(log, offset, id);
        let gone = self.given.range(log_start..).find(|(offset, id)| is_gone(**offset, **id));
        gone.map_or(Ok(()), |(offset, id)| Err(other(*offset, *id, log.get(offset))))
    }
}

fn other(offset: Offset, before: RecordId, now: Option<&RecordId>) -> Violation {
    Violation::new("vanished", format!("{before} was given to a consumer at {offset}, where {now:?} is now"))
}
