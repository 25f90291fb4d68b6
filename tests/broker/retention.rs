//! Old records go: by age, by size, and because a client asks for it; and they stay gone.

use std::{fs, path::Path};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        fetch::{FetchRequest, FetchResponse},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    },
    record::{BatchBuilder, Codec},
};
use tempfile::TempDir;

use crate::{
    client::{Client, FETCH, batch, batches, error, fetch_request, now_ms, only_partition, waiting},
    harness::{Local, Process},
};

const EARLIEST: i64 = -2;
const HIGH_WATERMARK: i64 = -1;
const HOUR_MS: i64 = 3_600_000;

/// A segment holds one of the large batches; what is old is looked for all the time, and removed files go at once.
const SMALL: [(&str, &str); 2] = [("segment.bytes", "1048576"), ("file.delete.delay.ms", "0")];
const OFTEN: &str = "log.retention.check.interval.ms=20";

/// One record of 700 KB, so old.
fn large(age_hours: i64) -> Bytes {
    let value = vec![b'x'; 700_000];
    BatchBuilder::new(Codec::None).record(now_ms() - age_hours * HOUR_MS, Some(b"k"), Some(&value)).build()
}

/// The answers for partitions of one topic: error and low watermark.
fn delete_records(client: &mut Client, version: i16, topic: &str, asked: &[(i32, i64)]) -> Vec<(ErrorCode, i64)> {
    let partitions = asked.iter().map(|(partition_index, offset)| DeleteRecordsPartition {
        partition_index: *partition_index,
        offset: *offset,
        ..DeleteRecordsPartition::default()
    });
    let topic = DeleteRecordsTopic { name: topic.to_owned(), partitions: partitions.collect(), ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    let mut response = client.call(version, &request);
    let answers = response.topics.remove(0).partitions;
    answers.iter().map(|answer| (error(answer.error_code), answer.low_watermark)).collect()
}

pub fn delete_before(client: &mut Client, topic: &str, offset: i64) -> (ErrorCode, i64) {
    delete_records(client, 2, topic, &[(0, offset)]).remove(0)
}

fn earliest(client: &mut Client, topic: &str) -> i64 {
    let asked = ListOffsetsPartition { partition_index: 0, timestamp: EARLIEST, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![asked], ..ListOffsetsTopic::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let mut response = client.call(7, &request);
    response.topics.remove(0).partitions.remove(0).offset
}

pub fn set(client: &mut Client, topic: &str, name: &str, value: &str) {
    let config = AlterableConfig { name: name.to_owned(), value: Some(value.to_owned()), ..AlterableConfig::default() };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(client.call(1, &request).responses[0].error_code, 0);
}

/// Fetches from `below` until that is gone. Each fetch waits for more bytes than there are, unless they are in several segments.
fn wait_until_gone(client: &mut Client, topic: &str, below: i64) {
    loop {
        let request = FetchRequest { min_bytes: 1 << 30, ..waiting(fetch_request(topic, below)) };
        match error(only_partition(client.call(FETCH, &request)).error_code) {
            ErrorCode::None => {}
            error => return assert_eq!(error, ErrorCode::OffsetOutOfRange),
        }
    }
}

/// Names of segments, deleted or not, in the folder of partition 0.
fn segments(folder: &Path, topic: &str) -> Vec<String> {
    let names = fs::read_dir(folder.join(format!("{topic}-0"))).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".log")).collect();
    names.sort();
    names
}

#[test]
fn records_go_once_they_are_old_and_settings_take_effect_while_it_runs() {
    let broker = Local::start(&[OFTEN]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[SMALL[0], SMALL[1], ("retention.ms", "-1")]);
    for age_hours in [9, 8, 1, 0] {
        client.must_produce("t", &large(age_hours));
    }
    assert_eq!(earliest(&mut client, "t"), 0);
    set(&mut client, "t", "retention.ms", &(5 * HOUR_MS).to_string());
    wait_until_gone(&mut client, "t", 1);
    assert_eq!(earliest(&mut client, "t"), 2);
    assert_eq!(client.values("t", 2).len(), 2);

    set(&mut client, "t", "retention.bytes", "700000");
    wait_until_gone(&mut client, "t", 2);
    assert_eq!(earliest(&mut client, "t"), 3);
    let broker = broker.restart(&[]);
    let mut client = broker.client();
    assert_eq!((earliest(&mut client, "t"), client.values("t", 3).len()), (3, 1));
    assert_eq!(client.must_produce("t", &large(0)), 4);
}

#[test]
fn a_topic_that_falls_silent_is_empty_in_the_end() {
    let broker = Local::start(&[OFTEN]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("retention.ms", "50"), ("file.delete.delay.ms", "0")]);
    client.must_produce("t", &batch(&[b"a", b"b"]));
    wait_until_gone(&mut client, "t", 0);
    let data = client.fetch("t", 2);
    assert_eq!((data.log_start_offset, data.high_watermark, error(data.error_code)), (2, 2, ErrorCode::None));
    assert_eq!(client.must_produce("t", &batch(&[b"c"])), 2);
}

