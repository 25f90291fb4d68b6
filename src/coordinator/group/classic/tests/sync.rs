//! SyncGroup and Heartbeat.

use super::*;

fn joined(bench: &mut Bench, size: usize) -> Vec<Seat> {
    let calls: Vec<CallId> = (0..size).map(|_| bench.join_v3(joining(""))).collect();
    bench.pass(SETTLE_MS);
    let mut seats: Vec<Seat> = calls.into_iter().map(|call| bench.seat(call, &joining(""))).collect();
    seats.sort_by_key(|seat| !seat.leads);
    bench.records();
    seats
}

#[test]
fn everybody_gets_what_the_leader_has_assigned() {
    let mut bench = bench();
    let seats = joined(&mut bench, 3);
    assert_eq!(seats[0].members.len(), 3);
    let early = bench.sync(&seats[1], &[]);
    assert_eq!((bench.synced(early), bench.records().len()), (None, 0));
    // One is forgotten, and one does not exist.
    let leader = bench.sync(&seats[0], &[(&seats[0].member_id, "A"), (&seats[1].member_id, "B"), ("nobody", "C")]);
    assert_eq!(bench.synced(leader), Some(Ok("A".to_owned())));
    assert_eq!(bench.synced(early), Some(Ok("B".to_owned())));
    let late = bench.sync(&seats[2], &[]);
    assert_eq!(bench.synced(late), Some(Ok(String::new())));
    let value = bench.record().expect("a group");
    assert_eq!((value.generation, value.protocol.as_deref(), &*value.protocol_type), (1, Some("range"), "consumer"));
    assert_eq!(value.leader.as_ref(), Some(&seats[0].member_id));
    let mut members: Vec<_> = value.members.iter().map(|m| (&*m.member_id, &*m.subscription, &*m.assignment)).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.2));
    let [a, b, c] = [&*seats[1].member_id, &seats[0].member_id, &seats[2].member_id];
    assert_eq!(members, [(a, &b"m"[..], &b"B"[..]), (b, b"m", b"A"), (c, b"m", b"")]);
    let first = &value.members[0];
    assert_eq!((first.session_timeout, first.rebalance_timeout), (SESSION_MS, REBALANCE_MS));
    assert_eq!((&*first.client_id, &*first.client_host, &first.group_instance_id), ("client", "/127.0.0.1", &None));
    // Asked again, the same is told; nothing is written.
    let again = bench.sync(&seats[0], &[(&seats[0].member_id, "other")]);
    assert_eq!((bench.synced(again), bench.records().len()), (Some(Ok("A".to_owned())), 0));
}

