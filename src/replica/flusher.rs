//! The threads that make appends durable, off the threads that serve requests.
//!
//! Partitions ask for a flush once `flush.messages` or `flush.ms` says so. Appends that arrive while a flush is under way
//! share the next one, so `flush.messages=1` costs one `fdatasync` for many producers.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Partition, dirty::Dirty};
use crate::{
    env::memory_limit,
    metrics::{Buckets, Histogram},
};

/// A disk takes a few flushes at once better than one after the other.
const THREADS: usize = 4;

/// Where partitions ask for a flush. Each sees to it that it is queued at most once for now and once for later.
#[derive(Clone, Default)]
pub struct FlushQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    dirty: Dirty,
    /// How often somebody asked for a flush, and how often one was made.
    asked: AtomicU64,
    flushed: AtomicU64,
    /// How long those took that succeeded.
    took: Histogram,
}

#[derive(Default)]
struct Queue {
    /// The earliest first.
    due: BinaryHeap<Reverse<Due>>,
    stopped: bool,
}

struct Due {
    at: Instant,
    partition: Weak<Partition>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl FlushQueue {
    pub fn push(&self, partition: &Arc<Partition>, after: Duration) {
        // Hours beyond any clock are "never": closing flushes everything.
        let Some(at) = Instant::now().checked_add(after) else { return };
        self.0.queue.lock().due.push(Reverse(Due { at, partition: Arc::downgrade(partition) }));
        self.0.changed.notify_one();
    }

    /// What all partitions have not flushed.
    pub fn dirty(&self) -> &Dirty {
        &self.0.dirty
    }

    /// How many appends asked for a flush.
    pub fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// How long flushes took.
    pub fn took(&self) -> Buckets {
        self.0.took.buckets()
    }

    /// An append wants to be flushed, by a flush of its own or one that is about to begin.
    pub fn note_asked(&self) {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// A partition whose time has come, for who has no thread to wait for one.
    #[cfg(all(test, feature = "interleave"))]
    pub fn take_due(&self) -> Option<Weak<Partition>> {
        let mut queue = self.0.queue.lock();
        let is_due = queue.due.peek().is_some_and(|Reverse(first)| first.at <= Instant::now());
        is_due.then(|| queue.due.pop()).flatten().map(|Reverse(due)| due.partition)
    }
}

pub struct Flusher {
    queue: FlushQueue,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Flusher {
    /// `flushed` is called after each flush that succeeded.
    pub fn start(flushed: impl Fn(&Partition) + Send + Sync + 'static) -> io::Result<Flusher> {
        let shared = Arc::new(Shared { dirty: Dirty::new(memory_limit()), ..Shared::default() });
        let flushed = Arc::new(flushed);
        let threads = (0..THREADS).map(|_| {
            let (shared, flushed) = (Arc::clone(&shared), Arc::clone(&flushed));
            // Its deepest call is a write to the store.
            let builder = thread::Builder::new().name("flusher".to_owned()).stack_size(256 << 10);
            builder.spawn(move || {
                while let Some(partition) = shared.next() {
                    shared.flushed.fetch_add(1, Ordering::Relaxed);
                    flush(&partition, &shared.took, &*flushed);
                }
            })
        });
        let threads = Mutex::new(threads.collect::<io::Result<_>>()?);
        Ok(Flusher { queue: FlushQueue(shared), threads })
    }

    pub fn queue(&self) -> FlushQueue {
        self.queue.clone()
    }

    /// Ends the threads after the flushes that they are at.
    pub fn stop(&self) {
        self.queue.0.queue.lock().stopped = true;
        self.queue.0.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        let shared = &self.queue.0;
        let (flushed, asked) = (shared.flushed.load(Ordering::Relaxed), shared.asked.load(Ordering::Relaxed));
        if asked > 0 {
            info!("flushed {flushed} times for {asked} appends that asked for it");
        }
    }
}

impl Shared {
    /// Waits for a partition whose time has come; `None` once stopped.
    fn next(&self) -> Option<Weak<Partition>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopped {
                return None;
            }
            match queue.due.peek().map(|Reverse(first)| first.at) {
                None => self.changed.wait(&mut queue),
                Some(at) if at <= Instant::now() => return queue.due.pop().map(|Reverse(due)| due.partition),
                Some(at) => {
                    self.changed.wait_until(&mut queue, at.into_std());
                }
            }
        }
    }
}

fn flush(partition: &Weak<Partition>, took: &Histogram, flushed: &impl Fn(&Partition)) {
    let Some(partition) = partition.upgrade() else { return };
    if partition.is_closed() {
        return;
    }
    let begun = Instant::now();
    match partition.flush() {
        Ok(()) => {
            took.note(begun.elapsed());
            flushed(&partition);
        }
        // Deleted meanwhile, or out of use, which was told.
        Err(_) if partition.is_closed() || partition.opened().is_some_and(|log| log.is_out_of_use()) => {}
        Err(error) => warn!(partition = %partition.name(), "the log cannot be flushed for now: {error}"),
    }
}
