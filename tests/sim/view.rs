//! A view of the log, as a coordinator would keep one: by key, how many records there were and the last of them. It lies in
//! the store, with the position that it was applied to, as one value in one atomic write.

use super::{
    contents::{StoredBatch, StoredRecord},
    workload::RecordId,
};
use crate::{
    model::{LeaderEpoch, Offset, TopicId, Uuid},
    replica::Position,
    store::{Batch, Store, StoreError, Table},
};

const KEY: &[u8] = b"view";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which of the views that were begun of one log this is.
    pub generation: u32,
    pub position: Position,
    by_key: Vec<(u32, Option<RecordId>)>,
}

impl View {
    /// A view to which nothing was applied of a log that begins at `log_start`.
    pub fn new(topic_id: TopicId, log_start: Offset, generation: u32) -> View {
        let position = Position { offset: log_start, ..Position::start(topic_id) };
        View { generation, position, by_key: vec![(0, None); super::workload::KEYS.into()] }
    }

    /// Applies whole batches, the first of which begins at the position.
    pub fn apply(&mut self, batches: &[StoredBatch]) {
        for batch in batches {
            for StoredRecord { id, key, is_tombstone, .. } in &batch.records {
                let (count, last) = &mut self.by_key[usize::from(*key)];
                (*count, *last) = (*count + 1, (!is_tombstone).then_some(*id));
            }
            self.position.offset = batch.next_offset();
            self.position.leader_epoch = batch.leader_epoch;
        }
    }

    /// Of each key the last record, unless that is a tombstone.
    pub fn last(&self) -> impl Iterator<Item = Option<RecordId>> {
        self.by_key.iter().map(|(_, last)| *last)
    }

    pub fn load(store: &dyn Store) -> Result<Option<View>, StoreError> {
        Ok(store.get(Table::Partition, KEY)?.map(|bytes| View::from_bytes(&bytes)))
    }

    pub fn put(&self, batch: &mut Batch) {
        batch.put(Table::Partition, KEY, self.to_bytes());
    }

    pub fn delete(batch: &mut Batch) {
        batch.delete(Table::Partition, KEY);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Position { topic_id, offset, leader_epoch } = self.position;
        let mut bytes = self.generation.to_be_bytes().to_vec();
        bytes.extend(topic_id.0.0);
        bytes.extend(offset.0.to_be_bytes());
        bytes.extend(leader_epoch.0.to_be_bytes());
        for (count, last) in &self.by_key {
            let last = last.map_or([u8::MAX; 5], |id| {
                let mut bytes = [id.producer; 5];
                bytes[1..].copy_from_slice(&id.number.to_be_bytes());
                bytes
            });
            bytes.extend(count.to_be_bytes());
            bytes.extend(last);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> View {
        let (generation, rest) = bytes.split_at(4);
        let (position, rest) = rest.split_at(28);
        let by_key = rest.chunks(9).map(|entry| {
            let count = u32::from_be_bytes(entry[..4].try_into().unwrap());
            (count, RecordId::of_value(&entry[4..]).filter(|id| id.producer != u8::MAX))
        });
        let position = Position {
            topic_id: TopicId(Uuid(position[..16].try_into().unwrap())),
            offset: Offset(i64::from_be_bytes(position[16..24].try_into().unwrap())),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(position[24..].try_into().unwrap())),
        };
        let generation = u32::from_be_bytes(generation.try_into().unwrap());
        View { generation, position, by_key: by_key.collect() }
    }
}
