//! Compaction against a model: each key's last record stays, at its offset, and nothing comes back; also where the process or the
//! power goes at any call.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use felice_protocol::record::{EndTransactionMarker, Record};
use rustix::io::Errno;

use super::*;
use crate::{
    env::{
        Disk,
        disk::sim::{Answer, Call, Random, SimDisk},
        faults::{Fault, plant},
    },
    model::ProducerId,
};

const SETTINGS: CompactSettings =
    CompactSettings { now: NOW, seed: [1, 2], io_buffer_bytes: 4096, decompressed_max: 1 << 20 };

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        delete_retention_ms: 1000,
        compacts: true,
        ..LogConfig::default()
    }
}

fn dir() -> &'static Path {
    Path::new("/data/orders-3")
}

fn open_on(disk: &Arc<SimDisk>, recovery_point: Offset) -> Result<Log, String> {
    let start = Start { clean: false, recovery_point, log_start: Offset::ZERO };
    let disk: Arc<dyn Disk> = disk.clone();
    let opened = Log::open(disk, dir(), partition(), TopicId(Uuid([7; 16])), config(), start, NOW);
    opened.map(|(log, _)| log).map_err(|error| format!("cannot be opened: {error}"))
}

fn new_disk(seed: u64) -> Arc<SimDisk> {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// A batch of random keys of few: values, tombstones, headers, any codec.
fn random_batch(random: &mut Random, base: i64) -> Checked {
    let codec = Codec::ALL[random.below(Codec::ALL.len())];
    let mut builder = BatchBuilder::new(codec).base_offset(0);
    if random.below(6) == 0 {
        builder = builder.log_append_time(NOW.0 + base);
    }
    for at in 0..random.between(1, 6) {
        let key = format!("key {}", random.below(25));
        let value = format!("value {base}+{at} {}", "x".repeat(random.below(60)));
        let value = (random.below(5) > 0).then_some(value.as_bytes());
        let header = [("header", Some(&b"of a record"[..])), ("without", None)];
        let headers = &header[..random.below(3)];
        let timestamp = NOW.0 + base - random.below(50) as i64;
        builder = builder.record_with_headers(timestamp, Some(key.as_bytes()), value, headers);
    }
    checked(builder)
}

/// All that is in the log, read batch by batch over the holes, each checked by its CRC.
fn read_all(log: &Log) -> Vec<u8> {
    let (mut all, mut from) = (Vec::new(), log.log_start());
    while from < log.log_end() {
        let slice = log.read(from, 0, log.log_end(), true).unwrap();
        if slice.bytes.is_empty() {
            panic!("nothing at {from} of {log:?}");
        }
        let (batch, rest) = Batch::split_first(&slice.bytes).unwrap();
        batch.verify_crc().unwrap();
        assert!(rest.is_empty() && slice.next_offset > from && batch.header().last_offset() >= from.0);
        all.extend_from_slice(&slice.bytes);
        from = slice.next_offset;
    }
    all
}

/// All records, as a consumer sees them that reads batch by batch.
fn records_of(log: &Log) -> Vec<Record> {
    let mut records = Vec::new();
    let bytes = Bytes::from(read_all(log));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(&rest).unwrap();
        if !batch.header().is_control() {
            records.extend(batch.records(1 << 20).unwrap().map(Result::unwrap));
        }
        rest = after;
    }
    records
}

fn batches_of(log: &Log) -> Vec<BatchHeader> {
    headers(&read_all(log))
}

