//! What one partition answers.

use std::sync::{Arc, Weak};

use felice_protocol::{
    error::ErrorCode,
    messages::fetch::{AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, PartitionData},
    wire::Records,
};

use super::session::{Asked, Key, Seen, Slot, TopicKey};
use crate::{
    api::{Services, partitions},
    log::{AbortedTxn, ReadError},
    model::{LeaderEpoch, PartitionIndex, TopicIdPartition},
    replica::{Isolation, Partition, Watch},
};

/// Until this version the client does not know KAFKA_STORAGE_ERROR (KIP-112).
const LAST_VERSION_WITHOUT_STORAGE_ERROR: i16 = 5;
/// From here on zstd may be answered.
const FIRST_VERSION_WITH_ZSTD: i16 = 10;
/// From here on a client that came to the wrong broker is told the right one (KIP-951).
const FIRST_VERSION_WITH_LEADER: i16 = 16;

/// Bytes of records that one answer holds in memory, and a peer that takes its time as long as it likes. Little batches from
/// thousands of partitions would otherwise add up to `fetch.max.bytes`.
const MEMORY_MAX: usize = 256 << 10;

/// What a request says for all its partitions.
#[derive(Debug, Clone)]
pub struct Terms {
    pub version: i16,
    pub is_follower: bool,
    pub isolation: Isolation,
    /// Of records in one answer.
    pub max_bytes: usize,
    /// Of records that the answer waits for.
    pub min_bytes: usize,
}

/// What is remembered of a partition from one look to the next.
#[derive(Debug, Default)]
pub struct Place {
    /// Weak: a session must not keep the files of a deleted partition.
    partition: Weak<Partition>,
    /// The session is told of what happens in `partition`.
    is_watched: bool,
    /// The topic's name when it was last seen.
    name: Option<Arc<str>>,
    /// There was no such topic or partition at the last look.
    is_missing: bool,
}

impl Place {
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// The session no longer cares for this partition, its `slot`.
    pub fn unwatch(self, watch: &Arc<Watch>, slot: u32) {
        if let Some(partition) = self.partition.upgrade().filter(|_| self.is_watched) {
            partition.unwatch(watch, slot);
        }
    }
}

/// One look at the partitions of a request, in their order.
pub struct Look<'a> {
    services: &'a Services,
    terms: &'a Terms,
    /// Register with the partitions before reading them.
    watch: Option<&'a Arc<Watch>>,
    /// Not after waiting.
    is_first: bool,
    /// Bytes that may still be answered.
    left: usize,
    /// Bytes that may still be read into memory; the rest is sent from its files.
    memory_left: usize,
    /// Bytes that are answered.
    pub bytes: usize,
    /// There is something that must not wait.
    pub is_urgent: bool,
    /// Partitions that do not exist.
    pub missing: usize,
}

