//! What of a log can be compacted, and how much there is to gain: Kafka's `LogCleanerManager.cleanableOffsets` and `LogToClean`.

use crate::{
    log::LogConfig,
    model::{Offset, Timestamp},
};

/// What of a log a pass may touch. `first_dirty <= first_uncleanable`, where a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanable {
    /// Everything below was compacted before.
    pub first_dirty: Offset,
    /// Records from here on stay as they are.
    pub first_uncleanable: Offset,
    /// Bytes of the segments below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of the segments from the one of `first_dirty` up to `first_uncleanable`.
    pub dirty_bytes: u64,
    /// How long ago `max.compaction.lag.ms` ended for the oldest dirty record, in milliseconds; 0 where it has not.
    pub overdue_ms: i64,
    /// Records from here on may be lost yet, to a power loss or to another leader.
    pub safe_until: Offset,
    /// The first dirty offset that was given cannot be, and should be stored anew.
    pub is_corrected: bool,
}

impl Cleanable {
    /// The part of the bytes that is dirty, from 0 to 1: compared with `min.cleanable.dirty.ratio`.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            all => self.dirty_bytes as f64 / all as f64,
        }
    }
}

/// A closed segment, as far as this goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub base: Offset,
    pub bytes: u64,
    /// Of its records, or of its last write where none has one.
    pub largest_timestamp: Timestamp,
    /// Of its first batch; `None` where it is not known or has none.
    pub first_timestamp: Option<Timestamp>,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub log_start: Offset,
    pub log_end: Offset,
    /// Where the active segment begins.
    pub active: Offset,
    /// Not beyond this: the last stable offset, and what is durable.
    pub until: Offset,
}

/// `closed` are all segments but the active one. `checkpoint` is how far the last pass came.
pub(super) fn cleanable(
    closed: &[Extent],
    bounds: Bounds,
    checkpoint: Option<Offset>,
    config: &LogConfig,
    now: Timestamp,
) -> Cleanable {
    let Bounds { log_start, log_end, active, until } = bounds;
    let first_dirty = checkpoint.unwrap_or(log_start);
    // Below the start records were deleted since; above the end the log was cut, and nobody knows what is there now.
    let is_corrected = first_dirty < log_start || first_dirty > log_end;
    let first_dirty = if is_corrected { log_start } else { first_dirty };

    let dirty = || closed.iter().filter(|segment| end_of(closed, segment, active) > first_dirty);
    let lag_ms = config.min_compaction_lag_ms.max(0);
    let young = dirty().find(|segment| lag_ms > 0 && segment.largest_timestamp.0 > now.0.saturating_sub(lag_ms));
    let limit = until.min(active).min(young.map_or(active, |segment| segment.base));
    // A segment is compacted as a whole.
    let segment_of_limit = closed.iter().find(|segment| end_of(closed, segment, active) > limit);
    let first_uncleanable = segment_of_limit.map_or(active, |segment| segment.base);

    let clean_bytes = closed.iter().filter(|segment| segment.base < first_dirty).map(|segment| segment.bytes).sum();
    // One that is dirty in part (the map was full there) counts as both.
    let is_dirty = |segment: &&Extent| {
        end_of(closed, segment, active) > first_dirty.min(first_uncleanable) && segment.base < first_uncleanable
    };
    let dirty_bytes = closed.iter().filter(is_dirty).map(|segment| segment.bytes).sum();

    let oldest = dirty().filter_map(|segment| segment.first_timestamp).filter(|first| first.0 > 0).min();
    let due = now.0.saturating_sub(config.max_compaction_lag_ms.max(0));
    let overdue_ms = oldest.map_or(0, |oldest| due.saturating_sub(oldest.0).max(0));
    let first_uncleanable = first_uncleanable.max(first_dirty);
    let safe_until = until;
    Cleanable { first_dirty, first_uncleanable, clean_bytes, dirty_bytes, overdue_ms, safe_until, is_corrected }
}

