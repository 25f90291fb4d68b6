//! The real store: RocksDB, held small. Nobody else imports it.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, LogLevel,
    LruCacheOptions, Options, ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};
use rustix::fs::FallocateFlags;
use tracing::{info, warn};

use super::{Batch, Entry, KeyRange, Operation, Order, Store, StoreError, Table};

/// What all memtables may take together, in bytes. Writers wait for a flush beyond the soft limit, which leaves room
/// for the arena block that each of them may add at that moment.
#[cfg(test)]
const MEMTABLES_BYTES_MAX: usize = 8 << 20;
const MEMTABLES_BYTES_SOFT: usize = 6 << 20;
/// What the write-ahead log's files may take together, in bytes. At the soft limit the tables that pin the oldest file
/// are flushed, however cold they are; the log grows by at most one memtable budget until that is done.
#[cfg(test)]
const WAL_BYTES_MAX: u64 = 16 << 20;
const WAL_BYTES_SOFT: u64 = 8 << 20;
/// What cached blocks, indexes and filters may take together, in bytes.
const BLOCK_CACHE_BYTES_MAX: usize = 4 << 20;
/// RocksDB's own diary, `LOG*`: this many files of this many bytes.
const LOG_FILES: usize = 2;
const LOG_BYTES_MAX: usize = 128 << 10;
/// How long, and how often, a write waits for a flush to make room before it fails.
const STALL: Duration = Duration::from_millis(2);
const STALLS_MAX: u32 = 2500;
/// What must fit on the disk before a store that failed is opened again: the log's content as tables, and some more.
const REOPEN_BYTES: usize = 10 << 20;
/// The file that keeps so many bytes in reserve, made only where this many more than once over are free.
const RESERVE: &str = "reserve";
const RESERVE_PLENTY: u64 = 3 * REOPEN_BYTES as u64;
/// What is free before each write, if need be out of the reserve.
const FREE_NEEDED: u64 = 2 << 20;

/// A folder with a RocksDB in it, locked against other processes while this lives.
///
/// RocksDB latches an error of its write-ahead log: every later write fails with it, though the disk may have space
/// again. So after a failed write or sync the next one opens the database again, as soon as the disk takes data.
///
/// A file in reserve holds the space that opening needs. Where the disk is about to be full it is given up bit by bit, so that no
/// write fails for that: a broker starts and topics can be deleted there. It is made again once there is plenty.
pub struct RocksStore {
    path: PathBuf,
    /// `None` only where opening it again has failed; the next write tries once more.
    db: RwLock<Option<DB>>,
    failed: AtomicBool,
    reserve: Mutex<Reserve>,
}

/// What is known of the file in reserve. Each write looks after it: there are few, and looking costs a microsecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reserve {
    /// So many bytes are set aside.
    Kept(u64),
    /// This file system cannot set space aside.
    Impossible,
}

impl Reserve {
    fn missing(self) -> u64 {
        match self {
            Reserve::Kept(bytes) => (REOPEN_BYTES as u64).saturating_sub(bytes),
            Reserve::Impossible => 0,
        }
    }
}

impl RocksStore {
    /// Opens the store in the folder `path`, which is made where it does not exist. Takes some 10 ms.
    pub fn open(path: &Path) -> Result<RocksStore, StoreError> {
        fs::create_dir_all(path).map_err(|e| from_io(path, &e))?;
        let mut reserve = look_after_reserve(path, found_reserve(path));
        let db = match open_db(path) {
            Err(StoreError::Full { .. }) if give_up_reserve(path) => {
                reserve = Reserve::Kept(0);
                open_db(path)?
            }
            opened => opened?,
        };
        let store = RocksStore {
            path: path.to_owned(),
            db: RwLock::new(Some(db)),
            failed: AtomicBool::new(false),
            reserve: Mutex::new(reserve),
        };
        Ok(store)
    }

