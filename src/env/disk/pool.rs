//! Open files, and not too many of them: a log has three files a segment, and a process may open only so many.
//!
//! A [`PooledFile`] is a file by its name. It is opened when it is first used, and closed again where others were used more
//! recently (by the clock algorithm) and there would be too many; nobody who uses it notices. What is open already costs one
//! atomic load, no lock.
//!
//! Two things make that safe. A file with **unflushed** writes stays open until they are synced: the error of a write-back
//! that failed is told to those who have the file open, and may be lost where nobody has. And a file that is **retired** is
//! not opened any more, since another file may have its name by now.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::{DiskFile, OpenMode, SharedDisk};
use crate::{env::process, model::Timestamp};

/// Most files that are kept open, however many a process may open.
const BOUND_MAX: usize = 8192;
/// Files that are looked at to close one, when another is opened.
const LOOKS_MAX: usize = 64;
/// Files that are closed where no descriptor is left.
const RELIEF: usize = 16;

/// The open files of one disk.
#[derive(Debug, Clone)]
pub struct FilePool(Arc<Shared>);

struct Shared {
    bound: usize,
    open: AtomicUsize,
    /// Files that are open, or were. Whoever changes what a slot has open holds this.
    clock: Mutex<VecDeque<Weak<Slot>>>,
}

impl FilePool {
    /// A pool that keeps `bound` files open, and more only where they have unflushed writes.
    pub fn new(bound: usize) -> FilePool {
        FilePool(Arc::new(Shared { bound, open: AtomicUsize::new(0), clock: Mutex::default() }))
    }

    /// The pool for the files of this process: a quarter of what it may open.
    pub fn of_process() -> &'static FilePool {
        static POOL: LazyLock<FilePool> = LazyLock::new(|| {
            let limit = process::open_files().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
            FilePool::new((limit / 4).min(BOUND_MAX))
        });
        &POOL
    }

    /// How many files are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Whether more files are open than should be: they have unflushed writes, and a flush would let them be closed.
    pub fn is_crowded(&self) -> bool {
        self.open() > self.0.bound
    }

    /// What `open` returns; where the process has no descriptor left for it, some files are closed first.
    pub fn relieve<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match open() {
            Err(error) if is_out_of_descriptors(&error) && self.close_some(RELIEF) > 0 => open(),
            result => result,
        }
    }

    /// Closes up to `count` files that were not used for the longest time, and returns how many.
    fn close_some(&self, count: usize) -> usize {
        let closed = {
            let mut clock = self.0.clock.lock();
            let looks = 2 * clock.len();
            self.0.close(&mut clock, self.open().saturating_sub(count), looks)
        };
        closed.len()
    }

    /// Keeps a file open in `slot`, unless one was opened there meanwhile; returns the one that is.
    fn keep(&self, slot: &Arc<Slot>, file: Arc<dyn DiskFile>) -> Opened {
        let mut clock = self.0.clock.lock();
        if let Some(kept) = slot.file.load_full() {
            return Opened(kept);
        }
        let kept = Arc::new(Kept(file));
        slot.file.store(Some(Arc::clone(&kept)));
        slot.used.store(true, Ordering::Relaxed);
        clock.push_back(Arc::downgrade(slot));
        let open = self.0.open.fetch_add(1, Ordering::Relaxed) + 1;
        // Of dropped files the clock keeps a trace until its hand comes by, which it does not while few are open.
        if clock.len() > 2 * open + LOOKS_MAX {
            clock.retain(|slot| slot.strong_count() > 0);
        }
        let closed = self.0.close(&mut clock, self.0.bound, LOOKS_MAX);
        drop(clock);
        // Closing may take long where a file has no name any more.
        drop(closed);
        Opened(kept)
    }
}

impl Shared {
    /// Takes files that can be closed out of their slots, until `bound` are open or `looks` of them were looked at.
    fn close(&self, clock: &mut VecDeque<Weak<Slot>>, bound: usize, looks: usize) -> Vec<(Arc<Slot>, Arc<Kept>)> {
        let mut closed = Vec::new();
        for _ in 0..looks.min(2 * clock.len()) {
            if self.open.load(Ordering::Relaxed) <= bound {
                break;
            }
            let Some(weak) = clock.pop_front() else { break };
            let Some(slot) = weak.upgrade() else { continue };
            // Where it is locked, somebody is about to write.
            let is_unflushed = slot.unflushed.try_lock().is_none_or(|unflushed| unflushed.is_some());
            if is_unflushed || slot.used.swap(false, Ordering::Relaxed) {
                clock.push_back(weak);
            } else if let Some(file) = slot.file.swap(None) {
                self.open.fetch_sub(1, Ordering::Relaxed);
                closed.push((slot, file));
            }
        }
        closed
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} files open", self.open.load(Ordering::Relaxed), self.bound)
    }
}

