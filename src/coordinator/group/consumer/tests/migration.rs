//! Groups that change their kind while they live, and members of the classic protocol in consumer groups.

use std::collections::BTreeSet;

use bytes::Bytes;
use felice_protocol::{
    messages::{consumer_protocol::*, heartbeat::*, join_group::*, leave_group::*, sync_group::*},
    schema::Stored,
};

use super::*;
use crate::coordinator::group::MigrationPolicy;

/// A client of the classic protocol, with the cooperative assignor: it says what it has when it joins.
#[derive(Debug, Clone)]
struct Classic {
    id: String,
    instance_id: Option<String>,
    generation: i32,
    topics: Vec<String>,
    has: BTreeSet<(String, i32)>,
    protocol_type: String,
}

impl Classic {
    fn new(topics: &[&str]) -> Classic {
        Classic {
            id: String::new(),
            instance_id: None,
            generation: -1,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            has: BTreeSet::new(),
            protocol_type: "consumer".to_owned(),
        }
    }

    fn request(&self) -> JoinGroupRequest {
        let mut owned: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.has {
            owned.entry(topic).or_default().push(*partition);
        }
        let topic = |(topic, partitions): (&str, Vec<i32>)| TopicPartition {
            topic: topic.to_owned(),
            partitions,
            ..TopicPartition::default()
        };
        let subscription = ConsumerProtocolSubscription {
            topics: self.topics.clone(),
            owned_partitions: owned.into_iter().map(topic).collect(),
            ..ConsumerProtocolSubscription::default()
        };
        let protocol = |name: &str, version| JoinGroupRequestProtocol {
            name: name.to_owned(),
            metadata: subscription.encode_with_version(version).unwrap(),
            ..JoinGroupRequestProtocol::default()
        };
        JoinGroupRequest {
            group_id: "g".to_owned(),
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: self.protocol_type.clone(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 40_000,
            protocols: vec![protocol("cooperative-sticky", 3), protocol("range", 1)],
            ..JoinGroupRequest::default()
        }
    }

    /// Joins as long as it takes to have a member id; the call that waits, if it does.
    fn begin_join(&mut self, bench: &mut Bench) -> Result<CallId, Box<JoinGroupResponse>> {
        loop {
            let (call, answer) = bench.call(9, Command::JoinGroup(self.request()));
            match answer {
                None => return Ok(call),
                Some(Answer::JoinGroup(answer)) if answer.error_code == ErrorCode::MemberIdRequired.code() => {
                    self.id = answer.member_id;
                }
                Some(Answer::JoinGroup(answer)) => return Err(Box::new(answer)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn joined(&mut self, answer: &JoinGroupResponse) {
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.id = answer.member_id.clone();
        self.generation = answer.generation_id;
    }

    fn sync_request(&self) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("cooperative-sticky".to_owned()),
            ..SyncGroupRequest::default()
        }
    }

    fn sync(&mut self, bench: &mut Bench) -> ErrorCode {
        match bench.call(5, Command::SyncGroup(self.sync_request())).1 {
            Some(Answer::SyncGroup(answer)) => {
                if answer.error_code == 0 {
                    self.take(&answer.assignment);
                }
                ErrorCode::from(answer.error_code)
            }
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, assignment: &Bytes) {
        let assignment = ConsumerProtocolAssignment::decode_with_version(assignment).unwrap();
        let topics = assignment.assigned_partitions.into_iter();
        self.has = topics
            .flat_map(|of| of.partitions.into_iter().map(move |partition| (of.topic.clone(), partition)))
            .collect();
    }

    fn heartbeat(&self, bench: &mut Bench) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..HeartbeatRequest::default()
        };
        match bench.call(4, Command::Heartbeat(request)).1 {
            Some(Answer::Heartbeat(answer)) => ErrorCode::from(answer.error_code),
            other => panic!("{other:?}"),
        }
    }

    /// Heartbeats, and joins and syncs where it is told to. Whether it had to.
    fn beat(&mut self, bench: &mut Bench) -> bool {
        match self.heartbeat(bench) {
            ErrorCode::None => false,
            ErrorCode::RebalanceInProgress => {
                let answer = self.begin_join(bench).unwrap_err();
                self.joined(&answer);
                self.sync(bench);
                true
            }
            other => panic!("{other:?}"),
        }
    }

    fn leave(&self, bench: &mut Bench) -> ErrorCode {
        let member = MemberIdentity { member_id: self.id.clone(), ..MemberIdentity::default() };
        let request = LeaveGroupRequest { group_id: "g".to_owned(), members: vec![member], ..Default::default() };
        match bench.call(5, Command::LeaveGroup(request)).1 {
            Some(Answer::LeaveGroup(answer)) => ErrorCode::from(answer.members[0].error_code),
            other => panic!("{other:?}"),
        }
    }
}

fn assignment_of(topic: &str, partitions: &[i32], user_data: Option<&'static [u8]>) -> Bytes {
    let topic =
        TopicPartition { topic: topic.to_owned(), partitions: partitions.to_vec(), ..TopicPartition::default() };
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![topic],
        user_data: user_data.map(Bytes::from_static),
        ..ConsumerProtocolAssignment::default()
    };
    assignment.encode_with_version(1).unwrap()
}

/// A classic group that is stable; the leader, which is the first, gives each the partitions that are named.
fn classic_group(bench: &mut Bench, members: &mut [&mut Classic], assignments: &[Bytes]) {
    let calls: Vec<CallId> = members.iter_mut().map(|member| member.begin_join(bench).unwrap()).collect();
    bench.pass(10_000);
    for (member, call) in members.iter_mut().zip(calls) {
        let Some(Answer::JoinGroup(answer)) = bench.answer(call) else { panic!() };
        member.joined(&answer);
    }
    let assigned = members.iter().zip(assignments).map(|(member, assignment)| SyncGroupRequestAssignment {
        member_id: member.id.clone(),
        assignment: assignment.clone(),
        ..SyncGroupRequestAssignment::default()
    });
    let request = SyncGroupRequest { assignments: assigned.collect(), ..members[0].sync_request() };
    let (_, answer) = bench.call(5, Command::SyncGroup(request));
    let Some(Answer::SyncGroup(answer)) = answer else { panic!() };
    assert_eq!(answer.error_code, 0);
    members[0].take(&answer.assignment);
    for member in &mut members[1..] {
        assert_eq!(member.sync(bench), ErrorCode::None);
    }
}

fn two_in_a_classic_group(bench: &mut Bench) -> (Classic, Classic) {
    let (mut a, mut b) = (Classic::new(&["t"]), Classic::new(&["t"]));
    classic_group(
        bench,
        &mut [&mut a, &mut b],
        &[assignment_of("t", &[0, 1, 2], None), assignment_of("t", &[3, 4, 5], None)],
    );
    (a, b)
}

fn settle_mixed(bench: &mut Bench, classic: &mut [&mut Classic], consumers: &mut [&mut Member]) {
    for _ in 0..30 {
        let mut moved = false;
        for member in classic.iter_mut() {
            moved |= member.beat(bench);
        }
        for member in consumers.iter_mut() {
            member.beat(bench);
            moved |= !bench.records.is_empty();
        }
        bench.pass(3_000);
        if !moved && bench.records.is_empty() {
            return;
        }
    }
    panic!("the group does not come to rest");
}

fn all(classic: &[&Classic], consumers: &[&Member]) -> Vec<i32> {
    let of_classic = classic.iter().flat_map(|member| member.has.iter().map(|(_, partition)| *partition));
    let of_consumers = consumers.iter().flat_map(|member| member.has.values().flatten().copied());
    let mut all: Vec<i32> = of_classic.chain(of_consumers).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_classic_group_goes_over_with_its_first_consumer_and_back_with_its_last() {
    let mut bench = Bench::new();
    bench.topic("t", 6);
    let (mut a, mut b) = two_in_a_classic_group(&mut bench);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let kinds = bench.kinds();
    assert_eq!(
        kinds[..9],
        [
            "GroupMetadata",
            "ConsumerGroupMemberMetadata",
            "ConsumerGroupMemberMetadata",
            "ConsumerGroupMetadata",
            "ConsumerGroupTargetAssignmentMember",
            "ConsumerGroupTargetAssignmentMember",
            "ConsumerGroupTargetAssignmentMetadata",
            "ConsumerGroupCurrentMemberAssignment",
            "ConsumerGroupCurrentMemberAssignment",
        ]
    );
    assert!(bench.machine.state().classic.is_empty());
    assert_eq!((c.epoch, c.count(), bench.epochs()), (2, 0, (2, 2)));
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::RebalanceInProgress);
    assert_eq!(a.sync(&mut bench), ErrorCode::RebalanceInProgress);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!((a.has.len(), b.has.len(), c.count()), (2, 2, 2));
    assert_eq!(all(&[&a, &b], &[&c]), [0, 1, 2, 3, 4, 5]);

    // It lives on after a restart.
    bench.restart();
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    let epoch = bench.epochs().0;
    c.leave(&mut bench);
    assert_eq!(*bench.kinds().last().unwrap(), "GroupMetadata");
    assert!(bench.machine.state().consumer.is_empty());
    let group = &bench.machine.state().classic["g"];
    assert_eq!(
        (group.generation, group.protocol.as_deref(), group.members.len()),
        (epoch, Some("cooperative-sticky"), 2)
    );
    let assigned = ConsumerProtocolAssignment::decode_with_version(&group.members[0].assignment).unwrap();
    assert_eq!(assigned.assigned_partitions[0].partitions.len(), 2);
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.heartbeat(c.short(true)).error_code, ErrorCode::GroupIdNotFound.code());
    let waits = a.begin_join(&mut bench).unwrap();
    let answer = b.begin_join(&mut bench).unwrap_err();
    assert_eq!((answer.error_code, answer.generation_id), (0, epoch + 1));
    assert!(bench.answer(waits).is_some());
}

