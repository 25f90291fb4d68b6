//! What every store must do, run on each of them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::*;

/// A store that can be closed and opened again with all that was written.
trait Fixture: Sized {
    fn new() -> Self;
    fn store(&self) -> &dyn Store;
    fn reopened(self) -> Self;
}

struct Map(MapStore);

impl Fixture for Map {
    fn new() -> Map {
        Map(MapStore::new())
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn reopened(self) -> Map {
        Map(self.0.crash(usize::MAX))
    }
}

/// One that loses whatever its seed says, between two of its lives; what is synced is nothing to lose.
struct CrashingMap(MapStore, u64);

impl Fixture for CrashingMap {
    fn new() -> CrashingMap {
        CrashingMap(MapStore::new(), 0)
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn reopened(self) -> CrashingMap {
        self.0.sync().unwrap();
        CrashingMap(self.0.crash_from(self.1), self.1 + 1)
    }
}

struct Rocks {
    store: RocksStore,
    folder: tempfile::TempDir,
}

impl Fixture for Rocks {
    fn new() -> Rocks {
        let folder = tempfile::tempdir().unwrap();
        Rocks { store: RocksStore::open(folder.path()).unwrap(), folder }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn reopened(self) -> Rocks {
        drop(self.store);
        Rocks { store: RocksStore::open(self.folder.path()).unwrap(), folder: self.folder }
    }
}

macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod map { $(#[test] fn $rule() { super::$rule::<super::Map>(); })* }
        mod crashing_map { $(#[test] fn $rule() { super::$rule::<super::CrashingMap>(); })* }
        mod rocks { $(#[test] fn $rule() { super::$rule::<super::Rocks>(); })* }
    };
}

contract!(
    a_key_has_the_value_written_last,
    a_batch_is_applied_in_order,
    tables_are_apart,
    scans_obey_range_order_and_limit,
    ranges_are_deleted_half_open,
    what_was_written_is_there_after_reopening,
    readers_see_whole_batches,
    random_operations_agree_with_a_model,
);

fn put(store: &dyn Store, table: Table, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    store.write(&batch).unwrap();
}

fn keys(store: &dyn Store, range: &KeyRange, order: Order, limit: usize) -> Vec<Vec<u8>> {
    let entries = store.scan(Table::Partition, range, order, limit).unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

fn a_key_has_the_value_written_last<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    assert_eq!(store.get(Table::Partition, b"k").unwrap(), None);
    for value in [b"one".as_slice(), b"two", b""] {
        put(store, Table::Partition, b"k", value);
        assert_eq!(store.get(Table::Partition, b"k").unwrap().as_deref(), Some(value));
    }
    put(store, Table::Partition, b"", b"the empty key is one as well");
    assert!(store.get(Table::Partition, b"").unwrap().is_some());
    let mut batch = Batch::new();
    batch.delete(Table::Partition, "k").delete(Table::Partition, "never there");
    store.write_synced(&batch).unwrap();
    assert_eq!(store.get(Table::Partition, b"k").unwrap(), None);
    store.write_synced(&Batch::new()).unwrap();
}

fn a_batch_is_applied_in_order<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut batch = Batch::new();
    batch
        .put(Table::Partition, "a", "1")
        .put(Table::Partition, "b", "1")
        .put(Table::Partition, "c", "1")
        .delete(Table::Partition, "a")
        .delete_range(Table::Partition, "b", "d")
        .put(Table::Partition, "c", "2");
    store.write(&batch).unwrap();
    assert_eq!(keys(store, &KeyRange::all(), Order::Ascending, 9), [b"c"]);
    assert_eq!(store.get(Table::Partition, b"c").unwrap().unwrap(), b"2");
}

fn tables_are_apart<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut batch = Batch::new();
    for table in Table::ALL {
        batch.put(table, "k", table.name());
    }
    store.write(&batch).unwrap();
    let mut batch = Batch::new();
    batch.delete_range(Table::RaftLog, "", "z");
    store.write(&batch).unwrap();
    for table in Table::ALL {
        let expected = (table != Table::RaftLog).then(|| table.name().as_bytes().to_vec());
        assert_eq!(store.get(table, b"k").unwrap(), expected, "{table:?}");
        assert_eq!(store.scan(table, &KeyRange::all(), Order::Ascending, 9).unwrap().len(), expected.iter().len());
    }
}

fn scans_obey_range_order_and_limit<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let all: [&[u8]; 7] = [b"", b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"];
    all.iter().rev().for_each(|key| put(store, Table::Partition, key, b"v"));
    put(store, Table::RaftState, b"aa", b"another table's");
    let cases: [(KeyRange, &[&[u8]]); 9] = [
        (KeyRange::all(), &all),
        (KeyRange::from("ab"), &all[3..]),
        (KeyRange::between("a", "b"), &all[1..4]),
        (KeyRange::between("a\0", "a\0\0"), &all[2..3]),
        (KeyRange::between("b", "b"), &[]),
        (KeyRange::between("b", "a"), &[]),
        (KeyRange::prefix("a"), &all[1..4]),
        (KeyRange::prefix([0xff]), &all[5..]),
        (KeyRange::prefix(""), &all),
    ];
    for (range, expected) in cases {
        for limit in [0, 1, 2, 100] {
            let up: Vec<_> = expected.iter().take(limit).map(|key| key.to_vec()).collect();
            assert_eq!(keys(store, &range, Order::Ascending, limit), up, "{range:?}, the first {limit}");
            let down: Vec<_> = expected.iter().rev().take(limit).map(|key| key.to_vec()).collect();
            assert_eq!(keys(store, &range, Order::Descending, limit), down, "{range:?}, the last {limit}");
        }
    }
}

fn ranges_are_deleted_half_open<F: Fixture>() {
    for (from, to, left) in
        [("b", "d", "ade"), ("", "b", "bcde"), ("c", "c", "abcde"), ("d", "b", "abcde"), ("c", "z", "ab")]
    {
        let fixture = F::new();
        let store = fixture.store();
        ["a", "b", "c", "d", "e"].iter().for_each(|key| put(store, Table::Partition, key.as_bytes(), b"v"));
        let mut batch = Batch::new();
        batch.delete_range(Table::Partition, from, to);
        store.write(&batch).unwrap();
        assert_eq!(keys(store, &KeyRange::all(), Order::Ascending, 9).concat(), left.as_bytes(), "{from}..{to}");
    }
}

fn what_was_written_is_there_after_reopening<F: Fixture>() {
    let mut fixture = F::new();
    for round in 0..3_u8 {
        put(fixture.store(), Table::Partition, &[round], b"written");
        let mut batch = Batch::new();
        batch.put(Table::RaftLog, [round], "synced");
        fixture.store().write_synced(&batch).unwrap();
        put(fixture.store(), Table::Snapshot, &[round], b"written after the sync");
        fixture = fixture.reopened();
        for table in [Table::Partition, Table::RaftLog, Table::Snapshot] {
            let found = fixture.store().scan(table, &KeyRange::all(), Order::Ascending, 9).unwrap();
            assert_eq!(found.len(), usize::from(round) + 1, "{table:?}");
        }
    }
}

fn readers_see_whole_batches<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let writing = AtomicUsize::new(3);
    thread::scope(|scope| {
        for writer in 0..3_u8 {
            let writing = &writing;
            scope.spawn(move || {
                for round in 0..100_u32 {
                    let mut batch = Batch::new();
                    for n in 0..5_u8 {
                        batch.put(Table::Partition, [writer, n], round.to_be_bytes());
                    }
                    if round % 10 == 0 { store.write_synced(&batch) } else { store.write(&batch) }.unwrap();
                }
                writing.fetch_sub(1, Ordering::Release);
            });
        }
        while writing.load(Ordering::Acquire) > 0 {
            for writer in 0..3_u8 {
                let range = KeyRange::prefix([writer]);
                let found = store.scan(Table::Partition, &range, Order::Ascending, 9).unwrap();
                assert!(found.is_empty() || found.len() == 5);
                assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].1), "half of a batch: {found:?}");
            }
        }
    });
    assert_eq!(store.scan(Table::Partition, &KeyRange::all(), Order::Ascending, 99).unwrap().len(), 15);
}

fn random_operations_agree_with_a_model<F: Fixture>() {
    let mut random = 0x0dd0_5eed_u64;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut fixture = F::new();
    let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for round in 0..400_u32 {
        let mut batch = Batch::new();
        for _ in 0..next(6) {
            let (key, to) = (vec![next(40) as u8], vec![next(40) as u8]);
            match next(8) {
                0 => {
                    model.retain(|k, _| *k < key || *k >= to || key >= to);
                    batch.delete_range(Table::Partition, key, to);
                }
                1 | 2 => {
                    model.remove(&key);
                    batch.delete(Table::Partition, key);
                }
                _ => {
                    model.insert(key.clone(), round.to_be_bytes().to_vec());
                    batch.put(Table::Partition, key, round.to_be_bytes());
                }
            }
        }
        fixture.store().write(&batch).unwrap();
        if next(100) == 0 {
            fixture = fixture.reopened();
        }
        let found = fixture.store().scan(Table::Partition, &KeyRange::all(), Order::Ascending, 99).unwrap();
        assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>(), "after round {round}");
    }
}
