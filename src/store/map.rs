//! The store of a simulation: ordered maps, and a disk that forgets what was not synced.

use std::{collections::BTreeMap, ops::Bound};

use parking_lot::Mutex;

use super::{Batch, Entry, KeyRange, Operation, Order, Store, StoreError, Table};

/// A store in memory that can crash. Its handle stands for the process, its contents for the disk: [`crash`] gives the
/// next process's handle and closes this one, so that tasks of the dead process reach nothing.
///
/// [`crash`]: MapStore::crash
#[derive(Debug, Default)]
pub struct MapStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What readers see: `durable` with `unsynced` applied.
    visible: Tables,
    durable: Tables,
    unsynced: Vec<Batch>,
    /// What every write and sync answers, as on a full disk.
    fault: Option<StoreError>,
    closed: bool,
}

impl MapStore {
    pub fn new() -> MapStore {
        MapStore::default()
    }

    /// How many batches were written since the last sync.
    pub fn unsynced(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// The store as the next process finds it when of the unsynced batches only the first `kept` reached the disk.
    #[must_use]
    pub fn crash(&self, kept: usize) -> MapStore {
        let mut state = self.state.lock();
        state.closed = true;
        let mut durable = std::mem::take(&mut state.durable);
        state.unsynced.iter().take(kept).for_each(|batch| durable.apply(batch));
        MapStore { state: Mutex::new(State { visible: durable.clone(), durable, ..State::default() }) }
    }

    /// As [`MapStore::crash`], with as many batches kept as the seed says; none and all are likely. What the seed does to a
    /// simulated disk has nothing to do with it: either may lose what the other keeps.
    #[must_use]
    pub fn crash_from(&self, seed: u64) -> MapStore {
        let unsynced = self.unsynced() as u64;
        // Multiplicative hashing: the upper bits of the product depend on all bits of the seed.
        let mixed = (seed ^ 0x5709_e000_0d15_c0de).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let kept = match mixed % 4 {
            0 => 0,
            1 => unsynced,
            _ => (mixed / 4) % (unsynced + 1),
        };
        self.crash(kept as usize)
    }

    /// From now on writes and syncs fail with `fault`, and change nothing; `None` heals.
    pub fn set_fault(&self, fault: Option<StoreError>) {
        self.state.lock().fault = fault;
    }
}

impl State {
    fn open(&self) -> Result<(), StoreError> {
        if self.closed { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn writable(&self) -> Result<(), StoreError> {
        self.open()?;
        self.fault.clone().map_or(Ok(()), Err)
    }
}

impl Store for MapStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state.lock();
        state.open()?;
        Ok(state.visible.table(table).and_then(|entries| entries.get(key)).cloned())
    }

    fn scan(&self, table: Table, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let state = self.state.lock();
        state.open()?;
        let Some(entries) = state.visible.table(table).filter(|_| !range.is_empty()) else { return Ok(Vec::new()) };
        let end = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = entries.range::<[u8], _>((Bound::Included(range.from.as_slice()), end));
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(match order {
            Order::Ascending => found.take(limit).map(owned).collect(),
            Order::Descending => found.rev().take(limit).map(owned).collect(),
        })
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.writable()?;
        state.visible.apply(batch);
        state.unsynced.push(batch.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.writable()?;
        for batch in std::mem::take(&mut state.unsynced) {
            state.durable.apply(&batch);
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Tables(BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Tables {
    fn table(&self, table: Table) -> Option<&BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.get(&table)
    }

    fn apply(&mut self, batch: &Batch) {
        for operation in &batch.operations {
            match operation {
                Operation::Put { table, key, value } => {
                    self.0.entry(*table).or_default().insert(key.clone(), value.clone());
                }
                Operation::Delete { table, key } => {
                    self.0.entry(*table).or_default().remove(key);
                }
                Operation::DeleteRange { table, from, to } => {
                    let entries = self.0.entry(*table).or_default();
                    let mut beyond = entries.split_off(from);
                    entries.append(&mut beyond.split_off(to));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Batch {
        let mut batch = Batch::new();
        batch.put(Table::Partition, key, "v");
        batch
    }

    fn keys(store: &MapStore) -> Vec<String> {
        let entries = store.scan(Table::Partition, &KeyRange::all(), Order::Ascending, 100).unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        for (kept, expected) in
            [(0, vec!["a"]), (1, vec!["a", "b"]), (2, vec!["a", "b", "c"]), (9, vec!["a", "b", "c"])]
        {
            let store = MapStore::new();
            store.write_synced(&put("a")).unwrap();
            store.write(&put("b")).unwrap();
            store.write(&put("c")).unwrap();
            assert_eq!(store.unsynced(), 2);
            assert_eq!(keys(&store.crash(kept)), expected, "{kept} kept");
            assert_eq!(store.write(&put("d")), Err(StoreError::Closed), "the dead process writes no more");
            assert_eq!(store.get(Table::Partition, b"a"), Err(StoreError::Closed));
        }
    }

    #[test]
    fn a_seed_takes_none_or_some_or_all_of_the_tail_and_the_same_each_time() {
        let left = |seed| {
            let store = MapStore::new();
            store.write_synced(&put("a")).unwrap();
            ["b", "c", "d"].iter().for_each(|key| store.write(&put(key)).unwrap());
            keys(&store.crash_from(seed)).concat()
        };
        let mut counts = BTreeMap::new();
        for seed in 0..400 {
            assert_eq!(left(seed), left(seed));
            *counts.entry(left(seed)).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["a", "ab", "abc", "abcd"]);
        assert!(counts.values().all(|count| *count > 30), "{counts:?}");
    }

    #[test]
    fn a_fault_fails_writes_and_syncs_and_changes_nothing() {
        let store = MapStore::new();
        store.write(&put("a")).unwrap();
        let full = StoreError::Full { path: "/data".into() };
        store.set_fault(Some(full.clone()));
        assert_eq!(store.write(&put("b")), Err(full.clone()));
        assert_eq!(store.sync(), Err(full));
        assert_eq!((keys(&store), store.unsynced()), (vec!["a".to_owned()], 1));
        store.set_fault(None);
        store.sync().unwrap();
        assert_eq!(keys(&store.crash(0)), ["a"]);
    }
}
