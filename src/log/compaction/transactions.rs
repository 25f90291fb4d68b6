//! Transactions as a pass walks over them: which batches belong to aborted ones, and which markers have nothing left that they could
//! be about. Kafka's `CleanedTransactionMetadata`.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use felice_protocol::record::{BatchHeader, ControlType};

use crate::{log::AbortedTxn, model::ProducerId};

/// The state of transactions where the walk is. It goes from the log's beginning to the end of what is compacted.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Producers of whose transaction a batch was seen, and that was not aborted.
    committed: HashSet<ProducerId>,
    aborted: HashMap<ProducerId, Ongoing>,
    /// Aborted ones that begin further on.
    ahead: BinaryHeap<Reverse<AbortedTxn>>,
    /// Aborted ones whose marker has to stay, by markers: what the new segment's index has to know.
    kept: Vec<AbortedTxn>,
}

#[derive(Debug)]
struct Ongoing {
    transaction: AbortedTxn,
    /// A batch of it was seen, so that it is still in the log.
    has_batches: bool,
}

impl Transactions {
    /// Takes note of aborted transactions further on. The same one may be told more than once.
    pub fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(aborted.into_iter().map(Reverse));
    }

    /// The transactions whose markers were kept since this was last asked.
    pub fn take_kept(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.kept)
    }

    /// A batch of records; true where it is of an aborted transaction.
    pub fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.reach(header);
        if !header.is_transactional() {
            return false;
        }
        let producer = ProducerId(header.producer_id);
        match self.aborted.get_mut(&producer) {
            Some(ongoing) => {
                ongoing.has_batches = true;
                true
            }
            None => {
                self.committed.insert(producer);
                false
            }
        }
    }

    /// A control batch; true where nothing of what it ends is left, so that it may go some day. `control` is what its record is, `None`
    /// where it has none.
    pub fn on_control_batch(&mut self, header: &BatchHeader, control: Option<ControlType>) -> bool {
        self.reach(header);
        let producer = ProducerId(header.producer_id);
        match control {
            // It was emptied before.
            None => true,
            Some(ControlType::Abort) => match self.aborted.remove(&producer) {
                Some(Ongoing { transaction, has_batches: true }) => {
                    self.kept.push(transaction);
                    false
                }
                _ => true,
            },
            Some(ControlType::Commit) => !self.committed.remove(&producer),
            Some(_) => false,
        }
    }

    /// The walk has come to this batch.
    fn reach(&mut self, header: &BatchHeader) {
        while let Some(Reverse(next)) = self.ahead.peek().filter(|next| next.0.first_offset.0 <= header.last_offset()) {
            let transaction = *next;
            self.ahead.pop();
            self.aborted.entry(transaction.producer_id).or_insert(Ongoing { transaction, has_batches: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use felice_protocol::record::{BatchBuilder, Codec};

    use super::*;
    use crate::model::Offset;

    fn header(producer: i64, base: i64, control: bool) -> BatchHeader {
        let builder = BatchBuilder::new(Codec::None).base_offset(base).producer(producer, 0, 0).transactional();
        let builder = if control { builder.control() } else { builder };
        BatchHeader::parse(&builder.record(0, Some(b"k"), None).build()).unwrap()
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTxn {
        AbortedTxn {
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
            producer_id: ProducerId(producer),
        }
    }

    #[test]
    fn markers_stay_as_long_as_what_they_end() {
        const ABORT: Option<ControlType> = Some(ControlType::Abort);
        const COMMIT: Option<ControlType> = Some(ControlType::Commit);
        let mut transactions = Transactions::default();
        transactions.expect([aborted(2, 11, 14), aborted(1, 20, 21)]);
        // Told again, as of a transaction that spans two segments.
        transactions.expect([aborted(2, 11, 14)]);
        assert!(!transactions.on_batch(&header(1, 10, false)), "of a transaction that is committed");
        assert!(transactions.on_batch(&header(2, 11, false)));
        let plain = BatchBuilder::new(Codec::None).base_offset(12).record(0, None, None).build();
        assert!(!transactions.on_batch(&BatchHeader::parse(&plain).unwrap()));
        assert!(!transactions.on_control_batch(&header(1, 13, true), COMMIT), "its batch is there");
        assert!(!transactions.on_control_batch(&header(2, 14, true), ABORT), "its batch was there until now");
        assert_eq!(transactions.take_kept(), [aborted(2, 11, 14)]);
        assert!(!transactions.on_batch(&header(2, 15, false)), "the next transaction of the same producer");
        assert!(!transactions.on_control_batch(&header(2, 16, true), COMMIT));
        assert!(transactions.on_control_batch(&header(3, 17, true), COMMIT), "all of its batches have gone");
        assert!(transactions.on_control_batch(&header(4, 18, true), ABORT), "all of its batches have gone");
        assert!(transactions.on_control_batch(&header(4, 19, true), None), "a marker that was emptied");
        assert!(transactions.on_control_batch(&header(1, 21, true), ABORT), "known to the index, but nothing left");
        assert!(!transactions.on_control_batch(&header(5, 22, true), Some(ControlType::KraftVersion)));
        assert_eq!(transactions.take_kept(), []);
    }
}
