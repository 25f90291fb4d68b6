//! A view is never ahead of its log: whatever the store and the log lose, the log holds the position that a stored view was
//! applied to, unless it was deleted; a log that is cut takes the view with it first. And a view is what was applied to it
//! comes to, all that is left of which is in the log as it was then.

use super::Violation;
use crate::{
    log::Log,
    model::Offset,
    replica::Position,
    sim::{contents::StoredBatch, view::View},
};

/// A view as it is found in the store after a crash.
pub fn check_found(view: &View, log: &Log) -> Result<(), Violation> {
    let (start, end) = (log.log_start(), log.log_end());
    let Position { offset, leader_epoch, .. } = view.position;
    if view.position.is_held_by(log) || offset < start {
        return Ok(());
    }
    let found = log.epoch_of(Offset(offset.0 - 1));
    if found.is_none() && offset <= end {
        // The log's start was raised, the epochs before forgotten, and the new start lost: nobody knows whose the records are that
        // are back, and the view will be made anew. (What took the place of others has an epoch.)
        return Ok(());
    }
    if log.config().compacts && found.is_some_and(|found| found < leader_epoch) && offset <= end {
        // Of an epoch all records of which are compacted away nobody knows once a compacted segment had to be recovered. (What took
        // the place of others is of a later one.)
        return Ok(());
    }
    let what = format!("{offset} of epoch {leader_epoch} is not in the log of {start} to {end}, there epoch {found:?}");
    Err(Violation::new("view", what))
}

/// A view in use, what was applied to it, and all that is in its log.
pub fn check(view: &View, applied: &[StoredBatch], batches: &[StoredBatch]) -> Result<(), Violation> {
    let begin = applied.first().map_or(view.position.offset, |first| first.base_offset);
    let mut replayed = View::new(view.position.topic_id, begin, view.generation);
    replayed.apply(applied);
    if replayed != *view {
        return Err(Violation::new("view", format!("{view:?} where a replay gives {replayed:?}")));
    }
    let begins = applied.first().map_or(view.position.offset, |first| first.base_offset);
    let in_log = batches.iter().filter(|batch| (begins..view.position.offset).contains(&batch.base_offset));
    let mut applied = applied.iter();
    // In order, and but for what was deleted or compacted since.
    for batch in in_log.filter(|batch| !batch.records.is_empty()) {
        let Some(then) = applied.find(|applied| applied.base_offset == batch.base_offset) else {
            return Err(Violation::new("view", format!("{view:?} has not seen {batch:?}")));
        };
        if !batch.records.iter().all(|record| then.records.contains(record)) {
            return Err(Violation::new("view", format!("{view:?} has seen {then:?} where {batch:?} is")));
        }
    }
    Ok(())
}

/// A view that has seen all that the last compaction has: what is left of the log comes to the same.
pub fn check_compacted(view: &View, batches: &[StoredBatch]) -> Result<(), Violation> {
    let mut replayed = View::new(view.position.topic_id, Offset::ZERO, view.generation);
    let applied = batches.partition_point(|batch| batch.base_offset < view.position.offset);
    replayed.apply(&batches[..applied]);
    if replayed.last().eq(view.last()) {
        return Ok(());
    }
    Err(Violation::new("view", format!("{view:?} where a replay of what is left gives {replayed:?}")))
}
