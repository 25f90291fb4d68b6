//! When a new segment begins.

use felice_protocol::record::BatchHeader;

use super::{config::LogConfig, partition::Appender};
use crate::model::{Offset, PartitionIndex, Timestamp, TopicId};

/// What `segment.jitter.ms` takes off a segment's age, so that a thousand partitions that were made at once do not all roll at
/// once. Drawn from the ids that a partition has anyway: topic ids are random, and a restart draws the same again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jitter {
    seed: u64,
}

impl Jitter {
    pub fn of(topic_id: TopicId, partition: PartitionIndex) -> Jitter {
        let topic = topic_id.0.0.iter().fold(0, |seed, byte| mix(seed ^ u64::from(*byte)).wrapping_add(1));
        Jitter { seed: mix(topic ^ partition.0 as u64) }
    }

    /// For the segment that begins at `base`: from 0 to below the setting, or the age itself where that is less.
    pub fn ms(self, base: Offset, config: &LogConfig) -> i64 {
        let bound = config.segment_jitter_ms.min(config.segment_ms);
        if bound <= 0 {
            return 0;
        }
        (mix(self.seed ^ mix(base.0 as u64)) % bound as u64) as i64
    }
}

/// Spreads what differs in a bit over all of them (the end of splitmix64).
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Appender {
    /// Kafka's rules: the segment would grow too large, is too old, its indexes are full, or the offset does not
    /// fit them. Its age is told by timestamps where batches have them, so that old data that is copied today rolls
    /// as it would have then.
    ///
    /// `pending` bytes are about to be appended before this batch.
    pub(super) fn must_roll(&self, config: &LogConfig, header: &BatchHeader, pending: u64, now: Timestamp) -> bool {
        let size = self.active.size() + pending;
        if size == 0 {
            return false;
        }
        let age = match self.first_timestamp.filter(|first| first.0 >= 0) {
            Some(first) => header.max_timestamp.saturating_sub(first.0),
            None => now.0.saturating_sub(self.since.0),
        };
        size + header.size() as u64 > config.segment_bytes
            || age > config.segment_age_max_ms() - self.jitter.ms(self.active.base, config)
            || self.active.offsets.is_full(config.segment_index_bytes)
            || self.active.times.is_full(config.segment_index_bytes)
            || !self.active.reaches(Offset(header.last_offset()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uuid;

    #[test]
    fn jitter_is_spread_below_its_bound_and_stays() {
        let config =
            |segment_ms, segment_jitter_ms| LogConfig { segment_ms, segment_jitter_ms, ..LogConfig::default() };
        let jitter = |topic, partition| Jitter::of(TopicId(Uuid([topic; 16])), PartitionIndex(partition));
        for (segment_ms, jitter_ms, bound) in [(1000, 100, 100), (100, 1000, 100), (1000, 1, 1), (i64::MAX, 7, 7)] {
            let config = config(segment_ms, jitter_ms);
            let drawn: Vec<i64> =
                (0..1000).map(|at| jitter(at as u8, at % 5).ms(Offset(i64::from(at) * 1000), &config)).collect();
            assert!(drawn.iter().all(|ms| (0..bound).contains(ms)), "{segment_ms} {jitter_ms}");
            let mean = drawn.iter().sum::<i64>() as f64 / 1000.0;
            assert!((mean - (bound - 1) as f64 / 2.0).abs() <= bound as f64 / 20.0, "{mean} of {bound}");
            assert_eq!(drawn[3], jitter(3, 3).ms(Offset(3000), &config));
        }
        assert_eq!(jitter(1, 0).ms(Offset(5), &config(1000, 0)), 0);
        let others = [(2, 0, 0), (1, 1, 0), (1, 0, 1)];
        let config = config(i64::MAX, i64::MAX);
        for (topic, partition, base) in others {
            assert_ne!(jitter(1, 0).ms(Offset(0), &config), jitter(topic, partition).ms(Offset(base), &config));
        }
    }
}
