//! Who may join, and as whom.

use felice_protocol::coordinator::offsets::GroupMetadataValue;

use super::*;

#[test]
fn what_is_refused_at_once_changes_nothing() {
    let long = || "x".repeat(40_000);
    let table = [
        (JoinGroupRequest { session_timeout_ms: 5_999, ..joining("m") }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { session_timeout_ms: 1_800_001, ..joining("m") }, ErrorCode::InvalidSessionTimeout),
        (JoinGroupRequest { session_timeout_ms: -1, ..joining("m") }, ErrorCode::InvalidSessionTimeout),
        (joining("of a group that is not there"), ErrorCode::UnknownMemberId),
        (joining_as("i", "of a group that is not there"), ErrorCode::UnknownMemberId),
        (JoinGroupRequest { group_id: long(), ..joining("") }, ErrorCode::UnknownServerError),
        (JoinGroupRequest { protocol_type: long(), ..joining("") }, ErrorCode::UnknownServerError),
        (JoinGroupRequest { protocols: protocols(&[(&long(), "")]), ..joining("") }, ErrorCode::UnknownServerError),
        (joining_as(&"i".repeat(32_760), ""), ErrorCode::UnknownServerError),
    ];
    for (request, expected) in table {
        let mut bench = bench();
        let member_id = request.member_id.clone();
        let call = bench.join(request);
        assert_eq!(bench.refused(call), (expected, member_id));
        assert_eq!((bench.state(), bench.records().len(), bench.is_at_rest()), ("Dead", 0, true));
    }
}

#[test]
fn a_member_without_an_id_is_given_one_to_join_with() {
    let mut bench = bench();
    let call = bench.call_as(Command::JoinGroup(joining("")), 4, "app");
    let (code, member_id) = bench.refused(call);
    assert_eq!((code, &*member_id), (ErrorCode::MemberIdRequired, "app-00000000-0000-0000-0000-000000000001"));
    let value = bench.record().expect("a new group is recorded");
    let empty = GroupMetadataValue { current_state_timestamp: bench.now.0, ..GroupMetadataValue::default() };
    assert_eq!(value, empty);
    assert_eq!(bench.state(), "Empty");

    let request = joining(&member_id);
    let call = bench.join(request.clone());
    assert_eq!((bench.state(), bench.waiting()), ("PreparingRebalance", 1));
    bench.pass(i64::from(DELAY_MS));
    let seat = bench.seat(call, &request);
    assert_eq!((&*seat.member_id, seat.leads, seat.generation), (&*member_id, true, 1));
    assert_eq!(bench.records(), [], "a generation is recorded when it is assigned");
}

#[test]
fn before_version_4_and_as_a_static_member_no_id_is_needed() {
    for (request, version, prefix) in
        [(joining(""), 3, "app-"), (joining_as("i", ""), 5, "i-"), (joining_as("i", ""), 9, "i-")]
    {
        let mut bench = bench();
        let call = bench.call_as(Command::JoinGroup(request.clone()), version, "app");
        bench.pass(i64::from(DELAY_MS));
        assert!(bench.seat(call, &request).member_id.starts_with(prefix));
    }
}

#[test]
fn a_member_id_that_is_not_used_is_forgotten_with_its_session() {
    let mut bench = bench();
    let call = bench.join(joining(""));
    let (_, member_id) = bench.refused(call);
    bench.pass(i64::from(SESSION_MS));
    let call = bench.join(joining(&member_id));
    assert_eq!(bench.refused(call), (ErrorCode::UnknownMemberId, member_id));
    assert_eq!((bench.state(), bench.is_at_rest()), ("Empty", true));
}

#[test]
fn a_member_id_that_was_given_to_a_dynamic_member_is_no_static_member_s() {
    let mut bench = bench();
    let call = bench.join(joining(""));
    let (_, member_id) = bench.refused(call);
    let call = bench.join(joining_as("i", &member_id));
    assert_eq!(bench.refused(call), (ErrorCode::UnknownServerError, String::new()));
}

#[test]
fn whose_protocols_do_not_match_is_refused() {
    let other_type = || JoinGroupRequest { protocol_type: "connect".to_owned(), ..joining("") };
    let other_name = || JoinGroupRequest { protocols: protocols(&[("sticky", "m")]), ..joining("") };
    let no_type = || JoinGroupRequest { protocol_type: String::new(), ..joining("") };
    let no_protocol = || JoinGroupRequest { protocols: Vec::new(), ..joining("") };
    for request in [no_type(), no_protocol()] {
        let mut bench = bench();
        let call = bench.join(request);
        assert_eq!(bench.refused(call).0, ErrorCode::InconsistentGroupProtocol, "of an empty group");
    }
    for request in [other_type(), other_name(), no_type(), no_protocol()] {
        let mut bench = bench();
        let seats = bench.stable(2);
        let call = bench.join(request.clone());
        assert_eq!(bench.refused(call), (ErrorCode::InconsistentGroupProtocol, String::new()));
        let member_id = seats[1].member_id.clone();
        let call = bench.join(JoinGroupRequest { member_id: member_id.clone(), ..request });
        assert_eq!(bench.refused(call), (ErrorCode::InconsistentGroupProtocol, member_id));
        assert_eq!(bench.state(), "Stable");
    }
}

