//! openraft's state machine: the metadata image, and its snapshots in the store.
//!
//! The image lives in memory. At start it is made from the snapshot and the log behind it; a snapshot is taken when the
//! log behind it has grown, so that neither log nor start grow without end.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use parking_lot::Mutex;
use tokio::task;

use super::{
    QuorumError,
    flush::Disk,
    published::Published,
    raft::{LogId, RecordBatch, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
    stored::{self, StoredSnapshot},
};
use crate::{
    metadata::{Delta, Image, decode_batch, encode_batch},
    store::{Batch, KeyRange, Order, SharedStore, Table},
};

const SNAPSHOT: &[u8] = b"snapshot";
/// Records in one chunk of a snapshot.
const CHUNK_RECORDS: usize = 256;
/// The log may always grow by this many bytes before it is worth a snapshot, however small that would be.
const GROWTH_BYTES_MIN: u64 = 1 << 20;

pub struct Machine {
    disk: Disk,
    published: Arc<Published>,
    image: Image,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: Snapshots,
    /// What was applied since the last snapshot.
    entries: u64,
    bytes: u64,
    /// How many entries make a snapshot worth it.
    snapshot_entries: u64,
}

impl Machine {
    /// Reads the snapshot that there is. openraft will install it and apply the log behind it.
    pub fn open(disk: Disk, published: Arc<Published>, snapshot_entries: u64) -> Result<Machine, QuorumError> {
        let snapshots = Snapshots::open(disk.clone())?;
        Ok(Machine {
            disk,
            published,
            image: Image::default(),
            last_applied: None,
            membership: StoredMembership::default(),
            snapshots,
            entries: 0,
            bytes: 0,
            snapshot_entries,
        })
    }

    /// All records of a batch take effect, or none.
    fn apply_batch(&mut self, batch: &RecordBatch) -> Result<(), QuorumError> {
        let records = decode_batch(&batch.0)?;
        self.bytes += batch.0.len() as u64;
        if records.is_empty() {
            return Ok(());
        }
        let (mut image, mut delta) = (self.image.clone(), Delta::default());
        for record in &records {
            image.apply(record, &mut delta)?;
        }
        self.image = image.clone();
        self.published.publish(image, &delta);
        Ok(())
    }

    fn is_snapshot_due(&self) -> bool {
        let last = self.snapshots.current.lock().as_ref().map_or(0, |current| current.bytes);
        self.entries >= self.snapshot_entries || self.bytes >= GROWTH_BYTES_MIN.max(last / 2)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    /// Shared with the running one; it is encoded where it leaves memory.
    type SnapshotData = Image;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => self.apply_batch(&batch).map_err(|e| self.disk.fail(e))?,
                EntryPayload::Membership(voters) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), voters);
                }
            }
            self.last_applied = Some(entry.log_id);
            self.published.advance(entry.log_id.index);
            self.entries += 1;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if force || self.is_snapshot_due() { Some(self.get_snapshot_builder().await) } else { None }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        (self.entries, self.bytes) = (0, 0);
        let meta = SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() };
        Builder { snapshots: self.snapshots.clone(), snapshot: Snapshot { meta, snapshot: self.image.clone() } }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, image: Image) -> io::Result<()> {
        // At start openraft hands back what it got from `get_current_snapshot`.
        let stored = self.snapshots.current.lock().as_ref().is_some_and(|current| current.snapshot.meta == *meta);
        if !stored {
            self.snapshots.save(Snapshot { meta: meta.clone(), snapshot: image.clone() }).await?;
        }
        (self.entries, self.bytes) = (0, 0);
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.image = image.clone();
        self.published.replace(image);
        if let Some(last) = self.last_applied {
            self.published.advance(last.index);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.current.lock().as_ref().map(|current| current.snapshot.clone()))
    }
}

pub struct Builder {
    snapshots: Snapshots,
    snapshot: Snapshot,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        self.snapshots.save(self.snapshot.clone()).await?;
        Ok(self.snapshot.clone())
    }
}

/// The current snapshot, in the store and, sharing what has not changed since with the running image, in memory.
#[derive(Clone)]
struct Snapshots {
    disk: Disk,
    current: Arc<Mutex<Option<Current>>>,
}

struct Current {
    snapshot: Snapshot,
    number: i64,
    bytes: u64,
}

impl Snapshots {
    fn open(disk: Disk) -> Result<Snapshots, QuorumError> {
        let current = read(disk.store())?;
        Ok(Snapshots { disk, current: Arc::new(Mutex::new(current)) })
    }

    /// Writes the snapshot beside the current one, chunk by chunk, and then makes it current in one step. A crash in
    /// between leaves chunks that the next snapshot, which has the same number, clears away.
    async fn save(&self, snapshot: Snapshot) -> io::Result<()> {
        let number = self.current.lock().as_ref().map_or(0, |current| current.number) + 1;
        let mut batch = Batch::new();
        batch.delete_range(Table::Snapshot, chunk_key(number, 0), chunk_key(number + 1, 0));
        self.disk.write(batch).await?;
        let (mut chunks, mut bytes) = (0, 0);
        let mut records = snapshot.snapshot.records().peekable();
        while records.peek().is_some() {
            let chunk = records.by_ref().take(CHUNK_RECORDS).collect::<Vec<_>>();
            let chunk = encode_batch(&chunk).map_err(|e| self.disk.fail(e))?;
            bytes += chunk.len() as u64;
            let mut batch = Batch::new();
            batch.put(Table::Snapshot, chunk_key(number, chunks), chunk);
            self.disk.write(batch).await?;
            chunks += 1;
            task::yield_now().await;
        }
        drop(records);
        let header = StoredSnapshot::of(&snapshot.meta, number, chunks, bytes as i64);
        let header = header.and_then(|header| stored::to_bytes(&header)).map_err(|e| self.disk.fail(e))?;
        let mut batch = Batch::new();
        batch.put(Table::RaftState, SNAPSHOT, header);
        batch.delete_range(Table::Snapshot, chunk_key(0, 0), chunk_key(number, 0));
        self.disk.write_synced(batch).await?;
        *self.current.lock() = Some(Current { snapshot, number, bytes });
        Ok(())
    }
}

fn read(store: &SharedStore) -> Result<Option<Current>, QuorumError> {
    let Some(header) = store.get(Table::RaftState, SNAPSHOT)? else { return Ok(None) };
    let header = stored::from_bytes::<StoredSnapshot>(header)?;
    let mut image = Image::default();
    let mut bytes = 0;
    for chunk in 0..header.chunks {
        let Some(chunk) = store.get(Table::Snapshot, &chunk_key(header.number, chunk))? else {
            return Err(QuorumError::Snapshot { number: header.number, chunk });
        };
        bytes += chunk.len() as u64;
        for record in decode_batch(&Bytes::from(chunk))? {
            image.apply(&record, &mut Delta::default())?;
        }
    }
    // One more than there should be means that the header is not of these chunks.
    let beyond = KeyRange::between(chunk_key(header.number, header.chunks), chunk_key(header.number + 1, 0));
    if bytes != header.bytes as u64 || !store.scan(Table::Snapshot, &beyond, Order::Ascending, 1)?.is_empty() {
        return Err(QuorumError::Snapshot { number: header.number, chunk: header.chunks });
    }
    let snapshot = Snapshot { meta: header.meta()?, snapshot: image };
    Ok(Some(Current { snapshot, number: header.number, bytes }))
}

fn chunk_key(number: i64, chunk: i32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}
