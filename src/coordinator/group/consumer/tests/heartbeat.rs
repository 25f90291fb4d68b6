//! Members that join, move, fall behind and go.

use felice_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

use super::*;

#[test]
fn who_joins_alone_has_everything_with_one_heartbeat() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 3);
    let mut a = Member::new("a", &["t"]);
    a.join(&mut bench);
    assert_eq!((a.epoch, &a.has), (2, &BTreeMap::from([(topic, vec![0, 1, 2])])));
    let member = "ConsumerGroupMemberMetadata";
    assert_eq!(
        bench.kinds(),
        [
            member,
            "ConsumerGroupMetadata",
            "ConsumerGroupTargetAssignmentMember",
            "ConsumerGroupTargetAssignmentMetadata",
            "ConsumerGroupCurrentMemberAssignment"
        ]
    );
    assert_eq!((bench.epochs(), bench.state_name()), ((2, 2), "Stable"));
    let answer = bench.heartbeat(a.short(true));
    assert_eq!((answer.member_epoch, answer.assignment, bench.records.len()), (2, None, 0));
    assert_eq!(answer.heartbeat_interval_ms, 5_000);
    // Who repeats all that it has said is told all of it.
    let answer = bench.heartbeat(a.full());
    assert_eq!((answer.assignment.is_some(), bench.records.len()), (true, 0));
}

#[test]
fn partitions_go_from_one_to_another_when_they_were_given_up() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    assert_eq!((b.epoch, b.count(), bench.state_name()), (3, 0, "Reconciling"));

    // It is told, has not done it, and has: only then has the other one them.
    let answer = bench.heartbeat(a.short(true));
    assert_eq!((answer.member_epoch, answer.assignment.as_ref().unwrap().topic_partitions[0].partitions.len()), (2, 2));
    let answer_again = bench.heartbeat(a.short(true));
    assert_eq!((answer_again.assignment, bench.records.len()), (None, 0));
    b.beat(&mut bench);
    assert_eq!(b.count(), 0);
    a.take(&answer);
    a.beat(&mut bench);
    assert_eq!((a.epoch, a.count()), (3, 2));
    b.beat(&mut bench);
    assert_eq!((b.epoch, b.count(), bench.state_name()), (3, 2, "Stable"));
    assert!(a.has.values().flatten().all(|partition| !b.has.values().flatten().any(|other| other == partition)));
}

#[test]
fn what_was_not_given_up_in_time_ends_the_membership() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    bench.heartbeat(a.short(true));
    for _ in 0..11 {
        bench.pass(HEARTBEAT_MS);
        bench.heartbeat(a.short(true));
        b.beat(&mut bench);
    }
    assert_eq!(b.count(), 0);
    bench.pass(HEARTBEAT_MS);
    assert_eq!(a.error(&mut bench, a.short(true)), ErrorCode::UnknownMemberId);
    b.beat(&mut bench);
    assert_eq!(b.count(), 2);
}

#[test]
fn who_is_not_heard_of_is_removed_and_who_leaves_too() {
    let mut bench = Bench::new();
    bench.topic("t", 3);
    let (mut a, mut b, mut c) = (Member::new("a", &["t"]), Member::new("b", &["t"]), Member::new("c", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    c.join(&mut bench);
    settle(&mut bench, &mut [&mut a, &mut b, &mut c]);
    assert_eq!([a.count(), b.count(), c.count()], [1, 1, 1]);
    c.leave(&mut bench);
    assert_eq!(
        bench.kinds(),
        [
            "ConsumerGroupCurrentMemberAssignment",
            "ConsumerGroupTargetAssignmentMember",
            "ConsumerGroupMemberMetadata",
            "ConsumerGroupMetadata"
        ]
    );
    assert_eq!(bench.state_name(), "Assigning");
    // Heartbeats of one keep its session only.
    for _ in 0..9 {
        bench.pass(HEARTBEAT_MS);
        a.beat(&mut bench);
    }
    assert_eq!(a.count(), 3);
    assert_eq!(b.error(&mut bench, b.short(true)), ErrorCode::UnknownMemberId);
    a.leave(&mut bench);
    assert_eq!(bench.state_name(), "Empty");
    bench.pass(SESSION_MS * 2);
    assert!(bench.records.is_empty() && bench.machine.next_deadline().is_none());
    // Who comes back later goes on from the group's epoch.
    let before = bench.epochs().0;
    a.join(&mut bench);
    assert_eq!((a.epoch, a.count()), (before + 1, 3));
}

#[test]
fn sessions_and_rebalances_begin_anew_with_the_coordinator() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    let told = bench.heartbeat(a.short(true));
    bench.pass(SESSION_MS - 1);
    bench.restart();
    bench.pass(SESSION_MS - 1);
    a.take(&told);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [1, 1]);
    bench.restart();
    bench.pass(SESSION_MS);
    assert_eq!(bench.state_name(), "Empty");
}

