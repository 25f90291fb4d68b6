//! Payloads are never copied: what is decoded shares the frame's memory, what is encoded is spliced by reference.

use bytes::Bytes;
use felice_protocol::{
    api::{Frame, Message, parse_request_header, parse_response, write_request, write_response},
    messages::{FetchResponse, ProduceRequest, fetch, produce},
    wire::{Chunk, Malformed, Records, SPLICE_MIN, Unencodable},
};

/// Sizes around the one from which on payloads are spliced, and one that is common.
const SIZES: [usize; 5] = [1, SPLICE_MIN - 1, SPLICE_MIN, SPLICE_MIN + 1, 16 * 1024];

fn payloads() -> Vec<Bytes> {
    SIZES.iter().map(|size| Bytes::from(vec![*size as u8; *size])).collect()
}

fn produce_request() -> ProduceRequest {
    let partition =
        |records| produce::PartitionProduceData { records: Some(records), ..produce::PartitionProduceData::default() };
    let topic = |name: &str| produce::TopicProduceData {
        name: name.to_owned(),
        partition_data: payloads().into_iter().map(partition).collect(),
        ..produce::TopicProduceData::default()
    };
    ProduceRequest { topic_data: vec![topic("a"), topic("b")], ..ProduceRequest::default() }
}

fn produced(request: &ProduceRequest) -> Vec<&Bytes> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.map(|partition| partition.records.as_ref().unwrap()).collect()
}

fn fetch_response() -> FetchResponse {
    let partition =
        |records| fetch::PartitionData { records: Some(Records::Bytes(records)), ..fetch::PartitionData::default() };
    let topic = || fetch::FetchableTopicResponse {
        partitions: payloads().into_iter().map(partition).collect(),
        ..fetch::FetchableTopicResponse::default()
    };
    FetchResponse { responses: vec![topic(), topic()], ..FetchResponse::default() }
}

fn fetched(response: &FetchResponse) -> Vec<&Bytes> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().and_then(Records::bytes).unwrap()).collect()
}

/// Each payload of 512 bytes and more is a chunk of its own, the very same memory; the others were copied.
fn assert_spliced(frame: &Frame, payloads: &[&Bytes]) {
    let chunks: Vec<&Bytes> = frame
        .chunks
        .iter()
        .map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes,
            Chunk::File(range) => panic!("there is no file here: {range:?}"),
        })
        .collect();
    assert_eq!(payloads.len(), 2 * SIZES.len());
    for payload in payloads {
        let spliced = chunks.iter().any(|chunk| (chunk.as_ptr(), chunk.len()) == (payload.as_ptr(), payload.len()));
        assert_eq!(spliced, payload.len() >= SPLICE_MIN, "{} bytes", payload.len());
    }
}

/// Each payload lies within the frame's memory.
fn assert_shared(frame: &Bytes, payloads: &[&Bytes]) {
    assert_eq!(payloads.len(), 2 * SIZES.len());
    let memory = frame.as_ptr_range();
    for (payload, size) in payloads.iter().zip(SIZES.iter().cycle()) {
        assert_eq!(payload.len(), *size);
        let range = payload.as_ptr_range();
        assert!(memory.start <= range.start && range.end <= memory.end, "{size} bytes were copied");
    }
}

#[test]
fn produced_batches_are_not_copied() {
    let versions = ProduceRequest::API.versions();
    for version in versions.min..=versions.max {
        let request = produce_request();
        let frame = write_request(1, version, None, &request).unwrap();
        assert_spliced(&frame, &produced(&request));
        let frame = frame.to_bytes().slice(4..);
        let (_, body) = parse_request_header(&frame).unwrap();
        assert_shared(&frame, &produced(&ProduceRequest::decode(&body, version).unwrap()));
    }
}

#[test]
fn fetched_batches_are_not_copied() {
    let versions = FetchResponse::API.versions();
    for version in versions.min..=versions.max {
        let response = fetch_response();
        let frame = write_response(1, version, &response).unwrap();
        assert_spliced(&frame, &fetched(&response));
        let frame = frame.to_bytes().slice(4..);
        let (_, response) = parse_response::<FetchResponse>(&frame, version).unwrap();
        assert_shared(&frame, &fetched(&response));
    }
}

#[test]
fn errors_are_one_pointer() {
    assert_eq!(size_of::<Result<(), Malformed>>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Unencodable>>(), size_of::<usize>());
}
