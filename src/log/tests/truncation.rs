//! Cutting a log, and following a leader's.

use std::os::unix::fs::FileExt;

use super::*;

/// Seventeen batches of two records over several segments, under the leader epochs 1, 3 and 4.
fn long(dir: &Path) -> (Log, Vec<(BatchHeader, Vec<u8>)>) {
    let config = LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..small() };
    let (log, _) = open_with(dir, &config, true, 0);
    for at in 0..17 {
        let epoch = LeaderEpoch([1, 3, 4][at as usize / 6]);
        // Times fall back now and then, so that a cut may change which is the largest.
        let built = BatchBuilder::new(Codec::None).producer(1, 0, at * 2);
        let timestamp = 1000 + i64::from(at) * 10 - if at % 4 == 1 { 25 } else { 0 };
        log.append_as_leader(&checked(records(built, 2, 10, timestamp)), epoch, NOW).unwrap();
    }
    assert!(log.segment_bases().len() > 4);
    let all = read_all(&log);
    let mut at = 0;
    let batches = headers(&all).into_iter().map(|header| {
        at += header.size();
        (header, all[at - header.size()..at].to_vec())
    });
    let batches = batches.collect();
    (log, batches)
}

fn stored_nowhere(_: Scalars) -> Result<(), LogError> {
    Ok(())
}

