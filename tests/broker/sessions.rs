//! Fetch sessions (KIP-227): incremental answers, epochs, eviction.

use felice_protocol::{
    error::ErrorCode,
    messages::fetch::{FetchRequest, FetchResponse, ForgottenTopic},
};

use crate::{
    client::{Client, FETCH, batch, batches, error, fetch_partition, fetch_request, waiting},
    harness::Local,
};

fn in_session(id: i32, epoch: i32, request: FetchRequest) -> FetchRequest {
    FetchRequest { session_id: id, session_epoch: epoch, ..request }
}

fn goes_on(id: i32, epoch: i32) -> FetchRequest {
    in_session(id, epoch, FetchRequest { min_bytes: 1, ..FetchRequest::default() })
}

fn begin(client: &mut Client, partitions: i32) -> i32 {
    let mut request = in_session(0, 0, fetch_request("t", 0));
    request.topics[0].partitions = (0..partitions).map(|index| fetch_partition(index, 0)).collect();
    let response = client.call(FETCH, &request);
    assert_eq!(error(response.error_code), ErrorCode::None);
    response.session_id
}

/// Partitions in an answer, with their numbers of batches.
fn told(response: &FetchResponse) -> Vec<(i32, usize)> {
    assert_eq!(error(response.error_code), ErrorCode::None);
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|data| (data.partition_index, batches(data).len())).collect()
}

#[test]
fn only_what_changed_is_told() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 3, &[]);
    let id = begin(&mut client, 3);
    assert_ne!(id, 0);
    assert_eq!(told(&client.call(FETCH, &goes_on(id, 1))), [], "nothing changed");
    broker.client().produce_acks("t", 1, &batch(&[b"news"]), 1);
    assert_eq!(told(&client.call(FETCH, &goes_on(id, 2))), [(1, 1)]);
    // The client has it, and says so by fetching from behind it.
    let mut next = goes_on(id, 3);
    next.topics = fetch_request("t", 1).topics;
    next.topics[0].partitions[0].partition = 1;
    assert_eq!(told(&client.call(FETCH, &next)), []);
    let mut forgetting = goes_on(id, 4);
    forgetting.forgotten_topics_data =
        vec![ForgottenTopic { topic: "t".to_owned(), partitions: vec![2], ..ForgottenTopic::default() }];
    broker.client().produce_acks("t", 2, &batch(&[b"unheard"]), 1);
    assert_eq!(told(&client.call(FETCH, &forgetting)), []);
    broker.client().produce_acks("t", 0, &batch(&[b"heard"]), 1);
    assert_eq!(told(&client.call(FETCH, &waiting(goes_on(id, 5)))), [(0, 1)]);
}

#[test]
fn an_incremental_fetch_is_woken() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 3, &[]);
    let id = begin(&mut client, 3);
    let mut next = goes_on(id, 1);
    for epoch in 1..20 {
        next.session_epoch = epoch;
        client.send(FETCH, &waiting(next));
        let partition = epoch % 3;
        let offset = broker.client().produce_acks("t", partition, &batch(&[b"v"]), 1).base_offset;
        assert_eq!(told(&client.receive::<FetchResponse>(FETCH).1), [(partition, 1)], "epoch {epoch}");
        // From behind what it has.
        next = goes_on(id, 0);
        next.topics = fetch_request("t", 0).topics;
        next.topics[0].partitions = vec![fetch_partition(partition, offset + 1)];
    }
}

#[test]
fn a_wrong_epoch_or_id_is_told() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let id = begin(&mut client, 1);
    for epoch in [2, 5, i32::MAX] {
        let response = client.call(FETCH, &goes_on(id, epoch));
        assert_eq!(error(response.error_code), ErrorCode::InvalidFetchSessionEpoch, "{epoch}");
    }
    assert_eq!(error(client.call(FETCH, &goes_on(id, 1)).error_code), ErrorCode::None, "and the session lives on");
    let response = client.call(FETCH, &goes_on(id.wrapping_add(1).max(1), 1));
    assert_eq!(error(response.error_code), ErrorCode::FetchSessionIdNotFound);
    // Epoch -1 ends it.
    let response = client.call(FETCH, &in_session(id, -1, fetch_request("t", 0)));
    assert_eq!((error(response.error_code), response.session_id), (ErrorCode::None, 0));
    let response = client.call(FETCH, &goes_on(id, 2));
    assert_eq!(error(response.error_code), ErrorCode::FetchSessionIdNotFound);
}

#[test]
fn without_room_there_is_no_session_and_larger_ones_must_wait_for_small_ones_to_settle() {
    let broker = Local::start(&["max.incremental.fetch.session.cache.slots=2"]);
    let mut client = broker.client();
    client.create_topic("t", 3, &[]);
    let ids: Vec<i32> = (0..3).map(|_| begin(&mut client, 1)).collect();
    assert!(ids[0] != 0 && ids[1] != 0);
    assert_eq!(ids[2], 0, "both slots are taken by sessions in use");
    assert_eq!(error(client.call(FETCH, &goes_on(ids[0], 1)).error_code), ErrorCode::None);
    // One that ends makes room.
    client.call(FETCH, &in_session(ids[1], -1, FetchRequest::default()));
    assert_ne!(begin(&mut client, 1), 0);

    let none = Local::start(&["max.incremental.fetch.session.cache.slots=0"]);
    let mut client = none.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(begin(&mut client, 1), 0);
}
