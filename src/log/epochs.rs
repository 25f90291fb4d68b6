//! Where each leader epoch of a partition begins: pure state and the text of Kafka's `leader-epoch-checkpoint`.

use std::fmt::Write;

use crate::model::{LeaderEpoch, Offset};

pub(super) const CHECKPOINT_FILE: &str = "leader-epoch-checkpoint";

/// An epoch and its first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start: Offset,
}

/// The leader epochs of a log, oldest first. Epochs and start offsets both ascend strictly, none is negative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    pub fn latest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// Records that `epoch` begins at `start`; true where that is news. Entries that contradict it are replaced: an
    /// epoch that wrote nothing, or what a checkpoint holds of a tail that was cut.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && last.start <= start) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
        debug_assert!(self.entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.start < b.start));
        true
    }

    /// The epoch that the record at `offset` was written under.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).map(|entry| entry.epoch)
    }

    /// The largest epoch up to `asked` and the offset after its last record, as OffsetForLeaderEpoch answers
    /// (KIP-101, KIP-279); `None` where the log knows nothing of it.
    pub fn end_offset(&self, asked: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if asked == latest.epoch {
            return Some((asked, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= asked);
        let next = self.entries.get(above).filter(|_| asked != LeaderEpoch::NONE)?;
        // Below the first epoch that is still known: whatever came before it ended at its start.
        let epoch = above.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(asked, |entry| entry.epoch);
        Some((epoch, next.start))
    }

    /// Forgets what begins at or after `end`, the new log end offset.
    pub fn truncate_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < end);
        self.entries.len() != before
    }

    /// Forgets what ends at or before `start`, the new log start offset; the epoch it lies in then begins there.
    pub fn truncate_start(&mut self, start: Offset) -> bool {
        let keep_from = self.entries.partition_point(|entry| entry.start <= start).saturating_sub(1);
        self.entries.drain(..keep_from);
        match self.entries.first_mut() {
            Some(first) if first.start < start => {
                first.start = start;
                true
            }
            _ => keep_from > 0,
        }
    }

    /// The text of a checkpoint: version 0, the number of entries, then `epoch start` a line.
    pub fn to_checkpoint(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start);
        }
        text
    }

    /// Reads a checkpoint; `None` where it is damaged. An empty one is: that is what a power loss leaves of a file that was
    /// replaced and not flushed. So is one whose last line does not end. Entries out of order are dropped as Kafka does.
    pub fn from_checkpoint(text: &str) -> Option<LeaderEpochs> {
        let mut epochs = LeaderEpochs::default();
        let mut lines = text.strip_suffix('\n')?.lines();
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let mut seen = 0;
        for line in lines {
            let (epoch, start) = line.split_once(' ')?;
            epochs.assign(LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?));
            seen += 1;
        }
        (seen == count).then_some(epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }

    #[test]
    fn assigning_keeps_epochs_and_offsets_ascending() {
        type Entries = &'static [(i32, i64)];
        let cases: [(Entries, Entries); 6] = [
            (&[(1, 0), (1, 10)], &[(1, 0)]),
            (&[(1, 10), (1, 5)], &[(1, 5)]),
            (&[(1, 0), (2, 0)], &[(2, 0)]),
            (&[(1, 0), (3, 10), (2, 20)], &[(1, 0), (2, 20)]),
            (&[(1, 0), (2, 10), (3, 20), (4, 5)], &[(1, 0), (4, 5)]),
            (&[(-1, 0), (0, 0)], &[(0, 0)]),
        ];
        for (assigned, kept) in cases {
            assert_eq!(epochs(assigned).entries, epochs(kept).entries, "{assigned:?}");
            assert_eq!(epochs(kept).entries.len(), kept.len());
        }
    }

    #[test]
    fn end_offsets_are_kafkas() {
        let known = epochs(&[(2, 5), (4, 10), (7, 30)]);
        let cases = [
            (-1, None),
            (-2, Some((-2, 5))),
            (1, Some((1, 5))),
            (2, Some((2, 10))),
            (3, Some((2, 10))),
            (4, Some((4, 30))),
            (6, Some((4, 30))),
            (7, Some((7, 44))),
            (8, None),
        ];
        for (asked, expected) in cases {
            let found = known.end_offset(LeaderEpoch(asked), Offset(44)).map(|(epoch, end)| (epoch.0, end.0));
            assert_eq!(found, expected, "epoch {asked}");
        }
        assert_eq!(LeaderEpochs::default().end_offset(LeaderEpoch(0), Offset(9)), None);
        let of = |offset| known.epoch_of(Offset(offset)).map(|epoch| epoch.0);
        assert_eq!([of(4), of(5), of(9), of(10), of(100)], [None, Some(2), Some(2), Some(4), Some(7)]);
    }

    #[test]
    fn truncates_at_both_ends() {
        let mut known = epochs(&[(2, 5), (4, 10), (7, 30)]);
        assert!(!known.truncate_end(Offset(31)));
        assert!(known.truncate_end(Offset(30)));
        assert_eq!(known, epochs(&[(2, 5), (4, 10)]));
        assert!(known.truncate_start(Offset(7)));
        assert_eq!(known, epochs(&[(2, 7), (4, 10)]));
        assert!(known.truncate_start(Offset(12)));
        assert_eq!(known, epochs(&[(4, 12)]));
        assert!(!known.truncate_start(Offset(12)));
    }

    #[test]
    fn checkpoints_round_trip_and_damage_is_seen() {
        let known = epochs(&[(2, 5), (4, 10)]);
        assert_eq!(known.to_checkpoint(), "0\n2\n2 5\n4 10\n");
        assert_eq!(LeaderEpochs::from_checkpoint(&known.to_checkpoint()), Some(known));
        let none = LeaderEpochs::default();
        assert_eq!(LeaderEpochs::from_checkpoint(&none.to_checkpoint()), Some(none));
        for damaged in ["", "0\n1\n2 5", "1\n0\n", "0\n", "0\n2\n2 5\n", "0\n1\n2\n", "0\n1\nx 5\n", "0\n-1\n"] {
            assert_eq!(LeaderEpochs::from_checkpoint(damaged), None, "{damaged:?}");
        }
    }
}
