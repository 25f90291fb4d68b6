//! Indexes agree with the data: every entry leads to the batch that it names, and what is looked up, by offset or by
//! timestamp, is what somebody finds who walks over the whole log.

use super::Violation;
use crate::{
    log::Log,
    model::{LeaderEpoch, Offset, Timestamp},
    sim::contents::{StoredBatch, StoredRecord},
};

/// So many lookups of each kind, evenly spread.
const LOOKUPS: usize = 8;

/// `batches` are all of the log.
pub fn check(log: &Log, batches: &[StoredBatch]) -> Result<(), Violation> {
    log.check_indexes().map_err(violation)?;
    let apart = (batches.len() / LOOKUPS).max(1);
    for (at, batch) in batches.iter().enumerate().step_by(apart) {
        // Whoever asks for an offset that compaction has emptied gets what comes next.
        let before = at.checked_sub(1).map_or(log.log_start(), |before| batches[before].next_offset());
        for offset in [before, batch.last_offset] {
            let found = log.read(offset.max(log.log_start()), 1, log.log_end(), true);
            let found = found.map_err(|error| violation(error.to_string()))?;
            if (found.base_offset, found.next_offset) != (batch.base_offset, batch.next_offset()) {
                let what = format!("{offset} leads to {} instead of {}", found.base_offset, batch.base_offset);
                return Err(violation(what));
            }
        }
        if let Some(record) = batch.records.first() {
            check_time(log, batches, record.timestamp)?;
        }
        check_time(log, batches, Timestamp(batch.max_timestamp.0 + 1))?;
    }
    Ok(())
}

fn check_time(log: &Log, batches: &[StoredBatch], timestamp: Timestamp) -> Result<(), Violation> {
    let expected = batches.iter().find_map(|batch| {
        let is_it = |record: &&StoredRecord| record.timestamp >= timestamp && record.offset >= log.log_start();
        batch.records.iter().find(is_it).map(|record| (record.offset, record.timestamp, batch.leader_epoch))
    });
    let found = log.offset_for_timestamp(timestamp).map_err(|error| violation(error.to_string()))?;
    let found: Option<(Offset, Timestamp, LeaderEpoch)> =
        found.map(|found| (found.offset, found.timestamp, found.leader_epoch));
    if found == expected {
        return Ok(());
    }
    Err(violation(format!("the first record of {timestamp:?} or later is {expected:?}, and {found:?} is found")))
}

fn violation(what: String) -> Violation {
    Violation::new("indexes", what)
}
