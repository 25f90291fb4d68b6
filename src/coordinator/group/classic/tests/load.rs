//! What is made of a log, and of groups in another form.

use felice_protocol::{
    coordinator::offsets::*, messages::consumer_protocol::ConsumerProtocolSubscription, schema::Stored,
};

use super::*;
use crate::coordinator::group::{Out, State, classic::ClassicState, machine::Cx};

fn subscribing(topics: &[&str]) -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        ..ConsumerProtocolSubscription::default()
    };
    let metadata = subscription.encode_with_version(1).expect("a subscription");
    let protocol =
        JoinGroupRequestProtocol { name: "range".to_owned(), metadata, ..JoinGroupRequestProtocol::default() };
    JoinGroupRequest { protocols: vec![protocol], ..joining("") }
}

fn loaded(value: GroupMetadataValue, settings: GroupSettings) -> Bench {
    let mut bench = Bench::new(settings);
    let key = GroupMetadataKey { group: GROUP.to_owned(), ..GroupMetadataKey::default() };
    let mut state = State::default();
    let record = GroupRecord::GroupMetadata(key, Some(value));
    state.apply(None, &record);
    bench.log.push(record);
    bench.machine = crate::coordinator::group::GroupMachine::load(
        std::sync::Arc::clone(&bench.settings),
        state,
        bench.now,
        &bench.image,
    );
    bench
}

fn stored(member_id: &str, instance_id: Option<&str>) -> MemberMetadata {
    MemberMetadata {
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        session_timeout: SESSION_MS,
        subscription: Bytes::from_static(b"m"),
        assignment: Bytes::copy_from_slice(member_id.as_bytes()),
        ..MemberMetadata::default()
    }
}

fn stored_group(members: Vec<MemberMetadata>) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("a".to_owned()),
        current_state_timestamp: 5,
        members,
        ..GroupMetadataValue::default()
    }
}

