//! A coordinator to play with in tests: a clock that is moved by hand, calls by name, and what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use felice_protocol::{Uuid, coordinator::GroupRecord};

use super::{Answer, CallId, Caller, Command, GroupMachine, GroupSettings, Out, State, Timer};
use crate::{metadata::Image, model::Timestamp};

/// A machine with its surroundings. Every call must be answered once, and the state must be what the records come to.
pub struct Bench {
    pub machine: GroupMachine,
    pub settings: Arc<GroupSettings>,
    pub image: Image,
    pub now: Timestamp,
    /// All records so far.
    pub log: Vec<GroupRecord>,
    answers: BTreeMap<CallId, Answer>,
    waiting: BTreeSet<CallId>,
    calls: u64,
    seen: usize,
}

impl Bench {
    pub fn new(settings: GroupSettings) -> Bench {
        let settings = Arc::new(settings);
        let (image, now) = (Image::default(), Timestamp(1_000_000));
        Bench {
            machine: GroupMachine::load(Arc::clone(&settings), State::default(), now, &image),
            settings,
            image,
            now,
            log: Vec::new(),
            answers: BTreeMap::new(),
            waiting: BTreeSet::new(),
            calls: 0,
            seen: 0,
        }
    }

    /// Carries out a command in the newest version.
    pub fn call(&mut self, command: Command) -> CallId {
        self.call_as(command, i16::MAX, "client")
    }

    pub fn call_as(&mut self, command: Command, version: i16, client_id: &str) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        let caller = Caller {
            call,
            version,
            client_id: client_id.into(),
            client_host: "/127.0.0.1".into(),
            fresh: Uuid(u128::from(self.calls).to_be_bytes()),
        };
        self.waiting.insert(call);
        let mut out = Out::default();
        self.machine.decide(self.now, &self.image, &caller, command, &mut out);
        self.take(out);
        call
    }

    /// What a call was answered; `None` while it waits.
    pub fn answer(&mut self, call: CallId) -> Option<Answer> {
        self.answers.remove(&call)
    }

    /// How many calls wait for their answers.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is due at any time, but for a look at what has expired.
    pub fn is_at_rest(&self) -> bool {
        let mut others = self.machine.soft.timers.pending().filter(|timer| **timer != Timer::Expiry);
        others.next().is_none()
    }

    /// Lets time pass, and all that is due by then happen when it is due.
    pub fn pass(&mut self, milliseconds: i64) {
        let until = Timestamp(self.now.0 + milliseconds);
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let mut out = Out::default();
            assert!(self.machine.on_deadline(self.now, &self.image, &mut out), "what is due happens");
            self.take(out);
        }
        self.now = until;
    }

    /// The records since this was asked last.
    pub fn records(&mut self) -> Vec<GroupRecord> {
        let records = self.log[self.seen..].to_vec();
        self.seen = self.log.len();
        records
    }

    /// A coordinator that starts from the log. Who waited is told by the runtime, and forgotten here.
    pub fn restart(&mut self) {
        let mut state = State::default();
        self.log.iter().for_each(|record| state.apply(None, record));
        assert_eq!(&state, self.machine.state(), "the state is what the records come to");
        self.waiting.clear();
        self.machine = GroupMachine::load(Arc::clone(&self.settings), state, self.now, &self.image);
    }

    fn take(&mut self, out: Out) {
        self.log.extend(out.records);
        for (call, answer) in out.answers {
            assert!(self.waiting.remove(&call), "answered without waiting: {call:?} {answer:?}");
            self.answers.insert(call, answer);
        }
    }
}
