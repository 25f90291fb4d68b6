//! How far recoveries have come, for who waits for them, and the word to stop.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    files::{self, LOG_SUFFIX, LogError},
    recovery::Start,
};
use crate::env::Disk;

/// Shared by all logs that are recovered at the same time.
#[derive(Debug, Default)]
pub struct Progress {
    checked: AtomicU64,
    stopped: AtomicBool,
}

impl Progress {
    /// Bytes that were checked.
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// Recoveries end soon, with [`LogError::Stopped`]. What they have done by then is done; the next one does the rest.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// So many more bytes are checked.
    pub(super) fn note(&self, bytes: usize) -> Result<(), LogError> {
        self.checked.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_stopped() { Err(LogError::Stopped) } else { Ok(()) }
    }
}

/// What recoveries that are done one after the other on the same thread share.
#[derive(Debug)]
pub struct Bench<'a> {
    pub(super) progress: &'a Progress,
    /// Empty until it is needed.
    pub(super) buffer: Vec<u8>,
    pub(super) syncs_parent: bool,
}

impl<'a> Bench<'a> {
    pub fn new(progress: &'a Progress) -> Bench<'a> {
        Bench { progress, buffer: Vec::new(), syncs_parent: true }
    }

    /// For many logs in the same data folder, which whoever opens them syncs once for all, before anything rests on them.
    pub fn without_parent(progress: &'a Progress) -> Bench<'a> {
        Bench { syncs_parent: false, ..Bench::new(progress) }
    }
}

/// About how many bytes the log in `dir` has that a recovery must check: the segments from that of the recovery point on.
pub fn unchecked_bytes(disk: &dyn Disk, dir: &Path, start: Start) -> Result<u64, LogError> {
    if start.clean {
        return Ok(0);
    }
    let bases = files::list(disk, dir)?.logs;
    let first = bases.partition_point(|base| *base <= start.recovery_point).saturating_sub(1);
    bases.iter().skip(first).try_fold(0, |bytes, base| {
        let path = files::segment_file(dir, *base, LOG_SUFFIX);
        Ok(bytes + files::size(&*files::open_existing(disk, &path)?, &path)?)
    })
}
