//! A coordinator's partition as it sees it: decisions are appended to it, and a state is made again by reading it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use felice_protocol::{
    coordinator::{GroupRecord, RecordError},
    record::{Batch, BatchBuilder, BatchError, Compression, ControlType, RecordView},
    wire::Unencodable,
};
use tracing::{info, warn};

use super::{
    group::State,
    view::{Changes, View},
};
use crate::{
    log::{LogError, ReadError},
    model::{LeaderEpoch, Offset, ProducerId, Timestamp},
    replica::{Acks, AppendError, Appended, Partition, Position},
    store::StoreError,
};

/// Batches are made as the latest Produce makes them.
const PRODUCE_VERSION: i16 = 13;
/// What a batch of a coordinator's topic may decompress to.
const DECOMPRESSED_MAX: usize = 256 << 20;
/// About what a record takes in its batch besides key and value, in bytes.
const RECORD_OVERHEAD: usize = 32;
/// And the batch.
const BATCH_OVERHEAD: usize = 64;

/// Why a coordinator's log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the batch at offset {offset}: {cause}")]
    Batch { offset: i64, cause: BatchError },
    #[error("no longer led here")]
    NotLeader,
    #[error("the broker stops")]
    Stopping,
}

/// One partition of a coordinator's topic, which this broker leads in one epoch.
#[derive(Clone)]
pub struct Journal {
    pub partition: Arc<Partition>,
    pub leader_epoch: LeaderEpoch,
    pub compression: Compression,
}

/// What a log comes to.
pub struct Loaded {
    pub state: State,
    /// The log's end.
    pub position: Position,
    /// What the view does not have yet.
    pub changes: Changes,
}

/// Records on their way into one batch.
#[derive(Debug, Default)]
pub struct Encoded {
    records: Vec<(Bytes, Option<Bytes>)>,
    size: usize,
}

impl Encoded {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Not less than what these take as a batch that is not compressed.
    pub fn size(&self) -> usize {
        BATCH_OVERHEAD + self.size
    }

    /// The records as they are written.
    pub fn of(records: &[GroupRecord]) -> Result<Encoded, Unencodable> {
        let mut encoded = Encoded::default();
        for record in records {
            encoded.push((record.encode_key()?, record.encode_value(value_version(record))?));
        }
        Ok(encoded)
    }

    fn push(&mut self, record: (Bytes, Option<Bytes>)) {
        let (key, value) = &record;
        self.size += RECORD_OVERHEAD + key.len() + value.as_ref().map_or(0, Bytes::len);
        self.records.push(record);
    }

    /// Each record by itself.
    pub fn split(self) -> impl Iterator<Item = Encoded> {
        self.records.into_iter().map(|record| {
            let mut one = Encoded::default();
            one.push(record);
            one
        })
    }

    /// How many records.
    pub fn len(&self) -> i64 {
        self.records.len() as i64
    }

    /// What these records change.
    pub fn changes(self) -> Changes {
        let mut changes = Changes::default();
        self.records.into_iter().for_each(|(key, value)| changes.push(key, value));
        changes
    }

    /// Adds the records of `later`, which may be none.
    pub fn extend(&mut self, later: Encoded) {
        self.size += later.size;
        self.records.extend(later.records);
    }
}

/// The version of a record's value that Kafka 4.3 writes.
fn value_version(record: &GroupRecord) -> i16 {
    match record {
        // The only one that has an expiry of its own.
        GroupRecord::OffsetCommit(_, Some(value)) if value.expire_timestamp != -1 => 1,
        GroupRecord::OffsetCommit(..) => 4,
        GroupRecord::GroupMetadata(..) => 3,
        _ => 0,
    }
}

impl Journal {
    /// The largest batch that may be appended, in bytes.
    pub fn batch_max(&self) -> usize {
        self.partition.max_message_bytes()
    }

    /// Appends the records as one batch: all of them or none.
    pub fn append(&self, encoded: &Encoded, now: Timestamp) -> Result<Appended, AppendError> {
        if self.partition.leader_epoch() != self.leader_epoch {
            return Err(AppendError::NotLeader);
        }
        let mut batch = BatchBuilder::new(self.compression);
        for (key, value) in &encoded.records {
            batch = batch.record(now.0, Some(key), value.as_deref());
        }
        self.partition.append(&batch.build(), Acks::All, PRODUCE_VERSION, now)
    }

