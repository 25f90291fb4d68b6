//! Numbers that many threads change at once, each in a copy of its own as far as there are copies: two threads that count in one
//! cache line cost each other more than the counting.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// More threads than this share copies. A power of two.
const SHARDS: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A copy for each of [`SHARDS`] threads.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Aligned<T>]>);

/// On cache lines of its own, and on those that the processor fetches with them.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> Sharded<T> {
    pub fn new(make: impl Fn() -> T) -> Sharded<T> {
        Sharded((0..SHARDS).map(|_| Aligned(make())).collect())
    }

    /// The copy of the calling thread.
    pub fn own(&self) -> &T {
        let shard = SHARD.with(|shard| {
            shard.get().unwrap_or_else(|| {
                let next = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
                shard.set(Some(next));
                next
            })
        });
        &self.0[shard].0
    }

    /// All of them; what is meant is their sum.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|aligned| &aligned.0)
    }
}