fn compact_all(log: &Log, checkpoint: i64, now: i64) -> Compacted {
    let mut map = OffsetMap::with_memory(1 << 20, 0.9);
    let range = log.cleanable(Some(Offset(checkpoint)), log.log_end(), Timestamp(now)).unwrap();
    let settings = CompactSettings { now: Timestamp(now), ..SETTINGS };
    log.compact(&range, &mut map, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// What was appended, by offset, and what must be true of a log that has some of it.
#[derive(Default, Clone)]
struct Model(BTreeMap<i64, Record>);

impl Model {
    fn appended(&mut self, batch: &Checked, base: i64) {
        let bytes = Bytes::from(stored(batch, base, 0));
        let (batch, _) = Batch::split_first(&bytes).unwrap();
        for record in batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            self.0.insert(record.offset, record);
        }
    }

    /// `clean` is where the last pass ended: below there each key is there once.
    fn check(&self, log: &Log, clean: i64) -> Result<(), String> {
        let end = log.log_end().0;
        let mut last: HashMap<&Bytes, &Record> = HashMap::new();
        for record in self.0.range(..end).map(|(_, record)| record) {
            last.insert(record.key.as_ref().unwrap(), record);
        }
        let found = records_of(log);
        let mut once = HashMap::new();
        for record in &found {
            if self.0.get(&record.offset) != Some(record) {
                return Err(format!("{record:?} is there, not {:?}", self.0.get(&record.offset)));
            }
            if record.offset < clean
                && let Some(before) = once.insert(record.key.clone(), record.offset)
            {
                return Err(format!("a key is at {before} and {}, both below {clean}", record.offset));
            }
        }
        let there: BTreeMap<i64, &Record> = found.iter().map(|record| (record.offset, record)).collect();
        for (key, record) in last {
            if record.value.is_some() && !there.contains_key(&record.offset) {
                return Err(format!("the last value of {key:?}, at {}, is gone", record.offset));
            }
            let newer = found.iter().filter(|other| other.key.as_ref() == Some(key)).map(|other| other.offset).max();
            if newer.is_some_and(|newer| newer < record.offset) {
                return Err(format!("{key:?} was deleted at {} and is back", record.offset));
            }
        }
        Ok(())
    }
}

/// Whatever offset is asked for, the answer begins with the batch that has it or the first one after.
fn check_reads(log: &Log) {
    let batches = batches_of(log);
    for offset in log.log_start().0..log.log_end().0 {
        let expected = batches.iter().find(|batch| batch.last_offset() >= offset);
        let slice = log.slice(Offset(offset), ALL, log.log_end(), true, ALL).unwrap();
        let Records::Bytes(bytes) = slice.records else { panic!("a file") };
        let found = (!bytes.is_empty()).then(|| BatchHeader::parse(&bytes).unwrap().base_offset);
        assert_eq!(found, expected.map(|batch| batch.base_offset), "at {offset}");
    }
}

#[test]
fn of_each_key_the_last_record_stays() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let dir = TempDir::new().unwrap();
        let (mut log, _) = open_with(dir.path(), &config(), true, 0);
        let (mut model, mut clean, mut passes) = (Model::default(), 0, 0);
        for step in 0..120 {
            let batch = random_batch(&mut random, log.log_end().0);
            model.appended(&batch, log.log_end().0);
            append(&log, &batch);
            if random.below(12) == 0 {
                log.flush().unwrap();
                let (end, bases) = (log.log_end(), log.segment_bases().len());
                let done = compact_all(&log, clean, NOW.0);
                clean = done.first_dirty.0;
                passes += usize::from(done.segments_before > 0);
                assert_eq!(log.log_end(), end);
                assert_eq!(log.segment_bases().len(), bases - (done.segments_before - done.segments_after));
                model.check(&log, clean).unwrap_or_else(|why| panic!("seed {seed}, step {step}: {why}"));
                check_reads(&log);
            }
            if random.below(40) == 0 {
                let before = read_all(&log);
                let clean_stop = random.below(2) == 0;
                if clean_stop {
                    log.close().unwrap();
                }
                drop(log);
                // Nothing is known of a recovery point: holes are no damage.
                let (opened, recovered) = open_with(dir.path(), &config(), clean_stop, 0);
                assert_eq!(recovered.truncated, None, "seed {seed}");
                assert!(read_all(&opened) == before, "seed {seed}");
                log = opened;
            }
        }
        assert!(passes > 1, "seed {seed}");
    }
}

