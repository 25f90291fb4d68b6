//! Opening: files that are closed and opened again, segments that leave the log under a reader, recoveries that are stopped.

use std::path::Path;

use super::*;
use crate::env::{
    SharedDisk,
    disk::sim::{Call, SimDisk},
};

fn sim() -> (Arc<SimDisk>, SharedDisk) {
    let disk = SimDisk::new(1);
    (Arc::clone(&disk), disk)
}

fn dir() -> &'static Path {
    Path::new("/data/orders-3")
}

fn open_on(disk: &SharedDisk, clean: bool, progress: &Progress) -> Result<(Log, Recovered), LogError> {
    let start = Start { clean, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
    let opening = Opening { start, now: NOW, bench: &mut Bench::new(progress) };
    Log::open_among(Arc::clone(disk), dir(), partition(), TopicId(Uuid([7; 16])), small(), opening)
}

/// A log of several segments, more than the pool keeps open.
fn filled(disk: &SharedDisk, batches: usize) -> Log {
    let log = open_on(disk, true, &Progress::default()).unwrap().0;
    for _ in 0..batches {
        append(&log, &batch(1, 500, NOW.0));
    }
    log
}

#[test]
fn a_log_with_many_segments_keeps_few_files_open() {
    let (_, disk) = sim();
    let log = filled(&disk, 90);
    assert!(log.segment_bases().len() >= 30);
    assert!(disk.files().open() >= 30 && disk.files().is_crowded(), "nothing of it is flushed");
    assert!(append(&log, &batch(1, 500, NOW.0)).flush_due, "a flush lets files be closed");
    log.flush().unwrap();
    let all = read_all(&log);
    assert!(disk.files().open() <= 5, "{}", disk.files().open());
    assert_eq!(headers(&all).len(), 91);
    append(&log, &batch(1, 500, NOW.0));
    log.close().unwrap();
    drop(log);
    assert_eq!(disk.files().open(), 0);
}

#[test]
fn who_finds_a_file_gone_looks_at_the_segments_again() {
    let (sim, disk) = sim();
    let log = Arc::new(filled(&disk, 30));
    log.flush().unwrap();
    let all = read_all(&log);
    // The first segment is replaced, as a compaction does it, just when it is about to be read.
    let first = log.segments.load()[0].clone();
    let bases = log.segment_bases();
    let forget_open_files =
        || bases.iter().skip(3).rev().for_each(|base| drop(log.read(*base, 0, log.log_end(), true)));
    forget_open_files();
    let replaced = {
        let log = Arc::clone(&log);
        move || {
            let mut segments = Vec::clone(&log.segments.load());
            // The next one in the list does: an answer from there shows that the list was read again.
            segments.remove(0);
            log.segments.store(Arc::new(segments));
            first.retire();
        }
    };
    let mut replaced = Some(replaced);
    let path = files::segment_file(dir(), Offset::ZERO, files::LOG_SUFFIX);
    sim.set_plan(move |call| {
        if matches!(call, Call::Open { path: opened, .. } if *opened == path)
            && let Some(replace) = replaced.take()
        {
            replace();
        }
        crate::env::disk::sim::Answer::Proceed
    });
    let slice = log.read(Offset::ZERO, 0, log.log_end(), true).unwrap();
    assert_eq!(slice.base_offset, bases[1]);
    let first_of_next = headers(&all).iter().position(|header| header.base_offset == bases[1].0).unwrap();
    assert!(first_of_next > 0);
}

#[test]
fn a_segment_that_is_gone_for_good_is_an_error() {
    let (_, disk) = sim();
    let log = filled(&disk, 30);
    log.flush().unwrap();
    let bases = log.segment_bases();
    bases.iter().skip(3).rev().for_each(|base| drop(log.read(*base, 0, log.log_end(), true)));
    disk.remove_file(&files::segment_file(dir(), Offset::ZERO, files::LOG_SUFFIX)).unwrap();
    assert!(
        matches!(log.read(Offset::ZERO, 0, log.log_end(), true), Err(ReadError::Log(error)) if error.is_not_found())
    );
}

#[test]
fn a_recovery_that_is_stopped_is_done_by_the_next() {
    let (sim, disk) = sim();
    drop(filled(&disk, 30));
    let expected = {
        let disk: SharedDisk = sim.fork();
        let (log, recovered) = open_on(&disk, false, &Progress::default()).unwrap();
        (read_all(&log), recovered)
    };
    let stopped = Progress::default();
    stopped.stop();
    for _ in 0..3 {
        assert!(matches!(open_on(&disk, false, &stopped), Err(LogError::Stopped)));
    }
    let progress = Progress::default();
    let start = Start { clean: false, recovery_point: Offset::ZERO, log_start: Offset::ZERO };
    let unchecked = unchecked_bytes(&*disk, dir(), start).unwrap();
    let (log, recovered) = open_on(&disk, false, &progress).unwrap();
    assert_eq!((read_all(&log), recovered), expected);
    assert_eq!((progress.checked(), unchecked), (expected.0.len() as u64, expected.0.len() as u64));
    let start = Start { recovery_point: log.log_end(), ..start };
    assert_eq!(unchecked_bytes(&*disk, dir(), start).unwrap(), log.segments.load().last().unwrap().size());
    assert_eq!(unchecked_bytes(&*disk, dir(), Start { clean: true, ..start }).unwrap(), 0);
}
