//! Peers that ask and do not take: nothing at all, little by little, or half of it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use felice_protocol::{
    api::write_request,
    messages::{
        fetch::FetchRequest,
        metadata::{MetadataRequest, MetadataResponse},
    },
};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::{Bystander, MIB, crowd, raw, reset};
use crate::{
    client::{Client, FETCH, PATIENCE, batch, fetch_request},
    harness::{Local, Process},
};

/// A connection whose peer can send little before we take it.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn fetch_frame(topic: &str, most: i32) -> Bytes {
    let mut request = FetchRequest { max_bytes: most, ..fetch_request(topic, 0) };
    request.topics[0].partitions[0].partition_max_bytes = most;
    write_request(1, FETCH, Some("slow"), &request).unwrap().to_bytes()
}

/// Fills a topic with small batches, so that answers are read into memory.
pub fn fill(client: &mut Client, topic: &str, megabytes: usize, size: usize) {
    let records = batch(&[&vec![b'f'; size]]);
    for _ in 0..(megabytes << 20) / size {
        client.must_produce(topic, &records);
    }
}

/// Pipelines `count` requests and reads nothing. Stops where the broker takes no more, or has closed.
pub fn ask_and_take_nothing(address: SocketAddr, frame: &[u8], count: usize) -> TcpStream {
    let mut stream = narrow(address);
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let many = frame.repeat(100);
    for _ in 0..count.div_ceil(100) {
        if stream.write_all(&many).is_err() {
            break;
        }
    }
    stream
}

/// Resets the connection in the middle of a response.
pub fn reset_in_mid_response(address: SocketAddr, topic: &str, count: usize) {
    let frame = fetch_frame(topic, 1 << 20);
    for _ in 0..count {
        let mut stream = narrow(address);
        stream.write_all(&frame).unwrap();
        let mut some = [0; 1000];
        stream.read_exact(&mut some).unwrap();
        reset(Client::from(stream));
    }
}

/// Asks for everything about all topics, again and again.
pub fn metadata_storm(address: SocketAddr, count: usize) {
    let mut client = Client::connect(address);
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    for _ in 0..count {
        for _ in 0..20 {
            client.send(12, &request);
        }
        for _ in 0..20 {
            assert!(!client.receive::<MetadataResponse>(12).1.brokers.is_empty());
        }
    }
}

#[test]
fn a_hundred_thousand_requests_without_a_taker_are_not_read() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 100, &[]);
    let address = broker.address();
    let bystander = Bystander::start(address);
    let before = broker.resident();
    let metadata =
        write_request(1, 12, None, &MetadataRequest { topics: None, ..Default::default() }).unwrap().to_bytes();
    let streams: Vec<TcpStream> = thread::scope(|scope| {
        let frames = [raw(18, 0, false, b""), metadata.to_vec()];
        let asking: Vec<_> = (0..8)
            .map(|index| {
                let frame = frames[index % 2].clone();
                scope.spawn(move || ask_and_take_nothing(address, &frame, 100_000))
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    bystander.was_served();
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 40 * MIB, "{grown} bytes");
    drop(streams);
}

#[test]
fn what_all_are_owed_together_is_bounded() {
    let folder = TempDir::new().unwrap();
    // The limit for all responses is half of that for requests.
    let broker =
        Process::start(folder.path(), &["queued.max.request.bytes=33554432", "socket.request.max.bytes=33554432"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    fill(&mut client, "t", 1, 14_000);
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    let frame = fetch_frame("t", 30_000);
    // 900 peers ask for a hundred times 28 KB each and take nothing: 2.5 GB, or 900 MB where each had but its own limit. (Longer
    // answers stay in their files.)
    let held: Vec<TcpStream> = (0..900).map(|_| ask_and_take_nothing(broker.address(), &frame, 100)).collect();
    broker.wait_for("memory for responses is short");
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 80 * MIB, "{grown} bytes");
    // Who takes what it asked for is served all the while.
    let mut taker = broker.client();
    for _ in 0..20 {
        assert!(!taker.fetch("t", 0).records.unwrap().is_empty());
    }
    bystander.was_served();
    drop(held);
}

#[test]
fn a_peer_that_takes_nothing_is_idle() {
    let broker = Local::start(&["connections.max.idle.ms=700"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    fill(&mut client, "t", 2, 100_000);
    let began = Instant::now();
    let mut stream = ask_and_take_nothing(broker.address(), &fetch_frame("t", 1 << 20), 1000);
    // It is not read from any more, so what is written fails only once the broker has closed.
    stream.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !stream.write(&[0]).is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
        assert!(Instant::now() < deadline, "still open");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() > Duration::from_millis(600));
}

#[test]
fn a_peer_that_takes_slowly_is_not() {
    let broker = Local::start(&["connections.max.idle.ms=1000"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("max.message.bytes", "20000000")]);
    client.must_produce("t", &batch(&[&vec![b's'; 12 << 20]]));
    let mut stream = narrow(broker.address());
    stream.write_all(&fetch_frame("t", 16 << 20)).unwrap();
    let began = Instant::now();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut left = usize::try_from(i32::from_be_bytes(length)).unwrap();
    assert!(left > 12 << 20);
    let mut piece = vec![0; 128 << 10];
    while left > 0 {
        let most = left.min(piece.len());
        stream.read_exact(&mut piece[..most]).unwrap();
        left -= most;
        thread::sleep(Duration::from_millis(30));
    }
    assert!(began.elapsed() > Duration::from_millis(2500), "it took several times the limit: {:?}", began.elapsed());
    Client::from(stream).expect_close(); // and now it is idle
}

#[test]
fn resets_in_mid_response_and_storms_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 50, &[]);
    fill(&mut client, "t", 4, 200_000);
    let bystander = Bystander::start(broker.address());
    reset_in_mid_response(broker.address(), "t", 20);
    let (before, descriptors) = (broker.resident(), broker.descriptors());
    crowd(4, |index| match index {
        0 | 1 => reset_in_mid_response(broker.address(), "t", 200),
        _ => metadata_storm(broker.address(), 30),
    });
    bystander.was_served();
    let deadline = Instant::now() + PATIENCE;
    while broker.descriptors() > descriptors + 10 {
        assert!(Instant::now() < deadline, "{} descriptors, {descriptors} before", broker.descriptors());
        thread::sleep(Duration::from_millis(20));
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 24 * MIB, "{grown} bytes");
}
