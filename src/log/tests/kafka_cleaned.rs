//! What compaction leaves, held to what Kafka's own cleaner left of the same log: `compat/compaction/run` made the data in
//! `kafka-cleaned`, which begins with a log that Felice wrote.

use std::ops::ControlFlow;

use felice_protocol::record::{EndTransactionMarker, Record};

use super::*;
use crate::{
    env::disk::sim::Random,
    log::{AbortedTxn, CompactSettings, OffsetMap},
    model::ProducerId,
};

const DELETE_RETENTION_MS: i64 = 1000;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 4000,
        delete_retention_ms: DELETE_RETENTION_MS,
        index_interval_bytes: 200,
        compacts: true,
        ..LogConfig::default()
    }
}

/// Writes `orders-3`, `settings` and `passes` for Kafka's cleaner.
#[test]
#[ignore = "writes test data, for compat/compaction/run"]
fn write_what_kafka_cleans() {
    let dir = std::env::var("KAFKA_CLEANED_DIR").unwrap();
    let seed = std::env::var("KAFKA_CLEANED_SEED").unwrap().parse().unwrap();
    let dir = Path::new(&dir);
    let (log, _) = open_with(&dir.join("orders-3"), &config(), true, 0);
    write_random(&log, &mut Random::new(seed));
    let bases = log.segment_bases();
    log.close().unwrap();
    let middle = bases[bases.len() / 2];
    let (last, later) = (log.log_end(), NOW.0 + DELETE_RETENTION_MS);
    // A part, all, once more at the same time, a moment too early, in time, and later.
    let passes: [(i64, i64, Offset); 6] = [
        (NOW.0, 0, middle),
        (NOW.0 + 10, middle.0, last),
        (NOW.0 + 20, 0, last),
        (later - 1, 0, last),
        (later, 0, last),
        (later + 2000, 0, last),
    ];
    let passes: Vec<String> = passes.iter().map(|(now, dirty, until)| format!("{now} {dirty} {until}\n")).collect();
    fs::write(dir.join("passes"), passes.concat()).unwrap();
    let settings = format!(
        "cleanup.policy=compact\ninternal.segment.bytes={}\ndelete.retention.ms={DELETE_RETENTION_MS}\nindex.interval.bytes=200\n",
        config().segment_bytes
    );
    fs::write(dir.join("settings"), settings).unwrap();
}

/// Plain, idempotent and transactional producers, all codecs, tombstones, headers, LogAppendTime, leader epochs. The last
/// transaction stays open.
fn write_random(log: &Log, random: &mut Random) {
    let mut sequences = [0; 8];
    let mut open = [None; 8];
    let mut epoch = 0;
    for step in 0..170 {
        let base = log.log_end().0;
        epoch += i32::from(random.below(40) == 0);
        let producer = random.below(8);
        let codec = Codec::ALL[random.below(Codec::ALL.len())];
        let mut builder = BatchBuilder::new(codec);
        if producer > 1 {
            builder = builder.producer(producer as i64, 0, sequences[producer]);
        }
        if producer > 4 {
            builder = builder.transactional();
            open[producer].get_or_insert(base);
        }
        if random.below(7) == 0 {
            builder = builder.log_append_time(NOW.0 + step);
        }
        for at in 0..random.between(1, 5) {
            let key = format!("key {}", random.below(20));
            let value = format!("value {base}+{at} {}", "x".repeat(random.below(50)));
            let value = (random.below(4) > 0).then_some(value.as_bytes());
            let headers = [("header", Some(&b"of a record"[..])), ("without", None)];
            let timestamp = NOW.0 + step - random.below(50) as i64;
            let headers = &headers[..random.below(3)];
            builder = builder.record_with_headers(timestamp, Some(key.as_bytes()), value, headers);
            sequences[producer] += 1;
        }
        log.append_as_leader(&checked(builder), LeaderEpoch(epoch), NOW).unwrap();
        for (id, open) in open.iter_mut().enumerate() {
            if open.is_some() && random.below(5) == 0 {
                *open = None;
                let marker = EndTransactionMarker { committed: random.below(2) == 0, coordinator_epoch: 3 };
                let (marker, _) = Batch::split_first(&marker.batch(id as i64, 0, NOW.0 + step)).unwrap();
                let marker = Checked { header: *marker.header(), payload: marker.payload() };
                let bytes = stored(&marker, log.log_end().0, epoch);
                log.append_as_follower(&bytes.into(), LeaderEpoch(epoch), NOW).unwrap();
            }
        }
    }
}

fn data(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/tests/kafka-cleaned").join(name)).unwrap()
}

