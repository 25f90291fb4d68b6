//! Record batches against those that Kafka's own classes made (`data/batches/BatchVectors.java`), and against
//! damage: cut, changed and hostile bytes are errors, in bounded memory.

#[path = "common/memory.rs"]
mod memory;

use std::collections::HashMap;

use bytes::Bytes;
use felice_protocol::{
    Uuid,
    record::{
        Batch, BatchBuilder, BatchError, Codec, Compression, CompressionError, ControlType, EndTransactionMarker,
        HEADER_LEN, Header, NO_SEQUENCE, NO_TIMESTAMP, Record, TimestampType, compress, decompress,
        quorum::{
            Endpoint, KRaftVersionFeature, KRaftVersionRecord, LeaderChangeMessage, QuorumRecord, SnapshotFooterRecord,
            SnapshotHeaderRecord, Voter, VoterState, VotersRecord,
        },
        recompress,
    },
};
use memory::peak;
use proptest::prelude::*;

const TIME: i64 = 1_700_000_000_000;
const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

// ---- Kafka's own batches

fn vectors() -> HashMap<&'static str, Batch> {
    let lines = include_str!("data/batches/vectors.tsv").lines();
    lines
        .map(|line| {
            let (name, hex) = line.split_once('\t').unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Bytes = (0..hex.len()).step_by(2).map(byte).collect();
            let (batch, rest) = Batch::split_first(&bytes).unwrap();
            assert!(rest.is_empty(), "{name}");
            batch.verify_crc().unwrap();
            (name, batch)
        })
        .collect()
}

fn records(batch: &Batch) -> Vec<Record> {
    batch.records(1 << 20).unwrap().collect::<Result<_, _>>().unwrap()
}

fn record(offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
    let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    Record { offset, timestamp, key: owned(key), value: owned(value), headers: Vec::new() }
}

/// What `BatchVectors.plain` appends.
fn plain() -> Vec<Record> {
    let mut with_headers = record(104, TIME + 5, Some(b""), Some(b""));
    with_headers.headers = vec![
        Header { key: Bytes::from("h"), value: Some(Bytes::from("1")) },
        Header { key: Bytes::from("h"), value: None },
        Header { key: Bytes::from("é"), value: Some(Bytes::new()) },
    ];
    vec![
        record(100, TIME, Some(b"key"), Some(b"value")),
        record(101, TIME + 10, None, Some(b"no key")),
        record(102, TIME - 10, Some(b"no value"), None),
        record(103, TIME + 5, None, None),
        with_headers,
        record(105, TIME + 5, Some(&[0; 300]), Some(&[b'x'; 70])),
    ]
}

/// What `BatchVectors.large` appends.
fn large() -> Vec<Record> {
    let value = |i: usize| (0..50_000).map(|j| b'a' + ((j / 100 + i) % 26) as u8).collect::<Vec<u8>>();
    (0..5).map(|i| record(i as i64, TIME + i as i64, None, Some(&value(i)))).collect()
}

fn plain_builder(compression: impl Into<Compression>) -> BatchBuilder {
    BatchBuilder::new(compression).base_offset(100).leader_epoch(9)
}

fn build(mut builder: BatchBuilder, records: &[Record]) -> Bytes {
    records.iter().for_each(|record| builder.push(record));
    builder.build()
}

#[test]
fn kafkas_batches_are_read() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 44);
    for codec in Codec::ALL {
        let batch = &vectors[&*format!("plain-{}", codec.name())];
        assert_eq!(batch.header().codec(), Ok(codec));
        assert_eq!((batch.header().last_offset(), batch.header().max_timestamp), (105, TIME + 10));
        assert_eq!(batch.header().partition_leader_epoch, 9);
        assert_eq!(records(batch), plain(), "{codec:?}");
    }
    for codec in COMPRESSED {
        assert_eq!(records(&vectors[&*format!("large-{}", codec.name())]), large(), "{codec:?}");
    }
    let stamped = &vectors["append-time"];
    assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
    let same_time = plain().into_iter().map(|record| Record { timestamp: TIME + 77, ..record });
    assert_eq!(records(stamped), same_time.collect::<Vec<_>>());
}