/// What the pool knows of a file.
///
/// Invariant: while `unflushed` is there, `file` is too, and the same.
struct Slot {
    pool: FilePool,
    file: ArcSwapOption<Kept>,
    /// Since the hand of the clock last came by.
    used: AtomicBool,
    /// What was written through since the last sync began.
    unflushed: Mutex<Option<Arc<Kept>>>,
}

/// So that a thin pointer leads to it.
struct Kept(Arc<dyn DiskFile>);

impl Drop for Slot {
    fn drop(&mut self) {
        if self.file.load().is_some() {
            self.pool.0.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A file by its name, open or not. As a [`DiskFile`] it is opened where it has to be.
pub struct PooledFile {
    disk: SharedDisk,
    path: PathBuf,
    slot: Arc<Slot>,
    retired: AtomicBool,
}

impl PooledFile {
    /// The file that has this name when it is first used.
    pub fn new(disk: &SharedDisk, path: PathBuf) -> PooledFile {
        let slot = Slot {
            pool: disk.files().clone(),
            file: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            unflushed: Mutex::new(None),
        };
        PooledFile { disk: Arc::clone(disk), path, slot: Arc::new(slot), retired: AtomicBool::new(false) }
    }

    /// Opens it now; with another mode than `Existing` this may make the file.
    pub fn open(disk: &SharedDisk, path: PathBuf, mode: OpenMode) -> io::Result<PooledFile> {
        let file = PooledFile::new(disk, path);
        let opened = file.open_by_name(mode)?;
        file.slot.pool.keep(&file.slot, opened);
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this file is not opened by its name, which may soon be gone, or another file's. Whoever has it open goes on
    /// using it; else there is [`io::ErrorKind::NotFound`].
    pub fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// The open file, for several calls. What is written through it does not keep it open.
    pub fn opened(&self) -> io::Result<Opened> {
        if let Some(kept) = self.slot.file.load_full() {
            if !self.slot.used.load(Ordering::Relaxed) {
                self.slot.used.store(true, Ordering::Relaxed);
            }
            return Ok(Opened(kept));
        }
        let file = self.open_by_name(OpenMode::Existing)?;
        Ok(self.slot.pool.keep(&self.slot, file))
    }

    /// As [`PooledFile::opened`], for what is seldom done: a file that is not open is closed again.
    pub fn opened_briefly(&self) -> io::Result<Opened> {
        if let Some(kept) = self.slot.file.load_full() {
            return Ok(Opened(kept));
        }
        Ok(Opened(Arc::new(Kept(self.open_by_name(OpenMode::Existing)?))))
    }

    fn open_by_name(&self, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.check_not_retired()?;
        let file = self.slot.pool.relieve(|| self.disk.open(&self.path, mode))?;
        // Between the two it may have been retired, and another file been given the name.
        self.check_not_retired()?;
        Ok(file)
    }

    fn check_not_retired(&self) -> io::Result<()> {
        if self.is_retired() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file is no longer in use"));
        }
        Ok(())
    }

    /// The open file; it stays open until it is synced.
    fn opened_to_write(&self) -> io::Result<Opened> {
        let mut unflushed = self.slot.unflushed.lock();
        if let Some(kept) = &*unflushed {
            return Ok(Opened(Arc::clone(kept)));
        }
        // While `unflushed` is locked, nobody closes it.
        let opened = self.opened()?;
        *unflushed = Some(Arc::clone(&opened.0));
        Ok(opened)
    }
}

impl DiskFile for PooledFile {
    fn len(&self) -> io::Result<u64> {
        self.opened()?.len()
    }

    fn modified(&self) -> io::Result<Timestamp> {
        self.opened()?.modified()
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.opened()?.set_modified(at)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.opened()?.read_at(buffer, position)
    }

    fn read_to_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        self.opened()?.read_to_spare(buffer, position)
    }

    fn write_at(&self, head: &[u8], tail: &[u8], position: u64) -> io::Result<usize> {
        self.opened_to_write()?.write_at(head, tail, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.opened_to_write()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // First: what is written from here on needs a sync of its own.
        let unflushed = self.slot.unflushed.lock().take();
        match unflushed {
            Some(kept) => kept.0.sync_data(),
            None => self.opened()?.sync_data(),
        }
    }

    fn as_file(&self) -> Option<Arc<File>> {
        self.opened().ok()?.as_file()
    }
}

impl fmt::Debug for PooledFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PooledFile({})", self.path.display())
    }
}

/// A file that stays open as long as this lives.
pub struct Opened(Arc<Kept>);

impl Deref for Opened {
    type Target = dyn DiskFile;