#[test]
fn who_waits_for_the_classic_group_is_told_to_join_again() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let mut a = Classic::new(&["t"]);
    let waits = a.begin_join(&mut bench).unwrap();
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let Some(Answer::JoinGroup(answer)) = bench.answer(waits) else { panic!() };
    assert_eq!(answer.error_code, ErrorCode::RebalanceInProgress.code());
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    assert_eq!(a.sync(&mut bench), ErrorCode::None);
    settle_mixed(&mut bench, &mut [&mut a], &mut [&mut c]);
    assert_eq!(all(&[&a], &[&c]), [0]);
}

#[test]
fn a_group_that_cannot_go_over_stays_as_it_is() {
    let refuse = |policy: MigrationPolicy, change: &dyn Fn(&mut Classic), assignment: Bytes, message: &str| {
        let mut bench = Bench::with(GroupSettings { migration: policy, ..GroupSettings::default() });
        bench.topic("t", 2);
        let mut a = Classic::new(&["t"]);
        change(&mut a);
        let call = a.begin_join(&mut bench).unwrap();
        bench.pass(10_000);
        let Some(Answer::JoinGroup(answer)) = bench.answer(call) else { panic!() };
        a.joined(&answer);
        let assigned = SyncGroupRequestAssignment { member_id: a.id.clone(), assignment, ..Default::default() };
        let protocol_type = Some(a.protocol_type.clone());
        let request = SyncGroupRequest { assignments: vec![assigned], protocol_type, ..a.sync_request() };
        bench.call(5, Command::SyncGroup(request)).1.unwrap();
        let c = Member::new("c", &["t"]);
        let answer = bench.heartbeat(c.full());
        assert_eq!(answer.error_code, ErrorCode::GroupIdNotFound.code());
        assert!(answer.error_message.as_ref().is_some_and(|told| told.contains(message)), "{answer:?}");
        assert!(bench.records.is_empty() && bench.machine.state().consumer.is_empty());
        assert_eq!(a.heartbeat(&mut bench), ErrorCode::None);
    };
    let good = || assignment_of("t", &[0], None);
    refuse(MigrationPolicy::Disabled, &|_| {}, good(), "because online upgrade is disabled.");
    refuse(MigrationPolicy::Downgrade, &|_| {}, good(), "because online upgrade is disabled.");
    let connect = |member: &mut Classic| member.protocol_type = "connect".to_owned();
    refuse(MigrationPolicy::Upgrade, &connect, good(), "does not use the consumer embedded protocol.");
    let with_data = assignment_of("t", &[0], Some(b"data"));
    refuse(MigrationPolicy::Bidirectional, &|_| {}, with_data, "an unsupported custom assignor is in use.");
    let malformed = Bytes::from_static(b"\x00\x00\x7f\xff");
    refuse(MigrationPolicy::Bidirectional, &|_| {}, malformed, "the embedded consumer protocol is malformed.");
}