#[test]
fn kafkas_control_records_are_read() {
    let vectors = vectors();
    for (name, committed) in [("commit", true), ("abort", false)] {
        let batch = &vectors[name];
        assert!(batch.header().is_control() && batch.header().is_transactional());
        assert_eq!(batch.header().last_sequence(), NO_SEQUENCE);
        let marker = EndTransactionMarker::parse(&records(batch)[0]).unwrap();
        assert_eq!(marker, Some(EndTransactionMarker { committed, coordinator_epoch: 12 }));
    }
    let leader_change = &records(&vectors["leader-change"])[0];
    assert_eq!(ControlType::parse(leader_change.key.as_deref()), Ok(ControlType::LeaderChange));
    assert_eq!(EndTransactionMarker::parse(leader_change), Ok(None));
}

#[test]
fn kafkas_quorum_records_are_read_and_written() {
    let voter = |voter_id| Voter { voter_id, ..Voter::default() };
    let leader = LeaderChangeMessage { leader_id: 1, ..LeaderChangeMessage::default() };
    let voters = (vec![voter(1), voter(2), voter(3)], vec![voter(1), voter(3)]);
    let endpoint =
        Endpoint { name: "CONTROLLER".to_owned(), host: "localhost".to_owned(), port: 65_535, ..Endpoint::default() };
    let state = VoterState {
        voter_id: 3,
        voter_directory_id: Uuid([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
        endpoints: vec![endpoint],
        kraft_version_feature: KRaftVersionFeature { max_supported_version: 1, ..KRaftVersionFeature::default() },
        ..VoterState::default()
    };
    let expected = [
        ("leader-change", QuorumRecord::LeaderChange(leader.clone())),
        (
            "voted",
            QuorumRecord::LeaderChange(LeaderChangeMessage { voters: voters.0, granting_voters: voters.1, ..leader }),
        ),
        (
            "snapshot-header",
            QuorumRecord::SnapshotHeader(SnapshotHeaderRecord {
                last_contained_log_timestamp: TIME - 5,
                ..SnapshotHeaderRecord::default()
            }),
        ),
        ("snapshot-footer", QuorumRecord::SnapshotFooter(SnapshotFooterRecord::default())),
        (
            "kraft-version",
            QuorumRecord::KraftVersion(KRaftVersionRecord { kraft_version: 1, ..KRaftVersionRecord::default() }),
        ),
        ("kraft-voters", QuorumRecord::KraftVoters(VotersRecord { voters: vec![state], ..VotersRecord::default() })),
    ];
    let vectors = vectors();
    for (name, expected) in expected {
        let batch = &vectors[name];
        assert!(batch.header().is_control() && !batch.header().is_transactional(), "{name}");
        let record = &records(batch)[0];
        let value = record.value.as_ref().unwrap();
        assert_eq!(QuorumRecord::parse(record.key.as_deref(), value), Ok(Some(expected.clone())), "{name}");
        let built = BatchBuilder::new(Codec::None)
            .base_offset(batch.header().base_offset)
            .leader_epoch(2)
            .control()
            .record(TIME, Some(&expected.control_type().key()), Some(&expected.value().unwrap()))
            .build();
        assert_eq!(built, batch.bytes(), "{name}");
    }
}

#[test]
fn kafkas_levels_are_read() {
    let vectors = vectors();
    for name in ["gzip-1", "gzip-9", "lz4-1", "lz4-17", "zstd--5", "zstd-1", "zstd-22"] {
        assert_eq!(records(&vectors[name]), plain(), "{name}");
    }
}

#[test]
fn kafkas_transactions_and_append_times_are_read_in_every_codec() {
    let vectors = vectors();
    for codec in Codec::ALL {
        for (kind, timestamp_type) in
            [("transactional", TimestampType::CreateTime), ("append-time", TimestampType::LogAppendTime)]
        {
            let batch = &vectors[&*format!("{kind}-{}", codec.name())];
            let header = batch.header();
            assert_eq!((header.codec(), header.timestamp_type()), (Ok(codec), timestamp_type));
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 8));
            assert_eq!((header.is_transactional(), header.last_sequence()), (true, 13));
            let stamped = |record: Record| match timestamp_type {
                TimestampType::CreateTime => record,
                TimestampType::LogAppendTime => Record { timestamp: TIME + 77, ..record },
            };
            assert_eq!(records(batch), plain().into_iter().map(stamped).collect::<Vec<_>>(), "{kind} {codec:?}");
        }
    }
}

