//! The log as a whole: against a model, across restarts, with torn and corrupt files, read while written.

mod agreement;
mod compaction;
mod crash;
mod damage;
mod kafka_cleaned;
mod opening;
mod retention;
mod transactions;
mod truncation;

use std::{
    fs::{self, OpenOptions},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use felice_protocol::{
    record::{Batch, BatchBuilder, BatchHeader, Checked, Codec, HEADER_LEN},
    wire::Records,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    env::RealDisk,
    model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicPartition, Uuid},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const ALL: usize = usize::MAX >> 1;

fn partition() -> TopicPartition {
    TopicPartition { topic: "orders".into(), partition: PartitionIndex(3) }
}

fn open_with(dir: &Path, config: &LogConfig, clean: bool, recovery_point: i64) -> (Log, Recovered) {
    let start = Start { clean, recovery_point: Offset(recovery_point), log_start: Offset::ZERO };
    Log::open(Arc::new(RealDisk), dir, partition(), TopicId(Uuid([7; 16])), config.clone(), start, NOW).unwrap()
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 2000, index_interval_bytes: 200, ..LogConfig::default() }
}

/// One batch of `count` records whose values are `size` bytes, the first at `timestamp`, one a millisecond.
fn batch(count: usize, size: usize, timestamp: i64) -> Checked {
    checked(records(BatchBuilder::new(Codec::None), count, size, timestamp))
}

fn records(mut builder: BatchBuilder, count: usize, size: usize, timestamp: i64) -> BatchBuilder {
    for at in 0..count {
        builder = builder.record(timestamp + at as i64, None, Some(&vec![b'a' + (size % 26) as u8; size]));
    }
    builder
}

fn checked(builder: BatchBuilder) -> Checked {
    let (batch, rest) = Batch::split_first(&builder.build()).unwrap();
    assert!(rest.is_empty());
    Checked { header: *batch.header(), payload: batch.payload() }
}

fn idempotent(id: i64, epoch: i16, sequence: i32, count: usize) -> Checked {
    checked(records(BatchBuilder::new(Codec::None).producer(id, epoch, sequence), count, 10, NOW.0))
}

fn append(log: &Log, batch: &Checked) -> Appended {
    log.append_as_leader(batch, LeaderEpoch(0), NOW).unwrap()
}

/// A batch as it must lie in the log.
fn stored(batch: &Checked, base: i64, epoch: i32) -> Vec<u8> {
    [&batch.header_at(base, epoch)[..], &batch.payload].concat()
}

fn headers(mut bytes: &[u8]) -> Vec<BatchHeader> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::parse(bytes).unwrap();
        bytes = &bytes[header.size()..];
        found.push(header);
    }
    found
}

/// Everything in the log, read in steps of one batch, each checked by its CRC.
fn read_all(log: &Log) -> Vec<u8> {
    let (mut all, mut from) = (Vec::new(), log.log_start());
    while from < log.log_end() {
        let slice = log.read(from, 0, log.log_end(), true).unwrap();
        let (batch, rest) = Batch::split_first(&slice.bytes).unwrap();
        batch.verify_crc().unwrap();
        assert!(rest.is_empty() && slice.next_offset > from && slice.base_offset <= from);
        all.extend_from_slice(&slice.bytes);
        from = slice.next_offset;
    }
    all
}

#[test]
fn what_is_appended_is_read_back() {
    let dir = TempDir::new().unwrap();
    let (log, recovered) = open_with(dir.path(), &LogConfig::default(), true, 0);
    assert_eq!((recovered.segments, log.log_end()), (1, Offset(0)));
    let batches = [batch(3, 100, 1000), batch(1, 0, 2000), batch(10, 50, 1500)];
    let bases = [0, 3, 4];
    for (batch, base) in batches.iter().zip(bases) {
        let appended = append(&log, batch);
        assert_eq!((appended.base_offset.0, appended.duplicate), (base, false));
        assert_eq!(appended.log_append_time, Timestamp::NONE);
    }
    assert_eq!(log.log_end(), Offset(14));
    let expected: Vec<Vec<u8>> = batches.iter().zip(bases).map(|(batch, base)| stored(batch, base, 0)).collect();
    let read = |from: i64, max, until: i64, one| log.read(Offset(from), max, Offset(until), one).unwrap();

    assert_eq!(read(0, ALL, 14, true).bytes, expected.concat());
    let middle = read(1, ALL, 14, true);
    assert_eq!((middle.base_offset.0, middle.next_offset.0), (0, 14), "begins with the batch that contains 1");
    assert_eq!(read(3, ALL, 14, true).bytes, expected[1..].concat());
    assert_eq!(read(9, ALL, 14, true).bytes, expected[2]);
    let two = expected[0].len() + expected[1].len();
    for max in [two, two + 1, two + expected[2].len() - 1] {
        let slice = read(0, max, 14, false);
        assert_eq!((&slice.bytes[..], slice.next_offset.0), (&expected[..2].concat()[..], 4), "{max}");
    }
    assert_eq!(read(0, 10, 14, true).bytes, expected[0], "the first batch whole, however large");
    let none = read(0, expected[0].len() - 1, 14, false);
    assert_eq!((none.bytes.len(), none.next_offset.0), (0, 0));
    assert_eq!(read(0, ALL, 4, true).bytes, expected[..2].concat(), "nothing from `until` on");
    assert_eq!(read(0, ALL, 3, true).bytes, expected[0]);
    assert!(read(3, ALL, 3, true).bytes.is_empty() && read(14, ALL, 14, true).bytes.is_empty());
    assert!(read(4, ALL, 100, true).next_offset.0 == 14);
    for bad in [-1, 15] {
        assert!(matches!(log.read(Offset(bad), ALL, Offset(14), true), Err(ReadError::OutOfRange { .. })), "{bad}");
    }
}

