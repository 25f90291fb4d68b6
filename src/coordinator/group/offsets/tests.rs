//! Offsets over a whole coordinator, whose groups are made of records.

use std::sync::Arc;

use felice_protocol::{
    Uuid,
    coordinator::{GroupRecord, consumer_group::*, offsets::*},
    error::ErrorCode,
    messages::{join_group::*, offset_commit::*, offset_delete::*, offset_fetch::*},
};

use super::expire::DELETED_PER_STEP;
use crate::{
    coordinator::group::{Answer, CallId, Caller, Command, GroupMachine, GroupSettings, Out, Query, State},
    metadata::{Delta, Image, RemoveTopicRecord, TopicRecord},
    model::{ProducerId, Timestamp},
};

/// A coordinator, a cluster and a clock.
pub(in crate::coordinator::group) struct Bench {
    pub machine: GroupMachine,
    pub image: Image,
    pub now: i64,
    /// What the last decisions wrote.
    pub out: Out,
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The default of `offsets.retention.minutes`.
const WEEK: i64 = 7 * DAY;

pub(in crate::coordinator::group) fn id(n: u128) -> Uuid {
    Uuid(n.to_be_bytes())
}

impl Bench {
    pub fn new(records: impl IntoIterator<Item = GroupRecord>) -> Bench {
        let mut state = State::default();
        records.into_iter().for_each(|record| state.apply(None, &record));
        let (image, now) = (Image::default(), WEEK);
        let machine = GroupMachine::load(Arc::new(GroupSettings::default()), state, Timestamp(now), &image);
        Bench { machine, image, now, out: Out::default() }
    }

    pub fn topic(&mut self, name: &str, topic_id: Uuid) {
        let record = TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() };
        self.image.apply(&record.into(), &mut Delta::default()).unwrap();
    }

    fn remove_topic(&mut self, topic_id: Uuid) {
        let record = RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() };
        self.image.apply(&record.into(), &mut Delta::default()).unwrap();
    }

    pub fn decide(&mut self, version: i16, command: Command) -> Answer {
        let caller = Caller {
            call: CallId(1),
            version,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            fresh: id(77),
        };
        self.out = Out::default();
        self.machine.decide(Timestamp(self.now), &self.image, &caller, command, &mut self.out);
        let (call, answer) = self.out.answers.pop().expect("an answer");
        assert_eq!((call, self.out.answers.len()), (CallId(1), 0));
        answer
    }

    /// What a command that all of a request's partitions are refused by is refused with.
    fn commit(&mut self, version: i16, request: OffsetCommitRequest) -> Vec<ErrorCode> {
        let Answer::OffsetCommit(answer) = self.decide(version, Command::OffsetCommit(request)) else { panic!() };
        answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| error(p.error_code))).collect()
    }

    fn delete(&mut self, group: &str, topic: &str, partitions: &[i32]) -> (ErrorCode, Vec<ErrorCode>) {
        let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index, ..Default::default() };
        let topic = OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        };
        let request =
            OffsetDeleteRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetDeleteRequest::default() };
        let Answer::OffsetDelete(answer) = self.decide(0, Command::OffsetDelete(request)) else { panic!() };
        let partitions = answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| error(p.error_code))).collect();
        (error(answer.error_code), partitions)
    }

    pub fn query(&self, committed: &State, query: &Query) -> Answer {
        self.machine.query(Timestamp(self.now), committed, &self.image, query)
    }

    fn fetch(&self, group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
        let query = Query::OffsetFetch { group, require_stable };
        let Answer::OffsetFetch(answer) = self.query(self.machine.state(), &query) else { panic!() };
        answer
    }

    /// Offset, metadata and error of one partition.
    fn fetch_one(&self, group: &str, topic: &str, partition: i32) -> (i64, String, ErrorCode) {
        one(&self.fetch(asking(group, topic, Uuid::default(), partition), true))
    }

    /// Lets time pass, and everything happen that is due.
    fn pass(&mut self, ms: i64) -> usize {
        let until = self.now + ms;
        self.out = Out::default();
        let mut steps = 0;
        while let Some(due) = self.machine.next_deadline().filter(|due| due.0 <= until) {
            self.now = self.now.max(due.0);
            let before = self.out.records.len();
            assert!(self.machine.on_deadline(Timestamp(self.now), &self.image, &mut self.out));
            assert!(self.out.records.len() - before <= DELETED_PER_STEP + 1, "too much at once");
            steps += 1;
        }
        self.now = until;
        steps
    }

    fn keys(&self) -> Vec<(String, String, i32)> {
        let state = self.machine.state();
        let topics = state.offsets.iter().flat_map(|(group, topics)| topics.iter().map(move |topic| (group, topic)));
        topics
            .flat_map(|(g, (t, partitions))| partitions.keys().map(move |p| (g.to_string(), t.to_string(), *p)))
            .collect()
    }
}

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

