//! Static members (KIP-345, KIP-814).

use super::*;

fn stable(bench: &mut Bench) -> [Seat; 2] {
    let seats = bench.stable_of(&[joining_as("i", ""), joining_as("j", "")]);
    seats.try_into().expect("two")
}

fn instance(seat: &Seat) -> &str {
    seat.instance_id.as_deref().expect("static")
}

#[test]
fn back_without_its_id_a_follower_takes_its_place_and_nothing_else_changes() {
    let mut bench = bench();
    let [leader, follower] = stable(&mut bench);
    let call = bench.join(joining_as(instance(&follower), ""));
    let answer = bench.joined(call).expect("answered at once");
    assert_eq!((error(answer.error_code), answer.generation_id), (ErrorCode::None, 1));
    assert_ne!(answer.member_id, follower.member_id);
    assert_eq!((&answer.leader, answer.members.len(), answer.skip_assignment), (&leader.member_id, 0, false));
    assert_eq!(bench.state(), "Stable");
    let value = bench.record().expect("a group");
    let stored = value.members.iter().find(|member| member.member_id == answer.member_id).expect("under its new id");
    assert_eq!((stored.group_instance_id.as_deref(), &*stored.assignment), (Some(instance(&follower)), &b"a1"[..]));
    assert!(value.members.iter().all(|member| member.member_id != follower.member_id));

    let again = Seat { member_id: answer.member_id, ..follower.clone() };
    let call = bench.sync(&again, &[]);
    assert_eq!(bench.synced(call), Some(Ok("a1".to_owned())));
    assert_eq!(bench.heartbeat(&again), ErrorCode::None);
    assert_eq!(bench.heartbeat(&follower), ErrorCode::FencedInstanceId);
    let call = bench.sync(&follower, &[]);
    assert_eq!(bench.synced(call), Some(Err(ErrorCode::FencedInstanceId)));
    let call = bench.join(joining_as(instance(&follower), &follower.member_id));
    assert_eq!(bench.refused(call), (ErrorCode::FencedInstanceId, follower.member_id.clone()));
    // The one that it was before does not end with its session.
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!((bench.heartbeat(&again), bench.heartbeat(&leader)), (ErrorCode::None, ErrorCode::None));
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn back_without_its_id_a_leader_leads_on_if_it_can_be_told_to_assign_nothing() {
    for version in [5, 8, 9] {
        let mut bench = bench();
        let [leader, follower] = stable(&mut bench);
        let call = bench.call_as(Command::JoinGroup(joining_as(instance(&leader), "")), version, "client");
        let answer = bench.joined(call).expect("answered at once");
        assert_eq!((bench.state(), answer.generation_id), ("Stable", 1));
        if version >= 9 {
            assert_eq!((answer.leader == answer.member_id, answer.skip_assignment), (true, true));
            assert_eq!(answer.members.len(), 2);
        } else {
            assert_eq!((&answer.leader, answer.skip_assignment), (&leader.member_id, false));
            assert_eq!(answer.members.len(), 0);
        }
        assert_eq!(bench.record().expect("a group").leader.as_deref(), Some(&*answer.member_id));
        let again = Seat { member_id: answer.member_id.clone(), ..leader };
        let call = bench.sync(&again, &[]);
        assert_eq!(bench.synced(call), Some(Ok("a0".to_owned())));
        assert_eq!(bench.heartbeat(&follower), ErrorCode::None);
        // As the leader it may begin a rebalance.
        bench.join(joining_as(instance(&again), &again.member_id));
        assert_eq!(bench.state(), "PreparingRebalance");
    }
}

#[test]
fn a_change_of_the_protocol_begins_a_rebalance() {
    let mut bench = bench();
    let of = |names: &[&str], id: &str| {
        let names: Vec<(&str, &str)> = names.iter().map(|name| (*name, "m")).collect();
        JoinGroupRequest { protocols: protocols(&names), ..joining_as(id, "") }
    };
    bench.stable_of(&[of(&["range", "sticky"], "i"), of(&["range", "sticky"], "j")]);
    bench.join(of(&["sticky"], "j"));
    assert_eq!((bench.state(), bench.records().len()), ("PreparingRebalance", 0));
}

#[test]
fn other_metadata_under_the_same_protocol_do_not() {
    let mut bench = bench();
    let [_, follower] = stable(&mut bench);
    let call = bench
        .join(JoinGroupRequest { protocols: protocols(&[("range", "other")]), ..joining_as(instance(&follower), "") });
    let answer = bench.joined(call).expect("answered at once");
    let value = bench.record().expect("a group");
    let stored = value.members.iter().find(|member| member.member_id == answer.member_id).expect("a member");
    assert_eq!(&*stored.subscription, b"other");
}

#[test]
fn back_in_the_middle_of_a_rebalance_the_old_one_is_fenced() {
    let mut bench = bench();
    let calls = [bench.join(joining_as("i", "")), bench.join(joining_as("i", ""))];
    let answer = bench.joined(calls[0]).expect("fenced");
    assert_eq!(error(answer.error_code), ErrorCode::FencedInstanceId);
    bench.pass(i64::from(DELAY_MS));
    let first = bench.seat(calls[1], &joining_as("i", ""));
    assert_eq!(bench.state(), "CompletingRebalance");

    let mut bench = super::bench();
    let requests = ["i", "j"].map(|instance_id| joining_as(instance_id, ""));
    let calls = [bench.join(requests[0].clone()), bench.join(requests[1].clone())];
    bench.pass(SETTLE_MS);
    let seats = [0, 1].map(|at: usize| bench.seat(calls[at], &requests[at]));
    let follower = if seats[0].leads { &seats[1] } else { &seats[0] };
    let waits = bench.sync(follower, &[]);
    let call = bench.join(joining_as(instance(follower), ""));
    assert_eq!(bench.synced(waits), Some(Err(ErrorCode::FencedInstanceId)));
    assert_eq!((bench.joined(call), bench.state()), (None, "PreparingRebalance"));
    assert!(first.leads);
}

#[test]
fn a_static_member_that_is_away_is_kept_until_its_session_ends() {
    let mut bench = bench();
    let long = |id: &str| JoinGroupRequest { session_timeout_ms: 600_000, ..joining_as(id, "") };
    let seats = bench.stable_of(&[long("i"), long("j")]);
    // It sends no LeaveGroup. A rebalance goes on without it, and it stays a member.
    let leader = bench.join(JoinGroupRequest { member_id: seats[0].member_id.clone(), ..long(instance(&seats[0])) });
    bench.pass(i64::from(REBALANCE_MS));
    let seat = bench.seat(leader, &long(instance(&seats[0])));
    assert_eq!(seat.members.len(), 2);
    let call = bench.sync(&seat, &[]);
    assert!(bench.synced(call).is_some());
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn a_static_leader_that_is_away_does_not_lead_on() {
    let mut bench = bench();
    let long = |id: &str| JoinGroupRequest { session_timeout_ms: 600_000, ..joining_as(id, "") };
    let seats = bench.stable_of(&[long("i"), long("j")]);
    let changed = JoinGroupRequest {
        member_id: seats[1].member_id.clone(),
        protocols: protocols(&[("range", "changed")]),
        ..long(instance(&seats[1]))
    };
    let call = bench.join(changed);
    bench.pass(i64::from(REBALANCE_MS));
    let seat = bench.seat(call, &long(instance(&seats[1])));
    assert_eq!((seat.leads, seat.members.len()), (true, 2));
}

#[test]
fn where_no_static_member_joins_the_rebalance_waits_on() {
    let mut bench = bench();
    let long = |id: &str| JoinGroupRequest { session_timeout_ms: 600_000, ..joining_as(id, "") };
    let seats = bench.stable_of(&[long("i"), long("j"), joining("")]);
    let dynamic = seats.iter().find(|seat| seat.instance_id.is_none()).expect("a dynamic member");
    assert_eq!(bench.leave_one(&dynamic.member_id), ErrorCode::None);
    bench.pass(i64::from(REBALANCE_MS) * 3);
    assert_eq!(bench.state(), "PreparingRebalance");
    let away = seats.iter().find(|seat| seat.instance_id.is_some()).expect("a static member");
    let call = bench.join(JoinGroupRequest { member_id: away.member_id.clone(), ..long(instance(away)) });
    bench.pass(i64::from(REBALANCE_MS));
    assert_eq!(bench.seat(call, &long(instance(away))).members.len(), 2);
}

#[test]
fn one_that_would_not_fit_the_record_is_refused_and_the_group_goes_on() {
    let mut bench = bench();
    let [leader, follower] = stable(&mut bench);
    let large = "x".repeat(2 << 20);
    let request =
        JoinGroupRequest { protocols: protocols(&[("range", &large)]), ..joining_as(instance(&follower), "") };
    let call = bench.join(request);
    assert_eq!(bench.refused(call), (ErrorCode::UnknownServerError, String::new()));
    assert_eq!((bench.heartbeat(&leader), bench.heartbeat(&follower)), (ErrorCode::None, ErrorCode::None));
    assert_eq!(bench.records(), []);
}