#[test]
fn what_compaction_leaves_is_read() {
    let vectors = vectors();
    let last = 100 + i64::from(i32::MAX);
    let expected = [record(107, TIME, Some(b"a"), Some(b"1")), record(last, TIME + 1, Some(b"b"), Some(b"2"))];
    assert_eq!(records(&vectors["gaps"]), expected);
    assert_eq!((vectors["gaps"].header().base_offset, vectors["gaps"].header().last_offset()), (100, last));
    assert_eq!(records(&vectors["last-offset"]), [record(100, TIME, Some(b"a"), Some(b"1"))]);
    assert_eq!(vectors["last-offset"].header().next_offset(), 201);

    let horizon = &vectors["delete-horizon"];
    assert_eq!(horizon.header().delete_horizon_ms(), Some(TIME + 86_400_000));
    let gone = [record(100, TIME, Some(b"gone"), None), record(101, TIME + 7, Some(b"gone too"), None)];
    assert_eq!(records(horizon), gone);
    assert_eq!(vectors["plain-none"].header().delete_horizon_ms(), None);

    let empty = &vectors["empty"];
    assert_eq!((records(empty), empty.header().next_offset()), (Vec::new(), 110));
    assert_eq!((empty.header().producer_id, empty.header().record_count), (4711, 0));
}

#[test]
fn edges_of_numbers_are_read() {
    let vectors = vectors();
    let times: Vec<i64> = records(&vectors["times"]).iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [TIME, 0, i64::MAX]);
    assert_eq!(vectors["times"].header().max_timestamp, i64::MAX);
    assert_eq!(records(&vectors["no-time"]), [record(100, NO_TIMESTAMP, Some(b"k"), Some(b"v"))]);
    let headers = &records(&vectors["headers"])[0].headers;
    let expected = (0..130).map(|i: usize| Header {
        key: if i.is_multiple_of(3) { Bytes::new() } else { Bytes::from(format!("h{i}")) },
        value: if i.is_multiple_of(2) { None } else { Some(Bytes::from(vec![0; i])) },
    });
    assert_eq!(*headers, expected.collect::<Vec<_>>());
}

#[test]
fn headers_are_written_as_they_were_read() {
    for (name, batch) in vectors() {
        assert_eq!(batch.header().to_bytes()[..], batch.bytes()[..HEADER_LEN], "{name}");
        assert_eq!(batch.header().to_bytes_with_crc(&batch.payload())[..], batch.bytes()[..HEADER_LEN], "{name}");
    }
}

/// All but delete horizons, and batches that compaction has emptied, which are not the builder's to make.
#[test]
fn every_uncompressed_batch_is_built_again_from_its_records() {
    for (name, batch) in vectors() {
        let header = batch.header();
        if header.codec() != Ok(Codec::None) || header.delete_horizon_ms().is_some() || header.record_count == 0 {
            continue;
        }
        let mut builder = BatchBuilder::new(Codec::None)
            .base_offset(header.base_offset)
            .leader_epoch(header.partition_leader_epoch)
            .producer(header.producer_id, header.producer_epoch, header.base_sequence);
        if header.is_transactional() {
            builder = builder.transactional();
        }
        if header.is_control() {
            builder = builder.control();
        }
        let mut records = records(&batch);
        if header.timestamp_type() == TimestampType::LogAppendTime {
            builder = builder.log_append_time(header.max_timestamp);
            // The records' own times stand in the bytes, but nobody reads them.
            for (record, written) in records.iter_mut().zip(plain()) {
                record.timestamp = written.timestamp;
            }
        }
        records.iter().for_each(|record| builder.push(record));
        assert_eq!(builder.last_offset(header.last_offset()).build(), batch.bytes(), "{name}");
    }
}

#[test]
fn what_we_build_uncompressed_is_kafkas_byte_for_byte() {
    let vectors = vectors();
    let marker = |name, committed| {
        let marker = EndTransactionMarker { committed, coordinator_epoch: 12 };
        let mut bytes = marker.batch(4711, 3, TIME).to_vec();
        felice_protocol::record::patch_header(bytes.first_chunk_mut().unwrap(), 33, 4);
        (name, Bytes::from(bytes))
    };
    let none = || plain_builder(Codec::None);
    for (name, built) in [
        ("plain-none", build(none(), &plain())),
        ("idempotent", build(none().producer(4711, 3, i32::MAX - 1), &plain())),
        ("transactional", build(none().producer(4711, 3, 8).transactional(), &plain())),
        ("append-time", build(none().log_append_time(TIME + 77), &plain())),
        marker("commit", true),
        marker("abort", false),
    ] {
        assert_eq!(built, vectors[name].bytes(), "{name}");
    }
    assert_eq!(vectors["idempotent"].header().last_sequence(), 3);
}

