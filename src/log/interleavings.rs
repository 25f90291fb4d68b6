//! What readers see of a log while others append, flush, roll, delete and cut: every order of a few threads' steps that
//! Shuttle comes across, on a disk in memory. `cargo test --lib --features interleave interleavings`

use std::{path::Path, sync::Arc};

use felice_protocol::record::{Batch, BatchBuilder, Checked, Codec};
use shuttle::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{Log, LogConfig, LogError, ReadError, Recovered, Start};
use crate::{
    env::{Disk, disk::sim::SimDisk, sync::in_many_orders},
    model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicPartition, Uuid},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const RUNS: usize = 400;

/// An empty log, on a disk where each segment takes about three batches.
fn log() -> (Arc<Log>, Arc<SimDisk>) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).and_then(|()| disk.sync_dir(Path::new("/"))).expect("a data folder");
    let partition = TopicPartition { topic: "t".into(), partition: PartitionIndex(0) };
    let config = LogConfig { segment_bytes: 300, index_interval_bytes: 1, ..LogConfig::default() };
    let start = Start { clean: false, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
    let dir = Path::new("/data/t-0");
    let opened = Log::open(disk.clone(), dir, partition, TopicId(Uuid([7; 16])), config, start, NOW);
    (Arc::new(opened.expect("an empty disk").0), disk)
}

/// Two records that tell the offset they should have.
fn batch(base: i64) -> Checked {
    let value = |offset: i64| offset.to_string().into_bytes();
    let builder = BatchBuilder::new(Codec::None);
    let builder = builder.record(NOW.0, None, Some(&value(base))).record(NOW.0, None, Some(&value(base + 1)));
    let bytes = builder.build();
    let (batch, _) = Batch::split_first(&bytes).expect("one batch");
    Checked { header: *batch.header(), payload: batch.payload() }
}

/// The bytes are whole batches, the first of which contains `from`, and each record is at the offset that it tells.
fn check(mut bytes: &[u8], from: Offset, until: Offset) {
    let mut next = None;
    while !bytes.is_empty() {
        let whole = bytes::Bytes::copy_from_slice(bytes);
        let (batch, _) = Batch::split_first(&whole).expect("a whole batch");
        batch.verify_crc().expect("the batch that was appended");
        let header = batch.header();
        match next {
            None => assert!(header.base_offset <= from.0 && from.0 <= header.last_offset()),
            Some(next) => assert_eq!(header.base_offset, next),
        }
        assert!(header.last_offset() < until.0, "{} is not below {until}", header.last_offset());
        for record in batch.records(1 << 20).expect("uncompressed") {
            let record = record.expect("a record");
            let told: i64 = std::str::from_utf8(record.value.as_deref().unwrap_or_default()).unwrap().parse().unwrap();
            assert_eq!(record.offset, told);
        }
        next = Some(header.next_offset());
        bytes = &bytes[header.size()..];
    }
}

/// Reads what there is from `from` up to the log end, as a consumer would; returns where to go on.
fn read_on(log: &Log, from: Offset) -> Offset {
    let until = log.log_end();
    match log.read(from, 200, until, true) {
        Ok(slice) => {
            check(&slice.bytes, from, until);
            assert!(slice.next_offset >= from);
            slice.next_offset
        }
        Err(ReadError::OutOfRange { log_start, log_end, .. }) => {
            assert!(from < log_start || from > log_end);
            log_start.max(from.min(log_end))
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_reader_sees_whole_batches_in_order_while_others_append_roll_and_flush() {
    in_many_orders(RUNS, || {
        let (log, _disk) = log();
        let appender = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for at in 0..6 {
                    let appended = log.append_as_leader(&batch(at * 2), LeaderEpoch(0), NOW).expect("appended");
                    assert_eq!(appended.base_offset, Offset(at * 2));
                }
            })
        };
        let flusher = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for _ in 0..2 {
                    let asked = log.log_end();
                    let flushed = log.flush().expect("flushed");
                    assert!(flushed >= asked && log.flushed() >= flushed && log.log_end() >= log.flushed());
                }
            })
        };
        let mut from = Offset::ZERO;
        for _ in 0..6 {
            from = read_on(&log, from);
        }
        appender.join().unwrap();
        flusher.join().unwrap();
        while from < log.log_end() {
            from = read_on(&log, from);
        }
        assert_eq!(from, Offset(12));
    });
}