#[test]
fn files_of_removed_segments_wait_and_the_next_start_removes_them() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[OFTEN]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[SMALL[0], ("retention.ms", &(5 * HOUR_MS).to_string())]);
    for age_hours in [9, 8, 0] {
        client.must_produce("t", &large(age_hours));
    }
    wait_until_gone(&mut client, "t", 1);
    broker.wait_for("the log starts at 2 now");
    let (first, second, third) = ("00000000000000000000.log", "00000000000000000001.log", "00000000000000000002.log");
    assert_eq!(
        segments(folder.path(), "t"),
        [format!("{first}.deleted"), format!("{second}.deleted"), third.to_owned()]
    );
    broker.kill();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    assert_eq!((earliest(&mut client, "t"), client.values("t", 2).len()), (2, 1));
    assert_eq!(segments(folder.path(), "t"), [third]);
}

#[test]
fn what_a_client_deletes_is_gone_after_a_kill_too() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for value in [b"a", b"b", b"c", b"d"] {
        client.must_produce("t", &batch(&[value]));
    }
    assert_eq!(delete_before(&mut client, "t", 3), (ErrorCode::None, 3));
    assert_eq!(client.values("t", 3), ["d"]);
    broker.kill();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    assert_eq!(earliest(&mut client, "t"), 3);
    assert_eq!(error(client.fetch("t", 2).error_code), ErrorCode::OffsetOutOfRange);
    assert_eq!(client.values("t", 3), ["d"]);
    assert_eq!(delete_before(&mut client, "t", HIGH_WATERMARK), (ErrorCode::None, 4));
    assert_eq!(client.must_produce("t", &batch(&[b"e"])), 4);
    assert_eq!(client.values("t", 4), ["e"]);
}

#[test]
fn deletion_of_records_is_answered_as_kafka_does() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    client.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]);
    client.create_topic("kept", 1, &[("cleanup.policy", "")]);
    for topic in ["t", "compacted", "both", "kept"] {
        for _ in 0..5 {
            client.must_produce(topic, &batch(&[b"v"]));
        }
    }
    for version in 0..=2 {
        for (topic, partition, offset, expected) in [
            ("t", 0, 6, (ErrorCode::OffsetOutOfRange, -1)),
            ("t", 0, -2, (ErrorCode::OffsetOutOfRange, -1)),
            ("t", 0, 3, (ErrorCode::None, 3)),
            ("t", 0, 1, (ErrorCode::None, 3)),
            ("t", 1, HIGH_WATERMARK, (ErrorCode::None, 0)),
            ("t", 2, 0, (ErrorCode::UnknownTopicOrPartition, -1)),
            ("nowhere", 0, 0, (ErrorCode::UnknownTopicOrPartition, -1)),
            ("compacted", 0, 1, (ErrorCode::PolicyViolation, -1)),
            ("both", 0, 1, (ErrorCode::None, 1)),
            ("kept", 0, 1, (ErrorCode::None, 1)),
        ] {
            assert_eq!(
                delete_records(&mut client, version, topic, &[(partition, offset)]),
                [expected],
                "{topic} {offset}"
            );
        }
    }
    let twice = delete_records(&mut client, 2, "t", &[(0, 4), (1, 0), (0, 5)]);
    assert_eq!(
        twice,
        [(ErrorCode::None, 5), (ErrorCode::None, 0)],
        "one answer a partition, and the last offset holds"
    );
}

#[test]
fn who_waits_below_the_new_start_is_told() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"a"]));
    let request = FetchRequest { min_bytes: 10_000, ..waiting(fetch_request("t", 0)) };
    client.send(FETCH, &request);
    let mut other = broker.client();
    assert_eq!(delete_before(&mut other, "t", 1), (ErrorCode::None, 1));
    let data = only_partition(client.receive::<FetchResponse>(FETCH).1);
    assert_eq!((error(data.error_code), batches(&data).len()), (ErrorCode::OffsetOutOfRange, 0));
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let keys = [Some(&b"k"[..]), None, Some(b"k"), None];
        let builder = keys.into_iter().fold(BatchBuilder::new(codec), |b, key| b.record(now_ms(), key, Some(b"v")));
        let refused = client.produce("t", &builder.build());
        assert_eq!(error(refused.error_code), ErrorCode::InvalidRecord, "{codec:?}");
        let at: Vec<i32> = refused.record_errors.iter().map(|record| record.batch_index).collect();
        assert_eq!(at, [1, 3], "{codec:?}");
    }
    assert_eq!(client.must_produce("t", &batch(&[b"v"])), 0);
    set(&mut client, "t", "cleanup.policy", "delete");
    let keyless = BatchBuilder::new(Codec::None).record(now_ms(), None, Some(b"v")).build();
    assert_eq!(client.must_produce("t", &keyless), 1);
}