fn end_of(closed: &[Extent], segment: &Extent, active: Offset) -> Offset {
    let after = closed.partition_point(|other| other.base <= segment.base);
    closed.get(after).map_or(active, |next| next.base)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100_000;

    /// Closed segments of ten offsets and ten bytes each, then an active one; each written at its number of thousands.
    fn with(count: i64, checkpoint: Option<i64>, log_start: i64, until: i64, config: &LogConfig) -> Cleanable {
        let closed: Vec<Extent> = (0..count)
            .map(|at| Extent {
                base: Offset(at * 10),
                bytes: 10,
                largest_timestamp: Timestamp(at * 1000 + 999),
                first_timestamp: Some(Timestamp(at * 1000)),
            })
            .collect();
        let active = Offset(count * 10);
        let bounds = Bounds { log_start: Offset(log_start), log_end: active.plus(5), active, until: Offset(until) };
        cleanable(&closed, bounds, checkpoint.map(Offset), config, Timestamp(NOW))
    }

    #[test]
    fn what_can_be_compacted_is_kafkas() {
        let lag = |ms| LogConfig { min_compaction_lag_ms: ms, ..LogConfig::default() };
        let none = lag(0);
        for (name, found, expected) in [
            ("all but the active", with(3, None, 0, 35, &none), (0, 30, 0, 30, false)),
            ("from the checkpoint", with(3, Some(10), 0, 35, &none), (10, 30, 10, 20, false)),
            ("nothing is new", with(3, Some(30), 0, 35, &none), (30, 30, 30, 0, false)),
            ("a checkpoint in the active one", with(3, Some(33), 0, 35, &none), (33, 33, 30, 0, false)),
            ("a checkpoint within a segment", with(3, Some(15), 0, 35, &none), (15, 30, 20, 20, false)),
            ("a checkpoint below the log start", with(3, Some(10), 20, 35, &none), (20, 30, 20, 10, true)),
            ("a checkpoint above the log end", with(3, Some(99), 10, 35, &none), (10, 30, 10, 20, true)),
            ("up to the last stable offset's segment", with(3, None, 0, 29, &none), (0, 20, 0, 20, false)),
            ("up to the last stable offset", with(3, None, 0, 20, &none), (0, 20, 0, 20, false)),
            ("nothing is stable", with(3, None, 0, 0, &none), (0, 0, 0, 0, false)),
            ("a checkpoint beyond what is stable", with(3, Some(20), 0, 10, &none), (20, 20, 20, 0, false)),
            ("only the active", with(0, None, 0, 5, &none), (0, 0, 0, 0, false)),
            ("one is too young", with(3, None, 0, 35, &lag(NOW - 2000)), (0, 20, 0, 20, false)),
            ("one is just old enough", with(3, None, 0, 35, &lag(NOW - 2999)), (0, 30, 0, 30, false)),
            ("all are too young", with(3, None, 0, 35, &lag(NOW)), (0, 0, 0, 0, false)),
            ("lag without limit", with(3, None, 0, 35, &lag(i64::MAX)), (0, 0, 0, 0, false)),
        ] {
            let Cleanable { first_dirty, first_uncleanable, clean_bytes, dirty_bytes, is_corrected, .. } = found;
            let found = (first_dirty.0, first_uncleanable.0, clean_bytes, dirty_bytes, is_corrected);
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_longest_wait_is_told() {
        let lag = |ms| LogConfig { max_compaction_lag_ms: ms, ..LogConfig::default() };
        for (checkpoint, max_lag, expected) in [
            (Some(10), NOW - 1500, 500),
            (Some(10), NOW - 1000, 0),
            (Some(10), NOW - 900, 0),
            (Some(20), NOW - 2001, 1),
            // A timestamp of 0 is none.
            (None, NOW - 1500, 500),
            (Some(30), 0, 0),
            (None, i64::MAX, 0),
        ] {
            let found = with(3, checkpoint, 0, 35, &lag(max_lag));
            assert_eq!(found.overdue_ms, expected, "{checkpoint:?} {max_lag}");
        }
    }

    #[test]
    fn the_ratio_is_of_bytes() {
        let config = LogConfig::default();
        assert_eq!(with(4, Some(10), 0, 45, &config).dirty_ratio(), 0.75);
        assert_eq!(with(4, Some(40), 0, 45, &config).dirty_ratio(), 0.0);
        assert_eq!(with(0, None, 0, 5, &config).dirty_ratio(), 0.0);
    }
}
