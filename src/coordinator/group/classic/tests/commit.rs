//! Who may commit offsets, in each state.

use super::*;
use crate::coordinator::group::{Out, machine::Cx};

fn check(
    bench: &mut Bench,
    (member_id, instance_id): (&str, Option<&str>),
    generation: i32,
    is_transactional: bool,
) -> ErrorCode {
    let mut out = Out::default();
    let cx = &mut Cx { now: bench.now, image: &bench.image, out: &mut out };
    let result = bench.machine.check_classic_commit(cx, GROUP, member_id, instance_id, generation, is_transactional);
    assert!(out.records.is_empty() && out.answers.is_empty());
    result.err().unwrap_or(ErrorCode::None)
}

#[test]
fn an_empty_group_takes_commits_of_who_is_no_member() {
    let mut bench = bench();
    let call = bench.join(joining(""));
    bench.refused(call);
    for (member_id, generation, expected) in [
        ("", -1, ErrorCode::None),
        ("m", -1, ErrorCode::None),
        ("", 0, ErrorCode::UnknownMemberId),
        ("m", 0, ErrorCode::UnknownMemberId),
    ] {
        for is_transactional in [false, true] {
            let told = check(&mut bench, (member_id, None), generation, is_transactional);
            assert_eq!(told, expected, "{member_id:?} {generation} {is_transactional}");
        }
    }
}

#[test]
fn a_group_with_members_takes_commits_of_these() {
    let mut bench = bench();
    let seats = bench.stable_of(&[joining_as("i", ""), joining("")]);
    let of = |instance_id: Option<&str>| {
        seats.iter().find(|seat| seat.instance_id.as_deref() == instance_id).expect("a seat").member_id.clone()
    };
    let (i, dynamic) = (of(Some("i")), of(None));
    let table = [
        ((&*dynamic, None), 1, ErrorCode::None, ErrorCode::None),
        ((&*i, Some("i")), 1, ErrorCode::None, ErrorCode::None),
        ((&*i, None), 1, ErrorCode::None, ErrorCode::None),
        ((&*dynamic, None), 0, ErrorCode::IllegalGeneration, ErrorCode::IllegalGeneration),
        ((&*dynamic, None), 2, ErrorCode::IllegalGeneration, ErrorCode::IllegalGeneration),
        ((&*dynamic, None), -1, ErrorCode::IllegalGeneration, ErrorCode::IllegalGeneration),
        ((&*dynamic, Some("i")), 1, ErrorCode::FencedInstanceId, ErrorCode::FencedInstanceId),
        ((&*dynamic, Some("j")), 1, ErrorCode::UnknownMemberId, ErrorCode::UnknownMemberId),
        (("", Some("i")), -1, ErrorCode::FencedInstanceId, ErrorCode::FencedInstanceId),
        (("nobody", None), 1, ErrorCode::UnknownMemberId, ErrorCode::UnknownMemberId),
        (("", None), 1, ErrorCode::UnknownMemberId, ErrorCode::UnknownMemberId),
        (("", None), -1, ErrorCode::UnknownMemberId, ErrorCode::None),
    ];
    for (who, generation, plain, transactional) in table {
        assert_eq!(check(&mut bench, who, generation, false), plain, "{who:?} {generation}");
        assert_eq!(check(&mut bench, who, generation, true), transactional, "{who:?} {generation} in a transaction");
    }
}

#[test]
fn between_join_and_sync_only_transactions_commit() {
    let mut bench = bench();
    let seats = bench.stable(1);
    let call = bench.join(joining(&seats[0].member_id));
    let seat = bench.seat(call, &joining(""));
    assert_eq!(bench.state(), "CompletingRebalance");
    assert_eq!(check(&mut bench, (&seat.member_id, None), 2, false), ErrorCode::RebalanceInProgress);
    assert_eq!(check(&mut bench, (&seat.member_id, None), 2, true), ErrorCode::None);
    assert_eq!(check(&mut bench, (&seat.member_id, None), 1, false), ErrorCode::IllegalGeneration);
}

#[test]
fn a_commit_keeps_the_session_and_a_transaction_s_does_not() {
    for (is_transactional, state) in [(false, "Stable"), (true, "Empty")] {
        let mut bench = bench();
        let seats = bench.stable(1);
        bench.pass(i64::from(SESSION_MS) - 1);
        assert_eq!(check(&mut bench, (&seats[0].member_id, None), 1, is_transactional), ErrorCode::None);
        bench.pass(1);
        assert_eq!(bench.state(), state);
    }
    // Also while the group prepares to rebalance: the member can commit what it has, before it joins.
    let mut bench = bench();
    let seats = bench.stable(2);
    bench.join(joining(&seats[0].member_id));
    for _ in 0..4 {
        bench.pass(i64::from(SESSION_MS) - 1);
        assert_eq!(check(&mut bench, (&seats[1].member_id, None), 1, false), ErrorCode::None);
    }
    assert_eq!(bench.state(), "PreparingRebalance");
}