    fn deref(&self) -> &(dyn DiskFile + 'static) {
        &*self.0.0
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{
        Disk,
        disk::sim::{Answer, Call, SimDisk},
    };

    fn disk() -> (Arc<SimDisk>, SharedDisk) {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/d")).unwrap();
        (Arc::clone(&disk), disk)
    }

    fn create(disk: &SharedDisk, name: usize) -> PooledFile {
        PooledFile::open(disk, format!("/d/{name}").into(), OpenMode::OrCreate).unwrap()
    }

    fn content(file: &PooledFile) -> Vec<u8> {
        let mut buffer = [0; 16];
        let read = file.read_at(&mut buffer, 0).unwrap();
        buffer[..read].to_vec()
    }

    #[test]
    fn few_are_open_and_all_can_be_used() {
        let (_, disk) = disk();
        let bound = disk.files().0.bound;
        let files: Vec<_> = (0..10 * bound).map(|name| create(&disk, name)).collect();
        for (name, file) in files.iter().enumerate() {
            file.opened_briefly().unwrap().write_at(&name.to_be_bytes(), &[], 0).unwrap();
        }
        for (name, file) in files.iter().enumerate().rev() {
            assert_eq!(content(file), name.to_be_bytes());
            assert!(disk.files().open() <= bound);
        }
        // What is in use is not closed under who uses it.
        let opened = files[3].opened().unwrap();
        files.iter().for_each(|file| drop(content(file)));
        assert_eq!(opened.len().unwrap(), 8);
        drop(files);
        assert_eq!(disk.files().open(), 0);
        let _ = create(&disk, 0);
        assert!(disk.files().0.clock.lock().len() <= 2 * bound + LOOKS_MAX);
    }

    #[test]
    fn a_file_stays_open_until_what_was_written_is_synced() {
        let (sim, disk) = disk();
        let bound = disk.files().0.bound;
        let files: Vec<_> = (0..2 * bound).map(|name| create(&disk, name)).collect();
        files.iter().for_each(|file| assert_eq!(file.write_at(b"x", b"y", 0).unwrap(), 2));
        assert!(disk.files().open() == 2 * bound && disk.files().is_crowded());
        sim.set_plan(|call| match call {
            Call::Open { .. } => Answer::Fail(Errno::IO),
            _ => Answer::Proceed,
        });
        files.iter().for_each(|file| file.sync_data().unwrap());
        assert_eq!(disk.files().open(), 2 * bound, "nobody has closed any yet");
        sim.clear_plan();
        let more: Vec<_> = (0..3 * bound).map(|name| create(&disk, name)).collect();
        assert!(disk.files().open() <= bound && !disk.files().is_crowded());
        drop(more);
    }

    #[test]
    fn a_retired_file_is_not_opened_by_its_name() {
        let (sim, disk) = disk();
        let file = Arc::new(create(&disk, 0));
        file.retire();
        assert_eq!(file.len().unwrap(), 0, "it is open");
        let others: Vec<_> = (1..100).map(|name| create(&disk, name)).collect();
        assert_eq!(file.len().unwrap_err().kind(), io::ErrorKind::NotFound);
        // Retired while it is being opened.
        let file = Arc::new(PooledFile::new(&disk, "/d/1".into()));
        let retired = Arc::clone(&file);
        sim.set_plan(move |call| {
            if matches!(call, Call::Open { .. }) {
                retired.retire();
            }
            Answer::Proceed
        });
        assert_eq!(file.len().unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(others);
    }

    #[test]
    fn where_no_descriptor_is_left_files_are_closed() {
        let (sim, disk) = disk();
        let files: Vec<_> = (0..4).map(|name| create(&disk, name)).collect();
        let pool = disk.files().clone();
        sim.set_plan(move |call| match call {
            Call::Open { .. } if pool.open() > 0 => Answer::Fail(Errno::MFILE),
            _ => Answer::Proceed,
        });
        let file = create(&disk, 4);
        assert_eq!(disk.files().open(), 1);
        assert!(content(&file).is_empty());
        drop(files);
    }
}