impl<'a> Look<'a> {
    pub fn new(services: &'a Services, terms: &'a Terms, watch: Option<&'a Arc<Watch>>, is_first: bool) -> Look<'a> {
        Look {
            services,
            terms,
            watch,
            is_first,
            left: terms.max_bytes,
            memory_left: MEMORY_MAX,
            bytes: 0,
            is_urgent: false,
            missing: 0,
        }
    }

    pub fn read(&mut self, at: u32, slot: &mut Slot<Place>) -> Seen<PartitionData> {
        let was_missing = std::mem::take(&mut slot.place.is_missing);
        let result = self.find(&slot.key, &mut slot.place).and_then(|partition| {
            if let Some(watch) = self.watch
                && !slot.place.is_watched
            {
                partition.watch(watch, at);
                slot.place.is_watched = true;
            }
            self.fetch(&partition, &slot.asked)
        });
        let mut seen = match result {
            Ok(seen) => seen,
            Err(error @ (ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)) => {
                // As in Kafka, what does not exist does not hurry the answer for what does, unless it went just now.
                self.is_urgent |= !self.is_first && !was_missing;
                self.missing += 1;
                slot.place.is_missing = true;
                refused(PartitionData { aborted_transactions: Some(Vec::new()), ..PartitionData::default() }, error)
            }
            Err(error) => {
                self.is_urgent = true;
                let mut data = PartitionData { aborted_transactions: None, ..PartitionData::default() };
                let is_elsewhere = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
                if is_elsewhere && self.terms.version >= FIRST_VERSION_WITH_LEADER {
                    data.current_leader = self.leader(&slot.key);
                }
                refused(data, error)
            }
        };
        seen.is_quiet &= slot.place.is_watched;
        seen.data.partition_index = slot.key.partition;
        seen
    }

    fn find(&self, key: &Key, place: &mut Place) -> Result<Arc<Partition>, ErrorCode> {
        if let Some(partition) = place.partition.upgrade().filter(|partition| !partition.is_closed()) {
            return Ok(partition);
        }
        let found = match &key.topic {
            TopicKey::Name(name) => partitions::by_name(self.services, name, key.partition),
            TopicKey::Id(id) => partitions::by_id(self.services, *id, key.partition).map_err(|error| {
                match place.name.as_ref().filter(|_| error == ErrorCode::UnknownTopicId) {
                    Some(name) => self.replaced(name, key.partition),
                    None => error,
                }
            }),
        }?;
        let now = Arc::downgrade(&found);
        if !place.partition.ptr_eq(&now) {
            place.partition = now;
            place.is_watched = false;
        }
        place.name = Some(Arc::clone(&found.name().topic));
        Ok(found)
    }

    /// A topic that was there under its id is gone: perhaps another one has its name now.
    fn replaced(&self, name: &str, partition: i32) -> ErrorCode {
        match self.services.quorum.image().topic(name) {
            Some(topic) if (0..topic.partition_count()).contains(&partition) => ErrorCode::InconsistentTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        }
    }

    fn fetch(&mut self, partition: &Partition, asked: &Asked) -> Result<Seen<PartitionData>, ErrorCode> {
        partition.check_leader_epoch(asked.current_leader_epoch).map_err(partitions::epoch_code)?;
        if !partition.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if self.terms.is_follower {
            // Not one that we know: its metadata may be newer than ours, or older.
            let is_sure = asked.current_leader_epoch != LeaderEpoch::NONE.0;
            return Err(if is_sure { ErrorCode::UnknownLeaderEpoch } else { ErrorCode::NotLeaderOrFollower });
        }
        if self.terms.version < FIRST_VERSION_WITH_ZSTD && partition.compresses_with_zstd() {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        // Read before the records: what comes in between is marked, and looked at again.
        let (high_watermark, log_start) = (partition.high_watermark(), partition.log_start());
        let last_stable = partition.last_stable_offset(high_watermark);
        let reads_committed = self.terms.isolation == Isolation::ReadCommitted;
        let until = if reads_committed { last_stable } else { high_watermark };
        let mut data = PartitionData {
            high_watermark: high_watermark.0,
            last_stable_offset: last_stable.0,
            log_start_offset: log_start.0,
            aborted_transactions: reads_committed.then(Vec::new),
            records: Some(Records::default()),
            ..PartitionData::default()
        };
        if asked.last_fetched_epoch != LeaderEpoch::NONE.0 {
            let last_fetched = LeaderEpoch(asked.last_fetched_epoch);
            let known =
                partition.end_of_epoch(last_fetched).map_err(|error| partitions::log_code(partition, &error))?;
            let (epoch, end) = known.ok_or(ErrorCode::OffsetOutOfRange)?;
            if asked.fetch_offset < log_start {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if epoch < last_fetched || end < asked.fetch_offset {
                self.is_urgent = true;
                data.diverging_epoch =
                    EpochEndOffset { epoch: epoch.0, end_offset: end.0, ..EpochEndOffset::default() };
                data.aborted_transactions = None;
                return Ok(Seen { must_tell: true, ..seen(data, 0, false) });
            }
        }
        let room = self.left.min(asked.max_bytes);
        // The first batch comes whole, however large it is; without it the client could not go on.
        let at_least_one = self.bytes == 0;
        let mut next = asked.fetch_offset;
        let mut bytes = 0;
        if room > 0 || at_least_one {
            let (from, isolation) = (asked.fetch_offset, self.terms.isolation);
            match partition.read(from, room, until, at_least_one, self.memory_left, isolation) {
                Ok(slice) => {
                    if let Records::Bytes(records) = &slice.records {
                        self.memory_left = self.memory_left.saturating_sub(records.len());
                    }
                    bytes = slice.records.len();
                    if bytes > 0 {
                        next = slice.next_offset;
                        data.records = Some(slice.records);
                        data.aborted_transactions = reads_committed.then(|| told(&slice.aborted));
                    }
                }
                Err(ReadError::OutOfRange { .. }) => return Err(ErrorCode::OffsetOutOfRange),
                Err(ReadError::Log(_)) if partition.is_closed() => return Err(ErrorCode::UnknownTopicOrPartition),
                Err(ReadError::Log(cause)) => return Err(partitions::log_code(partition, &cause)),
            }
        } else if asked.fetch_offset < log_start || asked.fetch_offset > partition.log_end() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.bytes += bytes;
        self.left = self.left.saturating_sub(bytes);
        // More is there than this answer can bring: waiting would not help.
        self.is_urgent |= self.bytes > 0 && next < until;
        Ok(seen(data, bytes, bytes == 0 && asked.fetch_offset >= until))
    }

    /// Who leads a partition, by the cluster's metadata.
    fn leader(&self, key: &Key) -> LeaderIdAndEpoch {
        let image = self.services.quorum.image();
        let topic_id = match &key.topic {
            TopicKey::Id(id) => Some(*id),
            TopicKey::Name(name) => image.topic(name).map(|topic| topic.id()),
        };
        let partition = topic_id.and_then(|topic_id| {
            image.partition(TopicIdPartition { topic_id, partition: PartitionIndex(key.partition) })
        });
        partition.map_or_else(LeaderIdAndEpoch::default, |partition| LeaderIdAndEpoch {
            leader_id: partition.leader.0,
            leader_epoch: partition.leader_epoch.0,
            ..LeaderIdAndEpoch::default()
        })
    }
}

fn told(aborted: &[AbortedTxn]) -> Vec<AbortedTransaction> {
    let told = |aborted: &AbortedTxn| AbortedTransaction {
        producer_id: aborted.producer_id.0,
        first_offset: aborted.first_offset.0,
        ..AbortedTransaction::default()
    };
    aborted.iter().map(told).collect()
}

fn seen(data: PartitionData, bytes: usize, is_quiet: bool) -> Seen<PartitionData> {
    Seen {
        high_watermark: data.high_watermark,
        log_start: data.log_start_offset,
        bytes,
        must_tell: false,
        is_quiet,
        data,
    }
}

fn refused(data: PartitionData, error: ErrorCode) -> Seen<PartitionData> {
    let data =
        PartitionData { error_code: error.code(), high_watermark: -1, records: Some(Records::default()), ..data };
    Seen { must_tell: true, ..seen(data, 0, false) }
}

/// What a client of this version understands.
pub fn told_to(version: i16, error_code: i16) -> i16 {
    if version <= LAST_VERSION_WITHOUT_STORAGE_ERROR && error_code == ErrorCode::KafkaStorageError.code() {
        return ErrorCode::NotLeaderOrFollower.code();
    }
    error_code
}
