//! Batches that are not what they say: bombs, and counts and offsets that do not add up.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{LazyLock, Mutex},
};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    messages::produce::PartitionProduceData,
    record::{Attributes, BatchBuilder, BatchHeader, Codec, Compression, HEADER_LEN, Record},
};
use tempfile::TempDir;

use super::{Bystander, MIB, crowd};
use crate::{
    client::{Client, PRODUCE, batch, error, now_ms, produce_request},
    harness::{Local, Process},
};

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Zeros, compressed: `megabytes` of them in far fewer bytes, sealed as a batch that claims one record of just now.
fn bomb(codec: Codec, megabytes: usize) -> Bytes {
    type Made = HashMap<(Codec, usize), Bytes>;
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    MADE.lock().unwrap().entry((codec, megabytes)).or_insert_with(|| make_bomb(codec, megabytes)).clone()
}

fn make_bomb(codec: Codec, megabytes: usize) -> Bytes {
    let mut payload = Vec::new();
    felice_protocol::record::compress(Compression::new(codec), &vec![0; megabytes << 20], &mut payload).unwrap();
    let mut header = BatchHeader::parse(&batch(&[b"v"])).unwrap();
    header.attributes = Attributes(header.attributes.0 | codec as i16);
    header.max_timestamp = now_ms();
    header.batch_length = i32::try_from(payload.len() + HEADER_LEN - 12).unwrap();
    [&header.to_bytes_with_crc(&payload)[..], &payload].concat().into()
}

/// A topic for each `compression.type` that opens what comes.
pub fn make_topics(client: &mut Client) {
    for target in ["gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"] {
        let configs = [("compression.type", target), ("max.message.bytes", "8388608")];
        client.create_topic(&format!("bombs-{target}"), 4, &configs);
    }
}

/// Bombs within and beyond what may be opened, to partitions that must open them, many in one request.
pub fn drop_bombs(address: SocketAddr, targets: &[&str], sizes: &[usize]) {
    let mut client = Client::connect(address);
    for codec in CODECS {
        for &megabytes in sizes {
            let bomb = bomb(codec, megabytes);
            for target in targets.iter().filter(|target| **target != codec.name()) {
                let mut request = produce_request(&format!("bombs-{target}"), 0, &bomb, -1);
                request.topic_data[0].partition_data = (0..4)
                    .map(|index| PartitionProduceData { index, records: Some(bomb.clone()), ..Default::default() })
                    .collect();
                let response = client.call(PRODUCE, &request);
                for answer in &response.responses[0].partition_responses {
                    assert!(
                        matches!(error(answer.error_code), ErrorCode::InvalidRecord | ErrorCode::UnknownServerError),
                        "{codec:?} of {megabytes} MB to {target}: {answer:?}"
                    );
                }
            }
        }
    }
}

/// Stores bombs where nothing opens them, and asks for offsets by time, which does.
pub fn look_into_bombs(address: SocketAddr) {
    let mut client = Client::connect(address);
    for codec in CODECS {
        for _ in 0..3 {
            let answer = client.produce("bombs-producer", &bomb(codec, 20));
            assert_eq!(error(answer.error_code), ErrorCode::None, "what is not opened is stored as it comes");
        }
    }
    let partition = ListOffsetsPartition { timestamp: now_ms() - 60_000, ..ListOffsetsPartition::default() };
    let topic =
        ListOffsetsTopic { name: "bombs-producer".to_owned(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic; 1], ..ListOffsetsRequest::default() };
    let answer = client.call(7, &request).topics.remove(0).partitions.remove(0);
    assert_eq!(error(answer.error_code), ErrorCode::None);
}

#[test]
fn bombs_are_defused_few_at_a_time() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    make_topics(&mut broker.client());
    let bystander = Bystander::start(broker.address());
    let before = broker.resident();
    crowd(4, |index| match index {
        0 => look_into_bombs(broker.address()),
        1 => drop_bombs(broker.address(), &["gzip"], &[80]),
        2 => drop_bombs(broker.address(), &["uncompressed"], &[80]),
        _ => drop_bombs(broker.address(), &["lz4"], &[20]),
    });
    bystander.was_served();
    // As many bombs at a time as there are processors, each with 64 MiB of output and what that is compressed to.
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    let grown = broker.peak().saturating_sub(before);
    assert!(grown < 64 * MIB + processors * 160 * MIB, "{grown} bytes");
}

/// A batch whose header was changed after it was made, with a CRC that fits.
fn forged(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut bytes = batch.to_vec();
    let mut header = BatchHeader::parse(&bytes).unwrap();
    change(&mut header);
    let (head, payload) = bytes.split_at_mut(HEADER_LEN);
    head.copy_from_slice(&header.to_bytes_with_crc(payload));
    bytes.into()
}

