//! Produce: acknowledgements, limits, and what is stored.

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        metadata::MetadataRequest,
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    record::{BatchBuilder, Codec, TimestampType},
};

use crate::{
    client::{
        PRODUCE, PRODUCE_BY_ID, batch, batches, compressed, error, fetch_by_id, now_ms, only_partition, produce_request,
    },
    harness::Local,
};

#[test]
fn what_is_acknowledged_is_read_back() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for (acks, offset) in [(1, 0), (-1, 2)] {
        let response = client.produce_acks("t", 0, &batch(&[b"a", b"b"]), acks);
        assert_eq!(
            (response.error_code, response.base_offset, response.log_start_offset),
            (0, offset, 0),
            "acks {acks}"
        );
        assert_eq!(response.log_append_time_ms, -1);
    }
    assert_eq!(client.values("t", 0), ["a", "b", "a", "b"]);
}

#[test]
fn acks_0_has_no_answer_and_an_error_closes() {
    let broker = Local::start(&["auto.create.topics.enable=false"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.send(PRODUCE, &produce_request("t", 0, &batch(&[b"silent"]), 0));
    // The next answer is the next request's.
    assert_eq!(client.must_produce("t", &batch(&[b"loud"])), 1);
    client.send(PRODUCE, &produce_request("missing", 0, &batch(&[b"lost"]), 0));
    client.expect_close();
    assert_eq!(broker.client().values("t", 0), ["silent", "loud"]);
}

#[test]
fn other_acks_are_refused() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for acks in [2, -2, i16::MAX] {
        let response = client.produce_acks("t", 0, &batch(&[b"a"]), acks);
        assert_eq!(error(response.error_code), ErrorCode::InvalidRequiredAcks);
        assert_eq!(response.base_offset, -1);
    }
    assert!(client.values("t", 0).is_empty());
}

#[test]
fn one_bad_partition_does_not_spoil_the_others() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    let partition_data = [(0, batch(&[b"good"])), (1, Bytes::from_static(b"no batch")), (7, batch(&[b"nowhere"]))]
        .map(|(index, records)| PartitionProduceData {
            index,
            records: Some(records),
            ..PartitionProduceData::default()
        })
        .to_vec();
    let topic = TopicProduceData { name: "t".to_owned(), partition_data, ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() };
    let answers = &client.call(PRODUCE, &request).responses[0].partition_responses;
    let codes: Vec<_> = answers.iter().map(|answer| (answer.index, error(answer.error_code))).collect();
    assert_eq!(codes[0], (0, ErrorCode::None));
    assert_eq!(codes[1].0, 1);
    assert!(matches!(codes[1].1, ErrorCode::CorruptMessage | ErrorCode::InvalidRecord), "{codes:?}");
    assert_eq!(codes[2], (7, ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn topics_are_named_by_id_from_version_13() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    let topic_id = client.create_topic("t", 1, &[]);
    let mut request = produce_request("", 0, &batch(&[b"by id"]), -1);
    request.topic_data[0].topic_id = topic_id;
    let response = client.call(PRODUCE_BY_ID, &request);
    assert_eq!(response.responses[0].topic_id, topic_id);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(client.values("t", 0), ["by id"]);

    request.topic_data[0].topic_id = felice_protocol::Uuid([7; 16]);
    let response = client.call(PRODUCE_BY_ID, &request);
    assert_eq!(error(response.responses[0].partition_responses[0].error_code), ErrorCode::UnknownTopicId);
    let fetched = client.call(17, &fetch_by_id(topic_id, 0));
    assert_eq!(batches(&only_partition(fetched)).len(), 1);
}

#[test]
fn max_message_bytes_is_the_batch_as_it_came() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    let limit = "2000";
    client.create_topic("t", 1, &[("max.message.bytes", limit)]);
    let plain = batch(&[&[b'x'; 3000]]);
    assert_eq!(error(client.produce("t", &plain).error_code), ErrorCode::MessageTooLarge);
    // The same bytes, compressed, fit.
    assert_eq!(client.must_produce("t", &compressed(Codec::Zstd, &[&[b'x'; 3000]])), 0);
    let exactly = batch(&[&vec![b'x'; 2000 - (plain.len() - 3000)]]);
    assert_eq!(exactly.len(), 2000);
    assert_eq!(client.must_produce("t", &exactly), 1);
}

#[test]
fn every_codec_is_stored_as_it_came() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for codec in codecs {
        client.must_produce("t", &compressed(codec, &[&[b'y'; 1000]]));
    }
    let stored: Vec<_> = batches(&client.fetch("t", 0)).iter().map(|batch| batch.header().codec().unwrap()).collect();
    assert_eq!(stored, codecs);
    assert_eq!(client.values("t", 0), vec![Bytes::from(vec![b'y'; 1000]); codecs.len()]);
}

