//! Followers of a run: they fetch, cut their logs where those part from their leader's, and append.

use super::{
    cluster::{Cluster, index_of},
    mishap::Death,
    node::{Failed, ends},
    oracle::Violation,
};
use crate::{
    log::{Log, ReplicateError},
    model::{LeaderEpoch, NodeId, Offset},
    replica::{EpochEnd, Lineage, Replica, lineage, truncation},
};

impl Cluster {
    /// A follower asks its leader for more: it is told to cut its log, or gets some; and may get into the ISR.
    pub(super) fn fetch(&mut self, at: usize) -> Result<(), Violation> {
        let Some(follower) = self.nodes[at].running.as_ref().filter(|running| !running.replica.is_leader()) else {
            return Ok(());
        };
        let epoch = follower.replica.leader_epoch();
        let Some(from) = follower.replica.leadership().leader.map(index_of) else { return Ok(()) };
        let Some(position) = follower.replica.fetch_position() else { return self.flush(at) };
        let last_epoch = follower.log.latest_epoch();
        let leads = |replica: &Replica| replica.is_leader() && replica.leader_epoch() == epoch;
        let leader = self.nodes[from].running.as_ref().filter(|running| leads(&running.replica));
        // Else it is fenced, or nobody is there, and asks again.
        let Some(leader) = leader else { return Ok(()) };
        if position < leader.log.log_start() {
            let start = leader.log.log_start();
            return self.begin_anew(at, start);
        }
        let relation = last_epoch
            .map_or(Lineage::Same, |last| lineage(position, last, epoch_end(leader.log.epoch_end_offset(last))));
        match relation {
            Lineage::Same if position <= leader.log.log_end() => self.fetch_from(at, from, position),
            Lineage::Diverges(leaders) => self.truncate(at, leaders),
            // It has only a start, all else having been deleted, and its leader has lost what was behind that.
            Lineage::Same | Lineage::OutOfRange if last_epoch.is_none() && position > leader.log.log_end() => {
                let end = leader.log.log_end();
                self.begin_anew(at, end)
            }
            Lineage::Same | Lineage::OutOfRange => {
                let what =
                    format!("{} has {last_epoch:?} before {position}, and {} knows nothing of it", at + 1, from + 1);
                Err(Violation::new("order", what))
            }
        }
    }

    fn truncate(&mut self, at: usize, leaders: EpochEnd) -> Result<(), Violation> {
        let follower = self.nodes[at].running.as_ref().expect("it runs");
        let ours = epoch_end(follower.log.epoch_end_offset(leaders.epoch));
        let truncation = truncation(leaders, ours, follower.log.log_end());
        let what = format!("{truncation:?} of {}", follower.log.log_end());
        self.summary.truncations += 1;
        let result = self.nodes[at].truncate(truncation.to, self.now);
        self.after_cut(at, &what, result)
    }

    /// The leader has none of a follower's records any more.
    fn begin_anew(&mut self, at: usize, start: Offset) -> Result<(), Violation> {
        let result = self.nodes[at].begin_anew(start, self.now);
        self.after_cut(at, &format!("begins anew at {start}"), result)
    }

    fn after_cut(&mut self, at: usize, what: &str, result: Result<(), Failed>) -> Result<(), Violation> {
        let failed = result.is_err();
        if self.nodes[at].cut_compacted {
            self.acknowledged.excuse_compacted();
            self.vanished.excuse_compacted();
        }
        self.after(at, what, result)?;
        if self.nodes[at].running.is_none() {
            return Ok(());
        }
        // A log that could not be cut is not to be used.
        if failed { self.die(at, Death::Killed) } else { Ok(()) }
    }

    /// As [`Cluster::fetch`]. A log that is cut for it may soon have other records in place of those that it lost, and then the
    /// power goes.
    pub(super) fn fetch_on(&mut self, at: usize) -> Result<(), Violation> {
        let before = self.summary.truncations;
        self.fetch(at)?;
        if self.summary.truncations == before || self.random.one_in(2) {
            return Ok(());
        }
        for _ in 0..self.random.between(1, 3) {
            if self.nodes[at].running.is_some() {
                self.fetch(at)?;
            }
        }
        let lives = self.nodes[at].running.is_some() && self.plan.power_losses;
        if lives && self.random.one_in(2) { self.die(at, Death::PowerLost) } else { Ok(()) }
    }

    fn fetch_from(&mut self, at: usize, from: usize, position: Offset) -> Result<(), Violation> {
        let max_bytes = self.random.between(1, 10_000) as usize;
        let leader = self.nodes[from].running.as_ref().expect("it leads");
        let slice = leader.log.read(position, max_bytes, leader.log.log_end(), true);
        let slice = slice.map_err(|error| Violation::new("whole", error.to_string()))?;
        let log_start = leader.log.log_start();
        let (taken_for_safe, before) = (self.nodes[from].taken_for_safe, self.nodes[from].leaders_took_for_safe);
        let leader = self.nodes[from].running.as_mut().expect("it leads");
        leader.replica.note_fetch(NodeId(at as i32 + 1), position);
        let high_watermark = leader.replica.high_watermark();
        self.fetched_in.insert((from, at), self.nodes[at].incarnation);
        self.join(from, at);
        if self.random.one_in(10) {
            self.trace.note(format_args!("{}: the answer to its fetch from {position} is lost", at + 1));
            return Ok(());
        }
        let is_empty = |log: &Log| log.log_start() == log.log_end();
        let has_nothing =
            position <= log_start || self.nodes[at].running.as_ref().is_some_and(|node| is_empty(&node.log));
        if slice.base_offset < position && has_nothing {
            // The log begins in the middle of a batch, of which a follower can only take the whole. What it has is deleted.
            self.begin_anew(at, slice.base_offset)?;
            if self.nodes[at].running.is_none() {
                return Ok(());
            }
        }
        let result = self.nodes[at].follow(&slice.bytes, high_watermark, self.now);
        let end = ends(&self.nodes[at].running.as_ref().expect("it runs").log).log_end;
        let what = format!("fetches {position} to {end} from {}", from + 1);
        match result {
            Ok(()) => {
                self.nodes[at].follow_log_start(log_start);
                let known = &mut self.nodes[at].leaders_took_for_safe;
                *known = (*known).max(taken_for_safe).max(before);
                self.after(at, &what, Ok(()))
            }
            Err(ReplicateError::Log(error)) => self.after(at, &what, Err(error.into())),
            Err(error) => Err(Violation::new("order", format!("{what}: {error}"))),
        }
    }
}

fn epoch_end(found: Option<(LeaderEpoch, Offset)>) -> Option<EpochEnd> {
    found.map(|(epoch, end)| EpochEnd { epoch, end })
}
