//! What a partition knows of its idempotent producers (KIP-98): pure state, kept in step with the log.
//!
//! For each producer id its epoch and its last five batches are remembered, so that a batch that is sent again is
//! answered with the offset it already has, and one that skips a sequence is refused. The rules are those of
//! Kafka's `ProducerAppendInfo` for appends from clients.
//!
//! One difference: a producer expires by when this broker last heard of it, where Kafka goes by the timestamps in
//! its records, which a client sets. Copying old data would otherwise lose its idempotence.

use std::collections::HashMap;

use felice_protocol::record::{BatchHeader, increment_sequence};
use smallvec::SmallVec;

use crate::model::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// How many batches of a producer are remembered: as many as it may have in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// More producers than this in one partition push out the ones longest silent.
pub const PRODUCERS_MAX: usize = 1 << 20;

/// A batch of an idempotent producer, as far as its state is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub last_offset_delta: i32,
    pub max_timestamp: Timestamp,
    pub transactional: bool,
    pub control: bool,
}

impl ProducerBatch {
    /// `None` for a batch without producer id.
    pub fn of(header: &BatchHeader) -> Option<ProducerBatch> {
        header.has_producer_id().then(|| ProducerBatch {
            producer_id: ProducerId(header.producer_id),
            epoch: ProducerEpoch(header.producer_epoch),
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            last_offset_delta: header.last_offset_delta,
            max_timestamp: Timestamp(header.max_timestamp),
            transactional: header.is_transactional(),
            control: header.is_control(),
        })
    }
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBatch {
    pub last_sequence: i32,
    pub last_offset: Offset,
    /// Last offset minus first.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
}

impl WrittenBatch {
    pub fn base_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_sub(i64::from(self.offset_delta)))
    }

    pub fn first_sequence(&self) -> i32 {
        increment_sequence(self.last_sequence, self.offset_delta.saturating_neg())
    }
}

/// One producer. `batches` are of the current epoch, oldest first, at most [`BATCHES_REMEMBERED`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    pub epoch: ProducerEpoch,
    pub batches: SmallVec<[WrittenBatch; BATCHES_REMEMBERED]>,
    /// Of the coordinator that wrote the last transaction marker; -1 before the first.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_start: Option<Offset>,
    /// Max timestamp of its last batch.
    pub timestamp: Timestamp,
    /// This broker's clock when the last batch came.
    pub last_seen: Timestamp,
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// It is in the log already, there.
    Duplicate(WrittenBatch),
}

/// Why a batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("epoch {epoch} of producer {producer} is older than {current}")]
    InvalidEpoch { producer: ProducerId, epoch: ProducerEpoch, current: ProducerEpoch },
    #[error("sequence {first_sequence} of producer {producer} does not follow {last_sequence}")]
    OutOfOrderSequence { producer: ProducerId, first_sequence: i32, last_sequence: i32 },
    #[error("producer {producer} has an open transaction and sent a batch outside of it")]
    OutsideTransaction { producer: ProducerId },
}

/// All producers of one partition.
#[derive(Debug, Clone, Default)]
pub struct Producers {
    by_id: HashMap<ProducerId, Producer>,
}

impl Producers {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn producer(&self, id: ProducerId) -> Option<&Producer> {
        self.by_id.get(&id)
    }