fn numbers(line: &str) -> Vec<i64> {
    line.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// What is known of a state of the log: where the pass ended, segments, aborted transactions.
fn facts(number: usize) -> (i64, Vec<i64>, Vec<AbortedTxn>) {
    let text = String::from_utf8(data(&format!("{number}.txt"))).unwrap();
    let mut lines = text.lines();
    let (end, bases) = (lines.next().unwrap().parse().unwrap(), numbers(lines.next().unwrap()));
    let aborted = lines.map(numbers).map(|numbers| AbortedTxn {
        producer_id: ProducerId(numbers[0]),
        first_offset: Offset(numbers[1]),
        last_offset: Offset(numbers[2]),
        last_stable_offset: Offset(numbers[3]),
    });
    (end, bases, aborted.collect())
}

/// A batch as far as two brokers must agree on it: compressed bytes may differ, and so the length and the CRC.
#[derive(Debug, PartialEq)]
struct Seen {
    header: BatchHeader,
    records: Vec<Record>,
    bytes: Option<Bytes>,
}

fn seen(bytes: Vec<u8>) -> Vec<Seen> {
    let (mut rest, mut all) = (Bytes::from(bytes), Vec::new());
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(&rest).unwrap();
        batch.verify_crc().unwrap();
        let header = BatchHeader { crc: 0, batch_length: 0, ..*batch.header() };
        let records = batch.records(1 << 20).unwrap().map(Result::unwrap).collect();
        let bytes = (header.codec().unwrap() == Codec::None).then(|| batch.bytes().clone());
        all.push(Seen { header, records, bytes });
        rest = after;
    }
    all
}

#[test]
fn what_stays_is_what_kafkas_cleaner_leaves() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    let (_, bases, aborted) = facts(0);
    for batch in headers(&data("0.batches")).iter().scan(0, |at, header| {
        let bytes = data("0.batches")[*at..*at + header.size()].to_vec();
        *at += header.size();
        Some((header.base_offset, bytes))
    }) {
        if bases.contains(&batch.0) {
            log.roll_now(NOW).unwrap();
        }
        log.append_as_follower(&batch.1.into(), LeaderEpoch(100), NOW).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(log.segment_bases().iter().map(|base| base.0).collect::<Vec<_>>(), bases);
    assert!(bases.len() > 6 && aborted.len() > 5, "{} segments, {} aborted", bases.len(), aborted.len());
    let stable = log.last_stable_offset(log.log_end());
    assert_eq!(log.aborted_transactions(Offset::ZERO, stable).unwrap().len(), aborted.len());

    let (mut passes, mut sizes) = (0, vec![seen(data("0.batches")).len()]);
    for (number, pass) in String::from_utf8(data("passes")).unwrap().lines().map(numbers).enumerate() {
        let [now, first_dirty, until] = pass[..] else { panic!("{pass:?}") };
        let range = log.cleanable(Some(Offset(first_dirty)), Offset(until).min(stable), Timestamp(now)).unwrap();
        // All of it is, whatever the pass was told to look at.
        let range = Cleanable { safe_until: log.log_end(), ..range };
        let settings =
            CompactSettings { now: Timestamp(now), seed: [1, 2], io_buffer_bytes: 1 << 20, decompressed_max: 1 << 20 };
        let mut map = OffsetMap::with_memory(1 << 20, 0.9);
        let done = log.compact(&range, &mut map, &settings, &mut |_| ControlFlow::Continue(())).unwrap();

        let (end, _, still_aborted) = facts(number + 1);
        assert_eq!(done.first_dirty.0, end, "pass {number}");
        let bases = log.segment_bases();
        let theirs = seen(data(&format!("{}.batches", number + 1)));
        let mut ours = seen(read_all_with_holes(&log));
        sizes.push(ours.len());
        // Kafka leaves a hole where a segment ends.
        ours.retain(|batch| {
            let ends_segment = bases.iter().any(|base| base.0 == batch.header.next_offset());
            batch.header.record_count > 0 || !ends_segment || theirs.contains(batch)
        });
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "pass {number}");
        }
        assert_eq!(ours.len(), theirs.len(), "pass {number}");
        let mut indexed = log.aborted_transactions(Offset::ZERO, stable).unwrap();
        indexed.sort_unstable_by_key(|txn| txn.last_offset);
        assert_eq!(indexed, still_aborted, "pass {number}");
        passes += 1;
    }
    assert_eq!(passes, 6);
    println!("batches after each pass: {sizes:?}");
}

fn read_all_with_holes(log: &Log) -> Vec<u8> {
    let (mut all, mut from) = (Vec::new(), log.log_start());
    while from < log.log_end() {
        let slice = log.read(from, ALL, log.log_end(), true).unwrap();
        all.extend_from_slice(&slice.bytes);
        from = slice.next_offset;
    }
    all
}