#[test]
fn bytes_on_disk_are_kafkas_names_and_formats() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    for at in 0..30 {
        append(&log, &batch(2, 60, 1000 + at));
    }
    log.close().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let names: Vec<String> = names.into_iter().map(|name| name.into_string().unwrap()).collect();
    let mut expected = vec!["leader-epoch-checkpoint".to_owned(), "partition.metadata".to_owned()];
    for base in log.segment_bases() {
        expected.extend(["index", "log", "timeindex"].map(|suffix| format!("{:020}.{suffix}", base.0)));
        expected.push(format!("{:020}.snapshot", base.0));
    }
    expected.push(format!("{:020}.snapshot", log.log_end().0));
    expected.retain(|name| name != "00000000000000000000.snapshot");
    expected.sort();
    assert!(log.segment_bases().len() > 2, "{names:?}");
    assert_eq!(names, expected);
    assert_eq!(fs::read_to_string(dir.path().join("leader-epoch-checkpoint")).unwrap(), "0\n1\n0 0\n");

    // Every index entry names the last offset of the batch that begins at its position.
    for base in log.segment_bases() {
        let bytes = fs::read(dir.path().join(format!("{:020}.log", base.0))).unwrap();
        let index = fs::read(dir.path().join(format!("{:020}.index", base.0))).unwrap();
        assert!(index.len() >= 16, "an entry every 200 bytes");
        for entry in index.chunks(8) {
            let number = |at: usize| u32::from_be_bytes(entry[at..at + 4].try_into().unwrap());
            let header = BatchHeader::parse(&bytes[number(4) as usize..]).unwrap();
            assert_eq!(header.last_offset(), base.0 + i64::from(number(0)));
        }
        let times = fs::read(dir.path().join(format!("{:020}.timeindex", base.0))).unwrap();
        let last = &times[times.len() - 12..];
        let largest = headers(&bytes).iter().map(|header| header.max_timestamp).max().unwrap();
        assert_eq!(last[..8], largest.to_be_bytes(), "a closed segment ends with its largest timestamp");
    }
}

#[test]
fn rolls_by_size_age_index_and_on_demand() {
    let bases = |config: LogConfig, batches: &[Checked]| {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(dir.path(), &config, true, 0);
        for batch in batches {
            append(&log, batch);
        }
        let all = read_all(&log);
        assert_eq!(headers(&all).len(), batches.len());
        log.segment_bases().iter().map(|base| base.0).collect::<Vec<_>>()
    };
    let one = batch(1, 100, 1000);
    let size = one.header.size() as u64;
    let defaults = LogConfig::default;
    assert_eq!(bases(LogConfig { segment_bytes: 2 * size, ..defaults() }, &vec![one.clone(); 5]), [0, 2, 4]);
    assert_eq!(bases(LogConfig { segment_bytes: 3 * size - 1, ..defaults() }, &vec![one.clone(); 5]), [0, 2, 4]);
    let aging = [1000, 1500, 2000, 2001, 1000, 3002].map(|timestamp| batch(1, 10, timestamp));
    assert_eq!(bases(LogConfig { segment_ms: 1000, ..defaults() }, &aging), [0, 3, 5]);
    // With jitter each segment is somewhat younger, and by the records' own time.
    let every_ms: Vec<_> = (0..6000).step_by(10).map(|at| batch(1, 0, 1_000_000 + at)).collect();
    let jittered = bases(LogConfig { segment_ms: 1000, segment_jitter_ms: 600, ..defaults() }, &every_ms);
    let ages: Vec<i64> = jittered.windows(2).map(|pair| 10 * (pair[1] - pair[0])).collect();
    assert!(ages.iter().all(|age| (400..=1010).contains(age)), "{ages:?}");
    assert!(ages.iter().max() > ages.iter().min(), "{ages:?}");
    let indexed = LogConfig { index_interval_bytes: 0, segment_index_bytes: 36, ..defaults() };
    let ascending: Vec<_> = (0..8).map(|at| batch(1, 10, 1000 + at)).collect();
    let rolled = bases(indexed, &ascending);
    assert!(rolled.len() > 2, "a full index rolls: {rolled:?}");

    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &defaults(), true, 0);
    log.roll_now(NOW).unwrap();
    append(&log, &one);
    log.roll_now(NOW).unwrap();
    log.roll_now(NOW).unwrap();
    assert_eq!(log.segment_bases(), [Offset(0), Offset(1)], "an empty segment is not closed");
    let tiny = LogConfig { segment_bytes: size - 1, ..defaults() };
    log.set_config(tiny);
    let refused = log.append_as_leader(&one, LeaderEpoch(0), NOW);
    assert!(matches!(refused, Err(AppendError::LargerThanSegment { .. })));
}

