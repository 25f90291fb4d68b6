//! Committed offsets and the administration of groups: what is told is what was committed, after a kill as well.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use felice_protocol::{
    Uuid,
    error::ErrorCode,
    messages::{
        consumer_group_describe::ConsumerGroupDescribeRequest,
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        delete_groups::DeleteGroupsRequest,
        describe_groups::{DescribeGroupsRequest, DescribedGroup},
        find_coordinator::FindCoordinatorRequest,
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
        list_groups::ListGroupsRequest,
        offset_commit::*,
        offset_delete::*,
        offset_fetch::*,
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, error},
    harness::{Local, Process},
    retention::set,
};

/// Few partitions, so that a start has few logs to make.
const SMALL: &str = "offsets.topic.num.partitions=3";

const COMMIT: i16 = 9;
const FETCH: i16 = 9;

/// Asks for a group's coordinator, which makes there be one, until it is there.
pub fn coordinate(client: &mut Client, group: &str) {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    until(|| {
        let found = client.call(6, &request).coordinators.remove(0);
        (found.error_code == 0).then(|| assert_eq!(found.port, i32::from(client.stream().peer_addr().unwrap().port())))
    });
    until(|| {
        let answer = client.call(4, &ListGroupsRequest::default());
        (error(answer.error_code) != ErrorCode::CoordinatorLoadInProgress).then_some(())
    });
}

/// Tries again and again, which something is expected to make succeed soon.
pub fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(there) = attempt() {
            return there;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it never came");
        thread::sleep(Duration::from_millis(10));
    }
}

fn commit_request(group: &str, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        committed_leader_epoch: 4,
        committed_metadata: Some(format!("at {offset}")),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.to_owned(),
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() }
}

fn commit(client: &mut Client, group: &str, topic: &str, offsets: &[(i32, i64)]) -> Vec<ErrorCode> {
    let answer = client.call(COMMIT, &commit_request(group, topic, offsets));
    answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| error(p.error_code))).collect()
}

fn asked(group: &str, topic: &str, partitions: &[i32]) -> OffsetFetchRequestGroup {
    let topic = OffsetFetchRequestTopics {
        name: topic.to_owned(),
        partition_indexes: partitions.to_vec(),
        ..OffsetFetchRequestTopics::default()
    };
    OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() }
}

fn everything(group: &str) -> OffsetFetchRequestGroup {
    OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..OffsetFetchRequestGroup::default() }
}

/// Topic, partition and offset, of one group.
fn fetch(client: &mut Client, group: OffsetFetchRequestGroup) -> Vec<(String, i32, i64)> {
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let answer = client.call(FETCH, &request).groups.remove(0);
    assert_eq!(error(answer.error_code), ErrorCode::None);
    offsets(&answer)
}

fn offsets(group: &OffsetFetchResponseGroup) -> Vec<(String, i32, i64)> {
    let of = |topic: &OffsetFetchResponseTopics| {
        let name = topic.name.clone();
        topic.partitions.iter().map(move |p| (name.clone(), p.partition_index, p.committed_offset)).collect::<Vec<_>>()
    };
    group.topics.iter().flat_map(of).collect()
}

fn at(topic: &str, partition: i32, offset: i64) -> (String, i32, i64) {
    (topic.to_owned(), partition, offset)
}

fn describe(client: &mut Client, version: i16, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..DescribeGroupsRequest::default() };
    client.call(version, &request).groups.remove(0)
}

fn delete_group(client: &mut Client, group: &str) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()], ..DeleteGroupsRequest::default() };
    error(client.call(2, &request).results.remove(0).error_code)
}

fn listed(client: &mut Client) -> Vec<(String, String, String)> {
    let answer = client.call(5, &ListGroupsRequest::default());
    assert_eq!(error(answer.error_code), ErrorCode::None);
    answer.groups.into_iter().map(|group| (group.group_id, group.group_state, group.group_type)).collect()
}

