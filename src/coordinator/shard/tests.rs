//! The runtime over a real log whose disk fails when a test says so: what is answered, what is in the log and what is seen of it
//! must be one.

mod disk;
mod rig;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use felice_protocol::{
    coordinator::GroupRecord,
    messages::{join_group::*, sync_group::*},
};
use futures_util::FutureExt;
use tokio::{runtime::Handle, time};

use self::rig::*;
use super::*;

/// Of a batch, so that two commits with `LARGE` metadata do not fit into it.
const SMALL_BATCH: &[(&str, &str)] = &[("max.message.bytes", "1000")];
const LARGE: usize = 600;
const FLUSH_EACH: &[(&str, &str)] = &[("flush.messages", "1")];

const OK: ErrorCode = ErrorCode::None;
/// Has a client find its coordinator and try again.
const AGAIN: ErrorCode = ErrorCode::CoordinatorNotAvailable;

fn joining(group: &str, session_timeout_ms: i32) -> Command {
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: Bytes::from_static(b"m"),
        ..JoinGroupRequestProtocol::default()
    };
    Command::JoinGroup(JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    })
}

/// A join that waits for others, in a version that needs no member id.
fn parked_join(rig: &Rig) -> oneshot::Receiver<Answer> {
    match rig.submit_as(3, joining("joined", 30_000)) {
        Answered::Later(answer) => answer,
        Answered::Now(answer) => panic!("{answer:?}"),
    }
}

