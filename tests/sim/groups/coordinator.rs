//! The coordinator as its runtime runs it: decisions are applied at once, appended, and answered when they are committed. The
//! journal commits when the run says, and may lose what it has not committed; then the coordinator begins anew with what its log
//! has.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use felice_protocol::coordinator::GroupRecord;

use crate::{
    coordinator::group::{Answer, CallId, Caller, Command, GroupMachine, GroupSettings, Out, Query, State},
    env::faults::{Fault, planted},
    metadata::Image,
    model::Timestamp,
};

/// What a decision was made for.
#[derive(Debug, Clone)]
pub enum Cause {
    Command(Box<Command>),
    Deadline,
    /// Topics of these names have gone, or others have changed.
    Image(Vec<Arc<str>>),
}

/// What one decision has come to.
#[derive(Debug)]
pub struct Decided {
    pub at: Timestamp,
    pub cause: Cause,
    pub records: Vec<GroupRecord>,
    pub answers: Vec<(CallId, Answer)>,
    /// The state that it was made against.
    before: State,
}

pub struct Coordinator {
    settings: Arc<GroupSettings>,
    pub machine: GroupMachine,
    /// All that was ever committed, as it is stored.
    log: Vec<(Bytes, Option<Bytes>)>,
    pub committed: State,
    in_flight: VecDeque<Decided>,
}

impl Coordinator {
    pub fn new(settings: GroupSettings, now: Timestamp, image: &Image) -> Coordinator {
        let settings = Arc::new(settings);
        let machine = GroupMachine::load(Arc::clone(&settings), State::default(), now, image);
        Coordinator { settings, machine, log: Vec::new(), committed: State::default(), in_flight: VecDeque::new() }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// All records that are appended and not committed.
    pub fn uncommitted(&self) -> impl Iterator<Item = &GroupRecord> {
        self.in_flight.iter().flat_map(|decided| &decided.records)
    }

    pub fn log(&self) -> &[(Bytes, Option<Bytes>)] {
        &self.log
    }

    pub fn decide(&mut self, now: Timestamp, image: &Image, caller: &Caller, command: Command) -> Decided {
        let cause = Cause::Command(Box::new(command.clone()));
        let (mut out, before) = (Out::default(), self.machine.state().clone());
        self.machine.decide(now, image, caller, command, &mut out);
        Decided { at: now, cause, records: out.records, answers: out.answers, before }
    }

    /// Does one thing that is due, if any is.
    pub fn on_deadline(&mut self, now: Timestamp, image: &Image) -> Option<Decided> {
        let (mut out, before) = (Out::default(), self.machine.state().clone());
        let did = self.machine.on_deadline(now, image, &mut out);
        let Out { records, answers, .. } = out;
        did.then_some(Decided { at: now, cause: Cause::Deadline, records, answers, before })
    }

    pub fn on_image(&mut self, now: Timestamp, image: &Image, deleted: Vec<Arc<str>>) -> Decided {
        let (mut out, before) = (Out::default(), self.machine.state().clone());
        self.machine.on_image(now, image, &deleted, &mut out);
        let Out { records, answers, .. } = out;
        Decided { at: now, cause: Cause::Image(deleted), records, answers, before }
    }

    pub fn query(&self, now: Timestamp, image: &Image, query: &Query) -> Answer {
        self.machine.query(now, &self.committed, image, query)
    }

    /// Appends a decision. What it answers waits for its own records and, since it saw them, for all before. Returns the answers
    /// that need not wait.
    pub fn append(&mut self, mut decided: Decided) -> Vec<(CallId, Answer)> {
        if planted(Fault::AnswerGroupsBeforeCommit) {
            let answers = std::mem::take(&mut decided.answers);
            if !decided.records.is_empty() {
                self.in_flight.push_back(decided);
            }
            return answers;
        }
        if decided.records.is_empty() {
            let Some(last) = self.in_flight.back_mut() else { return decided.answers };
            last.answers.extend(decided.answers);
        } else {
            self.in_flight.push_back(decided);
        }
        Vec::new()
    }

    /// The decision cannot be appended: it has never been made. Returns whose answers still come.
    pub fn fail(&mut self, decided: Decided, now: Timestamp, image: &Image) -> BTreeSet<CallId> {
        self.machine = GroupMachine::load(Arc::clone(&self.settings), decided.before, now, image);
        self.in_flight.iter().flat_map(|decided| &decided.answers).map(|(call, _)| *call).collect()
    }

    /// Commits the oldest decision that is not.
    pub fn commit(&mut self) -> Option<Decided> {
        let decided = self.in_flight.pop_front()?;
        for record in &decided.records {
            self.committed.apply(None, record);
            self.log.push(stored(record));
        }
        Some(decided)
    }

    /// What is not committed by now never will be, and whoever coordinates from here on has what its log says. Returns whose
    /// answers will never come.
    pub fn lose(&mut self, now: Timestamp, image: &Image) -> Vec<(CallId, Answer)> {
        let lost = self.in_flight.drain(..).flat_map(|decided| decided.answers).collect();
        if !planted(Fault::KeepGroupSpeculation) {
            self.machine = GroupMachine::load(Arc::clone(&self.settings), self.committed.clone(), now, image);
        }
        lost
    }
}

fn stored(record: &GroupRecord) -> (Bytes, Option<Bytes>) {
    let version = record.record_type().versions.max;
    let value = record.encode_value(version).expect("what the coordinator writes can be stored");
    (record.encode_key().expect("what the coordinator writes can be stored"), value)
}