    fn db(&self) -> Result<Opened<'_>, StoreError> {
        let guard = self.db.read();
        if guard.is_none() {
            return Err(StoreError::Io { path: self.path.clone(), reason: "waits for the disk".into() });
        }
        Ok(Opened(guard))
    }

    /// Opens the database again where a write has failed and the disk is well.
    fn recover(&self) -> Result<(), StoreError> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut db = self.db.write();
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut disk = try_disk(&self.path);
        if disk.is_err() && give_up_reserve(&self.path) {
            *self.reserve.lock() = Reserve::Kept(0);
            disk = try_disk(&self.path);
        }
        disk.map_err(|e| from_io(&self.path, &e))?;
        // The lock on the folder goes with the old one. Opening replays the log into tables and syncs them, so even
        // what a failed fsync left in an unknown state is safe afterwards.
        *db = None;
        *db = Some(open_db(&self.path)?);
        self.failed.store(false, Ordering::Release);
        info!("{}: writable again", self.path.display());
        Ok(())
    }

    fn write_with(&self, batch: &Batch, synced: bool) -> Result<(), StoreError> {
        self.recover()?;
        {
            let mut reserve = self.reserve.lock();
            *reserve = look_after_reserve(&self.path, *reserve);
        }
        let db = self.db()?;
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        // Where memtables wait for a flush RocksDB would block the writer, on a full disk for ever.
        options.set_no_slowdown(true);
        let mut stalls = 0;
        loop {
            match db.write_opt(db.writes(batch), &options) {
                Err(e) if e.kind() == ErrorKind::Incomplete && stalls < STALLS_MAX => {
                    stalls += 1;
                    thread::sleep(STALL);
                }
                result => return self.written(result),
            }
        }
    }

    fn written(&self, result: Result<(), rocksdb::Error>) -> Result<(), StoreError> {
        result.map_err(|e| {
            self.failed.store(true, Ordering::Release);
            from_rocksdb(&self.path, e)
        })
    }
}

impl Store for RocksStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let db = self.db()?;
        db.get_cf(db.table(table), key).map_err(|e| from_rocksdb(&self.path, e))
    }

    fn scan(&self, table: Table, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        if range.is_empty() {
            return Ok(entries);
        }
        let db = self.db()?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.from.as_slice());
        if let Some(to) = &range.to {
            options.set_iterate_upper_bound(to.as_slice());
        }
        let mut cursor = db.raw_iterator_cf_opt(db.table(table), options);
        match order {
            Order::Ascending => cursor.seek_to_first(),
            Order::Descending => cursor.seek_to_last(),
        }
        while entries.len() < limit {
            let Some((key, value)) = cursor.item() else { break };
            entries.push((key.to_vec(), value.to_vec()));
            match order {
                Order::Ascending => cursor.next(),
                Order::Descending => cursor.prev(),
            }
        }
        cursor.status().map_err(|e| from_rocksdb(&self.path, e))?;
        Ok(entries)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write_with(batch, false)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.recover()?;
        let db = self.db()?;
        self.written(db.flush_wal(true))
    }

    fn write_synced(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write_with(batch, true)
    }

    /// All goes into tables, whose blocks have checksums of their own: a write-ahead log with a wrong byte is taken for one that
    /// ends there, as a power loss leaves it, and what comes behind would be lost without a word.
    fn settle(&self) -> Result<(), StoreError> {
        self.sync()?;
        let db = self.db()?;
        let flushed = Table::ALL.iter().try_for_each(|table| db.flush_cf(db.table(*table)));
        // On a full disk the log keeps it.
        if let Err(error) = flushed {
            warn!("{}: stays in the write-ahead log: {error}", self.path.display());
        }
        Ok(())
    }

    fn reserve_missing(&self) -> u64 {
        let mut reserve = self.reserve.lock();
        if reserve.missing() > 0 {
            *reserve = look_after_reserve(&self.path, *reserve);
        }
        reserve.missing()
    }
}

/// A read guard that is known to hold a database.
struct Opened<'a>(RwLockReadGuard<'a, Option<DB>>);

impl Opened<'_> {
    fn table(&self, table: Table) -> &rocksdb::ColumnFamily {
        self.cf_handle(table.name()).expect("every table is opened with the database")
    }

    fn writes(&self, batch: &Batch) -> WriteBatch {
        let mut writes = WriteBatch::default();
        for operation in &batch.operations {
            match operation {
                Operation::Put { table, key, value } => writes.put_cf(self.table(*table), key, value),
                Operation::Delete { table, key } => writes.delete_cf(self.table(*table), key),
                Operation::DeleteRange { table, from, to } => writes.delete_range_cf(self.table(*table), from, to),
            }
        }
        writes
    }
}

impl std::ops::Deref for Opened<'_> {
    type Target = DB;

    fn deref(&self) -> &DB {
        self.0.as_ref().expect("checked when the guard was made")
    }
}

