//! A classic group as it lives: its members, its state, and what is counted so that no rule has to look through all members.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use felice_protocol::{
    error::ErrorCode,
    messages::{describe_groups::DescribedGroup, join_group::*},
};

use super::{
    super::{
        CallId,
        command::{refused_join, refused_sync},
    },
    Turn,
    member::{ClassicMember, MemberProtocol, pending_cost},
    subscription::subscribed_topics,
};
use crate::model::Timestamp;

/// What a group may take of memory with what its members send, about. A hundred thousand ordinary members fit, more than any
/// record could hold; who wants more finds the group full.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Where a classic group stands. (Kafka's Dead is a group that is not there.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassicState {
    /// Without members; at most somebody was given a member id to join with.
    Empty,
    /// Members are to join, and wait until all have.
    PreparingRebalance,
    /// All have joined; the leader is to assign, and the others wait for it.
    CompletingRebalance,
    /// All have their assignments, or can ask for them.
    Stable,
}

impl ClassicState {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

/// A classic group.
///
/// Invariants: `leader` is a member, and there is one where there are members. `instances` has each static member once. A member
/// id is in `members` or in `pending`, not in both; who is in `unsynced` is a member. `joined` members wait for the answer to a
/// JoinGroup, and none does but in state PreparingRebalance; a SyncGroup waits in CompletingRebalance only. `supported` counts for
/// each protocol the members that know it; `held` is what members and pending ones cost. A group without members is Empty or
/// PreparingRebalance.
#[derive(Debug, Clone)]
pub struct ClassicGroup {
    pub(super) id: Arc<str>,
    pub(super) state: ClassicState,
    pub(super) generation: i32,
    /// Such as `consumer` or `connect`. None before somebody has joined.
    pub(super) protocol_type: Option<String>,
    /// Of the generation.
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<Arc<str>>,
    /// When it came into this state; not known of groups that an old Kafka has written.
    pub(super) since: Option<Timestamp>,
    pub(super) members: BTreeMap<Arc<str>, ClassicMember>,
    /// Static members: instance id to member id.
    pub(super) instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Who was given a member id and has not joined with it (KIP-394).
    pub(super) pending: BTreeSet<Arc<str>>,
    /// Who has not asked for the assignment of this generation.
    pub(super) unsynced: BTreeSet<Arc<str>>,
    pub(super) joined: usize,
    /// While an empty group waits for more members before its first rebalance.
    pub(super) initial: Option<InitialDelay>,
    /// What the members of the generation want, where they are consumers and it could be read.
    pub(super) topics: Option<BTreeSet<Box<str>>>,
    supported: BTreeMap<Box<str>, usize>,
    held: usize,
}

/// How long the first rebalance still waits for more members.
#[derive(Debug, Clone, Copy)]
pub struct InitialDelay {
    /// The round that runs.
    pub(super) delay_ms: i32,
    /// What is left after it.
    pub(super) remaining_ms: i32,
    /// Somebody has joined in this round.
    pub(super) joined: bool,
}

impl ClassicGroup {
    pub fn empty(id: Arc<str>, now: Timestamp) -> ClassicGroup {
        ClassicGroup {
            id,
            state: ClassicState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            since: Some(now),
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            joined: 0,
            initial: None,
            topics: None,
            supported: BTreeMap::new(),
            held: 0,
        }
    }

    /// A group that was in another form before, with members that have their assignments. The first one leads it, and its
    /// protocol is what most want.
    pub fn stable(
        id: Arc<str>,
        generation: i32,
        protocol_type: &str,
        members: impl IntoIterator<Item = ClassicMember>,
        now: Timestamp,
    ) -> ClassicGroup {
        let mut group = ClassicGroup::empty(id, now);
        group.generation = generation;
        group.protocol_type = Some(protocol_type.to_owned());
        members.into_iter().for_each(|member| group.insert(member));
        group.protocol = group.select_protocol().map(str::to_owned);
        group.topics = group.read_topics();
        group.state = if group.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
        group
    }

    /// Makes one of its members the leader.
    pub fn lead_by(&mut self, member_id: &Arc<str>) {
        if self.members.contains_key(member_id) {
            self.leader = Some(Arc::clone(member_id));
        }
    }

    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub fn state(&self) -> ClassicState {
        self.state
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol of the generation.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// When it came into its state, where that is known.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// By member id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &ClassicMember> {
        self.members.values()
    }

