//! Removing the oldest segments: those below the log start, and, where `cleanup.policy` has `delete`, those that
//! `retention.bytes` and `retention.ms` give up.
//!
//! The order is what makes it safe at any moment. First the log start is raised, so that nobody reads there any more, and stored
//! durably; then the segments leave the list; only then their files are renamed to `.deleted`, to be removed by the caller after
//! `file.delete.delay.ms`. A start in between finds records below the log start, which it removes, and renamed files, which it
//! removes too. Readers that hold a segment finish with it: an open file outlives its name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    config::LogConfig,
    files::{
        self, DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, LogError, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX,
    },
    partition::Log,
    segment::Segment,
};
use crate::{
    env::{
        Disk,
        faults::{Fault, planted},
    },
    model::{Offset, Timestamp},
};

/// What a segment consists of. The `.log` file comes first: without it, a start takes the others for strays.
const SUFFIXES: [&str; 5] = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, SNAPSHOT_SUFFIX];

/// Segments that retention took out of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    pub segments: usize,
    pub bytes: u64,
    /// The log starts here now.
    pub log_start: Offset,
    /// Renamed and without use, to be removed with [`remove_deleted_file`] after `file.delete.delay.ms`.
    pub files: Vec<PathBuf>,
}

impl Log {
    /// Removes the segments that nobody may want any more, none that reaches beyond `high_watermark`; `None` where there are none.
    /// Where all are due, the active one too, a new one is begun at the log end: offsets go on.
    ///
    /// `store` is called once the log start is raised and before any file goes. When it returns, the log's start must be stored and
    /// synced.
    ///
    /// # Errors
    /// What `store` fails with, or the disk. The log is sound, and what is left is due the next time, or gone with the next start.
    pub fn enforce_retention<E: From<LogError>>(
        &self,
        high_watermark: Offset,
        now: Timestamp,
        store: impl FnOnce() -> Result<(), E>,
    ) -> Result<Option<Expired>, E> {
        if self.is_out_of_use() {
            return Ok(None);
        }
        let segments = self.segments.load_full();
        let mut count = self.count_expired(&segments, high_watermark, now)?;
        if count == segments.len() {
            count = self.retire_active(&segments, high_watermark, now)?;
        }
        if count == 0 {
            return Ok(None);
        }
        let Some(first_kept) = self.segments.load().get(count).map(|segment| segment.base) else { return Ok(None) };
        let log_start = self.advance_log_start(first_kept);
        if !planted(Fault::StoreLogStartTooLate) {
            store()?;
        }
        let gone = segments.get(..count).unwrap_or_default();
        // No truncation may make a file under an old name before that one is renamed.
        let _flushing = self.flushing.lock();
        if !self.take_out(gone) {
            return Ok(None);
        }
        let bytes = gone.iter().map(|segment| segment.size()).sum();
        let files = self.rename_away(gone)?;
        Ok(Some(Expired { segments: gone.len(), bytes, log_start, files }))
    }

    fn count_expired(
        &self,
        segments: &[Arc<Segment>],
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        let log_end = self.log_end();
        let extents: Vec<Extent> = segments
            .iter()
            .enumerate()
            .map(|(at, segment)| Extent {
                end: segments.get(at + 1).map_or(log_end, |next| next.base),
                bytes: segment.size(),
            })
            .collect();
        let timestamp = |at: usize| match segments.get(at) {
            Some(segment) => age_of(segment),
            None => Ok(now),
        };
        expired(&extents, &self.config.load(), self.log_start(), high_watermark, now, timestamp)
    }

    /// Ends the active segment, which is due with all the others, unless it has grown in the meantime. Returns how many segments
    /// may go.
    fn retire_active(
        &self,
        segments: &[Arc<Segment>],
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        let others = segments.len().saturating_sub(1);
        let mut appender = self.appender.lock();
        self.check_usable()?;
        let is_as_it_was = segments.last().is_some_and(|last| Arc::ptr_eq(last, &appender.active));
        if !is_as_it_was || self.log_end() > high_watermark {
            return Ok(others);
        }
        match self.roll(&mut appender, &self.config.load(), now) {
            Ok(()) => Ok(segments.len()),
            // The new segment has no room before others have gone.
            Err(error) if error.is_disk_full() && others > 0 => Ok(others),
            Err(error) => Err(error),
        }
    }