fn open_db(path: &Path) -> Result<DB, StoreError> {
    let options = options();
    let names = Table::ALL.map(Table::name);
    let families = [DEFAULT_COLUMN_FAMILY_NAME].into_iter().chain(names);
    DB::open_cf_descriptors(&options, path, families.map(|name| ColumnFamilyDescriptor::new(name, options.clone())))
        .map_err(|e| from_rocksdb(path, e))
}

/// Settings for a database of a few MB that must stay small, start fast and sleep when nobody writes.
fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);

    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(MEMTABLES_BYTES_SOFT, true));
    options.set_write_buffer_size(2 << 20);
    options.set_max_write_buffer_number(2);
    options.set_arena_block_size(64 << 10);
    options.set_max_total_wal_size(WAL_BYTES_SOFT);

    let mut cache = LruCacheOptions::default();
    cache.set_capacity(BLOCK_CACHE_BYTES_MAX);
    cache.set_num_shard_bits(1);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache_opts(&cache));
    blocks.set_cache_index_and_filter_blocks(true);
    options.set_block_based_table_factory(&blocks);

    options.set_target_file_size_base(4 << 20);
    options.set_max_bytes_for_level_base(16 << 20);
    options.set_max_background_jobs(2);
    options.set_max_open_files(64);
    options.set_table_cache_num_shard_bits(1);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_manifest_file_size(1 << 20);

    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_max_log_file_size(LOG_BYTES_MAX);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn found_reserve(path: &Path) -> Reserve {
    Reserve::Kept(fs::metadata(path.join(RESERVE)).map_or(0, |file| file.len()))
}

/// Sets space aside where there is plenty of it, and gives as much of it up as is needed where there is hardly any left.
fn look_after_reserve(path: &Path, known: Reserve) -> Reserve {
    let (Reserve::Kept(kept), Ok(disk)) = (known, rustix::fs::statvfs(path)) else { return known };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let wanted = REOPEN_BYTES as u64;
    let reserve = path.join(RESERVE);
    if free < FREE_NEEDED && kept > 0 {
        if kept >= wanted {
            warn!("{}: the disk is full; using what was kept in reserve", path.display());
        }
        let left = kept.saturating_sub(FREE_NEEDED - free);
        let cut = fs::File::options().write(true).open(&reserve).and_then(|file| file.set_len(left));
        return if cut.is_ok() { Reserve::Kept(left) } else { found_reserve(path) };
    }
    if free < RESERVE_PLENTY || kept >= wanted {
        return known;
    }
    let made = fs::File::options().create(true).write(true).truncate(false).open(&reserve);
    let made = made.and_then(|file| Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, wanted)?));
    let Err(error) = made else { return Reserve::Kept(wanted) };
    let _ = fs::remove_file(&reserve);
    // A file system that cannot set space aside (ZFS, NFS) need not be asked again.
    let is_full = matches!(from_io(path, &error), StoreError::Full { .. });
    if is_full { Reserve::Kept(0) } else { Reserve::Impossible }
}

/// Whether there was a reserve to be given up.
fn give_up_reserve(path: &Path) -> bool {
    let given_up = fs::remove_file(path.join(RESERVE)).is_ok();
    if given_up {
        warn!("{}: the disk is full; using what was kept in reserve", path.display());
    }
    given_up
}

/// Writes and removes a file as large as what opening needs.
fn try_disk(path: &Path) -> io::Result<()> {
    let probe = path.join("space.tmp");
    let written = fs::File::create(&probe).and_then(|mut file| {
        let block = [0x5a; 64 << 10];
        (0..REOPEN_BYTES / block.len()).try_for_each(|_| file.write_all(&block))?;
        file.sync_all()
    });
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

fn from_io(path: &Path, error: &io::Error) -> StoreError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => StoreError::Unwritable { path, reason },
        _ => StoreError::Io { path, reason },
    }
}

/// RocksDB's C interface tells errors apart by their text alone.
fn from_rocksdb(path: &Path, error: rocksdb::Error) -> StoreError {
    let (path, kind, reason) = (path.to_owned(), error.kind(), one_line(error.into_string()));
    let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
    if let Some((_, unknown)) = reason.split_once("Column families not opened: ") {
        return StoreError::NewerFormat { path, unknown: unknown.to_owned() };
    }
    if says(&["lock hold by current process", "While lock file"]) {
        return StoreError::Locked { path };
    }
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return StoreError::Full { path };
    }
    if says(&["Permission denied", "Read-only file system"]) {
        return StoreError::Unwritable { path, reason };
    }
    if kind == ErrorKind::Corruption || says(&["No such file or directory"]) {
        return StoreError::Corrupt { path, reason };
    }
    StoreError::Io { path, reason }
}

