//! PURE: who leads a partition, and the rules of leader epochs: which fetches are let in, and where two logs part.

use crate::model::{LeaderEpoch, NodeId, Offset};

/// A partition's leadership as the cluster's metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// `None` while no replica may lead.
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    /// How many replicas the partition has, in sync or not.
    pub replication_factor: usize,
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

    /// Whether `acks=all` may be appended, and the high watermark may move: as many replicas in sync as
    /// `min.insync.replicas` asks for, or all that there are where it asks for more (Kafka's `effectiveMinIsr`).
    pub fn has_enough_in_sync(&self, min_insync_replicas: u32) -> bool {
        self.isr.len() >= self.replication_factor.min(min_insync_replicas as usize)
    }
}

/// How safe a producer wants its records before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// `acks=0`: no answer at all.
    None,
    /// `acks=1`: in the leader's log.
    Leader,
    /// `acks=all` (-1): in the logs of all in-sync replicas.
    All,
}

impl Acks {
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// A leader epoch and the offset after its last record, in one replica's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: LeaderEpoch,
    pub end: Offset,
}

/// What a leader finds out about a replica that fetches from it (KIP-595's way of KIP-101).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// Up to the offset it fetches from, its log is a prefix of the leader's.
    Same,
    /// Its log holds what the leader's does not; the leader's log has this end of that epoch or of the largest one below.
    Diverges(EpochEnd),
    /// The leader's log knows nothing of that epoch.
    OutOfRange,
}

/// Compares the log of who fetches from `fetch_offset`, and has `last_fetched_epoch` before it, with the leader's.
/// `ours` is the leader's answer to OffsetForLeaderEpoch for that epoch.
pub fn lineage(fetch_offset: Offset, last_fetched_epoch: LeaderEpoch, ours: Option<EpochEnd>) -> Lineage {
    match ours {
        None => Lineage::OutOfRange,
        Some(ours) if ours.epoch < last_fetched_epoch || ours.end < fetch_offset => Lineage::Diverges(ours),
        Some(_) => Lineage::Same,
    }
}

/// Where a follower must cut its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    pub to: Offset,
    /// The logs agree from there on. Else the next fetch tells of an older epoch.
    pub is_complete: bool,
}

/// What a follower does about a leader's word on where their logs part: `leaders` is the end, in the leader's log, of
/// the largest epoch up to the follower's last; `ours` is the follower's own answer for `leaders.epoch` (KIP-279: an
/// epoch that only the follower knows is cut whole, and the question asked again).
pub fn truncation(leaders: EpochEnd, ours: Option<EpochEnd>, log_end: Offset) -> Truncation {
    match ours {
        Some(ours) if ours.epoch != leaders.epoch => Truncation { to: ours.end.min(log_end), is_complete: false },
        Some(ours) => Truncation { to: ours.end.min(leaders.end).min(log_end), is_complete: true },
        None => Truncation { to: leaders.end.min(log_end), is_complete: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leadership(replication_factor: usize, isr: &[i32]) -> Leadership {
        let isr = isr.iter().map(|id| NodeId(*id)).collect();
        Leadership { leader: Some(NodeId(1)), leader_epoch: LeaderEpoch(5), replication_factor, isr }
    }

    #[test]
    fn leader_epochs_are_compared_as_kip_320_says() {
        for (asked, expected) in [
            (-1, Ok(())),
            (5, Ok(())),
            (4, Err(EpochMismatch::Fenced)),
            (-7, Err(EpochMismatch::Fenced)),
            (6, Err(EpochMismatch::Unknown)),
        ] {
            assert_eq!(leadership(1, &[1]).check_leader_epoch(asked), expected, "{asked}");
        }
    }

    #[test]
    fn more_in_sync_than_there_are_replicas_is_not_asked_for() {
        for (replicas, isr, min, expected) in [
            (1, &[1][..], 1, true),
            (1, &[1], 2, true),
            (3, &[1], 2, false),
            (3, &[1, 2], 2, true),
            (3, &[1, 2], 5, false),
            (3, &[1, 2, 3], 5, true),
        ] {
            assert_eq!(leadership(replicas, isr).has_enough_in_sync(min), expected, "{replicas} {isr:?} {min}");
        }
    }

    fn end(epoch: i32, end: i64) -> EpochEnd {
        EpochEnd { epoch: LeaderEpoch(epoch), end: Offset(end) }
    }

    #[test]
    fn a_leader_sees_whether_a_log_is_a_prefix_of_its_own() {
        for (fetch_offset, last_epoch, ours, expected) in [
            (10, 3, Some(end(3, 20)), Lineage::Same),
            (20, 3, Some(end(3, 20)), Lineage::Same),
            (21, 3, Some(end(3, 20)), Lineage::Diverges(end(3, 20))),
            (10, 3, Some(end(2, 20)), Lineage::Diverges(end(2, 20))),
            (10, 3, None, Lineage::OutOfRange),
        ] {
            assert_eq!(lineage(Offset(fetch_offset), LeaderEpoch(last_epoch), ours), expected);
        }
    }

    #[test]
    fn a_follower_cuts_where_the_logs_part_and_no_further() {
        for (leaders, ours, log_end, to, is_complete) in [
            // The same epoch ended earlier with the leader.
            (end(3, 20), Some(end(3, 30)), 30, 20, true),
            // The follower has less of that epoch, and more of a later one that the leader never saw.
            (end(3, 20), Some(end(3, 15)), 30, 15, true),
            // The leader's epoch is unknown here: what came after the one before goes, and then ask again.
            (end(3, 20), Some(end(2, 12)), 30, 12, false),
            (end(3, 20), None, 30, 20, true),
            (end(3, 40), None, 30, 30, true),
        ] {
            assert_eq!(truncation(leaders, ours, Offset(log_end)), Truncation { to: Offset(to), is_complete });
        }
    }
}
