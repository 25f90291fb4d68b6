//! A member of the consumer protocol (KIP-848), as Java's `ConsumerMembershipManager`: heartbeats, is told what to have, gives up
//! what it is not to have any more, takes what is new, and says so.

use std::collections::{BTreeMap, BTreeSet};

use felice_protocol::{
    error::ErrorCode,
    messages::consumer_group_heartbeat::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
    },
};

use super::{BACKOFF_MS, Request, Told, later, unexpected};
use crate::{
    coordinator::group::{Answer, Command},
    model::{Timestamp, TopicId},
    sim::{
        groups::{
            oracle::Violation,
            world::{Held, Wants},
        },
        random::Random,
    },
};

const NEVER: Timestamp = Timestamp(i64::MAX);

#[derive(Debug)]
pub struct Consumer {
    /// Of ConsumerGroupHeartbeat: from 1 on clients make their member ids.
    version: i16,
    rebalance_timeout_ms: i32,
    assignor: Option<&'static str>,
    pub member_id: String,
    /// 0 to join.
    pub epoch: i32,
    heartbeat_at: Timestamp,
    interval_ms: i32,
    /// The next heartbeat says everything.
    tells_all: bool,
    /// The next heartbeat says what it has.
    tells_owned: bool,
    /// What it was last told to have.
    target: BTreeSet<Held>,
    /// It is on its way to have this, and when it is there.
    reconciling: Option<(BTreeSet<Held>, Timestamp)>,
    told_wants: Option<Wants>,
}

impl Consumer {
    pub fn new(now: Timestamp, random: &mut Random) -> Consumer {
        let version = random.pick(&[0, 1, 1]);
        Consumer {
            version,
            rebalance_timeout_ms: random.between(5_000, 12_000) as i32,
            assignor: random.pick(&[None, None, Some("uniform"), Some("range")]),
            member_id: if version == 0 { String::new() } else { random.uuid().to_string() },
            epoch: 0,
            heartbeat_at: now,
            interval_ms: 0,
            tells_all: true,
            tells_owned: true,
            target: BTreeSet::new(),
            reconciling: None,
            told_wants: None,
        }
    }

    pub fn next_at(&self) -> Timestamp {
        self.heartbeat_at.min(self.reconcile_at())
    }

    pub fn reconcile_at(&self) -> Timestamp {
        self.reconciling.as_ref().map_or(NEVER, |(_, at)| *at)
    }

    pub fn is_settled(&self, owned: &BTreeSet<Held>) -> bool {
        self.epoch > 0 && self.reconciling.is_none() && !self.tells_owned && !self.tells_all && self.target == *owned
    }

    /// What takes it a while is done: it has what it was to have.
    pub fn reconcile(&mut self, now: Timestamp, owned: &mut BTreeSet<Held>, random: &mut Random) {
        if let Some((target, _)) = self.reconciling.take_if(|(_, at)| *at <= now) {
            *owned = target;
            self.tells_owned = true;
            self.heartbeat_at = now;
            self.begin_reconciling(now, owned, random);
        }
    }

    fn begin_reconciling(&mut self, now: Timestamp, owned: &BTreeSet<Held>, random: &mut Random) {
        if self.reconciling.is_none() && self.target != *owned {
            let takes = random.pick(&[0, 50, 500, 2_000]);
            self.reconciling = Some((self.target.clone(), later(now, takes)));
        }
    }

    pub fn poll(
        &mut self,
        now: Timestamp,
        group: &str,
        instance: &Option<String>,
        wants: &Wants,
        owned: &BTreeSet<Held>,
    ) -> Option<Request> {
        if self.told_wants.as_ref().is_some_and(|told| told != wants) {
            self.told_wants = None;
            self.tells_all = true;
            self.heartbeat_at = now;
        }
        if now < self.heartbeat_at {
            return None;
        }
        let joins = self.epoch == 0;
        // Who is about to take what it was told to have does not say that it has it not: the coordinator would give it to another. (Java's
        // may, after a request that has failed.)
        let tells_owned = joins || (self.tells_all || self.tells_owned) && self.reconciling.is_none();
        let all = self.tells_all || joins;
        // Null, or empty, is not to have one any more; left out is nothing new.
        let (names, regex) = match wants {
            _ if !all => (None, None),
            Wants::Topics(names) => (Some(names.iter().map(|name| (*name).to_owned()).collect()), Some(String::new())),
            Wants::Regex(letter) => (Some(Vec::new()), Some(format!("{letter}.*"))),
        };
        if all {
            self.told_wants = Some(wants.clone());
        }
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: instance.clone(),
            rebalance_timeout_ms: if all { self.rebalance_timeout_ms } else { -1 },
            subscribed_topic_names: names,
            subscribed_topic_regex: regex.filter(|_| self.version > 0),
            server_assignor: self.assignor.filter(|_| all).map(str::to_owned),
            topic_partitions: tells_owned.then(|| by_topic(owned)),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        if tells_owned || self.reconciling.is_none() {
            self.tells_all = false;
            self.tells_owned = false;
        }
        // Until it is answered.
        self.heartbeat_at = later(now, i64::from(self.interval_ms.max(500)));
        Some(Request::new(Command::ConsumerGroupHeartbeat(request), self.version))
    }

