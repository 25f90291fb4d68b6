//! LeaveGroup.

use super::*;

fn errors(answer: &LeaveGroupResponse) -> Vec<ErrorCode> {
    answer.members.iter().map(|member| error(member.error_code)).collect()
}

#[test]
fn a_member_that_leaves_begins_a_rebalance_and_the_last_one_ends_the_generation() {
    let mut bench = bench();
    let seats = bench.stable(2);
    assert_eq!(bench.leave_one(&seats[0].member_id), ErrorCode::None);
    assert_eq!((bench.state(), bench.records().len()), ("PreparingRebalance", 0));
    assert_eq!(bench.leave_one(&seats[0].member_id), ErrorCode::UnknownMemberId);
    assert_eq!(bench.leave_one(&seats[1].member_id), ErrorCode::None);
    assert_eq!((bench.state(), bench.is_at_rest()), ("Empty", true));
    let value = bench.record().expect("not deleted");
    assert_eq!((value.generation, &*value.protocol_type, value.members.len()), (2, "consumer", 0));
}

#[test]
fn a_member_that_leaves_may_have_been_the_last_one_missing() {
    let mut bench = bench();
    let seats = bench.stable(2);
    let call = bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.leave_one(&seats[1].member_id), ErrorCode::None);
    assert_eq!(bench.seat(call, &joining("")).members, [&*seats[0].member_id]);
}

#[test]
fn calls_of_a_member_that_leaves_come_back() {
    let mut bench = bench();
    let seats = bench.stable(2);
    let joins = bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.leave_one(&seats[0].member_id), ErrorCode::None);
    assert_eq!(bench.refused(joins), (ErrorCode::UnknownMemberId, String::new()));

    let mut bench = super::bench();
    let calls = [bench.join_v3(joining("")), bench.join_v3(joining(""))];
    bench.pass(SETTLE_MS);
    let seats = calls.map(|call| bench.seat(call, &joining("")));
    let follower = if seats[0].leads { &seats[1] } else { &seats[0] };
    let syncs = bench.sync(follower, &[]);
    assert_eq!(bench.leave_one(&follower.member_id), ErrorCode::None);
    assert_eq!(bench.synced(syncs), Some(Err(ErrorCode::UnknownMemberId)));
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn many_leave_at_once_each_with_its_error() {
    let mut bench = bench();
    let seats = bench.stable_of(&[joining_as("i", ""), joining_as("j", ""), joining("")]);
    let by = |instance_id: Option<&str>| {
        let found = seats.iter().find(|seat| seat.instance_id.as_deref() == instance_id);
        found.expect("a seat").member_id.clone()
    };
    let answer = bench.leave(vec![
        identity("nobody", None),
        identity("", Some("i")),
        identity("", Some("i")),
        identity("", None),
        identity("", Some("k")),
        identity("not j's", Some("j")),
        identity(&by(Some("j")), Some("k")),
        identity(&by(Some("j")), Some("j")),
        identity(&by(None), None),
    ]);
    let unknown = ErrorCode::UnknownMemberId;
    let expected = [
        unknown,
        ErrorCode::None,
        unknown,
        unknown,
        unknown,
        ErrorCode::FencedInstanceId,
        unknown,
        ErrorCode::None,
        ErrorCode::None,
    ];
    assert_eq!(errors(&answer), expected);
    let told: Vec<_> = answer.members.iter().map(|m| (&*m.member_id, m.group_instance_id.as_deref())).collect();
    assert_eq!((told[1], told[3], answer.error_code), (("", Some("i")), ("", None), 0));
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn who_has_not_joined_yet_may_leave() {
    let mut bench = bench();
    let seats = bench.stable(1);
    let call = bench.join(joining(""));
    let (_, pending) = bench.refused(call);
    let leader = bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.joined(leader), None);
    assert_eq!(bench.leave_one(&pending), ErrorCode::None);
    assert_eq!(bench.seat(leader, &joining("")).generation, 2);
}

#[test]
fn a_group_that_is_not_there() {
    let answer = bench().leave(vec![identity("m", None), identity("", Some("i"))]);
    assert_eq!((errors(&answer), answer.error_code), (vec![ErrorCode::UnknownMemberId; 2], 0));
}
