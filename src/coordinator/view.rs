//! What a coordinator's log came to, in the store, so that a start reads only the log's tail: each key's last value, and the
//! position up to which that holds, always written together.
//!
//! Used only where nothing can be missing from it: the log must hold the position, and must not have been compacted beyond it. A
//! compaction drops tombstones, and what they delete would otherwise come back out of the view. Else it is thrown away, and the
//! log is read from its start.

use std::collections::HashMap;

use bytes::Bytes;
use felice_protocol::{schema, schema::Stored, stored, wire::Writer};

use crate::{
    model::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition},
    replica::Position,
    store::{Batch, KeyRange, Order, SharedStore, StoreError, Table},
};

/// Entries that are read at once.
const SCAN: usize = 4096;

schema! {
    ViewRecord {
        /// Where to read on.
        offset: i64,
        /// Of the record before it.
        leader_epoch: i32,
    }
}

stored! {
    0 ViewRecord 0-0, flexible 0+;
}

/// The view of one partition.
///
/// Keys are the topic's id, the partition, and then the record's key; no record has an empty key, under which the position is.
#[derive(Clone)]
pub struct View {
    store: SharedStore,
    id: TopicIdPartition,
}

/// Each key's last value since the view was written.
#[derive(Debug, Default)]
pub struct Changes {
    by_key: HashMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl Changes {
    pub fn push(&mut self, key: Bytes, value: Option<Bytes>) {
        let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let (key_size, added) = (key.len(), size(&value));
        self.bytes += added;
        match self.by_key.insert(key, value) {
            Some(before) => self.bytes -= size(&before),
            None => self.bytes += key_size,
        }
    }

    /// What came after these.
    pub fn extend(&mut self, later: Changes) {
        later.by_key.into_iter().for_each(|(key, value)| self.push(key, value));
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl View {
    pub fn new(store: SharedStore, id: TopicIdPartition) -> View {
        View { store, id }
    }

    /// How far it is; `None` where there is none.
    pub fn position(&self) -> Result<Option<Position>, StoreError> {
        let stored = self.store.get(Table::Coordinator, &self.key(&[]))?;
        Ok(stored.and_then(from_bytes).map(|record| Position {
            topic_id: self.id.topic_id,
            offset: Offset(record.offset),
            leader_epoch: LeaderEpoch(record.leader_epoch),
        }))
    }

    /// Shows every key and its value.
    pub fn read(&self, mut show: impl FnMut(Bytes, Bytes)) -> Result<(), StoreError> {
        let prefix = self.key(&[]);
        let end = KeyRange::prefix(prefix.clone());
        let mut from = prefix.clone();
        loop {
            // The first key after the one that was read last.
            from.push(0);
            let entries =
                self.store.scan(Table::Coordinator, &end.clone().starting_at(from.clone()), Order::Ascending, SCAN)?;
            let Some((last, _)) = entries.last() else { return Ok(()) };
            from = last.clone();
            for (key, value) in entries {
                show(Bytes::from(key).slice(prefix.len()..), Bytes::from(value));
            }
        }
    }

    /// Writes what has changed up to `position`, which must be flushed and committed.
    pub fn write(&self, changes: &Changes, position: Position) -> Result<(), StoreError> {
        debug_assert!(position.topic_id == self.id.topic_id);
        let mut batch = Batch::new();
        for (key, value) in &changes.by_key {
            match value {
                Some(value) => batch.put(Table::Coordinator, self.key(key), &value[..]),
                None => batch.delete(Table::Coordinator, self.key(key)),
            };
        }
        let record =
            ViewRecord { offset: position.offset.0, leader_epoch: position.leader_epoch.0, ..ViewRecord::default() };
        batch.put(Table::Coordinator, self.key(&[]), to_bytes(&record));
        self.store.write(&batch)
    }

    /// Throws it away.
    pub fn clear(&self) -> Result<(), StoreError> {
        clear(&self.store, KeyRange::prefix(self.key(&[])))
    }

    fn key(&self, record: &[u8]) -> Vec<u8> {
        let PartitionIndex(index) = self.id.partition;
        [&self.id.topic_id.0.0[..], &index.to_be_bytes(), record].concat()
    }
}

/// Throws away the views of topics that are no more.
pub fn clear_all_but(store: &SharedStore, topic_id: Option<TopicId>) -> Result<(), StoreError> {
    let Some(topic_id) = topic_id else { return clear(store, KeyRange::all()) };
    let own = KeyRange::prefix(topic_id.0.0.to_vec());
    let mut batch = Batch::new();
    batch.delete_range(Table::Coordinator, Vec::new(), own.start().to_vec());
    if let Some(after) = own.end() {
        batch.delete_range(Table::Coordinator, after.to_vec(), vec![0xff; 64]);
    }
    store.write(&batch)
}

fn clear(store: &SharedStore, range: KeyRange) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    let end = range.end().map_or_else(|| vec![0xff; 64], <[u8]>::to_vec);
    batch.delete_range(Table::Coordinator, range.start().to_vec(), end);
    store.write(&batch)
}

/// The version, then the record.
fn to_bytes(record: &ViewRecord) -> Vec<u8> {
    let mut w = Writer::new();
    w.put_slice(&ViewRecord::VERSIONS.max.to_be_bytes());
    // All fields are numbers that exist in every version.
    let _ = record.encode(&mut w, ViewRecord::VERSIONS.max);
    w.into_bytes().to_vec()
}

fn from_bytes(bytes: Vec<u8>) -> Option<ViewRecord> {
    let bytes = Bytes::from(bytes);
    let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let known = ViewRecord::VERSIONS.contains(version).then_some(version)?;
    ViewRecord::decode(&bytes.slice(2..), known).ok()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{model::Uuid, store::MapStore};

    fn content(view: &View) -> BTreeMap<Bytes, Bytes> {
        let mut content = BTreeMap::new();
        view.read(|key, value| assert!(content.insert(key, value).is_none())).unwrap();
        content
    }

    fn changes(entries: &[(&'static str, Option<&'static str>)]) -> Changes {
        let mut changes = Changes::default();
        for (key, value) in entries {
            changes.push(Bytes::from_static(key.as_bytes()), value.map(|value| Bytes::from_static(value.as_bytes())));
        }
        changes
    }

    #[test]
    fn it_holds_what_was_written_last_apart_from_its_neighbours() {
        let store: SharedStore = Arc::new(MapStore::new());
        let topic = |byte| TopicId(Uuid([byte; 16]));
        let view = |topic_id, index| {
            View::new(Arc::clone(&store), TopicIdPartition { topic_id, partition: PartitionIndex(index) })
        };
        let at = |topic_id, offset| Position { topic_id, offset: Offset(offset), leader_epoch: LeaderEpoch(3) };
        let (one, two, other) = (view(topic(1), 0), view(topic(1), 1), view(topic(255), 0));
        assert_eq!((one.position().unwrap(), content(&one).len()), (None, 0));
        one.write(&changes(&[("a", Some("1")), ("b", Some("2")), ("a", Some("3"))]), at(topic(1), 3)).unwrap();
        two.write(&changes(&[("a", Some("9"))]), at(topic(1), 1)).unwrap();
        other.write(&changes(&[("z", Some("9"))]), at(topic(255), 1)).unwrap();
        one.write(&changes(&[("b", None), ("c", Some("")), ("never", None)]), at(topic(1), 6)).unwrap();
        assert_eq!(one.position().unwrap(), Some(at(topic(1), 6)));
        let expected = [("a", "3"), ("c", "")].map(|(key, value)| (Bytes::from(key), Bytes::from(value)));
        assert_eq!(content(&one), BTreeMap::from(expected));

        one.clear().unwrap();
        assert_eq!((one.position().unwrap(), content(&one).len(), content(&two).len()), (None, 0, 1));
        clear_all_but(&store, Some(topic(255))).unwrap();
        assert_eq!((content(&two).len(), two.position().unwrap(), content(&other).len()), (0, None, 1));
        clear_all_but(&store, Some(topic(1))).unwrap();
        assert_eq!((content(&other).len(), other.position().unwrap()), (0, None));
    }

    #[test]
    fn more_than_is_read_at_once_is_read() {
        let store: SharedStore = Arc::new(MapStore::new());
        let id = TopicIdPartition { topic_id: TopicId(Uuid([1; 16])), partition: PartitionIndex(7) };
        let view = View::new(store, id);
        let mut changes = Changes::default();
        for key in 0..2 * SCAN + 1 {
            changes.push(Bytes::from(key.to_be_bytes().to_vec()), Some(Bytes::from_static(b"v")));
        }
        assert_eq!(changes.bytes(), (2 * SCAN + 1) * 9);
        view.write(&changes, Position::start(id.topic_id)).unwrap();
        assert_eq!(content(&view).len(), 2 * SCAN + 1);
    }
}