#[test]
fn duplicates_survive_a_clean_restart_and_a_kill() {
    for clean in [true, false] {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(dir.path(), &small(), true, 0);
        for at in 0..8 {
            append(&log, &idempotent(4711, 0, at * 3, 3));
        }
        if clean {
            log.close().unwrap();
            assert!(log.append_as_leader(&idempotent(4711, 0, 24, 3), LeaderEpoch(0), NOW).is_err(), "closed");
        }
        drop(log);
        let (log, recovered) = open_with(dir.path(), &small(), clean, 0);
        assert_eq!((recovered.producers, recovered.bytes_checked > 0), (1, !clean));
        for at in 3..8 {
            let again = append(&log, &idempotent(4711, 0, at * 3, 3));
            assert!(again.duplicate, "batch {at}, clean: {clean}");
            assert_eq!((again.base_offset.0, again.last_offset.0), (i64::from(at) * 3, i64::from(at) * 3 + 2));
            assert_eq!(again.log_append_time.0, NOW.0 + 2);
        }
        let forgotten = log.append_as_leader(&idempotent(4711, 0, 6, 3), LeaderEpoch(0), NOW);
        assert!(matches!(forgotten, Err(AppendError::Producer(producers::ProducerError::OutOfOrderSequence { .. }))));
        assert_eq!(log.log_end(), Offset(24));
        assert_eq!(append(&log, &idempotent(4711, 0, 24, 1)).base_offset, Offset(24));
    }
}

#[test]
fn leader_epochs_fence_and_are_found_again() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    let one = batch(2, 10, 1000);
    for epoch in [1, 1, 4] {
        log.append_as_leader(&one, LeaderEpoch(epoch), NOW).unwrap();
    }
    let fenced = log.append_as_leader(&one, LeaderEpoch(3), NOW);
    assert!(matches!(fenced, Err(AppendError::FencedLeaderEpoch { .. })));
    let check = |log: &Log| {
        assert_eq!(log.epoch_end_offset(LeaderEpoch(1)), Some((LeaderEpoch(1), Offset(4))));
        assert_eq!(log.epoch_end_offset(LeaderEpoch(4)), Some((LeaderEpoch(4), Offset(6))));
        assert_eq!(log.epoch_end_offset(LeaderEpoch(5)), None);
        assert_eq!(log.epoch_of(Offset(3)), Some(LeaderEpoch(1)));
    };
    check(&log);
    drop(log);
    let (log, _) = open_with(dir.path(), &small(), false, 0);
    check(&log);
    log.close().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    check(&log);
    log.begin_epoch(LeaderEpoch(9));
    assert_eq!(log.epoch_end_offset(LeaderEpoch(9)), Some((LeaderEpoch(9), Offset(6))));
    assert_eq!(log.epoch_end_offset(LeaderEpoch(4)), Some((LeaderEpoch(4), Offset(6))));
}

#[test]
fn a_clean_start_reads_no_data() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    for at in 0..100 {
        append(&log, &batch(1, 100, 1000 + at));
    }
    let all = read_all(&log);
    log.close().unwrap();
    let (log, recovered) = open_with(dir.path(), &small(), true, 0);
    assert_eq!((recovered.bytes_checked, recovered.truncated, recovered.indexes_rebuilt), (0, None, 0));
    assert_eq!((log.log_end(), log.flushed()), (Offset(100), Offset(100)));
    assert_eq!(read_all(&log), all);
    assert_eq!(append(&log, &batch(1, 100, 5000)).base_offset, Offset(100));
}

/// Copies a partition's files, so that one log can be damaged in many ways.
fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// A log of several segments that was killed, its content, and the name and size of its last file.
fn killed() -> (TempDir, Vec<BatchHeader>, Vec<u8>, String, u64) {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig { segment_bytes: 600, ..small() }, true, 0);
    for at in 0..17 {
        append(&log, &idempotent(1, 0, at * 2, 2));
    }
    let all = read_all(&log);
    let active = format!("{:020}.log", log.segment_bases().last().unwrap().0);
    drop(log);
    let size = fs::metadata(dir.path().join(&active)).unwrap().len();
    assert!(size > 2 * HEADER_LEN as u64);
    (dir, headers(&all), all, active, size)
}

