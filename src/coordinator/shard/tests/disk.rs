//! This machine's disk, whose writes and flushes of logs a test may fail or hold up.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use crate::{
    env::{Disk, DiskFile, OpenMode, RealDisk, Space},
    model::Timestamp,
};

/// Asked at each write to a log whether that fails.
type Plan = Box<dyn FnMut() -> bool + Send>;

#[derive(Default)]
struct Switches {
    writes: Mutex<Option<Plan>>,
    flushes: Mutex<Flushes>,
    changed: Condvar,
}

#[derive(Default)]
struct Flushes {
    held: bool,
    failing: bool,
}

#[derive(Clone, Default)]
pub struct TestDisk(Arc<Switches>);

impl TestDisk {
    /// Fails the writes to logs of which `plan` says so.
    pub fn fail_writes(&self, plan: impl FnMut() -> bool + Send + 'static) {
        *self.0.writes.lock() = Some(Box::new(plan));
    }

    /// Fails the next write to a log, and no other.
    pub fn fail_next_write(&self) {
        let mut left = 1;
        self.fail_writes(move || {
            left -= 1;
            left == 0
        });
    }

    /// Whoever flushes a log waits until this is taken back.
    pub fn hold_flushes(&self, held: bool) {
        self.0.flushes.lock().held = held;
        self.0.changed.notify_all();
    }

    pub fn fail_flushes(&self, failing: bool) {
        self.0.flushes.lock().failing = failing;
    }
}

impl std::fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestDisk")
    }
}

#[derive(Debug)]
struct TestFile {
    inner: Arc<dyn DiskFile>,
    disk: TestDisk,
    is_log: bool,
}

impl Disk for TestDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        Ok(Arc::new(TestFile { inner: RealDisk.open(path, mode)?, disk: self.clone(), is_log }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        RealDisk.space(dir)
    }
}

impl DiskFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn modified(&self) -> io::Result<Timestamp> {
        self.inner.modified()
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.inner.set_modified(at)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }

    fn read_to_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        self.inner.read_to_spare(buffer, position)
    }

    fn write_at(&self, head: &[u8], tail: &[u8], position: u64) -> io::Result<usize> {
        if self.is_log && self.disk.0.writes.lock().as_mut().is_some_and(|fails| fails()) {
            return Err(Errno::IO.into());
        }
        self.inner.write_at(head, tail, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_log {
            let mut flushes = self.disk.0.flushes.lock();
            self.disk.0.changed.wait_while(&mut flushes, |flushes| flushes.held);
            if flushes.failing {
                return Err(Errno::IO.into());
            }
        }
        self.inner.sync_data()
    }

    fn as_file(&self) -> Option<Arc<File>> {
        self.inner.as_file()
    }
}
