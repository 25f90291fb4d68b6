//! The controller of a run: who leads, who is in sync, and who has heard of it.
//!
//! It goes by Kafka's rules: leaders come from the ISR; who comes back after an unclean stop leaves the ISR where anyone else
//! is left in it (KIP-966); an ISR is changed for a leader that knows the present one (KIP-497), and a follower let in only in
//! the incarnation in which it caught up (KIP-903).

use super::{
    cluster::{Cluster, by_offset, check_log, index_of},
    contents,
    oracle::Violation,
};
use crate::{
    model::{LeaderEpoch, NodeId},
    replica::{Became, Leadership},
};

impl Cluster {
    /// The controller hears of a broker that started.
    pub(super) fn register(&mut self, at: usize, is_clean: bool) -> Result<(), Violation> {
        self.unnoticed.retain(|dead| *dead != at);
        let node = self.nodes[at].id;
        if !is_clean && self.truth.isr.contains(&node) {
            if self.truth.isr.len() > 1 {
                self.truth.isr.retain(|id| *id != node);
            } else if let Some(flushed) = self.nodes[at].power_lost.filter(|_| !self.settings.demands.flushes_each) {
                self.trace.note(format_args!("{}: was the last in sync; from {flushed} on is excused", at + 1));
                self.acknowledged.excuse_from(flushed);
                self.vanished.excuse_from(flushed);
                // What it fetched was compacted by what it has then lost.
                if flushed < self.nodes[at].leaders_took_for_safe {
                    self.nodes[at].cut_compacted = true;
                    self.acknowledged.excuse_compacted();
                    self.vanished.excuse_compacted();
                }
            }
        }
        self.version += 1;
        if self.truth.leader.is_none_or(|leader| leader == node) {
            self.elect();
        }
        Ok(())
    }

    /// One of those in sync begins a new epoch, or nobody leads for now.
    pub(super) fn elect(&mut self) {
        let candidates: Vec<NodeId> = self.truth.isr.iter().copied().filter(|id| self.is_up(*id)).collect();
        let leader = (!candidates.is_empty()).then(|| self.random.pick(&candidates));
        if leader.is_none() && self.truth.leader.is_none() {
            return;
        }
        self.truth.leader = leader;
        self.truth.leader_epoch = LeaderEpoch(self.truth.leader_epoch.0 + 1);
        self.version += 1;
        self.summary.epochs = self.truth.leader_epoch.0;
        let Leadership { leader_epoch, isr, .. } = &self.truth;
        self.trace.note(format_args!("controller: {leader:?} leads epoch {leader_epoch}, in sync {isr:?}"));
    }

    fn is_up(&self, id: NodeId) -> bool {
        self.nodes[index_of(id)].running.is_some()
    }

    /// The controller notices a death, or moves the leadership, or takes a replica out of the ISR.
    pub(super) fn controller_steps_in(&mut self, at: usize) -> Result<(), Violation> {
        if let Some(dead) = (!self.unnoticed.is_empty()).then(|| self.unnoticed.remove(0)) {
            self.trace.note(format_args!("controller: {} is gone", dead + 1));
            self.take_out(dead);
            return Ok(());
        }
        if self.random.one_in(2) && self.truth.isr.len() > 1 {
            // A preferred leader election.
            if self.random.one_in(2) {
                self.run_ahead()?;
            }
            self.elect();
            return Ok(());
        }
        // A leader that is up to date finds a follower too slow.
        let leader = self.truth.leader.map(index_of);
        let Some(leader) = leader.filter(|leader| *leader != at && self.heard[*leader] == self.version) else {
            return Ok(());
        };
        let slow = self.nodes[at].id;
        let Some(running) = self.nodes[leader].running.as_mut().filter(|_| self.truth.isr.contains(&slow)) else {
            return Ok(());
        };
        let isr: Vec<NodeId> = self.truth.isr.iter().copied().filter(|id| *id != slow).collect();
        running.replica.propose_isr(isr.clone());
        self.trace.note(format_args!("{}: has {slow} taken out of the ISR", leader + 1));
        self.truth.isr = isr;
        self.version += 1;
        Ok(())
    }

    pub(super) fn take_out(&mut self, at: usize) {
        let node = self.nodes[at].id;
        if self.truth.isr.len() > 1 {
            self.truth.isr.retain(|id| *id != node);
        }
        self.version += 1;
        if self.truth.leader == Some(node) {
            self.elect();
        }
    }

    /// A broker hears of the controller's latest decisions.
    pub(super) fn deliver(&mut self, at: usize) -> Result<(), Violation> {
        if self.heard[at] == self.version {
            return Ok(());
        }
        let Some(running) = self.nodes[at].running.as_mut() else { return Ok(()) };
        self.heard[at] = self.version;
        let became = running.replica.change_leadership(self.truth.clone());
        self.trace.note(format_args!("{}: hears that it is {became:?}", at + 1));
        let Became::Leader { epoch, start } = became else { return Ok(()) };
        running.log.begin_epoch(epoch);
        debug_assert_eq!(start, running.log.log_end());
        let node = &self.nodes[at];
        let running = node.running.as_ref().expect("it was just told");
        let log_start = running.log.log_start();
        let batches = contents::read_all(&running.log)?;
        check_log(node, &running.log, &batches, self.deleted_below)?;
        let log = by_offset(&batches);
        let node = &mut self.nodes[at];
        self.acknowledged.elected(node.id, node.power_lost.take(), &log, log_start)?;
        self.vanished.check(&log, log_start)
    }

    /// A leader asks for a follower to be counted in, if it has caught up; the controller knows in which incarnation it did.
    pub(super) fn join(&mut self, from: usize, at: usize) {
        let id = self.nodes[at].id;
        let is_known = self.heard[from] == self.version;
        let is_same = self.fetched_in.get(&(from, at)) == Some(&self.nodes[at].incarnation);
        let Some(leader) = self.nodes[from].running.as_mut() else { return };
        if !leader.replica.may_join_isr(id) || !is_known || !is_same || self.truth.isr.contains(&id) {
            return;
        }
        let mut isr = self.truth.isr.clone();
        isr.push(id);
        leader.replica.propose_isr(isr.clone());
        self.trace.note(format_args!("{}: has {id} let into the ISR", from + 1));
        self.truth.isr = isr;
        self.version += 1;
        // It has all that is committed, whatever it lost before.
        self.nodes[at].power_lost = None;
    }
}
