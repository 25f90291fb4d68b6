//! Bad input: Kafka's error, or a closed connection with one clear line; never memory, never another's trouble.

use bytes::Bytes;
use felice_protocol::{
    Uuid,
    api::parse_api_versions_response,
    error::ErrorCode,
    messages::{
        api_versions::ApiVersionsRequest,
        create_topics::{CreatableTopic, CreateTopicsRequest},
        metadata::{MetadataRequest, MetadataRequestTopic},
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error, fetch_request, idempotent, only_partition},
    harness::{Local, Process},
};

const MIB: u64 = 1 << 20;

/// Bytes that look like nothing, the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// A request header of version 1, without client id, and a body.
fn request(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&api_key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&7_i32.to_be_bytes());
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    bytes.extend_from_slice(body);
    frame(&bytes)
}

#[test]
fn whoever_speaks_no_kafka_is_closed_with_one_clear_line() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut bystander = broker.client();
    bystander.create_topic("t", 1, &[]);
    for _ in 0..50 {
        bystander.must_produce("t", &batch(&[&[b'w'; 1000]]));
    }
    let before = broker.resident();
    let cases: [(Vec<u8>, &str); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "a TLS handshake on a plaintext listener"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "an HTTP request on the Kafka port"),
        (i32::MAX.to_be_bytes().to_vec(), "frame of 2147483647 bytes exceeds socket.request.max.bytes=104857600"),
        (vec![0, 0, 0, 0], "frame of 0 bytes cannot hold a request header"),
        (request(999, 0, b""), "unknown API key 999"),
        (request(3, 99, b"\0"), "Metadata version 99 is not supported (served are 0 to 13)"),
        // An array that claims two billion topics.
        (request(3, 1, &[0x7f, 0xff, 0xff, 0xff]), "MetadataRequest.topics"),
        (request(1, 4, &[0; 3]), "FetchRequest.replica_id"),
    ];
    for ((bytes, told), host) in cases.iter().zip(2..) {
        // Lines about one address are limited, so each comes from another.
        let mut peer = broker.client_from([127, 0, 0, host]);
        let address = peer.local_address();
        assert!(peer.send_raw(bytes));
        peer.expect_close();
        let line = broker.wait_for(told);
        assert!(line.contains(&address.to_string()), "the line names its peer {address}: {line}");
        assert_eq!(broker.lines_with(told).len(), 1);
        bystander.must_produce("t", &batch(&[b"unharmed"]));
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}

#[test]
fn random_bytes_do_no_harm() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut bystander = broker.client();
    bystander.create_topic("t", 1, &[]);
    for _ in 0..50 {
        bystander.must_produce("t", &batch(&[&[b'w'; 1000]]));
    }
    let before = broker.resident();
    for seed in 0..300 {
        let mut peer = broker.client();
        match seed % 3 {
            // As they come.
            0 => drop(peer.send_raw(&noise(seed, 2000))),
            // In a good frame.
            1 => drop(peer.send_raw(&frame(&noise(seed, 500)))),
            // Behind a good header.
            _ => {
                let apis = [0, 1, 2, 3, 10, 18, 19, 20, 22, 23, 32, 37, 44, 60, 75];
                let api = apis[usize::try_from(seed).unwrap() % apis.len()];
                let version = i16::try_from(seed % 12).unwrap();
                peer.send_raw(&request(api, version, &noise(seed, 300)));
            }
        }
        peer.half_close();
        peer.expect_close();
        if seed % 50 == 0 {
            bystander.must_produce("t", &batch(&[b"unharmed"]));
        }
    }
    assert_eq!(bystander.values("t", 0).len(), 56);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    assert!(broker.lines_with("panicked").is_empty());
    // Noise may have made topics, for that is what a client may ask for; it must not have broken the broker.
    assert!(broker.stop());
}

#[test]
fn frames_that_never_end_cost_what_they_sent_and_give_it_back() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut bystander = broker.client();
    bystander.create_topic("t", 1, &[]);
    for _ in 0..50 {
        bystander.must_produce("t", &batch(&[&[b'w'; 1000]]));
    }
    let before = broker.resident();
    for _ in 0..20 {
        let mut peer = broker.client();
        assert!(peer.send_raw(&50_000_000_i32.to_be_bytes()));
        assert!(peer.send_raw(&vec![0; 1_000_000]));
        bystander.must_produce("t", &batch(&[b"unharmed"]));
        peer.half_close();
        peer.expect_close();
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}

#[test]
fn api_versions_of_the_future_is_answered_in_version_0_and_the_connection_lives_on() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    assert!(client.send_raw(&request(18, 99, b"\0whatever the future holds")));
    let (correlation_id, response) = parse_api_versions_response(&client.receive_raw().unwrap(), 99).unwrap();
    assert_eq!((correlation_id, error(response.error_code)), (7, ErrorCode::UnsupportedVersion));
    assert_eq!(response.api_keys.iter().map(|api| api.api_key).collect::<Vec<_>>(), [18]);
    let request = ApiVersionsRequest {
        client_software_name: "tests".to_owned(),
        client_software_version: "1".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let response = client.call(4, &request);
    assert_eq!(error(response.error_code), ErrorCode::None);
    let produce = response.api_keys.iter().find(|api| api.api_key == 0).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
}

