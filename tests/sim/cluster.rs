//! One run: a few brokers, their producers and consumers, and a controller, taking one step at a time as the seed says.
//!
//! The controller is as simple as its promises are: one truth about who leads and who is in sync, told to each broker
//! whenever its turn comes. A leader that has not heard that it is deposed goes on, as in life.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
};

use super::{
    contents::{self, StoredBatch},
    mishap::{Death, Mishap},
    node::{Failed, Node, Settings, ends},
    oracle::{self, Violation, acknowledged::Acknowledged, high_watermark::HighWatermark, vanished::Vanished},
    random::Random,
    trace::Trace,
    workload::{Fate, Producer, RecordId},
};
use crate::{
    log::{AppendError, LogConfig, LogError, ReplicateError, producers::ProducerError},
    model::{LeaderEpoch, NodeId, Offset, Timestamp},
    replica::{Acks, Became, Demands, EpochEnd, Leadership, Lineage, lineage, truncation},
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

struct Cluster {
    random: Random,
    trace: Trace,
    now: Timestamp,
    settings: Settings,
    plan: Plan,
    nodes: Vec<Node>,
    producers: Vec<Producer>,
    /// What the controller knows.
    truth: Leadership,
    /// Counts its changes; and which of them each node has heard of last.
    version: u32,
    heard: Vec<u32>,
    /// Dead brokers that the controller has not noticed, the first to die first.
    unnoticed: Vec<usize>,
    /// In which incarnation a follower last fetched from a leader: (leader, follower).
    fetched_in: BTreeMap<(usize, usize), u32>,
    acknowledged: Acknowledged,
    vanished: Vanished,
    high_watermark: HighWatermark,
    summary: Summary,
}

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    steps: u64,
    power_losses: bool,
    disk_errors: bool,
    /// One in so many steps is a mishap.
    mishaps: u64,
    /// One in so many requests goes to whoever thinks that it leads, and news of the controller take as long to arrive.
    schism: u64,
}

