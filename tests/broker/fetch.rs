//! Fetch: what comes back for which offset and limit.

use std::{fs, path::Path};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        fetch::FetchRequest,
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    },
    record::{BatchBuilder, Codec},
};

use crate::{
    client::{
        Client, FETCH, FETCH_BY_ID, batch, batches, error, fetch_by_id, fetch_partition, fetch_request, only_partition,
        waiting,
    },
    harness::Local,
};

fn bases(batches: &[felice_protocol::record::Batch]) -> Vec<i64> {
    batches.iter().map(|batch| batch.header().base_offset).collect()
}

#[test]
fn an_offset_within_a_batch_gives_the_whole_batch() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for _ in 0..3 {
        client.must_produce("t", &batch(&[b"a", b"b", b"c", b"d"]));
    }
    for (offset, expected) in [(0, &[0, 4, 8][..]), (3, &[0, 4, 8]), (4, &[4, 8]), (6, &[4, 8]), (11, &[8]), (12, &[])]
    {
        assert_eq!(bases(&batches(&client.fetch("t", offset))), expected, "from {offset}");
    }
    for offset in [13, -1, i64::MAX] {
        let data = client.fetch("t", offset);
        assert_eq!(error(data.error_code), ErrorCode::OffsetOutOfRange, "from {offset}");
    }
}

#[test]
fn limits_hold_but_for_the_first_batch() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let records = batch(&[&[b'l'; 1000]]);
    for partition in [0, 1] {
        for _ in 0..5 {
            assert_eq!(client.produce_acks("t", partition, &records, 1).error_code, 0);
        }
    }
    let size = i32::try_from(records.len()).unwrap();
    let mut counts = |max_bytes: i32, partition_max_bytes: i32| {
        let mut request = FetchRequest { max_bytes, ..fetch_request("t", 0) };
        request.topics[0].partitions = (0..2)
            .map(|partition| felice_protocol::messages::fetch::FetchPartition {
                partition_max_bytes,
                ..fetch_partition(partition, 0)
            })
            .collect();
        let response = client.call(FETCH, &request);
        response.responses[0].partitions.iter().map(|data| batches(data).len()).collect::<Vec<_>>()
    };
    assert_eq!(counts(i32::MAX, i32::MAX), [5, 5]);
    assert_eq!(counts(i32::MAX, 2 * size), [2, 2]);
    assert_eq!(counts(3 * size, 2 * size), [2, 1]);
    // Larger than both limits, and yet the client must get on; only the first partition with data has this right.
    assert_eq!(counts(1, 1), [1, 0]);
    assert_eq!(counts(i32::MAX, 1), [1, 0]);
    assert_eq!(counts(i32::MAX, size - 1), [1, 0]);
    assert_eq!(counts(0, i32::MAX), [1, 0]);
}

#[test]
fn deleted_and_created_again_serves_nothing_old() {
    let broker = Local::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    let mut old_ids = Vec::new();
    for round in 0..5 {
        let id = client.create_topic("t", 1, &[]);
        assert!(!old_ids.contains(&id));
        assert!(client.values("t", 0).is_empty(), "round {round}");
        client.must_produce("t", &batch(&[format!("round {round}").as_bytes()]));
        assert_eq!(client.values("t", 0), [format!("round {round}")]);
        for old in &old_ids {
            let data = only_partition(client.call(FETCH_BY_ID, &fetch_by_id(*old, 0)));
            assert_eq!(error(data.error_code), ErrorCode::UnknownTopicId);
        }
        client.delete_topic("t");
        let data = client.fetch("t", 0);
        assert_eq!(error(data.error_code), ErrorCode::UnknownTopicOrPartition);
        old_ids.push(id);
    }
}

#[test]
fn leader_epochs_are_checked() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"a"]));
    let header = *batches(&client.fetch("t", 0))[0].header();
    let current = header.partition_leader_epoch;
    assert!(current >= 0);
    for (epoch, expected) in
        [(-1, ErrorCode::None), (current, ErrorCode::None), (current + 1, ErrorCode::UnknownLeaderEpoch)]
    {
        let mut request = fetch_request("t", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(error(only_partition(client.call(FETCH, &request)).error_code), expected, "{epoch}");
    }
}

