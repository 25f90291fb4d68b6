//! A partition and its log that may not be open: who needs the log opens it, and what is asked most of all is answered without.

use std::sync::Arc;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use tracing::debug;

use super::{Isolation, Partition, Position, Scalars, partition::log_ends, scalars::AtRest, slot::display_bytes};
use crate::{
    log::{Log, LogError, LogSlice, ReadError, ReadSlice, Recovered},
    model::{LeaderEpoch, Offset, Timestamp, Uuid},
};

impl Partition {
    /// The log, opened if need be, which takes this thread's time.
    ///
    /// # Errors
    /// It cannot be opened for now; the next who asks tries again.
    pub(super) fn log(&self) -> Result<Arc<Log>, LogError> {
        match self.slot.opened() {
            Some(log) => Ok(log),
            None => off_the_async_threads(|| {
                self.slot.open_with(|| self.settings.load().log.clone(), |log, recovered| self.publish(log, recovered))
            }),
        }
    }

    /// The log, if it is open.
    pub(super) fn opened(&self) -> Option<Arc<Log>> {
        self.slot.opened()
    }

    /// A log was opened: what it holds is what there is of this replica, and an epoch that began while it was closed
    /// begins at its end.
    fn publish(&self, log: Arc<Log>, recovered: &Recovered) {
        self.update(u64::MAX, |replica| {
            replica.note_reopened(log.log_start(), log_ends(&log));
            if replica.is_leader() {
                log.begin_epoch(replica.leader_epoch());
            }
            self.slot.publish(Arc::clone(&log));
        });
        // They may have changed since it was opened with them.
        log.set_config(self.settings.load().log.clone());
        if self.slot.resets() > 0 {
            let checked = display_bytes(recovered.bytes_checked);
            debug!(partition = %self.name(), "the log is in use again: {checked} checked and written anew");
        }
    }

    /// Sees to it that everything in the log is on the disk: flushes what was not, and where the log is out of use, since its
    /// disk failed, opens it again. False where nothing had to be done.
    ///
    /// # Errors
    /// The disk fails still, or again.
    pub(super) fn verify(self: &Arc<Self>) -> Result<bool, LogError> {
        let result = match self.opened() {
            None if self.slot.is_sound() => Ok(false),
            Some(log) if !log.is_out_of_use() && log.flushed() == log.log_end() => Ok(false),
            Some(log) if !log.is_out_of_use() => self.flush().map(|()| true),
            _ => self.reopen().map(|()| true),
        };
        // A deletion takes the log out of use as well.
        if self.is_closed() { Ok(false) } else { result }
    }

    /// Opens a log again that is out of use since its disk failed. Who waits for it is told. Takes as long as the recovery does.
    fn reopen(&self) -> Result<(), LogError> {
        // Who removes or compacts segments comes to an end: their log is out of use.
        let _tended = self.tended.lock();
        let config = || self.settings.load().log.clone();
        let reopened = self.slot.reopen_with(config, |log, recovered| self.publish(log, recovered));
        self.wake_all();
        reopened.map(drop)
    }

    /// What is known of the log if it was not opened since a clean stop.
    pub(super) fn known_at_rest(&self) -> Option<AtRest> {
        self.slot.known_at_rest()
    }

    /// The end of a clean stop: closes the log, if it is open, and tells what to store of it; `None` where what is stored holds.
    ///
    /// # Errors
    /// The files are not as a clean stop should leave them.
    pub(super) fn shut(&self) -> Result<Option<(Scalars, AtRest)>, LogError> {
        let Some(log) = self.opened() else {
            return if self.slot.is_sound() { Ok(None) } else { Err(LogError::Failed { path: self.slot.dir() }) };
        };
        log.close()?;
        let (log_start, log_end) = (log.log_start(), log.log_end());
        let high_watermark = self.high_watermark();
        let scalars = Scalars { recovery_point: log_end, log_start, high_watermark, ..*self.stored.lock() };
        let at_rest = AtRest {
            log_end,
            latest_epoch: log.latest_epoch().unwrap_or(LeaderEpoch::NONE),
            log_start_epoch: log.epoch_of(log_start).unwrap_or(LeaderEpoch::NONE),
            size: log.size(),
            segments: u32::try_from(log.segment_bases().len()).unwrap_or(u32::MAX),
            oldest_timestamp: log.oldest_timestamp().unwrap_or(Timestamp::NONE),
            first_undecided: log.first_undecided(high_watermark),
        };
        Ok(Some((scalars, at_rest)))
    }