#[test]
fn a_group_that_came_to_the_classic_protocol_rebalances_also_where_its_coordinator_begins_anew() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let mut a = Classic::new(&["t"]);
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    settle_mixed(&mut bench, &mut [&mut a], &mut [&mut c]);
    assert_eq!((a.has.len(), c.count()), (1, 1));
    c.leave(&mut bench);
    assert!(bench.machine.state().classic.contains_key("g"));
    bench.restart();
    // Else what has left with the other would be nobody's.
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::RebalanceInProgress);
}

#[test]
fn who_was_thrown_out_lets_go_of_what_it_had_before_it_joins_anew() {
    let mut bench = Bench::new();
    bench.topic("t", 6);
    let (mut a, mut b) = two_in_a_classic_group(&mut bench);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    // `a` is thrown out, and does not know.
    assert_eq!(a.leave(&mut bench), ErrorCode::None);
    settle_mixed(&mut bench, &mut [&mut b], &mut [&mut c]);
    assert!(!a.has.is_empty());
    let refused = a.begin_join(&mut bench).unwrap_err();
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
    a.has.clear();
    a.id.clear();
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!(all(&[&a, &b], &[&c]), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn who_was_thrown_out_and_does_not_let_go_joins_with_a_new_id_all_the_same() {
    let mut bench = Bench::new();
    bench.topic("t", 6);
    let (mut a, mut b) = two_in_a_classic_group(&mut bench);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!(a.leave(&mut bench), ErrorCode::None);
    settle_mixed(&mut bench, &mut [&mut b], &mut [&mut c]);
    let refused = a.begin_join(&mut bench).unwrap_err();
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
    a.id.clear();
    assert!(!a.has.is_empty());
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!(all(&[&a, &b], &[&c]), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_static_member_is_looked_for_before_what_it_says_is_read() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    Member::fixed("c", "i", &["t"]).join(&mut bench);
    let mut join = |member_id: &str, instance_id: &str| {
        let instance_id = Some(instance_id.to_owned());
        let mut request = JoinGroupRequest { member_id: member_id.to_owned(), ..Classic::new(&["t"]).request() };
        request.protocols.iter_mut().for_each(|protocol| protocol.metadata = Bytes::new());
        let command = Command::JoinGroup(JoinGroupRequest { group_instance_id: instance_id, ..request });
        let Some(Answer::JoinGroup(answer)) = bench.call(9, command).1 else { panic!("it waits") };
        ErrorCode::from(answer.error_code)
    };
    assert_eq!(join("x", "other"), ErrorCode::UnknownMemberId);
    assert_eq!(join("x", "i"), ErrorCode::FencedInstanceId);
    assert_eq!(join("c", "i"), ErrorCode::UnknownServerError);
}

#[test]
fn a_group_that_has_not_had_a_generation_has_an_epoch_all_the_same() {
    let mut bench = Bench::new();
    let mut a = Classic::new(&["t"]);
    let call = a.begin_join(&mut bench).unwrap();
    let c = Member::by_regex("c", "t.*");
    let answer = bench.heartbeat(c.full());
    assert_eq!((answer.error_code, answer.member_epoch), (0, 2));
    assert!(matches!(bench.answer(call), Some(Answer::JoinGroup(_))), "it is to join again");
}

#[test]
fn an_invalid_expression_does_not_convert_a_group() {
    let mut bench = Bench::new();
    bench.topic("t", 6);
    let (a, _) = two_in_a_classic_group(&mut bench);
    let c = Member::by_regex("c", "(");
    assert_eq!(c.error(&mut bench, c.full()), ErrorCode::InvalidRegularExpression);
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::None);
}

#[test]
fn members_of_the_classic_protocol_join_a_consumer_group_and_are_bound_by_their_timeouts() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let mut a = Classic::new(&["t"]);
    let answer = a.begin_join(&mut bench).unwrap_err();
    assert_eq!((answer.protocol_name.as_deref(), answer.leader.as_str()), (Some("cooperative-sticky"), ""));
    a.joined(&answer);
    let wrong = |change: &dyn Fn(&mut Classic)| {
        let mut other = a.clone();
        change(&mut other);
        other
    };
    assert_eq!(wrong(&|a| a.generation -= 1).sync(&mut bench), ErrorCode::IllegalGeneration);
    assert_eq!(wrong(&|a| a.id.push('x')).sync(&mut bench), ErrorCode::UnknownMemberId);
    assert_eq!(wrong(&|a| a.id = "c".to_owned()).heartbeat(&mut bench), ErrorCode::UnknownMemberId);
    let unnamed = SyncGroupRequest { protocol_name: Some("range".to_owned()), ..a.sync_request() };
    let (_, answer) = bench.call(5, Command::SyncGroup(unnamed));
    assert!(
        matches!(answer, Some(Answer::SyncGroup(answer)) if answer.error_code == ErrorCode::InconsistentGroupProtocol.code())
    );
    assert_eq!(a.sync(&mut bench), ErrorCode::None);
    settle_mixed(&mut bench, &mut [&mut a], &mut [&mut c]);
    assert_eq!((a.has.len(), c.count()), (1, 1));

    // Who does not ask for its assignment in time is removed.
    let mut late = Classic::new(&["t"]);
    let answer = late.begin_join(&mut bench).unwrap_err();
    late.joined(&answer);
    for _ in 0..8 {
        bench.pass(5_000);
        late.heartbeat(&mut bench);
        a.beat(&mut bench);
        c.beat(&mut bench);
    }
    assert_eq!(late.heartbeat(&mut bench), ErrorCode::UnknownMemberId);
    settle_mixed(&mut bench, &mut [&mut a], &mut [&mut c]);
    assert_eq!((a.has.len(), c.count()), (1, 1));
    // Who does not join when it is told to is removed.
    bench.topic("t", 4);
    for _ in 0..9 {
        c.beat(&mut bench);
        bench.pass(5_000);
        a.heartbeat(&mut bench);
    }
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::UnknownMemberId);
    settle(&mut bench, &mut [&mut c]);
    assert_eq!(c.count(), 4);
    // Its own session timeout counts.
    let mut a = Classic::new(&["t"]);
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    settle_mixed(&mut bench, &mut [&mut a], &mut [&mut c]);
    for _ in 0..6 {
        bench.pass(5_000);
        c.beat(&mut bench);
    }
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::UnknownMemberId);
}

