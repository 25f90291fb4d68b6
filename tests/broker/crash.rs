//! `kill -9`: what was acknowledged holds, and nothing is there by half.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use felice_protocol::{
    Uuid,
    api::{parse_response, write_request},
    messages::{
        create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse},
        metadata::MetadataRequest,
        produce::ProduceResponse,
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, PRODUCE, batch, produce_request},
    harness::Process,
};

const PARTITIONS: i32 = 3;

/// What a worker knows of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Created(Uuid),
    Deleted,
    /// The broker died before it answered.
    Either,
}

/// Creates topics, deletes every second one, and tells what was acknowledged until the broker is gone.
fn churn(mut client: Client, prefix: String) -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    for index in 0.. {
        let name = format!("{prefix}-{index}");
        let topic = CreatableTopic {
            name: name.clone(),
            num_partitions: PARTITIONS,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 60_000,
            validate_only: false,
            ..CreateTopicsRequest::default()
        };
        known.insert(name.clone(), Known::Either);
        let frame = write_request(1, 7, None, &request).unwrap().to_bytes();
        let Some(answer) = exchange(&mut client, &frame) else { return known };
        let created: CreateTopicsResponse = parse_response(&answer, 7).unwrap().1;
        assert_eq!(created.topics[0].error_code, 0);
        known.insert(name.clone(), Known::Created(created.topics[0].topic_id));
        if index % 2 == 0 {
            let topics = vec![DeleteTopicState {
                name: Some(name.clone()),
                topic_id: Uuid::ZERO,
                ..DeleteTopicState::default()
            }];
            let request = DeleteTopicsRequest { topics, timeout_ms: 60_000, ..DeleteTopicsRequest::default() };
            known.insert(name.clone(), Known::Either);
            let frame = write_request(1, 6, None, &request).unwrap().to_bytes();
            let Some(answer) = exchange(&mut client, &frame) else { return known };
            let deleted: DeleteTopicsResponse = parse_response(&answer, 6).unwrap().1;
            assert_eq!(deleted.responses[0].error_code, 0);
            known.insert(name, Known::Deleted);
        }
    }
    known
}

fn exchange(client: &mut Client, frame: &[u8]) -> Option<bytes::Bytes> {
    if client.send_raw(frame) { client.receive_raw() } else { None }
}

#[test]
fn topics_survive_kill_9_whole_or_not_at_all() {
    const ROUNDS: usize = 6;
    let folder = TempDir::new().unwrap();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut broker = Process::start(folder.path(), &[]);
        check(&broker, folder.path(), &mut known);
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let client = broker.client();
                thread::spawn(move || churn(client, format!("r{round}w{worker}")))
            })
            .collect();
        // Killed at another point of the work each time.
        let mut clock = broker.client();
        for index in 0..=(round * 3) {
            clock.create_topic(&format!("clock-{round}-{index}"), 1, &[]);
            known.insert(format!("clock-{round}-{index}"), Known::Either);
        }
        broker.kill();
        for worker in workers {
            known.extend(worker.join().unwrap());
        }
    }
    let broker = Process::start(folder.path(), &[]);
    check(&broker, folder.path(), &mut known);
    assert!(known.len() > ROUNDS * 3);
    assert!(broker.stop());
}

/// Compares what the broker has with what it acknowledged; what it did not answer for is settled from here on.
fn check(broker: &Process, folder: &Path, known: &mut BTreeMap<String, Known>) {
    let mut client = broker.client();
    let response = client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    let topics: BTreeMap<String, _> =
        response.topics.into_iter().map(|topic| (topic.name.clone().unwrap(), topic)).collect();
    for (name, known) in known.iter_mut() {
        match (*known, topics.get(name)) {
            (Known::Created(id), Some(topic)) => assert_eq!(topic.topic_id, id, "{name}"),
            (Known::Created(_), None) => panic!("{name} was created and is gone"),
            (Known::Deleted, Some(_)) => panic!("{name} was deleted and is back"),
            (Known::Deleted, None) => {}
            (Known::Either, Some(topic)) => *known = Known::Created(topic.topic_id),
            (Known::Either, None) => *known = Known::Deleted,
        }
    }
    let mut expected = BTreeSet::new();
    for (name, topic) in &topics {
        assert_eq!(topic.error_code, 0);
        let count = if name.starts_with("clock") { 1 } else { PARTITIONS };
        assert_eq!(topic.partitions.len(), usize::try_from(count).unwrap(), "half a topic: {name}");
        assert!(topic.partitions.iter().all(|partition| partition.leader_id >= 0));
        expected.extend((0..count).map(|index| format!("{name}-{index}")));
    }
    for name in topics.keys().take(3) {
        client.must_produce(name, &batch(&[b"usable"]));
    }
    // Folders of deleted topics are renamed at once and removed in the background, and a folder tells nobody that it changes.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut found = partition_folders(folder);
    while found.iter().any(|name| name.ends_with("-delete")) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
        found = partition_folders(folder);
    }
    assert_eq!(found, expected, "folders of partitions");
}

fn partition_folders(folder: &Path) -> BTreeSet<String> {
    // One may go while they are listed.
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "metadata")
        .collect()
}

#[test]
fn acknowledged_records_survive_kill_9() {
    let folder = TempDir::new().unwrap();
    let mut expected: Vec<String> = Vec::new();
    for round in 0..4 {
        let mut broker = Process::start(folder.path(), &[]);
        let mut client = broker.client();
        if round == 0 {
            client.create_topic("t", 1, &[("segment.bytes", "1048576")]);
        }
        assert_eq!(client.values("t", 0), expected, "round {round}");
        let (tell, told) = mpsc::channel();
        let sender = thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for index in 0.. {
                let value = format!("{round}-{index}-{}", "x".repeat(5000));
                let frame = write_request(1, PRODUCE, None, &produce_request("t", 0, &batch(&[value.as_bytes()]), -1));
                let Some(answer) = exchange(&mut client, &frame.unwrap().to_bytes()) else { break };
                let response: ProduceResponse = parse_response(&answer, PRODUCE).unwrap().1;
                let response = &response.responses[0].partition_responses[0];
                assert_eq!(response.error_code, 0);
                acknowledged.push((response.base_offset, value));
                let _ = tell.send(());
            }
            acknowledged
        });
        for _ in 0..(200 * (round + 1)) {
            told.recv().unwrap();
        }
        broker.kill();
        let acknowledged = sender.join().unwrap();
        for (offset, value) in acknowledged {
            assert_eq!(offset, i64::try_from(expected.len()).unwrap());
            expected.push(value);
        }
        // One more may have reached the log without its answer reaching the producer.
        let broker = Process::start(folder.path(), &[]);
        let values = broker.client().values("t", 0);
        assert!(values.len() == expected.len() || values.len() == expected.len() + 1);
        assert!(values[..expected.len()] == expected[..]);
        expected = values.iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    }
}