fn one(answer: &OffsetFetchResponseGroup) -> (i64, String, ErrorCode) {
    assert_eq!(answer.error_code, 0);
    let partition = &answer.topics[0].partitions[0];
    (partition.committed_offset, partition.metadata.clone().unwrap(), error(partition.error_code))
}

fn asking(group: &str, topic: &str, topic_id: Uuid, partition: i32) -> OffsetFetchRequestGroup {
    let topic = OffsetFetchRequestTopics {
        name: topic.to_owned(),
        topic_id,
        partition_indexes: vec![partition],
        ..OffsetFetchRequestTopics::default()
    };
    OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    }
}

/// A commit of one partition by nobody.
fn simple(group: &str, topic: &str, topic_id: Uuid, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.to_owned(),
        topic_id,
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() }
}

pub(in crate::coordinator::group) fn stored(
    group: &str,
    topic: &str,
    topic_id: Uuid,
    partition: i32,
    committed_at: i64,
) -> GroupRecord {
    let key =
        OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition, ..OffsetCommitKey::default() };
    let value =
        OffsetCommitValue { offset: 1, commit_timestamp: committed_at, topic_id, ..OffsetCommitValue::default() };
    GroupRecord::OffsetCommit(key, Some(value))
}

/// A classic group of consumers that is empty since then, or else has a member that reads `t`.
pub(in crate::coordinator::group) fn classic(group: &str, empty_since: Option<i64>) -> GroupRecord {
    // The consumer protocol's subscription, version 0: topics and no user data.
    let subscription = bytes::Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let member = MemberMetadata {
        member_id: "m".to_owned(),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: 300_000,
        // Longer than any of these tests.
        session_timeout: i32::MAX,
        subscription,
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 3,
        protocol: empty_since.is_none().then(|| "range".to_owned()),
        leader: empty_since.is_none().then(|| "m".to_owned()),
        current_state_timestamp: empty_since.unwrap_or(WEEK),
        members: if empty_since.is_some() { Vec::new() } else { vec![member] },
        ..GroupMetadataValue::default()
    };
    GroupRecord::GroupMetadata(GroupMetadataKey { group: group.to_owned(), ..GroupMetadataKey::default() }, Some(value))
}

/// An empty consumer group.
pub(in crate::coordinator::group) fn consumer(group: &str) -> GroupRecord {
    let key = ConsumerGroupMetadataKey { group_id: group.to_owned(), ..ConsumerGroupMetadataKey::default() };
    let value = ConsumerGroupMetadataValue { epoch: 5, ..ConsumerGroupMetadataValue::default() };
    GroupRecord::ConsumerGroupMetadata(key, Some(value))
}