#[test]
fn a_log_cut_at_any_byte_keeps_what_is_whole() {
    let (dir, headers, all, active, size) = killed();
    for length in 0..=size {
        let torn = copy(dir.path());
        OpenOptions::new().write(true).open(torn.path().join(&active)).unwrap().set_len(length).unwrap();
        let (log, recovered) = open_with(torn.path(), &small(), false, 0);
        let mut kept = all.len() as u64 - (size - length);
        let mut end = 0;
        let mut whole = 0;
        for header in &headers {
            if whole + header.size() as u64 <= kept {
                whole += header.size() as u64;
                end = header.next_offset();
            }
        }
        kept -= whole;
        assert_eq!(log.log_end().0, end, "cut to {length}");
        assert_eq!(read_all(&log), all[..whole as usize]);
        assert_eq!(recovered.truncated.map(|cut| (cut.at.0, cut.bytes)), (kept > 0).then_some((end, kept)));
        // Producer state ends where the log ends: what was cut can be sent again.
        let next = idempotent(1, 0, end as i32, 2);
        assert!(!append(&log, &next).duplicate);
        let last = log.read(Offset(end), ALL, log.log_end(), true).unwrap();
        assert_eq!(last.bytes, stored(&next, end, 0));
    }
}

#[test]
fn garbage_behind_the_log_is_cut() {
    let (dir, _, all, active, size) = killed();
    let forged = {
        // A batch whose CRC is right and whose offset is not.
        let stray = batch(1, 10, 1000);
        stored(&stray, 3, 0)
    };
    for garbage in [vec![0; 5000], vec![0xff; 77], b"\0\0\0\0\0\0\0\x1a\x7f\xff\xff\xff rest".to_vec(), forged] {
        let torn = copy(dir.path());
        let path = torn.path().join(&active);
        fs::write(&path, [fs::read(&path).unwrap(), garbage.clone()].concat()).unwrap();
        let (log, recovered) = open_with(torn.path(), &small(), false, 0);
        assert_eq!(read_all(&log), all);
        assert_eq!(recovered.truncated.unwrap().bytes, garbage.len() as u64);
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
    }
}

#[test]
fn a_changed_byte_cuts_the_log_there_and_removes_later_segments() {
    let (dir, headers, all, _, _) = killed();
    let (log, _) = open_with(dir.path(), &small(), false, 0);
    let bases = log.segment_bases();
    drop(log);
    let second = format!("{:020}.log", bases[1].0);
    let before = headers.iter().filter(|header| header.base_offset < bases[1].0).map(BatchHeader::size).sum::<usize>();
    let length = fs::metadata(dir.path().join(&second)).unwrap().len();
    let size = headers[0].size() as u64;
    for at in (0..length).step_by(11) {
        let torn = copy(dir.path());
        let path = torn.path().join(&second);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at as usize] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        let (log, recovered) = open_with(torn.path(), &small(), false, 0);
        // The CRC covers neither base offset nor leader epoch.
        if !matches!(at % size, 0..8 | 12..16) {
            let kept = read_all(&log);
            assert_eq!(kept, all[..before + (at - at % size) as usize], "byte {at}");
            assert_eq!(recovered.truncated.unwrap().bytes as usize, all.len() - kept.len());
            assert_eq!(log.segment_bases(), bases[..2], "later segments are gone");
            let logs = fs::read_dir(torn.path()).unwrap().map(|entry| entry.unwrap().path());
            assert_eq!(logs.filter(|path| path.extension().is_some_and(|found| found == "log")).count(), 2);
        }
        log.append_as_leader(&batch(1, 10, 1000), LeaderEpoch(i32::MAX), NOW).unwrap();
    }
    // What the recovery point vouches for is not checked again.
    let (log, recovered) = open_with(copy(dir.path()).path(), &small(), false, bases[2].0);
    assert_eq!(recovered.truncated, None);
    assert_eq!(recovered.bytes_checked as usize, all.len() - before - length as usize);
    assert_eq!(log.log_end().0, headers.last().unwrap().next_offset());
}

/// An append of several batches was taken back, others took its place, and a power loss undid the first and tore the second.
#[test]
fn leader_epochs_that_run_backwards_cut_the_log() {
    let dir = TempDir::new().unwrap();
    drop(open_with(dir.path(), &small(), true, 0));
    let one = batch(2, 10, 1000);
    let of_epochs = |epochs: &[i32]| -> Vec<u8> {
        epochs.iter().zip(0..).flat_map(|(epoch, at)| stored(&one, at * 2, *epoch)).collect()
    };
    fs::write(dir.path().join("00000000000000000000.log"), of_epochs(&[1, 3, 3, 2, 3])).unwrap();
    let (log, recovered) = open_with(dir.path(), &small(), false, 0);
    assert_eq!(read_all(&log), of_epochs(&[1, 3, 3]));
    assert_eq!(recovered.truncated.unwrap().why, "leader epoch 2 after 3");
}