#[test]
fn a_stable_group_goes_on_after_a_restart_with_new_sessions() {
    let mut bench = bench();
    let seats = bench.stable_of(&[joining_as("i", ""), joining("")]);
    let before = bench.machine.describe_classic(GROUP);
    bench.pass(i64::from(SESSION_MS) - 1);
    bench.restart();
    assert_eq!(bench.machine.describe_classic(GROUP), before);
    bench.pass(i64::from(SESSION_MS) - 1);
    for (at, seat) in seats.iter().enumerate() {
        assert_eq!(bench.heartbeat(seat), ErrorCode::None);
        let call = bench.sync(seat, &[]);
        assert_eq!(bench.synced(call), Some(Ok(format!("a{at}"))));
    }
    let call = bench.join(joining_as("i", ""));
    assert_eq!(bench.joined(call).expect("answered").generation_id, 1);
    bench.pass(i64::from(SESSION_MS) * 2);
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn a_rebalance_that_was_not_recorded_has_not_been() {
    let mut bench = bench();
    let seats = bench.stable(1);
    let calls = [bench.join_v3(joining("")), bench.join(joining(&seats[0].member_id))];
    let new = bench.seat(calls[0], &joining(""));
    assert_eq!(new.generation, 2);
    bench.restart();
    assert_eq!(bench.heartbeat(&seats[0]), ErrorCode::None, "in generation 1");
    assert_eq!(bench.heartbeat(&new), ErrorCode::UnknownMemberId);
    let call = bench.join(joining(&new.member_id));
    assert_eq!(bench.refused(call).0, ErrorCode::UnknownMemberId);
}

#[test]
fn what_members_want_is_known_of_consumers() {
    let mut bench = bench();
    let seats = bench.stable_of(&[subscribing(&["a", "b"]), subscribing(&["c"])]);
    for restarted in [false, true] {
        let wants: Vec<bool> = ["a", "b", "c", "d"].map(|topic| bench.machine.classic_subscribes(GROUP, topic)).into();
        assert_eq!(wants, [true, true, true, false], "restarted: {restarted}");
        bench.restart();
    }
    for seat in seats {
        bench.leave_one(&seat.member_id);
    }
    assert!(!bench.machine.classic_subscribes(GROUP, "a"), "an empty group wants none");

    let mut bench = super::bench();
    bench.stable(1); // What it says is no subscription.
    assert!(bench.machine.classic_subscribes(GROUP, "any") && !bench.machine.classic_subscribes("other", "any"));
    assert!(!bench.machine.classic_group(GROUP).expect("a group").knows_topics());
}

#[test]
fn a_group_is_described_with_its_bytes_where_it_is_stable() {
    let mut bench = bench();
    let seats = bench.stable(2);
    let group = bench.machine.describe_classic(GROUP).expect("a group");
    assert_eq!((&*group.group_state, &*group.protocol_type, &*group.protocol_data), ("Stable", "consumer", "range"));
    let mut members: Vec<_> = group.members.iter().map(|m| (&*m.member_metadata, &*m.member_assignment)).collect();
    members.sort();
    assert_eq!(members, [(&b"m"[..], &b"a0"[..]), (b"m", b"a1")]);
    assert_eq!((&*group.members[0].client_id, &*group.members[0].client_host), ("client", "/127.0.0.1"));

    bench.join(joining(&seats[0].member_id));
    let group = bench.machine.describe_classic(GROUP).expect("a group");
    assert_eq!((&*group.group_state, &*group.protocol_data), ("PreparingRebalance", ""));
    assert!(group.members.iter().all(|member| member.member_metadata.is_empty()));
    assert_eq!(bench.machine.describe_classic("other"), None);
}

#[test]
fn old_records_are_read_with_what_they_lack() {
    let value = GroupMetadataValue { current_state_timestamp: -1, ..stored_group(vec![stored("a", None)]) };
    let bench = loaded(value, GroupSettings::default());
    let group = bench.machine.classic_group(GROUP).expect("a group");
    let member = group.members().next().expect("a member");
    assert_eq!((member.rebalance_timeout_ms, group.since(), group.generation()), (SESSION_MS, None, 7));
}

#[test]
fn a_record_that_contradicts_itself_is_still_a_group() {
    let bad = GroupMetadataValue {
        leader: Some("gone".to_owned()),
        generation: i32::MAX,
        ..stored_group(vec![stored("b", Some("i")), stored("b", None), stored("a", Some("i")), stored("c", None)])
    };
    let mut bench = loaded(bad, GroupSettings::default());
    let group = bench.machine.classic_group(GROUP).expect("a group");
    group.check_invariants();
    assert_eq!(group.members().map(|member| &*member.id).collect::<Vec<_>>(), ["b", "c"]);
    // The generation after the last possible one is not negative.
    bench.leave_one("c");
    let call = bench.join(joining_as("i", "b"));
    assert_eq!(bench.joined(call).expect("answered").generation_id, 0);

    for (protocol, protocol_type) in [(None, "consumer"), (Some("range"), ""), (None, "")] {
        let bad = GroupMetadataValue {
            protocol: protocol.map(str::to_owned),
            protocol_type: protocol_type.to_owned(),
            ..stored_group(vec![stored("a", None), stored("b", None)])
        };
        let mut bench = loaded(bad, GroupSettings::default());
        bench.machine.classic_group(GROUP).expect("a group").check_invariants();
        bench.join(joining("a"));
        bench.join_v3(joining(""));
        bench.pass(i64::from(SESSION_MS) * 3);
        assert_eq!(bench.state(), "Empty", "it ends with its sessions, at the latest");
        let call = bench.join_v3(joining(""));
        bench.pass(i64::from(DELAY_MS));
        assert_eq!(bench.joined(call).expect("answered").error_code, 0);
    }
}

#[test]
fn a_group_that_is_larger_than_it_may_be_by_now_rebalances() {
    let members = ["a", "b", "c"].map(|id| stored(id, None)).to_vec();
    let mut bench = loaded(stored_group(members), GroupSettings { classic_max_size: 2, ..GroupSettings::default() });
    assert_eq!(bench.state(), "PreparingRebalance");
    let calls = ["a", "b", "c"].map(|id| bench.join(joining(id)));
    assert_eq!(bench.refused(calls[2]), (ErrorCode::GroupMaxSizeReached, String::new()));
    for call in &calls[..2] {
        assert_eq!(bench.joined(*call).expect("answered").generation_id, 8);
    }
}

#[test]
fn a_group_that_goes_on_in_another_form_tells_who_waits() {
    let mut bench = bench();
    let seats = bench.stable(2);
    let call = bench.join(joining(&seats[0].member_id));
    let mut out = Out::default();
    let cx = &mut Cx { now: bench.now, image: &bench.image, out: &mut out };
    let group = bench.machine.take_classic(cx, GROUP).expect("a group");
    assert_eq!((group.members().len(), bench.state(), bench.is_at_rest()), (2, "Dead", true));
    let [(told, Answer::JoinGroup(answer))] = &out.answers[..] else { panic!("{:?}", out.answers) };
    assert_eq!((*told, error(answer.error_code)), (call, ErrorCode::RebalanceInProgress));
    assert!(matches!(&out.records[..], [GroupRecord::GroupMetadata(_, None)]));
    assert!(bench.machine.state().classic.is_empty());

    // And back.
    for rebalance in [false, true] {
        let members: Vec<_> = group.members().cloned().collect();
        let again = super::super::ClassicGroup::stable(group.id().clone(), 9, "consumer", members, bench.now);
        assert_eq!((again.state(), again.protocol()), (ClassicState::Stable, Some("range")));
        let mut out = Out::default();
        let cx = &mut Cx { now: bench.now, image: &bench.image, out: &mut out };
        bench.machine.begin_classic(cx, again, rebalance);
        assert_eq!(bench.state(), if rebalance { "PreparingRebalance" } else { "Stable" });
        assert_eq!((out.records.len(), out.answers.len()), (1, 0));
        bench.log.extend(out.records);
        bench.restart();
        let told = if rebalance { ErrorCode::RebalanceInProgress } else { ErrorCode::None };
        assert_eq!(bench.heartbeat(&Seat { generation: 9, ..seats[0].clone() }), told);
    }
}

#[test]
fn a_group_that_is_deleted_leaves_a_tombstone_and_nothing_that_runs() {
    let mut bench = bench();
    let call = bench.join(joining(""));
    let (_, member_id) = bench.refused(call);
    let mut out = Out::default();
    let cx = &mut Cx { now: bench.now, image: &bench.image, out: &mut out };
    bench.machine.delete_classic(cx, GROUP);
    bench.log.extend(out.records);
    assert_eq!((bench.state(), bench.is_at_rest()), ("Dead", true));
    assert!(bench.machine.state().classic.is_empty());
    let call = bench.join(joining(&member_id));
    assert_eq!(bench.refused(call).0, ErrorCode::UnknownMemberId);
}