#[test]
fn epochs_of_others_times_are_fenced_but_a_lost_answer_is_forgiven() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    a.beat(&mut bench);
    let lost = bench.heartbeat(a.short(true));
    assert_eq!((a.epoch, lost.member_epoch), (2, 3));
    // The answer was lost: it comes with the epoch before and no more than it was given.
    let again = bench.heartbeat(a.short(true));
    assert_eq!((again.error_code, again.member_epoch), (0, 3));
    assert_eq!(a.error(&mut bench, a.short(false)), ErrorCode::FencedMemberEpoch);
    let mut greedy = a.clone();
    greedy.has.values_mut().for_each(|partitions| *partitions = vec![0, 1, 2, 3]);
    assert_eq!(greedy.error(&mut bench, greedy.short(true)), ErrorCode::FencedMemberEpoch);
    for epoch in [1, 4] {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..a.short(true) };
        assert_eq!(a.error(&mut bench, request), ErrorCode::FencedMemberEpoch);
    }
    // A fenced member joins anew under its id, and has what it had.
    a.join(&mut bench);
    assert_eq!((a.epoch, a.count()), (3, 2));
}

#[test]
fn a_coordinator_of_the_first_version_names_its_members() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let nameless = Member::new("", &["t"]);
    let answer = bench.heartbeat_v(0, nameless.full());
    assert_eq!(answer.member_epoch, 2);
    assert_eq!(answer.member_id.map(|id| id.len()), Some(22));
}

#[test]
fn what_is_wrong_with_a_request_is_told_before_the_group_is_looked_at() {
    type Change = fn(&mut ConsumerGroupHeartbeatRequest);
    let cases: &[(i16, Change, ErrorCode, &str)] = &[
        (1, |r| r.member_id = String::new(), ErrorCode::InvalidRequest, "MemberId can't be empty."),
        (
            0,
            |r| (r.member_id, r.member_epoch) = (String::new(), -1),
            ErrorCode::InvalidRequest,
            "MemberId can't be empty.",
        ),
        (1, |r| r.group_id = "  ".to_owned(), ErrorCode::InvalidRequest, "GroupId can't be empty."),
        (1, |r| r.instance_id = Some(String::new()), ErrorCode::InvalidRequest, "InstanceId can't be empty."),
        (1, |r| r.rack_id = Some(String::new()), ErrorCode::InvalidRequest, "RackId can't be empty."),
        (
            1,
            |r| r.rebalance_timeout_ms = -1,
            ErrorCode::InvalidRequest,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            1,
            |r| r.topic_partitions = None,
            ErrorCode::InvalidRequest,
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            1,
            |r| r.subscribed_topic_names = None,
            ErrorCode::InvalidRequest,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (1, |r| r.member_epoch = -2, ErrorCode::InvalidRequest, "InstanceId can't be null."),
        (1, |r| r.member_epoch = -3, ErrorCode::InvalidRequest, "MemberEpoch is invalid."),
        (
            1,
            |r| r.server_assignor = Some("best".to_owned()),
            ErrorCode::UnsupportedAssignor,
            "ServerAssignor best is not supported. Supported assignors: uniform, range.",
        ),
        (1, |r| r.member_epoch = 1, ErrorCode::GroupIdNotFound, "Consumer group g not found."),
        (1, |r| r.member_epoch = -1, ErrorCode::GroupIdNotFound, "Group g not found."),
    ];
    for (version, change, error, message) in cases {
        let mut bench = Bench::new();
        let mut request = Member::new("a", &["t"]).full();
        change(&mut request);
        let answer = bench.heartbeat_v(*version, request);
        assert_eq!((ErrorCode::from(answer.error_code), answer.error_message.as_deref()), (*error, Some(*message)));
        assert!(bench.log.is_empty() && bench.machine.next_deadline().is_none());
    }
}

#[test]
fn a_full_group_takes_nobody_but_who_is_in_it() {
    let mut bench = Bench::with(GroupSettings { consumer_max_size: 2, ..GroupSettings::default() });
    let (mut a, mut b, c) = (Member::new("a", &["t"]), Member::new("b", &["t"]), Member::new("c", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    assert_eq!(c.error(&mut bench, c.full()), ErrorCode::GroupMaxSizeReached);
    b.join(&mut bench);
    assert_eq!(
        a.error(&mut bench, ConsumerGroupHeartbeatRequest { member_id: "x".into(), ..a.short(true) }),
        ErrorCode::GroupMaxSizeReached
    );
}

#[test]
fn assignments_are_not_made_more_often_than_they_may_be() {
    let mut bench = Bench::with(GroupSettings::default());
    bench.topic("t", 2);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    assert_eq!((bench.epochs(), b.epoch, b.count(), bench.state_name()), ((3, 2), 2, 0, "Assigning"));
    bench.pass(999);
    a.beat(&mut bench);
    assert_eq!(bench.epochs(), (3, 2));
    bench.pass(1);
    a.beat(&mut bench);
    assert_eq!(bench.epochs(), (3, 3));
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [1, 1]);
}

#[test]
fn the_assignor_that_most_ask_for_is_used() {
    let mut bench = Bench::new();
    for topic in ["t", "u", "v"] {
        bench.topic(topic, 1);
    }
    let (mut a, mut b) = (Member::new("a", &["t", "u", "v"]), Member::new("b", &["t", "u", "v"]));
    (a.assignor, b.assignor) = (Some("range".to_owned()), Some("range".to_owned()));
    a.join(&mut bench);
    b.join(&mut bench);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [3, 0]);
    b.assignor = Some("uniform".to_owned());
    bench.heartbeat(b.full());
    // A change of that alone waits for the next epoch. Of two that as many ask for, the broker's first is taken.
    assert_eq!(bench.kinds(), ["ConsumerGroupMemberMetadata"]);
    bench.topic("t", 2);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [2, 2]);
}

