//! What a log knows of its producers is what its batches say: of each the epoch and the last five batches of that epoch. It may
//! know more only of what was deleted since.

use std::collections::BTreeMap;

use super::Violation;
use crate::{
    log::{Log, producers::Producers},
    model::{Offset, ProducerEpoch, ProducerId},
    sim::contents::StoredBatch,
};

const REMEMBERED: usize = 5;

/// Last sequence, first and last offset of a batch.
type Remembered = (i32, Offset, Offset);

/// Of each producer its epoch, and of its last batches what is remembered.
pub type State = BTreeMap<ProducerId, (ProducerEpoch, Vec<Remembered>)>;

/// What comes out of a walk over the log.
fn walked(batches: &[StoredBatch]) -> State {
    let mut state = State::new();
    for batch in batches.iter().filter(|batch| batch.producer_id.0 >= 0) {
        let (epoch, last) = state.entry(batch.producer_id).or_insert((batch.producer_epoch, Vec::new()));
        if *epoch != batch.producer_epoch {
            (*epoch, *last) = (batch.producer_epoch, Vec::new());
        }
        if last.len() == REMEMBERED {
            last.remove(0);
        }
        last.push((batch.last_sequence, batch.base_offset, batch.last_offset));
    }
    state
}

/// What the log itself remembers.
pub fn known(producers: &Producers) -> State {
    let all = producers.sorted().into_iter().map(|(id, producer)| {
        let batches = producer.batches.iter();
        let batches = batches.map(|batch| (batch.last_sequence, batch.base_offset(), batch.last_offset));
        (id, (producer.epoch, batches.collect()))
    });
    all.collect()
}

/// `batches` are all of the log. Of one that is compacted, they tell at least the last batch of each producer.
pub fn check(log: &Log, batches: &[StoredBatch], compacts: bool) -> Result<(), Violation> {
    let (known, walked) = (known(&log.producers()), walked(batches));
    let violation = |what: String| Err(Violation::new("producers", what));
    for (id, expected) in &walked {
        let (epoch, last) = expected;
        let last = if compacts { &last[last.len().saturating_sub(1)..] } else { &last[..] };
        let is_right = known.get(id).is_some_and(|(known_epoch, known)| known_epoch == epoch && known.ends_with(last));
        if !is_right {
            return violation(format!("{id} is {:?} and was {expected:?}", known.get(id)));
        }
    }
    let gone = |offset: Offset| offset < log.log_start();
    for (id, (_, last)) in &known {
        let in_log = walked.get(id).map_or(0, |(_, walked)| walked.len());
        let before = last.iter().rev().skip(if compacts && in_log > 0 { REMEMBERED } else { in_log });
        if let Some(unheard) = before.into_iter().find(|(_, base, _)| !gone(*base)) {
            return violation(format!("{id} has {unheard:?}, which is not in the log"));
        }
    }
    Ok(())
}