fn one_line(text: String) -> String {
    if text.contains(['\n', '\r']) { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn property(store: &RocksStore, name: &str) -> u64 {
        let db = store.db().unwrap();
        let of = |family: &str| db.property_int_value_cf(db.cf_handle(family).unwrap(), name).unwrap().unwrap();
        Table::ALL.iter().map(|table| of(table.name())).sum::<u64>() + of(DEFAULT_COLUMN_FAMILY_NAME)
    }

    fn files(path: &Path, chosen: impl Fn(&Path) -> bool) -> Vec<u64> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        // A file may go between listing and looking.
        entries.filter(|e| chosen(&e.path())).filter_map(|e| Some(e.metadata().ok()?.len())).collect()
    }

    /// 96 MiB through all tables, one of them cold after its first write.
    #[test]
    fn memory_log_and_diary_stay_within_their_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        let is_wal = |path: &Path| path.extension() == Some(OsStr::new("log"));
        let is_diary = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("LOG");
        let value = vec![7; 4096];
        let mut cold = Batch::new();
        cold.put(Table::Snapshot, "cold", "value");
        store.write_synced(&cold).unwrap();
        let hot = [Table::RaftLog, Table::RaftState, Table::Partition];
        for round in 0..3072_u64 {
            let mut batch = Batch::new();
            for n in 0..8 {
                let key = (round * 8 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                batch.put(hot[(n % 3) as usize], key, value.as_slice());
            }
            store.write(&batch).unwrap();
            if round % 16 == 0 {
                let memtables = property(&store, "rocksdb.size-all-mem-tables");
                assert!(memtables <= MEMTABLES_BYTES_MAX as u64, "{memtables} B of memtables in round {round}");
                let wal = files(folder.path(), is_wal).into_iter().sum::<u64>();
                assert!(wal <= WAL_BYTES_MAX, "{wal} B of WAL in round {round}");
            }
        }
        let all = |table| store.scan(table, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap().len();
        assert_eq!(hot.map(all).iter().sum::<usize>(), 3072 * 8);
        let db = store.db().unwrap();
        let cached = db.property_int_value_cf(db.table(Table::RaftLog), "rocksdb.block-cache-usage").unwrap().unwrap();
        assert!(cached > 0 && cached <= BLOCK_CACHE_BYTES_MAX as u64, "{cached} B of cached blocks");
        drop(db);
        drop(store);
        for _ in 0..5 {
            drop(RocksStore::open(folder.path()).unwrap());
        }
        let diary = files(folder.path(), is_diary);
        assert!(diary.len() <= LOG_FILES + 1 && diary.iter().all(|&bytes| bytes <= LOG_BYTES_MAX as u64), "{diary:?}");
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        let locked = RocksStore::open(folder.path()).err().unwrap();
        assert_eq!(locked, StoreError::Locked { path: folder.path().to_owned() });
        drop(store);
        RocksStore::open(folder.path()).unwrap();
    }

    #[test]
    fn a_table_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        store.db.write().as_mut().unwrap().create_cf("from-the-future", &Options::default()).unwrap();
        drop(store);
        let newer = RocksStore::open(folder.path()).err().unwrap();
        let expected = StoreError::NewerFormat { path: folder.path().to_owned(), unknown: "from-the-future".into() };
        assert_eq!(newer, expected);
        assert!(!newer.is_transient());
    }

    #[test]
    fn damage_is_named() {
        type Damage = fn(&Path);
        let cases: [(&str, Damage); 2] = [
            ("CURRENT", |path| fs::write(path.join("CURRENT"), "MANIF").unwrap()),
            ("MANIFEST", |path| {
                for entry in fs::read_dir(path).unwrap() {
                    let file = entry.unwrap().path();
                    if file.file_name().unwrap().to_string_lossy().starts_with("MANIFEST") {
                        fs::write(file, [0xa5; 512]).unwrap();
                    }
                }
            }),
        ];
        for (name, damage) in cases {
            let folder = tempfile::tempdir().unwrap();
            drop(RocksStore::open(folder.path()).unwrap());
            damage(folder.path());
            let error = RocksStore::open(folder.path()).err().unwrap();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error:?}");
            assert_eq!(error.to_string().lines().count(), 1, "{name}: {error}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_unwritable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = RocksStore::open(&path).err().unwrap();
            assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        }
    }

    #[test]
    fn messages_of_rocksdb_become_errors() {
        let path = Path::new("/data");
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(from_io(path, &full), StoreError::Full { path: path.into() });
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        assert!(matches!(from_io(path, &denied), StoreError::Unwritable { .. }));
    }

    /// Fills a disk, frees it, and expects everything acknowledged to be there and writes to go on:
    /// `mount -t tmpfs -o size=32m tmpfs DIR; FELICE_SMALL_DISK=DIR cargo test --lib store:: -- --ignored`.
    /// On its own, since all databases of a process share the threads that flush.
    #[test]
    #[ignore = "needs a small file system of its own in FELICE_SMALL_DISK"]
    fn a_full_disk_heals() {
        let disk = PathBuf::from(std::env::var_os("FELICE_SMALL_DISK").unwrap());
        let folder = tempfile::tempdir_in(&disk).unwrap();
        let store = RocksStore::open(&folder.path().join("store")).unwrap();
        let ballast = folder.path().join("ballast");
        let mut acknowledged = 0_u64;
        for round in 0..3 {
            // Leave 2 MiB and write until it is full.
            let mut file = fs::File::create(&ballast).unwrap();
            while file.write_all(&[1; 64 << 10]).is_ok() {}
            let end = file.metadata().unwrap().len();
            file.set_len(end.saturating_sub(2 << 20)).unwrap();
            drop(file);
            let put = |n: u64| {
                let mut batch = Batch::new();
                batch.put(Table::RaftLog, n.to_be_bytes(), vec![3; 16 << 10]);
                batch
            };
            // Opening again may free a little, so that some more fits: full is what stays full.
            let mut refused = 0;
            while refused < 5 {
                match store.write_synced(&put(acknowledged)) {
                    Ok(()) => (acknowledged, refused) = (acknowledged + 1, 0),
                    Err(error) if error.is_transient() => refused += 1,
                    Err(other) => panic!("round {round}: {other:?}"),
                }
            }
            assert!(store.get(Table::RaftLog, &0_u64.to_be_bytes()).unwrap().is_some(), "reads go on");
            fs::remove_file(&ballast).unwrap();
            store.write_synced(&put(acknowledged)).unwrap();
            acknowledged += 1;
            let found = store.scan(Table::RaftLog, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap();
            assert_eq!(found.len() as u64, acknowledged);
        }
    }

    /// `mount -t tmpfs -o size=64m tmpfs DIR; FELICE_SMALL_DISK=DIR cargo test --lib store:: -- --ignored --test-threads 1`.
    #[test]
    #[ignore = "needs a small file system of its own in FELICE_SMALL_DISK"]
    fn a_full_disk_lets_a_store_open_and_write() {
        let disk = PathBuf::from(std::env::var_os("FELICE_SMALL_DISK").unwrap());
        let folder = tempfile::tempdir_in(&disk).unwrap();
        let path = folder.path().join("store");
        let put = |store: &RocksStore| {
            let mut batch = Batch::new();
            batch.put(Table::Partition, "key", "value");
            store.write_synced(&batch)
        };
        put(&RocksStore::open(&path).unwrap()).unwrap();
        let ballast = folder.path().join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        while file.write_all(&[1; 4 << 10]).is_ok() {}
        drop(file);
        put(&RocksStore::open(&path).unwrap()).unwrap();
        let reserve = || fs::metadata(path.join(RESERVE)).map_or(0, |file| file.len());
        assert!(reserve() < REOPEN_BYTES as u64, "some of it was needed");
        fs::remove_file(&ballast).unwrap();
        put(&RocksStore::open(&path).unwrap()).unwrap();
        assert_eq!(reserve(), REOPEN_BYTES as u64);
    }

    /// After a failed write the database is opened again, and has what was written before.
    #[test]
    fn a_failed_store_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        let put = |key: &str| {
            let mut batch = Batch::new();
            batch.put(Table::Partition, key, "value");
            batch
        };
        store.write(&put("a")).unwrap();
        // As if a write had failed, and then opening too.
        store.failed.store(true, Ordering::Release);
        *store.db.write() = None;
        assert!(store.get(Table::Partition, b"a").unwrap_err().is_transient());
        store.write(&put("b")).unwrap();
        store.sync().unwrap();
        assert_eq!(store.scan(Table::Partition, &KeyRange::all(), Order::Ascending, 9).unwrap().len(), 2);
        assert!(!folder.path().join("space.tmp").exists());
    }
}
