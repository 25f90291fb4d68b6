//! The door to the disk: what a log asks of a file system, no more.
//!
//! [`RealDisk`] hands each call to the operating system as it is. A simulation has a disk in memory instead, whose
//! files lose on a power loss what was not synced (`sim.rs`). One call through a vtable for each system call is nothing.

mod pool;
mod real;
#[cfg(test)]
pub mod sim;
#[cfg(test)]
mod tests;

use std::{
    fmt::Debug,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use pool::{FilePool, Opened, PooledFile};
pub use real::RealDisk;

use crate::model::Timestamp;

/// What to do about the file that may be at a path, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there.
    Existing,
    /// It must be there, and is not written to.
    ReadOnly,
    /// Its content stays; where there is none, an empty one is made.
    OrCreate,
    /// It is empty afterwards.
    Empty,
}

/// The space on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still take.
    pub available: u64,
    pub total: u64,
}

/// A file system. Its errors are those of the operating system.
///
/// What was written is seen by everyone at once. What of it a power loss leaves: the content of a file as of its last
/// [`DiskFile::sync_data`], and the entries of a folder as of its last [`Disk::sync_dir`]; of what came after, anything.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for reading and, but for [`OpenMode::ReadOnly`], writing.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What is in a folder, as paths, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes a folder and those above it where they are missing.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or folder; a file that has the new name already is replaced, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Whoever has the file open can go on using it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Removes a folder with nothing in it.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// What bounds how many of its files are open.
    fn files(&self) -> &FilePool {
        FilePool::of_process()
    }

    /// The space on the file system that a folder is on.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// An open file: positional reads and writes, each one system call, which may do less than it was asked for.
pub trait DiskFile: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// When the content was last changed, by the file system's clock.
    fn modified(&self) -> io::Result<Timestamp>;

    /// Says when the content was last changed. Lost with the power unless it is synced; nothing depends on it.
    fn set_modified(&self, at: Timestamp) -> io::Result<()>;

    /// Reads at `position`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Appends what is at `position` to `buffer`, as much as its spare capacity takes, which needs no zeroing.
    fn read_to_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize>;

    /// Writes `head` and then `tail` at `position`; returns how many bytes of both were taken.
    fn write_at(&self, head: &[u8], tail: &[u8], position: u64) -> io::Result<usize>;

    /// Cuts the file, or extends it with zeroes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the content durable, its length included. After an error nobody knows what the disk holds of what was written
    /// since the last call that succeeded; another call tells nothing about it.
    fn sync_data(&self) -> io::Result<()>;

    /// Tells the operating system that nobody will read these bytes soon, so that they need not stay in its cache. What is not
    /// on the disk yet stays.
    fn drop_cached(&self, _position: u64, _length: u64) {}

    /// The operating system's file, to send from; `None` where there is none and bytes have to be read.
    fn as_file(&self) -> Option<Arc<File>>;
}

pub type SharedDisk = Arc<dyn Disk>;
