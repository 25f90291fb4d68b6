//! Whatever an idempotent producer sends is in the log once, however often it sends it (KIP-98). What was deleted does not count:
//! a leader that has nothing left of a producer does not know it any more.

use std::collections::BTreeSet;

use super::Violation;
use crate::{model::Offset, sim::contents::StoredBatch};

/// Nobody has deleted anything from `deleted_below` on.
pub fn check(batches: &[StoredBatch], deleted_below: Offset) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    let numbered = batches.iter().filter(|batch| batch.producer_id.0 >= 0);
    let there = numbered.flat_map(StoredBatch::offsets);
    for (offset, id) in there.filter(|(offset, _)| *offset >= deleted_below) {
        if !seen.insert(id) {
            return Err(Violation::new("duplicates", format!("{id} is there again at {offset}")));
        }
    }
    Ok(())
}
