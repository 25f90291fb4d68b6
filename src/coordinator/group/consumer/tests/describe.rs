//! What is shown of a group, and who may commit.

use super::*;
use crate::coordinator::group::machine::Cx;

#[test]
fn a_group_is_shown_with_what_members_have_and_shall_have() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    let (mut a, mut b) = (Member::fixed("a", "i", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    a.beat(&mut bench);
    let describe = |bench: &Bench| {
        let group = bench.machine.describe_consumer(bench.machine.state(), &bench.image, "g");
        group.map(|group| {
            let members = group.members.into_iter().map(|member| {
                assert_eq!(
                    (member.client_id.as_str(), member.client_host.as_str(), member.member_type),
                    ("client", "/127.0.0.1", 1)
                );
                let partitions = |of: felice_protocol::messages::consumer_group_describe::Assignment| {
                    let all = of.topic_partitions.into_iter();
                    all.map(|of| (of.topic_name, of.topic_id, of.partitions)).collect::<Vec<_>>()
                };
                (
                    member.member_id,
                    member.instance_id,
                    partitions(member.assignment),
                    partitions(member.target_assignment),
                )
            });
            (
                group.group_state,
                group.group_epoch,
                group.assignment_epoch,
                group.assignor_name,
                members.collect::<Vec<_>>(),
            )
        })
    };
    let part = |partitions: &[i32]| vec![("t".to_owned(), topic, partitions.to_vec())];
    let (state, epoch, assigned, assignor, members) = describe(&bench).unwrap();
    assert_eq!((state.as_str(), epoch, assigned, assignor.as_str()), ("Reconciling", 3, 3, "uniform"));
    // What it has not given up it still has.
    assert_eq!(members[0], ("a".to_owned(), Some("i".to_owned()), part(&[0, 1]), part(&[0])));
    assert_eq!(members[1], ("b".to_owned(), None, vec![], part(&[1])));
    bench.delete_topic("t");
    assert_eq!(describe(&bench).unwrap().4[0].2, []);
    assert_eq!(bench.machine.describe_consumer(bench.machine.state(), &bench.image, "other"), None);
}

#[test]
fn commits_are_taken_by_epoch_and_by_when_a_partition_was_got() {
    let mut bench = Bench::new();
    let topic = bench.topic("t", 2);
    let (mut a, mut b) = (Member::new("a", &["t"]), Member::new("b", &["t"]));
    a.join(&mut bench);
    b.join(&mut bench);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!((a.epoch, b.epoch), (3, 3));
    let check = |member: &str, epoch, version| bench.machine.check_consumer_commit("g", member, epoch, version);
    assert_eq!(check("a", 3, 9), Ok(()));
    assert_eq!(check("a", 3, 8), Err(ErrorCode::UnsupportedVersion));
    assert_eq!(check("a", 4, 9), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(check("", -1, 9), Err(ErrorCode::UnknownMemberId));
    assert_eq!(check("x", 3, 9), Err(ErrorCode::UnknownMemberId));
    // `a` has had one of them since epoch 2, `b` the other since 3.
    assert_eq!(check("a", 2, 9), Ok(()));
    let (of_a, of_b) = (a.has[&topic][0], b.has[&topic][0]);
    let since = bench.machine.consumer_commits_since("g", "a", 2).unwrap();
    assert_eq!(since.check(topic, of_a), Ok(()));
    assert_eq!(since.check(topic, of_b), Err(ErrorCode::StaleMemberEpoch));
    let since = bench.machine.consumer_commits_since("g", "b", 2).unwrap();
    assert_eq!(since.check(topic, of_b), Err(ErrorCode::StaleMemberEpoch));
    assert!(bench.machine.consumer_commits_since("g", "b", 3).is_none());

    let fetch = |member, epoch| bench.machine.check_consumer_fetch(bench.machine.state(), "g", member, epoch);
    assert_eq!(fetch(None, -1), Ok(()));
    assert_eq!(fetch(Some("a"), 3), Ok(()));
    assert_eq!(fetch(Some("a"), 2), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(Some("x"), 3), Err(ErrorCode::UnknownMemberId));
    a.leave(&mut bench);
    b.leave(&mut bench);
    assert_eq!(bench.machine.check_consumer_commit("g", "", -1, 2), Ok(()));
}

#[test]
fn what_is_deleted_leaves_tombstones_of_all() {
    let mut bench = Bench::new();
    bench.topic("t", 2);
    let mut a = Member { regex: Some("t".to_owned()), ..Member::new("a", &["t"]) };
    a.join(&mut bench);
    bench.pass(0);
    let (image, mut out) = (bench.image.clone(), Out::default());
    let cx = &mut Cx { now: Timestamp(bench.now), image: &image, out: &mut out };
    bench.machine.delete_consumer(cx, "g");
    bench.after(out);
    assert!(bench.machine.state().consumer.is_empty() && bench.machine.next_deadline().is_none());
    assert_eq!(bench.state_name(), "Dead");
}
