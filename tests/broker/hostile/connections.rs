//! Connections by the thousand: idle, dropped, reset, parked, abandoned; and peers that speak something else.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use felice_protocol::messages::{
    api_versions::ApiVersionsRequest,
    fetch::{FetchRequest, FetchResponse},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::{Bystander, MIB, crowd, raw, reset};
use crate::{
    client::{Client, FETCH, PATIENCE, batch, fetch_request, waiting},
    harness::Process,
};

fn hello(client: &mut Client) {
    client.send(0, &ApiVersionsRequest::default());
    client.receive_raw().expect("an answer");
}

/// An address of its own for each, so that no port is used up.
fn from(index: usize) -> [u8; 4] {
    [127, 0, 1, u8::try_from(index % 250 + 1).unwrap()]
}

/// Connects and leaves, in four ways.
pub fn come_and_go(address: SocketAddr, count: usize) {
    for index in 0..count {
        let mut client = Client::connect_from(from(index), address);
        match index % 4 {
            0 => reset(client),
            1 => {
                client.send_raw(&[0, 0]);
                reset(client);
            }
            2 => {
                client.send_raw(&raw(18, 0, false, b""));
                reset(client);
            }
            _ => {
                hello(&mut client);
                drop(client);
            }
        }
    }
}

/// Begins fetch sessions over one partition and never goes on with any.
pub fn abandon_sessions(address: SocketAddr, topic: &str, count: usize) {
    let mut client = Client::connect(address);
    let request = FetchRequest { session_epoch: 0, ..fetch_request(topic, 0) };
    for _ in 0..count {
        assert_eq!(client.call(FETCH, &request).error_code, 0);
    }
}

/// Sends long polls, as many as the broker takes, and leaves; every second one without a goodbye.
pub fn abandon_long_polls(address: SocketAddr, topic: &str, connections: usize, each: usize) {
    let mut request = waiting(fetch_request(topic, i64::MAX));
    // What does not exist and what is at its end wait alike.
    request.topics[0].partitions[0].fetch_offset = 0;
    request.min_bytes = i32::MAX;
    request.max_wait_ms = i32::MAX;
    let clients: Vec<Client> = (0..connections)
        .map(|index| {
            let mut client = Client::connect_from(from(index), address);
            for _ in 0..each {
                client.send(FETCH, &request);
            }
            client
        })
        .collect();
    for (index, client) in clients.into_iter().enumerate() {
        if index % 2 == 0 { reset(client) } else { drop(client) }
    }
}

/// Speaks other protocols than Kafka's.
pub fn speak_otherwise(address: SocketAddr, count: usize) {
    for index in 0..count {
        let mut client = Client::connect_from(from(index), address);
        client.send_raw(match index % 6 {
            0 => b"GET /metrics HTTP/1.1\r\nHost: felice\r\n\r\n",
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            2 => b"SSH-2.0-OpenSSH_9.6\r\n",
            3 => b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 9092\r\n",
            4 => b"*1\r\n$4\r\nPING\r\n",
            _ => b"\x00\x00\x00\x2f\xff\x53\x4d\x42\x72\x00\x00\x00\x00",
        });
        client.half_close();
        client.expect_close();
    }
}

/// Descriptors that a process of this test may have.
fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

#[test]
fn ten_thousand_idle_connections_are_cheap() {
    let count = usize::try_from(raise_open_files()).unwrap().saturating_sub(2500).min(10_000);
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    let mut idle: Vec<Client> = (0..count)
        .map(|index| {
            let mut client = Client::connect_from(from(index), broker.address());
            client.send_raw(&raw(18, 0, false, b""));
            client
        })
        .collect();
    for client in &mut idle {
        client.receive_raw().expect("an answer");
    }
    let each = broker.resident().saturating_sub(before) / count as u64;
    println!("{each} bytes for each of {count} idle connections");
    assert!(each < 12 << 10, "{each} bytes for each of {count} idle connections");
    assert!(broker.descriptors() > count);
    // None was harmed.
    hello(idle.first_mut().unwrap());
    hello(idle.last_mut().unwrap());
    bystander.was_served();
    drop(idle);
    until_descriptors(&broker, 200);
}

/// Waits until the broker has noticed that everyone left.
fn until_descriptors(broker: &Process, most: usize) {
    let deadline = Instant::now() + PATIENCE;
    while broker.descriptors() > most {
        assert!(Instant::now() < deadline, "{} descriptors are still open", broker.descriptors());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let bystander = Bystander::start(broker.address());
    come_and_go(broker.address(), 500);
    let before = broker.resident();
    crowd(4, |_| come_and_go(broker.address(), 2500));
    bystander.was_served();
    until_descriptors(&broker, 200);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    assert!(broker.lines_with("WARN").len() < 10, "{:#?}", broker.lines_with("WARN"));
}

#[test]
fn whoever_speaks_something_else_costs_a_line_at_most() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let bystander = Bystander::start(broker.address());
    speak_otherwise(broker.address(), 60);
    let before = broker.resident();
    crowd(2, |_| speak_otherwise(broker.address(), 1500));
    bystander.was_served();
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    for told in [
        "an HTTP request on the Kafka port",
        "a TLS handshake on a plaintext listener",
        "an SSH client on the Kafka port",
    ] {
        assert!(!broker.lines_with(told).is_empty(), "{told}");
    }
    // One for each of 250 addresses and three kinds of them, at most.
    assert!(broker.lines_with("closed the connection").len() <= 250 * 3);
}

#[test]
fn sessions_and_long_polls_that_are_abandoned_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    broker.client().create_topic("t", 1, &[]);
    let bystander = Bystander::start(broker.address());
    // 200 connections with 300 long polls of 24 days each. No more than 128 of one are read, so the broker finds out in another
    // way than by reading that the others will not be either.
    let attack = || {
        crowd(2, |_| {
            abandon_sessions(broker.address(), "t", 2000);
            abandon_long_polls(broker.address(), "t", 100, 300);
        });
        until_descriptors(&broker, 200);
    };
    let before = broker.resident();
    attack();
    let (peak, first) = (broker.peak(), broker.resident());
    assert!(peak.saturating_sub(before) < 100 * MIB, "{peak} bytes for 25,600 long polls");
    // What the allocator keeps, it uses again, though not all of it the first time. What leaked would be added each time.
    let mut known = first;
    let settles = (0..5).any(|_| {
        attack();
        let grown = broker.resident().saturating_sub(known);
        known = known.max(broker.resident());
        grown < 8 * MIB
    });
    assert!(settles, "grew from {first} to {known} bytes");
    // A new fetch is woken by new data, past all of the dead.
    let mut client = broker.client();
    client.send(FETCH, &waiting(fetch_request("t", 0)));
    broker.client().must_produce("t", &batch(&[b"news"]));
    client.receive::<FetchResponse>(FETCH);
    bystander.was_served();
}
