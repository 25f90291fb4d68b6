//! The controller under commands, with a journal that commits late, in bursts or never. One node stands for whoever leads:
//! it decides against a [`Tenure`], as `quorum/leader.rs` does, appends, and parks its replies. When it loses the
//! leadership, the next leader's log has some of what was in flight and never the rest; who had asked is told that nobody
//! knows.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
};

use bytes::Bytes;

use super::{
    oracle::{
        Violation,
        metadata::{Answered, Replay},
    },
    random::Random,
    trace::Trace,
};
use crate::{
    controller::{
        AllocateProducerIds, AlterConfigs, Command, ConfigChange, ConfigOp, CreatePartitions, DeleteTopics,
        InitializeCluster, NewPartitions, RegisterBroker, Reply, Step, Tenure, TopicConfigChanges, TopicRef,
        testing::{broker, creation, new_topic},
    },
    env::faults::{Fault, planted},
    metadata::{Delta, Image, decode_batch, encode_batch},
    model::{NodeId, Timestamp, TopicId, Uuid},
};

const NAMES: [&str; 5] = ["a", "b", "a.b", "a_b", "c"];

#[derive(Debug)]
pub struct Failure {
    pub violation: Violation,
    pub trace: Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub digest: (u64, u64),
    pub answered: usize,
    pub discarded: usize,
    pub tenures: usize,
}

/// One seed, one run, one trace.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut ring = Ring::new(seed);
    let result = panic::catch_unwind(AssertUnwindSafe(|| ring.run())).unwrap_or_else(|panicked| {
        let text = panicked.downcast_ref::<String>().cloned();
        Err(Violation::new("panic", text.unwrap_or_default()))
    });
    match result {
        Ok(()) => Ok(Summary { digest: ring.trace.digest(), ..ring.summary }),
        Err(violation) => Err(Box::new(Failure { violation, trace: ring.trace })),
    }
}

struct Ring {
    random: Random,
    trace: Trace,
    /// What is committed, and what follows from it.
    log: Vec<Bytes>,
    replay: Replay,
    /// What users read: the image after so many batches, applied one after the other.
    published: Image,
    applied: usize,
    tenure: Option<Tenure>,
    /// Appended and not committed.
    in_flight: VecDeque<(Bytes, Parked)>,
    /// Committed and not applied.
    to_answer: VecDeque<Parked>,
    answered: Vec<Answered>,
    /// One in so many steps commits something; 0 for never, until the leadership is lost.
    commits: u64,
    summary: Summary,
}

#[derive(Debug)]
struct Parked {
    command: Command,
    reply: Reply,
}

