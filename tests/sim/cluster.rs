//! One run: a few brokers, their producers and consumers, and a controller, taking one step at a time as the seed says.
//!
//! Each broker hears of the controller's decisions when its turn comes. A leader that has not heard that it is deposed
//! goes on, as in life. What its clients, followers and the controller do is in files of their own.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use super::{
    contents::{self, StoredBatch},
    mishap::{Death, Mishap},
    node::{Failed, Node, Settings},
    oracle::{self, Violation, acknowledged::Acknowledged, high_watermark::HighWatermark, vanished::Vanished},
    random::Random,
    trace::Trace,
    workload::{Producer, RecordId},
};
use crate::{
    log::{Log, LogConfig, LogError},
    model::{LeaderEpoch, NodeId, Offset, Timestamp},
    replica::{Demands, Leadership},
};

/// A run that broke a promise.
#[derive(Debug)]
pub struct Failure {
    pub violation: Violation,
    pub trace: Trace,
}

/// What a run came to, to see that runs come to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub digest: (u64, u64),
    pub records: usize,
    pub acknowledged: usize,
    pub deaths: usize,
    pub epochs: i32,
    pub truncations: usize,
    pub views_used: usize,
    pub expired: usize,
    pub compacted: usize,
}

/// One seed, one run, one trace.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut cluster = Cluster::new(seed);
    let result = panic::catch_unwind(AssertUnwindSafe(|| cluster.run())).unwrap_or_else(|panicked| {
        let text = panicked.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation::new("panic", text.unwrap_or_default()))
    });
    match result {
        Ok(()) => Ok(Summary { digest: cluster.trace.digest(), ..cluster.summary }),
        Err(violation) => Err(Box::new(Failure { violation, trace: cluster.trace })),
    }
}

pub(super) struct Cluster {
    pub(super) random: Random,
    pub(super) trace: Trace,
    pub(super) now: Timestamp,
    pub(super) settings: Settings,
    pub(super) plan: Plan,
    pub(super) nodes: Vec<Node>,
    pub(super) producers: Vec<Producer>,
    /// What the controller knows.
    pub(super) truth: Leadership,
    /// Counts its changes; and which of them each node has heard of last.
    pub(super) version: u32,
    pub(super) heard: Vec<u32>,
    /// Dead brokers that the controller has not noticed, the first to die first.
    pub(super) unnoticed: Vec<usize>,
    /// In which incarnation a follower last fetched from a leader: (leader, follower).
    pub(super) fetched_in: BTreeMap<(usize, usize), u32>,
    pub(super) acknowledged: Acknowledged,
    pub(super) vanished: Vanished,
    pub(super) high_watermark: HighWatermark,
    /// Nobody has deleted anything from here on.
    pub(super) deleted_below: Offset,
    pub(super) summary: Summary,
}

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    steps: u64,
    pub(super) power_losses: bool,
    disk_errors: bool,
    store_errors: bool,
    /// Records are deleted, by clients and by retention.
    deletes: bool,
    /// Only the last record of each key is wanted.
    pub(super) compacts: bool,
    /// One in so many steps is a mishap.
    mishaps: u64,
    /// One in so many requests goes to whoever thinks that it leads, and news of the controller take as long to arrive.
    pub(super) schism: u64,
}

