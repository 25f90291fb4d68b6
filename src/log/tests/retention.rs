//! Old segments go: in the right order, whatever comes in between, and for good.

use std::cell::Cell;

use super::*;
use crate::env::faults::{Fault, plant};

/// So many segments of ten records each, of the given age in hours, and then an active one with a record of now.
fn log_of(dir: &Path, config: LogConfig, ages: &[i64]) -> Log {
    let (log, _) = open_with(dir, &config, true, 0);
    for hours in ages {
        append(&log, &batch(10, 50, NOW.0 - hours * HOUR_MS));
        log.roll_now(NOW).unwrap();
    }
    append(&log, &batch(1, 50, NOW.0));
    log
}

const HOUR_MS: i64 = 3_600_000;

fn hours(retention: i64) -> LogConfig {
    LogConfig { retention_ms: retention * HOUR_MS, ..LogConfig::default() }
}

fn enforce(log: &Log) -> Option<Expired> {
    log.enforce_retention(log.log_end(), NOW, || Ok::<_, LogError>(())).unwrap()
}

fn reopen(dir: &Path, log_start: i64) -> (Log, Recovered) {
    let start = Start { clean: false, recovery_point: Offset::ZERO, log_start: Offset(log_start) };
    Log::open(Arc::new(RealDisk), dir, partition(), TopicId(Uuid([7; 16])), hours(5), start, NOW).unwrap()
}

/// Names that begin with the segment's base offset.
fn files_of(dir: &Path, base: i64) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix(&format!("{base:020}."))?.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn segments_go_once_they_are_old_and_their_files_wait_under_another_name() {
    let dir = TempDir::new().unwrap();
    let log = log_of(dir.path(), hours(5), &[9, 8, 1]);
    let kept = log.read(Offset(20), ALL, Offset(31), true).unwrap().bytes;
    // A consumer in the middle of what is deleted.
    let range = log.slice(Offset(3), ALL, Offset(10), true, 0).unwrap();

    let expired = enforce(&log).unwrap();
    assert_eq!((expired.segments, expired.log_start, log.log_start()), (2, Offset(20), Offset(20)));
    assert_eq!(log.segment_bases(), [Offset(20), Offset(30)]);
    assert_eq!(files_of(dir.path(), 0), ["index.deleted", "log.deleted", "timeindex.deleted"]);
    assert_eq!(files_of(dir.path(), 10), ["index.deleted", "log.deleted", "snapshot.deleted", "timeindex.deleted"]);
    assert_eq!(files_of(dir.path(), 20), ["index", "log", "snapshot", "timeindex"]);
    assert!(enforce(&log).is_none(), "nothing is left to do");

    assert!(matches!(log.read(Offset(3), ALL, Offset(31), true), Err(ReadError::OutOfRange { .. })));
    assert!(matches!(log.read(Offset(19), ALL, Offset(31), true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(log.read(Offset(20), ALL, Offset(31), true).unwrap().bytes, kept);
    let Records::File(range) = range.records else { panic!("it stays in its file") };
    let mut bytes = vec![0; range.len];
    std::os::unix::fs::FileExt::read_exact_at(&*range.file, &mut bytes, range.offset).unwrap();
    assert_eq!(headers(&bytes)[0].base_offset, 0, "who holds the file reads on");

    for file in &expired.files {
        remove_deleted_file(&RealDisk, file).unwrap();
        remove_deleted_file(&RealDisk, file).unwrap();
    }
    assert_eq!((files_of(dir.path(), 0).len(), files_of(dir.path(), 10).len()), (0, 0));
    log.close().unwrap();
    let (log, _) = open_with(dir.path(), &hours(5), true, 0);
    assert_eq!((log.log_start(), log.log_end()), (Offset(20), Offset(31)));
}

#[test]
fn the_active_segment_goes_too_and_offsets_go_on() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &hours(5), true, 0);
    append(&log, &idempotent(9, 0, 0, 4));
    let later = Timestamp(NOW.0 + 6 * HOUR_MS);
    let run = |high_watermark| log.enforce_retention(high_watermark, later, || Ok::<_, LogError>(())).unwrap();
    assert!(run(Offset(3)).is_none(), "not what is not committed");
    assert_eq!(run(Offset(4)).unwrap().log_start, Offset(4));
    assert_eq!((log.log_start(), log.log_end(), log.segment_bases()), (Offset(4), Offset(4), vec![Offset(4)]));
    assert!(run(Offset(4)).is_none(), "an empty log stays");
    assert_eq!(log.producer_count(), 1);
    assert!(
        append(&log, &idempotent(9, 0, 0, 4)).duplicate,
        "a producer's last batch is known, though its records are gone"
    );
    assert_eq!(append(&log, &idempotent(9, 0, 4, 1)).base_offset, Offset(4));
    drop(log);
    let (log, _) = reopen(dir.path(), 4);
    assert_eq!((log.log_start(), log.log_end(), log.producer_count()), (Offset(4), Offset(5), 1));
}

#[test]
fn a_log_without_timestamps_ages_from_its_last_write() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &hours(5), true, 0);
    append(&log, &batch(1, 50, -1));
    log.roll_now(NOW).unwrap();
    append(&log, &batch(1, 50, -1));
    let written = log.segment_times().unwrap()[0].1;
    let run = |at: i64| log.enforce_retention(Offset(1), Timestamp(at), || Ok::<_, LogError>(())).unwrap();
    assert!(run(written.0 + 5 * HOUR_MS).is_none());
    assert_eq!(run(written.0 + 5 * HOUR_MS + 1).unwrap().segments, 1);
}

