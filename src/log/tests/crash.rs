//! Lives of a log on a disk that loses power at any call: what was flushed is there, in order, and nothing else.

use std::path::PathBuf;

use rustix::io::Errno;

use super::*;
use crate::env::{
    Disk, OpenMode,
    disk::sim::{Answer, Call, Random, SimDisk},
    faults::{Fault, plant},
};

/// A log, the process it lives in, and what has to be in it.
struct Life {
    random: Random,
    disk: Arc<SimDisk>,
    log: Log,
    /// What the store holds, which here is always synced.
    recovery_point: Offset,
    log_start: Offset,
    /// What was appended: each batch with the offset after it. The last ones may have met a failure and be missing, and the first
    /// ones be deleted.
    model: Vec<(i64, Vec<u8>)>,
    /// Everything below must be there whatever happens.
    safe: i64,
    /// Everything below must be there unless the power is lost.
    written: i64,
    epoch: i32,
    /// Another one begins where a power loss took what the one before would go on from.
    producer: i64,
    /// Files that retention has left to be removed.
    doomed: Vec<PathBuf>,
    /// Batches that did not all fit and were taken back, each time with all before them: a power loss may undo that.
    taken_back: Vec<Vec<(i64, Vec<u8>)>>,
}

fn dir() -> &'static Path {
    Path::new("/data/orders-3")
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 3000, index_interval_bytes: 300, ..LogConfig::default() }
}

fn open(disk: &Arc<SimDisk>, recovery_point: Offset, log_start: Offset) -> Result<Log, String> {
    let start = Start { clean: false, recovery_point, log_start };
    let disk: Arc<dyn Disk> = disk.clone();
    let opened = Log::open(disk, dir(), partition(), TopicId(Uuid([7; 16])), config(), start, NOW);
    opened.map(|(log, _)| log).map_err(|error| format!("cannot be opened: {error}"))
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

macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => { if !$holds { return Err(format!($($why)*)); } };
}

impl Life {
    fn begin(seed: u64) -> Life {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let log = open(&disk, Offset::ZERO, Offset::ZERO).unwrap();
        let random = Random::new(seed);
        Life {
            random,
            disk,
            log,
            recovery_point: Offset::ZERO,
            log_start: Offset::ZERO,
            model: Vec::new(),
            safe: 0,
            written: 0,
            epoch: 0,
            producer: 1,
            doomed: Vec::new(),
            taken_back: Vec::new(),
        }
    }

