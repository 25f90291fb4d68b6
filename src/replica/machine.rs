//! PURE: one replica of a partition. What it knows of its own log and, while it leads, of its followers' logs; from
//! that, what may be read, what may be acknowledged, what may be materialized, and who is in sync.
//!
//! ```text
//!   leader       |=============|========|---------|      high watermark: the least of the maximal ISR, where the
//!                        high watermark     log end      leader counts at `flushed` under flush.messages=1
//!   in sync      |======================|
//!   not in sync  |=======|
//! ```
//!
//! The rules are those of Kafka's `Partition` (KIP-101, KIP-207, KIP-497, KIP-966). The bytes, the locks and who waits are
//! the runtime's: [`super::Partition`] and, over a simulated disk, the simulation.

use super::rules::{Acks, Leadership};
use crate::model::{LeaderEpoch, NodeId, Offset};

/// What a topic's settings ask of its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// `flush.messages=1`: nothing counts as there before it is on the disk.
    pub flushes_each: bool,
    /// `min.insync.replicas`
    pub min_insync_replicas: u32,
}

/// Where a replica's own log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnds {
    pub log_end: Offset,
    /// Offsets below survive a power loss. At most `log_end`.
    pub flushed: Offset,
}

/// What has to happen before a producer may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The leader's own log is on disk up to here.
    Flush(Offset),
    /// The high watermark reaches this.
    Commit(Offset),
}

/// What a change of leadership asks the runtime to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// This replica leads now: its log notes that the epoch begins here, before anything is appended.
    Leader { epoch: LeaderEpoch, start: Offset },
    /// It follows now, or waits for a leader: no append of a client is taken, and those that wait are told.
    Follower,
    /// Nothing but the ISR may have changed, or the news is old.
    Unchanged,
}

/// See the module's documentation.
///
/// Invariants: `flushed <= log_end` and `high_watermark <= log_end`; within a leader epoch in which this replica leads,
/// the high watermark never goes back.
#[derive(Debug, Clone)]
pub struct Replica {
    node: NodeId,
    demands: Demands,
    ends: LogEnds,
    high_watermark: Offset,
    leadership: Leadership,
    /// An ISR that was asked for and not answered yet (KIP-497).
    proposed_isr: Option<Vec<NodeId>>,
    /// While this replica leads: where its epoch begins, and how far the others have come in it.
    epoch_start: Offset,
    positions: Vec<(NodeId, Offset)>,
}

impl Replica {
    /// A replica whose log was opened. It leads nothing until it is told to. `high_watermark` is what was stored of it,
    /// which may be old, and beyond a tail that was lost.
    pub fn new(node: NodeId, demands: Demands, log_start: Offset, ends: LogEnds, high_watermark: Offset) -> Replica {
        debug_assert!(ends.flushed <= ends.log_end && log_start <= ends.log_end);
        Replica {
            node,
            demands,
            ends,
            high_watermark: high_watermark.max(log_start).min(ends.log_end),
            leadership: Leadership {
                leader: None,
                leader_epoch: LeaderEpoch::NONE,
                replication_factor: 0,
                isr: Vec::new(),
            },
            proposed_isr: None,
            epoch_start: ends.log_end,
            positions: Vec::new(),
        }
    }

    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    pub fn is_leader(&self) -> bool {
        self.leadership.is_led_by(self.node)
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leadership.leader_epoch
    }