fn offset_at(client: &mut Client, timestamp: i64) -> (i64, i64) {
    let partition = ListOffsetsPartition {
        partition_index: 0,
        current_leader_epoch: -1,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: vec![partition], ..ListOffsetsTopic::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let answer = &client.call(8, &request).topics[0].partitions[0];
    assert_eq!(error(answer.error_code), ErrorCode::None, "{timestamp}");
    (answer.offset, answer.timestamp)
}

#[test]
fn offsets_are_found_by_time_also_within_a_batch() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!((offset_at(&mut client, -1).0, offset_at(&mut client, -2).0), (0, 0));
    for (codec, first) in [(Codec::None, 1000), (Codec::Zstd, 4000), (Codec::Gzip, 7000)] {
        let records =
            (0..3).fold(BatchBuilder::new(codec), |batch, index| batch.record(first + index * 1000, None, Some(b"v")));
        client.must_produce("t", &records.build());
    }
    let expected = [
        (0, (0, 1000)),
        (1000, (0, 1000)),
        (1001, (1, 2000)),
        (5000, (4, 5000)),
        (5500, (5, 6000)),
        (9000, (8, 9000)),
        (9001, (-1, -1)),
        (-1, (9, -1)),
        (-2, (0, -1)),
        (-3, (8, 9000)),
    ];
    for (asked, found) in expected {
        assert_eq!(offset_at(&mut client, asked), found, "{asked}");
    }
}

#[test]
fn many_segments_read_as_one() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("segment.bytes", "1048576")]);
    let mut expected = Vec::new();
    for index in 0..60u8 {
        let value = vec![index; 100_000];
        client.must_produce("t", &batch(&[&value]));
        expected.push(Bytes::from(value));
    }
    assert!(client.values("t", 0) == expected);
    assert!(client.values("t", 31) == expected[31..]);
    drop(client);
    let broker = broker.restart(&[]);
    assert!(broker.client().values("t", 0) == expected);
}

#[test]
fn a_missing_partition_is_answered_at_once_beside_one_that_could_wait() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut request = waiting(fetch_request("t", 0));
    request.topics[0].partitions.push(fetch_partition(5, 7));
    request.topics[0].partitions[0].fetch_offset = 99;
    let response = client.call(FETCH, &request);
    let codes: Vec<_> =
        response.responses.iter().flat_map(|topic| &topic.partitions).map(|data| error(data.error_code)).collect();
    assert!(codes.contains(&ErrorCode::OffsetOutOfRange), "{codes:?}");
    assert!(codes.contains(&ErrorCode::UnknownTopicOrPartition), "{codes:?}");
}

/// A partition with transactions that Kafka wrote, found after a kill.
#[test]
fn committed_records_are_those_of_kafkas_own_files() {
    let broker = Local::start(&[]);
    broker.client().create_topic("t", 1, &[]);
    let folder = broker.stop();
    let partition = folder.path().join("t-0");
    let kafkas = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/tests/kafka");
    for file in fs::read_dir(kafkas).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap();
        // The snapshot is left out: the producers are to be found among the batches.
        if name != "partition.metadata" && file.extension().is_none_or(|suffix| suffix != "snapshot") {
            fs::copy(&file, partition.join(name)).unwrap();
        }
    }
    fs::remove_file(folder.path().join(".kafka_cleanshutdown")).unwrap();
    let broker = Local::start_in(folder, &[]);
    let mut client = broker.client();

    let latest = |client: &mut Client, isolation_level: i8| {
        let partitions = vec![ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() }];
        let topics = vec![ListOffsetsTopic { name: "t".to_owned(), partitions, ..ListOffsetsTopic::default() }];
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..ListOffsetsRequest::default() };
        client.call(7, &request).topics[0].partitions[0].offset
    };
    let (end, stable) = (latest(&mut client, 0), latest(&mut client, 1));
    assert!(end == 173 && stable < end, "{stable}");
    let all = only_partition(client.call(FETCH, &fetch_request("t", 0)));
    assert_eq!((all.high_watermark, all.last_stable_offset, &all.aborted_transactions), (end, stable, &None));
    let committed = FetchRequest { isolation_level: 1, ..fetch_request("t", 0) };
    let committed = only_partition(client.call(FETCH, &committed));
    assert_eq!((committed.high_watermark, committed.last_stable_offset), (end, stable));
    assert_eq!(batches(&committed).last().unwrap().header().next_offset(), stable);
    let mut aborted: Vec<_> = committed.aborted_transactions.iter().flatten().map(|it| it.first_offset).collect();
    assert!(aborted.is_sorted() && !aborted.is_empty());

    // As a consumer goes on: what is aborted is left out up to its marker.
    let (mut ended, mut open) = (0, Vec::new());
    for batch in batches(&committed) {
        let header = batch.header();
        let producer = header.producer_id;
        if header.is_control() {
            ended += usize::from(open.contains(&producer));
            open.retain(|other| *other != producer);
        } else if header.is_transactional() {
            let begins = aborted.iter().position(|first| *first == header.base_offset);
            open.extend(begins.map(|at| (aborted.remove(at), producer).1));
        }
    }
    assert!(aborted.is_empty() && open.is_empty() && ended > 0, "each begins at a batch and has its marker");
}
