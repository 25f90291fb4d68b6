//! Connections: limits, memory, peers that stall, leave, or do not read.

use std::{
    thread,
    time::{Duration, Instant},
};

use felice_protocol::messages::{
    api_versions::{ApiVersionsRequest, ApiVersionsResponse},
    fetch::FetchResponse,
    metadata::{MetadataRequest, MetadataResponse},
    produce::ProduceResponse,
};
use tempfile::TempDir;

use crate::{
    client::{
        Client, FETCH, PATIENCE, PRODUCE, batch, batches, fetch_request, only_partition, produce_request, waiting,
    },
    harness::{Local, Process},
};

const MIB: u64 = 1 << 20;

fn hello(client: &mut Client) -> bool {
    let frame = felice_protocol::api::write_request(1, 0, None, &ApiVersionsRequest::default()).unwrap();
    client.send_raw(&frame.to_bytes()) && client.receive_raw().is_some()
}

#[test]
fn a_hundred_peers_that_announce_100_mb_and_stall_hold_nobody_up() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut producer = broker.client();
    producer.create_topic("t", 1, &[]);
    let records = batch(&[&[b'p'; 1000]]);
    for _ in 0..100 {
        producer.must_produce("t", &records);
    }
    let before = broker.resident();
    let mut stalled: Vec<Client> = (0..100).map(|_| broker.client()).collect();
    for (index, peer) in stalled.iter_mut().enumerate() {
        assert!(peer.send_raw(&100_000_000_i32.to_be_bytes()));
        if index % 2 == 0 {
            assert!(peer.send_raw(&vec![0; 10_000]));
        }
    }
    for _ in 0..500 {
        producer.must_produce("t", &records);
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 24 * MIB, "10 GB announced, 0.5 MB sent, {grown} bytes taken");
    assert_eq!(producer.values("t", 0).len(), 600);
}

#[test]
fn the_frame_budget_bounds_what_stalled_peers_hold() {
    let folder = TempDir::new().unwrap();
    let settings = ["queued.max.request.bytes=16777216", "socket.request.max.bytes=16777216"];
    let broker = Process::start(folder.path(), &settings);
    let mut producer = broker.client();
    producer.create_topic("t", 1, &[]);
    producer.must_produce("t", &batch(&[b"warm"]));
    let before = broker.resident();
    // 100 peers send 2 MB of 4 MB each: 200 MB were it not for the budget. What is not read stays with the peers.
    let address = producer.stream().peer_addr().unwrap();
    let senders: Vec<_> = (0..100)
        .map(|_| {
            thread::spawn(move || {
                let mut peer = Client::connect(address);
                peer.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                peer.send_raw(&4_000_000_i32.to_be_bytes());
                peer.send_raw(&vec![0; 2_000_000]);
                peer
            })
        })
        .collect();
    let peers: Vec<Client> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    // Small frames have their reserve.
    for _ in 0..200 {
        producer.must_produce("t", &batch(&[&[b's'; 1000]]));
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 40 * MIB, "a budget of 16 MiB and {grown} bytes taken");
    drop(peers);
    // With the peers gone their budget is back: a large frame goes through.
    producer.create_topic("large", 1, &[("max.message.bytes", "16000000")]);
    producer.must_produce("large", &batch(&[&vec![b'l'; 12_000_000]]));
}

#[test]
fn a_slow_reader_stalls_only_itself() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for _ in 0..16 {
        client.must_produce("t", &batch(&[&[b's'; 1_000_000]]));
    }
    client.fetch("t", 0);
    let before = broker.resident();
    let mut slow: Vec<Client> = (0..4).map(|_| broker.client()).collect();
    for peer in &mut slow {
        // 50 answers of a megabyte each are asked for, and none is read.
        for index in 0..50 {
            let mut request = fetch_request("t", index % 16);
            request.topics[0].partitions[0].partition_max_bytes = 1;
            peer.send(FETCH, &request);
        }
    }
    for index in 0..200 {
        client.must_produce("t", &batch(&[format!("{index}").as_bytes()]));
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 48 * MIB, "200 MB were asked for and {grown} bytes are held");
    // Once it reads, it gets all of it, in order.
    let peer = &mut slow[0];
    for index in 0..50 {
        let data = only_partition(peer.receive::<FetchResponse>(FETCH).1);
        assert_eq!(batches(&data)[0].header().base_offset, index % 16);
    }
}

