//! JoinGroup: who may come in, and whether that begins a rebalance.

use std::{fmt::Write as _, sync::Arc};

use felice_protocol::{Uuid, error::ErrorCode, messages::join_group::*};

use super::{
    super::{Caller, GroupMachine, command::refused_join, machine::Cx},
    ClassicGroup, ClassicMember, ClassicState, Turn,
    member::{pending_cost, protocols},
    record::{self, group_record},
};

/// How long a member's first JoinGroup may wait: it has no id to heartbeat with, and nobody would notice if it were gone.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// From here on a member without an id is given one, and is to join with that (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

/// From here on a static leader that comes back is told that it leads, and that there is nothing to assign (KIP-814).
pub(in crate::coordinator::group) const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// What a new member id has behind the name that it is made of.
const NEW_ID_EXTRA: usize = "-00000000-0000-0000-0000-000000000000".len();

impl GroupMachine {
    pub(in super::super) fn join_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, mut request: JoinGroupRequest) {
        if caller.version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let allowed = self.settings.classic_min_session_timeout_ms..=self.settings.classic_max_session_timeout_ms;
        let refusal = if !allowed.contains(&request.session_timeout_ms) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else {
            has_too_long_names(caller, &request).then_some(ErrorCode::UnknownServerError)
        };
        if let Some(error) = refusal {
            return self.turn(cx).join(caller.call, refused_join(request.member_id, error));
        }
        let consumer = self.state.consumer.get(request.group_id.as_str());
        let was_consumer = consumer.is_some();
        if consumer.is_some_and(|group| !group.members.is_empty()) {
            return self.consumer_join(cx, caller, request);
        }
        if !self.soft.classic.groups.contains_key(request.group_id.as_str()) {
            if !request.member_id.is_empty() {
                let refused = refused_join(request.member_id, ErrorCode::UnknownMemberId);
                return self.turn(cx).join(caller.call, refused);
            }
            if was_consumer {
                self.delete_consumer(cx, &request.group_id);
            }
            let group = ClassicGroup::empty(request.group_id.as_str().into(), cx.now);
            // A group that has offsets is in the log by these.
            if was_consumer || !self.state.offsets.contains_key(&group.id) {
                self.turn(cx).write(group_record(&group));
            }
            self.soft.classic.groups.insert(Arc::clone(&group.id), group);
        }
        if let (Some(group), mut turn) = self.classic_turn(cx, &request.group_id) {
            group.join(&mut turn, caller, &request);
            group.check_invariants();
        }
        self.drop_if_never_joined(&request.group_id);
    }
}

impl ClassicGroup {
    fn join(&mut self, turn: &mut Turn<'_>, caller: &Caller, request: &JoinGroupRequest) {
        let member_id = request.member_id.as_str();
        let instance_id = request.group_instance_id.as_deref();
        let refusal = if !self.has_place(turn, member_id) {
            self.remove(turn, member_id);
            self.complete_if_all_have_joined(turn);
            Some(("", ErrorCode::GroupMaxSizeReached))
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            Some((member_id, ErrorCode::InconsistentGroupProtocol))
        } else if member_id.is_empty() {
            let new_id = new_member_id(instance_id.unwrap_or(&caller.client_id), caller.fresh);
            return match instance_id {
                None if caller.version >= MEMBER_ID_REQUIRED_FROM => {
                    self.ask_to_join_with(turn, caller, request, new_id)
                }
                Some(instance_id) if self.instances.contains_key(instance_id) => {
                    self.join_again_as_static(turn, caller, request, instance_id, new_id);
                }
                _ => self.join_as_new(turn, caller, request, new_id),
            };
        } else if self.pending.contains(member_id) {
            if instance_id.is_none() {
                return self.join_as_new(turn, caller, request, member_id.into());
            }
            // Such an id was never given to a static member.
            Some(("", ErrorCode::UnknownServerError))
        } else {
            self.check_member(member_id, instance_id).err().map(|error| (member_id, error))
        };
        match refusal {
            Some((member_id, error)) => turn.join(caller.call, refused_join(member_id.to_owned(), error)),
            None => self.join_again(turn, caller, request),
        }
    }