#[test]
fn any_protocol_type_will_do_and_its_metadata_are_not_read() {
    let mut bench = bench();
    let connect = |metadata| JoinGroupRequest {
        protocol_type: "connect".to_owned(),
        protocols: protocols(&[("sessioned", metadata), ("default", "\u{1}")]),
        ..joining("")
    };
    let (first, second) = (bench.join_v3(connect("\0")), bench.join_v3(connect("not a subscription")));
    bench.pass(SETTLE_MS);
    for call in [first, second] {
        let answer = bench.joined(call).expect("answered");
        assert_eq!(answer.protocol_type.as_deref(), Some("connect"));
        assert_eq!(answer.protocol_name.as_deref(), Some("sessioned"));
        let metadata: Vec<&[u8]> = answer.members.iter().map(|member| &*member.metadata).collect();
        let all: [&[u8]; 2] = [b"\0", b"not a subscription"];
        assert_eq!(metadata, if answer.leader == answer.member_id { &all[..] } else { &[] });
    }
    assert!(!bench.machine.classic_subscribes(GROUP, "t"));
}

#[test]
fn the_protocol_is_what_most_like_best_of_what_all_know() {
    let table: [(&[&[&str]], &str); 5] = [
        (&[&["range", "sticky"], &["sticky", "range"], &["sticky", "range"]], "sticky"),
        (&[&["mine", "range"], &["range", "yours"], &["range"]], "range"),
        (&[&["b", "a"], &["a", "b"]], "a"),
        (&[&["a", "a", "b"], &["b"]], "b"),
        (&[&["a", "a"]], "a"),
    ];
    for (members, expected) in table {
        let mut bench = bench();
        let mut calls = Vec::new();
        for names in members {
            let of: Vec<(&str, &str)> = names.iter().map(|name| (*name, "m")).collect();
            calls.push(bench.join_v3(JoinGroupRequest { protocols: protocols(&of), ..joining("") }));
        }
        bench.pass(SETTLE_MS);
        for call in calls {
            assert_eq!(bench.joined(call).expect("answered").protocol_name.as_deref(), Some(expected), "{members:?}");
        }
    }
}

#[test]
fn version_0_has_one_timeout_for_both() {
    let mut bench = bench();
    let request = JoinGroupRequest { rebalance_timeout_ms: -1, ..joining("") };
    bench.call_as(Command::JoinGroup(request), 0, "client");
    bench.pass(i64::from(DELAY_MS));
    assert_eq!(bench.machine.describe_classic(GROUP).expect("a group").members.len(), 1);
    // It never syncs: after the rebalance timeout it is out.
    bench.pass(i64::from(SESSION_MS - DELAY_MS));
    assert_eq!(bench.state(), "CompletingRebalance");
    bench.pass(i64::from(DELAY_MS));
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn a_full_group_turns_new_members_away() {
    let mut bench = of_size(2);
    let seats = bench.stable(2);
    let call = bench.join(joining(""));
    assert_eq!(bench.refused(call), (ErrorCode::GroupMaxSizeReached, String::new()));
    assert_eq!(bench.state(), "Stable");
    // A member that is there may join again, and while the group rebalances those count that have joined.
    bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.state(), "PreparingRebalance");
    bench.join_v3(joining(""));
    let call = bench.join(joining(&seats[1].member_id));
    assert_eq!(bench.refused(call), (ErrorCode::GroupMaxSizeReached, String::new()));
    assert_eq!((bench.state(), bench.waiting()), ("CompletingRebalance", 0));
}

#[test]
fn a_join_is_answered_once_more_if_its_answer_was_lost() {
    let mut bench = bench();
    let calls = [bench.join_v3(joining("")), bench.join_v3(joining(""))];
    bench.pass(SETTLE_MS);
    let answers = calls.map(|call| bench.joined(call).expect("answered"));
    for answer in answers {
        let call = bench.join(joining(&answer.member_id));
        assert_eq!(bench.joined(call), Some(answer));
    }
    assert_eq!(bench.state(), "CompletingRebalance");
}

#[test]
fn a_second_join_of_a_member_takes_the_place_of_the_first() {
    let mut bench = bench();
    let seats = bench.stable(2);
    let first = bench.join(joining(&seats[0].member_id));
    let second = bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.refused(first), (ErrorCode::RebalanceInProgress, seats[0].member_id.clone()));
    bench.join(joining(&seats[1].member_id));
    assert_eq!(bench.seat(second, &joining("")).generation, 2);
}

#[test]
fn in_a_stable_group_only_a_leader_or_new_metadata_begin_a_rebalance() {
    let mut bench = bench();
    let seats = bench.stable(3);
    let call = bench.join(joining(&seats[1].member_id));
    let seat = bench.seat(call, &joining(""));
    assert_eq!((seat.generation, seat.leads, seat.members.len()), (1, false, 0));
    assert_eq!(bench.state(), "Stable");

    let other = JoinGroupRequest { protocols: protocols(&[("range", "other")]), ..joining(&seats[1].member_id) };
    for request in [joining(&seats[0].member_id), other] {
        let mut bench = super::bench();
        let again = bench.stable(3);
        assert_eq!(again[1].member_id, seats[1].member_id);
        let call = bench.join(request);
        assert_eq!((bench.joined(call), bench.state()), (None, "PreparingRebalance"));
    }
}

#[test]
fn what_members_send_is_bounded() {
    let mut bench = bench();
    let large = "x".repeat(20 << 20);
    let joining_large = || JoinGroupRequest { protocols: protocols(&[("range", &large)]), ..joining("") };
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(bench.join_v3(joining_large()));
    }
    assert_eq!(bench.refused(calls[3]), (ErrorCode::GroupMaxSizeReached, String::new()));
    assert_eq!(bench.waiting(), 3);
    let call = bench.join_v3(joining(""));
    assert_eq!(bench.joined(call), None, "who sends less has room");
}