#[test]
fn recompressing_changes_nothing_but_the_codec() {
    let vectors = vectors();
    for codec in COMPRESSED {
        let packed = recompress(&vectors["plain-none"], Compression::new(codec), 1 << 20).unwrap();
        let (packed, _) = Batch::split_first(&packed).unwrap();
        packed.verify_crc().unwrap();
        assert_eq!(packed.header().codec(), Ok(codec));
        assert_eq!(records(&packed), plain());
        let theirs = &vectors[&*format!("plain-{}", codec.name())];
        let unpacked = recompress(theirs, Compression::NONE, 1 << 20).unwrap();
        assert_eq!(unpacked, vectors["plain-none"].bytes());
        let tight = recompress(theirs, Compression::NONE, 100);
        assert_eq!(tight.unwrap_err().to_string(), "more than 100 bytes when decompressed");
    }
}

#[test]
fn raw_snappy_is_read_too() {
    let (packed, _) = Batch::split_first(&build(plain_builder(Codec::None), &plain())).unwrap();
    let raw = snap::raw::Encoder::new().compress_vec(&packed.payload()).unwrap();
    assert_eq!(decompress(Codec::Snappy, &raw, 1 << 20).unwrap(), packed.payload());
    // Two xerial streams, one after the other.
    let mut twice = Vec::new();
    compress(Compression::new(Codec::Snappy), b"one ", &mut twice).unwrap();
    compress(Compression::new(Codec::Snappy), b"two", &mut twice).unwrap();
    assert_eq!(decompress(Codec::Snappy, &twice, 7).unwrap(), b"one two");
}

#[test]
fn every_level_of_kafkas_is_taken_and_no_other() {
    for (codec, good, bad) in [
        (Codec::Gzip, &[-1, 1, 9][..], &[-2, 0, 10][..]),
        (Codec::Lz4, &[1, 9, 17], &[0, 18]),
        (Codec::Zstd, &[-131_072, -1, 0, 3, 22], &[-131_073, 23]),
        (Codec::Snappy, &[], &[1]),
    ] {
        for level in good {
            let compression = Compression::with_level(codec, *level).unwrap();
            let (batch, _) = Batch::split_first(&build(plain_builder(compression), &plain())).unwrap();
            assert_eq!(records(&batch), plain(), "{codec:?} {level}");
        }
        for level in bad {
            let error = CompressionError::Level { codec, level: *level };
            assert_eq!(Compression::with_level(codec, *level), Err(error));
        }
    }
}

// ---- round trips

fn bytes_strategy() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from))
}

prop_compose! {
    fn record_strategy()(
        offset in 0..3_i64,
        timestamp in 0..i64::MAX,
        key in bytes_strategy(),
        value in bytes_strategy(),
        headers in proptest::collection::vec(("[a-z]{0,9}", bytes_strategy()), 0..4),
    ) -> Record {
        let headers = headers.into_iter().map(|(key, value)| Header { key: Bytes::from(key), value }).collect();
        Record { offset, timestamp, key, value, headers }
    }
}

