//! What the store keeps of a partition's replica besides its files.

use bytes::Bytes;
use felice_protocol::{schema, schema::Stored, stored, wire::Writer};

use crate::{
    model::{Offset, TopicIdPartition, Uuid},
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
}

impl Scalars {
    /// Zeroes where nothing is stored. What cannot be read counts as unknown: the log is then checked from its start,
    /// which loses nothing.
    pub fn load(store: &dyn Store, directory_id: Uuid, id: TopicIdPartition) -> Result<Scalars, StoreError> {
        let stored = store.get(Table::Partition, &key(directory_id, id))?;
        Ok(stored.and_then(Scalars::from_bytes).unwrap_or_default())
    }

    pub fn put(&self, batch: &mut Batch, directory_id: Uuid, id: TopicIdPartition) {
        batch.put(Table::Partition, key(directory_id, id), self.to_bytes());
    }

    pub fn delete(batch: &mut Batch, directory_id: Uuid, id: TopicIdPartition) {
        batch.delete(Table::Partition, key(directory_id, id));
    }

    /// The version, then the record.
    fn to_bytes(self) -> Vec<u8> {
        let record = ReplicaRecord {
            recovery_point: self.recovery_point.0,
            log_start_offset: self.log_start.0,
            high_watermark: self.high_watermark.0,
            ..ReplicaRecord::default()
        };
        let mut w = Writer::new();
        w.put_slice(&ReplicaRecord::VERSIONS.max.to_be_bytes());
        // All fields are numbers that exist in every version.
        let _ = record.encode(&mut w, ReplicaRecord::VERSIONS.max);
        w.into_bytes().to_vec()
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Scalars> {
        let bytes = Bytes::from(bytes);
        let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let known = ReplicaRecord::VERSIONS.contains(version).then_some(version)?;
        let record = ReplicaRecord::decode(&bytes.slice(2..), known).ok()?;
        Some(Scalars {
            recovery_point: Offset(record.recovery_point),
            log_start: Offset(record.log_start_offset),
            high_watermark: Offset(record.high_watermark),
        })
    }
}

schema! {
    ReplicaRecord {
        recovery_point: i64,
        log_start_offset: i64,
        /// Those who wrote none had but one replica, whose high watermark is its log end.
        high_watermark: i64 [0+, tag 0] = 0,
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
        let scalars = Scalars { recovery_point: Offset(70), log_start: Offset(5), high_watermark: Offset(80) };
        let mut batch = Batch::new();
        scalars.put(&mut batch, Uuid([1; 16]), id);
        store.write(&batch).unwrap();
        assert_eq!(load(), scalars);

        let mut older = vec![0, 0];
        older.extend(70_i64.to_be_bytes());
        older.extend(5_i64.to_be_bytes());
        older.push(0);
        let newer = [&[0, 1], &older[2..]].concat();
        assert_eq!(Scalars::from_bytes(older), Some(Scalars { high_watermark: Offset(0), ..scalars }));
        assert_eq!(Scalars::from_bytes(newer), None, "a later version may mean something else by the same bytes");
        assert_eq!(Scalars::from_bytes(vec![9, 9, 1]), None);
    }
}
