//! The log is in order: offsets follow each other without a gap, leader epochs never go back, and the records of one
//! producer are in the order in which it sent them. A plain producer that sends a batch again has it twice, one after the
//! other; nothing of its own comes in between, for it waits for each answer. A log that is compacted has holes.

use std::collections::BTreeMap;

use super::Violation;
use crate::{model::Offset, sim::contents::StoredBatch};

/// Nobody has deleted anything from `deleted_below` on. Before, a leader may have forgotten its producers with their records.
pub fn check(batches: &[StoredBatch], compacts: bool, deleted_below: Offset) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new("order", what));
    for pair in batches.windows(2) {
        let expected = pair[0].next_offset();
        if pair[1].base_offset < expected || pair[1].base_offset > expected && !compacts {
            return violation(format!("offset {} follows on {}", pair[1].base_offset, pair[0].next_offset()));
        }
        if pair[1].leader_epoch < pair[0].leader_epoch {
            return violation(format!("epoch {} after {}", pair[1].leader_epoch, pair[0].leader_epoch));
        }
    }
    // Of each producer, the first number of its last batch.
    let mut sent: BTreeMap<u8, u32> = BTreeMap::new();
    for batch in batches.iter().filter(|batch| batch.base_offset >= deleted_below) {
        let Some(first) = batch.records.first().map(|record| record.id) else {
            if compacts {
                continue;
            }
            return violation("an empty batch".to_owned());
        };
        // Of a plain producer's batch that is there twice, compaction may leave the end of one and the beginning of the other.
        let is_plain = batch.producer_id.0 < 0;
        let before = sent.insert(first.producer, first.number);
        if before.is_some_and(|before| before > first.number) && !(compacts && is_plain) {
            return violation(format!("{first} at {} comes after a later one", batch.base_offset));
        }
        if batch
            .records
            .windows(2)
            .any(|pair| pair[1].id.number != pair[0].id.number + 1 && (!compacts || pair[1].id <= pair[0].id))
        {
            return violation(format!("the records within {} are out of order", batch.base_offset));
        }
    }
    Ok(())
}
