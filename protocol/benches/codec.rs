//! Decoding and encoding against the crate `kafka-protocol` (generated from Kafka's schemas), on the same bytes.
//!
//!     cargo bench -p felice-protocol
//!
//! Both decode from `Bytes`. Encoded, theirs is one buffer with the payloads copied in; ours is a list of chunks with
//! the payloads by reference, as `write_vectored` takes it.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use felice_protocol::{
    Uuid,
    api::Message,
    messages::{FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest, fetch, metadata, produce},
    record::{BatchBuilder, Codec},
    wire::Writer,
};
use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable},
};

criterion_group!(benches, codec);
criterion_main!(benches);

fn codec(criterion: &mut Criterion) {
    // Versions that clients send and both know.
    compare::<_, theirs::ProduceRequest>(criterion, "Produce request", 12, produce_request());
    compare::<_, theirs::FetchResponse>(criterion, "Fetch response", 17, fetch_response());
    compare::<_, theirs::MetadataRequest>(criterion, "Metadata request", 12, metadata_request());
    compare::<_, theirs::MetadataResponse>(criterion, "Metadata response, 2,000 topics", 12, metadata_response());
}

fn compare<Ours: Message, Theirs: Decodable + Encodable>(
    criterion: &mut Criterion,
    name: &str,
    version: i16,
    message: Ours,
) {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("a message of this version");
    // A part of its frame, as a connection has it.
    let frame = w.into_bytes();
    let body = frame.slice(..);
    let same = Theirs::decode(&mut body.clone(), version).expect("they know the version");

    let mut group = criterion.benchmark_group(format!("{name}: decode"));
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("ours", |bencher| bencher.iter(|| Ours::decode(black_box(&body), version)));
    group.bench_function("kafka-protocol", |bencher| {
        bencher.iter(|| Theirs::decode(&mut black_box(&body).clone(), version));
    });
    group.finish();

    let mut group = criterion.benchmark_group(format!("{name}: encode"));
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            let mut w = Writer::new();
            black_box(&message).encode(&mut w, version).expect("as before");
            w.finish()
        });
    });
    group.bench_function("kafka-protocol", |bencher| {
        bencher.iter(|| {
            let mut buffer = BytesMut::new();
            black_box(&same).encode(&mut buffer, version).expect("as before");
            buffer.freeze()
        });
    });
    group.finish();
}

fn topic_name(index: usize) -> String {
    format!("orders.by-customer.{index:04}")
}

/// Five topics of four partitions, a batch of about 1 KiB each.
fn produce_request() -> ProduceRequest {
    let partition = |index| produce::PartitionProduceData {
        index,
        records: Some(batch(10)),
        ..produce::PartitionProduceData::default()
    };
    let topic = |index| produce::TopicProduceData {
        name: topic_name(index),
        partition_data: (0..4).map(partition).collect(),
        ..produce::TopicProduceData::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: (0..5).map(topic).collect(),
        ..ProduceRequest::default()
    }
}

/// Five topics of ten partitions, about 16 KiB each.
fn fetch_response() -> FetchResponse {
    let partition = |partition_index| fetch::PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: Some(batch(160).into()),
        ..fetch::PartitionData::default()
    };
    let topic = |index: u8| fetch::FetchableTopicResponse {
        topic_id: Uuid([index + 1; 16]),
        partitions: (0..10).map(partition).collect(),
        ..fetch::FetchableTopicResponse::default()
    };
    FetchResponse { session_id: 77, responses: (0..5).map(topic).collect(), ..FetchResponse::default() }
}

/// Ten topics by name.
fn metadata_request() -> MetadataRequest {
    let topic = |index| metadata::MetadataRequestTopic {
        name: Some(topic_name(index)),
        ..metadata::MetadataRequestTopic::default()
    };
    MetadataRequest { topics: Some((0..10).map(topic).collect()), ..MetadataRequest::default() }
}

/// Three brokers, 2,000 topics, three partitions of three replicas each.
fn metadata_response() -> MetadataResponse {
    let broker = |node_id| metadata::MetadataResponseBroker {
        node_id,
        host: format!("broker-{node_id}.example.com"),
        port: 9092,
        rack: Some(format!("rack-{node_id}")),
        ..metadata::MetadataResponseBroker::default()
    };
    let partition = |partition_index| metadata::MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        leader_epoch: 5,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..metadata::MetadataResponsePartition::default()
    };
    let topic = |index: usize| metadata::MetadataResponseTopic {
        name: Some(topic_name(index)),
        topic_id: Uuid((index as u128 + 1).to_be_bytes()),
        partitions: (0..3).map(partition).collect(),
        ..metadata::MetadataResponseTopic::default()
    };
    MetadataResponse {
        brokers: (1..=3).map(broker).collect(),
        cluster_id: Some("kafka-cluster-in-a-bench".to_owned()),
        controller_id: 1,
        topics: (0..2000).map(topic).collect(),
        ..MetadataResponse::default()
    }
}

/// Records of about 100 bytes each.
fn batch(records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..records {
        let key = format!("customer-{index:06}");
        builder = builder.record(1_700_000_000_000, Some(key.as_bytes()), Some(&[b'v'; 75]));
    }
    builder.build()
}
