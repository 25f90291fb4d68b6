//! What a partition knows of its idempotent producers (KIP-98): pure state, kept in step with the log.
//!
//! For each producer id its epoch and its last five batches are remembered, so that a batch that is sent again is
//! answered with the offset it already has, and one that skips a sequence is refused. The rules are those of
//! Kafka's `ProducerAppendInfo` for appends from clients.
//!
//! One difference: a producer expires by when this broker last heard of it, where Kafka goes by the timestamps in
//! its records, which a client sets. Copying old data would otherwise lose its idempotence.

use std::collections::{BTreeMap, HashMap};

use felice_protocol::record::{BatchHeader, EndTransactionMarker, increment_sequence};
use smallvec::SmallVec;

use super::transactions::{AbortedTxn, TransactionEnd};
use crate::model::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// How many batches of a producer are remembered: as many as it may have in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// More producers than this in one partition push out the ones longest silent.
pub const PRODUCERS_MAX: usize = 1 << 20;

/// The transaction version from which on each transaction has an epoch of its own (KIP-890).
const EPOCH_EACH_SINCE: i16 = 2;

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
    /// What a control batch says, where it is a marker that compaction has not emptied.
    pub marker: Option<EndTransactionMarker>,
}

impl ProducerBatch {
    /// `None` for a batch without producer id. The marker of a control batch is not in its header.
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
            marker: None,
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
    #[error("coordinator epoch {epoch} for producer {producer} is older than {current}")]
    CoordinatorFenced { producer: ProducerId, epoch: i32, current: i32 },
}

/// A transaction that a marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    pub committed: bool,
}

