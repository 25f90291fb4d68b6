//! How much is written and not flushed, over all partitions, and who should flush so that it does not become much more.
//!
//! Left alone, the kernel lets dirty pages grow to a share of the memory and then makes writers wait for the disk; and a start
//! after a kill has to check whatever was not flushed.

use crate::env::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What all partitions of a broker may leave unflushed, in bytes, where memory does not ask for less.
const TOTAL_MAX: u64 = 256 << 20;

/// What all partitions have not flushed.
#[derive(Debug)]
pub struct Dirty {
    bytes: AtomicU64,
    /// Partitions that have any. One that is taken from before it is counted makes this too small for a moment.
    partitions: AtomicI64,
    max: u64,
}

/// What one partition has not flushed, in bytes.
#[derive(Debug, Default)]
pub struct Share(AtomicU64);

impl Default for Dirty {
    fn default() -> Dirty {
        Dirty { bytes: AtomicU64::new(0), partitions: AtomicI64::new(0), max: TOTAL_MAX }
    }
}

impl Dirty {
    /// For a process that may use `memory` bytes.
    pub fn new(memory: usize) -> Dirty {
        Dirty { max: TOTAL_MAX.min(memory as u64 / 8), ..Dirty::default() }
    }

    /// What is not flushed now.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A partition has written `bytes`. Whether it should flush now.
    pub fn wrote(&self, share: &Share, bytes: u64) -> bool {
        // First: whoever takes the share takes it from here.
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let before = share.0.fetch_add(bytes, Ordering::Relaxed);
        let is_new = i64::from(before == 0);
        let partitions = self.partitions.fetch_add(is_new, Ordering::Relaxed) + is_new;
        is_too_much(before + bytes, total, partitions, self.max)
    }

    /// A partition is about to flush: what it has written by now is nobody's any more. Returns how much that is.
    pub fn take(&self, share: &Share) -> u64 {
        let bytes = share.0.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.partitions.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        bytes
    }
}

/// One partition may have a quarter of what all may. Beyond that, it is those that have no less than the average who flush:
/// the more partitions write, the smaller are their flushes, but no larger share of the whole is ever spent on one.
fn is_too_much(own: u64, total: u64, partitions: i64, max: u64) -> bool {
    own >= max / 4 || (total >= max && own.saturating_mul(partitions.max(1).unsigned_abs()) >= total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_writes_alone_flushes_at_a_quarter() {
        let dirty = Dirty { max: 400, ..Dirty::default() };
        let share = Share::default();
        assert!(!dirty.wrote(&share, 99));
        assert!(dirty.wrote(&share, 1));
        assert_eq!(dirty.take(&share), 100);
        assert!(!dirty.wrote(&share, 99));
    }

    #[test]
    fn however_many_write_the_whole_is_bounded() {
        for partitions in [1_usize, 3, 100, 5000] {
            let dirty = Dirty { max: 10_000, ..Dirty::default() };
            let shares: Vec<Share> = (0..partitions).map(|_| Share::default()).collect();
            let mut seed = 7_u64;
            for step in 0..40_000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Half of what is written goes to a tenth of them.
                let at = (seed >> 33) as usize % if step % 2 == 0 { partitions } else { partitions.div_ceil(10) };
                if dirty.wrote(&shares[at], 10 + (seed >> 60)) {
                    dirty.take(&shares[at]);
                }
                let total = dirty.bytes.load(Ordering::Relaxed);
                assert!(total < 10_000 + 25 * partitions as u64 + 2_500, "{total} bytes of {partitions} partitions");
            }
            let taken: u64 = shares.iter().map(|share| dirty.take(share)).sum();
            assert!(taken < 10_000 + 25 * partitions as u64 + 2_500);
            let left = (dirty.bytes.load(Ordering::Relaxed), dirty.partitions.load(Ordering::Relaxed));
            assert_eq!(left, (0, 0));
        }
    }

    #[test]
    fn many_small_ones_are_left_alone_while_the_whole_is_small() {
        let dirty = Dirty { max: 1 << 20, ..Dirty::default() };
        let shares: Vec<Share> = (0..1000).map(|_| Share::default()).collect();
        assert!(!shares.iter().any(|share| dirty.wrote(share, 1000)));
    }
}