/// A power loss may take all of the first segment and nothing of those after it.
#[test]
fn a_hole_cuts_the_log_even_at_its_beginning() {
    let (dir, _, all, ..) = killed();
    let (log, _) = open_with(dir.path(), &small(), false, 0);
    let bases = log.segment_bases();
    drop(log);
    for (at, base) in bases.iter().enumerate() {
        let torn = copy(dir.path());
        let emptied = torn.path().join(format!("{:020}.log", base.0));
        OpenOptions::new().write(true).open(emptied).unwrap().set_len(0).unwrap();
        let (log, recovered) = open_with(torn.path(), &small(), false, 0);
        assert_eq!((log.log_end(), log.segment_bases().len()), (*base, at + 1));
        assert_eq!(recovered.truncated.is_some(), at + 1 < bases.len());
        assert!(all.starts_with(&read_all(&log)));
    }
}

#[test]
fn lost_and_corrupt_indexes_are_made_anew() {
    let (dir, _, all, _, _) = killed();
    for clean in [true, false] {
        for suffix in ["index", "timeindex"] {
            for damage in 0..3 {
                let torn = copy(dir.path());
                for entry in fs::read_dir(torn.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_some_and(|found| found == suffix) {
                        match damage {
                            0 => fs::remove_file(&path).unwrap(),
                            1 => fs::write(&path, [1; 5]).unwrap(),
                            _ => fs::write(&path, [0x7f; 24]).unwrap(),
                        }
                    }
                }
                let (log, _) = open_with(torn.path(), &small(), clean, 0);
                assert_eq!(read_all(&log), all, "{suffix} {damage} {clean}");
                let found = log.offset_for_timestamp(Timestamp(NOW.0 + 1)).unwrap().unwrap();
                assert_eq!(found.offset, Offset(1), "{suffix} {damage} {clean}");
            }
        }
    }
}

#[test]
fn an_index_that_lies_is_not_believed() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { index_interval_bytes: 100, ..LogConfig::default() };
    let (log, _) = open_with(dir.path(), &config, true, 0);
    for at in 0..40 {
        append(&log, &batch(2, 40, 1000 + at));
    }
    let all = read_all(&log);
    log.close().unwrap();
    let path = dir.path().join("00000000000000000000.index");
    let mut index = fs::read(&path).unwrap();
    let last = index.len() - 8;
    for (at, byte) in index[..last].iter_mut().enumerate() {
        *byte ^= if at % 8 == 7 { 13 } else { 0 };
    }
    fs::write(&path, index).unwrap();
    let (log, recovered) = open_with(dir.path(), &config, true, 0);
    assert_eq!(recovered.truncated, None);
    assert_eq!(read_all(&log), all);
}

#[test]
fn a_lying_header_is_an_error_for_its_reader() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig::default(), true, 0);
    let first = append(&log, &batch(2, 40, 1000));
    append(&log, &batch(2, 40, 1000));
    append(&log, &batch(2, 40, 1000));
    let path = dir.path().join("00000000000000000000.log");
    let good = fs::read(&path).unwrap();
    let second = good.len() / 3;
    for (at, byte) in [(0, 0x80), (8, 0x7f), (8, 0xff), (16, 9), (23, 0x80), (23, 0x7f)] {
        let mut bad = good.clone();
        bad[second + at] = byte;
        fs::write(&path, bad).unwrap();
        let result = log.read(Offset(2), ALL, log.log_end(), true);
        let answered = result.as_ref().map_or(0, |slice| slice.bytes.len());
        assert!(matches!(result, Err(ReadError::Log(LogError::Corrupt { .. }))) || answered <= second, "{at} {byte}");
        let before = log.read(Offset(0), second, log.log_end(), true).unwrap();
        assert_eq!((before.base_offset, before.bytes.len()), (first.base_offset, second));
    }
}