#[test]
fn idle_connections_are_closed_and_waiting_ones_are_not() {
    let broker = Local::start(&["connections.max.idle.ms=300"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut waiting_client = broker.client();
    let request = waiting(fetch_request("t", 0));
    waiting_client.send(FETCH, &request);
    let mut idle = broker.client();
    let started = Instant::now();
    idle.expect_close();
    assert!(started.elapsed() >= Duration::from_millis(250));
    client.expect_close();
    // Several times the limit has passed for the one that waits only if its long poll counted for nothing.
    let mut other = broker.client();
    other.expect_close();
    broker.client().must_produce("t", &batch(&[b"news"]));
    let data = only_partition(waiting_client.receive::<FetchResponse>(FETCH).1);
    assert_eq!(batches(&data).len(), 1);
}

#[test]
fn max_connections_per_ip_and_its_overrides_are_obeyed() {
    let broker = Local::start(&["max.connections.per.ip=2", "max.connections.per.ip.overrides=127.0.0.7:4"]);
    let open = |ip: [u8; 4]| {
        let mut client = Client::connect_from(ip, broker.address());
        hello(&mut client).then_some(client)
    };
    for (ip, limit) in [([127, 0, 0, 1], 2), ([127, 0, 0, 7], 4), ([127, 0, 0, 9], 2)] {
        let mut kept: Vec<Client> = (0..limit).map(|_| open(ip).expect("within the limit")).collect();
        assert!(open(ip).is_none(), "{ip:?} beyond {limit}");
        assert!(kept.iter_mut().all(hello), "the others live on");
        drop(kept.pop());
        let deadline = Instant::now() + PATIENCE;
        while open(ip).is_none() {
            assert!(Instant::now() < deadline, "{ip:?}: the place of one that left is not free");
            thread::yield_now();
        }
    }
}

/// With `max.connections` taken up, the next peer is accepted when one has left, and not before: so a test that gets an
/// answer has seen the broker notice.
fn full_of_parked(settings: &str) -> (Local, Vec<Client>) {
    let broker = Local::start(&[settings]);
    let mut clients: Vec<Client> = (0..3).map(|_| broker.client()).collect();
    clients[0].create_topic("t", 1, &[]);
    for client in &mut clients {
        assert!(hello(client));
        client.send(FETCH, &waiting(fetch_request("t", 0)));
    }
    (broker, clients)
}

#[test]
fn max_connections_makes_new_ones_wait() {
    let (broker, mut clients) = full_of_parked("max.connections=3");
    let mut late = broker.client();
    late.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let frame = felice_protocol::api::write_request(1, 0, None, &ApiVersionsRequest::default()).unwrap();
    assert!(late.send_raw(&frame.to_bytes()));
    let mut peeked = [0; 1];
    assert!(late.stream().peek(&mut peeked).is_err(), "not served while the broker is full");
    late.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    drop(clients.pop());
    assert!(late.receive_raw().is_some());
}

#[test]
fn a_peer_that_leaves_while_its_fetch_is_parked_is_noticed_at_once() {
    let (broker, clients) = full_of_parked("max.connections=3");
    // Each parked fetch would wait for two minutes, longer than `hello` does.
    for client in clients {
        drop(client);
        assert!(hello(&mut broker.client()));
    }
}

#[test]
fn socket_request_max_bytes_is_obeyed() {
    let broker = Local::start(&["socket.request.max.bytes=100000"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[&[b'o'; 99_000]]));
    let mut large = broker.client();
    large.send_raw(&100_001_i32.to_be_bytes());
    large.expect_close();
    assert_eq!(client.values("t", 0).len(), 1);
}

#[test]
fn a_half_closed_peer_gets_its_answers() {
    let broker = Local::start(&["log.flush.interval.messages=1"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let mut peer = broker.client();
    peer.send(PRODUCE, &produce_request("t", 0, &batch(&[b"parked until flushed"]), -1));
    peer.send(12, &MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() });
    peer.send(FETCH, &waiting(fetch_request("t", 1)));
    peer.half_close();
    let produced: ProduceResponse = peer.receive(PRODUCE).1;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    peer.receive::<MetadataResponse>(12);
    // Whoever says that nothing follows may be gone: a long poll is answered with what there is.
    assert!(batches(&only_partition(peer.receive::<FetchResponse>(FETCH).1)).is_empty());
    peer.expect_close();
}

#[test]
fn what_came_before_a_bad_frame_is_answered() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for bad in [&[0, 0, 0, 8, 0x7f, 0x7f, 0, 0, 0, 0, 0, 1][..], b"\xff\xff\xff\xff", &[0x7f, 0xff, 0xff, 0xff]] {
        let mut bytes = Vec::new();
        let metadata = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        for correlation_id in 0..3 {
            let frame = felice_protocol::api::write_request(correlation_id, 12, None, &metadata).unwrap();
            bytes.extend_from_slice(&frame.to_bytes());
        }
        bytes.extend_from_slice(bad);
        let mut peer = broker.client();
        assert!(peer.send_raw(&bytes));
        for correlation_id in 0..3 {
            assert_eq!(peer.receive::<MetadataResponse>(12).0, correlation_id);
        }
        peer.expect_close();
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let broker = Local::start(&["log.flush.interval.messages=1"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    const COUNT: usize = 1000;
    let mut reader = Client::from(client.stream().try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..COUNT {
                match index % 3 {
                    0 => client.send(PRODUCE, &produce_request("t", 0, &batch(&[b"v"]), -1)),
                    1 => client.send(FETCH, &fetch_request("t", 0)),
                    _ => client.send(3, &ApiVersionsRequest::default()),
                };
            }
        });
        for index in 0..COUNT {
            let expected = i32::try_from(index).unwrap() + 2;
            let correlation_id = match index % 3 {
                0 => reader.receive::<ProduceResponse>(PRODUCE).0,
                1 => reader.receive::<FetchResponse>(FETCH).0,
                _ => reader.receive::<ApiVersionsResponse>(3).0,
            };
            assert_eq!(correlation_id, expected);
        }
    });
}
