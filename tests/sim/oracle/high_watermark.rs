//! Within a leader epoch the high watermark that its leader tells never goes back, and it is never beyond the leader's log,
//! nor, under `flush.messages=1`, beyond what is on the leader's disk.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    model::{LeaderEpoch, Offset},
    replica::Replica,
};

#[derive(Debug, Default)]
pub struct HighWatermark {
    told: BTreeMap<LeaderEpoch, Offset>,
}

impl HighWatermark {
    /// To be called with every leader after every step.
    pub fn observe(&mut self, leader: &Replica, flushes_each: bool) -> Result<(), Violation> {
        let (epoch, now) = (leader.leader_epoch(), leader.high_watermark());
        let before = self.told.insert(epoch, now).unwrap_or_default();
        let ends = leader.ends();
        // What a leader brought along may be less than it could have, and never more.
        let bound = if flushes_each { ends.flushed } else { ends.log_end };
        if now < before || now > bound {
            let what = format!("it was {before} in epoch {epoch} and is {now}, where at most {bound} is there");
            return Err(Violation::new("high_watermark", what));
        }
        Ok(())
    }
}
