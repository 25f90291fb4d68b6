//! Appending what a leader has appended: offsets and leader epochs are the batches' own.

use bytes::Bytes;
use felice_protocol::record::{Batch, BatchError, BatchHeader};

use super::{
    config::LogConfig,
    files::LogError,
    partition::{Appender, Log},
    producers::ProducerBatch,
    segment::checked_header,
    transactions::producer_batch,
};
use crate::{
    env::sync::atomic::Ordering,
    model::{LeaderEpoch, Offset, Timestamp},
};

/// At most so many bytes go into one write, in bytes; a batch that is larger goes alone.
const WRITE_MAX: usize = 1 << 20;

/// What came of an append from a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicated {
    pub log_end: Offset,
    /// Of the batches that were appended.
    pub bytes: usize,
    /// As [`super::Appended::flush_due`].
    pub flush_due: bool,
}

/// Why a leader's batches were not appended.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    #[error("the batch for offset {at}: {why}")]
    Invalid { at: Offset, why: BatchError },
    /// Offsets run backwards, or overlap what is there.
    #[error("the batch for offset {at}: {why}")]
    OutOfOrder { at: Offset, why: String },
    /// A batch of an older epoch than what is there before it: the logs have parted, and this one must be cut first.
    #[error("a batch of leader epoch {epoch} after one of {current}")]
    OldEpoch { epoch: LeaderEpoch, current: LeaderEpoch },
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Log {
    /// Appends whole batches as a leader sent them, checked by their CRC: each at its own offset, which is the log end or, where
    /// compaction left a hole, above it. The tail of a batch that was cut off is left out, and so is everything from the first
    /// batch on whose leader epoch is above `leader_epoch`: the answer of a leader of that epoch cannot have it rightly.
    ///
    /// # Errors
    /// Nothing was appended, but where the disk failed half-way: the log end offset tells.
    pub fn append_as_follower(
        &self,
        batches: &Bytes,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Replicated, ReplicateError> {
        let mut rest = batches.clone();
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let (batch, after) = match Batch::split_first(&rest) {
                Ok(found) => found,
                Err(BatchError::Truncated { .. }) => break,
                Err(why) => {
                    let at = headers.last().map_or(self.log_end(), |last: &BatchHeader| Offset(last.next_offset()));
                    return Err(ReplicateError::Invalid { at, why });
                }
            };
            if batch.header().partition_leader_epoch > leader_epoch.0 {
                break;
            }
            batch
                .verify_crc()
                .map_err(|why| ReplicateError::Invalid { at: Offset(batch.header().base_offset), why })?;
            headers.push(*batch.header());
            rest = after;
        }

        let config = self.config.load();
        let mut appender = self.appender.lock();
        self.check_usable()?;
        self.check_order(batches, &headers)?;
        let (mut at, mut rolled) = (0, false);
        let mut left = headers.as_slice();
        while let Some(first) = left.first() {
            if appender.must_roll(&config, first, 0, now) {
                self.roll(&mut appender, &config, now)?;
                rolled = true;
            }
            let run = appender.run(&config, left, now);
            let (batches_of_run, after) = left.split_at(run);
            let length: usize = batches_of_run.iter().map(BatchHeader::size).sum();
            let bytes = batches.slice(at..at + length);
            self.append_run(&mut appender, batches_of_run, &bytes, &config, now)?;
            at += length;
            left = after;
        }
        drop(appender);
        let log_end = self.log_end();
        let unflushed = log_end.0 - self.flushed().0;
        let is_due = rolled || unflushed as u64 >= config.flush_messages || self.disk.files().is_crowded();
        let flush_due = at > 0 && is_due;
        Ok(Replicated { log_end, bytes: at, flush_due })
    }

    /// Offsets and leader epochs go on from what is in the log, and ascend.
    fn check_order(&self, mut batches: &[u8], headers: &[BatchHeader]) -> Result<(), ReplicateError> {
        let (mut expected, mut current) = (self.log_end(), self.latest_epoch().unwrap_or(LeaderEpoch::NONE));
        for header in headers {
            let at = Offset(header.base_offset);
            checked_header(batches, expected.0).map_err(|why| ReplicateError::OutOfOrder { at, why })?;
            let epoch = LeaderEpoch(header.partition_leader_epoch);
            if epoch < current {
                return Err(ReplicateError::OldEpoch { epoch, current });
            }
            (expected, current) = (Offset(header.next_offset()), epoch);
            batches = batches.get(header.size()..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends batches to the active segment in one write.
    fn append_run(
        &self,
        appender: &mut Appender,
        batches: &[BatchHeader],
        bytes: &Bytes,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<(), LogError> {
        // A marker comes alone.
        let only = batches.first().and_then(|header| producer_batch(header, bytes));
        let base = Offset(batches.first().map_or(0, |header| header.base_offset));
        let mut position = self.write_batches(appender, bytes, &[], only.as_ref(), base)?;
        for header in batches {
            let base = Offset(header.base_offset);
            appender.written(header, position, config);
            self.note_epoch(LeaderEpoch(header.partition_leader_epoch), base);
            let producer = if header.is_control() { only } else { ProducerBatch::of(header) };
            if let Some(producer) = producer {
                self.note_producer(appender, &producer, base, now);
            }
            position += header.size() as u64;
            self.log_end.store(header.next_offset(), Ordering::Release);
        }
        Ok(())
    }
}

impl Appender {
    /// How many of the batches go into the active segment, in one write: at least the first, and a control batch alone. What that
    /// does to the transaction index depends on all before.
    fn run(&self, config: &LogConfig, batches: &[BatchHeader], now: Timestamp) -> usize {
        if batches.first().is_some_and(BatchHeader::is_control) {
            return 1;
        }
        let mut length = 0;
        let fits = |header: &&BatchHeader| {
            let fits = length == 0
                || (!header.is_control()
                    && length + header.size() <= WRITE_MAX
                    && !self.must_roll(config, header, length as u64, now));
            length += header.size();
            fits
        };
        batches.iter().take_while(fits).count()
    }
}
