//! Topics and their metadata.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use felice_protocol::{
    error::ErrorCode,
    messages::{
        alter_configs::{self, AlterConfigsRequest},
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        create_topics::{CreatableTopic, CreateTopicsRequest},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_topic_partitions::{Cursor, DescribeTopicPartitionsRequest},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic},
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error},
    harness::Local,
};

fn metadata(client: &mut Client, name: &str, allow_auto_topic_creation: bool) -> MetadataResponseTopic {
    let topics = vec![MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() }];
    let request = MetadataRequest { topics: Some(topics), allow_auto_topic_creation, ..MetadataRequest::default() };
    client.call(12, &request).topics.remove(0)
}

fn names(client: &mut Client) -> Vec<String> {
    let response = client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    response.topics.into_iter().filter_map(|topic| topic.name).collect()
}

#[test]
fn topics_are_created_by_being_mentioned_where_that_is_allowed() {
    let broker = Local::start(&["num.partitions=3"]);
    let mut client = broker.client();
    assert_eq!(error(metadata(&mut client, "auto", false).error_code), ErrorCode::UnknownTopicOrPartition);
    assert!(names(&mut client).is_empty());
    let topic = metadata(&mut client, "auto", true);
    let topic = if topic.error_code == 0 { topic } else { metadata(&mut client, "auto", true) };
    assert_eq!((error(topic.error_code), topic.partitions.len()), (ErrorCode::None, 3));
    client.must_produce("auto", &batch(&[b"a"]));
    assert_eq!(error(metadata(&mut client, "no/good", true).error_code), ErrorCode::InvalidTopicException);

    let broker = Local::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    assert_eq!(error(metadata(&mut client, "auto", true).error_code), ErrorCode::UnknownTopicOrPartition);
    assert!(names(&mut client).is_empty());
}

#[test]
fn partitions_come_page_by_page() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    for (name, partitions) in [("a", 3), ("b", 5), ("c", 1), ("d", 4)] {
        client.create_topic(name, partitions, &[]);
    }
    for limit in [1, 2, 3, 4, 100] {
        let mut cursor: Option<Cursor> = None;
        let mut seen = Vec::new();
        loop {
            let request = DescribeTopicPartitionsRequest {
                topics: Vec::new(),
                response_partition_limit: limit,
                cursor: cursor.take(),
                ..DescribeTopicPartitionsRequest::default()
            };
            let response = client.call(0, &request);
            let page: Vec<_> = response
                .topics
                .iter()
                .flat_map(|topic| {
                    let name = topic.name.clone().unwrap();
                    topic.partitions.iter().map(move |partition| (name.clone(), partition.partition_index))
                })
                .collect();
            assert!(!page.is_empty() && page.len() <= usize::try_from(limit).unwrap(), "limit {limit}: {page:?}");
            seen.extend(page);
            cursor = response.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<_> = [("a", 3), ("b", 5), ("c", 1), ("d", 4)]
            .into_iter()
            .flat_map(|(name, count)| (0..count).map(move |index| (name.to_owned(), index)))
            .collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

fn config(client: &mut Client, topic: &str, name: &str) -> (Option<String>, i8) {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let result = client.call(4, &request).results.remove(0);
    assert_eq!(error(result.error_code), ErrorCode::None);
    let config = &result.configs[0];
    assert_eq!(config.name, name);
    (config.value.clone(), config.config_source)
}

fn alter(client: &mut Client, topic: &str, name: &str, operation: i8, value: Option<&str>) -> ErrorCode {
    let config = AlterableConfig {
        name: name.to_owned(),
        config_operation: operation,
        value: value.map(str::to_owned),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only: false,
        ..IncrementalAlterConfigsRequest::default()
    };
    error(client.call(1, &request).responses[0].error_code)
}

#[test]
fn settings_are_told_altered_obeyed_and_kept() {
    const TOPIC: i8 = 1;
    const DEFAULT: i8 = 5;
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(config(&mut client, "t", "max.message.bytes"), (Some("1048588".to_owned()), DEFAULT));
    let large = batch(&[&[b'x'; 5000]]);
    client.must_produce("t", &large);
    assert_eq!(alter(&mut client, "t", "max.message.bytes", 0, Some("1000")), ErrorCode::None);
    assert_eq!(config(&mut client, "t", "max.message.bytes"), (Some("1000".to_owned()), TOPIC));
    assert_eq!(error(client.produce("t", &large).error_code), ErrorCode::MessageTooLarge, "obeyed at once");
    assert_eq!(alter(&mut client, "t", "max.message.bytes", 0, Some("many")), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut client, "t", "no.such.setting", 0, Some("1")), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut client, "missing", "max.message.bytes", 0, Some("1")), ErrorCode::UnknownTopicOrPartition);
    drop(client);
    let broker = broker.restart(&[]);
    let mut client = broker.client();
    assert_eq!(error(client.produce("t", &large).error_code), ErrorCode::MessageTooLarge);
    assert_eq!(alter(&mut client, "t", "max.message.bytes", 1, None), ErrorCode::None);
    assert_eq!(config(&mut client, "t", "max.message.bytes").1, DEFAULT);
    client.must_produce("t", &large);
}