    /// In no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// Ordered by id.
    pub fn sorted(&self) -> Vec<(ProducerId, &Producer)> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, producer)| (*id, producer)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    pub fn insert(&mut self, id: ProducerId, producer: Producer) {
        debug_assert!(producer.batches.len() <= BATCHES_REMEMBERED);
        self.by_id.insert(id, producer);
    }

    /// Checks a client's batch. Changes nothing: [`Producers::appended`] does, once the batch is in the log.
    pub fn check(&self, batch: &ProducerBatch, now: Timestamp, expiration_ms: i64) -> Result<Verdict, ProducerError> {
        let producer = batch.producer_id;
        let Some(known) = self.by_id.get(&producer).filter(|known| !known.is_expired(now, expiration_ms)) else {
            // Its state may have been lost with the records (retention, DeleteRecords): any sequence will do.
            return Ok(Verdict::Append);
        };
        if let Some(written) = known.written(batch) {
            return Ok(Verdict::Duplicate(written));
        }
        if batch.epoch < known.epoch {
            return Err(ProducerError::InvalidEpoch { producer, epoch: batch.epoch, current: known.epoch });
        }
        let last_sequence = match known.batches.last() {
            Some(last) if batch.epoch == known.epoch => last.last_sequence,
            _ => -1,
        };
        if batch.first_sequence != increment_sequence(last_sequence, 1) {
            let first_sequence = batch.first_sequence;
            return Err(ProducerError::OutOfOrderSequence { producer, first_sequence, last_sequence });
        }
        if known.transaction_start.is_some() && !batch.transactional {
            return Err(ProducerError::OutsideTransaction { producer });
        }
        Ok(Verdict::Append)
    }

    /// Takes note of a batch that is in the log with `base_offset` as its first; nothing is checked any more.
    pub fn appended(&mut self, batch: &ProducerBatch, base_offset: Offset, now: Timestamp) {
        let known = self.by_id.entry(batch.producer_id).or_insert_with(|| Producer::new(batch.epoch));
        if known.epoch != batch.epoch {
            known.epoch = batch.epoch;
            known.batches.clear();
        }
        known.last_seen = now;
        known.timestamp = batch.max_timestamp;
        if batch.control {
            // A marker has no sequence; it ends the transaction.
            known.transaction_start = None;
        } else {
            if known.batches.len() == BATCHES_REMEMBERED {
                known.batches.remove(0);
            }
            known.batches.push(WrittenBatch {
                last_sequence: batch.last_sequence,
                last_offset: base_offset.plus(i64::from(batch.last_offset_delta)),
                offset_delta: batch.last_offset_delta,
                timestamp: batch.max_timestamp,
            });
            if batch.transactional && known.transaction_start.is_none() {
                known.transaction_start = Some(base_offset);
            }
        }
        if self.by_id.len() > PRODUCERS_MAX {
            self.evict();
        }
    }

    /// Forgets producers not heard of for `expiration_ms`, but for those in a transaction.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.by_id.retain(|_, producer| !producer.is_expired(now, expiration_ms));
    }

    /// Where the oldest open transaction begins.
    pub fn first_transaction(&self) -> Option<Offset> {
        self.by_id.values().filter_map(|producer| producer.transaction_start).min()
    }

    /// Forgets the eighth longest silent, so that it is rarely called.
    fn evict(&mut self) {
        let idle = self.by_id.iter().filter(|(_, producer)| producer.transaction_start.is_none());
        let mut idle: Vec<_> = idle.map(|(id, producer)| (producer.last_seen, *id)).collect();
        idle.sort_unstable();
        for (_, id) in idle.iter().take(PRODUCERS_MAX / 8) {
            self.by_id.remove(id);
        }
    }
}

impl Producer {
    pub fn new(epoch: ProducerEpoch) -> Producer {
        Producer {
            epoch,
            batches: SmallVec::new(),
            coordinator_epoch: -1,
            transaction_start: None,
            timestamp: Timestamp::NONE,
            last_seen: Timestamp::NONE,
        }
    }

