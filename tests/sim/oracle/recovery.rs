//! Recovery comes to the same whether or not it is interrupted: a process that is killed while it recovers, at any step,
//! leaves files from which the next one recovers the same log. And it keeps whatever the log said was flushed.

use super::{Violation, producers};
use crate::{
    log::Log,
    model::{LeaderEpoch, Offset},
    sim::contents::{self, StoredBatch},
};

/// All of a log that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    log_start: Offset,
    log_end: Offset,
    batches: Vec<StoredBatch>,
    /// Not of a log that is compacted: where an epoch began is known from the checkpoint alone once its first batches are gone, and
    /// a recovery that has less of the checkpoint finds its first batch that is left.
    epoch_ends: Vec<Option<(LeaderEpoch, Offset)>>,
    producers: producers::State,
}

impl Recovered {
    pub fn of(log: &Log, epochs: LeaderEpoch) -> Result<Recovered, Violation> {
        Ok(Recovered {
            log_start: log.log_start(),
            log_end: log.log_end(),
            batches: contents::read_all(log)?,
            epoch_ends: epochs_of_interest(log, epochs).map(|epoch| log.epoch_end_offset(LeaderEpoch(epoch))).collect(),
            producers: producers::known(&log.producers()),
        })
    }

    /// After the same crash, but interrupted.
    pub fn check_same(&self, interrupted: &Recovered) -> Result<(), Violation> {
        if self == interrupted {
            return Ok(());
        }
        let what = format!("recovered {} and, interrupted, {}", self.summary(), interrupted.summary());
        Err(Violation::new("recovery", what))
    }

    pub fn check_keeps(&self, flushed: Offset) -> Result<(), Violation> {
        if self.log_end >= flushed {
            return Ok(());
        }
        Err(Violation::new("recovery", format!("{} of what was flushed up to {flushed}", self.summary())))
    }

    fn summary(&self) -> String {
        let Recovered { log_start, log_end, batches, epoch_ends, producers } = self;
        format!("{log_start}..{log_end}, {} batches, epochs {epoch_ends:?}, producers {producers:?}", batches.len())
    }
}

fn epochs_of_interest(log: &Log, epochs: LeaderEpoch) -> impl Iterator<Item = i32> {
    let is_known = !log.config().compacts;
    (0..=epochs.0).filter(move |_| is_known)
}