    /// What consumers may read ends here.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub fn ends(&self) -> LogEnds {
        self.ends
    }

    /// What may be applied to a view that is stored with its position ends here: below, nothing is taken back, neither by
    /// another leader nor by a power loss.
    pub fn materializable(&self) -> Offset {
        self.high_watermark.min(self.ends.flushed)
    }

    /// Follows the cluster's metadata. Old news is ignored.
    pub fn change_leadership(&mut self, leadership: Leadership) -> Became {
        let known = self.leadership.leader_epoch;
        if leadership.leader_epoch < known {
            return Became::Unchanged;
        }
        let is_new_epoch = leadership.leader_epoch > known;
        self.leadership = leadership;
        self.proposed_isr = None;
        if !is_new_epoch {
            self.advance();
            return Became::Unchanged;
        }
        self.positions.clear();
        if !self.is_leader() {
            return Became::Follower;
        }
        self.epoch_start = self.ends.log_end;
        self.advance();
        Became::Leader { epoch: self.leadership.leader_epoch, start: self.epoch_start }
    }

    /// Takes effect at once; true where the high watermark moves.
    pub fn set_demands(&mut self, demands: Demands) -> bool {
        self.demands = demands;
        self.advance()
    }

    /// The log has grown, or more of it is on disk; true where the high watermark moves.
    pub fn note_log(&mut self, ends: LogEnds) -> bool {
        debug_assert!(ends.flushed <= ends.log_end && ends.log_end >= self.ends.log_end, "{ends:?} {self:?}");
        self.ends = ends;
        self.advance()
    }

    /// The log was opened again, and may have lost records since: its disk failed in between.
    pub fn note_reopened(&mut self, log_start: Offset, ends: LogEnds) {
        debug_assert!(ends.flushed <= ends.log_end && log_start <= ends.log_end);
        self.ends = ends;
        self.high_watermark = self.high_watermark.max(log_start).min(ends.log_end);
        self.epoch_start = self.epoch_start.min(ends.log_end);
        self.advance();
    }

    /// Whether a leader may append for a producer that wants `acks`.
    pub fn takes(&self, acks: Acks) -> bool {
        self.is_leader() && (acks != Acks::All || self.leadership.has_enough_in_sync(self.demands.min_insync_replicas))
    }

    /// What a producer whose batch ends before `end` must wait for; `None` where it can be answered now.
    pub fn awaited(&self, acks: Acks, end: Offset) -> Option<Awaited> {
        let awaited = match acks {
            Acks::All => Awaited::Commit(end),
            Acks::Leader | Acks::None if self.demands.flushes_each => Awaited::Flush(end),
            Acks::Leader | Acks::None => return None,
        };
        (!self.has(awaited)).then_some(awaited)
    }

    pub fn has(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Flush(end) => self.ends.flushed >= end,
            Awaited::Commit(end) => self.high_watermark >= end,
        }
    }

    /// A follower fetches from `offset`: so far its log is the leader's, and safe. True where the high watermark moves.
    /// To be called where the follower's epoch is this leader's and its log was found to be a prefix.
    pub fn note_fetch(&mut self, follower: NodeId, offset: Offset) -> bool {
        debug_assert!(self.is_leader() && offset <= self.ends.log_end);
        match self.positions.iter_mut().find(|(node, _)| *node == follower) {
            Some((_, position)) => *position = offset,
            None => self.positions.push((follower, offset)),
        }
        self.advance()
    }

    /// Whether a follower has all that is committed, and something of this epoch's, and so may be counted as in sync.
    pub fn may_join_isr(&self, follower: NodeId) -> bool {
        self.is_leader()
            && !self.leadership.isr.contains(&follower)
            && self.position(follower).is_some_and(|at| at >= self.high_watermark && at >= self.epoch_start)
    }

    /// The leader asks for another ISR. Until it is answered, the high watermark heeds who is in either.
    pub fn propose_isr(&mut self, isr: Vec<NodeId>) {
        self.proposed_isr = Some(isr);
    }

    /// Where a follower may fetch from, which tells the leader that all before is safe here; `None` where it has to be
    /// flushed first.
    pub fn fetch_position(&self) -> Option<Offset> {
        (!self.demands.flushes_each || self.ends.flushed == self.ends.log_end).then_some(self.ends.log_end)
    }

    /// A follower has cut its log.
    pub fn note_truncation(&mut self, ends: LogEnds) {
        debug_assert!(!self.is_leader() && ends.flushed <= ends.log_end);
        self.ends = ends;
        self.high_watermark = self.high_watermark.min(ends.log_end);
    }

    /// A follower has appended what it fetched, and was told the leader's high watermark. True where its own moves.
    pub fn note_followed(&mut self, ends: LogEnds, leaders_high_watermark: Offset) -> bool {
        debug_assert!(!self.is_leader() && ends.flushed <= ends.log_end);
        self.ends = ends;
        self.raise(leaders_high_watermark.min(ends.log_end))
    }

    /// Raises a leader's high watermark to what every replica of the maximal ISR has. It stays where too few are in sync.
    fn advance(&mut self) -> bool {
        if !self.is_leader() || !self.leadership.has_enough_in_sync(self.demands.min_insync_replicas) {
            return false;
        }
        let own = if self.demands.flushes_each { self.ends.flushed } else { self.ends.log_end };
        let others = self.leadership.isr.iter().chain(self.proposed_isr.iter().flatten());
        let others = others.filter(|node| **node != self.node);
        // Who has not fetched in this epoch may have anything.
        let least = others.map(|node| self.position(*node).unwrap_or(Offset::ZERO)).fold(own, Offset::min);
        self.raise(least)
    }

    fn raise(&mut self, to: Offset) -> bool {
        debug_assert!(to <= self.ends.log_end);
        let moves = to > self.high_watermark;
        self.high_watermark = self.high_watermark.max(to);
        moves
    }

    fn position(&self, follower: NodeId) -> Option<Offset> {
        self.positions.iter().find(|(node, _)| *node == follower).map(|(_, offset)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);
    const THREE: NodeId = NodeId(3);

    fn ends(log_end: i64, flushed: i64) -> LogEnds {
        LogEnds { log_end: Offset(log_end), flushed: Offset(flushed) }
    }

    fn demands(flushes_each: bool, min_insync_replicas: u32) -> Demands {
        Demands { flushes_each, min_insync_replicas }
    }

    fn led_by(leader: NodeId, epoch: i32, isr: &[NodeId]) -> Leadership {
        let leader_epoch = LeaderEpoch(epoch);
        Leadership { leader: Some(leader), leader_epoch, replication_factor: 3, isr: isr.to_vec() }
    }

    /// Node 1 with a log of 10 records, all on disk, that leads epoch 1.
    fn leader(demands: Demands, isr: &[NodeId]) -> Replica {
        let mut replica = Replica::new(ONE, demands, Offset::ZERO, ends(10, 10), Offset(4));
        let became = replica.change_leadership(led_by(ONE, 1, isr));
        assert_eq!(became, Became::Leader { epoch: LeaderEpoch(1), start: Offset(10) });
        replica
    }

    #[test]
    fn a_stored_high_watermark_is_kept_within_the_log() {
        for (log_start, stored, expected) in [(0, 4, 4), (6, 4, 6), (0, 40, 10)] {
            let replica = Replica::new(ONE, demands(false, 1), Offset(log_start), ends(10, 10), Offset(stored));
            assert_eq!(replica.high_watermark(), Offset(expected));
        }
    }

    #[test]
    fn a_sole_in_sync_replica_commits_what_it_has() {
        let mut replica = leader(demands(false, 1), &[ONE]);
        assert_eq!(replica.high_watermark(), Offset(10));
        assert!(replica.note_log(ends(12, 10)));
        assert_eq!(replica.awaited(Acks::All, Offset(12)), None);
        assert_eq!(replica.materializable(), Offset(10), "a power loss could take the rest");
    }

    #[test]
    fn under_flush_messages_1_the_leader_counts_at_what_is_on_disk() {
        let mut replica = leader(demands(true, 1), &[ONE]);
        assert!(!replica.note_log(ends(12, 10)));
        assert_eq!(replica.awaited(Acks::All, Offset(12)), Some(Awaited::Commit(Offset(12))));
        assert_eq!(replica.awaited(Acks::Leader, Offset(12)), Some(Awaited::Flush(Offset(12))));
        assert!(replica.note_log(ends(12, 12)));
        assert_eq!((replica.awaited(Acks::All, Offset(12)), replica.awaited(Acks::Leader, Offset(12))), (None, None));
        assert!(!replica.note_log(ends(14, 12)));
        assert!(replica.set_demands(demands(false, 1)), "it is told to wait no longer");
        assert_eq!(replica.high_watermark(), Offset(14));
    }

    #[test]
    fn the_slowest_of_the_maximal_isr_holds_the_high_watermark() {
        let mut replica = leader(demands(false, 1), &[ONE, TWO]);
        assert_eq!(replica.high_watermark(), Offset(4), "nobody knows yet what 2 has");
        replica.note_log(ends(20, 10));
        assert!(replica.note_fetch(TWO, Offset(15)));
        assert_eq!(replica.high_watermark(), Offset(15));
        assert!(!replica.note_fetch(TWO, Offset(12)), "2 came back with less; what was committed stays so");
        assert_eq!(replica.high_watermark(), Offset(15));
        assert_eq!(replica.awaited(Acks::Leader, Offset(20)), None);
        assert_eq!(replica.awaited(Acks::All, Offset(20)), Some(Awaited::Commit(Offset(20))));

        // 3 may join once it has what is committed; from the moment that is asked for it counts.
        assert!(!replica.note_fetch(THREE, Offset(14)) && !replica.may_join_isr(THREE));
        replica.note_fetch(THREE, Offset(16));
        assert!(replica.may_join_isr(THREE));
        replica.propose_isr(vec![ONE, TWO, THREE]);
        assert!(replica.note_fetch(TWO, Offset(20)));
        assert_eq!(replica.high_watermark(), Offset(16));
        // The answer may be another: 2 and 3 are out.
        assert_eq!(replica.change_leadership(led_by(ONE, 1, &[ONE])), Became::Unchanged);
        assert_eq!(replica.high_watermark(), Offset(20));
    }

    #[test]
    fn nothing_is_committed_while_too_few_are_in_sync() {
        let mut replica = leader(demands(false, 2), &[ONE]);
        assert!(!replica.takes(Acks::All) && replica.takes(Acks::Leader));
        assert!(!replica.note_log(ends(20, 10)));
        assert_eq!(replica.high_watermark(), Offset(4));
        replica.note_fetch(TWO, Offset(20));
        replica.change_leadership(led_by(ONE, 1, &[ONE, TWO]));
        assert!(replica.takes(Acks::All));
        assert_eq!(replica.high_watermark(), Offset(20));
    }

    #[test]
    fn a_follower_joins_only_with_something_of_this_epoch() {
        let mut replica = leader(demands(false, 1), &[ONE, TWO]);
        replica.note_fetch(THREE, Offset(9));
        assert!(!replica.may_join_isr(THREE), "the high watermark is 4, but the epoch begins at 10");
        replica.note_fetch(THREE, Offset(10));
        assert!(replica.may_join_isr(THREE) && !replica.may_join_isr(TWO));
    }

    #[test]
    fn a_follower_goes_by_its_leader() {
        let mut replica = Replica::new(ONE, demands(true, 1), Offset::ZERO, ends(10, 10), Offset(8));
        assert_eq!(replica.change_leadership(led_by(TWO, 3, &[ONE, TWO])), Became::Follower);
        assert!(!replica.takes(Acks::Leader));
        replica.note_truncation(ends(7, 7));
        assert_eq!((replica.high_watermark(), replica.fetch_position()), (Offset(7), Some(Offset(7))));
        assert!(replica.note_followed(ends(12, 7), Offset(11)));
        assert_eq!((replica.high_watermark(), replica.materializable()), (Offset(11), Offset(7)));
        assert_eq!(replica.fetch_position(), None, "to fetch from 12 would say that 11 is safe");
        assert!(!replica.note_followed(ends(12, 12), Offset(9)));
        assert_eq!((replica.high_watermark(), replica.fetch_position()), (Offset(11), Some(Offset(12))));
        // Old news; then it leads, and what the others have is unknown again.
        assert_eq!(replica.change_leadership(led_by(ONE, 2, &[ONE])), Became::Unchanged);
        let became = replica.change_leadership(led_by(ONE, 4, &[ONE, TWO]));
        assert_eq!(became, Became::Leader { epoch: LeaderEpoch(4), start: Offset(12) });
        assert_eq!(replica.high_watermark(), Offset(11));
    }
}
