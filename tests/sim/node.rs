//! One broker, as far as one partition is concerned: the real log on a simulated disk, the real rules, the store's ordered
//! map, and a view. What the runtime does in `replica/` around them is done here step by step.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use felice_protocol::record::{ProduceLimits, TimestampType, check_produced};

use super::{
    contents::{self, StoredBatch},
    mishap::{Death, Happened, Mishap},
    oracle::{self, Violation, compaction::Pass},
    random::Random,
    view::View,
};
use crate::{
    env::{
        disk::{Disk, sim::SimDisk},
        faults::{Fault, planted},
    },
    log::{self, AppendError, Log, LogConfig, LogError, ReplicateError, Start},
    model::{LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicId, TopicIdPartition, TopicPartition, Uuid},
    replica::{Acks, Awaited, Demands, LogEnds, Replica, Scalars},
    store::{Batch, MapStore, Store, StoreError},
};

const DATA_DIR: &str = "/data";
pub const TOPIC_ID: TopicId = TopicId(Uuid([7; 16]));

/// What is the same for all replicas of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    pub log: LogConfig,
    pub demands: Demands,
}

pub struct Node {
    pub id: NodeId,
    pub(super) disk: Arc<SimDisk>,
    pub(super) store: MapStore,
    pub happened: Happened,
    pub running: Option<Running>,
    /// Counts its starts.
    pub incarnation: u32,
    /// What the log has said is safe from a power loss.
    flushed: Offset,
    /// Where that was at its power losses, until it leads again.
    pub power_lost: Option<Offset>,
    /// The last stop was one that was asked for.
    pub is_clean: bool,
    store_fails: bool,
    /// What the log has said is deleted for good.
    pub promised_start: Offset,
    /// Files that retention has renamed and nobody has removed yet.
    pub(super) doomed: Vec<PathBuf>,
    /// A compaction that was begun and not looked at yet.
    pub(super) pass: Option<Pass>,
    /// Below, compaction has dropped tombstones, or may have: who has not seen them cannot go on.
    pub(super) dropped: Offset,
    /// Up to where the log was ever compacted.
    pub(super) compacted: Offset,
    /// What a compaction took for safe from being lost ended here.
    pub(super) taken_for_safe: Offset,
    /// The same of leaders that it has fetched from, after they had compacted.
    pub(super) leaders_took_for_safe: Offset,
    /// It was lost all the same, with all that was in sync: producers' last batches before that may be gone by then.
    pub(super) cut_compacted: bool,
    /// All that each view was made of, as it was then, by its generation.
    applied: Vec<Vec<StoredBatch>>,
}

pub struct Running {
    pub log: Log,
    pub replica: Replica,
    pub view: View,
    /// What its last flush returned: up to here a recovery point may be stored.
    pub recovery_point: Offset,
}

/// An operation that did not end well: the disk's fault, or the store's, or a promise broken.
#[derive(Debug)]
pub enum Failed {
    Disk(LogError),
    Store(StoreError),
    Broken(Violation),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Store(error)
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Failed {
        Failed::Disk(error)
    }
}

impl From<Violation> for Failed {
    fn from(violation: Violation) -> Failed {
        Failed::Broken(violation)
    }
}

impl Node {
    /// A broker whose data folder is made and durable, and empty.
    pub fn new(id: NodeId, seed: u64) -> Node {
        let disk = SimDisk::new(seed);
        let made = disk.create_dir_all(Path::new(DATA_DIR)).and_then(|()| disk.sync_dir(Path::new("/")));
        made.expect("nothing fails yet");
        Node {
            id,
            disk,
            store: MapStore::new(),
            happened: Happened::default(),
            running: None,
            incarnation: 0,
            flushed: Offset::ZERO,
            power_lost: None,
            is_clean: false,
            store_fails: false,
            promised_start: Offset::ZERO,
            doomed: Vec::new(),
            pass: None,
            dropped: Offset::ZERO,
            compacted: Offset::ZERO,
            taken_for_safe: Offset::ZERO,
            leaders_took_for_safe: Offset::ZERO,
            cut_compacted: false,
            applied: Vec::new(),
        }
    }

    pub fn arm(&self, mishap: Mishap, random: &mut Random) {
        mishap.arm(&self.disk, &self.happened, random);
    }

    pub fn disarm(&mut self) {
        self.disk.clear_plan();
        self.store.set_fault(None);
        self.store_fails = false;
    }

