//! The log is in order: offsets follow each other without a gap, leader epochs never go back, and the records of one
//! producer are in the order in which it sent them. A plain producer that sends a batch again has it twice, one after the
//! other; nothing of its own comes in between, for it waits for each answer.

use std::collections::BTreeMap;

use super::Violation;
use crate::sim::contents::StoredBatch;

pub fn check(batches: &[StoredBatch]) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new("order", what));
    for pair in batches.windows(2) {
        if pair[1].base_offset != pair[0].next_offset() {
            return violation(format!("offset {} follows on {}", pair[1].base_offset, pair[0].next_offset()));
        }
        if pair[1].leader_epoch < pair[0].leader_epoch {
            return violation(format!("epoch {} after {}", pair[1].leader_epoch, pair[0].leader_epoch));
        }
    }
    // Of each producer, the first number of its last batch.
    let mut sent: BTreeMap<u8, u32> = BTreeMap::new();
    for batch in batches {
        let Some(first) = batch.records.first().map(|record| record.id) else {
            return violation("an empty batch".to_owned());
        };
        if sent.insert(first.producer, first.number).is_some_and(|before| before > first.number) {
            return violation(format!("{first} at {} comes after a later one", batch.base_offset));
        }
        if batch.records.windows(2).any(|pair| pair[1].id.number != pair[0].id.number + 1) {
            return violation(format!("the records within {} are out of order", batch.base_offset));
        }
    }
    Ok(())
}
