//! The responses that a connection owes, in the order of their requests.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use felice_protocol::{api::Frame, wire::Chunk};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use super::owed::Account;

/// Requests of one connection that may be waiting for their responses.
const MAX_REQUESTS: usize = 128;
/// Bytes of finished responses, and of what waiting requests keep, at which no further request is read until some are gone.
const MAX_BYTES: usize = 1 << 20;
/// While memory for responses is tight, how often it is looked whether it still is.
const TIGHT_CHECK: Duration = Duration::from_millis(100);
/// What a waiting request takes besides what it was decoded to, in bytes.
const PARKED_BASE: usize = 2 << 10;

/// A response that is not there yet: it waits for replication, a flush, new data or the controller.
pub type Parked = Pin<Box<dyn Future<Output = Option<Frame>> + Send>>;

/// What is owed for one request.
pub enum Slot {
    Ready(Frame),
    /// Resolves to `None` where the connection must be closed instead.
    Parked {
        response: Parked,
        /// About what it keeps in memory while it waits.
        memory: usize,
    },
}

/// Between a connection's reading and writing side, which are two futures of one task. Only the reader pushes, only
/// the writer pops, and the writer is polled after the reader each time.
pub struct Pipeline {
    /// Of all that is in memory here.
    account: Account,
    slots: Mutex<VecDeque<Slot>>,
    /// All that is owed, with the slot that the writer has taken and not yet written.
    owed: AtomicUsize,
    bytes: AtomicUsize,
    parked: AtomicUsize,
    popped: Notify,
}

impl Pipeline {
    pub fn new(account: Account) -> Pipeline {
        Pipeline {
            account,
            slots: Mutex::default(),
            owed: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            popped: Notify::new(),
        }
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn push(&self, mut slot: Slot) {
        match &mut slot {
            Slot::Ready(frame) => self.add(frame.len, memory_of(frame)),
            Slot::Parked { memory, .. } => {
                *memory += PARKED_BASE;
                self.parked.fetch_add(1, Ordering::Relaxed);
                self.add(*memory, *memory);
            }
        }
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.slots.lock().push_back(slot);
    }

    fn add(&self, bytes: usize, memory: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.account.add(memory);
    }

    fn sub(&self, bytes: usize, memory: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.account.sub(memory);
    }

    /// Whether another request may be read.
    pub fn has_room(&self) -> bool {
        !(self.is_full() || self.is_owing() && self.account.is_tight())
    }

    fn is_full(&self) -> bool {
        self.owed.load(Ordering::Relaxed) >= MAX_REQUESTS || self.bytes.load(Ordering::Relaxed) >= MAX_BYTES
    }

    /// Waits until another request may be read.
    pub async fn room(&self) {
        while !self.has_room() {
            if self.is_full() {
                self.popped.notified().await;
            } else {
                // Others make memory tight, and they may end it.
                let _ = timeout(TIGHT_CHECK, self.popped.notified()).await;
            }
        }
    }

    /// The next slot to write; waits for one. It asks for no wake-up: whoever pushes is polled just before, by the same task. (A task
    /// that wakes itself is scheduled once more, and tokio wakes another thread for that: a third of what a small request costs.)
    pub async fn next(&self) -> Slot {
        poll_fn(|_| self.slots.lock().pop_front().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// The next slot, if it is there and finished: it can leave in the same write.
    pub fn next_ready(&self) -> Option<Frame> {
        let mut slots = self.slots.lock();
        match slots.front() {
            Some(Slot::Ready(_)) => match slots.pop_front() {
                Some(Slot::Ready(frame)) => Some(frame),
                _ => None,
            },
            _ => None,
        }
    }

    /// A parked response has become ready, and now counts by its own size.
    pub fn became_ready(&self, frame: &Frame, memory: usize) {
        self.add(frame.len, memory_of(frame));
        self.sub(memory, memory);
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether any request waits for its response to be there.
    pub fn is_waiting(&self) -> bool {
        self.parked.load(Ordering::Relaxed) > 0
    }

    /// A response has left.
    pub fn written(&self, frame: &Frame) {
        self.sub(frame.len, memory_of(frame));
        self.owed.fetch_sub(1, Ordering::Relaxed);
        self.popped.notify_one();
    }

    /// Whether it is up to us that a response has not left. A connection whose peer does not take its responses is idle.
    pub fn is_working(&self) -> bool {
        self.is_owing() && !self.account.is_blocked()
    }

    /// Whether any response is still owed.
    pub fn is_owing(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
    }

    pub async fn emptied(&self) {
        while self.is_owing() {
            self.popped.notified().await;
        }
    }
}

/// What a response takes in memory; ranges of files take none.
fn memory_of(frame: &Frame) -> usize {
    frame
        .chunks
        .iter()
        .map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.len() + size_of::<Chunk>(),
            Chunk::File(_) => size_of::<Chunk>(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::{super::owed::Owed, *};

    fn frame(len: usize) -> Frame {
        Frame { chunks: vec![Chunk::Bytes(Bytes::from(vec![0; len]))], len }
    }

    fn parked(memory: usize) -> Slot {
        Slot::Parked { response: Box::pin(async { None }), memory }
    }

    #[test]
    fn requests_responses_and_what_waits_are_bounded() {
        let pipeline = Pipeline::new(Owed::new(1 << 30).open());
        for _ in 0..MAX_REQUESTS {
            assert!(pipeline.has_room());
            pipeline.push(Slot::Ready(frame(10)));
        }
        assert!(!pipeline.has_room());
        pipeline.written(&pipeline.next_ready().unwrap());
        assert!(pipeline.has_room());

        let pipeline = Pipeline::new(Owed::new(1 << 30).open());
        pipeline.push(parked(MAX_BYTES));
        assert!(!pipeline.has_room(), "one that keeps much in memory is enough");
        let Some(Slot::Parked { memory, .. }) = pipeline.next().now_or_never() else { panic!() };
        let response = frame(100);
        pipeline.became_ready(&response, memory);
        assert!(pipeline.has_room());
        pipeline.written(&response);
        assert!(!pipeline.is_owing() && !pipeline.is_waiting());
        assert_eq!(pipeline.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn while_memory_is_tight_one_request_at_a_time_is_served() {
        let owed = Owed::new(16 << 20);
        let greedy = owed.open();
        greedy.add(9 << 20);
        let pipeline = Pipeline::new(owed.open());
        assert!(pipeline.has_room());
        pipeline.push(Slot::Ready(frame(10)));
        assert!(!pipeline.has_room());
        pipeline.written(&pipeline.next_ready().unwrap());
        assert!(pipeline.has_room());
        pipeline.push(parked(0));
        assert!(!pipeline.has_room());
        drop(greedy);
        assert!(pipeline.has_room());
    }
}