    /// Whether `group.max.size` allows for whoever this is. While a rebalance runs, those count that have joined: so the last ones
    /// to join a group that is too large are turned away.
    fn has_place(&self, turn: &Turn<'_>, member_id: &str) -> bool {
        let max = turn.settings.classic_max_size;
        let member = self.members.get(member_id);
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => member.is_some_and(|member| member.join.is_some()) || self.joined < max,
            ClassicState::CompletingRebalance | ClassicState::Stable => member.is_some() || self.members.len() < max,
        }
    }

    /// Gives out a member id, to be joined with before a session has passed.
    fn ask_to_join_with(&mut self, turn: &mut Turn<'_>, caller: &Caller, request: &JoinGroupRequest, new_id: Arc<str>) {
        if !self.has_room(0, pending_cost(&new_id)) {
            return turn.join(caller.call, refused_join(String::new(), ErrorCode::GroupMaxSizeReached));
        }
        turn.renew_session(&self.id, &new_id, request.session_timeout_ms);
        turn.join(caller.call, refused_join(new_id.to_string(), ErrorCode::MemberIdRequired));
        self.add_pending(new_id);
    }

    fn join_as_new(&mut self, turn: &mut Turn<'_>, caller: &Caller, request: &JoinGroupRequest, new_id: Arc<str>) {
        let mut member = ClassicMember::new(new_id, caller, request);
        if !self.has_room(0, member.cost()) {
            return turn.join(caller.call, refused_join(String::new(), ErrorCode::GroupMaxSizeReached));
        }
        member.is_new = true;
        member.join = Some(caller.call);
        if let Some(initial) = &mut self.initial {
            initial.joined = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let member_id = Arc::clone(&member.id);
        self.insert(member);
        turn.renew_session(&self.id, &member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(turn, &format_args!("new member {member_id:?}{}", Told(request)));
    }

    /// A member that is known joins again.
    fn join_again(&mut self, turn: &mut Turn<'_>, caller: &Caller, request: &JoinGroupRequest) {
        let member_id = request.member_id.as_str();
        let Some(member) = self.members.get(member_id) else { return };
        let says_the_same = member.matches(&request.protocols);
        let is_leader = self.is_leader(member_id);
        let stays = match self.state {
            ClassicState::Empty | ClassicState::PreparingRebalance => false,
            // It may have missed the answer to its JoinGroup.
            ClassicState::CompletingRebalance => says_the_same,
            // A leader that joins has something else in mind to assign by, such as new partitions.
            ClassicState::Stable => says_the_same && !is_leader,
        };
        if stays {
            let answer = self.joined_as(member_id);
            return turn.join(caller.call, answer);
        }
        let protocols = protocols(&request.protocols);
        let cost = ClassicMember { protocols: protocols.clone(), ..member.clone() }.cost();
        if !self.has_room(member.cost(), cost) {
            return turn.join(caller.call, refused_join(member_id.to_owned(), ErrorCode::GroupMaxSizeReached));
        }
        let what = if is_leader { "leader" } else { "member" };
        self.update(turn, member_id, protocols, request, caller.call);
        self.rebalance_or_complete(turn, &format_args!("{what} {member_id:?} joins again{}", Told(request)));
    }

    /// A static member is back without its member id: it takes its own place under a new one. If the group is stable and stays
    /// with its protocol, it goes on without a rebalance.
    fn join_again_as_static(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &JoinGroupRequest,
        instance_id: &str,
        new_id: Arc<str>,
    ) {
        let Some(old) = self.instances.get(instance_id).and_then(|old_id| self.members.get(old_id)) else { return };
        let old_id = Arc::clone(&old.id);
        let old_leader = self.leader.as_deref().unwrap_or_default().to_owned();
        let new = ClassicMember { id: Arc::clone(&new_id), protocols: protocols(&request.protocols), ..old.clone() };
        if !self.has_room(old.cost(), new.cost()) {
            return turn.join(caller.call, refused_join(String::new(), ErrorCode::GroupMaxSizeReached));
        }
        if self.state == ClassicState::Stable {
            let protocol = self.protocol.as_deref().unwrap_or_default();
            let [before, after] = [old, &new].map(|member| record::member_size(member, protocol));
            if record::size(self) - before + after > turn.settings.record_max_bytes {
                let error_code = ErrorCode::UnknownServerError.code();
                return turn.join(caller.call, JoinGroupResponse { error_code, ..self.joined_as("") });
            }
        }
        self.replace(turn, &old_id, Arc::clone(&new_id));
        self.update(turn, &new_id, new.protocols, request, caller.call);
        turn.renew_session(&self.id, &new_id, request.session_timeout_ms);
        match self.state {
            ClassicState::Stable if self.select_protocol() == self.protocol.as_deref() => {
                self.take_join(&new_id);
                let knows_to_skip = caller.version >= SKIP_ASSIGNMENT_FROM;
                let answer = if knows_to_skip {
                    JoinGroupResponse { skip_assignment: self.is_leader(&new_id), ..self.joined_as(&new_id) }
                } else {
                    // Who cannot be told to skip the assignment is not told that it leads.
                    JoinGroupResponse { leader: old_leader, members: Vec::new(), ..self.joined_as(&new_id) }
                };
                turn.write(group_record(self));
                turn.join(caller.call, answer);
            }
            // The leader may have the old member id in its hands, and would assign to that.
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.prepare_rebalance(turn, &format_args!("static member {new_id:?} is back{}", Told(request)));
            }
            ClassicState::Empty | ClassicState::PreparingRebalance => self.complete_if_all_have_joined(turn),
        }
    }
}

/// Names of more than 32 KiB, which requests may have from version 6 on, would not fit into the record of the group.
fn has_too_long_names(caller: &Caller, request: &JoinGroupRequest) -> bool {
    let instance_id = request.group_instance_id.as_deref().unwrap_or_default();
    let protocols = request.protocols.iter().map(|protocol| protocol.name.as_str());
    let new_id = caller.client_id.len().max(instance_id.len()) + NEW_ID_EXTRA;
    [request.group_id.as_str(), &request.member_id, &request.protocol_type]
        .into_iter()
        .chain(protocols)
        .map(str::len)
        .chain([new_id])
        .any(|length| length > i16::MAX as usize)
}

/// A member id as Kafka makes them: who it is for, and a random UUID.
fn new_member_id(of: &str, random: Uuid) -> Arc<str> {
    let mut id = String::with_capacity(of.len() + NEW_ID_EXTRA);
    id.push_str(of);
    for (at, byte) in random.0.iter().enumerate() {
        if [0, 4, 6, 8, 10].contains(&at) {
            id.push('-');
        }
        let _ = write!(id, "{byte:02x}");
    }
    id.into()
}

/// Why a member says that it joins (KIP-800), for the log.
struct Told<'a>(&'a JoinGroupRequest);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.reason {
            Some(reason) => write!(f, " ({:?})", reason.chars().take(255).collect::<String>()),
            None => Ok(()),
        }
    }
}