#[test]
fn a_commit_is_one_record_a_partition_and_is_fetched_again() {
    let mut bench = Bench::new([]);
    let mut request = simple("g", "t", id(1), 3, 42);
    request.topics[0].partitions[0].committed_metadata = Some("note".to_owned());
    request.topics[0].partitions[0].committed_leader_epoch = 7;
    assert_eq!(bench.commit(9, request), [ErrorCode::None]);
    let key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3, ..Default::default() };
    let value = OffsetCommitValue {
        offset: 42,
        leader_epoch: 7,
        metadata: "note".to_owned(),
        commit_timestamp: WEEK,
        topic_id: id(1),
        ..OffsetCommitValue::default()
    };
    assert_eq!(bench.out.records, [GroupRecord::OffsetCommit(key, Some(value))]);
    let answer = bench.fetch(asking("g", "t", Uuid::default(), 3), false);
    assert_eq!(answer.topics[0].partitions[0].committed_leader_epoch, 7);
    assert_eq!(one(&answer), (42, "note".to_owned(), ErrorCode::None));
    // Not what there is nothing of, and not before it is committed.
    assert_eq!(bench.fetch_one("g", "t", 4), (-1, String::new(), ErrorCode::None));
    assert_eq!(bench.fetch_one("none", "t", 3), (-1, String::new(), ErrorCode::None));
    let before = State::default();
    let fetch = |require_stable| {
        let query = Query::OffsetFetch { group: asking("g", "t", Uuid::default(), 3), require_stable };
        let Answer::OffsetFetch(answer) = bench.query(&before, &query) else { panic!() };
        one(&answer)
    };
    assert_eq!(fetch(false), (-1, String::new(), ErrorCode::None));
    assert_eq!(fetch(true), (-1, String::new(), ErrorCode::UnstableOffsetCommit));
}

#[test]
fn who_may_commit() {
    let by = |group: &str, member: &str, generation| OffsetCommitRequest {
        member_id: member.to_owned(),
        generation_id_or_member_epoch: generation,
        ..simple(group, "t", id(1), 0, 1)
    };
    let records = [classic("empty", Some(0)), classic("live", None), stored("simple", "t", id(1), 0, 0)];
    for (version, request, expected) in [
        (9, by("none", "", -1), ErrorCode::None),
        (9, by("none", "m", 0), ErrorCode::GroupIdNotFound),
        (8, by("none", "m", 0), ErrorCode::IllegalGeneration),
        (9, by("simple", "", -1), ErrorCode::None),
        (9, by("simple", "m", 0), ErrorCode::UnknownMemberId),
        (9, by("empty", "", -1), ErrorCode::None),
        (9, by("empty", "m", 3), ErrorCode::UnknownMemberId),
        (9, by("live", "", -1), ErrorCode::UnknownMemberId),
        (9, by("live", "other", 3), ErrorCode::UnknownMemberId),
        (9, by("live", "m", 2), ErrorCode::IllegalGeneration),
        (9, by("live", "m", 4), ErrorCode::IllegalGeneration),
        (9, by("live", "m", 3), ErrorCode::None),
    ] {
        let mut bench = Bench::new(records.clone());
        let what = format!("{version} {request:?}");
        assert_eq!(bench.commit(version, request), [expected], "{what}");
        assert_eq!(bench.out.records.len(), usize::from(expected == ErrorCode::None), "{what}");
    }
}

#[test]
fn metadata_are_measured_as_java_measures_them_and_refused_alone() {
    let mut bench = Bench::new([]);
    let mut request = simple("g", "t", id(1), 0, 1);
    let second = OffsetCommitRequestPartition { partition_index: 1, ..request.topics[0].partitions[0].clone() };
    request.topics[0].partitions.push(second);
    request.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_097));
    // Two bytes and one UTF-16 unit each.
    request.topics[0].partitions[1].committed_metadata = Some("ä".repeat(4_096));
    assert_eq!(bench.commit(9, request), [ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]);
    assert_eq!(bench.keys(), [("g".to_owned(), "t".to_owned(), 1)]);
}

#[test]
fn the_time_of_a_commit_and_its_retention_may_be_named() {
    let mut bench = Bench::new([]);
    let mut named = simple("g", "t", id(1), 0, 1);
    named.topics[0].partitions[0].commit_timestamp = 5;
    bench.commit(1, named);
    let kept = OffsetCommitRequest { retention_time_ms: HOUR, ..simple("g", "t", id(1), 1, 1) };
    bench.commit(4, kept);
    let offset = |partition| bench.machine.state().offset("g", "t", partition).unwrap();
    assert_eq!((offset(0).committed_at, offset(0).expires_at), (Timestamp(5), None));
    assert_eq!((offset(1).committed_at, offset(1).expires_at), (Timestamp(WEEK), Some(Timestamp(WEEK + HOUR))));
}