/// AlterConfigs: what it does not name goes back to its default.
#[test]
fn settings_are_replaced_the_old_way() {
    const TOPIC: i8 = 1;
    const DEFAULT: i8 = 5;
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("segment.ms", "1234567")]);
    for version in 0..=2 {
        let name = ["max.message.bytes", "flush.ms", "segment.ms"][version];
        let mut replace = |topic: &str, name: &str, value: &str| {
            let config = alter_configs::AlterableConfig {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                ..alter_configs::AlterableConfig::default()
            };
            let resource = alter_configs::AlterConfigsResource {
                resource_type: 2,
                resource_name: topic.to_owned(),
                configs: vec![config],
                ..alter_configs::AlterConfigsResource::default()
            };
            let request = AlterConfigsRequest { resources: vec![resource], ..AlterConfigsRequest::default() };
            error(client.call(version as i16, &request).responses[0].error_code)
        };
        assert_eq!(replace("t", name, "many"), ErrorCode::InvalidConfig);
        assert_eq!(replace("missing", name, "1000"), ErrorCode::UnknownTopicOrPartition);
        assert_eq!(replace("t", name, "1000"), ErrorCode::None);
        for other in ["max.message.bytes", "flush.ms", "segment.ms"] {
            let source = config(&mut client, "t", other).1;
            assert_eq!(source, if other == name { TOPIC } else { DEFAULT }, "{other} after {name}");
        }
    }
}

#[test]
fn partitions_are_added_and_usable_when_answered() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut grow = |count: i32| {
        let topic = CreatePartitionsTopic {
            name: "t".to_owned(),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: 60_000,
            validate_only: false,
            ..CreatePartitionsRequest::default()
        };
        error(client.call(3, &request).results[0].error_code)
    };
    assert_eq!(grow(4), ErrorCode::None);
    assert_eq!(grow(4), ErrorCode::InvalidPartitions);
    assert_eq!(grow(2), ErrorCode::InvalidPartitions);
    assert_eq!(client.produce_acks("t", 3, &batch(&[b"v"]), -1).error_code, 0);
    assert_eq!(metadata(&mut client, "t", false).partitions.len(), 4);
}

#[test]
fn a_deletion_leaves_no_folder() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    for name in ["keep", "gone", "gone.too"] {
        client.create_topic(name, 2, &[]);
        client.must_produce(name, &batch(&[b"v"]));
    }
    client.delete_topic("gone");
    client.delete_topic("gone.too");
    assert_eq!(names(&mut client), ["keep"]);
    let left = || {
        let mut left: Vec<_> = fs::read_dir(broker.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("gone") || name.starts_with("keep"))
            .collect();
        left.sort_unstable();
        left
    };
    // The answer does not wait for files to be removed, and a folder tells nobody that it changes.
    let deadline = Instant::now() + Duration::from_secs(20);
    while left() != ["keep-0", "keep-1"] {
        assert!(Instant::now() < deadline, "{:?}", left());
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn two_thousand_topics_in_one_answer() {
    // In memory where that is possible: on a disk, thousands of new files cost what it makes of their fsyncs.
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let broker = Local::start_in(folder, &[]);
    let mut client = broker.client();
    let topic = |index: usize| CreatableTopic {
        name: format!("topic-{index:04}"),
        num_partitions: 1,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: (0..2000).map(topic).collect(),
        timeout_ms: 60_000,
        validate_only: false,
        ..CreateTopicsRequest::default()
    };
    let response = client.call(7, &request);
    assert!(response.topics.iter().all(|topic| topic.error_code == 0));
    let response = client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(response.topics.len(), 2000);
    assert!(response.topics.iter().all(|topic| topic.partitions.len() == 1 && topic.partitions[0].leader_id >= 0));
}
