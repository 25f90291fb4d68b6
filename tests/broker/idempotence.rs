//! Idempotent producers: duplicates, gaps, epochs, and what outlives a restart.

use felice_protocol::error::ErrorCode;
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error, idempotent},
    harness::{Local, Process},
};

/// Error and base offset of one batch of `count` records.
fn send(client: &mut Client, producer: (i64, i16), sequence: i32, count: usize) -> (ErrorCode, i64) {
    let response = client.produce("t", &idempotent(producer, sequence, &vec![&b"v"[..]; count]));
    (error(response.error_code), response.base_offset)
}

const OK: ErrorCode = ErrorCode::None;
const OUT_OF_ORDER: (ErrorCode, i64) = (ErrorCode::OutOfOrderSequenceNumber, -1);

#[test]
fn the_last_five_batches_are_known_again() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let producer = (client.producer_id(), 0);
    client.must_produce("t", &batch(&[b"another's"]));
    for index in 0..7 {
        assert_eq!(send(&mut client, producer, index * 2, 2), (OK, 1 + i64::from(index) * 2));
    }
    for index in 2..7 {
        assert_eq!(send(&mut client, producer, index * 2, 2), (OK, 1 + i64::from(index) * 2), "batch {index} again");
    }
    for forgotten in 0..2 {
        assert_eq!(send(&mut client, producer, forgotten * 2, 2), OUT_OF_ORDER);
    }
    assert_eq!(client.values("t", 0).len(), 15, "each record once");
}

#[test]
fn a_gap_is_out_of_order_and_can_be_filled() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let producer = (client.producer_id(), 0);
    assert_eq!(send(&mut client, producer, 0, 1), (OK, 0));
    assert_eq!(send(&mut client, producer, 2, 1), OUT_OF_ORDER);
    assert_eq!(send(&mut client, producer, 1, 1), (OK, 1));
    assert_eq!(send(&mut client, producer, 2, 1), (OK, 2));
    // Part of a batch again, with another part: no duplicate, and not in sequence.
    assert_eq!(send(&mut client, producer, 1, 2), OUT_OF_ORDER);
}

#[test]
fn a_producer_unknown_here_may_begin_anywhere() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(send(&mut client, (4711, 3), 100, 1), (OK, 0));
    assert_eq!(send(&mut client, (4711, 3), 101, 1), (OK, 1));
}

#[test]
fn sequences_wrap_to_zero() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let producer = (client.producer_id(), 0);
    assert_eq!(send(&mut client, producer, i32::MAX - 1, 3), (OK, 0), "the batch itself goes over the end");
    assert_eq!(send(&mut client, producer, 1, 1), (OK, 3));
    assert_eq!(send(&mut client, producer, i32::MAX - 1, 3), (OK, 0), "and is known again");
    let other = (client.producer_id(), 0);
    assert_eq!(send(&mut client, other, i32::MAX, 1), (OK, 4));
    assert_eq!(send(&mut client, other, 1, 1), OUT_OF_ORDER);
    assert_eq!(send(&mut client, other, 0, 1), (OK, 5));
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let id = client.producer_id();
    assert_eq!(send(&mut client, (id, 1), 0, 1), (OK, 0));
    assert_eq!(send(&mut client, (id, 2), 5, 1), OUT_OF_ORDER);
    assert_eq!(send(&mut client, (id, 2), 0, 1), (OK, 1));
    assert_eq!(send(&mut client, (id, 1), 1, 1), (ErrorCode::InvalidProducerEpoch, -1));
}

#[test]
fn ids_are_never_given_twice() {
    let broker = Local::start(&[]);
    let mut ids: Vec<i64> = (0..20).map(|_| broker.client().producer_id()).collect();
    let broker = broker.restart(&[]);
    ids.extend((0..20).map(|_| broker.client().producer_id()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[test]
fn producers_outlive_a_clean_stop() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let producer = (client.producer_id(), 0);
    assert_eq!(send(&mut client, producer, 0, 3), (OK, 0));
    assert_eq!(send(&mut client, producer, 3, 3), (OK, 3));
    drop(client);
    let broker = broker.restart(&[]);
    let mut client = broker.client();
    assert_eq!(send(&mut client, producer, 3, 3), (OK, 3), "the retry of what was acknowledged before the stop");
    assert_eq!(send(&mut client, producer, 0, 3), (OK, 0));
    assert_eq!(send(&mut client, producer, 7, 1), OUT_OF_ORDER);
    assert_eq!(send(&mut client, producer, 6, 1), (OK, 6));
}

#[test]
fn producers_outlive_kill_9() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let producer = (client.producer_id(), 0);
    for index in 0..10 {
        assert_eq!(send(&mut client, producer, index, 1), (OK, i64::from(index)));
    }
    broker.kill();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    assert_eq!(send(&mut client, producer, 9, 1), (OK, 9));
    assert_eq!(send(&mut client, producer, 11, 1), OUT_OF_ORDER);
    assert_eq!(send(&mut client, producer, 10, 1), (OK, 10));
    assert_eq!(client.values("t", 0).len(), 11);
    assert!(broker.stop());
}
