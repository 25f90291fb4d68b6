//! Members as clients are: they follow their protocol to the letter, one request at a time, and repeat what was not answered.

pub mod assignor;
pub mod classic;
pub mod consumer;

use std::collections::{BTreeMap, BTreeSet};

use felice_protocol::{
    error::ErrorCode,
    messages::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
};

use self::{classic::Classic, consumer::Consumer};
use super::{
    oracle::Violation,
    world::{Held, Wants, World},
};
use crate::{
    coordinator::group::{Answer, CallId, Command},
    model::Timestamp,
    sim::random::Random,
};

/// How long a client waits for an answer before it takes its connection for broken.
const REQUEST_TIMEOUT_MS: i64 = 3_000;

/// Between an error that says to try again and doing so.
const BACKOFF_MS: i64 = 100;

/// A process that is a member of a group, or wants to be.
#[derive(Debug)]
pub struct Client {
    pub group: String,
    /// `group.instance.id`
    pub instance: Option<String>,
    pub wants: Wants,
    /// The partitions that it reads from, as far as it knows.
    pub owned: BTreeSet<Held>,
    pub protocol: Protocol,
    /// Until then the process stands still.
    pub stalled_until: Option<Timestamp>,
    /// It has left, or was told that there is no place for it.
    pub is_done: bool,
    pub call: Option<Call>,
    commit_at: Timestamp,
    commit_every_ms: u64,
    /// Heartbeats and joins that were answered.
    pub answers: u32,
}

#[derive(Debug)]
pub enum Protocol {
    Classic(Classic),
    Consumer(Consumer),
}

/// A request that is not answered.
#[derive(Debug)]
pub struct Call {
    pub id: CallId,
    pub deadline: Timestamp,
    /// The generation or epoch with which it was made.
    epoch: i32,
    is_commit: bool,
}

/// What a client has to say.
#[derive(Debug)]
pub struct Request {
    pub command: Command,
    pub version: i16,
    /// The answer may take as long.
    pub timeout_ms: i64,
    /// Nobody waits for the answer.
    pub is_last: bool,
}

impl Request {
    /// Of an operator, in the latest version.
    pub fn once(command: Command) -> Request {
        let version = match command {
            Command::OffsetCommit(_) => 9,
            Command::DeleteGroup(_) => 2,
            _ => 0,
        };
        Request { is_last: true, ..Request::new(command, version) }
    }

    fn new(command: Command, version: i16) -> Request {
        Request { command, version, timeout_ms: REQUEST_TIMEOUT_MS, is_last: false }
    }
}

impl Client {
    pub fn new(
        group: &str,
        instance: Option<String>,
        wants: Wants,
        protocol: Protocol,
        now: Timestamp,
        random: &mut Random,
    ) -> Client {
        let commit_every_ms = random.pick(&[500, 2_000, 10_000]);
        Client {
            group: group.to_owned(),
            instance,
            wants,
            owned: BTreeSet::new(),
            protocol,
            stalled_until: None,
            is_done: false,
            call: None,
            commit_at: later(now, random.below(commit_every_ms) as i64),
            commit_every_ms,
            answers: 0,
        }
    }

    pub fn member_id(&self) -> &str {
        match &self.protocol {
            Protocol::Classic(classic) => &classic.member_id,
            Protocol::Consumer(consumer) => &consumer.member_id,
        }
    }

    /// The generation or member epoch that it was told last; 0 or less where it is no member.
    pub fn epoch(&self) -> i32 {
        match &self.protocol {
            Protocol::Classic(classic) => classic.generation,
            Protocol::Consumer(consumer) => consumer.epoch,
        }
    }

    /// Whether it is a member, has what it was told to have, and nothing to say but that it lives.
    pub fn is_settled(&self) -> bool {
        match &self.protocol {
            Protocol::Classic(classic) => classic.is_settled(),
            Protocol::Consumer(consumer) => consumer.is_settled(&self.owned),
        }
    }

    /// When it has something to do, if nothing is answered before.
    pub fn next_at(&self) -> Timestamp {
        if let Some(until) = self.stalled_until {
            return until;
        }
        let own = match &self.protocol {
            Protocol::Classic(classic) => classic.next_at,
            Protocol::Consumer(consumer) => consumer.next_at(),
        };
        let is_member = self.epoch() > 0 && !self.owned.is_empty();
        match &self.call {
            Some(call) => call.deadline.min(self.reconcile_at()),
            None if is_member => own.min(self.commit_at),
            None => own,
        }
    }

    fn reconcile_at(&self) -> Timestamp {
        match &self.protocol {
            Protocol::Classic(_) => Timestamp(i64::MAX),
            Protocol::Consumer(consumer) => consumer.reconcile_at(),
        }
    }

    /// What it does of itself.
    pub fn poll(&mut self, now: Timestamp, world: &World, offsets: &mut i64, random: &mut Random) -> Option<Request> {
        if let Some(until) = self.stalled_until {
            if now < until {
                return None;
            }
            self.stalled_until = None;
        }
        if self.call.as_ref().is_some_and(|call| now >= call.deadline) {
            // Its connection is gone; it makes another one, and does not know what became of the request.
            let is_commit = self.call.take().is_some_and(|call| call.is_commit);
            match &mut self.protocol {
                _ if is_commit => {}
                Protocol::Classic(classic) => classic.unanswered(now),
                Protocol::Consumer(consumer) => consumer.unanswered(now),
            }
        }
        if let Protocol::Consumer(consumer) = &mut self.protocol {
            consumer.reconcile(now, &mut self.owned, random);
        }
        if self.call.is_some() || self.is_done {
            return None;
        }
        let (group, instance) = (&*self.group, &self.instance);
        let request = match &mut self.protocol {
            Protocol::Classic(classic) => {
                classic.poll(now, group, instance, &self.wants, &mut self.owned, world, random)
            }
            Protocol::Consumer(consumer) => consumer.poll(now, group, instance, &self.wants, &self.owned),
        };
        request.or_else(|| self.commit(now, world, offsets, random))
    }