/// A batch with records at these offsets, and a header that claims what it should.
fn at_offsets(codec: Codec, offsets: &[i64]) -> Bytes {
    let mut sorted = offsets.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let record = |offset: &i64| Record {
        offset: *offset,
        timestamp: now_ms(),
        key: None,
        value: Some(Bytes::from_static(b"v")),
        headers: Vec::new(),
    };
    let mut builder = BatchBuilder::new(Codec::None);
    for offset in &sorted {
        builder.push(&record(offset));
    }
    let whole = builder.build();
    // Records of one value have one length, so they can change places.
    let payload = &whole[HEADER_LEN..];
    let size = payload.len() / sorted.len();
    let shuffled: Vec<u8> = offsets
        .iter()
        .flat_map(|offset| {
            let at = sorted.iter().position(|other| other == offset).unwrap();
            payload[at * size..(at + 1) * size].to_vec()
        })
        .collect();
    let mut compressed = Vec::new();
    felice_protocol::record::compress(Compression::new(codec), &shuffled, &mut compressed).unwrap();
    let mut header = BatchHeader::parse(&whole).unwrap();
    header.attributes = header.attributes.with_codec(codec);
    header.record_count = i32::try_from(offsets.len()).unwrap();
    header.last_offset_delta = header.record_count - 1;
    header.batch_length = i32::try_from(compressed.len() + HEADER_LEN - 12).unwrap();
    [&header.to_bytes_with_crc(&compressed)[..], &compressed].concat().into()
}

#[test]
fn batches_that_do_not_add_up_are_refused_and_leave_nothing() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("plain", 1, &[]);
    client.create_topic("opens", 1, &[("compression.type", "uncompressed")]);
    let three = batch(&[b"one", b"two", b"six"]);
    let zipped = crate::client::compressed(Codec::Gzip, &[b"one", b"two", b"six"]);
    let claims = |count: i32, delta: i32| {
        move |header: &mut BatchHeader| (header.record_count, header.last_offset_delta) = (count, delta)
    };
    let based = |base_offset: i64| move |header: &mut BatchHeader| header.base_offset = base_offset;
    let invalid = ErrorCode::InvalidRecord;
    for (name, records, expected) in [
        ("more records than there are", forged(&three, claims(i32::MAX, i32::MAX - 1)), invalid),
        ("the same, compressed", forged(&zipped, claims(i32::MAX, i32::MAX - 1)), invalid),
        ("fewer records than there are", forged(&three, claims(2, 1)), invalid),
        ("the same, compressed", forged(&zipped, claims(2, 1)), invalid),
        ("a count beyond its last offset", forged(&zipped, claims(3, 1)), invalid),
        ("a last offset beyond its count", forged(&zipped, claims(3, i32::MAX)), invalid),
        ("a negative count", forged(&zipped, claims(i32::MIN, i32::MIN)), invalid),
        ("a negative last offset", forged(&zipped, claims(3, -1)), invalid),
        ("a count of 0 and a last offset of -1", forged(&zipped, claims(0, -1)), invalid),
        ("a huge base offset", forged(&three, based(i64::MAX)), invalid),
        ("a negative base offset", forged(&three, based(i64::MIN)), invalid),
        ("a negative length", forged(&three, |header| header.batch_length = -1), ErrorCode::CorruptMessage),
        ("a length of 2 GiB", forged(&three, |header| header.batch_length = i32::MAX), invalid),
        ("offsets out of order", at_offsets(Codec::None, &[0, 2, 1]), invalid),
        ("the same, compressed", at_offsets(Codec::Zstd, &[0, 2, 1]), invalid),
        ("an offset twice", at_offsets(Codec::None, &[0, 1, 1]), invalid),
        ("an offset left out", at_offsets(Codec::Lz4, &[0, 1, 3]), invalid),
    ] {
        // Where compressed batches are not opened, only what the header says can be refused.
        let response = client.produce("opens", &records);
        assert_eq!((error(response.error_code), response.base_offset), (expected, -1), "{name}: {response:?}");
    }
    for records in [
        forged(&three, claims(i32::MAX, i32::MAX - 1)),
        forged(&zipped, claims(3, i32::MAX)),
        forged(&zipped, claims(-1, -2)),
        at_offsets(Codec::None, &[0, 2, 1]),
    ] {
        assert_eq!(error(client.produce("plain", &records).error_code), invalid);
    }
    for topic in ["opens", "plain"] {
        assert_eq!(client.must_produce(topic, &batch(&[b"good"])), 0);
        assert_eq!(client.values(topic, 0), ["good"]);
    }
}

#[test]
fn lengths_within_records_that_lie_are_refused() {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let good = batch(&[b"value"]);
    // Every byte of the record set to what makes a varint large, negative, or endless.
    for at in HEADER_LEN..good.len() {
        for lie in [0x00, 0x01, 0x7e, 0x7f, 0xff] {
            let mut bytes = good.to_vec();
            if std::mem::replace(&mut bytes[at], lie) == lie {
                continue;
            }
            let answer = client.produce("t", &forged(&bytes.into(), |_| {}));
            // A key or value may be any byte, and a timestamp's delta any that is not too late.
            let told = error(answer.error_code);
            let fine =
                [ErrorCode::None, ErrorCode::InvalidRecord, ErrorCode::InvalidTimestamp, ErrorCode::CorruptMessage];
            assert!(fine.contains(&told), "{lie:#x} at {at}: {answer:?}");
        }
    }
    client.must_produce("t", &batch(&[b"good"]));
    assert_eq!(client.values("t", 0).last().unwrap(), "good");
}
