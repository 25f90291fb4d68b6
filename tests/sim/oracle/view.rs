//! A view is never ahead of its log: whatever the store and the log lose, the log holds the position that a stored view was
//! applied to, unless it was deleted; a log that is cut takes the view with it first. And a view is what was applied to it
//! comes to, all of which is in the log as it was then.

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
    let from = batches.first().map_or(view.position.offset, |first| first.base_offset);
    let applied = applied.iter().skip_while(|batch| batch.base_offset < from);
    let in_log = batches.iter().take_while(|batch| batch.base_offset < view.position.offset);
    let begins = applied.clone().next().map_or(view.position.offset, |first| first.base_offset);
    let in_log = in_log.skip_while(|batch| batch.base_offset < begins);
    if applied.eq(in_log) {
        return Ok(());
    }
    Err(Violation::new("view", format!("{view:?} was made of other batches than its log has")))
}