#[test]
fn tombstones_go_one_delete_retention_after_the_first_pass() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    let keyed = |key: &str, value: Option<&str>| {
        checked(BatchBuilder::new(Codec::Lz4).record(NOW.0, Some(key.as_bytes()), value.map(str::as_bytes)))
    };
    for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", None), ("c", Some("3"))] {
        append(&log, &keyed(key, value));
    }
    log.roll_now(NOW).unwrap();
    append(&log, &keyed("d", Some("4")));
    log.flush().unwrap();
    let found = |log: &Log| -> Vec<i64> { records_of(log).iter().map(|record| record.offset).collect() };

    let done = compact_all(&log, 0, NOW.0);
    assert_eq!((done.first_dirty.0, done.records_read, done.records_kept, done.keys), (4, 4, 3, 3));
    assert_eq!(found(&log), [1, 2, 3, 4]);
    let horizon = NOW.0 + 1000;
    let with_horizon: Vec<_> = batches_of(&log).iter().map(|batch| batch.delete_horizon_ms()).collect();
    assert_eq!(with_horizon, [None, Some(horizon), None, None], "only the tombstone's");
    let tombstone = &records_of(&log)[1];
    assert_eq!((tombstone.timestamp, &tombstone.value), (NOW.0, &None), "its own timestamp stays");

    for (now, expected) in [(horizon - 1, vec![1, 2, 3, 4]), (horizon, vec![1, 3, 4])] {
        compact_all(&log, 0, now);
        assert_eq!(found(&log), expected, "at {now}");
    }
    let planted = plant(Fault::ForgetDeleteHorizon, || {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(dir.path(), &config(), true, 0);
        append(&log, &keyed("a", None));
        log.roll_now(NOW).unwrap();
        append(&log, &keyed("d", None));
        log.flush().unwrap();
        compact_all(&log, 0, NOW.0);
        compact_all(&log, 0, NOW.0);
        found(&log)
    });
    assert_eq!(planted, [1], "the planted mistake is seen");
}

#[test]
fn what_does_not_fit_the_map_waits_for_the_next_pass() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { segment_bytes: 20_000, ..config() };
    let (log, _) = open_with(dir.path(), &config, true, 0);
    let mut model = Model::default();
    for round in 0..4 {
        for key in 0..600 {
            let key = format!("key {key}");
            let builder = BatchBuilder::new(Codec::None);
            let batch = checked(builder.record(NOW.0 + round, Some(key.as_bytes()), Some(b"value")));
            model.appended(&batch, log.log_end().0);
            append(&log, &batch);
        }
    }
    log.flush().unwrap();
    let (mut clean, mut passes) = (Offset::ZERO, 0);
    loop {
        // Room for 1024 slots.
        let mut map = OffsetMap::with_memory(0, 0.5);
        let range = log.cleanable(Some(clean), log.log_end(), NOW).unwrap();
        let done = log.compact(&range, &mut map, &SETTINGS, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(done.first_dirty > clean && done.keys < 512, "{done:?}");
        clean = done.first_dirty;
        passes += 1;
        model.check(&log, clean.0).unwrap();
        if !done.is_partial {
            break;
        }
    }
    assert!(passes > 2, "{passes}");
}

