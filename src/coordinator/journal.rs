//! A coordinator's partition as it sees it: decisions are appended to it, and a state is made again by reading it.

use std::sync::Arc;

use bytes::Bytes;
use felice_protocol::{
    coordinator::{GroupRecord, RecordError},
    record::{Batch, BatchBuilder, BatchError, Compression, ControlType, RecordView},
    wire::Unencodable,
};
use tracing::warn;

use super::group::State;
use crate::{
    log::{LogError, ReadError},
    model::{LeaderEpoch, Offset, ProducerId, Timestamp},
    replica::{Acks, AppendError, Appended, Partition},
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

    /// Adds a record.
    pub fn push(&mut self, record: &GroupRecord) -> Result<(), Unencodable> {
        let key = record.encode_key()?;
        let value = record.encode_value(value_version(record))?;
        self.size += RECORD_OVERHEAD + key.len() + value.as_ref().map_or(0, Bytes::len);
        self.records.push((key, value));
        Ok(())
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
    pub fn append(&self, encoded: Encoded, now: Timestamp) -> Result<Appended, AppendError> {
        if self.partition.leader_epoch() != self.leader_epoch {
            return Err(AppendError::NotLeader);
        }
        let mut batch = BatchBuilder::new(self.compression);
        for (key, value) in &encoded.records {
            batch = batch.record(now.0, Some(key), value.as_deref());
        }
        self.partition.append(&batch.build(), Acks::All, PRODUCE_VERSION, now)
    }

    /// Makes the state that the log comes to, up to its end as of now; returns that end. `goes_on` is asked now and then.
    pub fn load(&self, read_bytes: usize, mut goes_on: impl FnMut() -> bool) -> Result<(State, Offset), LoadError> {
        let mut state = State::default();
        let mut from = self.partition.log_start();
        let end = self.partition.log_end();
        let mut unknown = 0u64;
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
                let at = from.0;
                let split = Batch::split_first(&left).and_then(|(batch, rest)| {
                    batch.verify_crc()?;
                    Ok((batch, rest))
                });
                let (batch, rest) = split.map_err(|cause| LoadError::Batch { offset: at, cause })?;
                unknown += replay(&mut state, &batch, from)?;
                left = rest;
            }
            from = slice.next_offset;
        }
        if unknown > 0 {
            warn!(partition = %self.partition.name(), "{unknown} records of {} were passed over: a later version has written them, or they are damaged", self.partition.name());
        }
        Ok((state, end))
    }
}

/// Applies a batch, but for records below `from`. Returns how many records were passed over.
fn replay(state: &mut State, batch: &Batch, from: Offset) -> Result<u64, LoadError> {
    let header = batch.header();
    let failed = |cause| LoadError::Batch { offset: header.base_offset, cause };
    let producer = header.is_transactional().then_some(ProducerId(header.producer_id));
    let bytes = batch.record_bytes(DECOMPRESSED_MAX).map_err(failed)?;
    let mut unknown = 0;
    for record in batch.record_views(&bytes).map_err(failed)? {
        let record: RecordView<'_> = record.map_err(failed)?;
        if header.base_offset + i64::from(record.offset_delta) < from.0 {
            continue;
        }
        if header.is_control() {
            match ControlType::parse(record.key) {
                Ok(ControlType::Commit) => state.end_transaction(ProducerId(header.producer_id), true),
                Ok(ControlType::Abort) => state.end_transaction(ProducerId(header.producer_id), false),
                _ => {}
            }
            continue;
        }
        let Some(key) = record.key else {
            unknown += 1;
            continue;
        };
        let value = record.value.map(|value| bytes.slice_ref(value));
        match GroupRecord::decode(&bytes.slice_ref(key), value.as_ref()) {
            Ok(record) => state.apply(producer, &record),
            Err(RecordError::UnknownType(_) | RecordError::Malformed(_)) => unknown += 1,
        }
    }
    Ok(unknown)
}