#[test]
fn compression_type_recompresses() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    for (topic, setting, codec) in
        [("z", "zstd", Codec::Zstd), ("n", "uncompressed", Codec::None), ("l", "lz4", Codec::Lz4)]
    {
        client.create_topic(topic, 1, &[("compression.type", setting)]);
        client.must_produce(topic, &compressed(Codec::Gzip, &[b"one", &[b'z'; 5000]]));
        client.must_produce(topic, &batch(&[b"three"]));
        let data = client.fetch(topic, 0);
        for batch in batches(&data) {
            assert_eq!(batch.header().codec().unwrap(), codec, "{setting}");
        }
        assert_eq!(client.values(topic, 0), [&b"one"[..], &[b'z'; 5000], b"three"]);
    }
}

#[test]
fn log_append_time_is_the_brokers_clock() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let records = BatchBuilder::new(Codec::None).record(1000, None, Some(b"old")).build();
    let before = now_ms();
    let response = client.produce("t", &records);
    let after = now_ms();
    assert!((before..=after).contains(&response.log_append_time_ms), "{response:?}");
    // `batches` checks the CRC, which covers what was rewritten.
    let stored = batches(&client.fetch("t", 0));
    let header = stored[0].header();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, response.log_append_time_ms);
}

#[test]
fn timestamps_too_far_in_the_future_are_refused_record_by_record() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("message.timestamp.after.max.ms", "3600000")]);
    let tomorrow = now_ms() + 86_400_000;
    let records = BatchBuilder::new(Codec::None)
        .record(now_ms(), None, Some(b"now"))
        .record(tomorrow, None, Some(b"tomorrow"))
        .build();
    let response = client.produce("t", &records);
    assert_eq!(error(response.error_code), ErrorCode::InvalidTimestamp);
    assert_eq!(response.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1]);
}

#[test]
fn more_in_sync_replicas_than_there_are_cannot_be_asked_for() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[("min.insync.replicas", "2")]);
    assert_eq!(error(client.produce_acks("t", 0, &batch(&[b"a"]), -1).error_code), ErrorCode::None);
    assert_eq!(error(client.produce_acks("t", 0, &batch(&[b"b"]), 1).error_code), ErrorCode::None);
    assert_eq!(client.values("t", 0), ["a", "b"]);
}

#[test]
fn with_flush_messages_1_an_answer_means_readable_and_on_disk() {
    let broker = Local::start(&["log.flush.interval.messages=1"]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for index in 0..20 {
        assert_eq!(client.produce_acks("t", 0, &batch(&[b"v"]), 1).error_code, 0);
        // The high watermark counts what is flushed only, so an answer that came too early would show here.
        let data = client.fetch("t", index);
        assert_eq!((data.high_watermark, batches(&data).len()), (index + 1, 1));
    }
}

#[test]
fn old_versions_are_refused_and_the_broker_lives_on() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for version in [0, 1, 2] {
        let mut old = broker.client();
        // Header (no client id), acks 1, timeout, no topics.
        let frame = [0, 0, 0, 20, 0, 0, 0, version, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0];
        assert!(old.send_raw(&frame));
        old.expect_close();
    }
    // Zstandard came with version 7.
    let zstd = produce_request("t", 0, &compressed(Codec::Zstd, &[b"z"]), 1);
    let response = client.call(6, &zstd);
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(error(code), ErrorCode::UnsupportedCompressionType);
    assert_eq!(client.call(12, &MetadataRequest { topics: None, ..MetadataRequest::default() }).topics.len(), 1);
}
