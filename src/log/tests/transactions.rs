//! Transactions: whatever happens to a log, what its index, its last stable offset and its producer state say is what a walk over
//! its batches finds.

use std::collections::BTreeMap;

use felice_protocol::record::EndTransactionMarker;
use rustix::io::Errno;

use super::*;
use crate::{
    env::{
        Disk,
        disk::sim::{Answer, Call, Random, SimDisk},
    },
    model::{ProducerEpoch, ProducerId},
};

/// A transaction as the batches tell it; `marker` and whether it committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transaction {
    producer: i64,
    first: i64,
    end: Option<(i64, bool)>,
}

/// Walks over a log's batches, knowing nothing of indexes.
fn transactions_in(log: &Log) -> Vec<Transaction> {
    let mut all = Bytes::from(everything(log));
    let mut open: BTreeMap<i64, i64> = BTreeMap::new();
    let mut found = Vec::new();
    while !all.is_empty() {
        let (batch, rest) = Batch::split_first(&all).unwrap();
        let header = *batch.header();
        if header.is_control() {
            let record = batch.records(100).unwrap().next().unwrap().unwrap();
            let marker = EndTransactionMarker::parse(&record).unwrap().unwrap();
            if let Some(first) = open.remove(&header.producer_id) {
                let end = Some((header.base_offset, marker.committed));
                found.push(Transaction { producer: header.producer_id, first, end });
            }
        } else if header.is_transactional() {
            open.entry(header.producer_id).or_insert(header.base_offset);
        }
        all = rest;
    }
    found.extend(open.into_iter().map(|(producer, first)| Transaction { producer, first, end: None }));
    found
}

/// All batches, those below the log start included.
fn everything(log: &Log) -> Vec<u8> {
    let path = |base: &Offset| log.dir().join(format!("{:020}.log", base.0));
    log.segment_bases().iter().flat_map(|base| log.disk.read(&path(base)).unwrap()).collect()
}

fn last_stable(transactions: &[Transaction], log: &Log, high_watermark: i64) -> i64 {
    let undecided = transactions.iter().filter(|it| it.end.is_none_or(|(marker, _)| marker >= high_watermark));
    let first = undecided.map(|it| it.first).min().unwrap_or(i64::MAX);
    first.max(log.log_start().0).min(high_watermark)
}

fn aborted(transactions: &[Transaction], from: i64, until: i64) -> Vec<(i64, i64, i64)> {
    let concerned = |it: &&Transaction| it.first < until;
    let ended = transactions.iter().filter(concerned).filter_map(|it| match it.end {
        Some((marker, false)) if marker >= from => Some((it.first, it.producer, marker)),
        _ => None,
    });
    let mut found: Vec<_> = ended.collect();
    found.sort_unstable();
    found
}

fn told(log: &Log, from: i64, until: i64) -> Vec<(i64, i64, i64)> {
    let found = log.aborted_transactions(Offset(from), Offset(until)).unwrap();
    found.iter().map(|it| (it.first_offset.0, it.producer_id.0, it.last_offset.0)).collect()
}

fn end(producer: i64, epoch: i16, committed: bool) -> TransactionEnd {
    TransactionEnd {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        marker: EndTransactionMarker { committed, coordinator_epoch: 3 },
        transaction_version: 1,
    }
}

fn transactional(producer: i64, sequence: i32, count: usize) -> Checked {
    let builder = BatchBuilder::new(Codec::None).producer(producer, 0, sequence).transactional();
    checked(records(builder, count, 30, NOW.0))
}

fn mark(log: &Log, producer: i64, committed: bool) -> Appended {
    log.append_marker(&end(producer, 0, committed), LeaderEpoch(0), NOW).unwrap()
}

/// What a restart must bring back, but for when this broker heard of each.
fn producer_state(log: &Log) -> Vec<String> {
    let appender = log.appender.lock();
    let told = |(id, producer): (ProducerId, &producers::Producer)| {
        format!("{id:?} {:?}", producers::Producer { last_seen: Timestamp::NONE, ..producer.clone() })
    };
    appender.producers.sorted().into_iter().map(told).collect()
}

