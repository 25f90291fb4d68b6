//! Standard output on a thread of its own: whoever reads it may take his time, and heartbeats go on meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::Stop;
use crate::{
    env::process,
    model::{Offset, TopicPartition},
};

/// Chunks that wait to be written.
const WAITING_MAX: usize = 2;

/// What is to be written, and how far the consumption is after that.
#[derive(Default)]
pub(super) struct Chunk {
    pub bytes: Vec<u8>,
    pub positions: BTreeMap<TopicPartition, Offset>,
}

/// The thread that writes. Invariant: a position is in `printed` once all before it was handed to the operating system.
pub(super) struct Printer {
    pub input: Input,
    pub ending: Ending,
    printed: Arc<Mutex<BTreeMap<TopicPartition, Offset>>>,
    /// How many chunks were written.
    written: watch::Receiver<u64>,
}

/// Where chunks are given.
pub(super) struct Input {
    chunks: Option<mpsc::Sender<Chunk>>,
    given: u64,
}

/// What tells that no more is written.
pub(super) struct Ending {
    ended: Option<oneshot::Receiver<io::Result<()>>>,
    closed: oneshot::Receiver<()>,
}

/// Room for one chunk.
pub(super) struct Room<'a> {
    permit: Option<mpsc::Permit<'a, Chunk>>,
    given: &'a mut u64,
}

impl Room<'_> {
    pub(super) fn give(self, chunk: Option<Chunk>) {
        if let (Some(permit), Some(chunk)) = (self.permit, chunk) {
            *self.given += 1;
            permit.send(chunk);
        }
    }
}

impl Printer {
    pub(super) fn start() -> Printer {
        let (chunks, to_write) = mpsc::channel(WAITING_MAX);
        let (ending, ended) = oneshot::channel();
        let (closing, closed) = oneshot::channel();
        let (counting, written) = watch::channel(0);
        let printed = Arc::new(Mutex::new(BTreeMap::new()));
        let progress = Arc::clone(&printed);
        thread::spawn(move || {
            let _ = ending.send(write_all(to_write, &progress, &counting));
        });
        // Blocked until the end of the process where nobody closes.
        thread::spawn(move || {
            process::wait_until_stdout_closes();
            let _ = closing.send(());
        });
        Printer {
            input: Input { chunks: Some(chunks), given: 0 },
            ending: Ending { ended: Some(ended), closed },
            printed,
            written,
        }
    }

    /// The positions after what was written.
    pub(super) fn printed(&self) -> BTreeMap<TopicPartition, Offset> {
        self.printed.lock().clone()
    }

    /// Forgets the positions of all others: who gets a partition back begins elsewhere.
    pub(super) fn keep(&self, partitions: &BTreeSet<TopicPartition>) {
        self.printed.lock().retain(|partition, _| partitions.contains(partition));
    }

    /// Waits until all that was given is written.
    pub(super) async fn settle(&mut self) {
        let given = self.input.given;
        // An error means that the thread has ended; `stopped` says why.
        let _ = self.written.wait_for(|written| *written >= given).await;
    }

    /// Ends the thread after what it was given. Returns the positions after what was written.
    pub(super) async fn finish(&mut self) -> (BTreeMap<TopicPartition, Offset>, Result<(), Stop>) {
        self.input.chunks = None;
        let ended = match self.ending.ended.take() {
            Some(ended) => ended.await.unwrap_or(Ok(())).map_err(Stop::from),
            None => Ok(()),
        };
        (self.printed(), ended)
    }
}

impl Ending {
    /// Returns where writing has come to an end before its time.
    pub(super) async fn stopped(&mut self) -> Result<(), Stop> {
        let Some(ended) = &mut self.ended else { return Err(Stop::PipeClosed) };
        tokio::select! {
            result = ended => {
                self.ended = None;
                match result {
                    Ok(Err(error)) => Err(error.into()),
                    _ => Err(Stop::PipeClosed),
                }
            }
            _ = &mut self.closed => Err(Stop::PipeClosed),
        }
    }
}

impl Input {
    /// Waits until another chunk may be given.
    pub(super) async fn room(&mut self) -> Room<'_> {
        let permit = match &self.chunks {
            Some(chunks) => chunks.reserve().await.ok(),
            None => None,
        };
        Room { permit, given: &mut self.given }
    }
}

fn write_all(
    mut chunks: mpsc::Receiver<Chunk>,
    printed: &Mutex<BTreeMap<TopicPartition, Offset>>,
    written: &watch::Sender<u64>,
) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    while let Some(chunk) = chunks.blocking_recv() {
        stdout.write_all(&chunk.bytes)?;
        stdout.flush()?;
        printed.lock().extend(chunk.positions);
        written.send_modify(|count| *count += 1);
    }
    Ok(())
}
