//! Requests that name more than there is: what they decode to, what they are answered, and how long they keep a processor.

use std::{net::SocketAddr, time::Duration};

use felice_protocol::{
    api::{Request, write_request},
    error::ErrorCode,
    messages::{
        api_versions::ApiVersionsRequest,
        consumer_group_describe::ConsumerGroupDescribeRequest,
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        create_topics::{CreatableTopic, CreateTopicsRequest},
        delete_groups::DeleteGroupsRequest,
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_groups::DescribeGroupsRequest,
        describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest},
        fetch::{FetchRequest, FetchTopic},
        find_coordinator::FindCoordinatorRequest,
        incremental_alter_configs::{AlterConfigsResource, IncrementalAlterConfigsRequest},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::{MetadataRequest, MetadataRequestTopic},
        offset_commit::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
        },
        offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup},
        offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic},
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
};
use tempfile::TempDir;

use super::{Bystander, MIB, crowd, raw};
use crate::{
    client::{Client, error, fetch_partition},
    harness::{Local, Process},
};

/// Where an API has an array, and the smallest element: key, version, what comes before the count, and the element. All in
/// flexible versions, where nothing takes a byte or two.
const ARRAYS: [(i16, i16, &[u8], &[u8]); 22] = [
    (0, 9, &[0, 0xff, 0xff, 0, 0, 0, 1], &[1, 1, 0]),
    (1, 12, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 1, 0]),
    (2, 6, &[0xff, 0xff, 0xff, 0xff, 0], &[1, 1, 0]),
    (3, 9, &[], &[1, 0]),
    (8, 8, &[2, b'g', 0xff, 0xff, 0xff, 0xff, 1, 0], &[1, 1, 0]),
    (9, 8, &[], &[1, 0, 0]),
    (10, 4, &[0], &[1]),
    (11, 6, &[2, b'g', 0, 0, 0x30, 0, 0, 0, 0x30, 0, 1, 0, 2, b'c'], &[1, 1, 0]),
    (13, 4, &[2, b'g'], &[1, 0, 0]),
    (14, 4, &[2, b'g', 0, 0, 0, 1, 1, 0], &[1, 1, 0]),
    (15, 5, &[], &[1]),
    (16, 4, &[], &[1]),
    (19, 5, &[], &[1, 0, 0, 0, 1, 0, 1, 1, 1, 0]),
    (20, 4, &[], &[1]),
    (23, 4, &[0xff, 0xff, 0xff, 0xff], &[1, 1, 0]),
    (32, 4, &[], &[2, 1, 0, 0]),
    (37, 2, &[], &[1, 0, 0, 0, 1, 0, 0]),
    (42, 2, &[], &[1]),
    (44, 1, &[], &[2, 1, 1, 0]),
    (69, 0, &[], &[1]),
    (75, 0, &[], &[1, 0]),
    // Not an array: the tagged fields at the end of ApiVersions, with names that mean nothing.
    (18, 3, &[2, b'a', 2, b'a'], &[100, 0]),
];

/// Requests of millions of empty elements, each of which closes its connection.
pub fn millions_of_nothing(address: SocketAddr, count: u32) {
    for (key, version, before, element) in ARRAYS {
        let mut body = before.to_vec();
        let mut left = if key == 18 { count } else { count + 1 };
        while left >= 0x80 {
            body.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        body.push(left.to_le_bytes()[0]);
        body.extend_from_slice(&element.repeat(count as usize));
        let mut client = Client::connect(address);
        client.send_raw(&raw(key, version, true, &body));
        client.expect_close();
    }
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("no-such-topic-{number}"))
}