fn keys(batches: &[Vec<GroupRecord>]) -> Vec<Vec<(String, i32)>> {
    let key = |record: &GroupRecord| match record {
        GroupRecord::OffsetCommit(key, _) => (key.group.clone(), key.partition),
        other => (other.record_type().name.to_owned(), 0),
    };
    batches.iter().map(|records| records.iter().map(key).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_lock_shares_a_batch_as_far_as_it_goes() {
    let rig = Rig::start(SMALL_BATCH).await;
    let held = rig.hold();
    let calls: Vec<Answered> = (0..6).map(|index| rig.submit(commit("g", index, 7, 250))).collect();
    drop(held);
    rig.work_off();
    for call in calls {
        assert_eq!(code(answer(call).await), OK);
    }
    let pair = |first: i32| vec![("g".to_owned(), first), ("g".to_owned(), first + 1)];
    assert_eq!(keys(&rig.log()), [pair(0), pair(2), pair(4)]);
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_in_the_middle_of_a_round_sees_what_is_in_the_log_and_no_more() {
    let rig = Rig::start(SMALL_BATCH).await;
    let held = rig.hold();
    let first = rig.submit(commit("first", 0, 1, LARGE));
    let second = rig.submit(commit("second", 0, 2, LARGE));
    // Each asks, and waits for the answer.
    let mut asked = ["first", "second"].map(|group| Box::pin(rig.shard.query(asking(group, 0))));
    asked.iter_mut().for_each(|query| assert!(query.now_or_never().is_none()));
    drop(held);
    rig.work_off();
    let [of_first, of_second] = asked;
    let seen = (fetched(within(of_first).await.unwrap()), fetched(within(of_second).await.unwrap()));
    assert_eq!(seen, (Some(1), None), "the second is not in the log when it is asked for");
    assert_eq!((code(answer(first).await), code(answer(second).await)), (OK, OK));
    assert_eq!(rig.fetch("second", 0).await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_a_decision_that_cannot_be_written() {
    let rig = Rig::start(SMALL_BATCH).await;
    let held = rig.hold();
    let before = rig.submit(commit("before", 0, 1, LARGE));
    let large = rig.submit(commit("large", 0, 2, 2 * LARGE));
    let after = rig.submit(commit("after", 0, 3, LARGE));
    drop(held);
    rig.work_off();
    assert_eq!(code(answer(before).await), OK);
    assert_eq!(code(answer(large).await), ErrorCode::UnknownServerError);
    assert_eq!(code(answer(after).await), OK);
    assert_eq!((rig.fetch("before", 0).await, rig.fetch("large", 0).await), (Some(1), None));
    assert_eq!(rig.commit("large", 0, 4).await, OK);
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_appended_takes_the_next_decision_with_it_and_no_other() {
    let rig = Rig::start(SMALL_BATCH).await;
    let held = rig.hold();
    rig.disk.fail_next_write();
    // The second is decided before the first is found not to be written.
    let calls = ["first", "second", "third"].map(|group| rig.submit(commit(group, 0, 1, LARGE)));
    drop(held);
    rig.work_off();
    let mut told = Vec::new();
    for call in calls {
        told.push(code(answer(call).await));
    }
    assert_eq!(told, [AGAIN, AGAIN, OK]);
    assert_eq!(keys(&rig.log()), [[("third".to_owned(), 0)]]);
    for (group, offset) in [("first", None), ("second", None), ("third", Some(1))] {
        assert_eq!(rig.fetch(group, 0).await, offset, "{group}");
    }
    assert_eq!(rig.commit("first", 0, 5).await, OK);
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_any_kind_is_answered_where_the_batch_before_it_is_lost() {
    let rig = Rig::start(SMALL_BATCH).await;
    let long = "g".repeat(LARGE);
    assert_eq!(rig.commit(&long, 0, 1).await, OK);
    let waiting = parked_join(&rig);
    let held = rig.hold();
    rig.disk.fail_next_write();
    let lost = rig.submit(commit("lost", 0, 1, LARGE));
    let at_hand = rig.submit(Command::DeleteGroup(long.clone()));
    let after = rig.submit(Command::DeleteGroup(long));
    drop(held);
    rig.work_off();
    assert_eq!((code(answer(lost).await), code(answer(at_hand).await)), (AGAIN, AGAIN));
    assert_eq!(code(answer(after).await), OK);
    // More than offsets was lost: what is not in the log begins anew.
    assert_eq!(code(within(waiting).await.unwrap()), AGAIN);
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_others_goes_on_waiting_where_a_commit_is_lost() {
    let rig = Rig::start(SMALL_BATCH).await;
    let mut joining = parked_join(&rig);
    rig.disk.fail_next_write();
    assert_eq!(rig.commit("g", 0, 1).await, AGAIN);
    assert_eq!(code(answer(rig.submit(commit("g", 0, 1, 2 * LARGE))).await), ErrorCode::UnknownServerError);
    assert!(joining.try_recv().is_err(), "a commit is no business of another group");
    assert_eq!(code(within(joining).await.unwrap()), OK, "the group's first rebalance ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_disk_is_neither_answered_nor_seen() {
    let rig = Rig::start(FLUSH_EACH).await;
    rig.disk.hold_flushes(true);
    let (first, second) = (rig.submit(commit("first", 0, 1, 0)), rig.submit(commit("second", 0, 2, 0)));
    assert!(matches!((&first, &second), (Answered::Later(_), Answered::Later(_))));
    assert_eq!((rig.fetch("first", 0).await, rig.fetch("second", 0).await), (None, None));
    rig.disk.fail_next_write();
    assert_eq!(rig.commit("third", 0, 3).await, AGAIN);
    rig.disk.hold_flushes(false);
    assert_eq!((code(answer(first).await), code(answer(second).await)), (OK, OK));
    assert_eq!((rig.fetch("first", 0).await, rig.fetch("second", 0).await), (Some(1), Some(2)));
    assert_eq!(rig.fetch("third", 0).await, None);
    assert_eq!(keys(&rig.log()), [[("first".to_owned(), 0)], [("second".to_owned(), 0)]]);
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_disk_fails_before_a_commit_the_log_is_read_again() {
    let rig = Rig::start(FLUSH_EACH).await;
    assert_eq!(rig.commit("g", 0, 1).await, OK);
    rig.disk.hold_flushes(true);
    let lost = rig.submit(commit("g", 0, 2, 0));
    let joining = parked_join(&rig);
    rig.disk.fail_flushes(true);
    rig.disk.hold_flushes(false);
    assert_eq!(code(answer(lost).await), AGAIN);
    assert_eq!(code(within(joining).await.unwrap()), AGAIN);
    rig.disk.fail_flushes(false);
    let healed = async {
        while rig.commit("g", 0, 3).await != OK {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(healed).await;
    assert_eq!(rig.fetch("g", 0).await, Some(3));
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_told_to_everyone_who_waits() {
    let rig = Rig::start(FLUSH_EACH).await;
    let joining = parked_join(&rig);
    rig.disk.hold_flushes(true);
    let uncommitted = rig.submit(commit("g", 0, 1, 0));
    let held = rig.hold();
    let queued = rig.submit(commit("g", 1, 1, 0));
    let mut query = Box::pin(rig.shard.query(asking("g", 0)));
    assert!((&mut query).now_or_never().is_none());
    rig.shard.end();
    drop(held);
    let gone = ErrorCode::NotCoordinator;
    for waiting in [uncommitted, queued, Answered::Later(joining)] {
        assert_eq!(code(answer(waiting).await), gone);
    }
    // It may have had its turn before.
    match within(query).await {
        Ok(answer) => assert_eq!(fetched(answer), None),
        Err(error) => assert_eq!(error, gone),
    }
    assert_eq!(rig.commit("g", 2, 1).await, gone);
    assert_eq!(within(rig.shard.query(asking("g", 0))).await.unwrap_err(), gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_no_more_appends_nothing() {
    let rig = Rig::start(&[]).await;
    let joining = parked_join(&rig);
    rig.delete_topic().await;
    assert_eq!(rig.commit("g", 0, 1).await, ErrorCode::NotCoordinator);
    assert_eq!(rig.fetch("g", 0).await, None);
    rig.shard.end();
    assert_eq!(code(within(joining).await.unwrap()), ErrorCode::NotCoordinator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_hundred_thousand_offsets_is_deleted() {
    let rig = Rig::start(&[]).await;
    for first in (0..100_000).step_by(5_000) {
        let command = commit_all("g", first..first + 5_000, 1, 0);
        assert_eq!(code(answer(rig.submit(command)).await), OK);
    }
    let committed = rig.log().len();
    assert_eq!(code(answer(rig.submit(Command::DeleteGroup("g".to_owned()))).await), OK);
    assert!(rig.log().len() > committed + 1, "it fits no single batch");
    assert_eq!(rig.committed(), State::default());
    assert_eq!(rig.replayed(), State::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_lost_in_the_middle_is_done_by_another() {
    let rig = Rig::start(SMALL_BATCH).await;
    for partition in 0..50 {
        assert_eq!(rig.commit("g", partition, 1).await, OK);
    }
    let mut writes = 0;
    rig.disk.fail_writes(move || {
        writes += 1;
        writes == 2
    });
    let delete = || Command::DeleteGroup("g".to_owned());
    assert_eq!(code(answer(rig.submit(delete())).await), AGAIN);
    // What was written of it holds, and no more.
    let left = (0..50).filter(|partition| rig.committed().offset("g", "t", *partition).is_some()).count();
    assert!((1..50).contains(&left), "{left}");
    assert_eq!(rig.committed(), rig.replayed());
    assert_eq!(code(answer(rig.submit(delete())).await), OK);
    assert_eq!(code(answer(rig.submit(delete())).await), ErrorCode::GroupIdNotFound);
    assert_eq!(rig.committed(), State::default());
    assert_eq!(rig.replayed(), State::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_topic_that_is_gone_go_in_as_many_batches_as_it_takes() {
    let rig = Rig::start(SMALL_BATCH).await;
    for partition in 0..50 {
        assert_eq!(rig.commit("g", partition, 1).await, OK);
    }
    rig.shard.topics_changed(vec!["t".into()]);
    let gone = async {
        while rig.committed() != State::default() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(gone).await;
    assert_eq!(rig.replayed(), State::default());
}

/// Many at once, each of whom is told the truth: what is committed is in the log, and what is refused never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_each_answered_once_and_as_the_log_has_it() {
    let rig = Rig::start(SMALL_BATCH).await;
    let mut writes = 0;
    rig.disk.fail_writes(move || {
        writes += 1;
        writes % 5 == 0
    });
    let (rig, tokio) = (&rig, Handle::current());
    let work = |thread: i32| {
        let own = format!("own {thread}");
        let mut told = Vec::new();
        for index in 0..60 {
            // Every commit is of another offset.
            let offset = i64::from(1_000 * thread + index);
            let (group, partition) = if index % 3 == 0 { ("shared", 0) } else { (own.as_str(), index) };
            let error = code(tokio.block_on(answer(rig.submit(commit(group, partition, offset, 100)))));
            assert!(matches!(error, OK | AGAIN), "{error:?}");
            if group != "shared" {
                let seen = tokio.block_on(rig.fetch(group, partition));
                assert_eq!(seen, (error == OK).then_some(offset), "{group} {partition}: {error:?}");
            }
            if error == OK {
                told.push(offset);
            }
        }
        told
    };
    let told: Vec<Vec<i64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|index| scope.spawn(move || work(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let mut logged: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for record in rig.log().into_iter().flatten() {
        let GroupRecord::OffsetCommit(_, Some(value)) = record else { panic!("{record:?}") };
        logged.entry(value.offset / 1_000).or_default().push(value.offset);
    }
    // In the order in which they were asked for, too.
    assert_eq!(logged.into_values().collect::<Vec<_>>(), told);
    let refused = 6 * 60 - told.iter().map(Vec::len).sum::<usize>();
    assert!(refused > 0);
    assert_eq!(rig.committed(), rig.replayed());
}

/// Who comes while somebody has the lock for something else than the queue goes away again, and is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_lock_is_held_is_answered() {
    type Holder = fn(&Arc<Shard>);
    let holders: [(&str, Holder); 3] = [
        ("the view was written", |shard| shard.allow_view(usize::MAX)),
        ("somebody looks", |shard| drop(shard.seen())),
        ("the end", |shard| shard.finish(ErrorCode::NotCoordinator)),
    ];
    for (name, holder) in holders {
        let rig = Rig::start(&[]).await;
        // The task is at rest, and nobody else comes.
        time::sleep(Duration::from_millis(100)).await;
        let held = rig.hold();
        let call = rig.submit(commit("g", 0, 1, 0));
        let shard = Arc::clone(&rig.shard);
        let holder = thread::spawn(move || holder(&shard));
        drop(held);
        let told = code(answer(call).await);
        assert!(matches!(told, OK | ErrorCode::NotCoordinator), "{name}: {told:?}");
        holder.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_go_while_the_log_is_read_take_their_offsets_with_them() {
    let mut rig = Rig::start(&[]).await;
    assert_eq!(rig.commit("g", 0, 1).await, OK);
    rig.replace().await;
    rig.shard.topics_changed(vec!["t".into()]);
    assert_eq!(rig.commit("g", 1, 1).await, ErrorCode::CoordinatorLoadInProgress);
    rig.attend().await;
    assert_eq!(rig.fetch("g", 0).await, None);
    assert_eq!(rig.committed(), rig.replayed());
}

/// A group of one member with this session, and when it was heard of last.
async fn group_of_one(rig: &Rig, session_timeout_ms: i32) -> Instant {
    let heard = Instant::now();
    assert_eq!(code(answer(rig.submit_as(3, joining("joined", session_timeout_ms))).await), OK);
    heard
}

fn sessions() -> GroupSettings {
    GroupSettings { classic_min_session_timeout_ms: 1, initial_rebalance_delay_ms: 0, ..GroupSettings::default() }
}

/// How long a group of one member is there after that was heard of.
async fn lasts(rig: &Rig, heard: Instant) -> Duration {
    let ended = async {
        while rig.state_of("joined") != "Empty" {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(ended).await;
    heard.elapsed()
}

/// A member of a group of its own, and what it is told: its id first of all.
async fn join_now(rig: &Rig, group: &str) -> JoinGroupResponse {
    let Answer::JoinGroup(joined) = answer(rig.submit_as(3, joining(group, 30_000))).await else { panic!() };
    assert_eq!(ErrorCode::from(joined.error_code), OK);
    joined
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_topic_allows_is_obeyed_from_when_it_is_set() {
    let rig = Rig::start_with(sessions()).await;
    let leader = join_now(&rig, "large").await;
    join_now(&rig, "joined").await;
    let mut second = parked_join(&rig);
    rig.set("max.message.bytes", "1000").await;
    let assignment = SyncGroupRequestAssignment {
        member_id: leader.member_id.clone(),
        assignment: Bytes::from(vec![0; 2_000]),
        ..SyncGroupRequestAssignment::default()
    };
    let sync = SyncGroupRequest {
        group_id: "large".to_owned(),
        generation_id: leader.generation_id,
        member_id: leader.member_id,
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    let told = code(answer(rig.submit(Command::SyncGroup(sync))).await);
    assert_eq!(told, ErrorCode::UnknownServerError);
    assert!(second.try_recv().is_err(), "another group goes on");
    assert_eq!(rig.committed(), rig.replayed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_while_the_lock_is_held_happens_after_that() {
    let rig = Rig::start_with(sessions()).await;
    let heard = group_of_one(&rig, 200).await;
    let held = rig.hold();
    thread::sleep(Duration::from_millis(400));
    drop(held);
    assert!(lasts(&rig, heard).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_neither_ends_a_session_nor_prolongs_it() {
    for hours in [1, -1] {
        let rig = Rig::start_with(sessions()).await;
        let heard = group_of_one(&rig, 600).await;
        // The task sleeps, and is about to find how long it may go on to when the clock is set.
        time::sleep(Duration::from_millis(100)).await;
        let held = rig.hold();
        rig.shard.wake.notify_one();
        thread::sleep(Duration::from_millis(50));
        rig.env.set_clock_by(hours * 3_600_000);
        drop(held);
        let lasted = lasts(&rig, heard).await;
        assert!((600..5_000).contains(&lasted.as_millis()), "{hours} h: {lasted:?}");
    }
}

/// Members were not heard where the process was stopped: what they sent meanwhile has yet to be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_does_not_end_before_its_member_can_be_heard_after_a_stall() {
    let rig = Rig::start_with(sessions()).await;
    let heard = group_of_one(&rig, 200).await;
    let held = rig.hold();
    thread::sleep(Duration::from_millis(1_500));
    drop(held);
    let lasted = lasts(&rig, heard).await;
    assert!((2_300..6_000).contains(&lasted.as_millis()), "{lasted:?}");
}
