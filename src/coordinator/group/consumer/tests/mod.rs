//! Consumer groups from the outside: members that heartbeat, topics that change, time that passes. After every step it is checked
//! that the records alone give the same state and the same index, and that no partition has two owners.

mod describe;
mod heartbeat;
mod migration;
mod regex;
mod statics;
mod storm;
mod topics;

use std::{collections::BTreeMap, sync::Arc};

use felice_protocol::{Uuid, coordinator::GroupRecord, error::ErrorCode, messages::consumer_group_heartbeat::*};

use super::{live::Index, member::Standing};
use crate::{
    coordinator::group::{
        Answer, CallId, Caller, Command, ConsumerGroup, GroupMachine, GroupSettings, Out, State, Timer,
    },
    metadata::{Delta, Image, PartitionRecord, Record, RemoveTopicRecord, TopicRecord},
    model::Timestamp,
};

const HEARTBEAT_MS: i64 = 5_000;
const SESSION_MS: i64 = 45_000;
const REBALANCE_MS: i32 = 60_000;

/// A coordinator, its log, its cluster and a clock.
struct Bench {
    machine: GroupMachine,
    settings: Arc<GroupSettings>,
    image: Image,
    now: i64,
    log: Vec<GroupRecord>,
    /// What the last step wrote.
    records: Vec<GroupRecord>,
    answers: Vec<(CallId, Answer)>,
    calls: u64,
    topics: BTreeMap<String, (Uuid, i32)>,
    /// What the records alone have come to, and how many of them.
    replayed: (State, usize),
}

impl Bench {
    fn new() -> Bench {
        let mut settings = GroupSettings::default();
        settings.consumer.assignment_interval_ms = 0;
        Bench::with(settings)
    }

    fn with(settings: GroupSettings) -> Bench {
        let (settings, image, now) = (Arc::new(settings), Image::default(), 1_000_000);
        let machine = load(&settings, State::default(), now, &image);
        Bench {
            machine,
            settings,
            image,
            now,
            log: Vec::new(),
            records: Vec::new(),
            answers: Vec::new(),
            calls: 0,
            topics: BTreeMap::new(),
            replayed: (State::default(), 0),
        }
    }

    fn apply(&mut self, record: Record) {
        self.image.apply(&record, &mut Delta::default()).unwrap();
    }

    /// Makes a topic, or makes it larger.
    fn topic(&mut self, name: &str, partitions: i32) -> Uuid {
        let fresh = Uuid((self.topics.len() as u128 + 1).to_be_bytes());
        let (topic_id, has) = *self.topics.entry(name.to_owned()).or_insert((fresh, 0));
        if has == 0 {
            self.apply(TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() }.into());
        }
        for partition_id in has..partitions {
            let record = PartitionRecord {
                topic_id,
                partition_id,
                replicas: vec![1],
                isr: vec![1],
                leader: 1,
                directories: vec![Uuid::ZERO],
                ..PartitionRecord::default()
            };
            self.apply(record.into());
        }
        self.topics.insert(name.to_owned(), (topic_id, partitions));
        self.on_image();
        topic_id
    }

    fn delete_topic(&mut self, name: &str) {
        let (topic_id, _) = self.topics[name];
        self.apply(RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() }.into());
        // Its id is not used again.
        let gone = format!("{name} {}", self.topics.len());
        let was = self.topics.remove(name).unwrap();
        self.topics.insert(gone, was);
        self.on_image();
    }

    fn on_image(&mut self) {
        let (image, mut out) = (self.image.clone(), Out::default());
        self.machine.on_image(Timestamp(self.now), &image, &[], &mut out);
        self.after(out);
    }

    fn decide(&mut self, caller: Caller, command: Command) {
        let (image, mut out) = (self.image.clone(), Out::default());
        self.machine.decide(Timestamp(self.now), &image, &caller, command, &mut out);
        self.after(out);
    }

    fn caller(&mut self, version: i16) -> Caller {
        self.calls += 1;
        Caller {
            call: CallId(self.calls),
            version,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            fresh: Uuid((u128::from(self.calls) << 64).to_be_bytes()),
        }
    }

    fn heartbeat_v(&mut self, version: i16, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let caller = self.caller(version);
        let call = caller.call;
        self.decide(caller, Command::ConsumerGroupHeartbeat(request));
        match self.answers.pop() {
            Some((answered, Answer::ConsumerGroupHeartbeat(answer))) if answered == call => answer,
            other => panic!("{other:?}"),
        }
    }

    /// What a call of the classic protocol is answered; `None` while it waits.
    fn call(&mut self, version: i16, command: Command) -> (CallId, Option<Answer>) {
        let caller = self.caller(version);
        let call = caller.call;
        self.decide(caller, command);
        (call, self.answer(call))
    }

    fn answer(&mut self, call: CallId) -> Option<Answer> {
        let at = self.answers.iter().position(|(answered, _)| *answered == call)?;
        Some(self.answers.remove(at).1)
    }

    fn heartbeat(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.heartbeat_v(1, request)
    }

    /// Lets time pass, and does what is due.
    fn pass(&mut self, ms: i64) {
        let until = self.now + ms;
        self.records.clear();
        let mut written = Vec::new();
        while let Some(at) = self.machine.next_deadline().filter(|at| at.0 <= until) {
            self.now = self.now.max(at.0);
            self.due();
            written.append(&mut self.records);
        }
        self.now = until;
        self.records = written;
    }

    fn due(&mut self) {
        let (image, mut out) = (self.image.clone(), Out::default());
        self.machine.on_deadline(Timestamp(self.now), &image, &mut out);
        self.after(out);
    }

    fn after(&mut self, out: Out) {
        self.log.extend(out.records.iter().cloned());
        self.records = out.records;
        self.answers.extend(out.answers);
        self.check();
    }

    fn check(&mut self) {
        let (replayed, done) = &mut self.replayed;
        if *done == self.log.len() {
            return;
        }
        self.log[*done..].iter().for_each(|record| replayed.apply(None, record));
        *done = self.log.len();
        let replayed = &self.replayed.0;
        assert_eq!(replayed, self.machine.state());
        for (group_id, group) in &replayed.consumer {
            let index = self.machine.soft.consumer.index(group_id).unwrap_or_else(|| panic!("{group_id} has no index"));
            assert_eq!(*index, Index::of(group));
            let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
            for (member_id, current) in &group.currents {
                let standing = Standing::of(current);
                for (topic, partitions) in standing.assigned.iter().chain(&standing.revoking) {
                    for partition in partitions.keys() {
                        let other = owners.insert((*topic, *partition), member_id);
                        assert_eq!(other, None, "{topic}-{partition} of {member_id}");
                    }
                }
            }
        }
        assert_eq!(self.machine.soft.consumer.groups.len(), replayed.consumer.size());
    }

    /// The coordinator starts anew from its log.
    fn restart(&mut self) {
        let mut state = State::default();
        self.log.iter().for_each(|record| state.apply(None, record));
        let image = self.image.clone();
        self.machine = load(&self.settings, state, self.now, &image);
        self.check();
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.records.iter().map(|record| record.record_type().name).collect()
    }

    fn epochs(&self) -> (i32, i32) {
        let group = &self.machine.state().consumer["g"];
        (group.epoch(), group.assignment_epoch())
    }

    fn state_name(&self) -> &'static str {
        self.machine.consumer_state(self.machine.state(), "g").unwrap_or("Dead")
    }
}

