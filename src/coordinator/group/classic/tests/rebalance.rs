//! How long a rebalance waits, and for whom.

use super::*;

#[test]
fn the_first_rebalance_waits_as_long_as_members_keep_coming() {
    let mut bench = bench();
    let first = bench.join_v3(joining(""));
    bench.pass(i64::from(DELAY_MS) - 1);
    let second = bench.join_v3(joining(""));
    bench.pass(i64::from(DELAY_MS));
    assert_eq!(bench.joined(first), None, "somebody has come: once more");
    bench.pass(1);
    assert_eq!(bench.seat(first, &joining("")).generation, 1);
    assert_eq!(bench.seat(second, &joining("")).generation, 1);
    assert_eq!(bench.state(), "CompletingRebalance");
}

#[test]
fn the_first_rebalance_waits_no_longer_than_its_members_grant() {
    let mut bench = bench();
    let request = || JoinGroupRequest { rebalance_timeout_ms: 10_000, ..joining("") };
    let first = bench.join_v3(request());
    let began = bench.now;
    for _ in 0..9 {
        bench.pass(1_000);
        bench.join_v3(request());
        assert_eq!(bench.state(), "PreparingRebalance", "after {} ms", bench.now.0 - began.0);
    }
    bench.pass(1_000);
    assert_eq!(bench.joined(first).expect("answered").generation_id, 1);
}

#[test]
fn without_a_delay_the_first_member_is_answered_at_once() {
    let mut bench = Bench::new(GroupSettings { initial_rebalance_delay_ms: 0, ..GroupSettings::default() });
    let call = bench.join_v3(joining(""));
    bench.pass(0);
    assert_eq!(bench.seat(call, &joining("")).generation, 1);
}

#[test]
fn a_rebalance_ends_when_all_have_joined() {
    let mut bench = bench();
    let seats = bench.stable(3);
    let fourth = bench.join_v3(joining(""));
    for seat in &seats {
        assert_eq!(bench.heartbeat(seat), ErrorCode::RebalanceInProgress);
        assert_eq!(bench.state(), "PreparingRebalance");
        bench.join(joining(&seat.member_id));
    }
    let seat = bench.seat(fourth, &joining(""));
    assert_eq!((seat.generation, bench.state()), (2, "CompletingRebalance"));
}

#[test]
fn dynamic_members_that_do_not_join_in_time_are_out() {
    let mut bench = bench();
    let seats = bench.stable(3);
    let call = bench.join(joining(&seats[0].member_id));
    for _ in 1..12 {
        bench.pass(5_000);
        for seat in &seats[1..] {
            assert_eq!(bench.heartbeat(seat), ErrorCode::RebalanceInProgress);
        }
    }
    assert_eq!(bench.joined(call), None);
    bench.pass(5_000);
    assert_eq!(bench.seat(call, &joining("")).members.len(), 1);
    for seat in &seats[1..] {
        assert_eq!(bench.heartbeat(seat), ErrorCode::UnknownMemberId);
    }
}

#[test]
fn a_member_that_was_given_an_id_is_waited_for() {
    let mut bench = bench();
    let seats = bench.stable(1);
    let call = bench.join(joining(""));
    let (_, member_id) = bench.refused(call);
    assert_eq!(bench.state(), "Stable");
    let leader = bench.join(joining(&seats[0].member_id));
    assert_eq!(bench.joined(leader), None, "the other is expected");
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(bench.joined(leader), None);
    bench.pass(1);
    assert_eq!(bench.seat(leader, &joining("")).members.len(), 1, "its session is over");
    let call = bench.join(joining(&member_id));
    assert_eq!(bench.refused(call).0, ErrorCode::UnknownMemberId);
}