#[test]
fn finds_offsets_by_time_inside_batches_of_every_codec() {
    for codec in Codec::ALL {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(dir.path(), &small(), true, 0);
        assert_eq!(log.offset_for_timestamp(Timestamp(0)).unwrap(), None);
        assert_eq!(log.max_timestamp().unwrap(), None);
        // Timestamps by offset; they fall back now and then.
        let mut model = Vec::new();
        for at in 0..60 {
            let timestamp = 1000 + at * 10 - if at % 7 == 0 { 55 } else { 0 } + if at == 45 { 200 } else { 0 };
            let count = 1 + (at % 4) as usize;
            let built = checked(records(BatchBuilder::new(codec), count, 30, timestamp));
            log.append_as_leader(&built, LeaderEpoch((at / 20) as i32), NOW).unwrap();
            model.extend((0..count).map(|at| timestamp + at as i64));
        }
        let check = |log: &Log| {
            for asked in 900..1700 {
                let expected = model.iter().position(|timestamp| *timestamp >= asked);
                let found = log.offset_for_timestamp(Timestamp(asked)).unwrap();
                let found = found.map(|found| (found.offset.0 as usize, found.timestamp.0));
                assert_eq!(found, expected.map(|at| (at, model[at])), "{asked} {codec:?}");
            }
            let max = *model.iter().max().unwrap();
            let first = model.iter().position(|timestamp| *timestamp == max).unwrap();
            let found = log.max_timestamp().unwrap().unwrap();
            assert_eq!((found.timestamp.0, found.offset.0 as usize), (max, first));
            assert_eq!(found.leader_epoch, LeaderEpoch(2));
        };
        assert!(log.segment_bases().len() > 1);
        check(&log);
        drop(log);
        let (log, _) = open_with(dir.path(), &small(), false, 0);
        check(&log);
        log.close().unwrap();
        let (log, _) = open_with(dir.path(), &small(), true, 0);
        check(&log);
        log.advance_log_start(Offset(100));
        let found = log.offset_for_timestamp(Timestamp(0)).unwrap().unwrap();
        assert_eq!(found.offset, Offset(100), "records below the log start are gone");
        for start in 101..=model.len() {
            log.advance_log_start(Offset(start as i64));
            let rest = &model[start..];
            let expected = rest.iter().max().map(|max| (*max, start + rest.iter().position(|at| at == max).unwrap()));
            let found = log.max_timestamp().unwrap().map(|found| (found.timestamp.0, found.offset.0 as usize));
            assert_eq!(found, expected, "the largest timestamp from {start} on, {codec:?}");
        }
    }
}

#[test]
fn the_log_start_moves_forward_only() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    for _ in 0..10 {
        append(&log, &batch(2, 10, 1000));
    }
    assert_eq!(log.advance_log_start(Offset(5)), Offset(5));
    assert_eq!(log.advance_log_start(Offset(3)), Offset(5));
    assert_eq!(log.advance_log_start(Offset(100)), Offset(20));
    assert!(matches!(log.read(Offset(4), ALL, Offset(20), true), Err(ReadError::OutOfRange { .. })));
    assert!(log.read(Offset(20), ALL, Offset(20), true).unwrap().bytes.is_empty());
    drop(log);
    let start = Start { clean: false, recovery_point: Offset(0), log_start: Offset(25) };
    let open =
        || Log::open(Arc::new(RealDisk), dir.path(), partition(), TopicId(Uuid([7; 16])), small(), start, NOW).unwrap();
    let (log, _) = open();
    assert_eq!((log.log_start(), log.log_end()), (Offset(25), Offset(25)), "offsets are never given twice");
    assert_eq!(append(&log, &batch(1, 10, 1000)).base_offset, Offset(25));
    drop(log);
    assert_eq!(open().0.log_end(), Offset(26));
}

#[test]
fn another_topics_folder_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(open_with(dir.path(), &small(), true, 0));
    let start = Start { clean: true, recovery_point: Offset(0), log_start: Offset(0) };
    let other = Log::open(Arc::new(RealDisk), dir.path(), partition(), TopicId(Uuid([8; 16])), small(), start, NOW);
    assert!(matches!(other, Err(LogError::WrongTopic { .. })));
}

#[test]
fn deletion_renames_then_removes_and_reads_go_on() {
    let data = TempDir::new().unwrap();
    let dir = partition_dir(data.path(), &partition());
    let (log, _) = open_with(&dir, &small(), true, 0);
    append(&log, &batch(2, 10, 1000));
    let renamed = log.delete(Uuid([1; 16])).unwrap();
    assert!(!dir.exists() && is_deleted_dir(renamed.file_name().unwrap().to_str().unwrap()));
    assert!(log.append_as_leader(&batch(1, 1, 1), LeaderEpoch(0), NOW).is_err());
    assert!(!log.read(Offset(0), ALL, Offset(2), true).unwrap().bytes.is_empty());
    remove_deleted(&RealDisk, &renamed).unwrap();
    remove_deleted(&RealDisk, &renamed).unwrap();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn flushed_follows_the_log_end() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig { flush_messages: 3, ..small() }, true, 0);
    assert!(!append(&log, &batch(2, 100, 1000)).flush_due);
    assert!(append(&log, &batch(1, 100, 1000)).flush_due);
    assert_eq!(log.flushed(), Offset(0));
    assert_eq!(log.flush().unwrap(), Offset(3));
    assert!(!append(&log, &batch(2, 100, 1000)).flush_due);
    for _ in 0..50 {
        append(&log, &batch(2, 100, 1000));
    }
    assert_eq!((log.flush().unwrap(), log.flushed()), (log.log_end(), log.log_end()));
}