#[test]
fn a_batch_keeps_its_offsets_producer_and_bytes_where_it_can() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    let of = |id: i64, sequence: i32, keys: &[&str]| {
        let builder = BatchBuilder::new(Codec::Zstd).producer(id, 3, sequence);
        let add = |builder: BatchBuilder, key: &&str| builder.record(NOW.0, Some(key.as_bytes()), Some(b"v"));
        checked(keys.iter().fold(builder, add))
    };
    let batches = [of(1, 0, &["a", "b", "c"]), of(2, 7, &["d"]), of(1, 3, &["b", "x"]), of(3, 0, &["y"])];
    batches.iter().for_each(|batch| {
        append(&log, batch);
    });
    log.roll_now(NOW).unwrap();
    append(&log, &of(4, 0, &["d", "c", "y"]));
    append(&log, &of(3, 1, &["q"]));
    log.roll_now(NOW).unwrap();
    append(&log, &of(5, 0, &["z"]));
    log.flush().unwrap();
    compact_all(&log, 0, NOW.0);
    let found: Vec<_> = batches_of(&log)
        .iter()
        .map(|batch| {
            let codec = batch.codec().unwrap();
            (
                batch.base_offset,
                batch.last_offset(),
                batch.record_count,
                batch.producer_id,
                batch.last_sequence(),
                codec,
            )
        })
        .collect();
    let expected = [
        (0, 2, 1, 1, 2, Codec::Zstd),
        // All of its producer's records have gone, and it is the last of it.
        (3, 3, 0, 2, 7, Codec::None),
        (4, 5, 2, 1, 4, Codec::Zstd),
        (7, 9, 3, 4, 2, Codec::Zstd),
        (10, 10, 1, 3, 1, Codec::Zstd),
        (11, 11, 1, 5, 0, Codec::Zstd),
    ];
    assert_eq!(found, expected);
    let whole = log.read(Offset(4), 0, log.log_end(), true).unwrap().bytes;
    assert_eq!(whole, stored(&batches[2], 4, 0), "byte for byte");
    // A producer goes on as if nothing had happened, also after its state was made anew from what is left.
    let producers = log.producer_count();
    drop(log);
    fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).for_each(|path| {
        if path.extension().is_some_and(|suffix| suffix == "snapshot") {
            fs::remove_file(path).unwrap();
        }
    });
    let (log, _) = open_with(dir.path(), &config(), false, 0);
    assert_eq!(log.producer_count(), producers);
    assert!(append(&log, &of(2, 7, &["d"])).duplicate && !append(&log, &of(2, 8, &["d"])).duplicate);
}

#[test]
fn transactions_are_kept_right() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    let data = |id: i64, sequence: i32, key: &str| {
        let builder = BatchBuilder::new(Codec::None).producer(id, 0, sequence).transactional();
        append(&log, &checked(builder.record(NOW.0, Some(key.as_bytes()), Some(b"v"))));
    };
    let end = |id: i64, committed: bool| {
        let bytes = EndTransactionMarker { committed, coordinator_epoch: 0 }.batch(id, 0, NOW.0);
        let (batch, _) = Batch::split_first(&bytes).unwrap();
        let marker = Checked { header: *batch.header(), payload: batch.payload() };
        log.append_as_follower(&stored(&marker, log.log_end().0, 0).into(), LeaderEpoch(0), NOW).unwrap();
    };
    data(1, 0, "a"); // 0
    data(2, 0, "a"); // 1: aborted, so that 0 stays
    end(2, false); // 2
    end(1, true); // 3
    data(2, 1, "b"); // 4
    end(2, true); // 5
    log.roll_now(NOW).unwrap();
    data(1, 1, "b"); // 6: the last of b
    end(1, true); // 7
    data(2, 2, "c"); // 8
    end(2, true); // 9
    log.roll_now(NOW).unwrap();
    data(9, 0, "z"); // 10
    end(9, true); // 11
    log.flush().unwrap();
    let txn = AbortedTxn {
        first_offset: Offset(1),
        last_offset: Offset(2),
        last_stable_offset: Offset(0),
        producer_id: ProducerId(2),
    };
    let pass = |now: i64| {
        let mut map = OffsetMap::with_memory(1 << 20, 0.9);
        let range = log.cleanable(None, log.log_end(), NOW).unwrap();
        let settings = CompactSettings { now: Timestamp(now), ..SETTINGS };
        log.compact(&range, &mut map, &settings, &mut |_| ControlFlow::Continue(())).unwrap();
        let of_batch = |batch: &BatchHeader| (batch.base_offset, batch.record_count, batch.delete_horizon_ms());
        batches_of(&log).iter().map(of_batch).filter(|(base, ..)| *base < 10).collect::<Vec<_>>()
    };
    let index = dir.path().join("00000000000000000000.txnindex");
    // The aborted batch goes at once, its marker stays, and so does that of the transaction that lost its only record.
    let first = pass(NOW.0);
    let (a, none) = (NOW.0 + 1000, None);
    assert_eq!(
        first,
        [
            (0, 1, none),
            (2, 1, none),
            (3, 1, none),
            (5, 1, none),
            (6, 1, none),
            (7, 1, none),
            (8, 1, none),
            (9, 1, none)
        ]
    );
    assert_eq!(fs::read(&index).unwrap(), txn.encode());
    // Nothing of the two is left: their markers get a horizon, and the aborted one leaves the index.
    let second = pass(NOW.0);
    assert_eq!(second[1..4], [(2, 1, Some(a)), (3, 1, none), (5, 1, Some(a))]);
    assert_eq!(fs::read(&index).unwrap(), b"");
    assert_eq!(pass(a - 1), second);
    let last = pass(a);
    assert_eq!(last, [(0, 1, none), (3, 1, none), (6, 1, none), (7, 1, none), (8, 1, none), (9, 1, none)]);
}