#[test]
fn all_topics_or_those_of_an_id() {
    let mut bench = Bench::new([stored("g", "a", id(1), 0, 0), stored("g", "b", id(2), 1, 0)]);
    let all = OffsetFetchRequestGroup { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let names = |answer: OffsetFetchResponseGroup| -> Vec<(String, i32)> {
        answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), p.partition_index))).collect()
    };
    assert_eq!(names(bench.fetch(all.clone(), false)), [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    assert_eq!(one(&bench.fetch(asking("g", "a", id(1), 0), false)).0, 1);
    assert_eq!(one(&bench.fetch(asking("g", "a", id(9), 0), false)).0, -1);
    let missing = OffsetFetchRequestGroup { group_id: "none".to_owned(), ..all.clone() };
    assert_eq!(names(bench.fetch(missing, false)), []);
    // Where the name belongs to another topic now, those who ask by it are told, as by Kafka: the log may come from elsewhere.
    bench.topic("a", id(9));
    assert_eq!(bench.fetch_one("g", "a", 0).0, 1);
    assert_eq!(names(bench.fetch(all, false)), [("a".to_owned(), 0), ("b".to_owned(), 1)]);
}

#[test]
fn what_is_asked_for_again_and_again_does_not_multiply_the_answer() {
    let mut bench = Bench::new([]);
    let mut request = simple("g", "t", id(1), 0, 1);
    request.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_096));
    bench.commit(9, request);
    let mut asked = asking("g", "t", id(1), 0);
    asked.topics.as_mut().unwrap()[0].partition_indexes = vec![0; 100_000];
    let answer = bench.fetch(asked, true);
    let told = &answer.topics[0].partitions;
    assert_eq!((told.len(), told[0].committed_offset), (100_000, 1));
    let last = told.last().unwrap();
    assert_eq!((last.committed_offset, error(last.error_code)), (-1, ErrorCode::PolicyViolation));
    let metadata: usize = told.iter().map(|partition| partition.metadata.as_ref().unwrap().len()).sum();
    assert!(metadata <= 32 << 20, "{metadata} bytes");
}

