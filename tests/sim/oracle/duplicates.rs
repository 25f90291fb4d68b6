//! Whatever an idempotent producer sends is in the log once, however often it sends it (KIP-98).

use std::collections::BTreeSet;

use super::Violation;
use crate::sim::contents::StoredBatch;

pub fn check(batches: &[StoredBatch]) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    let numbered = batches.iter().filter(|batch| batch.producer_id.0 >= 0);
    for (offset, id) in numbered.flat_map(StoredBatch::offsets) {
        if !seen.insert(id) {
            return Err(Violation::new("duplicates", format!("{id} is there again at {offset}")));
        }
    }
    Ok(())
}
