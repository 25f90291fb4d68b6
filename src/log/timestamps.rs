//! Offsets by time, as ListOffsets asks for them: the records inside a batch are looked at, compressed or not.

use std::sync::Arc;

use felice_protocol::record::{Batch, BatchHeader, TimestampType};

use super::{
    files::LogError,
    partition::Log,
    segment::{Batches, Segment},
};
use crate::model::{LeaderEpoch, Offset, Timestamp};

/// Headers are read so many bytes at once.
const SCAN_SIZE: usize = 64 * 1024;

/// A batch that decompresses to more is not opened; its first offset is the answer.
const DECOMPRESSED_MAX: usize = 64 << 20;

/// Batches that one lookup opens in vain. A compressed batch is stored as its producer sealed it, with whatever timestamp
/// the header claims; a log full of claims that do not hold must not be decompressed for each request.
const IN_VAIN_MAX: usize = 8;

/// A record by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub timestamp: Timestamp,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first record, at or after the log start, whose timestamp is at least `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<TimestampedOffset>, LogError> {
        self.undisturbed(|| self.find_timestamp(timestamp))
    }

    fn find_timestamp(&self, timestamp: Timestamp) -> Result<Option<TimestampedOffset>, LogError> {
        let log_start = self.log_start();
        let segments = self.segments.load_full();
        let mut buffer = Vec::new();
        let mut in_vain = 0;
        for segment in segments.iter().filter(|segment| reaches(segment, timestamp)) {
            if buffer.is_empty() {
                buffer = vec![0; SCAN_SIZE];
            }
            let end = segment.size();
            let position = segment.position_of_timestamp(timestamp, log_start, end)?;
            let mut batches = Batches::new(segment, position, end, &mut buffer);
            while let Some((position, header)) = batches.next()? {
                // Compaction leaves headers of batches, whose largest timestamp is no record's any more.
                let is_empty = header.record_count == 0;
                if is_empty || header.max_timestamp < timestamp.0 || header.last_offset() < log_start.0 {
                    continue;
                }
                if in_vain == IN_VAIN_MAX {
                    return Ok(Some(first_of(&header, log_start)));
                }
                if let Some(found) = find(segment, position, &header, timestamp, log_start)? {
                    return Ok(Some(found));
                }
                in_vain += 1;
            }
        }
        Ok(None)
    }

    /// Where each segment begins, oldest first, and when it was last written to: all that was known of a log's times before
    /// records had timestamps.
    pub fn segment_times(&self) -> Result<Vec<(Offset, Timestamp)>, LogError> {
        self.undisturbed(|| {
            let log_start = self.log_start();
            let segments = self.segments.load_full();
            segments.iter().map(|segment| Ok((segment.base.max(log_start), segment.modified()?))).collect()
        })
    }

    /// By which the age of the oldest segment is told: its largest timestamp, or, where no record has one, when it was last
    /// written to.
    pub fn oldest_timestamp(&self) -> Result<Timestamp, LogError> {
        self.undisturbed(|| {
            let segments = self.segments.load_full();
            let Some(first) = segments.first() else { return Ok(Timestamp::NONE) };
            match first.largest().filter(|largest| largest.timestamp.0 >= 0) {
                Some(largest) => Ok(largest.timestamp),
                None => first.modified(),
            }
        })
    }

    /// The first record that has the largest timestamp of the log; `None` where no record has one.
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, LogError> {
        self.undisturbed(|| self.find_max_timestamp())
    }

    fn find_max_timestamp(&self) -> Result<Option<TimestampedOffset>, LogError> {
        let segments = self.segments.load_full();
        let mut largest: Option<(&Segment, Timestamp, Offset)> = None;
        for segment in segments.iter() {
            if let Some(found) = segment.largest().filter(|found| found.timestamp.0 >= 0)
                && largest.is_none_or(|(_, timestamp, _)| timestamp < found.timestamp)
            {
                largest = Some((segment, found.timestamp, found.offset));
            }
        }
        let Some((segment, timestamp, offset)) = largest else { return Ok(None) };
        let Some((position, header)) = segment.locate(offset, segment.size())? else { return Ok(None) };
        let log_start = self.log_start();
        if header.base_offset >= log_start.0 {
            return find(segment, position, &header, timestamp, log_start);
        }
        largest_from(&segments, log_start)
    }
}

