//! How far a view of a log has come.

use crate::{
    log::Log,
    model::{LeaderEpoch, Offset, TopicId},
};

/// What is materialized from a log (by a coordinator, say) is stored with this, in one atomic write. A view is never applied
/// beyond [`super::Replica::materializable`], and used only where [`Position::is_held_by`] its log; else it is thrown away
/// and made again from the log's start. So the store and the log may each lose their tails in a power loss, and a log may
/// be cut by another leader, and no view ever tells what its log does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub topic_id: TopicId,
    /// Where to read on.
    pub offset: Offset,
    /// Of the record before `offset`; [`LeaderEpoch::NONE`] where nothing was applied.
    pub leader_epoch: LeaderEpoch,
}

impl Position {
    /// Nothing was applied yet.
    pub fn start(topic_id: TopicId) -> Position {
        Position { topic_id, offset: Offset::ZERO, leader_epoch: LeaderEpoch::NONE }
    }

    /// Whether all that was applied is still in the log, as it was.
    pub fn is_held_by(&self, log: &Log) -> bool {
        let is_applied = self.offset > log.log_start();
        let before = Offset(self.offset.0.saturating_sub(1));
        self.topic_id == log.topic_id()
            && (log.log_start()..=log.log_end()).contains(&self.offset)
            && (!is_applied || log.epoch_of(before) == Some(self.leader_epoch))
    }
}