    fn end_of_model(&self) -> i64 {
        self.model.last().map_or(0, |(next, _)| *next).max(self.log.log_start().0)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..55 => self.append(),
            55..57 => self.delete_records(),
            57..60 => self.enforce_retention(),
            60..74 => self.flush(),
            // A flush fails, and the kernel takes the pages for clean.
            74 => {
                let mut failed = false;
                self.disk.set_plan(move |call| match call {
                    Call::Sync { .. } if !failed => {
                        failed = true;
                        Answer::Fail(Errno::IO)
                    }
                    _ => Answer::Proceed,
                });
                if self.random.below(2) == 0 {
                    self.flush()?
                } else {
                    self.truncate()?
                }
                self.disk.clear_plan();
                if self.log.is_out_of_use() { self.stop(false) } else { Ok(()) }
            }
            75..80 => {
                let _ = self.log.roll_now(NOW);
                Ok(())
            }
            80..88 => self.truncate(),
            88..92 => self.stop(false),
            92..96 => self.stop(true),
            // From some call on nothing reaches the disk any more: the power is about to go.
            96..98 => {
                self.disk.set_plan(until_power_fails(self.random.below(12)));
                for _ in 0..3 {
                    let _ = match self.random.below(4) {
                        0 => self.append(),
                        1 => self.flush(),
                        2 => self.enforce_retention(),
                        _ => self.truncate(),
                    };
                }
                self.stop(true)
            }
            // The disk is full in the middle of a batch, and has room again afterwards.
            _ => {
                let mut short = Some(self.random.between(1, 200));
                self.disk.set_plan(move |call| match call {
                    Call::Write { .. } => short.take().map_or(Answer::Fail(Errno::NOSPC), Answer::Short),
                    _ => Answer::Proceed,
                });
                let appended = self.append();
                self.disk.clear_plan();
                appended?;
                self.check("after a write that did not fit")
            }
        }
    }

    fn append(&mut self) -> Result<(), String> {
        if self.random.below(4) == 0 {
            return self.follow();
        }
        let (base, count) = (self.log.log_end().0, self.random.between(1, 6));
        let size = if self.random.below(4) == 0 { self.random.between(600, 2000) / count } else { 20 };
        let built = idempotent_of(self.producer, base, count, size);
        let bytes = stored(&built, base, self.epoch);
        match self.log.append_as_leader(&built, LeaderEpoch(self.epoch), NOW) {
            Ok(appended) => {
                ensure!(!appended.duplicate, "a new batch at {base} was taken for {appended:?}");
                ensure!(appended.base_offset.0 == base, "{appended:?} instead of {base}");
                self.model.truncate(self.model.partition_point(|(next, _)| *next <= base));
                self.model.push((base + count as i64, bytes));
                self.written = base + count as i64;
            }
            Err(AppendError::Producer(error)) => return Err(format!("a batch at {base} was refused: {error}")),
            Err(_) => {}
        }
        Ok(())
    }

    /// Appends a few batches as those of a leader.
    fn follow(&mut self) -> Result<(), String> {
        if self.log.is_out_of_use() {
            return Ok(());
        }
        let base = self.log.log_end().0;
        self.model.truncate(self.model.partition_point(|(next, _)| *next <= base));
        let (mut all, mut next) = (Vec::new(), base);
        for _ in 0..self.random.between(1, 5) {
            let (count, size) = (self.random.between(1, 4), self.random.between(10, 400));
            let bytes = stored(&idempotent_of(self.producer, next, count, size), next, self.epoch);
            all.extend_from_slice(&bytes);
            next += count as i64;
            self.model.push((next, bytes));
        }
        // Whole runs of batches may be in before the disk fails.
        let followed = self.log.append_as_follower(&all.into(), LeaderEpoch(self.epoch), NOW);
        let end = self.log.log_end().0;
        ensure!(followed.is_err() || end == next, "{followed:?} ends at {end}, not {next}");
        if followed.is_err() {
            self.taken_back.push(self.model.clone());
            // Of one leader there would be the same batches again.
            self.epoch += 1;
        }
        self.model.truncate(self.model.partition_point(|(next, _)| *next <= end));
        self.written = end;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        if let Ok(flushed) = self.log.flush() {
            self.safe = flushed.0;
            self.taken_back.clear();
            let active = *self.log.segment_bases().last().unwrap();
            if active <= flushed {
                self.recovery_point = active;
            }
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), String> {
        let end = self.log.log_end().0;
        let start = self.log.log_start().0;
        let to = end - self.random.below(20.min((end - start) as usize + 1)) as i64;
        // As soon as it begins, what is above may be gone.
        let whole =
            self.model.iter().map(|(next, _)| *next).take_while(|next| *next <= to).last().unwrap_or(0).max(start);
        self.safe = self.safe.min(whole);
        self.written = self.written.min(whole);
        let (recovery_point, log_start) = (&mut self.recovery_point, &mut self.log_start);
        let cut = self.log.truncate_to(Offset(to), NOW, |scalars| {
            *recovery_point = scalars.recovery_point.min(*recovery_point);
            *log_start = scalars.log_start;
            Ok::<(), LogError>(())
        });
        if let Ok(cut) = cut {
            ensure!(cut.0 == whole, "cut to {to} ends at {cut}, not {whole}");
            self.model.truncate(self.model.partition_point(|(next, _)| *next <= whole));
            self.epoch += 1;
            self.check("after a cut")?;
        }
        Ok(())
    }

    /// A client deletes records.
    fn delete_records(&mut self) -> Result<(), String> {
        let (start, end) = (self.log.log_start().0, self.log.log_end().0);
        self.log_start =
            self.log.advance_log_start(Offset(start + self.random.below((end - start) as usize + 1) as i64));
        self.check("after records were deleted")
    }

    fn enforce_retention(&mut self) -> Result<(), String> {
        let end = self.log.log_end();
        let retention_bytes = self.random.below(12_000) as i64;
        let high_watermark = Offset(end.0 - self.random.below(2) as i64).max(self.log.log_start());
        self.log.set_config(LogConfig { retention_bytes, ..config() });
        let size = self.log.size();
        let (log, log_start) = (&self.log, &mut self.log_start);
        let expired = self.log.enforce_retention(high_watermark, NOW, || {
            *log_start = log.log_start();
            Ok::<_, LogError>(())
        });
        if let Ok(Some(expired)) = expired {
            ensure!(self.log.size() + expired.bytes == size, "{expired:?} left {} of {size} bytes", self.log.size());
            ensure!(self.log.log_start() <= high_watermark, "{expired:?} reaches beyond {high_watermark}");
            self.doomed.extend(expired.files);
        }
        if self.random.below(2) == 0 {
            self.doomed.drain(..).for_each(|file| drop(remove_deleted_file(&*self.disk, &file)));
        }
        self.check("after retention")
    }

    /// The process dies, with the power or without, and the next one opens the log.
    fn stop(&mut self, mut power_lost: bool) -> Result<(), String> {
        self.disk = if power_lost { self.disk.crash(self.random.next_u64()) } else { self.disk.kill() };
        // Now and then it goes once more while the log is opened.
        while self.random.below(4) == 0 {
            self.disk.set_plan(until_power_fails(self.random.below(10)));
            let _ = open(&self.disk, self.recovery_point, self.log_start);
            self.disk = self.disk.crash(self.random.next_u64());
            power_lost = true;
        }
        self.log = open(&self.disk, self.recovery_point, self.log_start)?;
        self.doomed.clear();
        let at_least = if power_lost { self.safe } else { self.written };
        let end = self.log.log_end().0;
        ensure!(self.log.log_start() == self.log_start, "the log starts at {}", self.log.log_start());
        if end == self.log_start.0 {
            self.producer += 1;
        }
        ensure!(
            end >= at_least,
            "{at_least} was {}, and the log ends at {end}",
            if power_lost { "flushed" } else { "written" }
        );
        let to_end = |mut model: Vec<(i64, Vec<u8>)>| {
            model.truncate(model.partition_point(|(next, _)| *next <= end));
            model
        };
        self.model = to_end(std::mem::take(&mut self.model));
        (self.safe, self.written) = (end, end);
        self.epoch = self.epoch.max(self.log.latest_epoch().map_or(0, |epoch| epoch.0)) + 1;
        let mut checked = self.check("after a stop");
        for taken_back in std::mem::take(&mut self.taken_back).into_iter().filter(|_| power_lost) {
            if checked.is_err() {
                self.model = to_end(taken_back);
                checked = self.check("after a stop").or(checked);
            }
        }
        checked
    }

    /// The log holds the model, and knows its epochs.
    fn check(&self, when: &str) -> Result<(), String> {
        ensure!(self.log.log_end().0 == self.end_of_model(), "{when} the log ends at {}", self.log.log_end());
        let mut from = self.log.log_start();
        if from > Offset::ZERO {
            let below = self.log.read(from.plus(-1), 0, self.log.log_end(), true);
            ensure!(
                matches!(below, Err(ReadError::OutOfRange { .. })),
                "{when} what is deleted can be read: {below:?}"
            );
        }
        let deleted = self.model.partition_point(|(next, _)| *next <= from.0);
        for (next, bytes) in self.model.iter().skip(deleted) {
            let read = self.log.read(from, 0, self.log.log_end(), true).map_err(|error| format!("{when}: {error}"))?;
            ensure!(read.bytes == bytes && read.next_offset.0 == *next, "{when} another batch is at {from}");
            let epoch = LeaderEpoch(BatchHeader::parse(bytes).unwrap().partition_leader_epoch);
            ensure!(
                self.log.epoch_of(from) == Some(epoch),
                "{when} the epoch at {from} is {:?}",
                self.log.epoch_of(from)
            );
            from = read.next_offset;
        }
        let last = self.model.last().map(|(_, bytes)| BatchHeader::parse(bytes).unwrap().partition_leader_epoch);
        let latest = self.log.latest_epoch().map(|epoch| epoch.0);
        let is_empty = self.log.log_start() == self.log.log_end();
        ensure!(is_empty || latest == last, "{when} the latest epoch is {latest:?} where the last batch has {last:?}");
        Ok(())
    }
}