    /// Takes the oldest segments out of the list; false where they are not the oldest any more: a truncation or a compaction came
    /// in between, and the log is looked at anew the next time.
    fn take_out(&self, gone: &[Arc<Segment>]) -> bool {
        let _appender = self.appender.lock();
        let current = self.segments.load();
        let is_as_it_was =
            current.len() > gone.len() && gone.iter().zip(current.iter()).all(|(a, b)| Arc::ptr_eq(a, b));
        if is_as_it_was {
            gone.iter().for_each(|segment| segment.retire());
            self.segments.store(Arc::new(current.iter().skip(gone.len()).cloned().collect()));
        }
        is_as_it_was
    }

    /// Renames the files of segments that are out of the list, oldest first, so that what a kill leaves has no hole.
    fn rename_away(&self, gone: &[Arc<Segment>]) -> Result<Vec<PathBuf>, LogError> {
        let deleted = self.deleted.lock();
        if *deleted {
            // The whole folder has gone.
            return Ok(Vec::new());
        }
        let mut renamed = Vec::with_capacity(gone.len() * SUFFIXES.len());
        for segment in gone {
            for suffix in SUFFIXES {
                let path = files::segment_file(&self.dir, segment.base, suffix);
                let to = files::segment_file(&self.dir, segment.base, &format!("{suffix}.{DELETED_SUFFIX}"));
                match files::rename(&*self.disk, &path, &to) {
                    Ok(()) => renamed.push(to),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        files::sync_dir(&*self.disk, &self.dir)?;
        Ok(renamed)
    }
}

/// Removes a file that [`Log::enforce_retention`] renamed; it may be gone, with its folder.
pub fn remove_deleted_file(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    files::remove(disk, path)
}

/// The time that a segment's age is counted from: that of its latest record or, where none has one, of its last write.
fn age_of(segment: &Segment) -> Result<Timestamp, LogError> {
    match segment.largest() {
        Some(largest) if largest.timestamp.0 >= 0 => Ok(largest.timestamp),
        _ => segment.modified(),
    }
}

/// A segment as retention sees it.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Where the next one begins, or the log ends.
    end: Offset,
    bytes: u64,
}

/// How many of the oldest segments are due, as Kafka's `UnifiedLog.deleteOldSegments` finds them in its three passes: below the log
/// start, beyond `retention.bytes`, older than `retention.ms`. `timestamp` tells a segment's age, and is asked for few.
///
/// A last segment that is empty stays, and so does everything from the segment of the high watermark on.
fn expired<E>(
    segments: &[Extent],
    config: &LogConfig,
    log_start: Offset,
    high_watermark: Offset,
    now: Timestamp,
    timestamp: impl Fn(usize) -> Result<Timestamp, E>,
) -> Result<usize, E> {
    let last = segments.len().saturating_sub(1);
    let may_go = |at: usize| {
        segments.get(at).filter(|segment| segment.end <= high_watermark && (at < last || segment.bytes > 0))
    };
    let mut count = 0;
    while count < last && may_go(count).is_some_and(|segment| segment.end <= log_start) {
        count += 1;
    }
    if !config.deletes {
        return Ok(count);
    }
    if let Ok(limit) = u64::try_from(config.retention_bytes) {
        let size: u64 = segments.iter().skip(count).map(|segment| segment.bytes).sum();
        let mut excess = size.saturating_sub(limit);
        let is_over = size >= limit;
        while is_over && let Some(segment) = may_go(count).filter(|segment| segment.bytes <= excess) {
            excess -= segment.bytes;
            count += 1;
        }
    }
    if config.retention_ms >= 0 {
        while may_go(count).is_some() && now.0.saturating_sub(timestamp(count)?.0) > config.retention_ms {
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn config(policy: &str, bytes: i64, ms: i64) -> LogConfig {
        LogConfig {
            deletes: policy.contains("delete"),
            retention_bytes: bytes,
            retention_ms: ms,
            ..LogConfig::default()
        }
    }

    /// Segments of ten records each, the last one active.
    fn count(config: &LogConfig, log_start: i64, high_watermark: i64, segments: &[(u64, i64)]) -> usize {
        let extents: Vec<Extent> = segments
            .iter()
            .enumerate()
            .map(|(at, (bytes, _))| Extent { end: Offset(10 * (at as i64 + i64::from(*bytes > 0))), bytes: *bytes })
            .collect();
        let timestamp = |at: usize| Ok::<_, Infallible>(Timestamp(segments[at].1));
        let Ok(count) = expired(&extents, config, Offset(log_start), Offset(high_watermark), Timestamp(NOW), timestamp);
        count
    }

    #[test]
    fn what_is_due_is_kafkas() {
        let old = NOW - 101;
        let young = NOW - 100;
        for (name, config, log_start, high_watermark, segments, expected) in [
            ("nothing is limited", config("delete", -1, -1), 0, 30, &[(5, 0), (5, 0), (5, 0)][..], 0),
            ("age: only what is older", config("delete", -1, 100), 0, 30, &[(5, old), (5, young), (5, old)], 1),
            ("age: the active one too", config("delete", -1, 100), 0, 30, &[(5, old), (5, old), (5, old)], 3),
            ("age: an empty last one stays", config("delete", -1, 100), 0, 20, &[(5, old), (5, old), (0, old)], 2),
            (
                "age: not beyond the high watermark",
                config("delete", -1, 100),
                0,
                25,
                &[(5, old), (5, old), (5, old)],
                2,
            ),
            ("age: nothing is committed", config("delete", -1, 100), 0, 0, &[(5, old), (5, old)], 0),
            ("age: time to come keeps", config("delete", -1, 100), 0, 20, &[(5, NOW + 10), (5, old)], 0),
            ("age 0: what is a moment old", config("delete", -1, 0), 0, 20, &[(5, NOW - 1), (5, NOW)], 1),
            (
                "size: what remains is no less than the limit",
                config("delete", 10, -1),
                0,
                30,
                &[(5, 0), (5, 0), (5, 0)],
                1,
            ),
            ("size: one byte under", config("delete", 11, -1), 0, 30, &[(5, 0), (5, 0), (5, 0)], 0),
            ("size: limit above all", config("delete", 100, -1), 0, 30, &[(5, 0), (5, 0), (5, 0)], 0),
            ("size: a large one stops it", config("delete", 10, -1), 0, 30, &[(9, 0), (1, 0), (5, 0)], 0),
            ("size 0 takes all", config("delete", 0, -1), 0, 30, &[(5, 0), (5, 0), (5, 0)], 3),
            ("size counts after the log start", config("delete", 10, -1), 10, 30, &[(5, 0), (5, 0), (5, 0)], 1),
            ("size, then age", config("delete", 10, 100), 0, 30, &[(5, young), (5, old), (5, young)], 2),
            ("log start: whole segments", config("delete", -1, -1), 19, 30, &[(5, 0), (5, 0), (5, 0)], 1),
            ("log start: up to the next", config("delete", -1, -1), 20, 30, &[(5, 0), (5, 0), (5, 0)], 2),
            ("log start: never the active", config("delete", -1, -1), 30, 30, &[(5, 0), (5, 0), (5, 0)], 2),
            ("compact: only by the log start", config("compact", 0, 0), 10, 30, &[(5, old), (5, old), (5, old)], 1),
            ("no policy: only by the log start", config("", 0, 0), 10, 30, &[(5, old), (5, old), (5, old)], 1),
            ("both policies", config("compact,delete", -1, 100), 10, 30, &[(5, old), (5, old), (5, young)], 2),
        ] {
            assert_eq!(count(&config, log_start, high_watermark, segments), expected, "{name}");
        }
    }
}
