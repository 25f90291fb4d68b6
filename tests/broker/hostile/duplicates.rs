//! What is named twice in one request: as Kafka answers it, but where it is said.

use felice_protocol::{
    error::ErrorCode,
    messages::{
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        create_topics::{CreatableTopic, CreateTopicsRequest},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::{MetadataRequest, MetadataRequestTopic},
        produce::PartitionProduceData,
    },
};

use crate::{
    client::{FETCH, PRODUCE, batch, batches, error, fetch_partition, fetch_request, produce_request},
    harness::Local,
};

const INVALID: ErrorCode = ErrorCode::InvalidRequest;
const NONE: ErrorCode = ErrorCode::None;

#[test]
fn of_two_entries_for_a_partition_a_fetch_obeys_the_last_and_a_produce_the_first() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    // Kafka appends the last and answers once; each batch is answered here, so none is lost in silence.
    let mut request = produce_request("t", 0, &batch(&[b"first"]), -1);
    let again = PartitionProduceData { records: Some(batch(&[b"again"])), ..PartitionProduceData::default() };
    request.topic_data[0].partition_data.push(again.clone());
    let mut elsewhere = request.topic_data[0].clone();
    elsewhere.partition_data = vec![again];
    request.topic_data.push(elsewhere);
    let response = client.call(PRODUCE, &request);
    let codes = response.responses.iter().flat_map(|topic| &topic.partition_responses).map(|it| error(it.error_code));
    assert_eq!(codes.collect::<Vec<_>>(), [NONE, INVALID, INVALID]);
    client.must_produce("t", &batch(&[b"second"]));
    assert_eq!(client.values("t", 0), ["first", "second"]);

    let mut request = fetch_request("t", 0);
    request.topics[0].partitions.push(fetch_partition(0, 1));
    let mut response = client.call(FETCH, &request);
    assert_eq!((response.responses.len(), response.responses[0].partitions.len()), (1, 1));
    let data = response.responses.remove(0).partitions.remove(0);
    assert_eq!(batches(&data)[0].header().base_offset, 1);
}

#[test]
fn offsets_asked_for_twice_are_refused_once() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let asked = |partition_index| ListOffsetsPartition { partition_index, timestamp: -1, ..Default::default() };
    let topic = |partitions: &[i32]| ListOffsetsTopic {
        name: "t".to_owned(),
        partitions: partitions.iter().copied().map(asked).collect(),
        ..Default::default()
    };
    for topics in [vec![topic(&[0, 1, 0])], vec![topic(&[0, 1]), topic(&[0])]] {
        let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let response = client.call(7, &request);
        let mut told: Vec<_> = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|it| (it.partition_index, error(it.error_code)))
            .collect();
        told.sort_unstable_by_key(|told| told.0);
        assert_eq!(told, [(0, INVALID), (1, NONE)]);
    }
}

#[test]
fn topics_described_twice_are_told_once() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    let id = client.create_topic("t", 1, &[]);
    let by_name = MetadataRequestTopic { name: Some("t".to_owned()), ..MetadataRequestTopic::default() };
    let by_id = MetadataRequestTopic { topic_id: id, ..MetadataRequestTopic::default() };
    let missing = MetadataRequestTopic { name: Some("made".to_owned()), ..MetadataRequestTopic::default() };
    for (topics, count) in [(vec![by_name; 3], 1), (vec![by_id; 3], 1), (vec![missing; 3], 1)] {
        let request = MetadataRequest { topics: Some(topics), ..MetadataRequest::default() };
        let response = client.call(12, &request);
        assert_eq!(response.topics.len(), count);
        assert_eq!(error(response.topics[0].error_code), NONE, "also where it is created for being asked for");
    }
    let topics = vec![TopicRequest { name: "t".to_owned(), ..TopicRequest::default() }; 3];
    let request = DescribeTopicPartitionsRequest { topics, ..DescribeTopicPartitionsRequest::default() };
    assert_eq!(client.call(0, &request).topics.len(), 1);
    // As Kafka: settings are told as often as they are asked for.
    let resource = DescribeConfigsResource { resource_type: 2, resource_name: "t".to_owned(), ..Default::default() };
    let request = DescribeConfigsRequest { resources: vec![resource; 3], ..DescribeConfigsRequest::default() };
    assert_eq!(client.call(4, &request).results.len(), 3);
}

#[test]
fn changes_named_twice_are_refused_and_change_nothing() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    let id = client.create_topic("t", 1, &[]);

    let topic = CreatableTopic { name: "u".to_owned(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic; 3], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
    let response = client.call(7, &request);
    assert_eq!(response.topics.iter().map(|it| error(it.error_code)).collect::<Vec<_>>(), [INVALID]);

    let topic = CreatePartitionsTopic { name: "t".to_owned(), count: 3, ..CreatePartitionsTopic::default() };
    let request = CreatePartitionsRequest { topics: vec![topic; 2], timeout_ms: 60_000, ..Default::default() };
    let response = client.call(3, &request);
    assert_eq!(response.results.iter().map(|it| error(it.error_code)).collect::<Vec<_>>(), [INVALID]);

    let config = AlterableConfig {
        name: "retention.ms".to_owned(),
        value: Some("1000".to_owned()),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".to_owned(),
        configs: vec![config.clone()],
        ..AlterConfigsResource::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource.clone(); 2], ..Default::default() };
    let response = client.call(1, &request);
    assert_eq!(response.responses.iter().map(|it| error(it.error_code)).collect::<Vec<_>>(), [INVALID; 2]);
    let twice = AlterConfigsResource { configs: vec![config; 2], ..resource };
    let request = IncrementalAlterConfigsRequest { resources: vec![twice], ..Default::default() };
    let response = client.call(1, &request);
    assert_eq!(response.responses.iter().map(|it| error(it.error_code)).collect::<Vec<_>>(), [INVALID]);

    let by_name = DeleteTopicState { name: Some("t".to_owned()), ..DeleteTopicState::default() };
    let by_id = DeleteTopicState { topic_id: id, ..DeleteTopicState::default() };
    for topics in [vec![by_name.clone(); 2], vec![by_id.clone(); 2]] {
        let request = DeleteTopicsRequest { topics, timeout_ms: 60_000, ..DeleteTopicsRequest::default() };
        let response = client.call(6, &request);
        assert_eq!(response.responses.iter().map(|it| error(it.error_code)).collect::<Vec<_>>(), [INVALID]);
    }

    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let topics = client.call(12, &request).topics;
    let found: Vec<_> = topics.iter().map(|it| (it.name.as_deref().unwrap(), it.partitions.len())).collect();
    assert_eq!(found, [("t", 1)]);
}