    /// The store takes no more writes, or takes them again. True where it fails from now on.
    pub fn toggle_store(&mut self) -> bool {
        self.store_fails = !self.store_fails;
        let full = StoreError::Full { path: DATA_DIR.into() };
        self.store.set_fault(self.store_fails.then_some(full));
        self.store_fails
    }

    /// The process, if there is one, is no more; the disk is as the next one finds it.
    pub fn die(&mut self, death: Death, random: &mut Random) {
        self.note_flushed();
        self.running = None;
        match death {
            Death::Killed => {
                self.disk = self.disk.kill();
                self.store = self.store.crash(usize::MAX);
            }
            Death::PowerLost => {
                self.disk = self.disk.crash(random.next());
                self.store = self.store.crash(random.index(self.store.unsynced() + 1));
                self.power_lost = Some(self.power_lost.map_or(self.flushed, |before| before.min(self.flushed)));
            }
        }
        self.store_fails = false;
        self.doomed.clear();
        self.happened = Happened::default();
    }

    /// What is promised not to be lost by now.
    fn note_flushed(&mut self) {
        if let Some(running) = &self.running
            && !self.happened.died()
        {
            self.flushed = running.log.flushed();
        }
    }

    /// Asks for a stop, as SIGTERM does. True where it was clean.
    pub fn stop(&mut self) -> bool {
        let Some(running) = self.running.take() else { return false };
        let is_closed = running.log.close().is_ok();
        if self.happened.died() {
            return false;
        }
        self.flushed = running.log.flushed();
        let mut batch = Batch::new();
        self.put(&scalars(&running, running.log.log_end(), self.scalars()), &mut batch);
        self.is_clean = is_closed && self.store.write_synced(&batch).is_ok();
        if self.is_clean {
            self.promised_start = running.log.log_start();
        }
        self.doomed.clear();
        self.disk = self.disk.kill();
        self.is_clean
    }

    /// Starts the process. With `interrupted`, the recovery is killed at that step first, and again from the beginning; what
    /// comes out must be the same.
    pub fn start(
        &mut self,
        settings: &Settings,
        now: Timestamp,
        epochs: LeaderEpoch,
        interrupted: Option<(u64, &mut Random)>,
    ) -> Result<(), Failed> {
        self.incarnation += 1;
        if let Some((after, random)) = interrupted {
            let expected = Node::open(self.disk.fork(), &self.store, self.is_clean, settings, now);
            self.arm(Mishap::Die(Death::Killed, after), random);
            drop(self.open_log(settings, now));
            self.disk = self.disk.kill();
            self.happened = Happened::default();
            // A recovery that ended was an unclean stop of its own.
            self.is_clean = false;
            let found = oracle::recovery::Recovered::of(&self.open_log(settings, now)?, epochs)?;
            self.disk = self.disk.kill();
            oracle::recovery::Recovered::of(&expected?, epochs)?.check_same(&found)?;
        }
        let log = self.open_log(settings, now)?;
        self.is_clean = false;
        oracle::recovery::Recovered::of(&log, epochs)?.check_keeps(self.flushed)?;
        let scalars = self.scalars();
        let replica = Replica::new(self.id, settings.demands, log.log_start(), ends(&log), scalars.high_watermark);
        let found = View::load(&self.store).expect("the store is there");
        if let Some(found) = &found {
            oracle::view::check_found(found, &log)?;
        }
        let running =
            Running { log, replica, view: View::new(TOPIC_ID, Offset::ZERO, 0), recovery_point: Offset::ZERO };
        self.running = Some(running);
        self.check_pass()?;
        let Running { log, view, .. } = self.running.as_mut().expect("it was just made");
        let held = found.filter(|found| found.position.is_held_by(log) && found.position.offset >= self.dropped);
        if let Some(held) = &held {
            self.applied[held.generation as usize].retain(|batch| batch.base_offset < held.position.offset);
        }
        *view = held.unwrap_or_else(|| begin_view(&mut self.applied, log.log_start()));
        self.note_flushed();
        Ok(())
    }

    fn open_log(&self, settings: &Settings, now: Timestamp) -> Result<Log, LogError> {
        Node::open(Arc::clone(&self.disk), &self.store, self.is_clean, settings, now)
    }

