//! How long something took, in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The upper bounds of the buckets in nanoseconds, each included in its bucket: 1, 2.5, 5 of each power of ten from 25 microseconds to
/// 10 seconds, and 30 seconds. What took longer is in one more bucket.
pub const BOUNDS_NS: [u64; 19] = [
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Durations, counted by bucket. Noting one is two additions.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// What a histogram held at one moment. `counts` are each bucket's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buckets {
    pub counts: [u64; BOUNDS_NS.len() + 1],
    pub sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [const { AtomicU64::new(0) }; BOUNDS_NS.len() + 1], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub fn note(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub fn buckets(&self) -> Buckets {
        let mut buckets = Buckets { sum_ns: self.sum_ns.load(Ordering::Relaxed), ..Buckets::default() };
        for (count, own) in buckets.counts.iter_mut().zip(&self.counts) {
            *count = own.load(Ordering::Relaxed);
        }
        buckets
    }
}

impl Buckets {
    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn merge(&mut self, other: &Buckets) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert!(BOUNDS_NS.is_sorted());
        for (ns, bucket) in [(0, 0), (25_000, 0), (25_001, 1), (1_000_000, 5), (30_000_000_000, 18), (u64::MAX, 19)] {
            let histogram = Histogram::default();
            histogram.note(Duration::from_nanos(ns));
            let buckets = histogram.buckets();
            assert_eq!(buckets.counts.iter().position(|count| *count == 1), Some(bucket), "{ns}");
            assert_eq!((buckets.count(), buckets.sum_ns), (1, ns));
        }
    }

    #[test]
    fn merging_adds() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.note(Duration::from_millis(1));
        other.note(Duration::from_millis(1));
        other.note(Duration::from_secs(60));
        let mut sum = one.buckets();
        sum.merge(&other.buckets());
        assert_eq!((sum.count(), sum.counts[5], sum.counts[19], sum.sum_ns), (3, 2, 1, 60_002_000_000));
    }
}
