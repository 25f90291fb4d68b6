//! What operators are told of one group of each kind.

use felice_protocol::{
    coordinator::{GroupRecord, consumer_group::*},
    error::ErrorCode,
};

use crate::coordinator::group::{
    Answer, Command, Query, State,
    offsets::tests::{Bench, classic, consumer, id, stored},
};

/// A group of each kind; the live one has a member.
fn bench() -> Bench {
    Bench::new([
        classic("empty", Some(0)),
        classic("live", None),
        consumer("new"),
        stored("simple", "t", id(1), 0, 0),
        stored("live", "t", id(1), 0, 0),
        stored("empty", "t", id(1), 0, 0),
        stored("empty", "t", id(1), 1, 0),
    ])
}

fn list(bench: &Bench, states: &[&str], types: &[&str]) -> Vec<(String, String, String, String)> {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let query = Query::ListGroups { states: names(states), types: names(types) };
    let Answer::ListGroups(groups) = bench.query(bench.machine.state(), &query) else { panic!() };
    groups.into_iter().map(|g| (g.group_id, g.group_type, g.group_state, g.protocol_type)).collect()
}

#[test]
fn each_group_is_listed_once_with_its_kind_and_state() {
    let bench = bench();
    let row = |id: &str, kind: &str, state: &str, protocol: &str| {
        (id.to_owned(), kind.to_owned(), state.to_owned(), protocol.to_owned())
    };
    let empty = row("empty", "classic", "Empty", "consumer");
    let live = row("live", "classic", "Stable", "consumer");
    let new = row("new", "consumer", "Empty", "consumer");
    let simple = row("simple", "classic", "Empty", "");
    assert_eq!(list(&bench, &[], &[]), [empty.clone(), live.clone(), new.clone(), simple.clone()]);
    assert_eq!(list(&bench, &["stable"], &[]), [live]);
    assert_eq!(list(&bench, &[" EMPTY "], &["Classic"]), [empty, simple]);
    assert_eq!(list(&bench, &["Empty", "Stable"], &["consumer"]), [new]);
    assert_eq!(list(&bench, &[], &["share"]), []);
    assert_eq!(list(&bench, &["Nonsense"], &[]), []);
    assert_eq!(list(&bench, &[], &["nonsense"]), []);
}

#[test]
fn what_is_not_committed_is_not_told() {
    let bench = bench();
    let query = Query::ListGroups { states: Vec::new(), types: Vec::new() };
    assert_eq!(bench.query(&State::default(), &query), Answer::ListGroups(Vec::new()));
    let query = Query::DescribeGroup("live".to_owned());
    let Answer::DescribeGroup(group) = bench.query(&State::default(), &query) else { panic!() };
    assert_eq!((group.group_state.as_str(), group.error_code), ("Dead", ErrorCode::GroupIdNotFound.code()));
}

#[test]
fn each_kind_has_its_own_description() {
    let bench = bench();
    let not_found = ErrorCode::GroupIdNotFound.code();
    for (group_id, error, state, message) in [
        ("empty", 0, "Empty", None),
        ("live", 0, "Stable", None),
        ("simple", 0, "Empty", None),
        ("new", not_found, "Dead", Some("Group new is not a classic group.")),
        ("none", not_found, "Dead", Some("Group none not found.")),
    ] {
        let query = Query::DescribeGroup(group_id.to_owned());
        let Answer::DescribeGroup(group) = bench.query(bench.machine.state(), &query) else { panic!() };
        let told = (group.error_code, group.group_state.as_str(), group.error_message.as_deref());
        assert_eq!((group.group_id.as_str(), told), (group_id, (error, state, message)));
    }
    for (group_id, error, message) in [
        ("new", 0, None),
        ("live", not_found, Some("Group live is not a consumer group.")),
        ("simple", not_found, Some("Group simple is not a consumer group.")),
        ("none", not_found, Some("Group none not found.")),
    ] {
        let query = Query::ConsumerGroupDescribe(group_id.to_owned());
        let Answer::ConsumerGroupDescribe(group) = bench.query(bench.machine.state(), &query) else { panic!() };
        assert_eq!((group.group_id.as_str(), group.error_code), (group_id, error));
        assert_eq!(group.error_message.as_deref(), message);
    }
}

#[test]
fn a_group_without_members_is_deleted_with_its_offsets() {
    for (group_id, error, tombstones) in [
        ("empty", ErrorCode::None, 3),
        ("simple", ErrorCode::None, 2),
        ("live", ErrorCode::NonEmptyGroup, 0),
        ("none", ErrorCode::GroupIdNotFound, 0),
    ] {
        let mut bench = bench();
        let Answer::DeleteGroup(answer) = bench.decide(2, Command::DeleteGroup(group_id.to_owned())) else { panic!() };
        assert_eq!((answer.group_id.as_str(), answer.error_code), (group_id, error.code()));
        assert_eq!(bench.out.records.len(), tombstones, "{group_id}");
        if error == ErrorCode::None {
            assert!(
                matches!(bench.out.records.last(), Some(GroupRecord::GroupMetadata(_, None))),
                "the group comes last"
            );
            assert_eq!(bench.machine.state().kind(group_id), None);
        }
    }
    let mut bench = bench();
    bench.decide(2, Command::DeleteGroup("new".to_owned()));
    assert!(bench.machine.state().consumer.is_empty());
}

/// Kafka never leaves such a log, but the front of one may have been cut off.
#[test]
fn of_a_deleted_group_nothing_is_left_even_where_its_members_are_not_known() {
    let (group_id, member_id) = ("new".to_owned(), "m".to_owned());
    let target = ConsumerGroupTargetAssignmentMemberKey {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        ..ConsumerGroupTargetAssignmentMemberKey::default()
    };
    let current = ConsumerGroupCurrentMemberAssignmentKey {
        group_id,
        member_id,
        ..ConsumerGroupCurrentMemberAssignmentKey::default()
    };
    let mut bench = Bench::new([
        consumer("new"),
        GroupRecord::ConsumerGroupTargetAssignmentMember(target, Some(Default::default())),
        GroupRecord::ConsumerGroupCurrentMemberAssignment(current, Some(Default::default())),
    ]);
    let Answer::DeleteGroup(answer) = bench.decide(2, Command::DeleteGroup("new".to_owned())) else { panic!() };
    assert_eq!((answer.error_code, bench.machine.state()), (0, &State::default()));
}