#[test]
fn classic_members_leave_one_by_one_and_an_empty_group_is_anybodys() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let mut a = Classic::new(&["t"]);
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    a.sync(&mut bench);
    assert_eq!(a.leave(&mut bench), ErrorCode::None);
    assert_eq!(a.leave(&mut bench), ErrorCode::UnknownMemberId);
    c.leave(&mut bench);
    assert_eq!(bench.state_name(), "Empty");
    // Now it is the first one to come that says what it is.
    let mut b = Classic::new(&["t"]);
    let call = b.begin_join(&mut bench).unwrap();
    assert!(bench.machine.state().consumer.is_empty());
    bench.pass(10_000);
    assert!(bench.answer(call).is_some());
}

#[test]
fn a_static_member_changes_its_protocol_and_keeps_its_partitions() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let mut a = Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"]) };
    let mut b = Classic::new(&["t"]);
    classic_group(
        &mut bench,
        &mut [&mut a, &mut b],
        &[assignment_of("t", &[0, 1], None), assignment_of("t", &[2, 3], None)],
    );
    // To the new protocol.
    let mut c = Member::fixed("c", "i", &["t"]);
    c.join(&mut bench);
    assert_eq!(c.has.values().flatten().copied().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::FencedInstanceId);
    settle_mixed(&mut bench, &mut [&mut b], &mut [&mut c]);
    assert_eq!(all(&[&b], &[&c]), [0, 1, 2, 3]);
    // And back: with it the group is a classic one again, and stable.
    let mut again = Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"]) };
    let answer = again.begin_join(&mut bench).unwrap_err();
    again.joined(&answer);
    assert!(bench.machine.state().consumer.is_empty());
    assert_eq!(again.sync(&mut bench), ErrorCode::None);
    assert_eq!(again.has.iter().map(|(_, partition)| *partition).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(again.heartbeat(&mut bench), ErrorCode::None);
    assert_eq!(b.heartbeat(&mut bench), ErrorCode::None);
}