fn bytes_of(batches: &[(BatchHeader, Vec<u8>)]) -> Vec<u8> {
    batches.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// The log holds `batches` and nothing else, knows of nothing else, and goes on from there.
fn check(log: &Log, batches: &[(BatchHeader, Vec<u8>)], why: &str) {
    let end = batches.last().map_or(0, |(last, _)| last.next_offset());
    assert_eq!((log.log_end().0, read_all(log)), (end, bytes_of(batches)), "{why}");
    assert!(log.flushed() <= log.log_end(), "{why}");
    let epoch_of = |header: &BatchHeader| LeaderEpoch(header.partition_leader_epoch);
    assert_eq!(log.latest_epoch(), batches.last().map(|(last, _)| epoch_of(last)), "{why}");
    for (header, _) in batches {
        assert_eq!(log.epoch_of(Offset(header.base_offset)), Some(epoch_of(header)), "{why}");
    }
    let largest = batches.iter().map(|(header, _)| header.max_timestamp).max();
    assert_eq!(log.max_timestamp().unwrap().map(|found| found.timestamp.0), largest, "{why}");
    for asked in (970..1180).step_by(7) {
        let expected = batches.iter().find(|(header, _)| header.max_timestamp >= asked);
        let found = log.offset_for_timestamp(Timestamp(asked)).unwrap();
        let expected = expected.map(|(header, _)| header.base_offset + i64::from(header.base_timestamp < asked));
        assert_eq!(found.map(|found| found.offset.0), expected, "{asked}, {why}");
    }
}

#[test]
fn a_cut_leaves_whole_batches_below_and_nothing_else() {
    for offset in 0..=36 {
        let dir = TempDir::new().unwrap();
        let (log, all) = long(dir.path());
        if offset % 3 == 0 {
            log.flush().unwrap();
        }
        let flushed = log.flushed().0;
        let kept = all.iter().take_while(|(header, _)| header.next_offset() <= offset).count();
        let mut stored = None;
        let end = log.truncate_to(Offset(offset), NOW, |scalars| {
            assert_eq!(log.log_end(), Offset(34), "nothing is cut before");
            stored = Some(scalars);
            Ok::<(), LogError>(())
        });
        let kept = &all[..kept];
        let why = format!("cut to {offset}");
        let expected = kept.last().map_or(0, |(last, _)| last.next_offset());
        assert_eq!(end.unwrap(), Offset(expected), "{why}");
        assert_eq!(stored.is_some(), offset < 34);
        let told =
            Scalars { recovery_point: Offset(expected.min(flushed)), log_start: Offset(0), log_end: Offset(expected) };
        assert!(stored.is_none_or(|scalars| scalars == told), "{why}: {stored:?}");
        check(&log, kept, &why);
        // What was cut can be sent again, by a leader of a later epoch.
        for sequence in (expected..44).step_by(2) {
            let built = BatchBuilder::new(Codec::None).producer(1, 0, sequence as i32);
            let appended = log.append_as_leader(&checked(records(built, 2, 30, 1500)), LeaderEpoch(7), NOW).unwrap();
            assert_eq!((appended.duplicate, appended.base_offset.0), (false, sequence), "{why}");
        }
        let regrown = read_all(&log);
        assert!(regrown.starts_with(&bytes_of(kept)) && log.log_end() == Offset(44), "{why}");
        log.flush().unwrap();
        drop(log);
        let recovery_point = stored.map_or(0, |scalars| scalars.recovery_point.0);
        let (log, recovered) = open_with(dir.path(), &small(), false, recovery_point);
        assert_eq!((recovered.truncated, read_all(&log)), (None, regrown), "{why}");
        let regrown_from = if expected < 44 { Some(LeaderEpoch(7)) } else { log.latest_epoch() };
        assert_eq!((log.latest_epoch(), log.epoch_of(Offset(43))), (regrown_from, regrown_from), "{why}");
    }
}

#[test]
fn what_is_cut_stays_cut_after_a_clean_stop_too() {
    for offset in [1, 9, 20, 33] {
        let dir = TempDir::new().unwrap();
        let (log, all) = long(dir.path());
        log.truncate_to(Offset(offset), NOW, stored_nowhere).unwrap();
        let kept = all.iter().take_while(|(header, _)| header.next_offset() <= offset).count();
        log.close().unwrap();
        let (log, recovered) = open_with(dir.path(), &small(), true, 0);
        assert_eq!(recovered.indexes_rebuilt, 0);
        check(&log, &all[..kept], "after a clean stop");
    }
}

#[test]
fn nothing_changes_where_the_scalars_cannot_be_stored() {
    let dir = TempDir::new().unwrap();
    let (log, all) = long(dir.path());
    let refuse = |_| Err(LogError::Failed { path: dir.path().to_owned() });
    assert!(log.truncate_to(Offset(5), NOW, refuse).is_err());
    assert!(log.truncate_fully_and_start_at(Offset(5), NOW, refuse).is_err());
    check(&log, &all, "refused");
    assert!(!log.is_out_of_use());
}

#[test]
fn a_log_begins_anew_elsewhere() {
    for start in [0, 5, 20, 34, 1000] {
        let dir = TempDir::new().unwrap();
        let (log, _) = long(dir.path());
        log.advance_log_start(Offset(10));
        let mut stored = None;
        let store = |scalars| {
            stored = Some(scalars);
            Ok::<(), LogError>(())
        };
        assert_eq!(log.truncate_fully_and_start_at(Offset(start), NOW, store).unwrap(), Offset(start));
        let stored = stored.unwrap();
        assert_eq!((stored.log_start.0, stored.log_end.0, stored.recovery_point), (start, start, Offset(0)));
        let bounds = |log: &Log| (log.log_start().0, log.log_end().0, log.latest_epoch(), log.producer_count());
        assert_eq!(bounds(&log), (start, start, None, 0));
        drop(log);
        let start_from = Start { clean: false, recovery_point: stored.recovery_point, log_start: stored.log_start };
        let disk = Arc::new(RealDisk);
        let (log, _) =
            Log::open(disk, dir.path(), partition(), TopicId(Uuid([7; 16])), small(), start_from, NOW).unwrap();
        assert_eq!(bounds(&log), (start, start, None, 0));
        assert_eq!(append(&log, &idempotent(1, 0, 77, 2)).base_offset, Offset(start));
        assert_eq!(log.segment_bases(), [Offset(start)]);
    }
    // Nothing above the log start is left: the log is as empty, and its start stays.
    let dir = TempDir::new().unwrap();
    let (log, _) = long(dir.path());
    log.advance_log_start(Offset(13));
    assert_eq!(log.truncate_to(Offset(14), NOW, stored_nowhere).unwrap(), Offset(14));
    assert_eq!((log.log_start(), log.log_end()), (Offset(13), Offset(14)));
    assert_eq!(log.truncate_to(Offset(13), NOW, stored_nowhere).unwrap(), Offset(13));
    assert_eq!((log.log_start(), log.log_end(), log.size()), (Offset(13), Offset(13), 0));
}

#[test]
fn an_epoch_that_was_begun_and_never_written_in_goes_with_a_cut_that_takes_nothing_else() {
    let dir = TempDir::new().unwrap();
    let (log, batches) = long(dir.path());
    log.begin_epoch(LeaderEpoch(9));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(9)));
    assert_eq!(log.truncate_to(Offset(34), NOW, stored_nowhere).unwrap(), Offset(34));
    check(&log, &batches, "else its next leader, which does not know the epoch, asks for the same cut for ever");
    log.flush().unwrap();
    let checkpoint = fs::read_to_string(dir.path().join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n3\n1 0\n3 12\n4 24\n");
}