#[test]
fn nothing_is_removed_before_the_log_start_is_stored() {
    let dir = TempDir::new().unwrap();
    let log = log_of(dir.path(), hours(5), &[9, 8]);
    let refused = log.enforce_retention(log.log_end(), NOW, || Err(LogError::Failed { path: "store".into() }));
    assert!(refused.is_err());
    assert_eq!(files_of(dir.path(), 0), ["index", "log", "timeindex"]);
    assert_eq!(log.segment_bases().len(), 3);
    let is_stored = Cell::new(false);
    let expired = log.enforce_retention(log.log_end(), NOW, || {
        assert_eq!(log.log_start(), Offset(20));
        assert_eq!(files_of(dir.path(), 10), ["index", "log", "snapshot", "timeindex"]);
        is_stored.set(true);
        Ok::<_, LogError>(())
    });
    assert_eq!(expired.unwrap().unwrap().segments, 2, "the next try does it");
    assert!(is_stored.get());
}

/// Whatever of a retention reached the disk before a stop: each file alone, and each with all that follow. Tells what was lost.
fn interrupted_at_any_file() -> Option<String> {
    let whole = TempDir::new().unwrap();
    let log = log_of(whole.path(), hours(5), &[9, 8, 7, 1]);
    log.flush().unwrap();
    let kept = log.read(Offset(30), ALL, Offset(41), true).unwrap().bytes;
    let below: Vec<String> = [0, 10, 20]
        .into_iter()
        .flat_map(|base| files_of(whole.path(), base).into_iter().map(move |suffix| format!("{base:020}.{suffix}")))
        .collect();
    let ranges = (0..below.len()).flat_map(|at| [at..at + 1, at..below.len()]);
    ranges.into_iter().find_map(|range| {
        let dir = TempDir::new().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        for name in &below[range.clone()] {
            fs::rename(dir.path().join(name), dir.path().join(format!("{name}.deleted"))).unwrap();
        }
        let (log, recovered) = reopen(dir.path(), 30);
        let is_whole = (log.log_start(), log.log_end()) == (Offset(30), Offset(41))
            && log.segment_bases() == [Offset(30), Offset(40)]
            && log.read(Offset(30), ALL, Offset(41), true).unwrap().bytes == kept
            && files_of(dir.path(), 10).is_empty()
            && files_of(dir.path(), 20).is_empty();
        (!is_whole).then(|| format!("{range:?}: {log:?}, {recovered:?}"))
    })
}