/// The record with the largest timestamp where that of a whole segment may be of a record below the log start: the batches that
/// are left of it are looked through. (Kafka answers with the record that is gone.)
fn largest_from(segments: &[Arc<Segment>], log_start: Offset) -> Result<Option<TimestampedOffset>, LogError> {
    let mut largest: Option<(&Segment, u64, BatchHeader, Timestamp)> = None;
    let mut consider = |segment, position, header, timestamp: Timestamp| {
        if timestamp.0 >= 0 && largest.is_none_or(|(.., known)| known < timestamp) {
            largest = Some((segment, position, header, timestamp));
        }
    };
    let mut buffer = vec![0; SCAN_SIZE];
    for segment in segments {
        let end = segment.size();
        if segment.base >= log_start {
            let Some(found) = segment.largest() else { continue };
            let Some((position, header)) = segment.locate(found.offset, end)? else { continue };
            consider(segment, position, header, found.timestamp);
            continue;
        }
        let Some((position, _)) = segment.locate(log_start, end)? else { continue };
        let mut batches = Batches::new(segment, position, end, &mut buffer);
        while let Some((position, header)) = batches.next()? {
            let timestamp = match header.base_offset < log_start.0 {
                true => latest(segment, position, &header, log_start)?,
                false => Timestamp(header.max_timestamp),
            };
            consider(segment, position, header, timestamp);
        }
    }
    let Some((segment, position, header, timestamp)) = largest else { return Ok(None) };
    find(segment, position, &header, timestamp, log_start)
}

/// The answer by the header alone.
fn first_of(header: &BatchHeader, from: Offset) -> TimestampedOffset {
    TimestampedOffset {
        timestamp: Timestamp(header.max_timestamp),
        offset: Offset(header.base_offset).max(from),
        leader_epoch: LeaderEpoch(header.partition_leader_epoch),
    }
}

fn reaches(segment: &Segment, timestamp: Timestamp) -> bool {
    segment.largest().is_some_and(|largest| largest.timestamp >= timestamp)
}

/// The first record of a batch at `from` or after that is as late as `timestamp`.
fn find(
    segment: &Segment,
    position: u64,
    header: &BatchHeader,
    timestamp: Timestamp,
    from: Offset,
) -> Result<Option<TimestampedOffset>, LogError> {
    let leader_epoch = LeaderEpoch(header.partition_leader_epoch);
    let answer = |timestamp, offset| Some(TimestampedOffset { timestamp, offset, leader_epoch });
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(Some(first_of(header, from)));
    }
    let bytes = segment.batch_bytes(position, header)?;
    let opened = Batch::split_first(&bytes).and_then(|(batch, _)| Ok((batch.record_bytes(DECOMPRESSED_MAX)?, batch)));
    let Ok((record_bytes, batch)) = opened else {
        // Nobody can tell which record it is; a consumer that starts at the batch misses none.
        return Ok(Some(first_of(header, from)));
    };
    let Ok(records) = batch.record_views(&record_bytes) else { return Ok(None) };
    for record in records.map_while(Result::ok) {
        let at = Timestamp(header.base_timestamp.saturating_add(record.timestamp_delta));
        let offset = Offset(header.base_offset.saturating_add(i64::from(record.offset_delta)));
        if at >= timestamp && offset >= from {
            return Ok(answer(at, offset));
        }
    }
    Ok(None)
}

/// The largest timestamp of a batch's records at `from` or after.
fn latest(segment: &Segment, position: u64, header: &BatchHeader, from: Offset) -> Result<Timestamp, LogError> {
    let claimed = Timestamp(header.max_timestamp);
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(claimed);
    }
    let bytes = segment.batch_bytes(position, header)?;
    let opened = Batch::split_first(&bytes).and_then(|(batch, _)| Ok((batch.record_bytes(DECOMPRESSED_MAX)?, batch)));
    let Ok((record_bytes, batch)) = opened else { return Ok(claimed) };
    let Ok(records) = batch.record_views(&record_bytes) else { return Ok(Timestamp::NONE) };
    let later = records
        .map_while(Result::ok)
        .filter(|record| header.base_offset.saturating_add(i64::from(record.offset_delta)) >= from.0);
    let latest = later.map(|record| header.base_timestamp.saturating_add(record.timestamp_delta)).max();
    Ok(latest.map_or(Timestamp::NONE, Timestamp))
}
