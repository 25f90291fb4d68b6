//! How logs come back: after a clean stop when somebody needs them, after any other with a new leader epoch.

use std::{fs, path::Path};

use felice_protocol::{
    error::ErrorCode,
    messages::{
        metadata::{MetadataRequest, MetadataRequestTopic},
        offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, FETCH, batch, batches, error, fetch_partition, fetch_request, only_partition, produce_request},
    harness::Process,
};

/// The leader epoch that the metadata tells of partition 0.
fn leader_epoch(client: &mut Client, topic: &str) -> i32 {
    let topics = vec![MetadataRequestTopic { name: Some(topic.to_owned()), ..MetadataRequestTopic::default() }];
    let request = MetadataRequest { topics: Some(topics), ..MetadataRequest::default() };
    client.call(9, &request).topics[0].partitions[0].leader_epoch
}

fn end_of_epoch(client: &mut Client, topic: &str, epoch: i32) -> (i32, i64) {
    let asked = OffsetForLeaderPartition {
        partition: 0,
        current_leader_epoch: -1,
        leader_epoch: epoch,
        ..OffsetForLeaderPartition::default()
    };
    let topic =
        OffsetForLeaderTopic { topic: topic.to_owned(), partitions: vec![asked], ..OffsetForLeaderTopic::default() };
    let request =
        OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..OffsetForLeaderEpochRequest::default() };
    let answer = client.call(4, &request);
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(error(answer.error_code), ErrorCode::None);
    (answer.leader_epoch, answer.end_offset)
}

/// Cuts a file, as a power loss may that takes what was not flushed.
fn lose_tail(path: &Path, kept: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(kept).unwrap();
}

#[test]
fn a_consumer_ahead_of_a_lost_tail_is_told_where_the_log_was_cut() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let record = batch(&[b"value"]);
    for _ in 0..10 {
        client.must_produce("t", &record);
    }
    assert_eq!(leader_epoch(&mut client, "t"), 0);
    broker.kill();
    lose_tail(&folder.path().join("t-0/00000000000000000000.log"), 6 * record.len() as u64 + 7);

    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    assert_eq!(leader_epoch(&mut client, "t"), 1);
    // One that goes on with what it knows is sent to look at the metadata ...
    let ahead = |client: &mut Client, current_leader_epoch, last_fetched_epoch, offset| {
        let mut request = fetch_request("t", offset);
        request.topics[0].partitions[0].current_leader_epoch = current_leader_epoch;
        request.topics[0].partitions[0].last_fetched_epoch = last_fetched_epoch;
        only_partition(client.call(FETCH, &request))
    };
    assert_eq!(error(ahead(&mut client, 0, 0, 10).error_code), ErrorCode::FencedLeaderEpoch);
    // ... and then finds out that it is ahead, whichever way it asks.
    assert_eq!(end_of_epoch(&mut client, "t", 0), (0, 6));
    let diverging = ahead(&mut client, 1, 0, 10);
    assert_eq!(error(diverging.error_code), ErrorCode::None);
    assert_eq!((diverging.diverging_epoch.epoch, diverging.diverging_epoch.end_offset), (0, 6));
    assert_eq!(error(ahead(&mut client, 1, -1, 10).error_code), ErrorCode::OffsetOutOfRange);
    // Also once the log has grown past it: without the new epoch it would miss what is there now, and not know.
    for _ in 0..10 {
        client.must_produce("t", &record);
    }
    assert_eq!(end_of_epoch(&mut client, "t", 0), (0, 6));
    assert_eq!(ahead(&mut client, 1, 0, 10).diverging_epoch.end_offset, 6);
    let caught_up = ahead(&mut client, 1, 1, 10);
    assert_eq!(batches(&caught_up)[0].header().partition_leader_epoch, 1);
    assert_eq!(caught_up.diverging_epoch.end_offset, -1);

    // Nothing is lost by a clean stop.
    assert!(broker.stop());
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    assert_eq!(leader_epoch(&mut client, "t"), 1);
    assert_eq!(end_of_epoch(&mut client, "t", 0), (0, 6));
    assert_eq!(end_of_epoch(&mut client, "t", 1), (1, 16));
}

#[test]
fn a_clean_start_opens_a_log_when_it_is_needed() {
    const PARTITIONS: i32 = 200;
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", PARTITIONS, &[]);
    let record = batch(&[b"value"]);
    let produce = |client: &mut Client, partition| {
        let response = client.call(9, &produce_request("t", partition, &record, -1));
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(error(answer.error_code), ErrorCode::None);
        answer.base_offset
    };
    (0..PARTITIONS).for_each(|partition| assert_eq!(produce(&mut client, partition), 0));
    let many = broker.descriptors();
    assert!(broker.stop());

    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    let few = broker.descriptors();
    assert!(few + PARTITIONS as usize <= many, "{few} of {many}");
    // Consumers that have read everything go on to wait at the end.
    let mut request = fetch_request("t", 1);
    request.topics[0].partitions = (0..PARTITIONS).map(|partition| fetch_partition(partition, 1)).collect();
    let response = client.call(FETCH, &request);
    for data in &response.responses[0].partitions {
        assert_eq!((error(data.error_code), data.high_watermark), (ErrorCode::None, 1));
    }
    assert!(broker.descriptors() <= few + 5, "{few}");
    for partition in 0..PARTITIONS {
        let mut request = fetch_request("t", 0);
        request.topics[0].partitions = vec![fetch_partition(partition, 0)];
        assert_eq!(batches(&only_partition(client.call(FETCH, &request))).len(), 1);
    }
    (0..PARTITIONS).for_each(|partition| assert_eq!(produce(&mut client, partition), 1));
    assert!(broker.stop());
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    (0..PARTITIONS).step_by(17).for_each(|partition| assert_eq!(produce(&mut client, partition), 2));
}