fn idempotent_of(producer: i64, base: i64, count: usize, size: usize) -> Checked {
    checked(records(BatchBuilder::new(Codec::None).producer(producer, 0, base as i32), count, size, NOW.0 + base))
}

/// Lives for 150 steps; what went wrong, if anything.
fn live(seed: u64) -> Result<(), String> {
    let mut life = Life::begin(seed);
    (0..150).try_for_each(|step| life.step().map_err(|why| format!("seed {seed}, step {step}: {why}")))
}

#[test]
fn what_was_flushed_survives_whatever_happens() {
    for seed in 0..400 {
        live(seed).unwrap();
    }
}

/// The kernel says once that a flush failed, and takes the pages for clean from then on.
#[test]
fn what_a_failed_flush_left_to_fate_is_written_anew_by_the_next_start() {
    for seed in 0..40 {
        let mut life = Life::begin(seed);
        (0..8).for_each(|_| life.append().unwrap());
        life.disk
            .set_plan(|call| if matches!(call, Call::Sync { .. }) { Answer::Fail(Errno::IO) } else { Answer::Proceed });
        let flushed = life.log.flushed();
        life.log.flush().unwrap_err();
        assert!(life.log.is_out_of_use());
        life.disk.clear_plan();
        life.log.flush().expect_err("it would succeed, and say nothing about what was lost");
        assert_eq!(life.log.flushed(), flushed);
        life.stop(false).unwrap();
        assert_eq!((life.log.flushed(), life.log.log_end().0), (life.log.log_end(), life.safe));
        life.stop(true).unwrap();
    }
}