#[test]
fn the_index_is_kafkas() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig::default(), true, 0);
    let file = dir.path().join("00000000000000000000.txnindex");
    append(&log, &transactional(7, 0, 2)); // 0, 1
    append(&log, &transactional(8, 0, 3)); // 2 to 4
    mark(&log, 9, false); // 5: ends nothing
    assert_eq!((mark(&log, 8, true).base_offset.0, file.exists()), (6, false));
    append(&log, &transactional(8, 3, 1)); // 7
    mark(&log, 7, false); // 8
    mark(&log, 8, false); // 9
    let number = |number: i64| number.to_be_bytes().to_vec();
    let entry = |numbers: [i64; 4]| [vec![0, 0], numbers.map(number).concat()].concat();
    assert_eq!(fs::read(&file).unwrap(), [entry([7, 0, 8, 7]), entry([8, 7, 9, 10])].concat());
    assert_eq!(told(&log, 0, 10), [(0, 7, 8), (7, 8, 9)]);
    assert_eq!(told(&log, 9, 10), [(7, 8, 9)], "a transaction reaches up to its marker");
    assert_eq!((told(&log, 0, 0), told(&log, 0, 1)), (vec![], vec![(0, 7, 8)]));
    // Offset 0 is the first that is undecided until the marker at 8 can be read; then 7.
    let stable = |high_watermark| log.last_stable_offset(Offset(high_watermark)).0;
    assert_eq!([0, 5, 8, 9, 10].map(stable), [0, 0, 0, 7, 10]);
    assert_eq!(stable(9), 9, "what was once seen below the high watermark is decided");
}

#[test]
fn markers_are_fenced() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig::default(), true, 0);
    append(&log, &transactional(7, 0, 2));
    let coordinator = |coordinator_epoch| TransactionEnd {
        marker: EndTransactionMarker { committed: true, coordinator_epoch },
        ..end(7, 0, true)
    };
    log.append_marker(&coordinator(5), LeaderEpoch(0), NOW).unwrap();
    let fenced = log.append_marker(&coordinator(4), LeaderEpoch(0), NOW);
    assert!(matches!(fenced, Err(AppendError::Producer(producers::ProducerError::CoordinatorFenced { .. }))));
    let fenced = log.append_marker(&end(7, -1, true), LeaderEpoch(0), NOW);
    assert!(matches!(fenced, Err(AppendError::Producer(_))), "{fenced:?}");
    assert_eq!(log.log_end(), Offset(3));
}

#[test]
fn a_transaction_over_many_segments_is_found_from_each_of_them() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    for at in 0..40 {
        append(&log, &transactional(7, at, 1));
        append(&log, &transactional(8 + i64::from(at % 3), at / 3, 1));
        if at % 3 == 2 {
            for producer in 8..11 {
                mark(&log, producer, producer == 9);
            }
        }
    }
    mark(&log, 7, false);
    assert!(log.segment_bases().len() > 5);
    let transactions = transactions_in(&log);
    let end = log.log_end().0;
    for from in 0..end {
        for until in [from + 1, from + 9, end] {
            assert_eq!(told(&log, from, until.min(end)), aborted(&transactions, from, until), "{from} {until}");
        }
    }
    assert!(told(&log, 3, 4).contains(&(0, 7, end - 1)));
}

/// Whatever happens to an index that nobody looked at since the last stop, it is noticed and made anew; but for changes that leave it
/// plausible.
#[test]
fn a_damaged_index_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    append(&log, &transactional(7, 0, 1));
    for at in 0..30 {
        append(&log, &transactional(8, at, 1));
        mark(&log, 8, at % 3 == 0);
        append(&log, &transactional(9, at, 1));
        mark(&log, 9, at % 2 == 0);
    }
    mark(&log, 7, false);
    log.close().unwrap();
    let (expected, end) = (aborted(&transactions_in(&log), 0, log.log_end().0), log.log_end().0);
    let bases = log.segment_bases();
    assert!(bases.len() > 4);
    let index = |dir: &Path, at: usize| dir.join(format!("{:020}.txnindex", bases[at].0));
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("half an entry", |bytes| bytes.truncate(bytes.len() - 17)),
        ("another version", |bytes| bytes[1] ^= 1),
        ("zeroes", |bytes| bytes[34..].fill(0)),
        ("an entry twice", |bytes| bytes.extend_from_within(..34)),
        ("a last offset below the segment", |bytes| bytes[18..26].fill(0)),
        ("a first offset beyond the last", |bytes| bytes[10] = 1),
    ];
    for (name, damage) in damages {
        for at in [0, bases.len() - 2] {
            let copied = copy(dir.path());
            let path = index(copied.path(), at);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let (log, _) = open_with(copied.path(), &small(), true, 0);
            assert_eq!(told(&log, 0, end), expected, "{name}, segment {at}");
            let slice = log.slice_committed(bases[at], ALL, Offset(end), true, ALL).unwrap();
            assert!(!slice.aborted.is_empty());
            assert!(fs::read(&path).unwrap() == fs::read(index(dir.path(), at)).unwrap(), "{name}, segment {at}");
            // A truncation that meets it does as well.
            fs::write(&path, &bytes).unwrap();
            let (log, _) = open_with(copied.path(), &small(), true, 0);
            let cut = bases[at + 1].0 - 2;
            log.truncate_to(Offset(cut), NOW, |_| Ok::<(), LogError>(())).unwrap();
            let stable = log.last_stable_offset(log.log_end()).0;
            assert_eq!(stable, 0, "the first transaction is open again");
            let ended: Vec<_> = expected.iter().filter(|it| it.2 < log.log_end().0).copied().collect();
            assert_eq!(told(&log, 0, end), ended, "{name}, segment {at}, cut");
        }
    }
}

