//! What becomes of a batch: Kafka's `Cleaner.cleanInto` and `MemoryRecords.filterTo`, as pure rules.
//!
//! A record stays where its key has no later one in the map. A tombstone stays until the batch's delete horizon, which the first
//! pass that keeps it sets, `delete.retention.ms` ahead (KIP-534); so does the marker of a transaction that has no records left. A
//! batch that loses nothing stays as it is, byte for byte; one that loses records keeps its offsets and its producer's sequences; one
//! that loses all of them goes, unless it has to tell where the log ends or what a producer's last sequence is.

use std::collections::HashMap;

use bytes::Bytes;
use felice_protocol::record::{
    BatchBuilder, BatchError, BatchHeader, BuildError, Codec, ControlType, RecordView, RecordViews, decompress, emptied,
};

use super::{map::OffsetMap, reader::StoredBatch, transactions::Transactions};
use crate::{
    env::faults::{Fault, planted},
    model::{Offset, ProducerEpoch, ProducerId, Timestamp},
};

/// What a batch becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Dropped,
    /// As it is.
    Kept,
    Rewritten(Bytes),
    /// Without records.
    Emptied(BatchHeader),
}

/// The last that is in the log of a producer that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRecord {
    /// Of its last batch in its present epoch.
    pub last_offset: Option<Offset>,
    pub epoch: ProducerEpoch,
    /// Else all that is remembered of it may be lost yet, and what was before is not: any of its batches may be the last.
    pub is_known: bool,
}

/// Why a batch cannot be judged: it is not what anybody should have written.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadBatch {
    #[error(transparent)]
    Unreadable(#[from] BatchError),
    #[error(transparent)]
    Unwritable(#[from] BuildError),
    #[error("a record with offset delta {found}, which is not between {above} and {last}")]
    Order { above: i32, found: i32, last: i32 },
}

/// The rules of one pass.
pub(super) struct Filter<'a> {
    pub map: &'a OffsetMap,
    /// The last offset that the map knows of; later records stay.
    pub map_end: Offset,
    /// Where the pass ends. The batch that ends there stays, without records if need be.
    pub end: Offset,
    pub last_records: &'a HashMap<ProducerId, LastRecord>,
    pub now: Timestamp,
    pub delete_retention_ms: i64,
    /// A batch may decompress to so many bytes.
    pub decompressed_max: usize,
}

/// What came of records, to be added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub records_read: u64,
    pub records_kept: u64,
    pub keyless: u64,
}

impl Filter<'_> {
    pub fn apply(
        &self,
        batch: &StoredBatch<'_>,
        transactions: &mut Transactions,
        counts: &mut Counts,
    ) -> Result<Outcome, BadBatch> {
        let header = &batch.header;
        let decompressed = decompressed(header, batch.payload(), self.decompressed_max)?;
        let records = decompressed.as_deref().unwrap_or(batch.payload());
        let views = || RecordViews::new(header.record_count, records);

        let is_over = match header.is_control() {
            true => transactions.on_control_batch(header, control_type(views()?)?),
            false => transactions.on_batch(header),
        };
        let horizon = header.delete_horizon_ms();
        let is_past_horizon = horizon.is_some_and(|horizon| self.is_past(horizon));
        let loses_all = is_over && (!header.is_control() || is_past_horizon);

        let mut kept: Vec<RecordView<'_>> = Vec::new();
        let (mut read, mut has_tombstones, mut above) = (0_u64, false, -1);
        for record in views()? {
            let record = record?;
            let (found, last) = (record.offset_delta, header.last_offset_delta);
            if found <= above || found > last {
                return Err(BadBatch::Order { above, found, last });
            }
            above = found;
            read += 1;
            let stays = !loses_all && (header.is_control() || self.keeps(header, &record, is_past_horizon, counts));
            if stays {
                has_tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        counts.records_read += read;
        counts.records_kept += kept.len() as u64;
        if kept.is_empty() {
            let is_needed = header.next_offset() == self.end.0 || self.is_last_of_its_producer(header);
            return Ok(if is_needed { Outcome::Emptied(emptied(header)) } else { Outcome::Dropped });
        }
        let begins_horizon = horizon.is_none() && (has_tombstones || (is_over && header.is_control()));
        if kept.len() as u64 == read && !begins_horizon {
            return Ok(Outcome::Kept);
        }
        let horizon = match begins_horizon {
            true => Some(self.now.0.saturating_add(self.delete_retention_ms)),
            false => horizon,
        };
        let mut builder = BatchBuilder::in_place_of(header, horizon)?;
        kept.iter().for_each(|record| builder.keep(header, record));
        Ok(Outcome::Rewritten(builder.last_offset(header.last_offset()).try_build()?))
    }

    fn keeps(&self, header: &BatchHeader, record: &RecordView<'_>, is_past_horizon: bool, counts: &mut Counts) -> bool {
        let offset = Offset(header.base_offset.saturating_add(i64::from(record.offset_delta)));
        if offset > self.map_end {
            return true;
        }
        let Some(key) = record.key else {
            counts.keyless += 1;
            return false;
        };
        let is_latest = self.map.get(key).is_none_or(|latest| offset >= latest);
        is_latest && (record.value.is_some() || !is_past_horizon)
    }

    fn is_past(&self, horizon: i64) -> bool {
        self.now.0 >= horizon || planted(Fault::ForgetDeleteHorizon)
    }

    /// Whether the batch has what the next one of its producer is checked against: its last sequence or, where it has written nothing
    /// in its present epoch, that epoch.
    fn is_last_of_its_producer(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.last_records.get(&ProducerId(header.producer_id)) else { return false };
        match last.last_offset {
            _ if !last.is_known => true,
            Some(last_offset) => header.last_offset() == last_offset.0,
            None => header.is_control() && header.producer_epoch == last.epoch.0,
        }
    }
}

/// The records of a batch where they are compressed.
pub(super) fn decompressed(header: &BatchHeader, payload: &[u8], max: usize) -> Result<Option<Vec<u8>>, BatchError> {
    match header.codec()? {
        // One without records may have no payload at all, whatever its codec.
        _ if header.record_count == 0 => Ok(None),
        Codec::None => Ok(None),
        codec => Ok(Some(decompress(codec, payload, max)?)),
    }
}

/// What the first record of a control batch is.
pub(super) fn control_type(mut records: RecordViews<'_>) -> Result<Option<ControlType>, BatchError> {
    let Some(first) = records.next().transpose()? else { return Ok(None) };
    // Of a newer version: nothing is known of it but that it has to stay.
    Ok(Some(ControlType::parse(first.key).unwrap_or(ControlType::Unknown(-1))))
}