#[test]
fn an_open_transaction_makes_an_offset_unstable_for_who_asks_for_stable_ones() {
    let mut state = State::default();
    state.apply(None, &stored("g", "t", id(1), 0, 0));
    state.apply(Some(ProducerId(5)), &stored("g", "t", id(1), 0, 0));
    let mut bench = Bench::new([]);
    bench.machine = GroupMachine::load(Arc::new(GroupSettings::default()), state, Timestamp(0), &bench.image);
    assert_eq!(one(&bench.fetch(asking("g", "t", id(1), 0), false)), (1, String::new(), ErrorCode::None));
    let unstable = one(&bench.fetch(asking("g", "t", id(1), 0), true));
    assert_eq!(unstable, (-1, String::new(), ErrorCode::UnstableOffsetCommit));
    // It is not expired, and not forgotten before it is deleted by hand.
    bench.pass(5 * WEEK);
    assert_eq!(bench.delete("g", "t", &[0]), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(bench.machine.state(), &State::default());
}

#[test]
fn offsets_are_deleted_by_hand_where_nobody_reads_the_topic() {
    let records = [
        classic("live", None),
        stored("live", "t", id(1), 0, 0),
        stored("live", "u", id(2), 0, 0),
        stored("simple", "t", id(1), 0, 0),
    ];
    let mut bench = Bench::new(records);
    assert_eq!(bench.delete("none", "t", &[0]), (ErrorCode::GroupIdNotFound, vec![]));
    let subscribed = ErrorCode::GroupSubscribedToTopic;
    assert_eq!(bench.delete("live", "t", &[0, 1]), (ErrorCode::None, vec![subscribed, subscribed]));
    assert_eq!(bench.delete("live", "u", &[0, 5]), (ErrorCode::None, vec![ErrorCode::None, ErrorCode::None]));
    assert_eq!(bench.out.records.len(), 1, "a tombstone for what was there");
    assert_eq!(bench.delete("simple", "t", &[0]), (ErrorCode::None, vec![ErrorCode::None]));
    assert_eq!(bench.keys(), [("live".to_owned(), "t".to_owned(), 0)]);
}

#[test]
fn offsets_of_members_that_are_no_consumers_are_not_deleted_by_hand() {
    let GroupRecord::GroupMetadata(key, Some(mut value)) = classic("g", None) else { panic!() };
    value.protocol_type = "connect".to_owned();
    let mut bench = Bench::new([GroupRecord::GroupMetadata(key, Some(value)), stored("g", "t", id(1), 0, 0)]);
    assert_eq!(bench.delete("g", "t", &[0]), (ErrorCode::NonEmptyGroup, vec![]));
}

#[test]
fn what_expires_when() {
    let expires = |group: &str, at| {
        let GroupRecord::OffsetCommit(key, Some(mut value)) = stored(group, "t", id(1), 9, WEEK) else { panic!() };
        value.expire_timestamp = at;
        GroupRecord::OffsetCommit(key, Some(value))
    };
    let GroupRecord::GroupMetadata(key, Some(mut value)) = classic("connect", None) else { panic!() };
    value.protocol_type = "connect".to_owned();
    let connect = GroupRecord::GroupMetadata(key, Some(value));
    // Name, records, what is left a day short of a week later, and a day after it. It is one week after the beginning.
    let table: [(&str, Vec<GroupRecord>, usize, usize); 7] = [
        ("simple: since the commit", vec![stored("g", "t", id(1), 0, WEEK)], 1, 0),
        ("empty: since then", vec![classic("g", Some(WEEK)), stored("g", "t", id(1), 0, 0)], 1, 0),
        ("empty, nobody knows since when", vec![classic("g", Some(-1)), stored("g", "t", id(1), 0, WEEK)], 1, 0),
        (
            "live: what nobody reads any more",
            vec![classic("g", None), stored("g", "t", id(1), 0, 0), stored("g", "u", id(2), 0, WEEK)],
            2,
            1,
        ),
        ("live, but no consumers", vec![connect, stored("connect", "u", id(2), 0, 0)], 1, 1),
        ("empty consumer group: since the commit", vec![consumer("g"), stored("g", "t", id(1), 0, WEEK)], 1, 0),
        ("its own time", vec![classic("g", Some(WEEK)), expires("g", WEEK + 3 * WEEK)], 1, 1),
    ];
    for (what, records, early, late) in table {
        let mut bench = Bench::new(records);
        bench.topic("t", id(1));
        bench.topic("u", id(2));
        bench.pass(WEEK - DAY);
        assert_eq!(bench.keys().len(), early, "{what}, early");
        bench.pass(2 * DAY);
        assert_eq!(bench.keys().len(), late, "{what}, late");
    }
}

#[test]
fn a_group_goes_with_its_last_offset() {
    for (group, tombstone) in [(None, 2), (Some(classic("g", Some(WEEK))), 2), (Some(consumer("g")), 0)] {
        let mut bench = Bench::new(group.clone().into_iter().chain([stored("g", "t", id(1), 0, WEEK)]));
        bench.topic("t", id(1));
        bench.pass(2 * WEEK);
        assert_eq!(bench.machine.state(), &State::default(), "{group:?}");
        if tombstone > 0 {
            let gone = GroupMetadataKey { group: "g".to_owned(), ..GroupMetadataKey::default() };
            assert_eq!(bench.out.records.last(), Some(&GroupRecord::GroupMetadata(gone, None)));
            assert_eq!(bench.out.records.len(), tombstone);
        }
    }
    // Without offsets there is nothing to wait for; with members it stays.
    let mut bench = Bench::new([classic("empty", Some(WEEK)), classic("live", None)]);
    bench.pass(HOUR / 6 - 1);
    assert!(bench.machine.state().classic.contains_key("empty"));
    bench.pass(1);
    assert!(!bench.machine.state().classic.contains_key("empty") && bench.machine.state().classic.contains_key("live"));
}

#[test]
fn much_that_expires_at_once_goes_in_slices() {
    let count = 5 * DELETED_PER_STEP as i32 / 2;
    let wide = (0..count).map(|partition| stored("wide", "t", id(1), partition, 0));
    let many = (0..count).map(|group| stored(&format!("g{group}"), "t", id(1), 0, 0));
    let kept = (0..count).map(|partition| stored("wide", "u", id(2), partition, WEEK));
    let mut bench = Bench::new(wide.chain(many).chain(kept));
    bench.topic("t", id(1));
    bench.topic("u", id(2));
    let steps = bench.pass(HOUR / 6 + 20);
    assert!((5..=12).contains(&steps), "{steps} steps");
    let left = bench.keys();
    assert!(left.len() == count as usize && left.iter().all(|(_, topic, _)| topic == "u"), "{}", left.len());
    assert_eq!(bench.pass(HOUR / 6), 1, "the next pass has nothing to do, and begins when it should");
}

#[test]
fn a_topics_offsets_go_with_it_and_the_next_one_does_not_inherit_them() {
    let mut records = vec![
        stored("a", "t", id(1), 0, WEEK),
        stored("a", "u", id(2), 0, WEEK),
        stored("old", "t", Uuid::default(), 0, WEEK),
        // Committed for the new one before the old one's end was told.
        stored("new", "t", id(3), 0, WEEK),
    ];
    records.extend((0..5 * DELETED_PER_STEP as i32 / 2).map(|p| stored("wide", "t", id(1), p, WEEK)));
    let mut bench = Bench::new(records);
    bench.topic("t", id(3));
    bench.topic("u", id(2));
    bench.machine.on_image(Timestamp(bench.now), &bench.image, &["t".into()], &mut bench.out);
    assert_eq!(bench.out.records.len(), DELETED_PER_STEP);
    bench.pass(20);
    let key = |group: &str, topic: &str| (group.to_owned(), topic.to_owned(), 0);
    assert_eq!(bench.keys(), [key("a", "u"), key("new", "t")]);
    assert_eq!(bench.pass(HOUR / 6 - 21), 0, "no pass before its time");
}

#[test]
fn offsets_of_a_topic_that_went_while_the_coordinator_was_down_go_with_the_next_pass() {
    let mut bench =
        Bench::new([classic("g", None), stored("g", "t", id(1), 0, WEEK), stored("g", "u", id(2), 0, WEEK)]);
    bench.topic("t", id(1));
    bench.topic("u", id(2));
    bench.remove_topic(id(1));
    bench.pass(HOUR / 6);
    assert_eq!(bench.keys(), [("g".to_owned(), "u".to_owned(), 0)]);
}

#[test]
fn a_pending_offset_of_a_topic_that_is_gone_does_not_come_back() {
    let mut state = State::default();
    state.apply(Some(ProducerId(5)), &stored("g", "t", Uuid::default(), 0, 0));
    let mut bench = Bench::new([]);
    bench.machine = GroupMachine::load(Arc::new(GroupSettings::default()), state, Timestamp(0), &bench.image);
    bench.machine.on_image(Timestamp(bench.now), &bench.image, &["t".into()], &mut bench.out);
    assert_eq!((bench.out.records.len(), bench.machine.state()), (1, &State::default()));
}

/// The log says nothing of it but its offsets; what is known besides goes when nobody has come in after all.
#[test]
fn a_group_that_nobody_has_joined_in_the_end_is_what_it_was() {
    let mut bench = Bench::new([stored("g", "t", id(1), 0, WEEK)]);
    bench.topic("t", id(1));
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..JoinGroupRequestProtocol::default() };
    let request = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let join = |bench: &mut Bench, request: &JoinGroupRequest| {
        let Answer::JoinGroup(answer) = bench.decide(9, Command::JoinGroup(request.clone())) else { panic!() };
        error(answer.error_code)
    };
    assert_eq!(join(&mut bench, &request), ErrorCode::MemberIdRequired);
    assert!(bench.machine.classic_group("g").is_some());
    bench.pass(10_000);
    assert!(bench.machine.classic_group("g").is_none());
    let nothing = JoinGroupRequest { protocols: Vec::new(), ..request };
    assert_eq!(join(&mut bench, &nothing), ErrorCode::InconsistentGroupProtocol);
    assert!(bench.machine.classic_group("g").is_none());
    assert_eq!(bench.keys().len(), 1);
}