    /// Its members speak the consumer's protocol: what they want can be read.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Whether it is known what topics its members want.
    pub fn knows_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Whether members want this topic. Where it cannot be known, consumers are taken to want all, and others none.
    pub fn subscribes(&self, topic: &str) -> bool {
        self.topics.as_ref().map_or(self.is_of_consumers(), |topics| topics.contains(topic))
    }

    pub fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.state == ClassicState::Stable);
        let members = self.members.values().map(|member| {
            let mut described = member.describe();
            described.member_metadata =
                protocol.and_then(|protocol| member.metadata(protocol)).cloned().unwrap_or_default();
            described
        });
        DescribedGroup {
            group_id: self.id.to_string(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
            ..DescribedGroup::default()
        }
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Whether a request may speak for a member.
    pub(super) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let owner = self.instances.get(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if **owner != *member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether somebody with these protocols could be a member beside those who are.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == ClassicState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.members_that_know(&protocol.name) == self.members.len())
    }

    /// Whether what a member sends fits into what the group may take, in place of what it had.
    pub(super) fn has_room(&self, before: usize, cost: usize) -> bool {
        self.held - before + cost <= HELD_BYTES_MAX
    }

    pub(super) fn all_have_joined(&self) -> bool {
        self.joined == self.members.len() && self.pending.is_empty()
    }