    /// Takes the partition's folder out of sight; returns its new name. The log is not opened any more.
    pub(super) fn delete(&self, unique: Uuid) -> Result<std::path::PathBuf, LogError> {
        self.close();
        self.slot.delete(unique)
    }

    pub fn log_start(&self) -> Offset {
        self.slot.opened().map_or_else(|| self.slot.closed_log_start(), |log| log.log_start())
    }

    pub fn log_end(&self) -> Offset {
        self.slot.opened().map_or_else(|| self.replica.lock().ends().log_end, |log| log.log_end())
    }

    /// Where the oldest transaction begins that is undecided as seen from this high watermark, else that.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        if let Some(at_rest) = self.unopened() {
            let first_undecided = at_rest.first_undecided.map(|offset| offset.max(self.log_start()));
            return first_undecided.map_or(high_watermark, |offset| offset.min(high_watermark));
        }
        // Where it cannot be opened, nothing can be read either.
        self.log().map_or_else(|_| self.log_start().min(high_watermark), |log| log.last_stable_offset(high_watermark))
    }

    /// Where reading ends.
    pub fn readable_end(&self, isolation: Isolation) -> Offset {
        let high_watermark = self.high_watermark();
        match isolation {
            Isolation::ReadUncommitted => high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset(high_watermark),
        }
    }

    /// Whole batches from the one that contains `from`, below `until`, which is at most what is readable under this isolation; in
    /// memory where they are few, and at most `memory_max` bytes.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
        memory_max: usize,
        isolation: Isolation,
    ) -> Result<LogSlice, ReadError> {
        if let Some(at_rest) = self.unopened() {
            let (log_start, log_end) = (self.log_start(), at_rest.log_end);
            if from < log_start || from > log_end {
                return Err(ReadError::OutOfRange { asked: from, log_start, log_end });
            }
            if from >= until {
                return Ok(LogSlice::empty(from));
            }
        }
        let log = self.log()?;
        match isolation {
            Isolation::ReadUncommitted => log.slice(from, max_bytes, until, at_least_one, memory_max),
            Isolation::ReadCommitted => log.slice_committed(from, max_bytes, until, at_least_one, memory_max),
        }
    }

    /// Whole batches from the one that contains `from`, below `until`, at least one, in memory: for who materializes this log. Nothing
    /// is known here of what may be read.
    pub fn read_into_memory(&self, from: Offset, max_bytes: usize, until: Offset) -> Result<ReadSlice, ReadError> {
        self.log()?.read(from, max_bytes, until, true)
    }

    /// Whether a view of this log at this position misses nothing: the log holds the position, and was not compacted beyond it.
    /// Compaction drops tombstones, and what they delete would still be in the view.
    pub fn holds(&self, position: &Position) -> Result<bool, LogError> {
        let first_dirty = self.stored.lock().first_dirty;
        if position.topic_id != self.id().topic_id || first_dirty.is_some_and(|offset| offset > position.offset) {
            return Ok(false);
        }
        if let Some(at_rest) = self.unopened()
            && (position.offset, position.leader_epoch) == (at_rest.log_end, at_rest.latest_epoch)
        {
            return Ok(true);
        }
        Ok(position.is_held_by(&*self.log()?))
    }

    /// Flushes the log. What may be put into a view ends where this says: below, nothing is taken back.
    pub fn flush_for_view(self: &Arc<Self>) -> Result<Offset, LogError> {
        self.flush()?;
        Ok(self.replica.lock().materializable())
    }

    /// Where the largest leader epoch up to `asked` ends.
    pub fn end_of_epoch(&self, asked: LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, LogError> {
        if let Some(at_rest) = self.unopened() {
            let is_ours = asked == self.leader_epoch() && self.is_leader();
            if asked != LeaderEpoch::NONE && (is_ours || asked == at_rest.latest_epoch) {
                return Ok(Some((asked, at_rest.log_end)));
            }
        }
        Ok(self.log()?.epoch_end_offset(asked))
    }

    /// The leader epoch of the record at `offset`.
    pub fn epoch_of(&self, offset: Offset) -> Result<Option<LeaderEpoch>, LogError> {
        if let Some(at_rest) = self.unopened()
            && offset == self.log_start()
        {
            return Ok(Some(at_rest.log_start_epoch).filter(|epoch| *epoch != LeaderEpoch::NONE));
        }
        Ok(self.log()?.epoch_of(offset))
    }

    fn unopened(&self) -> Option<AtRest> {
        if self.slot.is_open() { None } else { self.known_at_rest() }
    }
}

