//! A segment's two sparse indexes, in Kafka's formats.
//!
//! ```text
//! .index      relative offset u32 | position u32      a batch's last offset, and where the batch begins
//! .timeindex  timestamp i64 | relative offset u32     the largest timestamp up to that offset
//! ```
//! Only the newest entries are kept in memory, at most [`WINDOW_MAX`]; they reach the file in blocks, and readers
//! of the log's end find theirs without a system call. Older ones are searched in the file by positional reads.
//! What a kill takes from the window is rebuilt by recovery. An index is only ever a hint: who follows an entry
//! checks that it leads to a batch of that offset.

use std::path::{Path, PathBuf};

use super::files::{self, LogError};
use crate::env::{DiskFile, PooledFile, SharedDisk, sync::RwLock};

/// Entries in memory: one 4 KiB block of the offset index.
const WINDOW_MAX: usize = 512;

/// One entry of an index; keys ascend within a file.
pub trait Entry: Copy {
    type Key: Ord + Copy;
    const SIZE: usize;

    fn key(&self) -> Self::Key;
    fn encode(&self, out: &mut Vec<u8>);
    /// From exactly `SIZE` bytes; `None` where there are fewer.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of the batch, relative to the segment's base.
    pub relative_offset: u32,
    pub position: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: i64,
    pub relative_offset: u32,
}

impl Entry for OffsetEntry {
    type Key = u32;
    const SIZE: usize = 8;

    fn key(&self) -> u32 {
        self.relative_offset
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<OffsetEntry> {
        let (relative_offset, rest) = bytes.split_first_chunk()?;
        let position = rest.first_chunk()?;
        Some(OffsetEntry {
            relative_offset: u32::from_be_bytes(*relative_offset),
            position: u32::from_be_bytes(*position),
        })
    }
}

impl Entry for TimeEntry {
    type Key = i64;
    const SIZE: usize = 12;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<TimeEntry> {
        let (timestamp, rest) = bytes.split_first_chunk()?;
        let relative_offset = rest.first_chunk()?;
        Some(TimeEntry {
            timestamp: i64::from_be_bytes(*timestamp),
            relative_offset: u32::from_be_bytes(*relative_offset),
        })
    }
}

/// Invariants: `entries` counts all; the last `window.len()` of them are in `window`; the first `written` are in
/// the file; `entries - window.len() <= written <= entries`.
#[derive(Debug)]
struct State<E> {
    entries: u64,
    written: u64,
    window: Vec<E>,
    last: Option<E>,
}

#[derive(Debug)]
pub(super) struct Index<E> {
    path: PathBuf,
    /// Opened when something is looked up: of most segments nothing is.
    file: PooledFile,
    state: RwLock<State<E>>,
}

impl<E: Entry> Index<E> {
    /// A new, empty file, replacing what is there.
    pub fn create(disk: &SharedDisk, path: PathBuf) -> Result<Index<E>, LogError> {
        let file = files::open(&**disk, &path)?;
        files::truncate(&*file, &path, 0)?;
        Ok(Index::at(disk, path))
    }

    fn at(disk: &SharedDisk, path: PathBuf) -> Index<E> {
        Index { file: PooledFile::new(disk, path.clone()), path, state: RwLock::new(State::empty()) }
    }