/// Asks about `count` topics that do not exist by each API that takes a list of them, and must be answered about all.
pub fn ask_about_nothing(address: SocketAddr, count: usize, which: impl Fn(usize) -> bool) {
    fn all<Q: Request>(
        client: &mut Client,
        version: i16,
        request: &Q,
        codes: impl Fn(Q::Response) -> Vec<i16>,
        count: usize,
        expected: ErrorCode,
    ) {
        let codes = codes(client.call(version, request));
        assert_eq!(codes.len(), count, "{}", Q::NAME);
        assert!(codes.iter().all(|code| error(*code) == expected), "{}: {:?}", Q::NAME, error(codes[0]));
    }

    let mut client = Client::connect(address);
    let client = &mut client;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    if which(0) {
        let topic = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
        let topics = Some(names(count).map(topic).collect());
        let request = MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() };
        all(client, 12, &request, |it| it.topics.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(1) {
        let topics = names(count).map(|name| TopicRequest { name, ..Default::default() }).collect();
        let request = DescribeTopicPartitionsRequest { topics, ..Default::default() };
        all(client, 0, &request, |it| it.topics.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(2) {
        let resource =
            |resource_name| DescribeConfigsResource { resource_type: 2, resource_name, ..Default::default() };
        let request = DescribeConfigsRequest { resources: names(count).map(resource).collect(), ..Default::default() };
        all(client, 4, &request, |it| it.results.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(3) {
        let topic = |name| DeleteTopicState { name: Some(name), ..Default::default() };
        let request = DeleteTopicsRequest { topics: names(count).map(topic).collect(), ..Default::default() };
        all(client, 6, &request, |it| it.responses.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(4) {
        let topic = |name| CreatePartitionsTopic { name, count: i32::MAX, ..Default::default() };
        let request = CreatePartitionsRequest { topics: names(count).map(topic).collect(), ..Default::default() };
        all(client, 3, &request, |it| it.results.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(5) {
        // Of transactions, which have none yet.
        let request =
            FindCoordinatorRequest { key_type: 1, coordinator_keys: names(count).collect(), ..Default::default() };
        let refused = ErrorCode::CoordinatorNotAvailable;
        all(client, 4, &request, |it| it.coordinators.iter().map(|it| it.error_code).collect(), count, refused);
    }
    if which(6) {
        let topic = |topic| FetchTopic { topic, partitions: vec![fetch_partition(0, 0)], ..Default::default() };
        let request =
            FetchRequest { max_wait_ms: 100, topics: names(count).map(topic).collect(), ..Default::default() };
        let codes = |it: felice_protocol::messages::fetch::FetchResponse| {
            it.responses.iter().flat_map(|it| &it.partitions).map(|it| it.error_code).collect()
        };
        all(client, 12, &request, codes, count, unknown);
    }
    if which(7) {
        let partitions = vec![ListOffsetsPartition { timestamp: 1, ..Default::default() }];
        let topic = |name| ListOffsetsTopic { name, partitions: partitions.clone(), ..Default::default() };
        let request =
            ListOffsetsRequest { replica_id: -1, topics: names(count).map(topic).collect(), ..Default::default() };
        let codes = |it: felice_protocol::messages::list_offsets::ListOffsetsResponse| {
            it.topics.iter().flat_map(|it| &it.partitions).map(|it| it.error_code).collect()
        };
        all(client, 7, &request, codes, count, unknown);
    }
    if which(8) {
        let partitions = vec![OffsetForLeaderPartition::default()];
        let topic = |topic| OffsetForLeaderTopic { topic, partitions: partitions.clone(), ..Default::default() };
        let request = OffsetForLeaderEpochRequest { topics: names(count).map(topic).collect(), ..Default::default() };
        let codes = |it: felice_protocol::messages::offset_for_leader_epoch::OffsetForLeaderEpochResponse| {
            it.topics.iter().flat_map(|it| &it.partitions).map(|it| it.error_code).collect()
        };
        all(client, 4, &request, codes, count, unknown);
    }
    if which(9) {
        let resource = |resource_name| AlterConfigsResource { resource_type: 2, resource_name, ..Default::default() };
        let resources = names(count).map(resource).collect();
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        all(client, 1, &request, |it| it.responses.iter().map(|it| it.error_code).collect(), count, unknown);
    }
    if which(10) {
        let topic = |name| CreatableTopic { name, num_partitions: 0, replication_factor: 1, ..Default::default() };
        let request = CreateTopicsRequest { topics: names(count).map(topic).collect(), ..Default::default() };
        let invalid = ErrorCode::InvalidPartitions;
        all(client, 7, &request, |it| it.topics.iter().map(|it| it.error_code).collect(), count, invalid);
    }
    if which(11) {
        let partition_data = vec![PartitionProduceData { records: Some(Default::default()), ..Default::default() }];
        let topic =
            |name| TopicProduceData { name, partition_data: partition_data.clone(), ..TopicProduceData::default() };
        let request = ProduceRequest { acks: 1, topic_data: names(count).map(topic).collect(), ..Default::default() };
        let codes = |it: felice_protocol::messages::produce::ProduceResponse| {
            it.responses.iter().flat_map(|it| &it.partition_responses).map(|it| it.error_code).collect()
        };
        all(client, 11, &request, codes, count, unknown);
    }
    if which(12) {
        let partitions = vec![OffsetCommitRequestPartition::default()];
        let topic = |name| OffsetCommitRequestTopic { name, partitions: partitions.clone(), ..Default::default() };
        let topics = names(count).map(topic).collect();
        let request = OffsetCommitRequest { group_id: "g".to_owned(), topics, ..OffsetCommitRequest::default() };
        let codes =
            |it: OffsetCommitResponse| it.topics.iter().flat_map(|it| &it.partitions).map(|it| it.error_code).collect();
        all(client, 9, &request, codes, count, unknown);
    }
    // Nobody has asked for a group's coordinator, so that there is none.
    let nobody = ErrorCode::NotCoordinator;
    if which(13) {
        let group = |group_id| OffsetFetchRequestGroup { group_id, topics: None, ..Default::default() };
        let request = OffsetFetchRequest { groups: names(count).map(group).collect(), ..Default::default() };
        all(client, 9, &request, |it| it.groups.iter().map(|it| it.error_code).collect(), count, nobody);
    }
    if which(14) {
        let request = DescribeGroupsRequest { groups: names(count).collect(), ..Default::default() };
        all(client, 6, &request, |it| it.groups.iter().map(|it| it.error_code).collect(), count, nobody);
        let request = ConsumerGroupDescribeRequest { group_ids: names(count).collect(), ..Default::default() };
        all(client, 1, &request, |it| it.groups.iter().map(|it| it.error_code).collect(), count, nobody);
    }
    if which(15) {
        let request = DeleteGroupsRequest { groups_names: names(count).collect(), ..Default::default() };
        all(client, 2, &request, |it| it.results.iter().map(|it| it.error_code).collect(), count, nobody);
    }
}

#[test]
fn millions_of_empty_elements_are_refused_before_they_take_memory() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    crowd(2, |_| millions_of_nothing(broker.address(), 1_500_000));
    bystander.was_served();
    broker.wait_for("takes too much memory");
    // The largest of them is a frame of 15 MB; what arrays may take besides is 32 MiB, and each grows by being copied.
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 300 * MIB, "{grown} bytes");
    assert!(broker.lines_with("panicked").is_empty());
}

#[test]
fn long_lists_are_answered_whole_and_hold_nobody_up() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    crowd(4, |index| ask_about_nothing(broker.address(), 20_000, |api| api % 4 == index));
    bystander.was_served();
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 200 * MIB, "{grown} bytes");
}

/// One thread serves everyone: while it decodes 100,000 topics nobody else is answered, unless that is done elsewhere.
#[test]
fn a_long_request_is_worked_on_apart() {
    let broker = Local::start_on(1, TempDir::new().unwrap(), &[]);
    let (mut heavy, mut bystander) = (broker.client(), broker.client());
    let id = heavy.create_topic("t", 1, &[]);
    let topic = |name| MetadataRequestTopic { topic_id: id, name: Some(name), ..Default::default() };
    let request = MetadataRequest { topics: Some(names(100_000).map(topic).collect()), ..Default::default() };
    let frame = write_request(1, 12, None, &request).unwrap().to_bytes();
    let (last, most) = frame.split_last().unwrap();
    assert!(heavy.send_raw(most));
    let ask = ApiVersionsRequest::default();
    // The broker has read all that there is when it has nothing left but to answer others.
    for _ in 0..20 {
        bystander.call(0, &ask);
    }
    assert!(heavy.send_raw(&[*last]));
    heavy.stream().set_nonblocking(true).unwrap();
    let mut answered = 0;
    while heavy.stream().peek(&mut [0]).is_err() {
        bystander.call(0, &ask);
        answered += 1;
    }
    assert!(answered > 10, "{answered} requests of others were answered meanwhile");
}

#[test]
fn what_is_asked_for_again_and_again_does_not_multiply_the_answer() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    let id = client.create_topic("wide", 200, &[]);
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    // By one id under many names: the id is what counts.
    let topic = |name| MetadataRequestTopic { topic_id: id, name: Some(name), ..Default::default() };
    let request = MetadataRequest { topics: Some(names(20_000).map(topic).collect()), ..Default::default() };
    let response = client.call(12, &request);
    assert_eq!((response.topics.len(), response.topics[0].partitions.len()), (1, 200));
    // Settings with all that is known about them, 20,000 times: 200 MB and more.
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "wide".to_owned(),
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource; 20_000],
        include_synonyms: true,
        include_documentation: true,
        ..DescribeConfigsRequest::default()
    };
    client.stream().set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let results = client.call(4, &request).results;
    assert_eq!(results.len(), 20_000);
    assert_eq!((error(results[0].error_code), results[0].configs.is_empty()), (ErrorCode::None, false));
    assert_eq!(error(results[19_999].error_code), ErrorCode::PolicyViolation);
    bystander.was_served();
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 400 * MIB, "{grown} bytes");
}