    fn open(
        disk: Arc<SimDisk>,
        store: &MapStore,
        is_clean: bool,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Log, LogError> {
        let scalars = Scalars::load(store, DIRECTORY_ID, id()).expect("the store is there");
        let start = Start { clean: is_clean, recovery_point: scalars.recovery_point, log_start: scalars.log_start };
        let name = TopicPartition { topic: "t".into(), partition: PartitionIndex(0) };
        let dir = log::partition_dir(Path::new(DATA_DIR), &name);
        Log::open(disk, &dir, name, TOPIC_ID, settings.log.clone(), start, now).map(|(log, _)| log)
    }

    pub(super) fn scalars(&self) -> Scalars {
        Scalars::load(&self.store, DIRECTORY_ID, id()).expect("the store is there")
    }

    pub(super) fn put(&self, scalars: &Scalars, batch: &mut Batch) {
        scalars.put(batch, DIRECTORY_ID, id());
    }

    pub(super) fn process(&mut self) -> &mut Running {
        self.running.as_mut().expect("a process that runs")
    }

    /// Appends what a producer sent. What its answer waits for, and where the batch is.
    pub fn append(
        &mut self,
        batch: &Bytes,
        acks: Acks,
        now: Timestamp,
    ) -> Result<(Offset, Option<Awaited>, bool), AppendError> {
        let limits = ProduceLimits {
            now: now.0,
            produce_version: 12,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
            max_message_bytes: usize::MAX,
            compacted: false,
            compression: None,
            max_decompressed_bytes: 1 << 20,
        };
        let checked = check_produced(batch, &limits).expect("what the simulation sends is well made");
        let Running { log, replica, .. } = self.process();
        let appended = log.append_as_leader(&checked, replica.leader_epoch(), now)?;
        replica.note_log(ends(log));
        let mut awaited = replica.awaited(acks, appended.last_offset.plus(1));
        if planted(Fault::AckBeforeFlush) {
            awaited = None;
        }
        Ok((appended.base_offset, awaited, appended.duplicate))
    }

    pub fn flush(&mut self) -> Result<(), LogError> {
        let Running { log, replica, recovery_point, .. } = self.process();
        let result = log.flush();
        if let Ok(flushed) = &result {
            *recovery_point = *flushed;
        }
        if result.is_ok() && replica.is_leader() {
            replica.note_log(ends(log));
        } else if result.is_ok() {
            replica.note_followed(ends(log), Offset::ZERO);
        }
        self.note_flushed();
        result.map(|_| ())
    }

    /// Stores the recovery point as the flusher does, but whenever it likes.
    pub fn store_scalars(&mut self, synced: bool) {
        let Some(running) = &self.running else { return };
        let known = running.log.recovery_point();
        // As the flusher does: not before the first flush.
        if running.recovery_point < known {
            return;
        }
        let mut batch = Batch::new();
        let log_start = running.log.log_start();
        let stored = self.scalars();
        self.put(&scalars(running, known.max(stored.recovery_point), stored), &mut batch);
        if self.write(&batch, synced) && synced {
            self.promised_start = log_start;
        }
    }

    /// What cannot be written now is written another time. True where it was.
    pub(super) fn write(&self, batch: &Batch, synced: bool) -> bool {
        let written = self.store.write(batch).and_then(|()| if synced { self.store.sync() } else { Ok(()) });
        assert!(written.is_ok() || self.store_fails, "{written:?}");
        written.is_ok()
    }

    /// Applies some of what may be materialized to the view, and stores it with its position.
    pub fn apply_view(&mut self, max_bytes: usize, synced: bool) -> Result<(), Violation> {
        let Running { log, replica, view, .. } = self.running.as_mut().expect("a process that runs");
        let until = if planted(Fault::ViewPastFlushed) { replica.high_watermark() } else { replica.materializable() };
        let is_new = self.applied[view.generation as usize].is_empty();
        if view.position.offset < log.log_start() || view.position.offset < self.dropped && !is_new {
            // Records were deleted that it has not seen, or tombstones. What is stored of it must not outlive a cut of the log.
            let mut batch = Batch::new();
            View::delete(&mut batch);
            if self.store.write(&batch).is_err() {
                return Ok(());
            }
            *view = begin_view(&mut self.applied, log.log_start());
        }
        let from = view.position.offset;
        if from >= until {
            return Ok(());
        }
        // One answer's worth.
        let some =
            log.read(from, max_bytes, until, true).map_err(|error| Violation::new("whole", error.to_string()))?;
        let batches = contents::read(log, from, some.next_offset, max_bytes)?;
        view.apply(&batches);
        self.applied[view.generation as usize].extend(batches);
        let mut batch = Batch::new();
        view.put(&mut batch);
        self.write(&batch, synced);
        self.check_view()
    }

    /// The view is what all that was applied to it comes to, and that is in the log, but for what was deleted.
    pub fn check_view(&self) -> Result<(), Violation> {
        let Some(Running { log, view, .. }) = &self.running else { return Ok(()) };
        let (applied, batches) = (&self.applied[view.generation as usize], contents::read_all(log)?);
        oracle::view::check(view, applied, &batches)?;
        // Where the log's start was raised and that was lost, there is more than the view has seen.
        let begin = |batches: &[StoredBatch]| batches.first().map(|first| first.base_offset);
        let has_seen_all = begin(applied) <= begin(&batches) && log.log_start() == Offset::ZERO;
        // And where what it was compacted by was lost, the view may know more than is left.
        let has_seen_the_same = has_seen_all && !self.cut_compacted;
        if self.compacted > Offset::ZERO && view.position.offset >= self.compacted && has_seen_the_same {
            oracle::view::check_compacted(view, &batches)?;
        }
        Ok(())
    }

    /// Cuts the log of a follower, after everything that rests on what is cut.
    pub fn truncate(&mut self, to: Offset, now: Timestamp) -> Result<(), Failed> {
        self.cut(to, |log, store| log.truncate_to(to, now, store))
    }

    /// Empties the log of a follower, which then begins at `start`.
    pub fn begin_anew(&mut self, start: Offset, now: Timestamp) -> Result<(), Failed> {
        self.cut(start, |log, store| log.truncate_fully_and_start_at(start, now, store))
    }

    fn cut(
        &mut self,
        to: Offset,
        cut: impl FnOnce(&Log, &mut dyn FnMut(log::Scalars) -> Result<(), Failed>) -> Result<Offset, Failed>,
    ) -> Result<(), Failed> {
        let stored = self.scalars();
        self.cut_compacted |= to < self.taken_for_safe;
        let Running { log, replica, view, recovery_point } = self.running.as_mut().expect("a process that runs");
        *recovery_point = (*recovery_point).min(to);
        let (store, flushed, promised) = (&self.store, &mut self.flushed, &mut self.promised_start);
        let applied = &mut self.applied;
        cut(log, &mut |lowered| {
            let recovery_point = if planted(Fault::KeepRecoveryPoint) {
                stored.recovery_point
            } else {
                stored.recovery_point.min(lowered.recovery_point)
            };
            let log_end = lowered.log_end;
            let high_watermark = stored.high_watermark.min(log_end);
            // Nothing of what comes in place of what is cut is compacted.
            let first_dirty = stored.first_dirty.map(|first_dirty| first_dirty.min(log_end));
            let mut batch = Batch::new();
            let scalars = Scalars { recovery_point, high_watermark, log_start: lowered.log_start, first_dirty };
            scalars.put(&mut batch, DIRECTORY_ID, id());
            let is_ahead = view.position.offset > log_end || view.position.offset < lowered.log_start;
            // What is stored may be of a view that was given up since.
            let found = View::load(store)?;
            if is_ahead || found.is_some_and(|found| found.position.offset > log_end) {
                View::delete(&mut batch);
            }
            store.write_synced(&batch)?;
            if is_ahead {
                *view = begin_view(applied, lowered.log_start);
            }
            // From here on less is promised, whatever becomes of it.
            *promised = lowered.log_start;
            *flushed = (*flushed).min(lowered.recovery_point);
            Ok(())
        })?;
        replica.note_truncation(ends(log));
        Ok(())
    }

    /// Appends what was fetched from the leader.
    pub fn follow(&mut self, fetched: &Bytes, high_watermark: Offset, now: Timestamp) -> Result<(), ReplicateError> {
        let Running { log, replica, .. } = self.process();
        let result = log.append_as_follower(fetched, replica.leader_epoch(), now);
        replica.note_followed(ends(log), high_watermark);
        result.map(|_| ())
    }
}

const DIRECTORY_ID: Uuid = Uuid([1; 16]);

fn id() -> TopicIdPartition {
    TopicIdPartition { topic_id: TOPIC_ID, partition: PartitionIndex(0) }
}

/// What holds now, and the rest as it is stored.
fn scalars(running: &Running, recovery_point: Offset, stored: Scalars) -> Scalars {
    let log_start = running.log.log_start();
    Scalars { recovery_point, log_start, high_watermark: running.replica.high_watermark(), ..stored }
}

fn begin_view(applied: &mut Vec<Vec<StoredBatch>>, log_start: Offset) -> View {
    applied.push(Vec::new());
    View::new(TOPIC_ID, log_start, applied.len() as u32 - 1)
}

pub fn ends(log: &Log) -> LogEnds {
    let flushed = log.flushed();
    LogEnds { log_end: log.log_end(), flushed }
}