#[test]
fn planted_mistakes_are_found() {
    let faults = [
        Fault::SkipCrcInRecovery,
        Fault::SkipRollback,
        Fault::SkipDataSync,
        Fault::SkipDirSync,
        Fault::KeepEpochs,
        Fault::KeepProducers,
        Fault::StoreLogStartTooLate,
    ];
    for fault in faults {
        let found = plant(fault, || (0..400).find_map(|seed| live(seed).err()));
        println!("{fault:?}: {found:?}");
        assert!(found.is_some(), "{fault:?} goes unnoticed");
    }
}

/// The power is lost at each call of a truncation in turn.
#[test]
fn a_cut_that_is_interrupted_anywhere_leaves_the_log_as_it_was_or_shorter() {
    for to in [3, 11, 12, 20] {
        let mut calls = 0;
        loop {
            let mut finished = false;
            for seed in 0..12 {
                let mut life = Life::begin(seed);
                for _ in 0..25 {
                    life.append().unwrap();
                }
                life.flush().unwrap();
                let whole = life.model.iter().map(|(next, _)| *next).take_while(|next| *next <= to).last().unwrap_or(0);
                life.disk.set_plan(until_power_fails(calls));
                let recovery_point = &mut life.recovery_point;
                let cut = life.log.truncate_to(Offset(to), NOW, |scalars| {
                    *recovery_point = scalars.recovery_point.min(*recovery_point);
                    Ok::<(), LogError>(())
                });
                finished = cut.is_ok();
                assert_eq!(life.log.is_out_of_use(), !finished);
                if finished {
                    life.model.truncate(life.model.partition_point(|(next, _)| *next <= whole));
                }
                (life.safe, life.epoch) = (whole, 5);
                let why = format!("cut to {to}, {calls} calls, seed {seed}");
                life.stop(true).expect(&why);
                // And it grows over the place of the cut, and stays what it is.
                for _ in 0..10 {
                    life.append().unwrap();
                }
                if seed % 2 == 0 {
                    life.flush().unwrap();
                }
                life.stop(true).expect(&why);
            }
            if finished {
                break;
            }
            calls += 1;
        }
        assert!(calls > 8, "{calls} calls");
    }
}

/// What opening a log found.
fn state(log: &Log) -> (Offset, Offset, Vec<u8>, Option<LeaderEpoch>, usize) {
    (log.log_start(), log.log_end(), read_all(log), log.latest_epoch(), log.producer_count())
}

/// A disk that cannot be read or is full keeps a log from being opened, or does not matter; it never costs a record.
#[test]
fn a_start_on_a_failing_disk_changes_nothing() {
    let mut life = Life::begin(7);
    for at in 0..40 {
        life.append().unwrap();
        if at == 30 {
            life.flush().unwrap();
        }
    }
    let expected = state(&life.log);
    for (errno, reads) in [(Errno::IO, true), (Errno::NOSPC, false)] {
        let mut refused = 0;
        for at in 0.. {
            let mut left = at;
            let reached = Arc::new(AtomicBool::new(false));
            let met = Arc::clone(&reached);
            life.disk = life.disk.kill();
            life.disk.set_plan(move |call| {
                let concerned = match call {
                    Call::ReadWhole { .. } | Call::List { .. } | Call::Read { .. } => reads,
                    Call::Open { mode, .. } => !reads && *mode != OpenMode::Existing,
                    Call::Write { .. } | Call::Rename { .. } => !reads,
                    _ => false,
                };
                left -= i32::from(concerned);
                if concerned && left < 0 {
                    met.store(true, Ordering::Relaxed);
                    // A disk that is full stays so; one sector that cannot be read is one.
                    if !reads || left == -1 { Answer::Fail(errno) } else { Answer::Proceed }
                } else {
                    Answer::Proceed
                }
            });
            match open(&life.disk, life.recovery_point, life.log_start) {
                Ok(log) => {
                    life.disk.clear_plan();
                    assert_eq!(state(&log), expected, "{errno} at call {at}");
                }
                Err(_) => refused += 1,
            }
            life.disk = life.disk.kill();
            let again = open(&life.disk, life.recovery_point, life.log_start).unwrap();
            assert_eq!(state(&again), expected, "after {errno} at call {at}");
            if !reached.load(Ordering::Relaxed) {
                break;
            }
        }
        println!("{errno}: refused {refused} times");
        assert!(refused > 0 || !reads);
    }
}
