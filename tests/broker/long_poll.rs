//! Fetches that wait: woken by what they wait for, never by a clock. Each waits for longer than a test may take, so one
//! that is answered at all was woken by the event.

use felice_protocol::{
    error::ErrorCode,
    messages::{
        fetch::{FetchRequest, FetchResponse},
        metadata::MetadataRequest,
    },
};

use crate::{
    client::{
        Client, FETCH, FETCH_BY_ID, batch, batches, error, fetch_by_id, fetch_partition, fetch_request, only_partition,
        waiting,
    },
    harness::Local,
};

/// Waits until what `client` sent before has been read: a request behind it is answered only after it, so another way is
/// needed. The broker reads one connection's requests in order; a produce that comes behind tells by its effect.
fn parked(broker: &Local, client: &mut Client, topic: &str, request: &FetchRequest) {
    let before = broker.client().fetch(topic, 0).high_watermark;
    client.send(FETCH, request);
    client.send(11, &crate::client::produce_request("marks", 0, &batch(&[b"m"]), 0));
    let mut other = broker.client();
    let mut marks = 0;
    // Waits on the broker's side, event by event.
    while marks == 0 {
        let data = only_partition(other.call(FETCH, &waiting(fetch_request("marks", 0))));
        marks = data.high_watermark;
    }
    assert_eq!(broker.client().fetch(topic, 0).high_watermark, before);
}

#[test]
fn one_record_wakes() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.create_topic("marks", 1, &[]);
    parked(&broker, &mut client, "t", &waiting(fetch_request("t", 0)));
    broker.client().must_produce("t", &batch(&[b"news"]));
    let data = only_partition(client.receive::<FetchResponse>(FETCH).1);
    assert_eq!((batches(&data).len(), data.high_watermark), (1, 1));
}

#[test]
fn min_bytes_are_waited_for() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.create_topic("marks", 1, &[]);
    let request = FetchRequest { min_bytes: 10_000, ..waiting(fetch_request("t", 0)) };
    parked(&broker, &mut client, "t", &request);
    let mut producer = broker.client();
    for _ in 0..10 {
        producer.must_produce("t", &batch(&[&[b'b'; 1000]]));
    }
    let data = only_partition(client.receive::<FetchResponse>(FETCH).1);
    let bytes: usize = batches(&data).iter().map(|batch| batch.bytes().len()).sum();
    assert!(bytes >= 10_000, "answered with {bytes} bytes");
}

#[test]
fn a_fetch_behind_a_waiting_one_is_not_answered_from_an_earlier_time() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.create_topic("marks", 1, &[]);
    parked(&broker, &mut client, "t", &waiting(fetch_request("t", 0)));
    client.send(FETCH, &FetchRequest { max_wait_ms: 0, ..fetch_request("t", 0) });
    client.send(FETCH, &fetch_request("t", 0));
    // What comes behind them has happened, so they have been read while there is nothing to tell.
    let marks = broker.client().fetch("marks", 0).high_watermark;
    client.send(11, &crate::client::produce_request("marks", 0, &batch(&[b"m"]), 0));
    only_partition(broker.client().call(FETCH, &waiting(fetch_request("marks", marks))));
    broker.client().must_produce("t", &batch(&[b"news"]));
    let mut told = (0..3).map(|_| only_partition(client.receive::<FetchResponse>(FETCH).1).high_watermark);
    let first = told.next().unwrap();
    assert!(first >= 1);
    assert!(told.all(|later| later >= first), "the high watermark went backwards");
}

#[test]
fn time_up_is_an_empty_answer() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let started = std::time::Instant::now();
    let request = FetchRequest { max_wait_ms: 200, ..fetch_request("t", 0) };
    let data = only_partition(client.call(FETCH, &request));
    assert!(started.elapsed().as_millis() >= 200);
    assert_eq!((data.error_code, batches(&data).len()), (0, 0));
}

#[test]
fn any_of_many_partitions_wakes() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 50, &[]);
    client.create_topic("marks", 1, &[]);
    let mut request = waiting(fetch_request("t", 0));
    request.topics[0].partitions = (0..50).map(|index| fetch_partition(index, 0)).collect();
    parked(&broker, &mut client, "t", &request);
    broker.client().produce_acks("t", 42, &batch(&[b"news"]), 1);
    let response: FetchResponse = client.receive(FETCH).1;
    let with_data: Vec<_> = response.responses[0].partitions.iter().filter(|data| !batches(data).is_empty()).collect();
    assert_eq!(with_data.iter().map(|data| data.partition_index).collect::<Vec<_>>(), [42]);
}

#[test]
fn a_deletion_wakes() {
    let broker = Local::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    let topic_id = client.create_topic("t", 1, &[]);
    client.create_topic("marks", 1, &[]);
    parked(&broker, &mut client, "t", &waiting(fetch_request("t", 0)));
    broker.client().delete_topic("t");
    let data = only_partition(client.receive::<FetchResponse>(FETCH).1);
    assert!(
        matches!(error(data.error_code), ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower),
        "{data:?}"
    );
    let data = only_partition(client.call(FETCH_BY_ID, &fetch_by_id(topic_id, 0)));
    assert_eq!(error(data.error_code), ErrorCode::UnknownTopicId);
}

#[test]
fn a_parked_fetch_does_not_stop_later_requests_and_answers_keep_their_order() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let first = client.send(FETCH, &waiting(fetch_request("t", 0)));
    let metadata = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    let second = client.send(12, &metadata);
    // Sent behind the parked fetch on the same connection, it is what wakes it: it was read.
    let third = client.send(11, &crate::client::produce_request("t", 0, &batch(&[b"own"]), -1));
    let (correlation_id, fetched) = client.receive::<FetchResponse>(FETCH);
    assert_eq!((correlation_id, batches(&only_partition(fetched)).len()), (first, 1));
    assert_eq!(client.receive::<felice_protocol::messages::metadata::MetadataResponse>(12).0, second);
    assert_eq!(client.receive::<felice_protocol::messages::produce::ProduceResponse>(11).0, third);
}

#[test]
fn a_clean_stop_releases_long_polls_and_answers_what_was_read() {
    let broker = Local::start(&[]);
    let mut clients: Vec<Client> = (0..10).map(|_| broker.client()).collect();
    clients[0].create_topic("t", 1, &[]);
    clients[0].create_topic("marks", 1, &[]);
    for client in &mut clients {
        let marks = broker.client().fetch("marks", 0).high_watermark;
        client.send(FETCH, &waiting(fetch_request("t", 0)));
        client.send(11, &crate::client::produce_request("marks", 0, &batch(&[b"m"]), 1));
        let mut other = broker.client();
        only_partition(other.call(FETCH, &waiting(fetch_request("marks", marks))));
    }
    let folder = broker.stop();
    for client in &mut clients {
        let data = only_partition(client.receive::<FetchResponse>(FETCH).1);
        assert_eq!((data.error_code, batches(&data).len()), (0, 0));
        let produced: felice_protocol::messages::produce::ProduceResponse = client.receive(11).1;
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
        client.expect_close();
    }
    let clean = folder.path().join(".kafka_cleanshutdown");
    assert!(clean.exists(), "the stop was clean");
}