impl Cluster {
    fn new(seed: u64) -> Cluster {
        let mut random = Random::new(seed);
        let count = random.pick(&[1, 1, 2, 3, 3]);
        let flushes_each = random.one_in(2);
        let (deletes, compacts) = (random.one_in(3), random.one_in(3));
        let settings = Settings {
            log: LogConfig {
                segment_bytes: if random.one_in(2) {
                    random.between(1_200, 4_000)
                } else {
                    random.between(4_000, 20_000)
                },
                index_interval_bytes: random.between(60, 1_000),
                deletes,
                compacts,
                delete_retention_ms: random.pick(&[0, 100, 1_000]),
                min_compaction_lag_ms: random.pick(&[0, 0, 200]),
                retention_ms: random.pick(&[-1, 300, 1_000, 4_000]),
                retention_bytes: random.pick(&[-1, 4_000, 20_000]),
                flush_messages: if flushes_each { 1 } else { i64::MAX as u64 },
                ..LogConfig::default()
            },
            demands: Demands { flushes_each, min_insync_replicas: random.between(1, count as u64) as u32 },
        };
        let plan = Plan {
            steps: random.between(60, 200) * count as u64,
            power_losses: !random.one_in(4),
            disk_errors: random.one_in(2),
            store_errors: random.one_in(4),
            deletes,
            compacts,
            mishaps: random.between(10, 60),
            schism: random.pick(&[2, 4, 12]),
        };
        let nodes: Vec<Node> = (0..count).map(|at| Node::new(NodeId(at as i32 + 1), random.next())).collect();
        let producers =
            (0..random.between(1, 4)).map(|index| Producer::new(index as u8, compacts, &mut random)).collect();
        let truth = Leadership {
            leader: None,
            leader_epoch: LeaderEpoch(0),
            replication_factor: count,
            isr: nodes.iter().map(|node| node.id).collect(),
        };
        let mut trace = Trace::default();
        trace.note(format_args!("{count} replicas, {settings:?}, {plan:?}"));
        Cluster {
            random,
            trace,
            now: Timestamp(1_700_000_000_000),
            settings,
            plan,
            heard: vec![0; nodes.len()],
            nodes,
            producers,
            truth,
            version: 1,
            unnoticed: Vec::new(),
            fetched_in: BTreeMap::new(),
            acknowledged: Acknowledged::new(compacts),
            vanished: Vanished::new(compacts),
            high_watermark: HighWatermark::default(),
            deleted_below: Offset::ZERO,
            summary: Summary::default(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        for at in 0..self.nodes.len() {
            self.start(at, None)?;
        }
        for _ in 0..self.plan.steps {
            self.now = Timestamp(self.now.0 + self.random.between(1, 50) as i64);
            let version = self.version;
            self.step()?;
            // News travel fast, as a rule.
            if self.version != version && !self.random.one_in(self.plan.schism) {
                (0..self.nodes.len()).try_for_each(|at| self.deliver(at))?;
            }
            self.settle()?;
        }
        self.heal()
    }

    fn step(&mut self) -> Result<(), Violation> {
        let at = self.random.index(self.nodes.len());
        if self.random.one_in(self.plan.mishaps) {
            return self.mishap(at);
        }
        let is_running = self.nodes[at].running.is_some();
        if self.plan.deletes && is_running && self.random.one_in(15) {
            return self.delete(at);
        }
        if self.plan.compacts && is_running && self.random.one_in(15) {
            return self.compact(at);
        }
        match self.random.below(100) {
            0..28 => self.produce(),
            28..34 if is_running => self.flush(at),
            34..36 if is_running => {
                let synced = self.random.one_in(3);
                self.store_scalars(at, synced);
                Ok(())
            }
            36..41 if is_running => self.apply_view(at),
            41..46 if is_running => self.consume(at),
            46..50 if is_running => self.roll(at),
            50..51 if is_running => self.stop(at),
            51..62 if self.plan.schism > 2 || self.random.one_in(3) => self.deliver(at),
            62..66 => self.controller_steps_in(at),
            28..74 if !is_running => {
                let interrupted = self.random.one_in(3).then(|| self.random.below(20));
                self.start(at, interrupted)
            }
            74..100 if self.nodes.len() > 1 => self.fetch_on(at),
            _ => Ok(()),
        }
    }

    /// Something goes wrong now, or soon.
    fn mishap(&mut self, at: usize) -> Result<(), Violation> {
        let death = if self.plan.power_losses && self.random.one_in(2) { Death::PowerLost } else { Death::Killed };
        match self.random.below(4) {
            0 | 1 => self.die(at, death),
            2 if self.plan.store_errors => {
                let fails = self.nodes[at].toggle_store();
                self.trace.note(format_args!("{}: its store fails ({fails})", at + 1));
                Ok(())
            }
            _ => {
                let mishap = Mishap::any(&mut self.random, self.plan.power_losses, self.plan.disk_errors);
                self.trace.note(format_args!("{}: {mishap:?} in store", at + 1));
                self.nodes[at].arm(mishap, &mut self.random);
                Ok(())
            }
        }
    }

    pub(super) fn die(&mut self, at: usize, death: Death) -> Result<(), Violation> {
        let was_running = self.nodes[at].running.is_some();
        if was_running {
            self.nodes[at].is_clean = false;
        }
        self.nodes[at].die(death, &mut self.random);
        self.trace.note(format_args!("{}: {death:?}", at + 1));
        self.summary.deaths += 1;
        if was_running && !self.unnoticed.contains(&at) {
            self.unnoticed.push(at);
        }
        Ok(())
    }

    /// After an operation: whether the process lived through it.
    pub(super) fn after(&mut self, at: usize, what: &str, result: Result<(), Failed>) -> Result<(), Violation> {
        if let Some(death) = self.nodes[at].happened.death() {
            self.trace.note(format_args!("{}: {what}, and dies in it", at + 1));
            return self.die(at, death);
        }
        match result {
            Ok(()) => self.trace.note(format_args!("{}: {what}", at + 1)),
            // Its path may hold a number that counts over all runs.
            Err(Failed::Disk(LogError::Io { action, source, .. })) => {
                self.trace.note(format_args!("{}: {what} fails: cannot {action}: {source}", at + 1));
            }
            Err(Failed::Store(error)) => self.trace.note(format_args!("{}: {what} fails: {error}", at + 1)),
            Err(Failed::Disk(error)) => self.trace.note(format_args!("{}: {what} fails: {error}", at + 1)),
            Err(Failed::Broken(violation)) => return Err(violation),
        }
        let is_out_of_use = |node: &Node| node.running.as_ref().is_some_and(|running| running.log.is_out_of_use());
        if is_out_of_use(&self.nodes[at]) {
            self.trace.note(format_args!("{}: its log is out of use", at + 1));
            return self.die(at, Death::Killed);
        }
        Ok(())
    }

    fn start(&mut self, at: usize, interrupted: Option<u64>) -> Result<(), Violation> {
        let (settings, now, epochs) = (self.settings.clone(), self.now, self.truth.leader_epoch);
        let is_clean = self.nodes[at].is_clean;
        let interrupted = match interrupted {
            Some(after) => Some((after, &mut self.random)),
            None => None,
        };
        let result = self.nodes[at].start(&settings, now, epochs, interrupted);
        let started = result.is_ok() && !self.nodes[at].happened.died();
        self.heard[at] = 0;
        self.after(at, "starts", result)?;
        if !started {
            // It did not come up; what there is of it is gone.
            return if self.nodes[at].running.is_some() { self.die(at, Death::Killed) } else { self.die_again(at) };
        }
        let running = self.nodes[at].running.as_ref().expect("it started");
        let (log_end, hw) = (running.log.log_end(), running.replica.high_watermark());
        self.summary.views_used += usize::from(running.view.position.offset > Offset::ZERO);
        let (start, bases) = (running.log.log_start(), running.log.segment_bases());
        let bases: Vec<i64> = bases.iter().map(|base| base.0).collect();
        self.trace.note(format_args!("{}: has {start} to {log_end} in {bases:?}, high watermark {hw}", at + 1));
        let batches = contents::read_all(&running.log)?;
        check_log(&self.nodes[at], &running.log, &batches, self.deleted_below)?;
        self.nodes[at].check_view()?;
        oracle::log_start::check(&running.log, self.nodes[at].promised_start, self.deleted_below)?;
        self.register(at, is_clean)
    }

    /// A start that failed leaves a process that did nothing more.
    fn die_again(&mut self, at: usize) -> Result<(), Violation> {
        self.nodes[at].is_clean = false;
        let death = self.nodes[at].happened.death().unwrap_or(Death::Killed);
        self.nodes[at].die(death, &mut self.random);
        self.trace.note(format_args!("{}: did not start, {death:?}", at + 1));
        Ok(())
    }

    pub(super) fn flush(&mut self, at: usize) -> Result<(), Violation> {
        if self.nodes[at].running.is_none() {
            return Ok(());
        }
        let result = self.nodes[at].flush();
        self.after(at, "flushes", result.map_err(Failed::Disk))?;
        // The flusher does so once a segment, whenever that is.
        if self.random.one_in(2) {
            let synced = self.random.one_in(3);
            self.store_scalars(at, synced);
        }
        Ok(())
    }

    pub(super) fn store_scalars(&mut self, at: usize, synced: bool) {
        if self.nodes[at].running.is_some() {
            self.trace.note(format_args!("{}: stores its scalars (synced {synced})", at + 1));
            self.nodes[at].store_scalars(synced);
        }
    }

    pub(super) fn roll(&mut self, at: usize) -> Result<(), Violation> {
        let running = self.nodes[at].running.as_ref().expect("it runs");
        let result = running.log.roll_now(self.now);
        self.after(at, "rolls", result.map_err(Failed::Disk))
    }

    fn apply_view(&mut self, at: usize) -> Result<(), Violation> {
        let (max_bytes, synced) = (self.random.between(1, 4000) as usize, self.random.one_in(4));
        if !self.can_read(at) {
            return Ok(());
        }
        self.nodes[at].apply_view(max_bytes, synced)?;
        let position = self.nodes[at].running.as_ref().expect("it runs").view.position;
        self.trace.note(format_args!("{}: its view is at {} (synced {synced})", at + 1, position.offset));
        Ok(())
    }

    /// A mishap in store may come with the next call: then nothing is read.
    pub(super) fn can_read(&self, at: usize) -> bool {
        !self.nodes[at].happened.died()
    }

    fn stop(&mut self, at: usize) -> Result<(), Violation> {
        let is_clean = self.nodes[at].stop();
        self.trace.note(format_args!("{}: is stopped, cleanly {is_clean}", at + 1));
        if !is_clean {
            let death = self.nodes[at].happened.death().unwrap_or(Death::Killed);
            self.nodes[at].is_clean = false;
            self.nodes[at].die(death, &mut self.random);
            self.summary.deaths += 1;
            self.unnoticed.push(at);
            return Ok(());
        }
        // It has told the controller.
        self.take_out(at);
        Ok(())
    }

    /// All faults end. Then the cluster serves: everyone comes back and in sync, every producer is answered, and all logs
    /// are the same.
    fn heal(&mut self) -> Result<(), Violation> {
        self.trace.note(format_args!("all faults end"));
        for at in 0..self.nodes.len() {
            self.nodes[at].disarm();
        }
        for _ in 0..400 {
            self.now = Timestamp(self.now.0 + 10);
            for at in 0..self.nodes.len() {
                if self.nodes[at].running.is_none() {
                    self.start(at, None)?;
                }
                self.deliver(at)?;
                self.flush(at)?;
                self.fetch(at)?;
                self.settle()?;
            }
            let waits = |producer: &Producer| !producer.in_flight.is_empty();
            if self.producers.iter().any(waits) {
                self.finish_producers()?;
            } else if self.are_all_the_same() {
                return self.check_all_the_same();
            }
        }
        Err(Violation::new("serves", "no faults any more, and it does not come to rest"))
    }

    fn are_all_the_same(&self) -> bool {
        let all_in_sync = self.truth.isr.len() == self.nodes.len();
        let ends = self.nodes.iter().filter_map(|node| node.running.as_ref());
        let ends: Vec<(Offset, Offset)> =
            ends.map(|running| (running.log.log_end(), running.replica.high_watermark())).collect();
        let first = ends.first().copied().unwrap_or_default();
        all_in_sync && ends.len() == self.nodes.len() && ends.iter().all(|end| *end == first) && first.0 == first.1
    }

    fn check_all_the_same(&self) -> Result<(), Violation> {
        let mut logs = Vec::new();
        for node in &self.nodes {
            let log = &node.running.as_ref().expect("all run").log;
            let batches = contents::read_all(log)?;
            check_log(node, log, &batches, self.deleted_below)?;
            logs.push(batches);
        }
        // Each deletes for itself.
        let starts = self.nodes.iter().filter_map(|node| node.running.as_ref().map(|running| running.log.log_start()));
        let start = starts.max().unwrap_or_default();
        for log in &mut logs {
            log.retain(|batch| batch.last_offset >= start);
        }
        for (at, log) in logs.iter().enumerate() {
            if *log != logs[0] && !self.plan.compacts {
                let differs = log.iter().zip(&logs[0]).find(|(one, other)| one != other);
                return Err(Violation::new("agreement", format!("replicas 1 and {} differ: {differs:?}", at + 1)));
            }
        }
        for log in logs {
            let log = by_offset(&log);
            self.acknowledged.check(&log, start)?;
            self.vanished.check(&log, start)?;
        }
        Ok(())
    }
}

/// All that holds of any replica's log, whose batches these are.
pub(super) fn check_log(
    node: &Node,
    log: &Log,
    batches: &[StoredBatch],
    deleted_below: Offset,
) -> Result<(), Violation> {
    let compacts = log.config().compacts;
    oracle::order::check(batches, compacts, deleted_below)?;
    oracle::duplicates::check(batches, deleted_below)?;
    if !node.cut_compacted {
        oracle::producers::check(log, batches, compacts)?;
    }
    oracle::indexes::check(log, batches)
}

pub(super) fn index_of(id: NodeId) -> usize {
    id.0 as usize - 1
}

pub(super) fn by_offset(batches: &[StoredBatch]) -> BTreeMap<Offset, RecordId> {
    batches.iter().flat_map(StoredBatch::offsets).collect()
}