#[test]
fn a_static_member_that_goes_back_waits_for_what_others_have_to_give_up() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let mut b = Classic::new(&["t"]);
    classic_group(&mut bench, &mut [&mut b], &[assignment_of("t", &[0, 1, 2, 3], None)]);
    let mut c = Member::fixed("c", "i", &["t"]);
    c.join(&mut bench);
    assert!(c.has.values().flatten().count() == 0 && b.has.len() == 4);
    let mut again = Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"]) };
    let answer = again.begin_join(&mut bench).unwrap_err();
    again.joined(&answer);
    assert!(bench.machine.state().consumer.is_empty());
    // Half of it is to be its, and is still the other's.
    assert_eq!(again.sync(&mut bench), ErrorCode::RebalanceInProgress);
    let call = again.begin_join(&mut bench).unwrap();
    assert_eq!(b.heartbeat(&mut bench), ErrorCode::IllegalGeneration);
    (b.generation, b.has) = (-1, BTreeSet::new());
    b.begin_join(&mut bench).unwrap_err();
    let Some(Answer::JoinGroup(answer)) = bench.answer(call) else { panic!("all have joined") };
    assert_eq!((answer.members.len(), answer.skip_assignment), (2, false));
}

#[test]
fn a_static_member_that_wants_something_else_in_the_classic_protocol_is_told_to_join_again_when_it_syncs() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    bench.topic("u", 2);
    Member::fixed("c", "i", &["t"]).join(&mut bench);
    let mut a = Classic::new(&["u"]);
    a.id = "c".to_owned();
    a.instance_id = Some("i".to_owned());
    let answer = a.begin_join(&mut bench).unwrap_err();
    a.joined(&answer);
    assert!(bench.machine.state().classic.contains_key("g"));
    assert_eq!(a.sync(&mut bench), ErrorCode::RebalanceInProgress);
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::RebalanceInProgress);
}

