//! Deleting a partition's oldest records because a client asks for it (KIP-107): the log start moves, and retention removes the
//! segments that end below it.

use std::sync::Arc;

use super::{Partition, Replicas, stored::Keeper};
use crate::{log::LogError, model::Offset, store::StoreError};

/// Why no record was deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    #[error("not the leader of this partition")]
    NotLeader,
    /// `cleanup.policy` is `compact` alone.
    #[error("the topic is compacted, and its records are not deleted")]
    Policy,
    #[error("offset {asked} is not within 0 and the high watermark {high_watermark}")]
    OutOfRange { asked: Offset, high_watermark: Offset },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Up to where records are to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteBefore {
    HighWatermark,
    Offset(Offset),
}

impl Replicas {
    /// Deletes records of several partitions, each with a result of its own: its low watermark. Blocks until what was
    /// deleted stays so after a power loss.
    pub fn delete_records(&self, asked: &[(Arc<Partition>, DeleteBefore)]) -> Vec<Result<Offset, DeleteRecordsError>> {
        let keeper = self.keeper();
        let mut results: Vec<_> =
            asked.iter().map(|(partition, before)| partition.delete_records(keeper, *before)).collect();
        if results.iter().any(Result::is_ok)
            && let Err(error) = keeper.sync()
        {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(error.clone().into());
            }
        }
        results
    }
}

impl Partition {
    /// The log start from then on. Durable once the keeper is synced, which must happen even where the log started there
    /// before: an earlier request may have failed to.
    fn delete_records(&self, keeper: &Keeper, before: DeleteBefore) -> Result<Offset, DeleteRecordsError> {
        if self.is_closed() || !self.is_leader() {
            return Err(DeleteRecordsError::NotLeader);
        }
        let log = self.log()?;
        let config = log.config();
        if config.compacts && !config.deletes {
            return Err(DeleteRecordsError::Policy);
        }
        let high_watermark = self.high_watermark();
        let offset = match before {
            DeleteBefore::HighWatermark => high_watermark,
            DeleteBefore::Offset(asked) if asked < Offset::ZERO || asked > high_watermark => {
                return Err(DeleteRecordsError::OutOfRange { asked, high_watermark });
            }
            DeleteBefore::Offset(asked) => asked,
        };
        let moves = offset > log.log_start();
        let log_start = log.advance_log_start(offset);
        self.keep(keeper, |_| ())?;
        if moves {
            self.wake_fetches();
        }
        Ok(log_start)
    }
}
