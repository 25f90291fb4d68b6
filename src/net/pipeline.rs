//! The responses that a connection owes, in the order of their requests.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Poll,
};

use felice_protocol::api::Frame;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Requests of one connection that may be waiting for their responses.
const MAX_REQUESTS: usize = 128;
/// Bytes of finished responses at which no further request is read until the peer takes some.
const MAX_BYTES: usize = 1 << 20;

/// A response that is not there yet: it waits for replication, a flush, new data or the controller.
pub type Parked = Pin<Box<dyn Future<Output = Option<Frame>> + Send>>;

/// What is owed for one request.
pub enum Slot {
    Ready(Frame),
    /// Resolves to `None` where the connection must be closed instead.
    Parked(Parked),
}

/// Between a connection's reading and writing side, which are two futures of one task. Only the reader pushes, only
/// the writer pops, and the writer is polled after the reader each time.
#[derive(Default)]
pub struct Pipeline {
    slots: Mutex<VecDeque<Slot>>,
    /// All that is owed, with the slot that the writer has taken and not yet written.
    owed: AtomicUsize,
    ready_bytes: AtomicUsize,
    parked: AtomicUsize,
    writing: AtomicBool,
    popped: Notify,
}

impl Pipeline {
    pub fn push(&self, slot: Slot) {
        match &slot {
            Slot::Ready(frame) => self.ready_bytes.fetch_add(frame.len, Ordering::Relaxed),
            Slot::Parked(_) => self.parked.fetch_add(1, Ordering::Relaxed),
        };
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.slots.lock().push_back(slot);
    }

    /// Waits until another request may be read.
    pub async fn room(&self) {
        while self.owed.load(Ordering::Relaxed) >= MAX_REQUESTS || self.ready_bytes.load(Ordering::Relaxed) >= MAX_BYTES
        {
            self.popped.notified().await;
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

    /// A parked response has become ready, and now counts against the bytes.
    pub fn became_ready(&self, frame: &Frame) {
        self.ready_bytes.fetch_add(frame.len, Ordering::Relaxed);
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether any request waits for its response to be there.
    pub fn is_waiting(&self) -> bool {
        self.parked.load(Ordering::Relaxed) > 0
    }

    /// A response of `len` bytes has left.
    pub fn written(&self, len: usize) {
        self.ready_bytes.fetch_sub(len, Ordering::Relaxed);
        self.owed.fetch_sub(1, Ordering::Relaxed);
        self.popped.notify_one();
    }

    /// The writer waits for the peer to take what is ready, or does so no more.
    pub fn set_writing(&self, writing: bool) {
        self.writing.store(writing, Ordering::Relaxed);
    }

    /// Whether it is up to us that a response has not left. A connection whose peer does not take its responses is idle.
    pub fn is_working(&self) -> bool {
        self.is_owing() && !self.writing.load(Ordering::Relaxed)
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