/// Without what is done for offsets now and then.
fn load(settings: &Arc<GroupSettings>, state: State, now: i64, image: &Image) -> GroupMachine {
    let mut machine = GroupMachine::load(Arc::clone(settings), state, Timestamp(now), image);
    machine.soft.timers.cancel(&Timer::Expiry);
    machine
}

/// A client of group `g`, with what it was told.
#[derive(Debug, Clone, Default)]
struct Member {
    id: String,
    instance_id: Option<String>,
    epoch: i32,
    has: BTreeMap<Uuid, Vec<i32>>,
    names: Option<Vec<String>>,
    regex: Option<String>,
    assignor: Option<String>,
}

impl Member {
    fn new(id: &str, names: &[&str]) -> Member {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Member { id: id.to_owned(), names: Some(names), ..Member::default() }
    }

    fn by_regex(id: &str, regex: &str) -> Member {
        Member { id: id.to_owned(), regex: Some(regex.to_owned()), ..Member::default() }
    }

    fn fixed(id: &str, instance: &str, names: &[&str]) -> Member {
        Member { instance_id: Some(instance.to_owned()), ..Member::new(id, names) }
    }

    /// As who joins, or has met with an error.
    fn full(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: REBALANCE_MS,
            subscribed_topic_names: self.names.clone(),
            subscribed_topic_regex: self.regex.clone(),
            server_assignor: self.assignor.clone(),
            ..self.short(true)
        }
    }

    /// As who has nothing new to say, but perhaps what it has.
    fn short(&self, tells: bool) -> ConsumerGroupHeartbeatRequest {
        let owned = |(topic_id, partitions): (&Uuid, &Vec<i32>)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.clone(),
            ..TopicPartitions::default()
        };
        ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: -1,
            topic_partitions: tells.then(|| self.has.iter().map(owned).collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    /// Does as it is told, at once.
    fn take(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.id = answer.member_id.clone().unwrap();
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            self.has = topics.map(|topic| (topic.topic_id, topic.partitions.clone())).collect();
        }
    }

    fn join(&mut self, bench: &mut Bench) {
        (self.epoch, self.has) = (0, BTreeMap::new());
        let answer = bench.heartbeat(self.full());
        self.take(&answer);
    }

    fn beat(&mut self, bench: &mut Bench) {
        let answer = bench.heartbeat(self.short(true));
        self.take(&answer);
    }

    fn leave(&mut self, bench: &mut Bench) {
        let answer = bench.heartbeat(ConsumerGroupHeartbeatRequest { member_epoch: -1, ..self.short(false) });
        assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
    }

    fn error(&self, bench: &mut Bench, request: ConsumerGroupHeartbeatRequest) -> ErrorCode {
        let answer = bench.heartbeat(request);
        assert!(answer.error_code != 0, "{answer:?}");
        assert!(bench.records.is_empty());
        ErrorCode::from(answer.error_code)
    }

    fn count(&self) -> usize {
        self.has.values().map(Vec::len).sum()
    }
}

/// All heartbeat in turn until nobody is told anything new.
fn settle(bench: &mut Bench, members: &mut [&mut Member]) {
    for _ in 0..20 {
        let mut wrote = false;
        for member in members.iter_mut() {
            member.beat(bench);
            wrote |= !bench.records.is_empty();
        }
        bench.pass(HEARTBEAT_MS);
        if !wrote && bench.records.is_empty() {
            return;
        }
    }
    panic!("the group does not come to rest");
}
