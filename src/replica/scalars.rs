//! What the store keeps of a partition's replica besides its files.

use bytes::Bytes;
use felice_protocol::{schema, schema::Stored, stored, wire::Writer};

use crate::{
    model::{LeaderEpoch, Offset, Timestamp, TopicIdPartition, Uuid},
    store::{Batch, Store, StoreError, Table},
};

/// A log is opened with these. Each may be older than the log is: what is stored was true once, and a power loss may
/// take the latest.
///
/// Before a log is cut below `recovery_point`, a lower one must be stored *and synced*: else a power loss could leave a
/// log that has grown again, unflushed, below a recovery point that says it need not be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scalars {
    /// Everything below is on disk and was checked.
    pub recovery_point: Offset,
    /// Records below are deleted.
    pub log_start: Offset,
    pub high_watermark: Offset,
    /// Up to here the log was compacted; `None` where it never was, or nobody knows.
    pub first_dirty: Option<Offset>,
}

/// What a log told when it was closed cleanly: as long as nobody has opened it again, it still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtRest {
    pub log_end: Offset,
    /// The latest leader epoch of the log, and that of the record at the log start; [`LeaderEpoch::NONE`] where there is none.
    pub latest_epoch: LeaderEpoch,
    pub log_start_epoch: LeaderEpoch,
    /// Bytes of all segments.
    pub size: u64,
    pub segments: u32,
    /// By which `retention.ms` judges the oldest segment: its largest timestamp, or when it was last written to.
    pub oldest_timestamp: Timestamp,
    /// Where the oldest transaction begins that was open, or had ended at the high watermark or above.
    pub first_undecided: Option<Offset>,
}

impl Scalars {
    /// Zeroes where nothing is stored. What cannot be read counts as unknown: the log is then checked from its start,
    /// which loses nothing.
    pub fn load(store: &dyn Store, directory_id: Uuid, id: TopicIdPartition) -> Result<Scalars, StoreError> {
        let stored = store.get(Table::Partition, &key(directory_id, id))?;
        Ok(stored.and_then(from_bytes).as_ref().map(Scalars::of).unwrap_or_default())
    }

    pub fn put(&self, batch: &mut Batch, directory_id: Uuid, id: TopicIdPartition) {
        batch.put(Table::Partition, key(directory_id, id), to_bytes(&self.record()));
    }

    /// As [`Scalars::load`], and what the log told when it was closed, where that was the last that was stored of it. It holds
    /// only after a clean stop.
    pub fn load_at_rest(
        store: &dyn Store,
        directory_id: Uuid,
        id: TopicIdPartition,
    ) -> Result<(Scalars, Option<AtRest>), StoreError> {
        let stored = store.get(Table::Partition, &key(directory_id, id))?;
        let record = stored.and_then(from_bytes);
        Ok(record.map_or_else(Default::default, |record| (Scalars::of(&record), AtRest::of(&record))))
    }

    /// Stored when the log was closed; [`Scalars::put`] takes it back.
    pub fn put_at_rest(&self, at_rest: &AtRest, batch: &mut Batch, directory_id: Uuid, id: TopicIdPartition) {
        let record = ReplicaRecord {
            log_end_offset: at_rest.log_end.0,
            latest_epoch: at_rest.latest_epoch.0,
            log_start_epoch: at_rest.log_start_epoch.0,
            size: i64::try_from(at_rest.size).unwrap_or(i64::MAX),
            segments: i32::try_from(at_rest.segments).unwrap_or(i32::MAX),
            oldest_timestamp: at_rest.oldest_timestamp.0,
            first_undecided_offset: at_rest.first_undecided.map_or(-1, |offset| offset.0),
            ..self.record()
        };
        batch.put(Table::Partition, key(directory_id, id), to_bytes(&record));
    }

    pub fn delete(batch: &mut Batch, directory_id: Uuid, id: TopicIdPartition) {
        batch.delete(Table::Partition, key(directory_id, id));
    }

    fn record(&self) -> ReplicaRecord {
        ReplicaRecord {
            recovery_point: self.recovery_point.0,
            log_start_offset: self.log_start.0,
            high_watermark: self.high_watermark.0,
            first_dirty_offset: self.first_dirty.map_or(-1, |offset| offset.0),
            ..ReplicaRecord::default()
        }
    }

    fn of(record: &ReplicaRecord) -> Scalars {
        Scalars {
            recovery_point: Offset(record.recovery_point),
            log_start: Offset(record.log_start_offset),
            high_watermark: Offset(record.high_watermark),
            first_dirty: Some(Offset(record.first_dirty_offset)).filter(|offset| *offset >= Offset::ZERO),
        }
    }
}

