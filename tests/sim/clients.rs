//! Producers and consumers of a run.

use super::{
    cluster::{Cluster, by_offset, index_of},
    contents,
    oracle::{Violation, acknowledged::Acknowledged},
    workload::Fate,
};
use crate::{
    log::{AppendError, producers::ProducerError},
    replica::{Acks, Replica},
};

impl Cluster {
    pub(super) fn produce(&mut self) -> Result<(), Violation> {
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

    /// The leader gets far ahead of its followers, and has it all on its disk. If another leads next, it has to cut its log
    /// below what it has flushed and closed.
    pub(super) fn run_ahead(&mut self) -> Result<(), Violation> {
        let Some(at) = self.truth.leader.map(index_of) else { return Ok(()) };
        let leads =
            |cluster: &Cluster| cluster.nodes[at].running.as_ref().is_some_and(|running| running.replica.is_leader());
        for _ in 0..self.random.between(2, 8) {
            if leads(self) {
                let who = self.random.index(self.producers.len());
                self.produce_to(at, who)?;
            }
        }
        if leads(self) {
            self.roll(at)?;
        }
        self.flush(at)?;
        self.store_scalars(at, true);
        Ok(())
    }

    /// Answers whoever can be answered, and looks at what every leader says.
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            if let Some(running) = node.running.as_ref().filter(|running| running.replica.is_leader()) {
                self.high_watermark.observe(&running.replica, self.settings.demands.flushes_each)?;
            }
        }
        for who in 0..self.producers.len() {
            let mut index = 0;
            while index < self.producers[who].in_flight.len() {
                if !self.answer(who, index)? {
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// True where the batch was answered and is in flight no more.
    fn answer(&mut self, who: usize, index: usize) -> Result<bool, Violation> {
        let sent = &self.producers[who].in_flight[index];
        let Fate::Waits { node, incarnation, epoch, base, awaited } = sent.fate else { return Ok(false) };
        let at = index_of(node);
        let asked = &self.nodes[at];
        let leads = |replica: &Replica| replica.is_leader() && replica.leader_epoch() == epoch;
        let running = asked.running.as_ref().filter(|_| asked.incarnation == incarnation);
        let Some(running) = running.filter(|running| leads(&running.replica)) else {
            self.producers[who].in_flight[index].fate = Fate::ToSend;
            return Ok(false);
        };
        if awaited.is_some_and(|awaited| !running.replica.has(awaited)) {
            return Ok(false);
        }
        if self.random.one_in(10) {
            self.trace.note(format_args!("{}: the answer to {} is lost", at + 1, sent.records[0]));
            self.producers[who].in_flight[index].fate = Fate::ToSend;
            return Ok(false);
        }
        let end = base.plus(sent.records.len() as i64);
        if end > running.log.log_end() {
            let what = format!("{} is said to end at {end}, beyond the log", sent.records[0]);
            return Err(Violation::new("acknowledged", what));
        }
        // By now it may be deleted.
        let from = base.max(running.log.log_start());
        let there = contents::read_around(&running.log, from, end)?;
        Acknowledged::check_answer(
            &sent.records,
            base,
            &by_offset(&there),
            running.log.log_start(),
            self.plan.compacts,
        )?;
        self.trace.note(format_args!("{}: {} is acknowledged at {base}", at + 1, sent.records[0]));
        match self.producers[who].acks {
            Acks::All => self.acknowledged.by_all(base, &sent.records),
            _ if epoch == self.truth.leader_epoch => {
                self.acknowledged.by_one(base, &sent.records, node, self.settings.demands.flushes_each);
            }
            // Deposed already, which it does not know: nobody promises anything.
            _ => {}
        }
        self.producers[who].in_flight.remove(index);
        self.summary.acknowledged = self.acknowledged.count;
        Ok(true)
    }

    pub(super) fn consume(&mut self, at: usize) -> Result<(), Violation> {
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
            // The next batch there is may reach beyond the high watermark: of a log that was compacted, or of one that was begun
            // anew after all in sync had lost it, while the high watermark is still that of before.
            let next = contents::read_around(&running.log, from, from.plus(1))?;
            let reaches_beyond = next.first().is_some_and(|batch| batch.last_offset >= until);
            if reaches_beyond && (self.plan.compacts || self.plan.power_losses) {
                return Ok(());
            }
            return Err(Violation::new("whole", format!("nothing at {from}, though the high watermark is {until}")));
        }
        let batches = contents::read(&running.log, from, slice.next_offset, max_bytes)?;
        self.trace.note(format_args!("{}: a consumer reads {from} to {}", at + 1, slice.next_offset));
        self.vanished.read(&batches, until)
    }

    /// Sends what is in flight again, and nothing new.
    pub(super) fn finish_producers(&mut self) -> Result<(), Violation> {
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
}
