//! Locks, atomics and wake-ups of the code that publishes offsets and wakes who waits for them.
//!
//! They are parking_lot's, std's and tokio's. With the feature `interleave`, for tests only, they are Shuttle's, which runs
//! threads in one order after the other as a seeded scheduler decides, and so finds the order in which a wake-up is lost.

#[cfg(feature = "interleave")]
mod interleaved;

#[cfg(all(test, feature = "interleave"))]
pub use interleaved::in_many_orders;
#[cfg(feature = "interleave")]
pub use {
    interleaved::{Mutex, Notify, RwLock},
    shuttle::sync::{MutexGuard, atomic},
};
#[cfg(not(feature = "interleave"))]
pub use {
    parking_lot::{Mutex, MutexGuard, RwLock},
    std::sync::atomic,
    tokio::sync::Notify,
};