    /// Notes that what it had to say is on its way.
    pub fn called(&mut self, id: CallId, now: Timestamp, request: &Request) {
        let is_commit = matches!(request.command, Command::OffsetCommit(_));
        let epoch = self.epoch();
        self.call = Some(Call { id, deadline: later(now, request.timeout_ms), epoch, is_commit });
    }

    fn commit(&mut self, now: Timestamp, world: &World, offsets: &mut i64, random: &mut Random) -> Option<Request> {
        if now < self.commit_at || self.epoch() <= 0 || self.owned.is_empty() {
            return None;
        }
        self.commit_at = later(now, random.between(self.commit_every_ms / 2, self.commit_every_ms) as i64);
        let mut topics: BTreeMap<Held, OffsetCommitRequestTopic> = BTreeMap::new();
        for (id, partition) in &self.owned {
            if random.one_in(3) {
                continue;
            }
            // Who reads from a topic that is gone learns of that sooner or later, and no request names it any more.
            let Some(name) = world.name_of(*id) else { continue };
            *offsets += 1;
            let topic = topics.entry((*id, 0)).or_insert_with(|| OffsetCommitRequestTopic {
                name: name.to_string(),
                topic_id: id.0,
                partitions: Vec::new(),
                ..OffsetCommitRequestTopic::default()
            });
            topic.partitions.push(OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: *offsets,
                committed_leader_epoch: random.between(0, 3) as i32,
                committed_metadata: random.one_in(2).then(|| "metadata".to_owned()),
                ..OffsetCommitRequestPartition::default()
            });
        }
        if topics.is_empty() {
            return None;
        }
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.epoch(),
            member_id: self.member_id().to_owned(),
            group_instance_id: self.instance.clone(),
            topics: topics.into_values().collect(),
            ..OffsetCommitRequest::default()
        };
        Some(Request::new(Command::OffsetCommit(request), 9))
    }

    /// An answer to its request; to an earlier one it does not listen any more.
    pub fn answered(
        &mut self,
        id: CallId,
        answer: Answer,
        now: Timestamp,
        world: &World,
        random: &mut Random,
    ) -> Result<(), Violation> {
        let Some(call) = self.call.take_if(|call| call.id == id) else { return Ok(()) };
        let assured = match &self.protocol {
            Protocol::Classic(classic) => classic.synced,
            Protocol::Consumer(consumer) => consumer.epoch,
        };
        if !call.is_commit {
            self.answers += 1;
        }
        let is_current = call.epoch == self.epoch();
        let told = match (&mut self.protocol, answer) {
            (_, Answer::OffsetCommit(answer)) => {
                let errors: BTreeSet<i16> =
                    answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect();
                let errors = errors.into_iter().filter(|code| *code != 0);
                if !is_current {
                    return Ok(());
                }
                for code in errors {
                    let error = ErrorCode::from_code(code);
                    match &mut self.protocol {
                        Protocol::Classic(classic) => classic.commit_refused(error, now, &mut self.owned)?,
                        Protocol::Consumer(consumer) => consumer.commit_refused(error, now, &mut self.owned)?,
                    }
                }
                return Ok(());
            }
            (Protocol::Classic(classic), answer) => {
                classic.answered(answer, now, &mut self.owned, world, is_current)?
            }
            (Protocol::Consumer(consumer), answer) => consumer.answered(answer, now, &mut self.owned, random)?,
        };
        match told {
            // What it is a member of goes on: nothing that it was told before may be taken back.
            Told::Member if self.epoch() < assured => {
                let what = format!("{} was told epoch {} after {assured}", self.member_id(), self.epoch());
                Err(Violation::new("epochs", what))
            }
            Told::NoPlace => {
                self.is_done = true;
                Ok(())
            }
            Told::Member | Told::NoMember | Told::Nothing => Ok(()),
        }
    }

    /// Nobody is a member any more: what comes counts from the beginning.
    pub fn forget_assured(&mut self) {
        if let Protocol::Classic(classic) = &mut self.protocol {
            classic.synced = -1;
        }
    }

    /// Closes it. What it says last, if anything.
    pub fn close(&mut self) -> Option<Request> {
        self.is_done = true;
        self.owned.clear();
        match &self.protocol {
            Protocol::Classic(classic) => classic.leave(&self.group, &self.instance),
            Protocol::Consumer(consumer) => consumer.leave(&self.group, &self.instance),
        }
    }
}

/// What an answer has told a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is a member, in the generation or epoch that it now has.
    Member,
    /// It is none any more, and is to join again.
    NoMember,
    /// It shall not come back: another one has its name.
    NoPlace,
    /// To ask again.
    Nothing,
}

/// What no client that does all right should ever be told.
fn unexpected(what: &str, error: Option<ErrorCode>) -> Violation {
    Violation::new("answers", format!("{what} was answered {error:?}"))
}

fn later(now: Timestamp, ms: i64) -> Timestamp {
    Timestamp(now.0 + ms)
}
