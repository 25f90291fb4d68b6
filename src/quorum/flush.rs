//! Waiting for the disk: group commit of what Raft writes, and patience with a disk that is full.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::{storage::IOFlushed, type_config::TypeConfigExt};
use parking_lot::Mutex;
use tokio::{task, time};
use tracing::{info, warn};

use super::{QuorumError, raft::TypeConfig};
use crate::store::{Batch, SharedStore, StoreError};

/// How long to wait between two tries of a write that failed.
const RETRY: Duration = Duration::from_millis(200);

/// Writes to the store for openraft, to which an error of its storage is fatal: a write that fails is tried again until
/// it succeeds, or the store can no longer be of use, or the quorum closes.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    store: SharedStore,
    waiting: Mutex<Waiting>,
    closing: AtomicBool,
    failure: OnceLock<QuorumError>,
}

/// Who waits for the next sync. While `syncing`, a thread is at it and will look for those who came meanwhile.
#[derive(Default)]
struct Waiting {
    callbacks: Vec<IOFlushed<TypeConfig>>,
    syncing: bool,
}

impl Disk {
    pub fn new(store: SharedStore) -> Disk {
        let (waiting, closing) = (Mutex::default(), AtomicBool::new(false));
        Disk(Arc::new(Inner { store, waiting, closing, failure: OnceLock::new() }))
    }

    /// Keeps `error` as the reason why the quorum stops, where it is the first, and gives openraft one of its kind.
    pub fn fail(&self, error: impl Into<QuorumError>) -> io::Error {
        self.0.fail(error.into())
    }

    /// Why the quorum has stopped.
    pub fn failure(&self) -> Option<QuorumError> {
        self.0.failure.get().cloned()
    }

    pub fn store(&self) -> &SharedStore {
        &self.0.store
    }

    /// From now on a write that fails is not tried again.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    /// Writes the batch, visible at once and not yet synced.
    pub async fn write(&self, batch: Batch) -> io::Result<()> {
        // Almost always this is all, and takes a few microseconds.
        let Err(error) = self.0.store.write(&batch) else { return Ok(()) };
        self.0.may_retry(error)?;
        loop {
            time::sleep(RETRY).await;
            let (this, retried) = (self.clone(), batch.clone());
            // Now it may take long, since the store may open its database again.
            let result = task::spawn_blocking(move || this.0.store.write(&retried)).await?;
            match result {
                Ok(()) => {
                    info!("the metadata log can be written again");
                    return Ok(());
                }
                Err(error) if self.0.closing.load(Ordering::Acquire) => return Err(self.fail(error)),
                Err(error) if !error.is_transient() => return Err(self.fail(error)),
                Err(_) => {}
            }
        }
    }

    /// Tells `callback` when all that was written up to now is safe from a power loss. What arrives during a sync
    /// shares the next one.
    pub fn flushed(&self, callback: IOFlushed<TypeConfig>) {
        let mut waiting = self.0.waiting.lock();
        waiting.callbacks.push(callback);
        if !waiting.syncing {
            waiting.syncing = true;
            let inner = self.0.clone();
            task::spawn_blocking(move || inner.sync_all());
        }
    }

    /// [`write`](Disk::write), and waits until it is safe.
    pub async fn write_synced(&self, batch: Batch) -> io::Result<()> {
        self.write(batch).await?;
        let (sender, receiver) = TypeConfig::oneshot();
        self.flushed(IOFlushed::signal(sender));
        receiver.await.map_err(io::Error::other)?
    }
}

impl Inner {
    fn sync_all(&self) {
        loop {
            let callbacks = {
                let mut waiting = self.waiting.lock();
                waiting.syncing = !waiting.callbacks.is_empty();
                if !waiting.syncing {
                    return;
                }
                std::mem::take(&mut waiting.callbacks)
            };
            let result = self.sync();
            for callback in callbacks {
                callback.io_completed(result.clone().map_err(|e| self.fail(e.into())));
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        let Err(error) = self.store.sync() else { return Ok(()) };
        if self.may_retry(error.clone()).is_err() {
            return Err(error);
        }
        loop {
            std::thread::sleep(RETRY);
            match self.store.sync() {
                Err(error) if error.is_transient() && !self.closing.load(Ordering::Acquire) => {}
                Ok(()) => {
                    info!("the metadata log can be written again");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn fail(&self, error: QuorumError) -> io::Error {
        let text = error.to_string();
        // A later one is mostly a consequence of the first.
        let _ = self.failure.set(error);
        io::Error::other(text)
    }

    fn may_retry(&self, error: StoreError) -> io::Result<()> {
        if !error.is_transient() || self.closing.load(Ordering::Acquire) {
            return Err(self.fail(error.into()));
        }
        warn!("changes to topics and settings wait, the metadata log cannot be written: {error}");
        Ok(())
    }
}