impl Ring {
    fn new(seed: u64) -> Ring {
        let mut random = Random::new(seed);
        let commits = random.pick(&[0, 2, 3, 8, 20]);
        Ring {
            random,
            trace: Trace::default(),
            log: Vec::new(),
            replay: Replay::new(),
            published: Image::default(),
            applied: 0,
            tenure: None,
            in_flight: VecDeque::new(),
            to_answer: VecDeque::new(),
            answered: Vec::new(),
            commits,
            summary: Summary::default(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        let features = [("f".to_owned(), 1)].into();
        self.submit(InitializeCluster { cluster_id: "cluster".to_owned(), features }.into())?;
        self.commit(1)?;
        self.apply(1)?;
        for _ in 0..self.random.between(40, 160) {
            self.step()?;
            self.replay.check_read(&self.published, self.applied)?;
        }
        self.commit(usize::MAX)?;
        self.apply(usize::MAX)?;
        self.replay.check_read(&self.published, self.replay.committed())?;
        // Whoever was told something was told what is there.
        for answered in &self.answered {
            let is_appended = answered.appended;
            self.replay.check_answered(answered, self.log.get(answered.after).filter(|_| is_appended))?;
        }
        self.replay.check_producer_ids(self.answered.iter())
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(20) {
            0 => self.lose_leadership(),
            1..=5 if self.commits > 0 && self.random.one_in(self.commits) => {
                let burst = self.random.pick(&[1, 1, 2, 5, usize::MAX]);
                self.commit(burst)
            }
            6..=9 => {
                let some = self.random.pick(&[1, 3, usize::MAX]);
                self.apply(some)
            }
            _ => {
                let command = self.command();
                self.submit(command)
            }
        }
    }

    /// As the leader's task does with a job.
    fn submit(&mut self, command: Command) -> Result<(), Violation> {
        if self.tenure.is_none() {
            // It waits until all that was committed before is applied, and whoever waited was told.
            self.apply(usize::MAX)?;
            self.tenure = Some(Tenure::begin(self.published.clone()));
            self.summary.tenures += 1;
        }
        let is_idle = self.in_flight.is_empty() && self.to_answer.is_empty();
        let tenure = self.tenure.as_mut().expect("it leads");
        let step = tenure.decide(Timestamp(0), &command, is_idle);
        match step.map_err(|misfit| Violation::new("metadata", misfit.to_string()))? {
            Step::Reply(reply) => {
                self.trace.note(format_args!("{command:?}: {reply:?}, at once"));
                self.answer(self.log.len(), Parked { command, reply }, None)
            }
            Step::Append(proposal) => {
                let batch = encode_batch(&proposal.records).expect("small batches");
                let reply = tenure.appended(proposal);
                self.trace.note(format_args!("{command:?}: {reply:?}, once committed"));
                if planted(Fault::ReplyBeforeCommit) {
                    let after = self.log.len() + self.in_flight.len();
                    self.answered.push(Answered {
                        after,
                        appended: true,
                        command: command.clone(),
                        reply: reply.clone(),
                    });
                }
                self.in_flight.push_back((batch, Parked { command, reply }));
                Ok(())
            }
        }
    }

    fn commit(&mut self, count: usize) -> Result<(), Violation> {
        for _ in 0..count.min(self.in_flight.len()) {
            let Some((batch, parked)) = self.in_flight.pop_front() else { break };
            self.replay.commit(&batch)?;
            self.log.push(batch);
            self.to_answer.push_back(parked);
        }
        self.trace.note(format_args!("{} batches are committed", self.log.len()));
        Ok(())
    }

    /// What is committed becomes what is read, and then whoever waited for it is told.
    fn apply(&mut self, count: usize) -> Result<(), Violation> {
        for _ in 0..count.min(self.log.len() - self.applied) {
            let batch = self.log[self.applied].clone();
            for record in decode_batch(&batch).expect("what was encoded") {
                let applied = self.published.apply(&record, &mut Delta::default());
                applied.map_err(|misfit| Violation::new("metadata", misfit.to_string()))?;
            }
            self.applied += 1;
            if let Some(parked) = self.to_answer.pop_front() {
                self.answer(self.applied - 1, parked, Some(&batch))?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, after: usize, parked: Parked, batch: Option<&Bytes>) -> Result<(), Violation> {
        let Parked { command, reply } = parked;
        let answered = Answered { after, appended: batch.is_some(), command, reply };
        self.replay.check_answered(&answered, batch)?;
        self.summary.answered += 1;
        self.answered.push(answered);
        Ok(())
    }

    /// The next leader's log has the first of what was in flight, and not the rest.
    fn lose_leadership(&mut self) -> Result<(), Violation> {
        let kept = self.random.index(self.in_flight.len() + 1);
        self.trace.note(format_args!("the leadership is lost, of {} in flight {kept} are kept", self.in_flight.len()));
        self.summary.discarded += self.in_flight.len() - kept;
        self.commit(kept)?;
        self.in_flight.clear();
        // Those that are kept are committed by another, and nobody here is told.
        for _ in 0..kept {
            self.to_answer.pop_back();
        }
        self.apply(usize::MAX)?;
        if !planted(Fault::KeepSpeculation) {
            self.tenure = None;
        }
        Ok(())
    }

    fn command(&mut self) -> Command {
        let name = self.random.pick(&NAMES);
        match self.random.below(12) {
            0 | 1 => {
                let id = self.random.between(1, 3) as i32;
                let previous_epoch = self.published.broker(NodeId(id)).map(|known| known.epoch);
                let previous_epoch = previous_epoch.filter(|_| self.random.one_in(2));
                RegisterBroker { previous_epoch, incarnation_id: self.random.uuid(), ..broker(id, 0) }.into()
            }
            2..=5 => {
                let mut topic = new_topic(name, self.random.between(1, 3) as i32, 1);
                topic.candidate_id = TopicId(self.random.uuid());
                if self.random.one_in(3) {
                    topic.configs = vec![("segment.ms".to_owned(), Some("1000".to_owned()))];
                }
                let mut creation = creation(vec![topic]);
                creation.seed = self.random.next();
                creation.into()
            }
            6 | 7 => {
                DeleteTopics { topics: vec![TopicRef { name: Some(name.to_owned()), id: TopicId(Uuid::ZERO) }] }.into()
            }
            8 => {
                let count = self.random.between(1, 5) as i32;
                let topics = vec![NewPartitions { topic: name.to_owned(), count, assignments: None }];
                CreatePartitions { topics, validate_only: false, seed: self.random.next() }.into()
            }
            9 => {
                let op = self.random.pick(&[ConfigOp::Set, ConfigOp::Delete]);
                let value = Some(self.random.pick(&["1000", "2000"]).to_owned());
                let changes = vec![ConfigChange { name: "segment.ms".to_owned(), op, value }];
                let topics =
                    vec![TopicConfigChanges { topic: name.to_owned(), changes, replaces_all: self.random.one_in(4) }];
                AlterConfigs { topics, validate_only: false }.into()
            }
            _ => {
                let node_id = NodeId(self.random.between(1, 3) as i32);
                let broker_epoch = self.published.broker(node_id).map_or(0, |known| known.epoch);
                AllocateProducerIds { node_id, broker_epoch }.into()
            }
        }
    }
}