/// Whether no file of a pass that was given up is there.
fn nothing_is_left(dir: &Path) -> bool {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.into_iter().all(|path| !path.extension().is_some_and(|suffix| suffix == "cleaned" || suffix == "swap"))
}

#[test]
fn a_new_segment_is_as_old_as_what_it_was_made_of() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    for _ in 0..2 {
        append(&log, &checked(BatchBuilder::new(Codec::None).record(-1, Some(b"key"), Some(b"value"))));
        log.roll_now(NOW).unwrap();
    }
    append(&log, &unique_of("other"));
    log.flush().unwrap();
    let day_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    for base in ["00000000000000000000.log", "00000000000000000001.log"] {
        OpenOptions::new().write(true).open(dir.path().join(base)).unwrap().set_modified(day_ago).unwrap();
    }
    let before = log.segment_times().unwrap();
    assert_eq!(compact_all(&log, 0, NOW.0).segments_after, 1);
    let after = log.segment_times().unwrap();
    assert_eq!((before[1].1, before.len()), (after[0].1, after.len() + 1));
}

#[test]
fn what_must_be_compacted_in_time_does_not_stay_in_the_active_segment() {
    for (compacts, max_compaction_lag_ms, segments) in [(true, 100, 2), (true, 101, 1), (true, 0, 1), (false, 100, 1)] {
        let dir = TempDir::new().unwrap();
        let config = LogConfig { compacts, max_compaction_lag_ms, ..LogConfig::default() };
        let (log, _) = open_with(dir.path(), &config, true, 0);
        for timestamp in [NOW.0, NOW.0 + 101] {
            append(&log, &checked(BatchBuilder::new(Codec::None).record(timestamp, Some(b"key"), None)));
        }
        assert_eq!(log.segment_bases().len(), segments, "{compacts} {max_compaction_lag_ms}");
    }
}

