//! openraft's log and vote in the store.
//!
//! Each entry is one key of [`Table::RaftLog`], its index in 8 bytes; the scalars are in [`Table::RaftState`]. What a
//! power loss leaves of the store's writes is a prefix of them, so only what Raft must know to be safe is waited for:
//! entries and votes. Truncation, purge and the committed position are written in order and may be lost.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use felice_protocol::schema::Stored;
use openraft::{
    EntryPayload, LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};

use super::{
    QuorumError,
    flush::Disk,
    raft::{LogEntry, LogId, TypeConfig, Vote},
    stored::{self, FormError, StoredEntry, StoredLogId, StoredVote},
};
use crate::{
    metadata::decode_batch,
    store::{Batch, Entry, KeyRange, Order, Table},
};

const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";

#[derive(Clone)]
pub struct Log {
    disk: Disk,
}

impl Log {
    pub fn new(disk: Disk) -> Log {
        Log { disk }
    }

    /// Whether all that the log holds can be read by this version.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self) -> Result<(), QuorumError> {
        let store = self.disk.store();
        if let Some(vote) = store.get(Table::RaftState, VOTE)? {
            stored::from_bytes::<StoredVote>(vote)?.vote()?;
        }
        for key in [COMMITTED, PURGED] {
            if let Some(id) = store.get(Table::RaftState, key)? {
                stored::from_bytes::<StoredLogId>(id)?.log_id()?;
            }
        }
        let mut before = None;
        for found in store.scan(Table::RaftLog, &KeyRange::all(), Order::Ascending, usize::MAX)? {
            let entry = entry(found)?;
            let after = entry.index();
            if let Some(before) = before.replace(after).filter(|before| before + 1 != after) {
                return Err(QuorumError::Hole { before, after });
            }
            if let EntryPayload::Normal(records) = entry.payload {
                decode_batch(&records.0)?;
            }
        }
        Ok(())
    }

    fn scalar<T: Stored>(&self, key: &[u8]) -> io::Result<Option<T>> {
        let bytes = self.disk.store().get(Table::RaftState, key).map_err(|e| self.disk.fail(e))?;
        bytes.map(stored::from_bytes).transpose().map_err(|e| self.disk.fail(e))
    }

    fn log_id(&self, key: &[u8]) -> io::Result<Option<LogId>> {
        let stored = self.scalar::<StoredLogId>(key)?;
        stored.map(|id| id.log_id()).transpose().map_err(|e| self.disk.fail(e))
    }

    fn scan(&self, range: &KeyRange, order: Order, limit: usize) -> io::Result<Vec<LogEntry>> {
        let found = self.disk.store().scan(Table::RaftLog, range, order, limit).map_err(|e| self.disk.fail(e))?;
        found.into_iter().map(entry).collect::<Result<_, _>>().map_err(|e| self.disk.fail(e))
    }

    fn bytes<T: Stored>(&self, value: Result<T, FormError>) -> io::Result<Bytes> {
        value.and_then(|value| stored::to_bytes(&value)).map_err(|e| self.disk.fail(e))
    }
}

fn entry((key, value): Entry) -> Result<LogEntry, FormError> {
    let index = <[u8; 8]>::try_from(key.as_slice()).map_err(|_| FormError::Range("the key of a log entry"))?;
    stored::from_bytes::<StoredEntry>(value)?.entry(u64::from_be_bytes(index))
}

fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<LogEntry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let range = match range.end_bound() {
            Bound::Included(index) => KeyRange::between(key(from), key(index.saturating_add(1))),
            Bound::Excluded(index) => KeyRange::between(key(from), key(*index)),
            Bound::Unbounded => KeyRange::from(key(from)),
        };
        let entries = self.scan(&range, Order::Ascending, usize::MAX)?;
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].index() + 1 != pair[1].index()) {
            let (before, after) = (pair[0].index(), pair[1].index());
            return Err(self.disk.fail(QuorumError::Hole { before, after }));
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let stored = self.scalar::<StoredVote>(VOTE)?;
        stored.map(|vote| vote.vote()).transpose().map_err(|e| self.disk.fail(e))
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.log_id(PURGED)?;
        let last = self.scan(&KeyRange::all(), Order::Descending, 1)?.pop().map(|entry| entry.log_id());
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let mut batch = Batch::new();
        batch.put(Table::RaftState, VOTE, self.bytes(StoredVote::of(vote))?);
        self.disk.write_synced(batch).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut batch = Batch::new();
        match committed {
            Some(id) => batch.put(Table::RaftState, COMMITTED, self.bytes(StoredLogId::of(&id))?),
            None => batch.delete(Table::RaftState, COMMITTED),
        };
        self.disk.write(batch).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.log_id(COMMITTED)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = Batch::new();
        for entry in entries {
            batch.put(Table::RaftLog, key(entry.index()), self.bytes(StoredEntry::of(&entry))?);
        }
        self.disk.write(batch).await?;
        self.disk.flushed(callback);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        let mut batch = Batch::new();
        batch.delete_range(Table::RaftLog, key(from), key(u64::MAX));
        self.disk.write(batch).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut batch = Batch::new();
        batch.put(Table::RaftState, PURGED, self.bytes(StoredLogId::of(&upto))?);
        batch.delete_range(Table::RaftLog, key(0), key(upto.index + 1));
        self.disk.write(batch).await
    }
}