/// A log on a disk of its own, and what its next start would be told.
struct Life {
    random: Random,
    disk: Arc<SimDisk>,
    log: Log,
    recovery_point: Offset,
    /// What each producer would send next.
    sequences: BTreeMap<i64, i32>,
}

/// Random lives of a log: producers in and out of transactions, rolls, truncations, full disks, restarts after stops, kills and
/// power losses.
#[test]
fn a_log_always_knows_its_transactions() {
    let seeds = std::env::var("FELICE_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let log = open(&disk, true, Offset::ZERO);
        let random = Random::new(seed);
        let mut life = Life { random, disk, log, recovery_point: Offset::ZERO, sequences: BTreeMap::new() };
        for step in 0..150 {
            life.step(&format!("seed {seed}, step {step}"));
        }
    }
}

fn open(disk: &Arc<SimDisk>, clean: bool, recovery_point: Offset) -> Log {
    let start = Start { clean, recovery_point, log_start: Offset::ZERO };
    let disk: Arc<dyn Disk> = disk.clone();
    let id = TopicId(Uuid([7; 16]));
    Log::open(disk, Path::new("/data/orders-3"), partition(), id, small(), start, NOW).unwrap().0
}

impl Life {
    fn step(&mut self, name: &str) {
        match self.random.below(100) {
            0..45 => self.append_data(),
            45..55 => drop(self.log.append_as_leader(&batch(2, 40, NOW.0), LeaderEpoch(0), NOW).unwrap()),
            55..80 => self.append_marker(),
            80..84 => self.log.roll_now(NOW).unwrap(),
            84..88 => drop(self.log.flush().unwrap()),
            88..91 => {
                self.log.flush().unwrap();
                self.recovery_point = self.log.recovery_point();
            }
            91..93 => self.truncate(),
            93..95 => {
                let mut short = Some(self.random.between(1, 70));
                self.disk.set_plan(move |call| match call {
                    Call::Write { .. } => short.take().map_or(Answer::Fail(Errno::NOSPC), Answer::Short),
                    _ => Answer::Proceed,
                });
                assert!(self.log.append_marker(&end(1, 0, false), LeaderEpoch(0), NOW).is_err());
                self.disk.clear_plan();
            }
            95 => {
                let _ = self.log.flush();
                let end = self.log.flushed();
                self.log.advance_log_start(Offset(self.random.below(1 + end.0 as usize) as i64));
            }
            _ => self.restart(name),
        }
        self.check(name);
    }

    fn append_data(&mut self) {
        let (producer, count) = (1 + self.random.below(4) as i64, self.random.between(1, 4));
        let sequence = self.sequences.entry(producer).or_default();
        let batch = transactional(producer, *sequence, count);
        if self.random.below(2) == 0 {
            assert!(!self.log.append_as_leader(&batch, LeaderEpoch(0), NOW).unwrap().duplicate);
        } else {
            let bytes = Bytes::from(stored(&batch, self.log.log_end().0, 0));
            self.log.append_as_follower(&bytes, LeaderEpoch(0), NOW).unwrap();
        }
        *sequence += count as i32;
    }

    fn append_marker(&mut self) {
        let (producer, committed) = (1 + self.random.below(4) as i64, self.random.below(2) == 0);
        if self.random.below(3) == 0 {
            mark(&self.log, producer, committed);
            return;
        }
        // Among others, as a leader sends them.
        let marker = EndTransactionMarker { committed, coordinator_epoch: 3 }.batch(producer, 0, NOW.0 + 9);
        let (marker, _) = Batch::split_first(&marker).unwrap();
        let marker = Checked { header: *marker.header(), payload: marker.payload() };
        let base = self.log.log_end().0;
        let bytes = [
            stored(&batch(1, 5, NOW.0), base, 0),
            stored(&marker, base + 1, 0),
            stored(&batch(2, 5, NOW.0), base + 2, 0),
        ];
        self.log.append_as_follower(&Bytes::from(bytes.concat()), LeaderEpoch(0), NOW).unwrap();
    }