#[test]
fn another_leads_where_the_leader_does_not_join_in_time() {
    let mut bench = bench();
    let seats = bench.stable(3);
    let changed =
        |seat: &Seat| JoinGroupRequest { protocols: protocols(&[("range", "changed")]), ..joining(&seat.member_id) };
    let calls = [bench.join(changed(&seats[1])), bench.join(changed(&seats[2]))];
    for _ in 1..12 {
        bench.pass(5_000);
        assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::RebalanceInProgress);
    }
    bench.pass(5_000);
    let after = calls.map(|call| bench.seat(call, &joining("")));
    assert_eq!(after.iter().filter(|seat| seat.leads).count(), 1);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn a_session_that_ends_begins_a_rebalance_and_an_empty_group_is_recorded() {
    let mut bench = bench();
    let seats = bench.stable(2);
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::None);
    bench.pass(1);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::RebalanceInProgress);
    assert_eq!(bench.heartbeat(&seats[1]), ErrorCode::UnknownMemberId);
    assert_eq!(bench.records(), []);
    bench.pass(i64::from(SESSION_MS));
    let value = bench.record().expect("not deleted");
    assert_eq!((value.generation, value.protocol, value.leader, value.members.len()), (2, None, None, 0));
    assert_eq!((&*value.protocol_type, value.current_state_timestamp), ("consumer", bench.now.0));
    assert_eq!((bench.state(), bench.is_at_rest()), ("Empty", true));
}

#[test]
fn who_waits_to_join_need_not_heartbeat_but_a_new_member_is_not_waited_for_forever() {
    let mut bench = bench();
    let patient = |member_id: &str| JoinGroupRequest { rebalance_timeout_ms: 900_000, ..joining(member_id) };
    let seats = bench.stable_of(&[patient(""), patient("")]);
    let old = bench.join(patient(&seats[0].member_id));
    let new = bench.join_v3(patient(""));
    for _ in 0..299 {
        bench.pass(1_000);
        assert_eq!(bench.heartbeat(&seats[1]), ErrorCode::RebalanceInProgress);
    }
    assert_eq!(bench.waiting(), 2);
    bench.pass(1_000);
    assert_eq!(bench.refused(new), (ErrorCode::UnknownMemberId, String::new()));
    assert_eq!(bench.joined(old), None);
}

#[test]
fn a_group_that_all_have_left_during_its_first_rebalance_is_empty() {
    let mut bench = bench();
    let call = bench.join_v3(joining(""));
    let member_id = bench.machine.describe_classic(GROUP).expect("a group").members[0].member_id.clone();
    assert_eq!(bench.leave_one(&member_id), ErrorCode::None);
    assert_eq!(bench.refused(call), (ErrorCode::UnknownMemberId, String::new()));
    bench.pass(i64::from(DELAY_MS));
    assert_eq!((bench.state(), bench.is_at_rest()), ("Empty", true));
    let call = bench.join_v3(joining(""));
    bench.pass(i64::from(DELAY_MS));
    assert_eq!(bench.seat(call, &joining("")).generation, 2);
}

#[test]
fn members_that_do_not_sync_in_time_are_out() {
    let mut bench = bench();
    let patient = |member_id: &str| JoinGroupRequest { session_timeout_ms: 300_000, ..joining(member_id) };
    let calls: Vec<CallId> = (0..3).map(|_| bench.join_v3(patient(""))).collect();
    bench.pass(i64::from(DELAY_MS * 2));
    let mut seats: Vec<Seat> = calls.into_iter().map(|call| bench.seat(call, &joining(""))).collect();
    seats.sort_by_key(|seat| !seat.leads);
    // Stable, but one never asks.
    for seat in &seats[..2] {
        bench.sync(seat, &[]);
    }
    assert_eq!(bench.state(), "Stable");
    bench.pass(i64::from(REBALANCE_MS) - 1);
    assert_eq!(bench.heartbeat(&seats[2]), ErrorCode::None);
    bench.pass(1);
    assert_eq!(bench.heartbeat(&seats[2]), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::RebalanceInProgress);
    // Nor does the leader: the others' calls come back.
    let calls = [bench.join(patient(&seats[0].member_id)), bench.join(patient(&seats[1].member_id))];
    let seats = calls.map(|call| bench.seat(call, &joining("")));
    let (leader, follower) = if seats[0].leads { (&seats[0], &seats[1]) } else { (&seats[1], &seats[0]) };
    let call = bench.sync(follower, &[]);
    bench.pass(i64::from(REBALANCE_MS));
    assert_eq!(bench.synced(call), Some(Err(ErrorCode::RebalanceInProgress)));
    assert_eq!(bench.heartbeat(leader), ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), "PreparingRebalance");
}