/// Opening reads a few small files, and more of them where there are many segments; following the metadata may open or close
/// thousands of logs: nothing that the threads that serve everyone else should wait for.
pub(super) fn off_the_async_threads<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use felice_protocol::record::{BatchBuilder, Codec, TimestampType};
    use rustix::io::Errno;

    use super::{
        super::{
            Acks, AppendError, NotSafe, TopicSettings,
            flusher::Flusher,
            health_folder::{FolderHealth, Round, Trouble},
            partition::Folder,
            rules::Leadership,
            slot::{LogHome, LogSlot},
        },
        *,
    };
    use crate::{
        env::{
            Disk, SystemEnv,
            disk::sim::{Answer, Call, SimDisk},
        },
        log::{LogConfig, Start},
        model::{NodeId, PartitionIndex, TopicId, TopicIdPartition, TopicPartition},
        store::MapStore,
    };

    const NODE: NodeId = NodeId(1);

    struct Setting {
        disk: Arc<SimDisk>,
        home: Arc<LogHome>,
        flusher: Flusher,
        health: Arc<FolderHealth>,
    }

    impl Setting {
        fn new() -> Setting {
            let disk = SimDisk::new(1);
            disk.create_dir_all(Path::new("/data")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            let home = LogHome { data_dir: "/data".into(), disk: disk.clone(), env: Arc::new(SystemEnv) };
            let flusher = Flusher::start(|_| {}).unwrap();
            // Nobody flushes but the test.
            flusher.stop();
            let (store, env) = (Arc::new(MapStore::new()), Arc::clone(&home.env));
            let health = FolderHealth::new("/data".into(), None, disk.clone(), store, env);
            Setting { disk, home: Arc::new(home), flusher, health: Arc::new(health) }
        }

        fn partition(&self, left: Option<(Scalars, AtRest)>, leader_epoch: i32) -> Arc<Partition> {
            let name = TopicPartition { topic: "t".into(), partition: PartitionIndex(0) };
            let id = TopicIdPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) };
            let settings = TopicSettings {
                log: LogConfig { flush_messages: 1, ..LogConfig::default() },
                max_message_bytes: 1 << 20,
                timestamp_type: TimestampType::CreateTime,
                timestamp_before_max_ms: i64::MAX,
                timestamp_after_max_ms: i64::MAX,
                min_insync_replicas: 1,
                compression: None,
                max_decompressed_bytes: 1 << 20,
            };
            let scalars = left.map(|(scalars, _)| scalars).unwrap_or_default();
            let start = Start { clean: true, recovery_point: scalars.recovery_point, log_start: scalars.log_start };
            let home = Arc::clone(&self.home);
            let slot = match left {
                Some((_, at_rest)) => LogSlot::at_rest(home, name, id.topic_id, start, at_rest),
                None => {
                    let (log, _) = home.open(&name, id.topic_id, settings.log.clone(), start).unwrap();
                    LogSlot::open(home, log)
                }
            };
            let leadership = Leadership {
                leader: Some(NODE),
                leader_epoch: LeaderEpoch(leader_epoch),
                replication_factor: 1,
                isr: vec![NODE],
            };
            let folder = Folder { flusher: self.flusher.queue(), health: Arc::clone(&self.health) };
            Partition::new(id, NODE, slot, Arc::new(settings), leadership, scalars, folder)
        }

        /// Counts the calls to the disk from now on.
        fn count(&self) -> Arc<AtomicUsize> {
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&calls);
            self.disk.set_plan(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                Answer::Proceed
            });
            calls
        }
    }

    fn records(count: usize) -> Bytes {
        (0..count).fold(BatchBuilder::new(Codec::None), |batch, _| batch.record(1, None, Some(b"value"))).build()
    }

    fn append(partition: &Arc<Partition>, count: usize) -> Result<super::super::Appended, AppendError> {
        partition.append(&records(count), Acks::Leader, 12, Timestamp(1_000))
    }

    fn read(partition: &Partition, from: Offset) -> Result<LogSlice, ReadError> {
        let until = partition.high_watermark();
        partition.read(from, 1 << 20, until, true, 1 << 20, Isolation::ReadUncommitted)
    }

    fn closed_with(setting: &Setting, count: usize) -> (Scalars, AtRest) {
        let partition = setting.partition(None, 3);
        append(&partition, count).unwrap();
        partition.flush().unwrap();
        partition.shut().unwrap().unwrap()
    }

    #[test]
    fn an_open_transaction_is_known_at_rest() {
        let setting = Setting::new();
        let partition = setting.partition(None, 3);
        append(&partition, 2).unwrap();
        let batch = BatchBuilder::new(Codec::None).producer(7, 0, 0).transactional().record(0, None, Some(b"v"));
        partition.append(&batch.build(), Acks::Leader, 9, Timestamp(0)).unwrap();
        partition.flush().unwrap();
        let ends = |partition: &Partition| {
            [Isolation::ReadUncommitted, Isolation::ReadCommitted].map(|isolation| partition.readable_end(isolation).0)
        };
        assert_eq!(ends(&partition), [3, 2]);
        let left = partition.shut().unwrap().unwrap();
        let partition = setting.partition(Some(left), 3);
        let calls = setting.count();
        assert_eq!((ends(&partition), calls.load(Ordering::SeqCst)), ([3, 2], 0));
        assert_eq!(read(&partition, Offset(2)).unwrap().next_offset, Offset(3));
        assert_eq!(ends(&partition), [3, 2], "now that it is open");
    }

    #[test]
    fn a_log_at_rest_answers_what_is_asked_most_without_being_opened() {
        let setting = Setting::new();
        let left = closed_with(&setting, 5);
        let partition = setting.partition(Some(left), 3);
        let calls = setting.count();
        assert_eq!((partition.log_start(), partition.high_watermark()), (Offset(0), Offset(5)));
        assert_eq!(partition.log_end(), Offset(5));
        assert_eq!(partition.readable_end(Isolation::ReadCommitted), Offset(5));
        assert!(read(&partition, Offset(5)).unwrap().records.is_empty());
        for beyond in [-1, 6] {
            let refused = read(&partition, Offset(beyond));
            assert!(matches!(refused, Err(ReadError::OutOfRange { .. })));
        }
        assert_eq!(partition.end_of_epoch(LeaderEpoch(3)).unwrap(), Some((LeaderEpoch(3), Offset(5))));
        assert_eq!(partition.epoch_of(Offset(0)).unwrap(), Some(LeaderEpoch(3)));
        partition.flush().unwrap();
        assert_eq!(partition.shut().unwrap(), None, "what is stored of it still holds");
        assert_eq!(calls.load(Ordering::SeqCst), 0);

        assert_eq!(read(&partition, Offset(2)).unwrap().next_offset, Offset(5));
        assert!(calls.load(Ordering::SeqCst) > 0 && partition.known_at_rest().is_none());
        assert_eq!(partition.end_of_epoch(LeaderEpoch(3)).unwrap(), Some((LeaderEpoch(3), Offset(5))));
        assert_eq!(append(&partition, 1).unwrap().base_offset, Offset(5));
        assert_eq!(partition.shut().unwrap().unwrap().1.log_end, Offset(6));
    }

    #[test]
    fn an_epoch_that_began_while_the_log_was_at_rest_begins_at_its_end() {
        let setting = Setting::new();
        let left = closed_with(&setting, 5);
        for opens_first in [false, true] {
            let partition = setting.partition(Some(left), 4);
            if opens_first {
                append(&partition, 1).unwrap();
            }
            let end = partition.log_end();
            assert_eq!(partition.end_of_epoch(LeaderEpoch(4)).unwrap(), Some((LeaderEpoch(4), end)));
            assert_eq!(partition.end_of_epoch(LeaderEpoch(3)).unwrap(), Some((LeaderEpoch(3), Offset(5))));
        }
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_tried_again() {
        let setting = Setting::new();
        let left = closed_with(&setting, 5);
        let partition = setting.partition(Some(left), 3);
        setting.disk.set_plan(|call| match call {
            Call::Open { .. } => Answer::Fail(Errno::IO),
            _ => Answer::Proceed,
        });
        assert!(matches!(append(&partition, 1), Err(AppendError::Log(_))));
        assert!(read(&partition, Offset(0)).is_err());
        assert!(read(&partition, Offset(5)).is_ok(), "nothing is there to read");
        assert_eq!(partition.shut().unwrap(), None, "the files are as they were");
        setting.disk.clear_plan();
        assert_eq!(append(&partition, 1).unwrap().base_offset, Offset(5));
    }

    #[test]
    fn a_deleted_partition_is_not_opened_again() {
        let setting = Setting::new();
        let left = closed_with(&setting, 5);
        let partition = setting.partition(Some(left), 3);
        let renamed = partition.delete(Uuid([1; 16])).unwrap();
        assert!(setting.disk.list(Path::new("/data")).unwrap() == [renamed]);
        assert!(read(&partition, Offset(0)).is_err());
        assert_eq!(setting.disk.list(Path::new("/data")).unwrap().len(), 1, "no new folder was made");
    }

    #[tokio::test]
    async fn a_log_whose_disk_failed_is_opened_again_in_place() {
        let setting = Setting::new();
        // Nobody flushes but this test.
        setting.flusher.stop();
        let partition = setting.partition(None, 3);
        append(&partition, 2).unwrap();
        partition.flush().unwrap();
        assert!(!partition.verify().unwrap(), "nothing is wrong with it");
        let pending = append(&partition, 3).unwrap().wait_for.unwrap();
        setting.disk.set_plan(|call| match call {
            Call::Sync { path } if path.extension().is_some_and(|suffix| suffix == "log") => Answer::Fail(Errno::IO),
            _ => Answer::Proceed,
        });
        assert!(partition.flush().is_err());
        assert!(matches!(append(&partition, 1), Err(AppendError::Folder(Trouble::Suspect))));
        assert_eq!(partition.reached(pending).await, Err(NotSafe::Storage));
        assert_eq!(partition.high_watermark(), Offset(2));
        partition.verify().expect_err("the disk still fails");
        assert_eq!(read(&partition, Offset(0)).unwrap().next_offset, Offset(2));
        assert!(partition.shut().is_err());
        setting.disk.clear_plan();
        assert!(partition.verify().unwrap());
        assert!(!partition.verify().unwrap());
        setting.health.begin_round();
        setting.health.end_round(&Round::default());
        assert_eq!((partition.log_end(), partition.high_watermark()), (Offset(5), Offset(5)));
        assert_eq!(partition.reached(pending).await, Err(NotSafe::Storage), "nobody knows that it is the same");
        let pending = append(&partition, 1).unwrap().wait_for.unwrap();
        partition.flush().unwrap();
        assert_eq!(partition.reached(pending).await, Ok(()));
        // What was written anew is on the disk.
        let after = setting.disk.crash(9);
        let home = LogHome { data_dir: "/data".into(), disk: after, env: Arc::new(SystemEnv) };
        let start = Start { clean: false, recovery_point: Offset(0), log_start: Offset(0) };
        let (log, _) = home.open(partition.name(), TopicId(Uuid([7; 16])), LogConfig::default(), start).unwrap();
        assert_eq!(log.log_end(), Offset(6));
    }
}