#[test]
fn many_members_come_to_rest_with_a_share_each() {
    let mut bench = Bench::new();
    bench.topic("t", 120);
    let mut members: Vec<Member> = (0..40).map(|n| Member::new(&format!("m{n:04}"), &["t"])).collect();
    for member in &mut members {
        member.join(&mut bench);
    }
    let mut refs: Vec<&mut Member> = members.iter_mut().collect();
    settle(&mut bench, &mut refs);
    assert!(members.iter().all(|member| member.count() == 3));
}

#[test]
fn what_does_not_fit_the_log_is_refused_and_others_go_on() {
    let mut bench = Bench::with(GroupSettings { record_max_bytes: 4_000, ..GroupSettings::default() });
    bench.topic("t", 6);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    // It has to give something up: its time runs whatever another does.
    bench.pass(1_000);
    b.beat(&mut bench);
    let told = bench.heartbeat(a.short(true));
    let names: Vec<String> = (0..200).map(|n| format!("a-topic-with-some-name-{n}")).collect();
    let large = Member { names: Some(names), ..b.clone() };
    assert_eq!(large.error(&mut bench, large.full()), ErrorCode::UnknownServerError);
    assert_eq!(bench.machine.state().consumer["g"].members["b"].subscribed_topic_names, ["t"]);
    a.take(&told);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [3, 3]);
}

#[test]
fn a_group_whose_assignment_does_not_fit_the_log_takes_nobody_else() {
    let mut bench = Bench::with(GroupSettings { record_max_bytes: 4_000, ..GroupSettings::default() });
    bench.topic("t", 100);
    let mut members: Vec<Member> = (0..60).map(|n| Member::new(&format!("member-{n:04}"), &["t"])).collect();
    let mut refused = Vec::new();
    for (index, member) in members.iter_mut().enumerate() {
        let answer = bench.heartbeat(member.full());
        bench.pass(100);
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => member.take(&answer),
            error => refused.push((index, error)),
        }
    }
    let refused_first = refused.first().unwrap().0;
    assert!((10..50).contains(&refused_first), "{refused:?}");
    assert!(refused.iter().any(|(_, error)| *error == ErrorCode::GroupMaxSizeReached), "{refused:?}");
    // Those that are in go on, and when enough have left the others have their shares.
    members.truncate(refused_first);
    for member in &mut members {
        member.beat(&mut bench);
    }
    while members.len() > 8 {
        members.pop().unwrap().leave(&mut bench);
    }
    bench.pass(2_000);
    settle(&mut bench, &mut members.iter_mut().collect::<Vec<_>>());
    assert_eq!(members.iter().map(Member::count).sum::<usize>(), 100);
    Member::new("another", &["t"]).join(&mut bench);
}

#[test]
fn a_group_that_was_full_is_open_again_when_all_have_left() {
    let mut bench = Bench::with(GroupSettings { record_max_bytes: 4_000, ..GroupSettings::default() });
    bench.topic("t", 100);
    let mut members = Vec::new();
    for n in 0..60 {
        let mut member = Member::new(&format!("member-{n:04}"), &["t"]);
        let answer = bench.heartbeat(member.full());
        bench.pass(100);
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => {
                member.take(&answer);
                members.push(member);
            }
            ErrorCode::GroupMaxSizeReached => break,
            _ => {}
        }
    }
    assert!((10..50).contains(&members.len()), "it was full: {}", members.len());
    members.iter_mut().for_each(|member| member.leave(&mut bench));
    let mut another = Member::new("another", &["t"]);
    another.join(&mut bench);
    bench.pass(2_000);
    settle(&mut bench, &mut [&mut another]);
    assert_eq!(another.count(), 100);
}

/// Who joins a large group costs about what who joined a small one did: the target is made once a second, and only what is new of
/// it is written.
#[test]
fn thousands_join_one_group_and_each_costs_the_same() {
    let mut bench = Bench::with(GroupSettings::default());
    bench.topic("t", 100);
    let mut written = 0;
    for n in 0..5_000 {
        let request = Member::new(&format!("member-{n:06}"), &["t"]).full();
        let caller = bench.caller(1);
        let (image, mut out) = (bench.image.clone(), Out::default());
        bench.now += 1;
        bench.machine.decide(Timestamp(bench.now), &image, &caller, Command::ConsumerGroupHeartbeat(request), &mut out);
        written += out.records.len();
    }
    assert_eq!(bench.machine.state().consumer["g"].members.size(), 5_000);
    assert!(written < 5_000 * 4 + 500, "{written}");
}