impl AtRest {
    /// `None` where the log was not closed since, or by a version that did not tell.
    fn of(record: &ReplicaRecord) -> Option<AtRest> {
        Some(AtRest {
            log_end: Some(record.log_end_offset).filter(|end| *end >= record.log_start_offset).map(Offset)?,
            latest_epoch: LeaderEpoch(record.latest_epoch),
            log_start_epoch: LeaderEpoch(record.log_start_epoch),
            size: u64::try_from(record.size).ok()?,
            segments: u32::try_from(record.segments).ok()?,
            oldest_timestamp: Timestamp(record.oldest_timestamp),
            first_undecided: Some(Offset(record.first_undecided_offset)).filter(|offset| *offset >= Offset::ZERO),
        })
    }
}

/// The version, then the record.
fn to_bytes(record: &ReplicaRecord) -> Vec<u8> {
    let mut w = Writer::new();
    w.put_slice(&ReplicaRecord::VERSIONS.max.to_be_bytes());
    // All fields are numbers that exist in every version.
    let _ = record.encode(&mut w, ReplicaRecord::VERSIONS.max);
    w.into_bytes().to_vec()
}

fn from_bytes(bytes: Vec<u8>) -> Option<ReplicaRecord> {
    let bytes = Bytes::from(bytes);
    let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let known = ReplicaRecord::VERSIONS.contains(version).then_some(version)?;
    ReplicaRecord::decode(&bytes.slice(2..), known).ok()
}

schema! {
    ReplicaRecord {
        recovery_point: i64,
        log_start_offset: i64,
        /// Those who wrote none had but one replica, whose high watermark is its log end.
        high_watermark: i64 [0+, tag 0] = 0,
        /// From here on: of a log that was closed cleanly.
        log_end_offset: i64 [0+, tag 1] = -1,
        latest_epoch: i32 [0+, tag 2] = -1,
        log_start_epoch: i32 [0+, tag 3] = -1,
        size: i64 [0+, tag 4] = -1,
        segments: i32 [0+, tag 5] = -1,
        oldest_timestamp: i64 [0+, tag 6] = -1,
        /// The end of the last compaction.
        first_dirty_offset: i64 [0+, tag 7] = -1,
        /// Of a log that was closed cleanly.
        first_undecided_offset: i64 [0+, tag 8] = -1,
    }
}

stored! {
    0 ReplicaRecord 0-0, flexible 0+;
}

fn key(directory_id: Uuid, id: TopicIdPartition) -> Vec<u8> {
    let mut key = id.topic_id.0.0.to_vec();
    key.extend_from_slice(&id.partition.0.to_be_bytes());
    key.extend_from_slice(&directory_id.0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{PartitionIndex, TopicId},
        store::MapStore,
    };

    #[test]
    fn scalars_round_trip_and_what_was_written_before_there_was_a_high_watermark_is_read() {
        let id = TopicIdPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(3) };
        let store = MapStore::new();
        let load = || Scalars::load(&store, Uuid([1; 16]), id).unwrap();
        assert_eq!(load(), Scalars::default());
        let scalars = Scalars {
            recovery_point: Offset(70),
            log_start: Offset(5),
            high_watermark: Offset(80),
            first_dirty: Some(Offset(0)),
        };
        let mut batch = Batch::new();
        scalars.put(&mut batch, Uuid([1; 16]), id);
        store.write(&batch).unwrap();
        assert_eq!(load(), scalars);

        let mut older = vec![0, 0];
        older.extend(70_i64.to_be_bytes());
        older.extend(5_i64.to_be_bytes());
        older.push(0);
        let newer = [&[0, 1], &older[2..]].concat();
        let read = from_bytes(older).unwrap();
        assert_eq!(Scalars::of(&read), Scalars { high_watermark: Offset(0), first_dirty: None, ..scalars });
        assert_eq!(AtRest::of(&read), None);
        assert_eq!(from_bytes(newer), None, "a later version may mean something else by the same bytes");
        assert_eq!(from_bytes(vec![9, 9, 1]), None);

        let at_rest = AtRest {
            log_end: Offset(80),
            latest_epoch: LeaderEpoch(3),
            log_start_epoch: LeaderEpoch::NONE,
            size: 1 << 40,
            segments: 2,
            oldest_timestamp: Timestamp(-1),
            first_undecided: Some(Offset(77)),
        };
        let load = || Scalars::load_at_rest(&store, Uuid([1; 16]), id).unwrap();
        assert_eq!(load(), (scalars, None));
        let mut batch = Batch::new();
        scalars.put_at_rest(&at_rest, &mut batch, Uuid([1; 16]), id);
        store.write(&batch).unwrap();
        assert_eq!(load(), (scalars, Some(at_rest)));
        let mut batch = Batch::new();
        scalars.put(&mut batch, Uuid([1; 16]), id);
        store.write(&batch).unwrap();
        assert_eq!(load(), (scalars, None), "it changed since");
    }
}
