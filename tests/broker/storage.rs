//! A disk that fails for a while: what could not be done is done once it can be.

use std::fs;

use felice_protocol::error::ErrorCode;
use tempfile::TempDir;

use crate::{
    client::{batch, error, idempotent, produce_request},
    harness::Local,
};

#[test]
fn a_partition_that_could_not_be_made_is_made_when_it_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let obstacle = folder.path().join("late-0");
    let broker = Local::start_in(folder, &[]);
    let mut client = broker.client();
    fs::write(&obstacle, "in the way").unwrap();
    client.create_topic("late", 1, &[]);
    assert_eq!(error(client.produce("late", &batch(&[b"a"])).error_code), ErrorCode::KafkaStorageError);
    fs::remove_file(&obstacle).unwrap();
    assert_eq!(client.must_produce("late", &batch(&[b"a"])), 0);
}

#[test]
fn a_topic_that_could_not_be_made_whole_can_be_deleted_and_made_again() {
    let folder = TempDir::new().unwrap();
    let obstacle = folder.path().join("half-0/00000000000000000000.log");
    let broker = Local::start_in(folder, &[]);
    let mut client = broker.client();
    fs::create_dir_all(&obstacle).unwrap();
    client.create_topic("half", 1, &[]);
    assert_eq!(error(client.produce("half", &batch(&[b"a"])).error_code), ErrorCode::KafkaStorageError);
    client.delete_topic("half");
    client.create_topic("half", 1, &[]);
    assert_eq!(client.must_produce("half", &batch(&[b"a"])), 0);
}

/// Its producer sends the same batch again, which adds nothing that would ask for another flush.
#[test]
fn a_flush_that_failed_for_a_while_is_tried_again() {
    let folder = TempDir::new().unwrap();
    let obstacle = folder.path().join("safe-0/leader-epoch-checkpoint");
    let broker = Local::start_in(folder, &[]);
    let mut client = broker.client();
    client.create_topic("safe", 1, &[("flush.messages", "1")]);
    let _ = fs::remove_file(&obstacle);
    fs::create_dir(&obstacle).unwrap();
    let producer = (client.producer_id(), 0);
    let mut request = produce_request("safe", 0, &idempotent(producer, 0, &[b"a"]), -1);
    let mut send = |timeout_ms| {
        request.timeout_ms = timeout_ms;
        let response = client.call(9, &request);
        error(response.responses[0].partition_responses[0].error_code)
    };
    assert_eq!(send(50), ErrorCode::RequestTimedOut);
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(send(10_000), ErrorCode::None);
}
