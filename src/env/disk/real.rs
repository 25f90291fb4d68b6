//! The operating system's disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use rustix::{buffer::spare_capacity, fs::Advice};
use tracing::warn;

use super::{Disk, DiskFile, OpenMode, Space};
use crate::model::Timestamp;

/// The file system of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

/// How much longer each flush takes than the disk does, for who measures with a disk that is faster than most (`scripts/bench`).
static FLUSH_DELAY: LazyLock<Duration> = LazyLock::new(|| {
    let given = std::env::var("FELICE_FLUSH_DELAY_MS").ok().and_then(|text| text.parse().ok());
    let delay = Duration::from_millis(given.unwrap_or(0));
    if !delay.is_zero() {
        warn!("each flush is delayed by {} ms, as FELICE_FLUSH_DELAY_MS says", delay.as_millis());
    }
    delay
});

/// Shared with the ranges that are sent from it.
#[derive(Debug)]
struct RealFile(Arc<File>);

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let makes = matches!(mode, OpenMode::OrCreate | OpenMode::Empty);
        options.read(true).write(mode != OpenMode::ReadOnly).create(makes).truncate(mode == OpenMode::Empty);
        Ok(Arc::new(RealFile(Arc::new(options.open(path)?))))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let disk = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Space { available: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified(&self) -> io::Result<Timestamp> {
        let since = self.0.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.0.set_modified(UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0)))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&*self.0, buffer, position)?)
    }

    fn read_to_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&*self.0, spare_capacity(buffer), position)?)
    }

    fn write_at(&self, head: &[u8], tail: &[u8], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&*self.0, &[IoSlice::new(head), IoSlice::new(tail)], position)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&*self.0)?;
        if !FLUSH_DELAY.is_zero() {
            thread::sleep(*FLUSH_DELAY);
        }
        Ok(())
    }

    fn drop_cached(&self, position: u64, length: u64) {
        // Where the file system knows no such advice, the cache does as it always does.
        let _ = rustix::fs::fadvise(&*self.0, position, NonZeroU64::new(length), Advice::DontNeed);
    }

    fn as_file(&self) -> Option<Arc<File>> {
        Some(Arc::clone(&self.0))
    }
}
