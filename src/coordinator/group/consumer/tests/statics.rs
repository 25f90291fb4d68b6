//! Members with an instance id, which may go and come back (KIP-345).

use felice_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

use super::*;

fn leave_for_now(bench: &mut Bench, member: &Member) {
    let answer = bench.heartbeat(ConsumerGroupHeartbeatRequest { member_epoch: -2, ..member.short(false) });
    assert_eq!((answer.error_code, answer.member_epoch), (0, -2));
}

#[test]
fn who_comes_back_in_time_has_what_it_had_and_others_do_not_notice() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let (mut a, mut b) = (Member::fixed("a", "i", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    settle(&mut bench, &mut [&mut a, &mut b]);
    let had = a.has.clone();
    leave_for_now(&mut bench, &a);
    assert_eq!(bench.kinds(), ["ConsumerGroupCurrentMemberAssignment"]);
    b.beat(&mut bench);
    assert_eq!((b.count(), bench.records.len()), (2, 0));

    let mut again = Member::fixed("a2", "i", &["t"]);
    again.join(&mut bench);
    assert_eq!((again.epoch, again.has), (3, had));
    assert_eq!(bench.epochs(), (3, 3));
    assert_eq!(a.error(&mut bench, a.short(true)), ErrorCode::FencedInstanceId);
    let gone = Member { instance_id: None, ..a.clone() };
    assert_eq!(gone.error(&mut bench, gone.short(true)), ErrorCode::UnknownMemberId);
}

#[test]
fn who_does_not_come_back_in_time_is_gone() {
    let mut bench = Bench::new();
    bench.topic("t", 4);
    let (mut a, mut b) = (Member::fixed("a", "i", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    settle(&mut bench, &mut [&mut a, &mut b]);
    leave_for_now(&mut bench, &a);
    for _ in 0..9 {
        bench.pass(HEARTBEAT_MS);
        b.beat(&mut bench);
    }
    assert_eq!(b.count(), 4);
    assert_eq!(a.error(&mut bench, a.short(true)), ErrorCode::UnknownMemberId);
}

#[test]
fn an_instance_id_is_one_members_at_a_time() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let mut a = Member::fixed("a", "i", &["t"]);
    a.join(&mut bench);
    let other = Member::fixed("b", "i", &["t"]);
    assert_eq!(other.error(&mut bench, other.full()), ErrorCode::UnreleasedInstanceId);
    let late = Member { epoch: 2, ..other.clone() };
    assert_eq!(late.error(&mut bench, late.short(true)), ErrorCode::FencedInstanceId);
    let leaves = |epoch, member: &Member| ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..member.short(false) };
    assert_eq!(late.error(&mut bench, leaves(-1, &late)), ErrorCode::FencedInstanceId);
    let nobody = Member::fixed("a", "j", &["t"]);
    assert_eq!(nobody.error(&mut bench, leaves(-2, &nobody)), ErrorCode::UnknownMemberId);
    a.leave(&mut bench);
    let mut other = other;
    other.join(&mut bench);
    assert_eq!(other.count(), 1);
}

#[test]
fn a_member_that_gets_an_instance_id_is_the_one_that_it_was() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let mut a = Member::new("a", &["t"]);
    let with_rack = ConsumerGroupHeartbeatRequest { rack_id: Some("r".to_owned()), ..a.full() };
    assert_eq!(bench.heartbeat(with_rack).error_code, 0);
    a.instance_id = Some("i".to_owned());
    a.join(&mut bench);
    assert_eq!(bench.epochs(), (2, 2));
    let member = &bench.machine.state().consumer["g"].members["a"];
    assert_eq!((member.rack_id.as_deref(), member.instance_id.as_deref()), (Some("r"), Some("i")));
}