#[test]
fn what_a_flush_returned_for_is_on_the_disk() {
    in_many_orders(RUNS / 2, || {
        let (log, disk) = log();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (log, disk) = (Arc::clone(&log), Arc::clone(&disk));
                thread::spawn(move || {
                    for _ in 0..2 {
                        // The offsets are anyone's; what counts is where the log is safe.
                        let appended = log.append_as_leader(&batch(0), LeaderEpoch(0), NOW).expect("appended");
                        let flushed = log.flush().expect("flushed");
                        assert!(flushed > appended.last_offset);
                        let left = disk.fork().crash(flushed.0 as u64);
                        let (found, recovered) = what_is_left(left);
                        assert!(found.log_end() >= flushed, "{found:?} of {flushed}: {recovered:?}");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn what_is_left(disk: Arc<SimDisk>) -> (Log, Recovered) {
    let partition = TopicPartition { topic: "t".into(), partition: PartitionIndex(0) };
    let start = Start { clean: false, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
    let dir = Path::new("/data/t-0");
    let opened = Log::open(disk, dir, partition, TopicId(Uuid([7; 16])), LogConfig::default(), start, NOW);
    opened.expect("a log")
}

#[test]
fn a_reader_never_sees_a_batch_that_was_cut_off_nor_one_half_cut() {
    in_many_orders(RUNS, || {
        let (log, _disk) = log();
        for at in 0..5 {
            log.append_as_leader(&batch(at * 2), LeaderEpoch(0), NOW).expect("appended");
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let cutter = {
            let (log, is_over) = (Arc::clone(&log), Arc::clone(&is_over));
            thread::spawn(move || {
                for at in [4, 2, 6] {
                    let end = log.truncate_to(Offset(at), NOW, |_| Ok::<_, LogError>(())).expect("cut");
                    assert!(end.0 <= at);
                    for base in (end.0..end.0 + 4).step_by(2) {
                        log.append_as_leader(&batch(base), LeaderEpoch(0), NOW).expect("appended");
                    }
                }
                is_over.store(true, Ordering::SeqCst);
            })
        };
        let mut from = Offset::ZERO;
        for _ in 0..8 {
            from = read_on(&log, from);
            if from >= log.log_end() {
                from = Offset::ZERO;
            }
        }
        cutter.join().unwrap();
        assert!(is_over.load(Ordering::SeqCst));
        let mut from = Offset::ZERO;
        while from < log.log_end() {
            from = read_on(&log, from);
        }
    });
}

#[test]
fn the_log_start_never_goes_back_and_nothing_below_is_read() {
    in_many_orders(RUNS, || {
        let (log, _disk) = log();
        for at in 0..4 {
            log.append_as_leader(&batch(at * 2), LeaderEpoch(0), NOW).expect("appended");
        }
        let deleters: Vec<_> = [3, 5]
            .into_iter()
            .map(|to| {
                let log = Arc::clone(&log);
                thread::spawn(move || assert!(log.advance_log_start(Offset(to)) >= Offset(to)))
            })
            .collect();
        let mut known = Offset::ZERO;
        for from in 0..6 {
            let before = log.log_start();
            assert!(before >= known);
            known = before;
            match log.read(Offset(from), 200, log.log_end(), true) {
                Ok(slice) => check(&slice.bytes, Offset(from), log.log_end()),
                Err(ReadError::OutOfRange { log_start, .. }) => assert!(Offset(from) < log_start),
                Err(error) => panic!("{error}"),
            }
            assert!(Offset(from) >= before || log.read(Offset(from), 200, log.log_end(), true).is_err());
        }
        deleters.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(log.log_start(), Offset(5));
    });
}
