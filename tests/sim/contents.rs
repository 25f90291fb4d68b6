//! What is in a log, read back batch by batch as a consumer would, and opened.

use felice_protocol::record::Batch;

use super::{oracle::Violation, workload::RecordId};
use crate::{
    log::Log,
    model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp},
};

/// Far more than any batch of the simulation holds.
const LIMIT: usize = 1 << 20;

/// A batch as it lies in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub max_timestamp: Timestamp,
    pub delete_horizon: Option<Timestamp>,
    pub records: Vec<StoredRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRecord {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: u8,
    pub id: RecordId,
    pub is_tombstone: bool,
}

impl StoredBatch {
    pub fn next_offset(&self) -> Offset {
        self.last_offset.plus(1)
    }

    /// Each record with its offset.
    pub fn offsets(&self) -> impl Iterator<Item = (Offset, RecordId)> {
        self.records.iter().map(|record| (record.offset, record.id))
    }
}

/// All batches from the one that holds `from`, up to `until`, in answers of at most `max_bytes`.
///
/// # Errors
/// The log can be read and every batch is whole; anything else is a violation.
pub fn read(log: &Log, from: Offset, until: Offset, max_bytes: usize) -> Result<Vec<StoredBatch>, Violation> {
    let mut batches = Vec::new();
    let mut next = from;
    while next < until {
        let unreadable = |what: String| Violation::new("whole", format!("reading at {next}: {what}"));
        let slice = log.read(next, max_bytes, until, true).map_err(|error| unreadable(error.to_string()))?;
        if slice.next_offset <= next {
            return Err(unreadable(format!("nothing is there, and the log goes on to {until}")));
        }
        let mut rest = slice.bytes;
        while !rest.is_empty() {
            let (batch, after) = Batch::split_first(&rest).map_err(|error| unreadable(error.to_string()))?;
            batch.verify_crc().map_err(|error| unreadable(error.to_string()))?;
            batches.push(open(&batch).map_err(unreadable)?);
            rest = after;
        }
        next = slice.next_offset;
    }
    Ok(batches)
}

/// The batches that hold the offsets from `from` up to `to`, which is not beyond the log's end.
pub fn read_around(log: &Log, from: Offset, to: Offset) -> Result<Vec<StoredBatch>, Violation> {
    let mut batches: Vec<StoredBatch> = Vec::new();
    let mut next = from;
    while next < to {
        let slice = log.read(next, 1, log.log_end(), true);
        let slice = slice.map_err(|error| Violation::new("whole", format!("reading at {next}: {error}")))?;
        if slice.next_offset <= next {
            return Err(Violation::new("whole", format!("reading at {next}: nothing is there")));
        }
        batches.extend(read(log, next, slice.next_offset, 1)?);
        next = slice.next_offset;
    }
    Ok(batches)
}

/// All batches of a log.
pub fn read_all(log: &Log) -> Result<Vec<StoredBatch>, Violation> {
    read(log, log.log_start(), log.log_end(), 1 << 16)
}

/// A batch's records, which are all the simulation's own.
pub fn open(batch: &Batch) -> Result<StoredBatch, String> {
    let header = batch.header();
    let mut records = Vec::new();
    for record in batch.records(LIMIT).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let key = record.key.as_deref().and_then(|key| key.first()).copied();
        let is_tombstone = record.value.is_none();
        let id = record.value.as_deref().or_else(|| record.headers.first()?.value.as_deref());
        let id = id.and_then(RecordId::of_value);
        let (id, key) = id.zip(key).ok_or("a record that nobody has sent")?;
        let (offset, timestamp) = (Offset(record.offset), Timestamp(record.timestamp));
        records.push(StoredRecord { offset, timestamp, key, id, is_tombstone });
    }
    Ok(StoredBatch {
        base_offset: Offset(header.base_offset),
        last_offset: Offset(header.last_offset()),
        leader_epoch: LeaderEpoch(header.partition_leader_epoch),
        producer_id: ProducerId(header.producer_id),
        producer_epoch: ProducerEpoch(header.producer_epoch),
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        max_timestamp: Timestamp(header.max_timestamp),
        delete_horizon: header.delete_horizon_ms().map(Timestamp),
        records,
    })
}