/// A batch with one byte changed.
fn damaged(at: usize, byte: u8) -> Bytes {
    let mut bytes = batch(&[b"damaged"]).to_vec();
    bytes[at] = byte;
    bytes.into()
}

/// A batch with another header, and a CRC that fits it.
fn forged(change: impl FnOnce(&mut felice_protocol::record::BatchHeader)) -> Bytes {
    use felice_protocol::record::{BatchHeader, HEADER_LEN};
    let mut bytes = batch(&[b"forged"]).to_vec();
    let mut header = BatchHeader::parse(&bytes).unwrap();
    change(&mut header);
    let (head, payload) = bytes.split_at_mut(HEADER_LEN);
    head.copy_from_slice(&header.to_bytes_with_crc(payload));
    bytes.into()
}

#[test]
fn bad_batches_are_kafkas_errors_and_leave_nothing() {
    use felice_protocol::record::Attributes;
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let two = [batch(&[b"one"]), batch(&[b"two"])].concat();
    let truncated = batch(&[b"truncated"]);
    let cases = [
        ("wrong CRC", damaged(17, 0xee), ErrorCode::CorruptMessage),
        ("changed payload", damaged(65, 0xee), ErrorCode::CorruptMessage),
        ("magic 7", damaged(16, 7), ErrorCode::CorruptMessage),
        ("count", forged(|header| header.record_count = 5), ErrorCode::InvalidRecord),
        ("no records", forged(|header| header.record_count = 0), ErrorCode::InvalidRecord),
        ("negative count", forged(|header| header.record_count = -1), ErrorCode::InvalidRecord),
        ("last offset delta", forged(|header| header.last_offset_delta = 9), ErrorCode::InvalidRecord),
        (
            "control",
            forged(|header| header.attributes = Attributes(header.attributes.0 | 0x20)),
            ErrorCode::InvalidRecord,
        ),
        ("no sequence", idempotent((1, 0), -1, &[b"v"]), ErrorCode::InvalidRecord),
        ("two batches", Bytes::from(two), ErrorCode::InvalidRecord),
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        ("truncated", truncated.slice(..truncated.len() - 1), ErrorCode::InvalidRecord),
    ];
    for (name, records, expected) in cases {
        let response = client.produce("t", &records);
        assert_eq!((error(response.error_code), response.base_offset), (expected, -1), "{name}");
    }
    assert_eq!(client.must_produce("t", &batch(&[b"good"])), 0);
    assert_eq!(client.values("t", 0), ["good"]);
}

#[test]
fn unknown_and_invalid_topics_are_kafkas_errors() {
    let broker = Local::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    client.create_topic("a.b", 1, &[]);
    assert_eq!(error(client.produce("missing", &batch(&[b"v"])).error_code), ErrorCode::UnknownTopicOrPartition);
    let data = only_partition(client.call(12, &fetch_request("missing", 0)));
    assert_eq!(error(data.error_code), ErrorCode::UnknownTopicOrPartition);
    let long = "x".repeat(250);
    for (name, expected) in [
        ("a_b", ErrorCode::InvalidTopicException),
        ("a.b", ErrorCode::TopicAlreadyExists),
        ("", ErrorCode::InvalidTopicException),
        (".", ErrorCode::InvalidTopicException),
        ("..", ErrorCode::InvalidTopicException),
        ("no/good", ErrorCode::InvalidTopicException),
        ("../../etc", ErrorCode::InvalidTopicException),
        ("blank name", ErrorCode::InvalidTopicException),
        ("über", ErrorCode::InvalidTopicException),
        (&long, ErrorCode::InvalidTopicException),
    ] {
        assert_eq!(error(client.try_create_topic(name, 1, &[]).error_code), expected, "{name:?}");
    }
    for (partitions, expected) in [
        (0, ErrorCode::InvalidPartitions),
        (-2, ErrorCode::InvalidPartitions),
        (100_000, ErrorCode::PolicyViolation),
        (i32::MAX, ErrorCode::PolicyViolation),
    ] {
        assert_eq!(error(client.try_create_topic("many", partitions, &[]).error_code), expected, "{partitions}");
    }
    let by_id = MetadataRequestTopic { topic_id: Uuid([9; 16]), name: None, ..MetadataRequestTopic::default() };
    let response = client.call(12, &MetadataRequest { topics: Some(vec![by_id]), ..MetadataRequest::default() });
    assert_eq!(error(response.topics[0].error_code), ErrorCode::UnknownTopicId);
    let response = client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(response.topics.len(), 1, "nothing else was made");
}

#[test]
fn a_hundred_thousand_partitions_in_many_topics_are_refused_without_memory() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"v"]));
    let before = broker.resident();
    let ask = |client: &mut Client, count: usize, num_partitions: i32| {
        let topic = |index: usize| CreatableTopic {
            name: format!("m{index}"),
            num_partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: (0..count).map(topic).collect(),
            timeout_ms: 60_000,
            validate_only: false,
            ..CreateTopicsRequest::default()
        };
        let response = client.call(7, &request);
        let mut codes: Vec<_> = response.topics.iter().map(|topic| error(topic.error_code)).collect();
        codes.dedup();
        codes
    };
    assert_eq!(ask(&mut client, 1, 100_000), [ErrorCode::PolicyViolation]);
    assert_eq!(ask(&mut client, 100, 1000), [ErrorCode::PolicyViolation]);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    client.must_produce("t", &batch(&[b"unharmed"]));
}
