//! A view is never ahead of its log: whatever the store and the log lose, the log holds the position that a stored view was
//! applied to; a log that is cut takes the view with it first. And a view is what a replay from the log's start comes to.

use super::Violation;
use crate::{
    log::Log,
    model::Offset,
    replica::Position,
    sim::{contents::StoredBatch, view::View},
};

/// A view as it is found in the store after a crash.
pub fn check_found(view: &View, log: &Log) -> Result<(), Violation> {
    if view.position.is_held_by(log) {
        return Ok(());
    }
    let (start, end) = (log.log_start(), log.log_end());
    let Position { offset, leader_epoch, .. } = view.position;
    let found = log.epoch_of(Offset(offset.0 - 1));
    let what = format!("{offset} of epoch {leader_epoch} is not in the log of {start} to {end}, there epoch {found:?}");
    Err(Violation::new("view", what))
}

/// A view in use, and all that is in its log.
pub fn check(view: &View, batches: &[StoredBatch]) -> Result<(), Violation> {
    let mut replayed = View::new(view.position.topic_id);
    let applied = batches.partition_point(|batch| batch.base_offset < view.position.offset);
    replayed.apply(&batches[..applied]);
    if replayed == *view {
        return Ok(());
    }
    Err(Violation::new("view", format!("{view:?} where a replay gives {replayed:?}")))
}
