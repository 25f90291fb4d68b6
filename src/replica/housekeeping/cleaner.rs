//! The cleaner: `log.cleaner.threads` threads that compact the logs of compacted topics, always the dirtiest first, and rest for
//! `log.cleaner.backoff.ms` where none is dirty enough. Kafka's `LogCleaner` and `LogCleanerManager`.

use std::{cmp::Ordering, ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{super::Partition, Shared, retention::Which};
use crate::{
    env::sync::MutexGuard,
    log::{Cleanable, CompactError, CompactSettings, Compacted, LogError, OffsetMap},
    model::Offset,
};

/// A batch of a compacted topic may decompress to so many bytes at least, whatever its topic allows by now.
const DECOMPRESSED_MIN: usize = 256 << 20;

/// After its disk failed, or was full, a log is let alone for so long, so that others have their turn.
const RETRY: Duration = Duration::from_secs(60);

/// What is known of a partition by who removes or compacts its segments.
#[derive(Debug, Default)]
pub struct Tended {
    /// Compaction came upon something that it cannot go beyond. Other partitions go on.
    is_uncleanable: bool,
    /// Its disk failed.
    retry_at: Option<Instant>,
}

impl Tended {
    fn may_be_compacted(&self, now: Instant) -> bool {
        !self.is_uncleanable && self.retry_at.is_none_or(|at| at <= now)
    }
}

/// A log to compact, locked.
struct Filthy<'a> {
    partition: &'a Arc<Partition>,
    range: Cleanable,
    tended: MutexGuard<'a, Tended>,
}

impl Shared {
    /// The life of a cleaner thread.
    pub(super) fn clean(&self) {
        let config = &self.config.cleaner;
        let mut map = OffsetMap::with_memory(config.dedupe_buffer_bytes / config.threads.max(1), config.load_factor);
        while !self.is_stopped() {
            let partitions = self.replicas.all();
            let has_cleaned = self.clean_filthiest(&partitions, &mut map);
            self.enforce_retention(Which::Compacted);
            if !has_cleaned {
                self.rest(config.backoff);
            }
        }
    }

    /// Whether there was a log to compact, and something came of it.
    fn clean_filthiest(&self, partitions: &[Arc<Partition>], map: &mut OffsetMap) -> bool {
        let Some(mut filthy) = self.grab_filthiest(partitions) else { return false };
        let (partition, range) = (filthy.partition, filthy.range);
        match self.compact(partition, &range, map) {
            Ok(done) if done.first_dirty > range.first_dirty => {
                report(partition, &range, &done);
                self.cleaned.runs.add(1);
                self.cleaned.bytes_read.add(done.bytes_read);
                self.cleaned.bytes_written.add(done.bytes_written);
                true
            }
            Ok(done) => {
                if done.is_partial {
                    warn!(
                        partition = %partition.name(),
                        "it is not compacted any more: one batch has more keys than log.cleaner.dedupe.buffer.size has room for"
                    );
                    filthy.tended.is_uncleanable = true;
                }
                false
            }
            // The broker stops, or the log was cut, deleted or closed.
            Err(CompactError::Stopped | CompactError::Overtaken) => false,
            Err(_) if partition.is_closed() => false,
            Err(CompactError::Log(error @ LogError::Corrupt { .. })) => {
                warn!(partition = %partition.name(), "it is not compacted any more until the next start: {error}");
                filthy.tended.is_uncleanable = true;
                false
            }
            // A disk that is full or fails may work again.
            Err(CompactError::Log(error)) => {
                warn!(partition = %partition.name(), "cannot be compacted for now: {error}");
                filthy.tended.retry_at = Instant::now().checked_add(RETRY);
                false
            }
        }
    }

