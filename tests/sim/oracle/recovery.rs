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
    epoch_ends: Vec<Option<(LeaderEpoch, Offset)>>,
    producers: producers::State,
}

impl Recovered {
    pub fn of(log: &Log, epochs: LeaderEpoch) -> Result<Recovered, Violation> {
        Ok(Recovered {
            log_start: log.log_start(),
            log_end: log.log_end(),
            batches: contents::read_all(log)?,
            epoch_ends: (0..=epochs.0).map(|epoch| log.epoch_end_offset(LeaderEpoch(epoch))).collect(),
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