    /// How long a rebalance may take: what the most patient member grants.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    pub(super) fn enter(&mut self, state: ClassicState, now: Timestamp) {
        self.state = state;
        self.since = Some(now);
    }

    pub(super) fn add_pending(&mut self, member_id: Arc<str>) {
        self.held += pending_cost(&member_id);
        self.pending.insert(member_id);
    }

    /// Puts a member in. Whoever had its instance id is not a member any more.
    pub(super) fn insert(&mut self, member: ClassicMember) {
        self.forget_pending(&member.id);
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(Arc::clone(instance_id), Arc::clone(&member.id));
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.count(&member);
        self.members.insert(Arc::clone(&member.id), member);
    }

    /// Takes a member or a pending one out, if there is such. What a member waited for comes back as UNKNOWN_MEMBER_ID, upon
    /// which it joins anew if it is still there. A leader is followed by another member.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, member_id: &str) {
        self.forget_pending(member_id);
        let Some(member) = self.extract(member_id) else { return };
        turn.end_session(&self.id, &member.id);
        turn.refuse(&member, ErrorCode::UnknownMemberId, "");
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Gives a static member's place to another member id (KIP-345). The old one is fenced.
    pub(super) fn replace(&mut self, turn: &mut Turn<'_>, old_id: &str, new_id: Arc<str>) {
        let Some(old) = self.extract(old_id) else { return };
        turn.end_session(&self.id, &old.id);
        turn.refuse(&old, ErrorCode::FencedInstanceId, old_id);
        let was_leader = self.is_leader(old_id);
        if was_leader {
            self.leader = Some(Arc::clone(&new_id));
        }
        self.insert(ClassicMember { id: new_id, join: None, sync: None, is_new: false, ..old });
    }

    /// Changes what a member has told, and lets its JoinGroup wait.
    pub(super) fn update(
        &mut self,
        turn: &mut Turn<'_>,
        member_id: &str,
        protocols: Vec<MemberProtocol>,
        request: &JoinGroupRequest,
        call: CallId,
    ) {
        let unsynced = self.unsynced.contains(member_id);
        let Some(mut member) = self.extract(member_id) else { return };
        if let Some(before) = member.join.replace(call) {
            // Kafka never answers it: it must have come over a connection that is gone.
            turn.join(before, refused_join(member_id.to_owned(), ErrorCode::RebalanceInProgress));
        }
        member.protocols = protocols;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        if unsynced {
            self.unsynced.insert(Arc::clone(&member.id));
        }
        self.insert(member);
    }

    /// Takes the JoinGroup of a member that waits, to answer it.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<CallId> {
        let call = self.members.get_mut(member_id)?.join.take()?;
        self.joined -= 1;
        Some(call)
    }

    /// Lets all calls that wait have this error.
    pub(super) fn refuse_all(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        for member in self.members.values_mut() {
            turn.refuse(member, error, &member.id);
            (member.join, member.sync) = (None, None);
        }
        self.joined = 0;
    }

    /// Makes a member that has joined the leader, where the leader has not. False where nobody has.
    pub(super) fn elect_who_has_joined(&mut self) -> bool {
        let leader = self.leader.as_deref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(|leader| leader.join.is_some()) {
            return true;
        }
        let Some(joined) = self.members.values().find(|member| member.join.is_some()) else { return false };
        self.leader = Some(Arc::clone(&joined.id));
        true
    }

    /// A new generation, with the protocol that most of its members like best; without members, the group is empty.
    pub(super) fn next_generation(&mut self, now: Timestamp) {
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.initial = None;
        self.unsynced.clear();
        self.protocol = self.select_protocol().map(str::to_owned);
        self.topics = self.read_topics();
        let state = if self.members.is_empty() { ClassicState::Empty } else { ClassicState::CompletingRebalance };
        self.enter(state, now);
    }

    /// Each member votes for the protocol that it likes best of those that all members know; of two with as many votes, the first by name wins.
    pub(super) fn select_protocol(&self) -> Option<&str> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut liked = member.protocols.iter();
            if let Some(choice) = liked.find(|choice| self.members_that_know(&choice.name) == self.members.len()) {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        votes.into_iter().rev().max_by_key(|(_, votes)| *votes).map(|(name, _)| name)
    }

    /// The members as the leader is told of them.
    pub(super) fn joined_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |member: &ClassicMember| JoinGroupResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
            ..JoinGroupResponseMember::default()
        };
        self.members.values().map(member).collect()
    }

    /// Recounts what is counted, in groups that are small enough to do so at every step.
    pub(super) fn check_invariants(&self) {
        if cfg!(debug_assertions) && self.members.len() + self.pending.len() <= 64 {
            let joined = self.members.values().filter(|member| member.join.is_some()).count();
            debug_assert_eq!(joined, self.joined, "{self:?}");
            debug_assert!(joined == 0 || self.state == ClassicState::PreparingRebalance, "{self:?}");
            let syncs = self.members.values().filter(|member| member.sync.is_some()).count();
            debug_assert!(syncs == 0 || self.state == ClassicState::CompletingRebalance, "{self:?}");
            let leads = self.leader.as_ref().map(|leader| self.members.contains_key(leader));
            debug_assert_eq!(leads, (!self.members.is_empty()).then_some(true), "{self:?}");
            let empty = matches!(self.state, ClassicState::Empty | ClassicState::PreparingRebalance);
            debug_assert!(!self.members.is_empty() || empty, "{self:?}");
            debug_assert!(self.members.is_empty() || self.state != ClassicState::Empty, "{self:?}");
            debug_assert!(self.pending.iter().all(|id| !self.members.contains_key(id)), "{self:?}");
            debug_assert!(self.unsynced.iter().all(|id| self.members.contains_key(id)), "{self:?}");
            let instances = self.members.values().filter_map(|member| member.instance_id.as_ref());
            debug_assert_eq!(instances.count(), self.instances.len(), "{self:?}");
            let owned = |(instance, id): (&Arc<str>, &Arc<str>)| {
                self.members.get(id).is_some_and(|member| member.instance_id.as_ref() == Some(instance))
            };
            debug_assert!(self.instances.iter().all(owned), "{self:?}");
            let members: usize = self.members.values().map(ClassicMember::cost).sum();
            let pending: usize = self.pending.iter().map(|id| pending_cost(id)).sum();
            debug_assert_eq!(members + pending, self.held, "{self:?}");
        }
    }

    fn members_that_know(&self, protocol: &str) -> usize {
        self.supported.get(protocol).copied().unwrap_or(0)
    }

    fn forget_pending(&mut self, member_id: &str) {
        if let Some(id) = self.pending.take(member_id) {
            self.held -= pending_cost(&id);
        }
    }

    fn count(&mut self, member: &ClassicMember) {
        for protocol in &member.protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count += 1;
            } else {
                self.supported.insert(protocol.name.clone(), 1);
            }
        }
        self.joined += usize::from(member.join.is_some());
        self.held += member.cost();
    }

    /// Takes a member out of what is counted, but leaves its instance id and that it may be the leader.
    fn extract(&mut self, member_id: &str) -> Option<ClassicMember> {
        let member = self.members.remove(member_id)?;
        for protocol in &member.protocols {
            match self.supported.get_mut(&protocol.name) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.supported.remove(&protocol.name)),
            }
        }
        self.joined -= usize::from(member.join.is_some());
        self.held -= member.cost();
        self.unsynced.remove(member_id);
        Some(member)
    }

    pub(super) fn read_topics(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        subscribed_topics(self.members.values().map(|member| member.metadata(protocol)))
    }
}

impl Turn<'_> {
    /// Answers what a member waits for with an error.
    pub(super) fn refuse(&mut self, member: &ClassicMember, error: ErrorCode, member_id: &str) {
        if let Some(call) = member.join {
            self.join(call, refused_join(member_id.to_owned(), error));
        }
        if let Some(call) = member.sync {
            self.sync(call, refused_sync(error));
        }
    }
}