    /// The log that is most in need of it, among those that nobody else works on.
    fn grab_filthiest<'a>(&self, partitions: &'a [Arc<Partition>]) -> Option<Filthy<'a>> {
        let mut dirty: Vec<(&Arc<Partition>, Cleanable)> = Vec::new();
        for partition in partitions {
            let may_be_compacted =
                partition.tended.try_lock().is_some_and(|tended| tended.may_be_compacted(Instant::now()));
            if may_be_compacted && let Some(range) = self.cleanable(partition) {
                dirty.push((partition, range));
            }
        }
        dirty.sort_by(|(_, one), (_, other)| by_need(other, one));
        dirty.into_iter().find_map(|(partition, _)| {
            let tended = partition.tended.try_lock().filter(|tended| tended.may_be_compacted(Instant::now()))?;
            // Another thread may have compacted it in the meantime.
            let range = self.cleanable(partition)?;
            Some(Filthy { partition, range, tended })
        })
    }

    /// What of a partition is to be compacted now, if anything is.
    fn cleanable(&self, partition: &Partition) -> Option<Cleanable> {
        let config = &partition.settings.load().log;
        // The active segment alone is never compacted, and for that no log has to be opened.
        let is_active_alone = || partition.known_at_rest().is_some_and(|at_rest| at_rest.segments < 2);
        if !config.compacts || partition.is_closed() || is_active_alone() {
            return None;
        }
        let log = partition.log().ok().filter(|log| !log.is_out_of_use())?;
        let checkpoint = partition.stored.lock().first_dirty;
        let until = partition.last_stable_offset(partition.high_watermark());
        match log.cleanable(checkpoint, until, self.replicas.now()) {
            Ok(range) => {
                if range.is_corrected {
                    self.note_first_dirty(partition, range.first_dirty);
                }
                is_due(&range, config.min_cleanable_dirty_ratio).then_some(range)
            }
            Err(error) => {
                if !partition.is_closed() {
                    warn!(partition = %partition.name(), "cannot be looked at for compaction: {error}");
                }
                None
            }
        }
    }

    fn compact(
        &self,
        partition: &Partition,
        range: &Cleanable,
        map: &mut OffsetMap,
    ) -> Result<Compacted, CompactError> {
        let config = &self.config.cleaner;
        let settings = CompactSettings {
            now: self.replicas.now(),
            seed: [self.replicas.random(), self.replicas.random()],
            // Read and written.
            io_buffer_bytes: config.io_buffer_bytes / config.threads.max(1) / 2,
            decompressed_max: partition.settings.load().max_decompressed_bytes.max(DECOMPRESSED_MIN),
        };
        let mut pace = |bytes| {
            self.rest(self.throttle.take(bytes, Instant::now()));
            if self.is_stopped() || partition.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let done = partition.log()?.compact(range, map, &settings, &mut pace)?;
        self.note_first_dirty(partition, done.first_dirty);
        Ok(done)
    }

    /// Not flushed: without it the next pass does more than it has to, and no harm.
    fn note_first_dirty(&self, partition: &Partition, first_dirty: Offset) {
        let kept = partition.keep(self.replicas.keeper(), |stored| stored.first_dirty = Some(first_dirty));
        if let Err(error) = kept
            && !partition.is_closed()
        {
            warn!(partition = %partition.name(), "how far it is compacted cannot be stored: {error}");
        }
    }
}

/// Whether a log is dirty enough, or something in it has waited too long.
fn is_due(range: &Cleanable, min_dirty_ratio: f64) -> bool {
    range.dirty_bytes > 0 && (range.overdue_ms > 0 || range.dirty_ratio() > min_dirty_ratio)
}

/// The dirtier one is greater.
fn by_need(one: &Cleanable, other: &Cleanable) -> Ordering {
    one.dirty_ratio().total_cmp(&other.dirty_ratio())
}

fn report(partition: &Partition, range: &Cleanable, done: &Compacted) {
    info!(
        partition = %partition.name(),
        "compacted offsets {} to {}: of {} records {} stay, {} segments became {}, {} bytes became {}",
        range.first_dirty,
        done.first_dirty,
        done.records_read,
        done.records_kept,
        done.segments_before,
        done.segments_after,
        done.bytes_read,
        done.bytes_written
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(clean_bytes: u64, dirty_bytes: u64, overdue_ms: i64) -> Cleanable {
        Cleanable {
            first_dirty: Offset::ZERO,
            first_uncleanable: Offset(10),
            clean_bytes,
            dirty_bytes,
            overdue_ms,
            safe_until: Offset(100),
            is_corrected: false,
        }
    }

    #[test]
    fn what_is_due_is_kafkas() {
        for (name, range, ratio, expected) in [
            ("nothing is there", range(0, 0, 0), 0.0, false),
            ("half is dirty, and half is allowed", range(5, 5, 0), 0.5, false),
            ("more than half is", range(5, 6, 0), 0.5, true),
            ("any dirt is too much", range(1000, 1, 0), 0.0, true),
            ("all may be dirty", range(0, 9, 0), 1.0, false),
            ("but not for ever", range(0, 9, 1), 1.0, true),
            ("what is overdue cannot be touched", range(9, 0, 1), 0.0, false),
        ] {
            assert_eq!(is_due(&range, ratio), expected, "{name}");
        }
    }

    #[test]
    fn the_dirtiest_comes_first_not_the_largest() {
        let mut ranges = [range(100, 100, 0), range(0, 1, 0), range(10, 5, 9)];
        ranges.sort_by(|one, other| by_need(other, one));
        assert_eq!(ranges.map(|range| range.dirty_bytes), [1, 100, 5]);
    }
}
