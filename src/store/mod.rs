//! The store of small things: Raft's log and state, metadata snapshots, scalars per partition.
//!
//! A few ordered tables of bytes to bytes behind one small trait: an atomic batch of writes, a sync, a point read and a
//! range scan. [`RocksStore`] is the real one and the only place that knows RocksDB; [`MapStore`] is an ordered map whose
//! unsynced writes a simulated crash may take. `contract.rs` holds both to the same rules.

#[cfg(test)]
mod contract;
mod map;
mod rocks;

use std::{path::PathBuf, sync::Arc};

pub use map::MapStore;
pub use rocks::RocksStore;

/// The tables there are. A folder with a table that is not listed here was written by a newer version and is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// The entries of the metadata quorum's Raft log, by index.
    RaftLog,
    /// Raft's scalars: vote, committed and purged position, which snapshot is current.
    RaftState,
    /// The chunks of metadata snapshots.
    Snapshot,
    /// Scalars of a partition's replica (recovery point, log start offset, ...), by topic id, partition and directory id.
    Partition,
    /// What the coordinators' logs came to, by topic id, partition and the record's key.
    Coordinator,
}

impl Table {
    pub const ALL: [Table; 5] =
        [Table::RaftLog, Table::RaftState, Table::Snapshot, Table::Partition, Table::Coordinator];

    /// The name on disk; never changed.
    pub fn name(self) -> &'static str {
        match self {
            Table::RaftLog => "raft-log",
            Table::RaftState => "raft-state",
            Table::Snapshot => "snapshot",
            Table::Partition => "partition",
            Table::Coordinator => "coordinator",
        }
    }
}

/// Writes that happen together or not at all, across tables. Later ones win over earlier ones on the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Delete { table: Table, key: Vec<u8> },
    DeleteRange { table: Table, from: Vec<u8>, to: Vec<u8> },
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Batch {
        self.operations.push(Operation::Put { table, key: key.into(), value: value.into() });
        self
    }

    /// Deletes `key`; nothing happens where it does not exist.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) -> &mut Batch {
        self.operations.push(Operation::Delete { table, key: key.into() });
        self
    }

    /// Deletes every key at or after `from` and before `to`; none where `from >= to`.
    pub fn delete_range(&mut self, table: Table, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> &mut Batch {
        let (from, to) = (from.into(), to.into());
        if from < to {
            self.operations.push(Operation::DeleteRange { table, from, to });
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// Keys at or after `from` and, where there is a `to`, before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl KeyRange {
    /// The whole table.
    pub fn all() -> KeyRange {
        KeyRange { from: Vec::new(), to: None }
    }

    pub fn from(from: impl Into<Vec<u8>>) -> KeyRange {
        KeyRange { from: from.into(), to: None }
    }

    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> KeyRange {
        KeyRange { from: from.into(), to: Some(to.into()) }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> KeyRange {
        let from = prefix.into();
        // The first key after them: the prefix without its trailing 0xff bytes, its last byte raised.
        let to = from.iter().rposition(|&byte| byte != 0xff).map(|last| {
            let mut to = from[..=last].to_vec();
            to[last] += 1;
            to
        });
        KeyRange { from, to }
    }

    /// The same keys, but none before `from`.
    #[must_use]
    pub fn starting_at(self, from: Vec<u8>) -> KeyRange {
        KeyRange { from: from.max(self.from), to: self.to }
    }

    pub fn start(&self) -> &[u8] {
        &self.from
    }

    /// The first key behind it; `None` where it has no end.
    pub fn end(&self) -> Option<&[u8]> {
        self.to.as_deref()
    }

    fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Ascending,
    Descending,
}

pub type Entry = (Vec<u8>, Vec<u8>);

/// Ordered tables of bytes to bytes. Calls block for as long as the disk takes; only [`sync`](Store::sync) and
/// [`write_synced`](Store::write_synced) wait for it as a rule.
///
/// Writes survive in the order in which they were made: what a power loss leaves is all that was synced and a prefix of
/// what came after it.
pub trait Store: Send + Sync + 'static {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` entries of `range`, seen from the end that `order` begins at, as of one moment.
    fn scan(&self, table: Table, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Writes `batch` atomically: from now on visible to every reader and safe from the death of this process, but not
    /// yet from a power loss. After an error it is not visible, but a restart may bring it back: write it again, or
    /// write what replaces it.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Makes safe from a power loss everything whose write had returned when this was called. After an error, sync
    /// again: one that succeeds covers it all.
    fn sync(&self) -> Result<(), StoreError>;

    /// `write` and `sync` in one.
    fn write_synced(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(batch)?;
        self.sync()
    }

    /// Makes all that was written durable in its lasting form, at the end of a clean stop.
    fn settle(&self) -> Result<(), StoreError> {
        self.sync()
    }

    /// Bytes of its disk that the store means to keep in reserve and cannot set aside for now; others leave them free.
    fn reserve_missing(&self) -> u64 {
        0
    }
}

pub type SharedStore = Arc<dyn Store>;

/// One clear line each: at start they are what the user reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{}: in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("{}: written by a newer version of Felice (unknown: {unknown})", path.display())]
    NewerFormat { path: PathBuf, unknown: String },
    #[error("{}: cannot be written: {reason}", path.display())]
    Unwritable { path: PathBuf, reason: String },
    #[error("{}: damaged: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("{}: no space left on the disk", path.display())]
    Full { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: String },
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later: when space is back, or the disk answers again.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Full { .. } | StoreError::Io { .. } | StoreError::Unwritable { .. })
    }
}
