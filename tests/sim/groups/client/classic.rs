//! A member of the classic protocol, as Java's `ConsumerCoordinator`: joins, has its leader assign, syncs, heartbeats. An eager
//! one gives up all that it has before it joins again, a cooperative one what it is told to, and then joins once more.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition},
        heartbeat::HeartbeatRequest,
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
        leave_group::{LeaveGroupRequest, MemberIdentity},
        sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse},
    },
    schema::Stored,
};

use super::{BACKOFF_MS, Request, Told, assignor, later, unexpected};
use crate::{
    coordinator::group::{Answer, Command},
    model::Timestamp,
    sim::{
        groups::{
            oracle::Violation,
            world::{Held, Wants, World},
        },
        random::Random,
    },
};

pub const RANGE: &str = "range";
pub const COOPERATIVE: &str = "cooperative-sticky";

pub const HEARTBEAT_MS: i64 = 2_000;

/// Which assignors a member names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Eager,
    /// Both, in the middle of an upgrade: it gives up everything, since one of them is eager.
    Bridge,
    Cooperative,
}

impl Kind {
    fn names(self) -> &'static [&'static str] {
        match self {
            Kind::Eager => &[RANGE],
            Kind::Bridge => &[COOPERATIVE, RANGE],
            Kind::Cooperative => &[COOPERATIVE],
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// To join.
    Out,
    /// The group is complete; to ask for its assignment with these, which are of others if it leads.
    Syncing {
        protocol: Option<String>,
        assignments: Vec<SyncGroupRequestAssignment>,
    },
    In,
}

#[derive(Debug)]
pub struct Classic {
    pub kind: Kind,
    /// Of JoinGroup.
    version: i16,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    /// -1 for none.
    pub generation: i32,
    /// The last generation that it got its assignment in. (A later one, that no assignment was made in, may be forgotten.)
    pub synced: i32,
    phase: Phase,
    /// When it heartbeats, or tries again.
    pub next_at: Timestamp,
    /// Where it leads: what the topics were like when it assigned.
    assigned_for: Option<BTreeSet<Held>>,
    /// What it wanted when it joined.
    joined_with: Option<Wants>,
}

impl Classic {
    pub fn new(kind: Kind, is_static: bool, now: Timestamp, random: &mut Random) -> Classic {
        Classic {
            kind,
            // Before 9, a static leader that comes back is not told that it leads, and nobody sees that topics change (KIP-814).
            version: if is_static { 9 } else { random.pick(&[3, 5, 9]) },
            session_timeout_ms: random.between(6_000, 10_000) as i32,
            rebalance_timeout_ms: random.between(6_000, 15_000) as i32,
            member_id: String::new(),
            generation: -1,
            synced: -1,
            phase: Phase::Out,
            next_at: now,
            assigned_for: None,
            joined_with: None,
        }
    }

    pub fn is_settled(&self) -> bool {
        self.phase == Phase::In
    }

    #[allow(clippy::too_many_arguments)]
    pub fn poll(
        &mut self,
        now: Timestamp,
        group: &str,
        instance: &Option<String>,
        wants: &Wants,
        owned: &mut BTreeSet<Held>,
        world: &World,
        random: &mut Random,
    ) -> Option<Request> {
        if self.phase == Phase::In {
            let others = self.joined_with.as_ref().is_some_and(|then| then != wants);
            let changed = self.assigned_for.as_ref().is_some_and(|then| {
                // As far as it has noticed.
                !random.one_in(4) && !then.iter().copied().eq(topics_of(world))
            });
            if others || changed {
                self.phase = Phase::Out;
                self.next_at = now;
            }
        }
        if now < self.next_at {
            return None;
        }
        match &self.phase {
            Phase::Out => Some(self.join(group, instance, wants, owned, world)),
            Phase::Syncing { protocol, assignments } => {
                let request = SyncGroupRequest {
                    group_id: group.to_owned(),
                    generation_id: self.generation,
                    member_id: self.member_id.clone(),
                    group_instance_id: instance.clone(),
                    protocol_type: Some("consumer".to_owned()),
                    protocol_name: protocol.clone(),
                    assignments: assignments.clone(),
                    ..SyncGroupRequest::default()
                };
                let timeout_ms = i64::from(self.rebalance_timeout_ms) + 2_000;
                Some(Request { timeout_ms, ..Request::new(Command::SyncGroup(request), 5) })
            }
            Phase::In => {
                self.next_at = later(now, HEARTBEAT_MS);
                let request = HeartbeatRequest {
                    group_id: group.to_owned(),
                    generation_id: self.generation,
                    member_id: self.member_id.clone(),
                    group_instance_id: instance.clone(),
                    ..HeartbeatRequest::default()
                };
                Some(Request::new(Command::Heartbeat(request), 4))
            }
        }
    }

    fn join(
        &mut self,
        group: &str,
        instance: &Option<String>,
        wants: &Wants,
        owned: &mut BTreeSet<Held>,
        world: &World,
    ) -> Request {
        if self.kind == Kind::Cooperative {
            owned.retain(|(topic, _)| world.name_of(*topic).is_some_and(|name| wants.includes(name)));
        } else {
            owned.clear();
        }
        let Wants::Topics(topics) = wants else { unreachable!("the coordinator evaluates none for classic members") };
        self.assigned_for = None;
        self.joined_with = Some(wants.clone());
        let subscription = ConsumerProtocolSubscription {
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
            owned_partitions: by_topic(owned, world),
            generation_id: self.generation,
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = subscription.encode_with_version(3).expect("a small subscription");
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: metadata.clone(),
            ..JoinGroupRequestProtocol::default()
        };
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: instance.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: self.kind.names().iter().map(protocol).collect(),
            ..JoinGroupRequest::default()
        };
        let timeout_ms = i64::from(self.rebalance_timeout_ms) + 5_000;
        Request { timeout_ms, ..Request::new(Command::JoinGroup(request), self.version) }
    }

    /// Nobody knows whether a join was heard; it is said again. Of a sync, too, all that is known is the generation.
    pub fn unanswered(&mut self, now: Timestamp) {
        if self.phase != Phase::In {
            self.phase = Phase::Out;
        }
        self.next_at = later(now, BACKOFF_MS);
    }

    pub fn answered(
        &mut self,
        answer: Answer,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
        world: &World,
        is_current: bool,
    ) -> Result<Told, Violation> {
        match answer {
            Answer::JoinGroup(answer) => self.joined(answer, now, owned, world),
            Answer::SyncGroup(answer) => self.synced(answer, now, owned, world),
            Answer::Heartbeat(answer) if is_current => {
                let error = ErrorCode::from_code(answer.error_code);
                match error {
                    Some(ErrorCode::None) => Ok(Told::Member),
                    Some(ErrorCode::RebalanceInProgress) => {
                        self.rejoin(now);
                        Ok(Told::Member)
                    }
                    _ => self.refused("a heartbeat", error, now, owned),
                }
            }
            Answer::Heartbeat(_) => Ok(Told::Nothing),
            other => Err(Violation::new("answers", format!("a classic member was answered {other:?}"))),
        }
    }

    fn joined(
        &mut self,
        answer: JoinGroupResponse,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
        world: &World,
    ) -> Result<Told, Violation> {
        let error = ErrorCode::from_code(answer.error_code);
        match error {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.member_id = answer.member_id;
                self.next_at = now;
                return Ok(Told::Nothing);
            }
            _ => return self.refused("a join", error, now, owned),
        }
        self.member_id = answer.member_id.clone();
        self.generation = answer.generation_id;
        let mut assignments = Vec::new();
        if answer.leader == self.member_id {
            // Kafka's own client takes the topics of now for those that it assigned before it went away, and never learns what changed
            // in between, which no coordinator can see. This one looks.
            self.assigned_for = Some(if answer.skip_assignment { BTreeSet::new() } else { topics_of(world).collect() });
            if !answer.skip_assignment {
                let protocol = answer.protocol_name.as_deref().unwrap_or_default();
                assignments = assign(protocol, &answer, world)?;
            }
        }
        self.phase = Phase::Syncing { protocol: answer.protocol_name, assignments };
        self.next_at = now;
        Ok(Told::Member)
    }

    fn synced(
        &mut self,
        answer: SyncGroupResponse,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
        world: &World,
    ) -> Result<Told, Violation> {
        let error = ErrorCode::from_code(answer.error_code);
        match error {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::RebalanceInProgress) => {
                self.rejoin(now);
                return Ok(Told::Member);
            }
            _ => return self.refused("a sync", error, now, owned),
        }
        let assigned = assignment(&answer.assignment, world)?;
        let stays: BTreeSet<Held> = owned.intersection(&assigned).copied().collect();
        let revokes = self.kind == Kind::Cooperative && stays.len() < owned.len();
        *owned = assigned;
        self.phase = Phase::In;
        self.synced = self.generation;
        self.next_at = later(now, HEARTBEAT_MS);
        if revokes {
            self.rejoin(now);
        }
        Ok(Told::Member)
    }

    fn rejoin(&mut self, now: Timestamp) {
        self.phase = Phase::Out;
        self.next_at = now;
    }

    /// It was told that it is no member as it thought, or to come again.
    fn refused(
        &mut self,
        what: &str,
        error: Option<ErrorCode>,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
    ) -> Result<Told, Violation> {
        match error {
            Some(
                ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
                | ErrorCode::RebalanceInProgress,
            ) => {
                self.unanswered(now);
                Ok(Told::Nothing)
            }
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                if error == Some(ErrorCode::UnknownMemberId) {
                    self.member_id.clear();
                }
                (self.generation, self.synced) = (-1, -1);
                owned.clear();
                self.phase = Phase::Out;
                self.next_at = later(now, BACKOFF_MS);
                Ok(Told::NoMember)
            }
            // The operator has to look at it.
            Some(
                ErrorCode::FencedInstanceId | ErrorCode::GroupMaxSizeReached | ErrorCode::InconsistentGroupProtocol,
            ) => {
                owned.clear();
                Ok(Told::NoPlace)
            }
            _ => Err(unexpected(what, error)),
        }
    }

    pub fn commit_refused(
        &mut self,
        error: Option<ErrorCode>,
        now: Timestamp,
        owned: &mut BTreeSet<Held>,
    ) -> Result<(), Violation> {
        match error {
            Some(ErrorCode::UnknownTopicOrPartition) => Ok(()),
            Some(ErrorCode::RebalanceInProgress) => {
                self.rejoin(now);
                Ok(())
            }
            Some(
                ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator,
            ) => Ok(()),
            // It hears the same with its next heartbeat, and gives up what it has.
            Some(ErrorCode::FencedInstanceId | ErrorCode::GroupIdNotFound) => {
                self.next_at = now;
                Ok(())
            }
            _ => self.refused("a commit", error, now, owned).map(drop),
        }
    }

    pub fn leave(&self, group: &str, instance: &Option<String>) -> Option<Request> {
        // A static member is expected back.
        if instance.is_some() || self.member_id.is_empty() {
            return None;
        }
        let members = vec![MemberIdentity { member_id: self.member_id.clone(), ..MemberIdentity::default() }];
        let request = LeaveGroupRequest { group_id: group.to_owned(), members, ..LeaveGroupRequest::default() };
        Some(Request { is_last: true, ..Request::new(Command::LeaveGroup(request), 5) })
    }
}