    fn is_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.transaction_start.is_none() && now.0.saturating_sub(self.last_seen.0) >= expiration_ms
    }

    fn written(&self, batch: &ProducerBatch) -> Option<WrittenBatch> {
        let same = |written: &&WrittenBatch| {
            written.first_sequence() == batch.first_sequence && written.last_sequence == batch.last_sequence
        };
        self.batches.iter().find(same).copied().filter(|_| self.epoch == batch.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn batch(id: i64, epoch: i16, first_sequence: i32, count: i32) -> ProducerBatch {
        ProducerBatch {
            producer_id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            first_sequence,
            last_sequence: increment_sequence(first_sequence, count - 1),
            last_offset_delta: count - 1,
            max_timestamp: Timestamp(1000 + i64::from(first_sequence)),
            transactional: false,
            control: false,
        }
    }

    /// A log that has only offsets: appends what is fit to be appended.
    #[derive(Default)]
    struct Partition {
        producers: Producers,
        end: i64,
        now: i64,
    }

    impl Partition {
        /// The base offset, or `None` and the error's first letter for a refusal.
        fn send(&mut self, batch: ProducerBatch) -> Result<i64, char> {
            match self.producers.check(&batch, Timestamp(self.now), DAY_MS) {
                Ok(Verdict::Append) => {
                    let base = self.end;
                    self.producers.appended(&batch, Offset(base), Timestamp(self.now));
                    self.end += i64::from(batch.last_offset_delta) + 1;
                    Ok(base)
                }
                Ok(Verdict::Duplicate(written)) => Ok(written.base_offset().0),
                Err(ProducerError::InvalidEpoch { .. }) => Err('e'),
                Err(ProducerError::OutOfOrderSequence { .. }) => Err('s'),
                Err(ProducerError::OutsideTransaction { .. }) => Err('t'),
            }
        }
    }

    #[test]
    fn sequences_epochs_and_duplicates() {
        let mut log = Partition::default();
        let steps = [
            ("first batch of an unknown producer", batch(1, 0, 0, 3), Ok(0)),
            ("follows", batch(1, 0, 3, 2), Ok(3)),
            ("duplicate of the last", batch(1, 0, 3, 2), Ok(3)),
            ("duplicate of the first", batch(1, 0, 0, 3), Ok(0)),
            ("half a duplicate", batch(1, 0, 3, 1), Err('s')),
            ("a gap", batch(1, 0, 6, 1), Err('s')),
            ("another unknown producer may begin anywhere", batch(2, 5, 17, 1), Ok(5)),
            ("and goes on from there", batch(2, 5, 18, 1), Ok(6)),
            ("older epoch", batch(2, 4, 19, 1), Err('e')),
            ("older epoch, sequence 0", batch(2, 4, 0, 1), Err('e')),
            ("new epoch must begin at 0", batch(2, 6, 19, 1), Err('s')),
            ("new epoch", batch(2, 6, 0, 1), Ok(7)),
            ("a duplicate of the old epoch is fenced", batch(2, 5, 18, 1), Err('e')),
        ];
        for (name, sent, expected) in steps {
            assert_eq!(log.send(sent), expected, "{name}");
        }
    }

    #[test]
    fn five_batches_are_remembered() {
        let mut log = Partition::default();
        for sequence in 0..6 {
            assert_eq!(log.send(batch(1, 0, sequence, 1)), Ok(i64::from(sequence)));
        }
        assert_eq!(log.send(batch(1, 0, 0, 1)), Err('s'), "the sixth back is forgotten");
        for sequence in 1..6 {
            assert_eq!(log.send(batch(1, 0, sequence, 1)), Ok(i64::from(sequence)));
        }
        assert_eq!(log.end, 6);
    }

    #[test]
    fn sequences_wrap() {
        let mut log = Partition::default();
        assert_eq!(log.send(batch(1, 0, i32::MAX - 1, 1)), Ok(0));
        assert_eq!(log.send(batch(1, 0, i32::MAX, 3)), Ok(1), "ends at 1");
        assert_eq!(log.send(batch(1, 0, i32::MAX, 3)), Ok(1), "its duplicate");
        assert_eq!(log.send(batch(1, 0, 1, 1)), Err('s'));
        assert_eq!(log.send(batch(1, 0, 2, 1)), Ok(4));
        assert_eq!(log.send(batch(2, 0, i32::MAX, 1)), Ok(5));
        assert_eq!(log.send(batch(2, 0, 0, 1)), Ok(6), "after the largest comes 0");
    }

    #[test]
    fn silence_expires_whatever_the_records_say() {
        let mut log = Partition::default();
        log.send(batch(1, 3, 0, 1)).unwrap();
        log.now = DAY_MS - 1;
        assert_eq!(log.send(batch(1, 3, 9, 1)), Err('s'));
        log.now = DAY_MS;
        assert_eq!(log.send(batch(1, 2, 9, 1)), Ok(1), "unknown again: any epoch, any sequence");
        log.now = 3 * DAY_MS;
        log.producers.expire(Timestamp(log.now), DAY_MS);
        assert!(log.producers.is_empty());
    }

    #[test]
    fn a_transaction_holds_its_producer() {
        let mut log = Partition::default();
        let transactional = |first, count| ProducerBatch { transactional: true, ..batch(1, 0, first, count) };
        assert_eq!(log.send(transactional(0, 2)), Ok(0));
        assert_eq!(log.send(transactional(2, 1)), Ok(2));
        assert_eq!(log.producers.first_transaction(), Some(Offset(0)));
        assert_eq!(log.send(batch(1, 0, 3, 1)), Err('t'));
        log.now = 2 * DAY_MS;
        log.producers.expire(Timestamp(log.now), DAY_MS);
        assert_eq!(log.producers.len(), 1, "an open transaction does not expire");
        let marker = ProducerBatch { control: true, ..transactional(-1, 1) };
        log.producers.appended(&marker, Offset(3), Timestamp(log.now));
        assert_eq!(log.producers.first_transaction(), None);
        log.end = 4;
        assert_eq!(log.send(batch(1, 0, 3, 1)), Ok(4), "a marker takes no sequence");
    }
}