/// The same test binary runs this test again with a limit on the size of files, so that a write comes up short.
#[test]
fn a_write_that_does_not_fit_leaves_nothing_behind() {
    const NAME: &str = "log::tests::a_write_that_does_not_fit_leaves_nothing_behind";
    if std::env::var_os("FELICE_TEST_LIMITED").is_none() {
        let limited = format!("trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact {NAME}");
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(limited).arg(std::env::current_exe().unwrap()).env("FELICE_TEST_LIMITED", "1");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig::default(), true, 0);
    let large = idempotent(1, 0, 0, 1);
    append(&log, &large);
    let mut refused = None;
    for sequence in 1..100 {
        let built = records(BatchBuilder::new(Codec::None).producer(1, 0, sequence), 1, 3000, NOW.0);
        let (before, size) = (log.log_end(), log.size());
        if let Err(error) = log.append_as_leader(&checked(built), LeaderEpoch(0), NOW) {
            assert!(matches!(error, AppendError::Log(LogError::Io { .. })), "{error}");
            assert_eq!((log.log_end(), log.size()), (before, size));
            refused = Some(sequence);
            break;
        }
    }
    let refused = refused.expect("the limit was reached");
    let path = dir.path().join("00000000000000000000.log");
    assert_eq!(fs::metadata(path).unwrap().len(), log.size(), "the part that fitted is cut off again");
    // A batch that fits goes in, with the sequence that was refused.
    assert!(!log.is_out_of_use());
    append(&log, &idempotent(1, 0, refused, 1));
    assert_eq!(headers(&read_all(&log)).len() as i32, refused + 1);
}

/// A roll fails half-way, and then comes a batch that fits the old segment after all.
#[test]
fn a_roll_that_fails_leaves_no_segment_behind() {
    for suffix in ["index", "timeindex", "log"] {
        let dir = TempDir::new().unwrap();
        let (log, _) = open_with(dir.path(), &small(), true, 0);
        for at in 0..3 {
            append(&log, &batch(1, 500, 1000 + at));
        }
        let obstacle = dir.path().join(format!("{:020}.{suffix}", 3));
        fs::create_dir(&obstacle).unwrap();
        log.append_as_leader(&batch(1, 1000, 2000), LeaderEpoch(0), NOW).unwrap_err();
        fs::remove_dir(&obstacle).unwrap();
        for at in 0..3 {
            assert_eq!(append(&log, &batch(1, 10, 3000 + at)).base_offset, Offset(3 + at));
        }
        let written = read_all(&log);
        log.close().unwrap();
        for clean in [true, false] {
            let (log, recovered) = open_with(copy(dir.path()).path(), &small(), clean, 0);
            assert_eq!((log.log_end(), recovered.truncated), (Offset(6), None), "{suffix}, clean {clean}");
            assert_eq!(read_all(&log), written);
        }
    }
}

#[test]
fn a_segment_holds_one_open_file() {
    let dir = TempDir::new().unwrap();
    let held = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|target| target.starts_with(dir.path())).count()
    };
    for clean in [true, false, true] {
        let (log, _) = open_with(dir.path(), &small(), clean, 0);
        for at in 0..40 {
            append(&log, &batch(1, 300, 1000 + at));
        }
        log.flush().unwrap();
        assert_eq!(held(), log.segment_bases().len());
        log.close().unwrap();
    }
}

#[test]
fn what_stays_in_its_file_is_what_would_be_read() {
    use std::os::unix::fs::FileExt;

    let dir = TempDir::new().unwrap();
    let config = LogConfig { segment_bytes: 300_000, index_interval_bytes: 4096, ..LogConfig::default() };
    let (log, _) = open_with(dir.path(), &config, true, 0);
    for at in 0..120 {
        let (count, size) = [(1, 10), (3, 700), (40, 100), (2, 20_000), (1, 50_000)][at % 5];
        append(&log, &batch(count, size, 1000));
    }
    let end = log.log_end();
    let mut in_file = 0;
    for from in (0..end.0).step_by(3).map(Offset) {
        for max_bytes in [0, 1, 500, 33_000, 60_000, 100_000, 1 << 20] {
            for until in [end, Offset(end.0 - 100), Offset(from.0 + 50).min(end)] {
                for at_least_one in [false, true] {
                    let read = log.read(from, max_bytes, until, at_least_one).unwrap();
                    let slice = log.slice(from, max_bytes, until, at_least_one, ALL).unwrap();
                    let from_file = log.slice(from, max_bytes, until, at_least_one, 0).unwrap();
                    assert_eq!(from_file.next_offset, slice.next_offset);
                    assert_eq!(from_file.records.len(), slice.records.len());
                    assert!(slice.records.is_empty() || matches!(from_file.records, Records::File(_)));
                    let bytes = match &slice.records {
                        Records::Bytes(bytes) => bytes.to_vec(),
                        Records::File(range) => {
                            in_file += 1;
                            let mut bytes = vec![0; range.len];
                            range.file.read_exact_at(&mut bytes, range.offset).unwrap();
                            bytes
                        }
                    };
                    assert!(bytes == read.bytes, "from {from} max {max_bytes} until {until} {at_least_one}");
                    assert_eq!(slice.next_offset, read.next_offset, "from {from} max {max_bytes} until {until}");
                }
            }
        }
    }
    assert!(in_file > 1000);
}

