//! What is counted, and how it is shown to Prometheus.
//!
//! Whoever does something counts it in numbers of its own ([`Counter`], [`Histogram`], [`Requests`]): atomics that it holds, so that
//! counting looks nothing up, locks nothing and allocates nothing. What can be read off elsewhere, such as the size of a log, is
//! read when somebody asks. A [`Source`] writes all that onto a [`Page`], under the names of the [`catalogue`].

pub mod catalogue;
mod histogram;
mod page;
mod requests;
mod sharded;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::{
    catalogue::{Kind, Metric},
    histogram::{BOUNDS_NS, Buckets, Histogram},
    page::{MEDIA_TYPE, Number, Page},
    requests::{Requested, Requests},
};

/// Who has numbers to show.
pub trait Source: Send + Sync {
    /// Writes them as of now. May take a while: it is called off the threads that serve.
    fn collect(&self, page: &mut Page);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