#[test]
fn a_stop_at_any_file_leaves_the_records_that_are_kept() {
    assert_eq!(interrupted_at_any_file(), None);
    assert!(plant(Fault::KeepDeletedRecords, interrupted_at_any_file).is_some());
}

#[test]
fn a_truncation_in_between_is_not_disturbed() {
    let dir = TempDir::new().unwrap();
    let log = log_of(dir.path(), hours(5), &[9, 8]);
    let expired = log.enforce_retention(log.log_end(), NOW, || {
        log.truncate_fully_and_start_at(Offset(10), NOW, |_| Ok::<_, LogError>(())).map(|_| ())
    });
    assert_eq!(expired.unwrap(), None);
    assert_eq!(log.segment_bases(), [Offset(10)], "a new segment under an old name is not the old one");
    assert_eq!(files_of(dir.path(), 10), ["index", "log", "timeindex"]);
}

#[test]
fn a_deleted_topic_of_the_same_name_keeps_its_files() {
    let data = TempDir::new().unwrap();
    let dir = data.path().join("orders-3");
    let log = log_of(&dir, hours(5), &[9, 8]);
    let expired = log.enforce_retention(log.log_end(), NOW, || {
        log.delete(Uuid([1; 16]))?;
        let start = Start { clean: true, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
        Log::open(Arc::new(RealDisk), &dir, partition(), TopicId(Uuid([8; 16])), hours(5), start, NOW)?;
        Ok::<_, LogError>(())
    });
    assert_eq!(expired.unwrap().map(|expired| expired.files), Some(Vec::new()));
    assert_eq!(files_of(&dir, 0), ["index", "log", "timeindex"]);
}

#[test]
fn records_below_the_log_start_go_whatever_the_policy() {
    for deletes in [true, false] {
        let dir = TempDir::new().unwrap();
        let config = LogConfig { deletes, compacts: !deletes, retention_ms: -1, ..LogConfig::default() };
        let log = log_of(dir.path(), config, &[9, 8]);
        assert!(enforce(&log).is_none());
        log.advance_log_start(Offset(15));
        let expired = enforce(&log).unwrap();
        assert_eq!((expired.segments, expired.log_start), (1, Offset(15)), "only whole segments");
        assert_eq!(log.segment_bases(), [Offset(10), Offset(20)]);
        drop(log);
        assert_eq!(reopen(dir.path(), 15).0.log_start(), Offset(15));
    }
}

#[test]
fn appends_flushes_reads_and_retention_do_not_disturb_each_other() {
    let dir = TempDir::new().unwrap();
    let config =
        LogConfig { retention_bytes: 4000, segment_bytes: 500, index_interval_bytes: 1, ..LogConfig::default() };
    let (log, _) = open_with(dir.path(), &config, true, 0);
    let (log, is_over) = (&log, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let until_over = move |work: &(dyn Fn() + Sync)| {
            while !is_over.load(Ordering::Relaxed) {
                work();
            }
        };
        scope.spawn(move || until_over(&|| assert!(log.flush().is_ok())));
        scope.spawn(move || {
            until_over(&|| drop(enforce(log)));
        });
        scope.spawn(move || {
            until_over(&|| {
                let from = log.log_start();
                match log.read(from, 300, log.log_end(), true) {
                    Ok(slice) => headers(&slice.bytes).iter().for_each(|header| assert!(header.next_offset() > from.0)),
                    Err(ReadError::OutOfRange { asked, log_start, .. }) => assert!(asked < log_start),
                    Err(error) => panic!("{error}"),
                }
            });
        });
        for at in 0..3000 {
            append(log, &batch(1, 50, NOW.0 + at));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    enforce(log);
    assert!(!log.is_out_of_use() && log.size() < 4500 && log.log_end() == Offset(3000));
}
