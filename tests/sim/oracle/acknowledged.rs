//! What was acknowledged survives. Exactly what is promised depends on who was asked to have it:
//!
//! - `acks=all` with `flush.messages=1` on every replica: survives anything that befalls any number of replicas, as long as
//!   what a disk said it has synced stays there.
//! - `acks=all` with Kafka's default, where the kernel writes back when it likes: survives any death of any process, and
//!   power losses of replicas, unless *the last in-sync replica* lost its power before it flushed the record. (Who comes
//!   back after an unclean stop is taken out of the ISR where anyone else is left in it, and has to catch up: KIP-966.)
//!   With a single replica that is any power loss before the flush.
//! - `acks=1`: as above, with the one leader that answered standing for the in-sync replicas. Another leader need not have
//!   it; if it does, it stands for the record from then on, as by Kafka's default: as a follower it need not have flushed it.
//!
//! And an answer is true when it is given: the record is at the offset that it names.
//!
//! A record that a consumer was given has the promise of `acks=all`; `vanished.rs` says so.

use std::collections::BTreeMap;

use super::{Violation, compaction::may_be_gone};
use crate::{
    model::{NodeId, Offset},
    sim::workload::RecordId,
};

#[derive(Debug, Default)]
pub struct Acknowledged {
    /// With `acks=all`.
    by_all: BTreeMap<Offset, RecordId>,
    /// With `acks=1`.
    by_one: BTreeMap<Offset, (RecordId, Stands)>,
    pub count: usize,
    /// Records may be gone where their key has later ones.
    compacts: bool,
    /// Later records were lost, with all that was in sync, after a compaction had gone by them: any may be gone.
    lost_compacted: bool,
}

/// The leader that stands for a record.
#[derive(Debug, Clone, Copy)]
struct Stands {
    leader: NodeId,
    /// It has said that no power loss takes the record.
    flushed: bool,
}

impl Acknowledged {
    pub fn new(compacts: bool) -> Acknowledged {
        Acknowledged { compacts, ..Acknowledged::default() }
    }

    pub fn by_all(&mut self, base: Offset, records: &[RecordId]) {
        self.count += records.len();
        self.by_all.extend(records.iter().zip(base.0..).map(|(id, offset)| (Offset(offset), *id)));
    }

    /// To be called for leaders that are not deposed already, whether or not they know. `flushed` says that they answer after
    /// a flush.
    pub fn by_one(&mut self, base: Offset, records: &[RecordId], leader: NodeId, flushed: bool) {
        self.count += records.len();
        let stands = Stands { leader, flushed };
        self.by_one.extend(records.iter().zip(base.0..).map(|(id, offset)| (Offset(offset), (*id, stands))));
    }

    /// A log was compacted by what it has then lost.
    pub fn excuse_compacted(&mut self) {
        self.lost_compacted = true;
    }

    fn may_be_gone(&self, log: &BTreeMap<Offset, RecordId>, offset: Offset, id: RecordId) -> bool {
        let is_excused = self.lost_compacted && !log.contains_key(&offset);
        is_excused || self.compacts && may_be_gone(log, offset, id)
    }

    /// The last in-sync replica lost its power, and had flushed up to `flushed`.
    pub fn excuse_from(&mut self, flushed: Offset) {
        self.by_all.split_off(&flushed);
    }

    /// `leader` begins an epoch with this log. It had flushed up to `safe` when it lost its power, if it has.
    pub fn elected(
        &mut self,
        leader: NodeId,
        safe: Option<Offset>,
        log: &BTreeMap<Offset, RecordId>,
        log_start: Offset,
    ) -> Result<(), Violation> {
        for (offset, (id, stands)) in std::mem::take(&mut self.by_one) {
            let is_same = stands.leader == leader;
            if log.get(&offset) == Some(&id) {
                let flushed = is_same && stands.flushed;
                self.by_one.insert(offset, (id, Stands { leader, flushed }));
            } else if self.may_be_gone(log, offset, id) {
                continue;
            } else if is_same && (stands.flushed || safe.is_none_or(|safe| offset < safe)) && offset >= log_start {
                return Err(lost(offset, id, log));
            }
        }
        self.check(log, log_start)
    }

    /// All that was acknowledged by all is in the log, but for what was deleted.
    pub fn check(&self, log: &BTreeMap<Offset, RecordId>, log_start: Offset) -> Result<(), Violation> {
        let is_gone =
            |offset: Offset, id: RecordId| log.get(&offset) != Some(&id) && !self.may_be_gone(log, offset, id);
        let gone = self.by_all.range(log_start..).find(|(offset, id)| is_gone(**offset, **id));
        gone.map_or(Ok(()), |(offset, id)| Err(lost(*offset, *id, log)))
    }

    /// The answer that `records` are at `base`, at the moment it is given.
    pub fn check_answer(
        records: &[RecordId],
        base: Offset,
        log: &BTreeMap<Offset, RecordId>,
        log_start: Offset,
        compacts: bool,
    ) -> Result<(), Violation> {
        let told = records.iter().zip(base.0..).map(|(id, offset)| (Offset(offset), *id));
        for (offset, id) in told.filter(|(offset, _)| *offset >= log_start) {
            let is_gone = compacts && !log.contains_key(&offset);
            if log.get(&offset) != Some(&id) && !is_gone {
                let what = format!("the answer says that {id} is at {offset}, where {:?} is", log.get(&offset));
                return Err(Violation::new("acknowledged", what));
            }
        }
        Ok(())
    }
}

fn lost(offset: Offset, id: RecordId, log: &BTreeMap<Offset, RecordId>) -> Violation {
    let what = format!("{id} was acknowledged at {offset}, where {:?} is", log.get(&offset));
    Violation::new("acknowledged", what)
}