#[test]
fn what_was_committed_is_there_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[SMALL]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    coordinate(&mut client, "g");
    for offset in 0..50 {
        assert_eq!(commit(&mut client, "g", "t", &[(0, offset), (1, 2 * offset)]), [ErrorCode::None; 2]);
    }
    assert_eq!(commit(&mut client, "other", "t", &[(0, 7)]), [ErrorCode::None]);
    broker.kill();

    let broker = Process::start(folder.path(), &[SMALL]);
    let mut client = broker.client();
    coordinate(&mut client, "g");
    assert_eq!(fetch(&mut client, everything("g")), [at("t", 0, 49), at("t", 1, 98)]);
    let request = OffsetFetchRequest { groups: vec![asked("g", "t", &[0])], ..OffsetFetchRequest::default() };
    let answer = client.call(FETCH, &request).groups.remove(0).topics.remove(0).partitions.remove(0);
    assert_eq!((answer.committed_leader_epoch, answer.metadata.as_deref()), (4, Some("at 49")));
    assert_eq!(fetch(&mut client, everything("other")), [at("t", 0, 7)]);
}

/// A group is coordinated as soon as its log can be opened, though that could not be done when it was made.
#[test]
fn a_log_of_groups_that_could_not_be_made_is_tried_again() {
    let broker = Local::start(&["offsets.topic.num.partitions=1"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let obstacle = broker.folder().join("__consumer_offsets-0");
    fs::write(&obstacle, "in the way").unwrap();
    let request = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
    client.call(6, &request);
    assert_eq!(commit(&mut client, "g", "t", &[(0, 5)]), [ErrorCode::NotCoordinator]);
    fs::remove_file(&obstacle).unwrap();
    until(|| (commit(&mut client, "g", "t", &[(0, 5)]) == [ErrorCode::None]).then_some(()));
    assert_eq!(fetch(&mut client, everything("g")), [at("t", 0, 5)]);
}

#[test]
fn partitions_that_do_not_exist_are_refused_and_the_others_committed() {
    let broker = Local::start(&[SMALL]);
    let mut client = broker.client();
    let id = client.create_topic("t", 1, &[]);
    coordinate(&mut client, "g");
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(commit(&mut client, "g", "t", &[(1, 1), (0, 5)]), [unknown, ErrorCode::None]);
    assert_eq!(commit(&mut client, "g", "none", &[(0, 1)]), [unknown]);
    assert_eq!(fetch(&mut client, everything("g")), [at("t", 0, 5)]);

    // By id, from version 10 on, and in the oldest versions.
    let mut by_id = commit_request("g", "", &[(0, 6)]);
    by_id.topics[0].topic_id = id;
    assert_eq!(client.call(10, &by_id).topics[0].partitions[0].error_code, 0);
    by_id.topics[0].topic_id = Uuid([9; 16]);
    let refused = client.call(10, &by_id).topics.remove(0);
    assert_eq!((refused.topic_id, error(refused.partitions[0].error_code)), (Uuid([9; 16]), ErrorCode::UnknownTopicId));
    let mut asked = asked("g", "", &[0]);
    asked.topics.as_mut().unwrap()[0].topic_id = id;
    let request = OffsetFetchRequest { groups: vec![asked, everything("g")], ..OffsetFetchRequest::default() };
    for group in client.call(10, &request).groups {
        assert_eq!((group.topics[0].topic_id, group.topics[0].partitions[0].committed_offset), (id, 6));
    }
    for version in 0..8 {
        let mut request = commit_request("old", "t", &[(0, i64::from(version))]);
        if version < 6 {
            request.topics[0].partitions[0].committed_leader_epoch = -1;
        }
        assert_eq!(client.call(version, &request).topics[0].partitions[0].error_code, 0, "version {version}");
        let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0], ..Default::default() };
        let request = OffsetFetchRequest {
            group_id: "old".to_owned(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequest::default()
        };
        let answer = client.call(version, &request);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((answer.error_code, partition.committed_offset), (0, i64::from(version)), "version {version}");
    }
}

#[test]
fn a_topics_offsets_go_with_it() {
    let broker = Local::start(&[SMALL]);
    let mut client = broker.client();
    for topic in ["t", "u"] {
        client.create_topic(topic, 1, &[]);
    }
    coordinate(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", &[(0, 5)]), [ErrorCode::None]);
    assert_eq!(commit(&mut client, "g", "u", &[(0, 5)]), [ErrorCode::None]);
    client.delete_topic("t");
    client.create_topic("t", 1, &[]);
    assert_eq!(fetch(&mut client, asked("g", "t", &[0])), [at("t", 0, -1)]);
    until(|| (fetch(&mut client, everything("g")) == [at("u", 0, 5)]).then_some(()));
}

#[test]
fn the_number_of_partitions_by_which_groups_are_found_does_not_change() {
    let broker = Local::start(&[SMALL]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    coordinate(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", &[(0, 5)]), [ErrorCode::None]);
    let topic = |name: &str| CreatePartitionsTopic { name: name.to_owned(), count: 7, ..Default::default() };
    let topics = ["__consumer_offsets", "t", "__transaction_state"].map(topic).to_vec();
    let request = CreatePartitionsRequest { topics, timeout_ms: 60_000, ..CreatePartitionsRequest::default() };
    let results = client.call(3, &request).results;
    let error_of =
        |name: &str| results.iter().find(|result| result.name == name).map(|result| error(result.error_code));
    assert_eq!(error_of("__consumer_offsets"), Some(ErrorCode::InvalidPartitions));
    assert_eq!(error_of("t"), Some(ErrorCode::None));
    assert_eq!(error_of("__transaction_state"), Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(fetch(&mut client, everything("g")), [at("t", 0, 5)]);
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let broker = Local::start(&[SMALL]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    coordinate(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", &[(0, 5), (1, 6)]), [ErrorCode::None; 2]);
    let empty = ("g".to_owned(), "Empty".to_owned(), "classic".to_owned());
    assert_eq!(listed(&mut client), [empty]);

    let there = describe(&mut client, 6, "g");
    assert_eq!((error(there.error_code), there.group_state.as_str()), (ErrorCode::None, "Empty"));
    let missing = describe(&mut client, 5, "none");
    assert_eq!((error(missing.error_code), missing.group_state.as_str()), (ErrorCode::None, "Dead"));
    let missing = describe(&mut client, 6, "none");
    assert_eq!(error(missing.error_code), ErrorCode::GroupIdNotFound);
    assert_eq!(missing.error_message.as_deref(), Some("Group none not found."));
    let request = ConsumerGroupDescribeRequest { group_ids: vec!["g".to_owned(), String::new()], ..Default::default() };
    let answers = client.call(1, &request).groups;
    assert_eq!(error(answers[0].error_code), ErrorCode::GroupIdNotFound);
    assert_eq!(answers[0].error_message.as_deref(), Some("Group g is not a consumer group."));
    assert_eq!(error(answers[1].error_code), ErrorCode::InvalidGroupId);

    let partition = |partition_index| OffsetDeleteRequestPartition { partition_index, ..Default::default() };
    let topic = OffsetDeleteRequestTopic {
        name: "t".to_owned(),
        partitions: vec![partition(1), partition(2)],
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequest { group_id: "g".to_owned(), topics: vec![topic], ..Default::default() };
    let answer = client.call(0, &request);
    let codes: Vec<ErrorCode> = answer.topics[0].partitions.iter().map(|p| error(p.error_code)).collect();
    assert_eq!((answer.error_code, codes), (0, vec![ErrorCode::None, ErrorCode::UnknownTopicOrPartition]));
    assert_eq!(fetch(&mut client, everything("g")), [at("t", 0, 5)]);

    assert_eq!(delete_group(&mut client, "none"), ErrorCode::GroupIdNotFound);
    assert_eq!(delete_group(&mut client, "g"), ErrorCode::None);
    assert_eq!((fetch(&mut client, everything("g")), listed(&mut client)), (vec![], vec![]));
    assert_eq!(delete_group(&mut client, "g"), ErrorCode::GroupIdNotFound);
}

/// Deletions need not fit one batch: each is of more than the log takes at once.
#[test]
fn more_offsets_than_fit_a_batch_are_deleted() {
    const COUNT: i32 = 300;
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[SMALL]);
    let mut client = broker.client();
    for topic in ["t", "u"] {
        client.create_topic(topic, COUNT, &[]);
    }
    coordinate(&mut client, "g");
    let offsets: Vec<(i32, i64)> = (0..COUNT).map(|partition| (partition, 7)).collect();
    for (group, topic) in [("g", "t"), ("g", "u"), ("h", "t")] {
        assert!(commit(&mut client, group, topic, &offsets).iter().all(|error| *error == ErrorCode::None));
    }
    set(&mut client, "__consumer_offsets", "max.message.bytes", "2000");

    let partition = |partition_index| OffsetDeleteRequestPartition { partition_index, ..Default::default() };
    let topic = OffsetDeleteRequestTopic {
        name: "u".to_owned(),
        partitions: (0..COUNT).map(partition).collect(),
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequest { group_id: "g".to_owned(), topics: vec![topic], ..Default::default() };
    let answer = client.call(0, &request);
    assert!(answer.error_code == 0 && answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0));
    assert_eq!(fetch(&mut client, everything("g")).len(), COUNT as usize);
    assert_eq!(delete_group(&mut client, "g"), ErrorCode::None);
    client.delete_topic("t");
    until(|| fetch(&mut client, everything("h")).is_empty().then_some(()));
    broker.kill();

    let broker = Process::start(folder.path(), &[SMALL]);
    let mut client = broker.client();
    coordinate(&mut client, "g");
    assert_eq!(listed(&mut client), []);
}

#[test]
fn a_commit_that_does_not_fit_a_batch_disturbs_no_other_group() {
    const PARTITIONS: i32 = 40;
    let broker = Local::start(&["offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=1000"]);
    let (mut client, mut member) = (broker.client(), broker.client());
    client.create_topic("t", PARTITIONS, &[]);
    coordinate(&mut client, "g");
    let join = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        group_instance_id: Some("i".to_owned()),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() }],
        ..JoinGroupRequest::default()
    };
    member.send(9, &join);
    until(|| (describe(&mut client, 6, "g").group_state == "PreparingRebalance").then_some(()));
    let offsets: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, 1)).collect();
    let refused = commit(&mut client, &"x".repeat(32_000), "t", &offsets);
    assert_eq!(refused, [ErrorCode::UnknownServerError; PARTITIONS as usize]);
    let (_, joined): (i32, JoinGroupResponse) = member.receive(9);
    assert_eq!((error(joined.error_code), joined.generation_id), (ErrorCode::None, 1));
}

#[test]
fn ten_thousand_groups_are_asked_about_at_once() {
    const COUNT: usize = 10_000;
    let broker = Local::start(&[SMALL]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    coordinate(&mut client, "g");
    let names: Vec<String> = (0..COUNT).map(|number| format!("group-{number}")).collect();
    for names in names.chunks(500) {
        for name in names {
            client.send(COMMIT, &commit_request(name, "t", &[(0, 1)]));
        }
        for _ in names {
            let (_, answer): (i32, OffsetCommitResponse) = client.receive(COMMIT);
            assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        }
    }
    let started = Instant::now();
    let groups = names.iter().map(|name| everything(name)).collect();
    let answer = client.call(FETCH, &OffsetFetchRequest { groups, ..OffsetFetchRequest::default() });
    assert_eq!(answer.groups.len(), COUNT);
    assert!(answer.groups.iter().zip(&names).all(|(group, name)| group.group_id == *name));
    assert!(answer.groups.iter().all(|group| offsets(group) == [at("t", 0, 1)]));
    let request = DescribeGroupsRequest { groups: names.clone(), ..DescribeGroupsRequest::default() };
    let answer = client.call(6, &request);
    assert!(answer.groups.len() == COUNT && answer.groups.iter().all(|group| group.group_state == "Empty"));
    assert_eq!(listed(&mut client).len(), COUNT);
    let request = DeleteGroupsRequest { groups_names: names, ..DeleteGroupsRequest::default() };
    let answer = client.call(2, &request);
    assert!(answer.results.len() == COUNT && answer.results.iter().all(|result| result.error_code == 0));
    // Without optimization it takes a second or two; what would be quadratic takes minutes.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(listed(&mut client), []);
}