    /// `None` where the file is missing or cannot be an index of so many bytes: it has to be rebuilt.
    pub fn load(disk: &SharedDisk, path: PathBuf) -> Result<Option<Index<E>>, LogError> {
        let file = match files::open_existing(&**disk, &path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = files::size(&*file, &path)?;
        if size % E::SIZE as u64 != 0 {
            return Ok(None);
        }
        let entries = size / E::SIZE as u64;
        let index = Index::at(disk, path);
        let last = match entries.checked_sub(1) {
            Some(last) => Some(index.entry_in(&*file, last)?),
            None => None,
        };
        *index.state.write() = State { entries, written: entries, window: Vec::new(), last };
        Ok(Some(index))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`super::segment::Segment::retire`].
    pub fn retire(&self) {
        self.file.retire();
    }

    pub fn entries(&self) -> u64 {
        self.state.read().entries
    }

    /// Size of all entries.
    pub fn bytes(&self) -> u64 {
        self.entries() * E::SIZE as u64
    }

    pub fn last(&self) -> Option<E> {
        self.state.read().last
    }

    /// Whether another entry and one in reserve would exceed `size_max` bytes.
    pub fn is_full(&self, size_max: u64) -> bool {
        (self.entries() + 2) * E::SIZE as u64 > size_max
    }

    /// Adds an entry whose key exceeds the last one's; others are left out. Called by one thread at a time.
    pub fn push(&self, entry: E) -> Result<(), LogError> {
        let mut state = self.state.write();
        if state.last.is_some_and(|last| last.key() >= entry.key()) {
            return Ok(());
        }
        if state.window.len() >= WINDOW_MAX {
            self.write_out(&mut state)?;
            state.window.drain(..WINDOW_MAX / 2);
        }
        state.window.push(entry);
        state.entries += 1;
        state.last = Some(entry);
        debug_assert!(state.entries - state.window.len() as u64 <= state.written && state.written <= state.entries);
        Ok(())
    }

    /// Writes what is only in memory, and frees that memory: the segment gets no more batches for now.
    pub fn settle(&self) -> Result<(), LogError> {
        let mut state = self.state.write();
        self.write_out(&mut state)?;
        state.window = Vec::new();
        Ok(())
    }

    pub fn sync(&self) -> Result<(), LogError> {
        self.briefly(|file| files::sync(file, &self.path))
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<(), LogError> {
        let mut state = self.state.write();
        self.briefly(|file| files::truncate(file, &self.path, 0))?;
        *state = State::empty();
        Ok(())
    }

    /// Forgets the entries that `is_before` does not hold for; it holds for all up to one and none after.
    pub fn cut(&self, is_before: impl Fn(&E) -> bool) -> Result<(), LogError> {
        let mut state = self.state.write();
        let in_file = state.entries - state.window.len() as u64;
        let in_window = state.window.partition_point(&is_before);
        let kept = match in_window {
            0 => self.briefly(|file| self.count_in_file(file, in_file, &is_before))?,
            _ => in_file + in_window as u64,
        };
        let last = match state.window.get(..in_window).and_then(|window| window.last()) {
            None if kept > 0 => Some(self.briefly(|file| self.entry_in(file, kept - 1))?),
            last => last.copied(),
        };
        if kept < state.written {
            self.briefly(|file| files::truncate(file, &self.path, kept * E::SIZE as u64))?;
            state.written = kept;
        }
        state.window.truncate(in_window);
        state.entries = kept;
        state.last = last;
        debug_assert!(state.entries - state.window.len() as u64 <= state.written && state.written <= state.entries);
        Ok(())
    }

    /// How many of the first `entries`, which are in the file, `is_before` holds for.
    fn count_in_file(
        &self,
        file: &dyn DiskFile,
        entries: u64,
        is_before: impl Fn(&E) -> bool,
    ) -> Result<u64, LogError> {
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(&self.entry_in(file, middle)?) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The last entry whose key is at most `key`.
    pub fn floor(&self, key: E::Key) -> Result<Option<E>, LogError> {
        self.last_where(|entry| entry.key() <= key)
    }

    /// The last entry that `is_before` holds for; it holds for all entries up to that one and none after.
    pub fn last_where(&self, is_before: impl Fn(&E) -> bool) -> Result<Option<E>, LogError> {
        let in_file = {
            let state = self.state.read();
            if let Some(last) = state.last.filter(&is_before) {
                return Ok(Some(last));
            }
            let above = state.window.partition_point(&is_before);
            if let Some(found) = above.checked_sub(1).and_then(|at| state.window.get(at)) {
                return Ok(Some(*found));
            }
            state.entries - state.window.len() as u64
        };
        if in_file == 0 {
            return Ok(None);
        }
        let file = self.file.opened().map_err(|error| LogError::io("open", &self.path, error))?;
        let (mut low, mut high) = (0, in_file);
        // Narrow down to one block by probing, then read that block whole.
        while high - low > WINDOW_MAX as u64 {
            let middle = low + (high - low) / 2;
            if is_before(&self.entry_in(&*file, middle)?) { low = middle } else { high = middle }
        }
        let mut block = [0; WINDOW_MAX * 16];
        let length = (high - low) as usize * E::SIZE;
        let block = block.get_mut(..length).unwrap_or_default();
        let read = files::read_at(&*file, &self.path, block, low * E::SIZE as u64)?;
        let entries = block.get(..read).unwrap_or_default().chunks_exact(E::SIZE).filter_map(E::decode);
        Ok(entries.take_while(is_before).last())
    }

    fn entry_in(&self, file: &dyn DiskFile, at: u64) -> Result<E, LogError> {
        let mut bytes = [0; 16];
        let bytes = bytes.get_mut(..E::SIZE).unwrap_or_default();
        let position = at * E::SIZE as u64;
        let read = files::read_at(file, &self.path, bytes, position)?;
        let entry = bytes.get(..read).and_then(E::decode);
        entry.ok_or_else(|| LogError::corrupt(&self.path, position, "the index ends within an entry"))
    }

    fn write_out(&self, state: &mut State<E>) -> Result<(), LogError> {
        let unwritten = (state.entries - state.written) as usize;
        if unwritten == 0 {
            return Ok(());
        }
        let from = state.window.len() - unwritten;
        let mut bytes = Vec::with_capacity(unwritten * E::SIZE);
        state.window.iter().skip(from).for_each(|entry| entry.encode(&mut bytes));
        let position = state.written * E::SIZE as u64;
        self.briefly(|file| files::write_at(file, &self.path, &bytes, &[], position))?;
        state.written = state.entries;
        Ok(())
    }

    /// For what is seldom done: a file that is not open is closed again. (What is written like that does not stay open until
    /// it is flushed: an entry that the disk loses is only a hint that leads nowhere.)
    fn briefly<T>(&self, act: impl FnOnce(&dyn DiskFile) -> Result<T, LogError>) -> Result<T, LogError> {
        act(&*self.file.opened_briefly().map_err(|error| LogError::io("open", &self.path, error))?)
    }
}

impl<E> State<E> {
    fn empty() -> State<E> {
        State { entries: 0, written: 0, window: Vec::new(), last: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::RealDisk;

    fn disk() -> SharedDisk {
        Arc::new(RealDisk)
    }

    fn entry(at: u32) -> OffsetEntry {
        OffsetEntry { relative_offset: at * 10 + 5, position: at * 100 }
    }

    #[test]
    fn finds_the_floor_in_memory_and_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.index");
        let index = Index::create(&disk(), path.clone()).unwrap();
        let mut pushed = 0;
        let check = |index: &Index<OffsetEntry>, count: u32| {
            assert_eq!(index.entries(), u64::from(count));
            assert_eq!(index.floor(4).unwrap(), None, "before the first");
            for at in (0..count).step_by(1 + count as usize / 97).chain(count.checked_sub(1)) {
                for key in [at * 10 + 5, at * 10 + 14] {
                    assert_eq!(index.floor(key).unwrap(), Some(entry(at)), "{key} of {count}");
                }
            }
        };
        for count in [0, 1, 2, 511, 512, 513, 768, 769, 5000] {
            while pushed < count {
                index.push(entry(pushed)).unwrap();
                pushed += 1;
            }
            check(&index, count);
            assert!(index.state.read().window.len() <= WINDOW_MAX);
        }
        index.push(entry(7)).unwrap();
        check(&index, 5000);
        index.settle().unwrap();
        check(&index, 5000);
        index.push(entry(5000)).unwrap();
        index.settle().unwrap();
        let loaded = Index::<OffsetEntry>::load(&disk(), path.clone()).unwrap().unwrap();
        check(&loaded, 5001);
        assert_eq!(loaded.last(), Some(entry(5000)));
        loaded.push(entry(5001)).unwrap();
        check(&loaded, 5002);
        loaded.clear().unwrap();
        check(&loaded, 0);
    }

    #[test]
    fn a_cut_leaves_what_was_there_before() {
        for written in [0, 300, 2000] {
            for cut in [0, 1, 299, 300, 301, 1743, 1744, 1999, 2000, 2300] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("0.index");
                let index = Index::create(&disk(), path.clone()).unwrap();
                for at in 0..2300 {
                    index.push(entry(at)).unwrap();
                    if at + 1 == written {
                        index.settle().unwrap();
                    }
                }
                index.cut(|entry| entry.position < cut * 100).unwrap();
                assert_eq!((index.entries(), index.last()), (cut.into(), cut.checked_sub(1).map(entry)));
                assert_eq!(index.floor(u32::MAX).unwrap(), index.last(), "{cut} of 2300");
                index.push(entry(5000)).unwrap();
                index.settle().unwrap();
                let loaded = Index::<OffsetEntry>::load(&disk(), path).unwrap().unwrap();
                assert_eq!((loaded.entries(), loaded.last()), (u64::from(cut) + 1, Some(entry(5000))));
                if cut > 0 {
                    assert_eq!(loaded.floor(entry(cut).relative_offset).unwrap(), Some(entry(cut - 1)));
                }
            }
        }
    }

    #[test]
    fn bytes_are_kafkas() {
        let dir = tempfile::tempdir().unwrap();
        let (offsets, times) = (dir.path().join("0.index"), dir.path().join("0.timeindex"));
        let index = Index::create(&disk(), offsets.clone()).unwrap();
        index.push(OffsetEntry { relative_offset: 0x0102_0304, position: 0x0506_0708 }).unwrap();
        index.settle().unwrap();
        assert_eq!(std::fs::read(&offsets).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        let index = Index::create(&disk(), times.clone()).unwrap();
        index.push(TimeEntry { timestamp: 0x0102_0304_0506_0708, relative_offset: 9 }).unwrap();
        index.push(TimeEntry { timestamp: 3, relative_offset: 10 }).unwrap();
        index.settle().unwrap();
        assert_eq!(std::fs::read(&times).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9], "older ones are left out");
        assert!(Index::<OffsetEntry>::load(&disk(), times).unwrap().is_none(), "12 bytes are no offset index");
        assert!(Index::<OffsetEntry>::load(&disk(), dir.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn full_leaves_room_for_one_more() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::create(&disk(), dir.path().join("0.index")).unwrap();
        assert!(!index.is_full(16));
        index.push(entry(0)).unwrap();
        assert!(index.is_full(16) && !index.is_full(24));
    }
}
