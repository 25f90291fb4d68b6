//! Mistakes planted on purpose, so that the simulation can show that it finds them.
//!
//! Each is one branch at the spot where a careless change would go wrong. Outside of this crate's own tests
//! [`planted`] is constant and the branch is gone.

/// A mistake that the simulation must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Recovery believes a batch without comparing its CRC.
    SkipCrcInRecovery,
    /// What was written of a failed append stays in the file, and the next append goes behind it.
    SkipRollback,
    /// A flush says that it is done and has not synced the batches.
    SkipDataSync,
    /// A flush does not make the names of new files durable.
    SkipDirSync,
    /// A truncation leaves the recovery point where it was.
    KeepRecoveryPoint,
    /// A truncation forgets to cut the leader epochs.
    KeepEpochs,
    /// A truncation leaves the producers as they were.
    KeepProducers,
    /// Compaction drops tombstones and markers as soon as they have a delete horizon.
    ForgetDeleteHorizon,
    /// A compacted segment takes its place before it is durable.
    SkipCleanedSync,
    /// A compacted segment takes the place of others and no start would know that it has.
    SkipSwapDecision,
    /// Compaction looks at records that a power loss may still take.
    CompactUnflushed,
    /// A recovery takes a leader epoch to begin with its first batch that compaction has left.
    EpochsBeginWithBatches,
    /// A recovery takes a compacted batch that lies across the recovery point for damage.
    RefuseBatchAcrossRecoveryPoint,
    /// A recovery does not sync the indexes that it has made anew.
    SkipIndexSync,
    /// An index entry leads to the batch after the one that it names.
    IndexNextBatch,
    /// The snapshot that is taken when a segment is closed knows of the batch that follows.
    SnapshotAfterBatch,
    /// A view of the log is stored with a position that is not flushed.
    ViewPastFlushed,
    /// Under `flush.messages=1` an append is acknowledged before it is flushed.
    AckBeforeFlush,
    /// A change of the metadata is answered before it is committed.
    ReplyBeforeCommit,
    /// A leader of the metadata goes on with what it speculated after it lost the leadership.
    KeepSpeculation,
    /// A group's coordinator answers before what it has written is committed.
    AnswerGroupsBeforeCommit,
    /// A group's coordinator goes on with what it decided after that was lost.
    KeepGroupSpeculation,
    /// A member of a consumer group gets a partition before the one that has it has given it up.
    AssignUnreleased,
    /// A consumer group does not see that its topics are others by now.
    IgnoreChangedTopics,
    /// A classic group takes commits from whomever.
    CommitWithoutMembership,
    /// A classic group that becomes a consumer group begins to count anew.
    UpgradeToFirstEpoch,
    /// A coordinator that has just loaded does not notice that members are gone.
    LoadWithoutSessions,
    /// Old segments go before the log start is stored.
    StoreLogStartTooLate,
    /// A start takes what is left of deleted segments for the log's beginning.
    KeepDeletedRecords,
}

/// Whether the mistake is to be made, on this thread.
#[cfg(not(test))]
#[inline(always)]
pub const fn planted(_: Fault) -> bool {
    false
}

#[cfg(test)]
pub use switch::{plant, planted};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    pub fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// Runs `body` with a mistake in the code that it calls on this thread.
    pub fn plant<T>(fault: Fault, body: impl FnOnce() -> T) -> T {
        struct Restore(Option<Fault>);
        impl Drop for Restore {
            fn drop(&mut self) {
                PLANTED.set(self.0);
            }
        }
        let _restore = Restore(PLANTED.replace(Some(fault)));
        body()
    }
}