proptest! {
    #[test]
    fn what_is_built_is_read(mut built in proptest::collection::vec(record_strategy(), 1..20)) {
        // Offsets with gaps, as compaction leaves them.
        let mut next = 1000;
        for record in &mut built {
            record.offset += next;
            next = record.offset + 1;
        }
        for codec in Codec::ALL {
            let bytes = build(BatchBuilder::new(codec).base_offset(1000), &built);
            let (batch, rest) = Batch::split_first(&bytes).unwrap();
            prop_assert!(rest.is_empty());
            batch.verify_crc().unwrap();
            prop_assert_eq!(batch.header().last_offset(), next - 1);
            prop_assert_eq!(batch.header().max_timestamp, built.iter().map(|record| record.timestamp).max().unwrap());
            prop_assert_eq!(&records(&batch), &built);
        }
    }

    #[test]
    fn compression_keeps_bytes(input: Vec<u8>, repeat in 1..2000_usize) {
        let input = input.repeat(repeat);
        for codec in COMPRESSED {
            let mut packed = Vec::new();
            compress(Compression::new(codec), &input, &mut packed).unwrap();
            prop_assert_eq!(&decompress(codec, &packed, input.len()).unwrap(), &input);
            if let Some(tight) = input.len().checked_sub(1) {
                let error = CompressionError::TooLarge { limit: tight };
                prop_assert_eq!(decompress(codec, &packed, tight), Err(error));
            }
        }
    }

    #[test]
    fn garbage_is_an_error_or_records(bytes: Vec<u8>, count in 0..1000_i32) {
        for codec in COMPRESSED {
            let _ = decompress(codec, &bytes, 1 << 16);
        }
        let mut whole = BatchBuilder::new(Codec::None).build().to_vec();
        whole[8..12].copy_from_slice(&(49 + bytes.len() as u32).to_be_bytes());
        whole[57..61].copy_from_slice(&count.to_be_bytes());
        whole.extend_from_slice(&bytes);
        let (batch, _) = Batch::split_first(&Bytes::from(whole)).unwrap();
        prop_assert!(batch.records(0).unwrap().count() <= count as usize);
    }
}

// ---- damage

fn with_payload(batch: &Batch, payload: &[u8]) -> Batch {
    let mut bytes = batch.bytes()[..HEADER_LEN].to_vec();
    bytes[8..12].copy_from_slice(&((HEADER_LEN - 12 + payload.len()) as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    Batch::split_first(&Bytes::from(bytes)).unwrap().0
}

fn read_all(batch: &Batch, limit: usize) -> Result<Vec<Record>, BatchError> {
    batch.records(limit)?.collect()
}

#[test]
fn cut_payloads_are_errors() {
    for (name, batch) in vectors() {
        let payload = batch.payload();
        // The long ones are cut at a prime step and near both ends.
        let everywhere = payload.len() < 2000;
        for cut in (0..payload.len()).filter(|at| everywhere || at % 97 == 0 || *at < 40 || payload.len() - at < 40) {
            assert!(read_all(&with_payload(&batch, &payload[..cut]), 1 << 20).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn appended_bytes_are_errors() {
    // Like Kafka, nobody looks behind the records of a batch that has none.
    for (name, batch) in vectors().into_iter().filter(|(_, batch)| batch.header().record_count > 0) {
        let longer = [&batch.payload()[..], b"\0"].concat();
        assert!(read_all(&with_payload(&batch, &longer), 1 << 20).is_err(), "{name}");
    }
}

#[test]
fn changed_payloads_are_errors_or_records_in_bounded_memory() {
    const LIMIT: usize = 300_000;
    // lz4's block size, twice; everything else is less.
    const SMALL: usize = 9 << 20;
    for (name, batch) in vectors() {
        let payload = batch.payload();
        let step = payload.len() / 300 + 1;
        for at in (0..payload.len()).step_by(step) {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = payload.to_vec();
                changed[at] ^= flip;
                let changed = with_payload(&batch, &changed);
                let ((), taken) = peak(|| drop(read_all(&changed, LIMIT)));
                assert!(taken <= 2 * LIMIT + SMALL, "{name}: {taken} bytes for byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn bombs_do_not_go_off() {
    const LIMIT: usize = 1 << 20;
    for codec in COMPRESSED {
        let mut bomb = Vec::new();
        compress(Compression::new(codec), &vec![0; 64 << 20], &mut bomb).unwrap();
        let ((), taken) = peak(|| {
            assert_eq!(decompress(codec, &bomb, LIMIT), Err(CompressionError::TooLarge { limit: LIMIT }));
        });
        assert!(taken < 3 * LIMIT, "{codec:?} took {taken} bytes");
    }
    // A raw snappy block of nothing that claims 4 GiB, and one that claims what the limit would allow.
    let claim = decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f], LIMIT);
    assert_eq!(claim, Err(CompressionError::TooLarge { limit: LIMIT }));
    let ((), taken) = peak(|| assert!(decompress(Codec::Snappy, &[0x80, 0x80, 0x40], LIMIT).is_err()));
    assert!(taken < 1000, "{taken} bytes for a claim");
    // A zstd frame that claims a window of 2 GiB.
    let ((), taken) = peak(|| assert!(decompress(Codec::Zstd, b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", LIMIT).is_ok()));
    assert!(taken < 100_000, "{taken} bytes for a window");
}