#[test]
fn what_a_leader_gave_to_two_is_one_members() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let (mut a, mut b) = (Classic::new(&["t"]), Classic::new(&["t"]));
    classic_group(
        &mut bench,
        &mut [&mut a, &mut b],
        &[assignment_of("t", &[0, 1], None), assignment_of("t", &[1, 99], None)],
    );
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!(all(&[&a, &b], &[&c]), [0, 1]);
}

#[test]
fn where_groups_may_not_change_their_kind_they_are_strangers() {
    let settings = GroupSettings { migration: MigrationPolicy::Disabled, ..GroupSettings::default() };
    let mut bench = Bench::with(settings);
    bench.topic("t", 2);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    let refused = Classic::new(&["t"]).begin_join(&mut bench).unwrap_err();
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol.code());

    // Where it may go over but not back, it stays a consumer group.
    let mut bench = Bench::with(GroupSettings { migration: MigrationPolicy::Upgrade, ..GroupSettings::default() });
    bench.topic("t", 6);
    let (mut a, mut b) = two_in_a_classic_group(&mut bench);
    let mut c = Member::new("c", &["t"]);
    c.join(&mut bench);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut [&mut c]);
    c.leave(&mut bench);
    settle_mixed(&mut bench, &mut [&mut a, &mut b], &mut []);
    assert_eq!(bench.state_name(), "Assigning");
}

#[test]
fn a_group_that_would_not_fit_the_log_when_it_went_over_stays_as_it_is() {
    let mut bench = Bench::with(GroupSettings { record_max_bytes: 4_000, ..GroupSettings::default() });
    bench.topic("t", 6);
    let (a, _) = two_in_a_classic_group(&mut bench);
    let mut joining = Classic::new(&["t"]);
    let waits = joining.begin_join(&mut bench).unwrap();
    let (deadline, answers) = (bench.machine.next_deadline(), bench.answers.len());
    let names: Vec<String> = (0..200).map(|n| format!("a-topic-with-some-name-{n}")).collect();
    let c = Member::new("c", &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(c.error(&mut bench, c.full()), ErrorCode::UnknownServerError);
    assert!(bench.machine.state().consumer.is_empty() && bench.machine.soft.consumer.groups.is_empty());
    assert_eq!((bench.machine.next_deadline(), bench.answers.len()), (deadline, answers));
    // Who has waited still does, and the group goes on.
    assert_eq!(bench.answer(waits), None);
    assert_eq!(a.heartbeat(&mut bench), ErrorCode::RebalanceInProgress);
}