    pub fn speaks_regex(&self) -> bool {
        self.version > 0
    }

    /// Whatever the coordinator knows by now: the next one says everything.
    pub fn unanswered(&mut self, now: Timestamp) {
        self.tells_all = true;
        self.tells_owned = true;
        self.heartbeat_at = later(now, BACKOFF_MS);
    }

    pub fn answered(
        &mut self,
        answer: Answer,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
        random: &mut Random,
    ) -> Result<Told, Violation> {
        let Answer::ConsumerGroupHeartbeat(answer) = answer else {
            return Err(Violation::new("answers", format!("a heartbeat was answered {answer:?}")));
        };
        let error = ErrorCode::from_code(answer.error_code);
        match error {
            Some(ErrorCode::None) => self.heard(answer, now, owned, random),
            Some(
                ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator,
            ) => {
                self.unanswered(now);
                Ok(Told::Nothing)
            }
            Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound)
                if self.epoch > 0 =>
            {
                owned.clear();
                self.rejoin(now);
                Ok(Told::NoMember)
            }
            Some(ErrorCode::UnreleasedInstanceId | ErrorCode::FencedInstanceId | ErrorCode::GroupMaxSizeReached) => {
                owned.clear();
                Ok(Told::NoPlace)
            }
            _ => {
                let what = format!("a heartbeat of epoch {}: {:?}", self.epoch, answer.error_message);
                Err(unexpected(&what, error))
            }
        }
    }

    fn heard(
        &mut self,
        answer: ConsumerGroupHeartbeatResponse,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
        random: &mut Random,
    ) -> Result<Told, Violation> {
        if answer.member_epoch <= 0 {
            return Err(Violation::new("epochs", format!("a member was told epoch {}", answer.member_epoch)));
        }
        if let Some(member_id) = answer.member_id {
            self.member_id = member_id;
        }
        self.epoch = answer.member_epoch;
        self.interval_ms = answer.heartbeat_interval_ms;
        if self.reconciling.is_some() || !(self.tells_all || self.tells_owned) {
            self.heartbeat_at = later(now, i64::from(self.interval_ms));
        }
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions.iter();
            let partitions = |topic: &TopicPartitions| {
                let id = TopicId(topic.topic_id);
                topic.partitions.clone().into_iter().map(move |partition| (id, partition))
            };
            self.target = topics.flat_map(partitions).collect();
            self.begin_reconciling(now, owned, random);
        }
        Ok(Told::Member)
    }

    fn rejoin(&mut self, now: Timestamp) {
        self.epoch = 0;
        self.tells_all = true;
        self.tells_owned = true;
        self.target.clear();
        self.reconciling = None;
        self.heartbeat_at = now;
    }

    /// Its next heartbeat tells it what is wrong; a commit gives up nothing.
    pub fn commit_refused(
        &mut self,
        error: Option<ErrorCode>,
        _now: Timestamp,
        _owned: &mut BTreeSet<Held>,
    ) -> Result<(), Violation> {
        match error {
            Some(
                ErrorCode::StaleMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::GroupIdNotFound
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator,
            ) => Ok(()),
            _ => Err(unexpected("a commit", error)),
        }
    }

    pub fn leave(&self, group: &str, instance: &Option<String>) -> Option<Request> {
        if self.epoch == 0 {
            return None;
        }
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: self.member_id.clone(),
            // A static member is expected back.
            member_epoch: if instance.is_some() { -2 } else { -1 },
            instance_id: instance.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        Some(Request { is_last: true, ..Request::new(Command::ConsumerGroupHeartbeat(request), self.version) })
    }
}

fn by_topic(partitions: &BTreeSet<Held>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(*topic).or_default().push(*partition);
    }
    let topic =
        |(id, partitions): (TopicId, _)| TopicPartitions { topic_id: id.0, partitions, ..TopicPartitions::default() };
    topics.into_iter().map(topic).collect()
}