#[test]
fn what_is_refused() {
    let mut bench = bench();
    let seats = joined(&mut bench, 2);
    let good = syncing(&seats[1], &[]);
    let not = |is: &str| Some(format!("not {is}"));
    let table = [
        (SyncGroupRequest { group_id: "other".to_owned(), ..good.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { member_id: "nobody".to_owned(), ..good.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { member_id: String::new(), ..good.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { group_instance_id: Some("i".to_owned()), ..good.clone() }, ErrorCode::UnknownMemberId),
        (SyncGroupRequest { generation_id: 0, ..good.clone() }, ErrorCode::IllegalGeneration),
        (SyncGroupRequest { generation_id: 2, ..good.clone() }, ErrorCode::IllegalGeneration),
        (SyncGroupRequest { protocol_type: not("it"), ..good.clone() }, ErrorCode::InconsistentGroupProtocol),
        (SyncGroupRequest { protocol_name: not("it"), ..good.clone() }, ErrorCode::InconsistentGroupProtocol),
    ];
    for (request, expected) in table {
        let call = bench.call(Command::SyncGroup(request));
        assert_eq!(bench.synced(call), Some(Err(expected)));
    }
    // Before version 5 the protocol is not named.
    let unnamed = SyncGroupRequest { protocol_type: None, protocol_name: None, ..good };
    let call = bench.call(Command::SyncGroup(unnamed));
    assert_eq!(bench.synced(call), None);
}

#[test]
fn who_waits_for_an_assignment_is_told_of_a_new_rebalance() {
    let mut bench = bench();
    let seats = joined(&mut bench, 2);
    let waits = bench.sync(&seats[1], &[]);
    let twice = bench.sync(&seats[1], &[]);
    assert_eq!(bench.synced(waits), Some(Err(ErrorCode::RebalanceInProgress)), "one call of a member waits");
    bench.join_v3(joining(""));
    assert_eq!(bench.synced(twice), Some(Err(ErrorCode::RebalanceInProgress)));
    assert_eq!(bench.state(), "PreparingRebalance");
    let leader = bench.sync(&seats[0], &[]);
    assert_eq!(bench.synced(leader), Some(Err(ErrorCode::RebalanceInProgress)));
}

#[test]
fn heartbeats_in_each_state() {
    let mut bench = bench();
    let nobody =
        Seat { member_id: "m".to_owned(), instance_id: None, generation: 0, leads: false, members: Vec::new() };
    assert_eq!(bench.heartbeat(&nobody), ErrorCode::UnknownMemberId);
    let call = bench.join(joining(""));
    let (_, member_id) = bench.refused(call);
    assert_eq!(bench.heartbeat(&Seat { member_id, ..nobody.clone() }), ErrorCode::UnknownMemberId, "not joined yet");

    let mut bench = super::bench();
    let seats = joined(&mut bench, 2);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::None, "in CompletingRebalance");
    bench.sync_all(&seats);
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::None);
    for generation in [-1, 0, 2] {
        assert_eq!(bench.heartbeat(&Seat { generation, ..seats[0].clone() }), ErrorCode::IllegalGeneration);
    }
    let as_static = Seat { instance_id: Some("i".to_owned()), ..seats[0].clone() };
    assert_eq!(bench.heartbeat(&as_static), ErrorCode::UnknownMemberId);
    bench.join_v3(joining(""));
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::RebalanceInProgress);
    let empty = Seat { member_id: String::new(), ..nobody };
    assert_eq!(bench.heartbeat(&empty), ErrorCode::UnknownMemberId);
}

#[test]
fn an_assignment_that_does_not_fit_a_record_is_refused_and_the_group_tries_again() {
    let mut bench = bench();
    let seats = joined(&mut bench, 2);
    let waits = bench.sync(&seats[1], &[]);
    let large = "x".repeat(1 << 20);
    let leader = bench.sync(&seats[0], &[(&seats[1].member_id, &large)]);
    for call in [waits, leader] {
        assert_eq!(bench.synced(call), Some(Err(ErrorCode::UnknownServerError)));
    }
    assert_eq!((bench.state(), bench.records().len()), ("PreparingRebalance", 0));
    let calls = [0, 1].map(|at: usize| bench.join(joining(&seats[at].member_id)));
    let seats: Vec<Seat> = calls.into_iter().map(|call| bench.seat(call, &joining(""))).collect();
    let at = usize::from(!seats[0].leads);
    bench.sync_all(&[seats[at].clone(), seats[1 - at].clone()]);
}

#[test]
fn the_size_of_a_record_is_not_told_too_small() {
    let mut bench = bench();
    let seats = bench.stable_of(&[joining(""), joining_as("an instance", ""), joining("")]);
    let group = bench.machine.classic_group(GROUP).expect("a group");
    let told = super::super::record::size(group);
    let record = super::super::record::group_record(group);
    let key = record.encode_key().expect("a key").len();
    let value = record.encode_value(3).expect("a value").expect("no tombstone").len();
    assert_eq!(seats.len(), 3);
    // What the journal counts beside key and value: 32 bytes a record, 64 a batch.
    assert!(told >= key + value + 96 && told < key + value + 128, "{told} for {key} + {value}");
}