    fn truncate(&mut self) {
        let to = Offset(self.random.below(1 + self.log.log_end().0 as usize) as i64).max(self.log.log_start());
        let store = |scalars: Scalars| {
            self.recovery_point = self.recovery_point.min(scalars.recovery_point);
            Ok::<(), LogError>(())
        };
        self.log.truncate_to(to, NOW, store).unwrap();
        self.go_on();
    }

    /// Producers go on from what the log knows of them.
    fn go_on(&mut self) {
        let appender = self.log.appender.lock();
        for (producer, sequence) in &mut self.sequences {
            let known = appender.producers.producer(ProducerId(*producer));
            *sequence = known.and_then(|known| known.batches.last()).map_or(0, |last| last.last_sequence + 1);
        }
    }

    fn restart(&mut self, name: &str) {
        let before = producer_state(&self.log);
        let how = self.random.below(3);
        if how == 0 {
            self.log.close().unwrap();
            self.recovery_point = self.log.log_end();
        }
        let seed = self.random.next_u64();
        self.disk = if how == 2 { self.disk.crash(seed) } else { self.disk.kill() };
        self.log = open(&self.disk, how == 0, self.recovery_point);
        if how < 2 {
            assert_eq!(producer_state(&self.log), before, "{name}: a {}", ["clean restart", "kill"][how]);
        }
        self.go_on();
    }

    fn check(&mut self, name: &str) {
        let transactions = transactions_in(&self.log);
        let (start, end) = (self.log.log_start().0, self.log.log_end().0);
        // What was seen below a high watermark is decided, also where a lower one is asked for later: so only the end is.
        let stable = last_stable(&transactions, &self.log, end);
        assert_eq!(self.log.last_stable_offset(Offset(end)).0, stable, "{name}: last stable offset");
        let from = start + self.random.below(1 + (stable - start) as usize) as i64;
        let until = stable.min(from + self.random.below(40) as i64);
        let expected = if from < until { aborted(&transactions, from, until) } else { Vec::new() };
        assert_eq!(told(&self.log, from, until), expected, "{name}: aborted from {from} to {until}");
    }
}

/// A partition that Apache Kafka 4.3.1 wrote: three transactional producers and a plain one, among them gzip and snappy, some
/// transactions open at the end (`compat/files/run fixture`).
#[test]
fn kafkas_own_partition_is_read_and_indexed_as_kafka_did() {
    let kafka = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/log/tests/kafka"));
    let topic_id = read_partition_metadata(&RealDisk, kafka).unwrap().unwrap();
    let file = |dir: &Path, suffix: &str| fs::read(dir.join(format!("00000000000000000000.{suffix}"))).unwrap();
    let snapshot = fs::read(kafka.join("00000000000000000173.snapshot")).unwrap();
    for clean in [true, false] {
        let dir = copy(kafka);
        let start = Start { clean, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
        let config = LogConfig::default();
        let opened = Log::open(Arc::new(RealDisk), dir.path(), partition(), topic_id, config, start, NOW);
        let (log, recovered) = opened.unwrap();
        assert_eq!((log.log_end(), recovered.truncated, recovered.producers), (Offset(173), None, 4), "clean: {clean}");
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
        let transactions = transactions_in(&log);
        let stable = last_stable(&transactions, &log, 173);
        assert!(stable < 173 && transactions.iter().any(|it| it.end.is_none()));
        assert_eq!(log.last_stable_offset(Offset(173)).0, stable);
        assert_eq!(told(&log, 0, stable), aborted(&transactions, 0, stable));
        log.close().unwrap();
        for suffix in ["log", "txnindex"] {
            assert!(file(dir.path(), suffix) == file(kafka, suffix), "{suffix}, clean: {clean}");
        }
        let ours = fs::read(dir.path().join("00000000000000000173.snapshot")).unwrap();
        let entries = |snapshot: &[u8], count: usize| {
            let mut entries: Vec<Vec<u8>> = snapshot[10..].chunks(46).take(count).map(<[u8]>::to_vec).collect();
            entries.sort();
            entries
        };
        assert_eq!(snapshot.len(), 10 + 4 * 46);
        assert_eq!(entries(&ours, 4), entries(&snapshot, 4), "clean: {clean}");
    }
}