#[test]
fn a_corrupt_batch_is_told_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &config(), true, 0);
    let mut random = Random::new(1);
    for _ in 0..40 {
        append(&log, &random_batch(&mut random, log.log_end().0));
    }
    log.flush().unwrap();
    let before = read_all(&log);
    let second = log.segment_bases()[1];
    let path = dir.path().join(format!("{:020}.log", second.0));
    let mut bytes = fs::read(&path).unwrap();
    let first = BatchHeader::parse(&bytes).unwrap().size();
    bytes[first + 70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut map = OffsetMap::with_memory(1 << 20, 0.9);
    let range = log.cleanable(None, log.log_end(), NOW).unwrap();
    let failed = log.compact(&range, &mut map, &SETTINGS, &mut |_| ControlFlow::Continue(())).unwrap_err();
    let CompactError::Log(LogError::Corrupt { path: named, position, .. }) = &failed else { panic!("{failed}") };
    assert_eq!((named, *position), (&path, first as u64));
    assert!(map.is_empty() && !log.is_out_of_use());
    bytes[first + 70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(read_all(&log) == before);
    assert!(nothing_is_left(dir.path()));
}

#[test]
fn a_pass_ends_when_it_is_told_to_or_overtaken() {
    let begin = || {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(&dir.path().join("orders-3"), &config(), true, 0);
        let mut random = Random::new(1);
        for _ in 0..60 {
            append(&log, &random_batch(&mut random, log.log_end().0));
        }
        log.flush().unwrap();
        (dir, log)
    };
    let (_dir, log) = begin();
    let run = |log: &Log, told: &mut dyn FnMut(u64) -> ControlFlow<()>| {
        let range = log.cleanable(None, log.log_end(), NOW).unwrap();
        log.compact(&range, &mut OffsetMap::with_memory(1 << 20, 0.9), &SETTINGS, told)
    };
    let before = read_all(&log);
    let mut calls = 0;
    let stopped = run(&log, &mut |_| {
        calls += 1;
        if calls > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(CompactError::Stopped)), "{stopped:?}");
    assert!(nothing_is_left(log.dir()));
    // Cut down to nothing, deleted, closed: as soon as the map is there.
    for how in ["cut", "closed", "deleted"] {
        let (_dir, log) = begin();
        assert!(read_all(&log) == before);
        let mut calls = 0;
        let overtaken = run(&log, &mut |_| {
            calls += 1;
            if calls == 25 {
                match how {
                    "cut" => drop(log.truncate_to(Offset(3), NOW, |_| Ok::<(), LogError>(())).unwrap()),
                    "closed" => log.close().unwrap(),
                    _ => drop(log.delete(Uuid([1; 16])).unwrap()),
                }
            }
            ControlFlow::Continue(())
        });
        assert!(matches!(overtaken, Err(CompactError::Overtaken)), "{how}: {overtaken:?}");
        if how == "closed" {
            assert_eq!(open_with(log.dir(), &config(), true, 0).1.truncated, None);
        }
        assert_eq!(log.dir().exists(), how != "deleted");
    }
}

/// So many changes reach the disk, and then nothing does.
fn until_power_fails(mut changes: usize) -> impl FnMut(&Call<'_>) -> Answer + Send + 'static {
    let mut failed = false;
    move |call| {
        failed |= call.changes() && changes == 0;
        changes = changes.saturating_sub(usize::from(call.changes()));
        if failed { Answer::Fail(Errno::IO) } else { Answer::Proceed }
    }
}

/// One life: two passes, the second one broken off after so many changes; true where it was over by then.
fn broken_off_after(changes: usize, seed: u64, power_lost: bool) -> Result<bool, String> {
    let mut random = Random::new(seed);
    let mut disk = new_disk(seed);
    let log = open_on(&disk, Offset::ZERO)?;
    let (mut model, mut clean) = (Model::default(), 0);
    let mut flushed = 0;
    for at in 0..45 {
        let batch = random_batch(&mut random, log.log_end().0);
        model.appended(&batch, log.log_end().0);
        append(&log, &batch);
        if at == 15 || at == 30 || at == 40 {
            flushed = log.flush().unwrap().0;
        }
        if at == 15 {
            clean = compact_all(&log, clean, NOW.0).first_dirty.0;
        }
    }
    let tombstones_gone = NOW.0 + 2000;
    // Several segments become one.
    log.set_config(LogConfig { segment_bytes: 5000, ..config() });
    let range = log.cleanable(Some(Offset(clean)), log.log_end(), NOW).unwrap();
    let mut map = OffsetMap::with_memory(1 << 20, 0.9);
    let settings = CompactSettings { now: Timestamp(tombstones_gone), ..SETTINGS };
    disk.set_plan(until_power_fails(changes));
    let done = log.compact(&range, &mut map, &settings, &mut |_| ControlFlow::Continue(()));
    let finished = done.is_ok();
    let written = log.log_end().0;
    let mut random = Random::new(seed << 16 | changes as u64);
    disk.clear_plan();
    if !log.is_out_of_use() {
        model.check(&log, clean).map_err(|why| format!("still alive: {why}"))?;
    }
    drop(log);
    disk = if power_lost { disk.crash(random.next_u64()) } else { disk.kill() };
    // Now and then the next start is broken off as well.
    while random.below(3) == 0 {
        disk.set_plan(until_power_fails(random.below(12)));
        let _ = open_on(&disk, Offset(clean));
        disk = if power_lost { disk.crash(random.next_u64()) } else { disk.kill() };
    }
    for start in ["first", "second"] {
        let log = open_on(&disk, Offset(if random.below(2) == 0 { clean } else { 0 }))?;
        let at_least = if power_lost { flushed } else { written };
        if log.log_end().0 < at_least {
            return Err(format!("{start} start: {at_least} was flushed, and the log ends at {}", log.log_end()));
        }
        model.check(&log, clean).map_err(|why| format!("{start} start: {why}"))?;
        let names = disk.list(dir()).unwrap();
        let left = |path: &std::path::PathBuf| path.extension().is_some_and(|s| s == "swap" || s == "cleaned");
        if let Some(left) = names.iter().find(|path| left(path)) {
            return Err(format!("{start} start: {} is left", left.display()));
        }
        drop(log);
        disk = disk.kill();
    }
    // And it goes on.
    let log = open_on(&disk, Offset::ZERO)?;
    log.flush().unwrap();
    let done = compact_all(&log, 0, tombstones_gone);
    model.check(&log, done.first_dirty.0).map_err(|why| format!("the next pass: {why}"))?;
    Ok(finished)
}

#[test]
fn a_pass_that_is_broken_off_anywhere_loses_nothing() {
    for (power_lost, seeds) in [(false, 2), (true, 6)] {
        let (mut changes, mut finished) = (0, false);
        while !finished {
            finished = true;
            for seed in 0..seeds {
                let life = broken_off_after(changes, seed, power_lost);
                finished &=
                    life.unwrap_or_else(|why| panic!("{changes} changes, seed {seed}, power lost {power_lost}: {why}"));
            }
            changes += 1;
        }
        println!("{changes} changes");
        assert!(changes > 40);
    }
}

#[test]
fn planted_mistakes_of_compaction_are_found() {
    for fault in [Fault::SkipCleanedSync, Fault::SkipSwapDecision, Fault::CompactUnflushed] {
        let lives = (0..80).flat_map(|changes| (0..12).map(move |seed| (changes, seed)));
        let found = plant(fault, || {
            lives.into_iter().find_map(|(changes, seed)| {
                // A log that cannot be read is found, too.
                let life = std::panic::catch_unwind(|| broken_off_after(changes, seed, true));
                life.unwrap_or_else(|_| Err("a panic".to_owned())).err()
            })
        });
        println!("{fault:?}: {found:?}");
        assert!(found.is_some(), "{fault:?} goes unnoticed");
    }
}

/// A log whose epochs have lost their first records or all of them, killed or without power, and opened again: whether each
/// epoch ends where it did.
fn epochs_end_where_they_did(seed: u64) -> bool {
    let disk = new_disk(seed);
    let log = open_on(&disk, Offset::ZERO).unwrap();
    for (key, epoch) in [("0", 1), ("k", 2), ("k", 2), ("3", 2), ("k", 4), ("k", 4), ("k", 5)] {
        log.append_as_leader(&unique_of(key), LeaderEpoch(epoch), NOW).unwrap();
    }
    log.roll_now(NOW).unwrap();
    log.append_as_leader(&unique_of("7"), LeaderEpoch(5), NOW).unwrap();
    log.flush().unwrap();
    let ends = |log: &Log| (0..=5).map(|epoch| log.epoch_end_offset(LeaderEpoch(epoch))).collect::<Vec<_>>();
    let before = ends(&log);
    compact_all(&log, 0, NOW.0);
    let left: Vec<i64> = batches_of(&log).iter().map(|batch| batch.base_offset).collect();
    assert_eq!(left, [0, 3, 6, 7]);
    drop(log);
    let disk = if seed.is_multiple_of(2) { disk.kill() } else { disk.crash(seed) };
    ends(&open_on(&disk, Offset::ZERO).unwrap()) == before
}

#[test]
fn an_epoch_begins_where_it_did_after_its_first_records_are_gone() {
    assert!((0..20).all(epochs_end_where_they_did));
    assert!(!plant(Fault::EpochsBeginWithBatches, || (0..20).all(epochs_end_where_they_did)));
}

/// One batch that compaction has left of several, in the newest segment, and a recovery point that was noted when there were more.
#[test]
fn a_compacted_batch_lies_across_the_recovery_point() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("orders-3");
    let (log, _) = open_with(&path, &config(), true, 0);
    let one = BatchBuilder::new(Codec::None).base_offset(0).leader_epoch(0);
    let one = one.record(NOW.0, Some(b"a"), Some(b"v")).last_offset(9);
    let after = stored(&unique_of("b"), 10, 0);
    let bytes = Bytes::from([&one.build()[..], &after].concat());
    log.append_as_follower(&bytes, LeaderEpoch(0), NOW).unwrap();
    log.flush().unwrap();
    drop(log);
    let reopened = || {
        let copied = copy(&path);
        let (log, recovered) = open_with(copied.path(), &config(), false, 5);
        (log.log_end(), recovered.truncated, recovered.damaged)
    };
    assert_eq!(reopened(), (Offset(11), None, 0));
    assert_ne!(plant(Fault::RefuseBatchAcrossRecoveryPoint, reopened).0, Offset(11));
}

/// Readers go on while segments are replaced, some of them with few files open: what they get is what was appended, and nothing
/// is missing that has to be there.
#[test]
fn readers_notice_nothing() {
    let disk = new_disk(1);
    let log = Arc::new(open_on(&disk, Offset::ZERO).unwrap());
    let mut random = Random::new(9);
    let mut model = Model::default();
    let mut grow = |count: usize| {
        for _ in 0..count {
            let batch = random_batch(&mut random, log.log_end().0);
            model.appended(&batch, log.log_end().0);
            append(&log, &batch);
        }
        log.flush().unwrap();
        model.clone()
    };
    let first = Arc::new(grow(200));
    // No later record has this key: it has to be found whatever goes on.
    let unique = checked(BatchBuilder::new(Codec::None).record(NOW.0 + 50_000, Some(b"unique"), Some(b"v")));
    let at = append(&log, &unique).base_offset;
    log.roll_now(NOW).unwrap();
    append(&log, &unique_of("other"));
    log.flush().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|seed| {
            let (log, stop, first) = (Arc::clone(&log), Arc::clone(&stop), Arc::clone(&first));
            std::thread::spawn(move || {
                let (mut random, mut reads) = (Random::new(seed), 0);
                while !stop.load(Ordering::Relaxed) {
                    let from = Offset(random.below(at.0 as usize) as i64);
                    let slice = log.read(from, 3000, log.log_end(), true).unwrap();
                    assert!(slice.next_offset > from);
                    for header in headers(&slice.bytes) {
                        assert!(header.last_offset() >= from.0, "{header:?} for {from}");
                    }
                    let (batch, _) = Batch::split_first(&slice.bytes).unwrap();
                    batch.verify_crc().unwrap();
                    for record in batch.records(1 << 20).unwrap().map(Result::unwrap) {
                        assert!(record.offset >= at.0 || first.0[&record.offset] == record);
                    }
                    let found = log.offset_for_timestamp(Timestamp(NOW.0 + 50_000)).unwrap();
                    assert_eq!(found.map(|found| found.offset), Some(at));
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for pass in 0..40 {
        // The clean part becomes few segments, which are taken apart no more: begin with small groups.
        log.set_config(LogConfig { segment_bytes: 1500 + pass * 100, ..config() });
        compact_all(&log, 0, NOW.0);
    }
    stop.store(true, Ordering::Relaxed);
    let reads: Vec<i32> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(reads.iter().all(|reads| *reads > 0), "{reads:?}");
}

fn unique_of(key: &str) -> Checked {
    checked(BatchBuilder::new(Codec::None).record(NOW.0, Some(key.as_bytes()), Some(b"v")))
}