    /// Makes the state that the log comes to, up to its end as of now, from the view and what the log has after it. `goes_on` is
    /// asked now and then.
    pub fn load(&self, view: &View, read_bytes: usize, goes_on: impl Fn() -> bool) -> Result<Loaded, LoadError> {
        let mut loading = Loading::default();
        let mut from = self.partition.log_start();
        let end = self.partition.log_end();
        if let Some(position) = view.position()? {
            if self.partition.holds(&position)? {
                view.read(|key, value| loading.apply(None, &key, Some(&value)))?;
                from = position.offset;
            } else {
                info!(partition = %self.partition.name(), "the stored view is not of this log any more: it is read from its start");
                view.clear()?;
            }
        }
        while from < end {
            if !goes_on() {
                return Err(LoadError::Stopping);
            }
            if self.partition.leader_epoch() != self.leader_epoch || self.partition.is_closed() {
                return Err(LoadError::NotLeader);
            }
            let slice = self.partition.read_into_memory(from, read_bytes, end)?;
            if slice.next_offset <= from {
                break;
            }
            let mut left = slice.bytes;
            while !left.is_empty() {
                let offset = from.0;
                let failed = |cause| LoadError::Batch { offset, cause };
                let (batch, rest) = Batch::split_first(&left).map_err(failed)?;
                batch.verify_crc().map_err(failed)?;
                loading.replay(&batch, from).map_err(failed)?;
                left = rest;
            }
            from = slice.next_offset;
        }
        if loading.passed_over > 0 {
            warn!(
                partition = %self.partition.name(),
                "{} records are not known here, and were passed over: a later version has written them", loading.passed_over
            );
        }
        let before = Offset(end.0.saturating_sub(1));
        let leader_epoch = if end > self.partition.log_start() { self.partition.epoch_of(before)? } else { None };
        let position = Position {
            topic_id: self.partition.id().topic_id,
            offset: end,
            leader_epoch: leader_epoch.unwrap_or(LeaderEpoch::NONE),
        };
        Ok(Loaded { state: loading.state, changes: loading.changes, position })
    }
}

#[derive(Default)]
struct Loading {
    state: State,
    changes: Changes,
    /// What transactions have changed that have not ended.
    undecided: BTreeMap<ProducerId, Changes>,
    passed_over: u64,
}

impl Loading {
    /// Applies a batch, but for records below `from`.
    fn replay(&mut self, batch: &Batch, from: Offset) -> Result<(), BatchError> {
        let header = batch.header();
        let producer = ProducerId(header.producer_id);
        let bytes = batch.record_bytes(DECOMPRESSED_MAX)?;
        for record in batch.record_views(&bytes)? {
            let record: RecordView<'_> = record?;
            if header.base_offset + i64::from(record.offset_delta) < from.0 {
                continue;
            }
            if header.is_control() {
                match ControlType::parse(record.key) {
                    Ok(ControlType::Commit) => self.end_transaction(producer, true),
                    Ok(ControlType::Abort) => self.end_transaction(producer, false),
                    _ => {}
                }
                continue;
            }
            let producer = header.is_transactional().then_some(producer);
            // Not as parts of what was read, which would stay in memory whole.
            let Some(key) = record.key.map(Bytes::copy_from_slice) else {
                self.passed_over += 1;
                continue;
            };
            let value = record.value.map(Bytes::copy_from_slice);
            self.apply(producer, &key, value.as_ref());
            let changes = match producer {
                Some(producer) => self.undecided.entry(producer).or_default(),
                None => &mut self.changes,
            };
            changes.push(key, value);
        }
        Ok(())
    }

    fn apply(&mut self, producer: Option<ProducerId>, key: &Bytes, value: Option<&Bytes>) {
        match GroupRecord::decode(key, value) {
            Ok(record) => self.state.apply(producer, &record),
            // As Kafka: what a later version has written it can do without.
            Err(RecordError::UnknownType(_) | RecordError::Malformed(_)) => self.passed_over += 1,
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        self.state.end_transaction(producer, commits);
        if let Some(changes) = self.undecided.remove(&producer)
            && commits
        {
            self.changes.extend(changes);
        }
    }
}

#[cfg(test)]
mod tests;