/// All topics with their partitions.
fn topics_of(world: &World) -> impl Iterator<Item = Held> + '_ {
    let mut all: Vec<Held> = world.image().topics().map(|topic| (topic.id(), topic.partition_count())).collect();
    all.sort();
    all.into_iter()
}

/// What the leader hands in.
fn assign(
    protocol: &str,
    answer: &JoinGroupResponse,
    world: &World,
) -> Result<Vec<SyncGroupRequestAssignment>, Violation> {
    let mut members = BTreeMap::new();
    for member in &answer.members {
        let subscription = ConsumerProtocolSubscription::decode_with_version(&member.metadata);
        let subscription = subscription.map_err(|error| {
            Violation::new("answers", format!("the leader was told of {}: {error}", member.member_id))
        })?;
        let topics = subscription.topics.iter().filter_map(|name| Some(world.topic(name)?.id())).collect();
        let owned = held(&subscription.owned_partitions, world);
        let claim = assignor::Claim { topics, owned, generation: subscription.generation_id };
        members.insert(member.member_id.clone(), claim);
    }
    let partitions = |topic| world.image().topic_by_id(topic).map_or(0, |topic| topic.partition_count());
    let assigned = match protocol {
        RANGE => assignor::range(&members, partitions),
        COOPERATIVE => assignor::cooperative(&members, partitions),
        other => return Err(Violation::new("answers", format!("the protocol {other:?} is nobody's"))),
    };
    let encode = |(member_id, partitions): (String, BTreeSet<Held>)| {
        let assigned_partitions = by_topic(&partitions, world);
        let assignment = ConsumerProtocolAssignment { assigned_partitions, ..ConsumerProtocolAssignment::default() };
        let assignment = assignment.encode_with_version(3).expect("a small assignment");
        SyncGroupRequestAssignment { member_id, assignment, ..SyncGroupRequestAssignment::default() }
    };
    Ok(assigned.into_iter().map(encode).collect())
}

/// What an assignment names, of topics that are there.
pub fn assignment(bytes: &Bytes, world: &World) -> Result<BTreeSet<Held>, Violation> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let assignment = ConsumerProtocolAssignment::decode_with_version(bytes);
    let assignment =
        assignment.map_err(|error| Violation::new("answers", format!("an assignment cannot be read: {error}")))?;
    Ok(held(&assignment.assigned_partitions, world))
}

fn held(topics: &[TopicPartition], world: &World) -> BTreeSet<Held> {
    let known = topics.iter().filter_map(|one| Some((world.topic(&one.topic)?.id(), &one.partitions)));
    known.flat_map(|(id, partitions)| partitions.iter().map(move |partition| (id, *partition))).collect()
}

fn by_topic(partitions: &BTreeSet<Held>, world: &World) -> Vec<TopicPartition> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (id, partition) in partitions {
        if let Some(name) = world.name_of(*id) {
            topics.entry(name.to_string()).or_default().push(*partition);
        }
    }
    let topic = |(topic, partitions)| TopicPartition { topic, partitions, ..TopicPartition::default() };
    topics.into_iter().map(topic).collect()
}
