//! Which neighbouring segments become one: Kafka's `Cleaner.groupSegmentsBySize`. Without it a log of small leftovers would have
//! ever more segments.

use std::ops::Range;

use crate::model::Offset;

/// A segment, as far as this goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub base: Offset,
    /// Where the next segment begins.
    pub end: Offset,
    pub bytes: u64,
    pub offset_index_bytes: u64,
    pub time_index_bytes: u64,
}

/// Runs of segments, each at least one long, that together exceed neither the bytes of a segment nor those of an index, and whose
/// offsets can be told relative to the first one's base. (They shrink by being compacted, so the new one does not exceed them
/// either.)
pub(super) fn groups(segments: &[Extent], segment_bytes: u64, index_bytes: u64) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut from = 0;
    while let Some(first) = segments.get(from) {
        let mut sum = *first;
        let mut to = from + 1;
        while let Some(next) = segments.get(to) {
            sum.bytes += next.bytes;
            sum.offset_index_bytes += next.offset_index_bytes;
            sum.time_index_bytes += next.time_index_bytes;
            let fits = sum.bytes <= segment_bytes
                && sum.offset_index_bytes <= index_bytes
                && sum.time_index_bytes <= index_bytes
                && next.end.0 - 1 - first.base.0 <= i64::from(i32::MAX);
            if !fits {
                break;
            }
            to += 1;
        }
        groups.push(from..to);
        from = to;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_as_large_as_one_segment_may_be() {
        let segment = |base: i64, end: i64, bytes, index| Extent {
            base: Offset(base),
            end: Offset(end),
            bytes,
            offset_index_bytes: index,
            time_index_bytes: index / 2,
        };
        let far = i64::from(i32::MAX);
        for (name, segments, expected) in [
            ("none", vec![], vec![]),
            ("one, however large", vec![segment(0, 10, 5000, 900)], vec![(0, 1)]),
            ("by bytes", vec![segment(0, 1, 40, 0), segment(1, 2, 60, 0), segment(2, 3, 1, 0)], vec![(0, 2), (2, 3)]),
            ("by index", vec![segment(0, 1, 1, 50), segment(1, 2, 1, 30), segment(2, 3, 1, 30)], vec![(0, 2), (2, 3)]),
            (
                "by offsets",
                vec![segment(0, 5, 1, 0), segment(5, far + 1, 1, 0), segment(far + 1, far + 2, 1, 0)],
                vec![(0, 2), (2, 3)],
            ),
            (
                "what does not fit begins the next",
                vec![segment(0, 1, 10, 0), segment(1, 2, 95, 0), segment(2, 3, 5, 0), segment(3, 4, 95, 0)],
                vec![(0, 1), (1, 3), (3, 4)],
            ),
        ] {
            let found: Vec<_> = groups(&segments, 100, 80).iter().map(|group| (group.start, group.end)).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