impl Cluster {
    fn new(seed: u64) -> Cluster {
        let mut random = Random::new(seed);
        let count = random.pick(&[1, 1, 2, 3, 3]);
        let flushes_each = random.one_in(2);
        let settings = Settings {
            log: LogConfig {
                segment_bytes: if random.one_in(2) {
                    random.between(1_200, 4_000)
                } else {
                    random.between(4_000, 20_000)
                },
                index_interval_bytes: random.between(60, 1_000),
                flush_messages: if flushes_each { 1 } else { i64::MAX as u64 },
                ..LogConfig::default()
            },
            demands: Demands { flushes_each, min_insync_replicas: random.between(1, count as u64) as u32 },
        };
        let plan = Plan {
            steps: random.between(60, 200) * count as u64,
            power_losses: !random.one_in(4),
            disk_errors: random.one_in(2),
            mishaps: random.between(10, 60),
            schism: random.pick(&[2, 4, 12]),
        };
        let nodes: Vec<Node> = (0..count).map(|at| Node::new(NodeId(at as i32 + 1), random.next())).collect();
        let producers = (0..random.between(1, 4)).map(|index| Producer::new(index as u8, &mut random)).collect();
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
            acknowledged: Acknowledged::default(),
            vanished: Vanished::default(),
            high_watermark: HighWatermark::default(),
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
        match self.random.below(100) {
            0..28 => self.produce(),
            28..34 if is_running => self.flush(at),
            34..36 if is_running => {
                self.store_scalars(at);
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
            74..100 if self.nodes.len() > 1 => self.fetch(at),
            _ => Ok(()),
        }
    }

    /// Something goes wrong now, or soon.
    fn mishap(&mut self, at: usize) -> Result<(), Violation> {
        let death = if self.plan.power_losses && self.random.one_in(2) { Death::PowerLost } else { Death::Killed };
        match self.random.below(4) {
            0 | 1 => self.die(at, death),
            _ => {
                let mishap = Mishap::any(&mut self.random, self.plan.power_losses, self.plan.disk_errors);
                self.trace.note(format_args!("{}: {mishap:?} in store", at + 1));
                self.nodes[at].arm(mishap, &mut self.random);
                Ok(())
            }
        }
    }

    fn die(&mut self, at: usize, death: Death) -> Result<(), Violation> {
        let was_running = self.nodes[at].running.is_some();
        if was_running {
            self.nodes[at].is_clean = false;
        }
        let death = self.nodes[at].die(death, &mut self.random);
        self.trace.note(format_args!("{}: {death:?}", at + 1));
        self.summary.deaths += 1;
        if was_running && !self.unnoticed.contains(&at) {
            self.unnoticed.push(at);
        }
        Ok(())
    }

    /// After an operation: whether the process lived through it.
    fn after(&mut self, at: usize, what: &str, result: Result<(), Failed>) -> Result<(), Violation> {
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
        self.trace.note(format_args!("{}: has {log_end} records, high watermark {hw}", at + 1));
        let batches = contents::read_all(&running.log)?;
        oracle::view::check(&running.view, &batches)?;
        self.check_log(&batches)?;
        self.register(at, is_clean)
    }

    /// A start that failed leaves a process that did nothing more.
    fn die_again(&mut self, at: usize) -> Result<(), Violation> {
        self.nodes[at].is_clean = false;
        let death = self.nodes[at].happened.death().unwrap_or(Death::Killed);
        let death = self.nodes[at].die(death, &mut self.random);
        self.trace.note(format_args!("{}: did not start, {death:?}", at + 1));
        Ok(())
    }

    /// The controller hears of a broker that started.
    fn register(&mut self, at: usize, is_clean: bool) -> Result<(), Violation> {
        self.unnoticed.retain(|dead| *dead != at);
        let node = self.nodes[at].id;
        if !is_clean && self.truth.isr.contains(&node) {
            if self.truth.isr.len() > 1 {
                self.truth.isr.retain(|id| *id != node);
            } else if let Some(flushed) = self.nodes[at].power_lost.filter(|_| !self.settings.demands.flushes_each) {
                self.trace.note(format_args!("{}: was the last in sync; from {flushed} on is excused", at + 1));
                self.acknowledged.excuse_from(flushed);
                self.vanished.excuse_from(flushed);
            }
        }
        self.version += 1;
        if self.truth.leader.is_none_or(|leader| leader == node) {
            self.elect();
        }
        Ok(())
    }

    /// One of those in sync begins a new epoch, or nobody leads for now.
    fn elect(&mut self) {
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
    fn controller_steps_in(&mut self, at: usize) -> Result<(), Violation> {
        if let Some(dead) = (!self.unnoticed.is_empty()).then(|| self.unnoticed.remove(0)) {
            self.trace.note(format_args!("controller: {} is gone", dead + 1));
            self.take_out(dead);
            return Ok(());
        }
        if self.random.one_in(2) && self.truth.isr.len() > 1 {
            // A preferred leader election.
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

    fn take_out(&mut self, at: usize) {
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
    fn deliver(&mut self, at: usize) -> Result<(), Violation> {
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
        let log_start = running.log.log_start();
        let batches = contents::read_all(&running.log)?;
        self.check_log(&batches)?;
        let log = by_offset(&batches);
        let node = &mut self.nodes[at];
        let safe = node.power_lost.take().filter(|_| !self.settings.demands.flushes_each);
        self.acknowledged.elected(node.id, safe, &log, log_start)?;
        self.vanished.check(&log, log_start)
    }

    fn check_log(&self, batches: &[StoredBatch]) -> Result<(), Violation> {
        oracle::order::check(batches)?;
        oracle::duplicates::check(batches)
    }

    fn produce(&mut self) -> Result<(), Violation> {
        // Most know the leader; some know an old one.
        let knows = !self.random.one_in(self.plan.schism);
        let leads = |at: &usize| self.nodes[*at].running.as_ref().is_some_and(|running| running.replica.is_leader());
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(leads).collect();
        let Some(at) = self
            .truth
            .leader
            .map(index_of)
            .filter(|at| knows && leaders.contains(at))
            .or_else(|| (!leaders.is_empty()).then(|| leaders[self.random.index(leaders.len())]))
        else {
            return Ok(());
        };
        let who = self.random.index(self.producers.len());
        self.produce_to(at, who)
    }

    fn produce_to(&mut self, at: usize, who: usize) -> Result<(), Violation> {
        let Some(index) = self.producers[who].next(self.now, &mut self.random) else { return Ok(()) };
        let acks = self.producers[who].acks;
        let sent = self.producers[who].in_flight[index].clone();
        let (first, count) = (sent.records[0], sent.records.len());
        let node = &mut self.nodes[at];
        let running = node.running.as_ref().expect("it leads");
        let epoch = running.replica.leader_epoch();
        if !running.replica.takes(acks) {
            self.trace.note(format_args!("{}: refuses {first}, too few are in sync", at + 1));
            return Ok(());
        }
        match node.append(&sent.bytes, acks, self.now) {
            Ok((base, awaited, duplicate)) => {
                let what = format!("appends {first} and {} more at {base} ({acks:?}, again {duplicate})", count - 1);
                let (node, incarnation) = (node.id, node.incarnation);
                let fate = Fate::Waits { node, incarnation, epoch, base, awaited };
                self.producers[who].in_flight[index].fate = fate;
                self.summary.records += count;
                self.after(at, &what, Ok(()))
            }
            Err(AppendError::Log(error)) => self.after(at, "an append", Err(error.into())),
            Err(AppendError::FencedLeaderEpoch { .. }) => {
                Err(Violation::new("order", "a leader was fenced by its own log"))
            }
            Err(AppendError::Producer(ProducerError::OutOfOrderSequence { .. })) if index > 0 => {
                self.trace.note(format_args!("{}: {first} is out of order, for now", at + 1));
                Ok(())
            }
            Err(error @ (AppendError::Producer(_) | AppendError::LargerThanSegment { .. })) => {
                self.trace.note(format_args!("{}: {first} begins anew: {error}", at + 1));
                self.producers[who].begin_anew();
                Ok(())
            }
            Err(error) => Err(Violation::new("order", format!("{first}: {error}"))),
        }
    }

    /// Answers whoever can be answered, and looks at what every leader says.
    fn settle(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            if let Some(running) = node.running.as_ref().filter(|running| running.replica.is_leader()) {
                self.high_watermark.observe(&running.replica, self.settings.demands.flushes_each)?;
            }
        }
        for who in 0..self.producers.len() {
            let mut index = 0;
            while index < self.producers[who].in_flight.len() {
                let sent = &self.producers[who].in_flight[index];
                let Fate::Waits { node, incarnation, epoch, base, awaited } = sent.fate else {
                    index += 1;
                    continue;
                };
                let at = index_of(node);
                let asked = &self.nodes[at];
                let running = asked.running.as_ref().filter(|_| asked.incarnation == incarnation);
                let leads = |replica: &crate::replica::Replica| replica.is_leader() && replica.leader_epoch() == epoch;
                let Some(running) = running.filter(|running| leads(&running.replica)) else {
                    self.producers[who].in_flight[index].fate = Fate::ToSend;
                    continue;
                };
                if awaited.is_some_and(|awaited| !running.replica.has(awaited)) {
                    index += 1;
                    continue;
                }
                if self.random.one_in(10) {
                    self.trace.note(format_args!("{}: the answer to {} is lost", at + 1, sent.records[0]));
                    self.producers[who].in_flight[index].fate = Fate::ToSend;
                    continue;
                }
                let end = base.plus(sent.records.len() as i64);
                if end > running.log.log_end() {
                    let what = format!("{} is said to end at {end}, beyond the log", sent.records[0]);
                    return Err(Violation::new("acknowledged", what));
                }
                let there = contents::read_around(&running.log, base, end)?;
                let log_start = running.log.log_start();
                Acknowledged::check_answer(&sent.records, base, &by_offset(&there), log_start)?;
                self.trace.note(format_args!("{}: {} is acknowledged at {base}", at + 1, sent.records[0]));
                match self.producers[who].acks {
                    Acks::All => self.acknowledged.by_all(base, &sent.records),
                    _ if epoch == self.truth.leader_epoch => self.acknowledged.by_one(base, &sent.records, node),
                    // Deposed already, which it does not know: nobody promises anything.
                    _ => {}
                }
                self.producers[who].in_flight.remove(index);
                self.summary.acknowledged = self.acknowledged.count;
            }
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> Result<(), Violation> {
        if self.nodes[at].running.is_none() {
            return Ok(());
        }
        let result = self.nodes[at].flush();
        self.after(at, "flushes", result.map_err(Failed::Disk))?;
        // The flusher does so once a segment, whenever that is.
        if self.random.one_in(2) {
            self.store_scalars(at);
        }
        Ok(())
    }

    fn store_scalars(&mut self, at: usize) {
        if self.nodes[at].running.is_some() {
            let synced = self.random.one_in(3);
            self.trace.note(format_args!("{}: stores its scalars (synced {synced})", at + 1));
            self.nodes[at].store_scalars(synced);
        }
    }

    fn roll(&mut self, at: usize) -> Result<(), Violation> {
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
    fn can_read(&self, at: usize) -> bool {
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

    fn consume(&mut self, at: usize) -> Result<(), Violation> {
        let running = self.nodes[at].running.as_ref().expect("it runs");
        if !running.replica.is_leader() || !self.can_read(at) {
            return Ok(());
        }
        let (start, until) = (running.log.log_start(), running.replica.high_watermark());
        if start >= until {
            return Ok(());
        }
        let from = start.plus(self.random.below((until.0 - start.0) as u64) as i64);
        let max_bytes = self.random.between(1, 20_000) as usize;
        let slice = running.log.read(from, max_bytes, until, true);
        let slice = slice.map_err(|error| Violation::new("whole", error.to_string()))?;
        if slice.next_offset <= from {
            return Err(Violation::new("whole", format!("nothing at {from}, though the high watermark is {until}")));
        }
        let batches = contents::read(&running.log, from, slice.next_offset, max_bytes)?;
        self.trace.note(format_args!("{}: a consumer reads {from} to {}", at + 1, slice.next_offset));
        self.vanished.read(&batches, until)
    }

    /// A follower asks its leader for more, is told to cut its log, or gets some; and may get into the ISR.
    fn fetch(&mut self, at: usize) -> Result<(), Violation> {
        let Some(follower) = self.nodes[at].running.as_ref() else { return Ok(()) };
        let epoch = follower.replica.leader_epoch();
        let Some(from) = follower.replica.leadership().leader.map(index_of).filter(|from| *from != at) else {
            return Ok(());
        };
        if follower.replica.is_leader() {
            return Ok(());
        }
        let Some(position) = follower.replica.fetch_position() else { return self.flush(at) };
        let last_epoch = follower.log.latest_epoch();
        let Some(leader) = self.nodes[from].running.as_mut() else { return Ok(()) };
        if !leader.replica.is_leader() || leader.replica.leader_epoch() != epoch {
            return Ok(());
        }
        let end = |found: Option<(LeaderEpoch, Offset)>| found.map(|(epoch, end)| EpochEnd { epoch, end });
        let relation =
            last_epoch.map_or(Lineage::Same, |last| lineage(position, last, end(leader.log.epoch_end_offset(last))));
        match relation {
            Lineage::OutOfRange => {
                let what = format!("{} knows nothing of epoch {last_epoch:?}", from + 1);
                return Err(Violation::new("order", what));
            }
            Lineage::Diverges(leaders) => {
                let follower = self.nodes[at].running.as_ref().expect("it runs");
                let ours = end(follower.log.epoch_end_offset(leaders.epoch));
                let truncation = truncation(leaders, ours, follower.log.log_end());
                let what = format!("{truncation:?} of {}", follower.log.log_end());
                self.summary.truncations += 1;
                let result = self.nodes[at].truncate(truncation.to, self.now);
                let failed = result.is_err();
                self.after(at, &what, result.map_err(Failed::Disk))?;
                // A log that could not be cut is not to be used.
                if failed && self.nodes[at].running.is_some() {
                    return self.die(at, Death::Killed);
                }
                return Ok(());
            }
            Lineage::Same => {}
        }
        if position > leader.log.log_end() {
            return Err(Violation::new("order", format!("{} fetches beyond its leader's log", at + 1)));
        }
        let max_bytes = self.random.between(1, 10_000) as usize;
        let slice = leader.log.read(position, max_bytes, leader.log.log_end(), true);
        leader.replica.note_fetch(NodeId(at as i32 + 1), position);
        let high_watermark = leader.replica.high_watermark();
        let slice = match slice {
            Ok(slice) => slice,
            Err(error) if self.nodes[from].happened.died() => {
                return self.after(from, &format!("cannot read: {error}"), Ok(()));
            }
            Err(error) => return Err(Violation::new("whole", error.to_string())),
        };
        self.fetched_in.insert((from, at), self.nodes[at].incarnation);
        self.join(from, at);
        if self.random.one_in(10) {
            self.trace.note(format_args!("{}: the answer to its fetch from {position} is lost", at + 1));
            return Ok(());
        }
        let result = self.nodes[at].follow(&slice.bytes, high_watermark, self.now);
        let end = ends(&self.nodes[at].running.as_ref().expect("it runs").log).log_end;
        let what = format!("fetches {position} to {end} from {}", from + 1);
        match result {
            Ok(()) => self.after(at, &what, Ok(())),
            Err(ReplicateError::Log(error)) => self.after(at, &what, Err(error.into())),
            Err(error) => Err(Violation::new("order", format!("{what}: {error}"))),
        }
    }

    /// A leader asks for a follower to be counted in, if it has caught up; the controller knows in which incarnation it did.
    fn join(&mut self, from: usize, at: usize) {
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
    }

    /// All faults end. Then the cluster serves: everyone comes back and in sync, every producer is answered, and all logs
    /// are the same.
    fn heal(&mut self) -> Result<(), Violation> {
        self.trace.note(format_args!("all faults end"));
        for at in 0..self.nodes.len() {
            self.nodes[at].disarm();
            if self.nodes[at].happened.sync_failed() {
                self.die(at, Death::PowerLost)?;
            }
        }
        for _ in 0..2_000 {
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

    /// Sends what is in flight again, and nothing new.
    fn finish_producers(&mut self) -> Result<(), Violation> {
        let Some(at) = self.truth.leader.map(index_of) else { return Ok(()) };
        let leads = self.nodes[at].running.as_ref().is_some_and(|running| running.replica.is_leader());
        for who in 0..self.producers.len() {
            let to_send = self.producers[who].in_flight.iter().any(|sent| sent.fate == Fate::ToSend);
            if leads && to_send {
                self.produce_to(at, who)?;
            }
        }
        self.settle()
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
            logs.push(contents::read_all(&node.running.as_ref().expect("all run").log)?);
        }
        self.check_log(&logs[0])?;
        for (at, log) in logs.iter().enumerate() {
            if *log != logs[0] {
                let differs = log.iter().zip(&logs[0]).find(|(one, other)| one != other);
                return Err(Violation::new("agreement", format!("replicas 1 and {} differ: {differs:?}", at + 1)));
            }
        }
        let log = by_offset(&logs[0]);
        self.acknowledged.check(&log, Offset::ZERO)?;
        self.vanished.check(&log, Offset::ZERO)
    }
}

fn index_of(id: NodeId) -> usize {
    id.0 as usize - 1
}

fn by_offset(batches: &[StoredBatch]) -> BTreeMap<Offset, RecordId> {
    batches.iter().flat_map(StoredBatch::offsets).collect()
}