#[test]
fn a_range_on_its_way_comes_up_short_and_never_shows_other_bytes() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &LogConfig::default(), true, 0);
    for _ in 0..40 {
        append(&log, &batch(1, 2000, 1000));
    }
    let before = read_all(&log);
    let Records::File(range) = log.slice(Offset(0), ALL, Offset(40), true, 0).unwrap().records else {
        panic!("80 KB are sent from the file");
    };
    log.truncate_to(Offset(7), NOW, stored_nowhere).unwrap();
    let kept = read_all(&log).len();
    for _ in 0..40 {
        append(&log, &batch(1, 1990, 1000));
    }
    let mut sent = vec![0; range.len];
    let length = range.file.read_at(&mut sent, range.offset).unwrap();
    assert_eq!((length, &sent[..length]), (kept, &before[..kept]));
}

#[test]
fn readers_see_whole_batches_while_the_log_is_cut_and_grows() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    for _ in 0..50 {
        append(&log, &batch(1, 20, 1000));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let mut from = 0;
                while !done.load(Ordering::Acquire) {
                    from = (from * 31 + 7) % 60;
                    let until = log.log_end();
                    match log.read(Offset(from), 300 << reader, until, true) {
                        Ok(slice) => {
                            let mut bytes = slice.bytes;
                            let mut expected = from;
                            while !bytes.is_empty() {
                                let (batch, rest) = Batch::split_first(&bytes).unwrap();
                                batch.verify_crc().unwrap();
                                assert!(batch.header().last_offset() >= expected);
                                expected = batch.header().next_offset();
                                bytes = rest;
                            }
                        }
                        Err(ReadError::OutOfRange { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    log.slice(Offset(30), 1 << 20, log.log_end(), true, ALL).map(|_| ()).unwrap_or_default();
                    log.offset_for_timestamp(Timestamp(1000)).unwrap();
                }
            });
        }
        for round in 0..150 {
            log.truncate_to(Offset(20 + round % 30), NOW, stored_nowhere).unwrap();
            while log.log_end() < Offset(50) {
                append(&log, &batch(1 + (round % 2) as usize, 10 + (round % 90) as usize, 1000));
            }
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_follower_has_what_its_leader_has() {
    let (leading, following) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (leader, all) = long(leading.path());
    for step in [1, 200, 500, 1 << 20] {
        let (follower, _) = open_with(following.path(), &small(), true, 0);
        while follower.log_end() < leader.log_end() {
            let slice = leader.read(follower.log_end(), step, leader.log_end(), true).unwrap();
            // A leader may send the beginning of one batch more.
            let torn = [&slice.bytes[..], &all[0].1[..80]].concat();
            let appended = follower.append_as_follower(&torn.into(), LeaderEpoch(4), NOW).unwrap();
            assert_eq!((appended.log_end, appended.bytes), (slice.next_offset, slice.bytes.len()));
        }
        check(&follower, &all, "followed");
        assert!(append_epoch(&follower, &idempotent(1, 0, 32, 2), 4).duplicate, "it knows the leader's producers");
        follower.truncate_fully_and_start_at(Offset(0), NOW, stored_nowhere).unwrap();
        follower.close().unwrap();
    }
}

fn append_epoch(log: &Log, batch: &Checked, epoch: i32) -> Appended {
    log.append_as_leader(batch, LeaderEpoch(epoch), NOW).unwrap()
}

#[test]
fn a_follower_refuses_what_cannot_follow() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    let one = batch(2, 30, 1000);
    let at = |batches: &[(i64, i32)]| {
        let stored: Vec<u8> = batches.iter().flat_map(|(base, epoch)| stored(&one, *base, *epoch)).collect();
        Bytes::from(stored)
    };
    let follow = |bytes: Bytes, epoch| log.append_as_follower(&bytes, LeaderEpoch(epoch), NOW);
    assert_eq!(follow(at(&[(0, 1), (2, 2)]), 2).unwrap().log_end, Offset(4));
    assert_eq!(follow(Bytes::new(), 2).unwrap().log_end, Offset(4));
    for refused in [at(&[(3, 2)]), at(&[(4, 2), (5, 2)]), at(&[(-5, 2)]), at(&[(i64::MAX - 1, 2)])] {
        assert!(matches!(follow(refused, 2), Err(ReplicateError::OutOfOrder { .. })));
    }
    for refused in [at(&[(4, 1)]), at(&[(4, 3), (6, 2)])] {
        assert!(matches!(follow(refused, 3), Err(ReplicateError::OldEpoch { .. })));
    }
    let good = at(&[(4, 2), (6, 2)]);
    for damaged in (good.len() / 2..good.len()).filter(|at| !matches!(at - good.len() / 2, 0..16)) {
        let mut bytes = good.to_vec();
        bytes[damaged] ^= 4;
        assert!(matches!(follow(bytes.into(), 2), Err(ReplicateError::Invalid { .. })), "byte {damaged}");
    }
    assert_eq!((log.log_end(), headers(&read_all(&log)).len()), (Offset(4), 2), "all or nothing");
    // An answer of the leader of epoch 2 that has a batch of epoch 3: from there on it is not its own.
    assert_eq!(follow(at(&[(4, 2), (6, 3)]), 2).unwrap().log_end, Offset(6));
    // A hole that compaction left.
    assert_eq!(follow(at(&[(10, 3), (20, 3)]), 3).unwrap().log_end, Offset(22));
    assert_eq!(log.read(Offset(7), ALL, Offset(22), true).unwrap().base_offset, Offset(10));
    // A cut within a hole ends after the batch before it.
    assert_eq!(log.truncate_to(Offset(15), NOW, stored_nowhere).unwrap(), Offset(12));
}

/// What is left lies behind a hole: the log is empty afterwards, and where it ends is told beforehand.
#[test]
fn a_cut_before_all_that_compaction_left() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), &small(), true, 0);
    log.append_as_follower(&stored(&batch(2, 30, 1000), 62, 1).into(), LeaderEpoch(1), NOW).unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(0), Offset(64)));
    let mut told = None;
    let end = log.truncate_to(Offset(23), NOW, |scalars| {
        told = Some(scalars);
        Ok::<(), LogError>(())
    });
    assert_eq!(end.unwrap(), Offset(0));
    assert_eq!(told, Some(Scalars { recovery_point: Offset(0), log_start: Offset(0), log_end: Offset(0) }));
    assert_eq!((log.log_start(), log.log_end(), log.latest_epoch()), (Offset(0), Offset(0), None));
}
