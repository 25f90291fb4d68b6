//! PURE: what a leader knows of its partition, and the rules that follow from it.

use crate::model::{LeaderEpoch, NodeId, Offset};

/// A partition's leadership as the cluster's metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// `None` while no replica may lead.
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
}

/// A client's idea of the leader epoch is not ours (KIP-320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochMismatch {
    /// The client's is older: it must refresh its metadata.
    Fenced,
    /// The client's is newer: we must catch up.
    Unknown,
}

impl Leadership {
    pub fn is_led_by(&self, node: NodeId) -> bool {
        self.leader == Some(node)
    }

    /// Compares with the epoch that a client sent; -1 is "does not know" and passes.
    pub fn check_leader_epoch(&self, asked: i32) -> Result<(), EpochMismatch> {
        match asked {
            -1 => Ok(()),
            asked if asked < self.leader_epoch.0 => Err(EpochMismatch::Fenced),
            asked if asked > self.leader_epoch.0 => Err(EpochMismatch::Unknown),
            _ => Ok(()),
        }
    }

    /// Whether `acks=all` may be appended: as many replicas in sync as `min.insync.replicas` asks for.
    pub fn has_enough_in_sync(&self, min_insync_replicas: u32) -> bool {
        self.isr.len() >= min_insync_replicas as usize
    }
}

/// The high watermark: what every in-sync replica has. The leader counts at its flushed offset where each message must be
/// flushed (`flush.messages=1`), so that nobody reads what a power loss could take back. Never moves backwards.
pub fn high_watermark(current: Offset, leader: Offset, followers_in_sync: impl IntoIterator<Item = Offset>) -> Offset {
    followers_in_sync.into_iter().fold(leader, Offset::min).max(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leader_epochs_are_compared_as_kip_320_says() {
        let leadership = Leadership { leader: Some(NodeId(1)), leader_epoch: LeaderEpoch(5), isr: vec![NodeId(1)] };
        for (asked, expected) in [
            (-1, Ok(())),
            (5, Ok(())),
            (4, Err(EpochMismatch::Fenced)),
            (-7, Err(EpochMismatch::Fenced)),
            (6, Err(EpochMismatch::Unknown)),
        ] {
            assert_eq!(leadership.check_leader_epoch(asked), expected, "{asked}");
        }
        assert!(leadership.has_enough_in_sync(1) && !leadership.has_enough_in_sync(2));
    }

    #[test]
    fn the_high_watermark_is_the_slowest_in_sync_replica_and_never_regresses() {
        let at = |current, leader, followers: &[i64]| {
            high_watermark(Offset(current), Offset(leader), followers.iter().map(|offset| Offset(*offset))).0
        };
        assert_eq!(at(0, 10, &[]), 10);
        assert_eq!(at(0, 10, &[7, 12]), 7);
        assert_eq!(at(8, 10, &[7]), 8);
    }
}