/// All producers of one partition.
///
/// Invariant: `open` has the `transaction_start` of each producer that has one.
#[derive(Debug, Clone, Default)]
pub struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    open: BTreeMap<Offset, ProducerId>,
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
        if let Some(start) = producer.transaction_start {
            self.open.insert(start, id);
        }
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

    /// Checks a marker that a transaction's coordinator sent, as Kafka's `ProducerAppendInfo` does. From transaction version 2 on
    /// its epoch must be above that of the records. One that repeats the marker of a transaction that has ended passes; so does
    /// one at the last epoch there is, which could not be raised.
    pub fn check_end(&self, end: &TransactionEnd, now: Timestamp, expiration_ms: i64) -> Result<(), ProducerError> {
        let producer = end.producer_id;
        let Some(known) = self.by_id.get(&producer).filter(|known| !known.is_expired(now, expiration_ms)) else {
            return Ok(());
        };
        let (epoch, current) = (end.producer_epoch, known.epoch);
        let may_equal = end.transaction_version < EPOCH_EACH_SINCE
            || known.transaction_start.is_none()
            || epoch == ProducerEpoch(i16::MAX);
        if epoch < current || (epoch == current && !may_equal) {
            return Err(ProducerError::InvalidEpoch { producer, epoch, current });
        }
        let (epoch, current) = (end.marker.coordinator_epoch, known.coordinator_epoch);
        if epoch < current {
            return Err(ProducerError::CoordinatorFenced { producer, epoch, current });
        }
        Ok(())
    }

    /// The transaction that a marker ends which lies, or is to lie, at `offset`; `None` for other batches, and for a marker that
    /// ends nothing.
    pub fn completed_by(&self, batch: &ProducerBatch, offset: Offset) -> Option<CompletedTxn> {
        let marker = batch.marker.filter(|_| batch.control)?;
        let first_offset = self.by_id.get(&batch.producer_id)?.transaction_start?;
        let producer_id = batch.producer_id;
        Some(CompletedTxn { producer_id, first_offset, last_offset: offset, committed: marker.committed })
    }

    /// As [`Producers::completed_by`], where the transaction is aborted: what the index says of it.
    pub fn aborted_by(&self, batch: &ProducerBatch, offset: Offset) -> Option<AbortedTxn> {
        let completed = self.completed_by(batch, offset).filter(|completed| !completed.committed)?;
        let CompletedTxn { producer_id, first_offset, last_offset, .. } = completed;
        let next_open = self.open.iter().find(|(_, id)| **id != producer_id).map(|(start, _)| *start);
        let last_stable_offset = next_open.unwrap_or(last_offset.plus(1));
        Some(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset })
    }

    /// Takes note of a batch that is in the log with `base_offset` as its first; nothing is checked any more. Returns the
    /// transaction that it ended.
    pub fn appended(&mut self, batch: &ProducerBatch, base_offset: Offset, now: Timestamp) -> Option<CompletedTxn> {
        if batch.control && batch.marker.is_none() {
            // All that it ended was removed by compaction.
            return None;
        }
        let completed = self.completed_by(batch, base_offset);
        let known = self.by_id.entry(batch.producer_id).or_insert_with(|| Producer::new(batch.epoch));
        if known.epoch != batch.epoch {
            known.epoch = batch.epoch;
            known.batches.clear();
        }
        known.last_seen = now;
        known.timestamp = batch.max_timestamp;
        if let Some(marker) = batch.marker {
            // It has no sequence.
            known.coordinator_epoch = marker.coordinator_epoch;
            if let Some(start) = known.transaction_start.take() {
                self.open.remove(&start);
            }
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
                self.open.insert(base_offset, batch.producer_id);
            }
        }
        if self.by_id.len() > PRODUCERS_MAX {
            self.evict();
        }
        completed
    }

    /// Forgets producers not heard of for `expiration_ms`, but for those in a transaction.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.by_id.retain(|_, producer| !producer.is_expired(now, expiration_ms));
    }

    /// Where the oldest open transaction begins.
    pub fn first_transaction(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(start, _)| *start)
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
            marker: None,
        }
    }

    fn marker(id: i64, epoch: i16, committed: bool, coordinator_epoch: i32) -> ProducerBatch {
        let marker = Some(EndTransactionMarker { committed, coordinator_epoch });
        ProducerBatch { transactional: true, control: true, marker, ..batch(id, epoch, -1, 1) }
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
                Err(ProducerError::CoordinatorFenced { .. }) => Err('c'),
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
        let emptied = ProducerBatch { marker: None, ..marker(1, 0, true, 0) };
        assert_eq!(log.producers.appended(&emptied, Offset(3), Timestamp(log.now)), None);
        assert_eq!(log.producers.first_transaction(), Some(Offset(0)));
        log.producers.appended(&marker(1, 0, true, 0), Offset(3), Timestamp(log.now));
        assert_eq!(log.producers.first_transaction(), None);
        log.end = 4;
        assert_eq!(log.send(batch(1, 0, 3, 1)), Ok(4), "a marker takes no sequence");
    }

    #[test]
    fn markers_end_transactions_and_know_what_is_stable_after_them() {
        let mut producers = Producers::default();
        let transactional = |id, first| ProducerBatch { transactional: true, ..batch(id, 0, first, 2) };
        for (id, base) in [(1, 10), (2, 12), (3, 14)] {
            assert_eq!(producers.appended(&transactional(id, 0), Offset(base), Timestamp(0)), None);
        }
        let aborted = |id, first, last, stable| AbortedTxn {
            producer_id: ProducerId(id),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(stable),
        };
        assert_eq!(producers.aborted_by(&marker(2, 0, false, 7), Offset(16)), Some(aborted(2, 12, 16, 10)));
        assert_eq!(producers.aborted_by(&marker(1, 0, false, 7), Offset(16)), Some(aborted(1, 10, 16, 12)));
        assert_eq!(producers.aborted_by(&marker(1, 0, true, 7), Offset(16)), None, "it is committed");
        assert_eq!(producers.aborted_by(&marker(9, 0, false, 7), Offset(16)), None, "nobody knows this one");
        let completed = producers.appended(&marker(1, 0, true, 7), Offset(16), Timestamp(0)).unwrap();
        assert_eq!(
            (completed.first_offset, completed.last_offset, completed.committed),
            (Offset(10), Offset(16), true)
        );
        assert_eq!(producers.first_transaction(), Some(Offset(12)));
        assert_eq!(producers.producer(ProducerId(1)).unwrap().coordinator_epoch, 7);
        assert_eq!(producers.appended(&marker(1, 0, false, 7), Offset(17), Timestamp(0)), None, "it ends nothing");
        producers.appended(&marker(2, 1, false, 7), Offset(18), Timestamp(0)).unwrap();
        assert_eq!(producers.aborted_by(&marker(3, 0, false, 7), Offset(19)), Some(aborted(3, 14, 19, 20)));
        let bumped = producers.producer(ProducerId(2)).unwrap();
        assert!(bumped.epoch == ProducerEpoch(1) && bumped.batches.is_empty(), "a new epoch begins at sequence 0");
    }

    #[test]
    fn markers_are_fenced_by_both_epochs() {
        let end = |epoch, coordinator_epoch, transaction_version| TransactionEnd {
            producer_id: ProducerId(1),
            producer_epoch: ProducerEpoch(epoch),
            marker: EndTransactionMarker { committed: false, coordinator_epoch },
            transaction_version,
        };
        let mut log = Partition::default();
        let begin = |epoch| ProducerBatch { transactional: true, ..batch(1, epoch, 0, 1) };
        log.send(begin(3)).unwrap();
        let mut producers = log.producers;
        let check = |producers: &Producers, epoch, coordinator_epoch, transaction_version| match producers.check_end(
            &end(epoch, coordinator_epoch, transaction_version),
            Timestamp(0),
            DAY_MS,
        ) {
            Ok(()) => '-',
            Err(ProducerError::InvalidEpoch { .. }) => 'e',
            Err(ProducerError::CoordinatorFenced { .. }) => 'c',
            Err(_) => '?',
        };
        assert_eq!(check(&producers, 2, 5, 1), 'e');
        assert_eq!(check(&producers, 3, 5, 1), '-');
        assert_eq!(check(&producers, 4, 5, 1), '-');
        assert_eq!(check(&producers, 3, 5, 2), 'e', "the epoch of the records, which is still the transaction's");
        assert_eq!(check(&producers, 4, 5, 2), '-');
        producers.appended(&marker(1, 4, false, 5), Offset(1), Timestamp(0));
        assert_eq!(check(&producers, 4, 5, 2), '-', "it came before and was not heard of");
        assert_eq!(check(&producers, 3, 5, 2), 'e');
        assert_eq!(check(&producers, 4, 4, 2), 'c');
        assert_eq!(check(&producers, 4, 6, 2), '-');
        producers.appended(&begin(i16::MAX), Offset(2), Timestamp(0));
        assert_eq!(check(&producers, i16::MAX, 6, 2), '-', "there is no epoch above");
        assert_eq!(check(&Producers::default(), 0, 0, 2), '-', "an unknown producer");
    }
}