#[test]
fn readers_see_whole_batches_while_a_writer_rolls() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (log, done) = (&log, &done);
                scope.spawn(move || {
                    let (mut from, mut batches) = (Offset(0), 0);
                    loop {
                        let finished = done.load(Ordering::Acquire);
                        let slice = log.read(from, 300 << reader, log.log_end(), true).unwrap();
                        assert!(slice.next_offset >= from);
                        for header in headers(&slice.bytes) {
                            assert_eq!(header.base_offset, from.0);
                            from = Offset(header.next_offset());
                            batches += 1;
                        }
                        if finished && slice.bytes.is_empty() {
                            return (from, batches);
                        }
                    }
                })
            })
            .collect();
        for at in 0..2000 {
            append(&log, &batch(1 + at % 3, 20, 1000));
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), (log.log_end(), 2000));
        }
    });
    assert!(log.segment_bases().len() > 50);
}

/// One step of a random life of a log.
#[derive(Debug, Clone)]
enum Step {
    Append { count: usize, size: usize, codec: Codec },
    Read { from: u32, max: usize, until: u32, at_least_one: bool },
    Roll,
    Flush,
    Stop,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let codec = prop::sample::select(vec![Codec::None, Codec::None, Codec::Lz4]);
    let step = prop_oneof![
        10 => (1..6usize, 0..400usize, codec).prop_map(|(count, size, codec)| Step::Append { count, size, codec }),
        8 => (any::<u32>(), 0..3000usize, any::<u32>(), any::<bool>())
            .prop_map(|(from, max, until, at_least_one)| Step::Read { from, max, until, at_least_one }),
        1 => Just(Step::Roll),
        1 => Just(Step::Flush),
        1 => Just(Step::Stop),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The log answers as a plain vector of batches would.
    #[test]
    fn lives_as_a_vector_of_batches(steps in steps()) {
        let dir = TempDir::new().unwrap();
        let config = small();
        let (mut log, _) = open_with(dir.path(), &config, true, 0);
        let mut model: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut end = 0;
        for step in steps {
            match step {
                Step::Append { count, size, codec } => {
                    let built = checked(records(BatchBuilder::new(codec), count, size, 1000 + end));
                    if built.header.size() as u64 > config.segment_bytes {
                        continue;
                    }
                    let appended = append(&log, &built);
                    prop_assert_eq!(appended.base_offset.0, end);
                    model.push((end, stored(&built, end, 0)));
                    end += count as i64;
                    prop_assert_eq!(appended.last_offset.0, end - 1);
                }
                Step::Read { from, max, until, at_least_one } => {
                    let (from, until) = (i64::from(from) % (end + 1), i64::from(until) % (end + 2));
                    let ends = model.iter().map(|(base, _)| *base).skip(1).chain([end]);
                    let expected: Vec<(i64, &[u8])> = model.iter().zip(ends)
                        .filter(|(_, next)| *next > from && *next <= until && from < until)
                        .map(|((_, bytes), next)| (next, &bytes[..])).collect();
                    let slice = log.read(Offset(from), max, Offset(until), at_least_one).unwrap();
                    let all: Vec<u8> = expected.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
                    prop_assert!(all.starts_with(&slice.bytes));
                    match expected.first() {
                        None => prop_assert!(slice.bytes.is_empty()),
                        Some((_, first)) => {
                            let least = if at_least_one || first.len() <= max { first.len() } else { 0 };
                            prop_assert!(slice.bytes.len() >= least && slice.bytes.len() <= max.max(least));
                        }
                    }
                    // What was returned is whole batches, and says where to go on.
                    let whole: Vec<i64> = headers(&slice.bytes).iter().map(BatchHeader::next_offset).collect();
                    prop_assert_eq!(slice.next_offset.0, whole.last().copied().unwrap_or(from));
                    // Nothing more would have fit within its segment.
                    if let Some((_, next)) = expected.get(whole.len()).filter(|_| !whole.is_empty()) {
                        let base = BatchHeader::parse(next).unwrap().base_offset;
                        let fits = slice.bytes.len() + next.len() <= max;
                        prop_assert!(!fits || log.segment_bases().contains(&Offset(base)));
                    }
                }
                Step::Roll => log.roll_now(NOW).unwrap(),
                Step::Flush => prop_assert_eq!(log.flush().unwrap().0, end),
                Step::Stop => {
                    log.close().unwrap();
                    log = open_with(dir.path(), &config, true, 0).0;
                }
                Step::Kill => {
                    let flushed = log.flushed().0;
                    drop(log);
                    let (opened, recovered) = open_with(dir.path(), &config, false, flushed);
                    prop_assert_eq!(recovered.truncated, None);
                    log = opened;
                }
            }
            prop_assert_eq!(log.log_end().0, end);
        }
        let all: Vec<u8> = model.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        prop_assert_eq!(Bytes::from(read_all(&log)), Bytes::from(all));
    }
}
