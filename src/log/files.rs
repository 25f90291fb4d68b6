//! What a log does on its disk: names of a partition's files, whole reads and writes by position, atomic replacement.
//!
//! Everything in `log/` reaches the [`Disk`] through here or through a file opened here. The names are Kafka's.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::io::Errno;
use tracing::warn;

use super::compaction::Swap;
use crate::{
    env::{Disk, DiskFile, OpenMode, PooledFile, SharedDisk},
    model::{Offset, Timestamp, TopicId, TopicPartition, Uuid},
};

pub const LOG_SUFFIX: &str = "log";
pub const INDEX_SUFFIX: &str = "index";
pub const TIME_INDEX_SUFFIX: &str = "timeindex";
pub const TXN_INDEX_SUFFIX: &str = "txnindex";
pub const SNAPSHOT_SUFFIX: &str = "snapshot";
/// Renamed away, to be removed: neither opened nor counted after a restart.
pub const DELETED_SUFFIX: &str = "deleted";
/// Behind another suffix: written by compaction, and not yet decided to be used.
pub const CLEANED_SUFFIX: &str = "cleaned";
/// The decision to use what compaction has written.
pub const SWAP_SUFFIX: &str = "swap";
/// Offsets relative to a base beyond this could overflow; no log gets there.
const BASE_MAX: i64 = i64::MAX - (1 << 33);
const TEMPORARY_SUFFIX: &str = "tmp";

/// A file of a partition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The bytes there cannot be what was written.
    #[error("{path} is corrupt at byte {position}: {why}")]
    Corrupt { path: PathBuf, position: u64, why: String },
    /// An earlier write or flush failed in a way that leaves the file's content unknown.
    #[error("{path} is out of use since an earlier failure of its disk")]
    Failed { path: PathBuf },
    /// A recovery was to stop.
    #[error("stopped before the log was recovered")]
    Stopped,
    #[error("{path} belongs to topic id {found}, not {expected}")]
    WrongTopic { path: PathBuf, found: TopicId, expected: TopicId },
}

impl LogError {
    pub fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> LogError {
        LogError::Io { action, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn corrupt(path: &Path, position: u64, why: impl ToString) -> LogError {
        LogError::Corrupt { path: path.to_owned(), position, why: why.to_string() }
    }

    /// The file system, or the quota on it, has no room left.
    pub fn is_disk_full(&self) -> bool {
        let LogError::Io { source, .. } = self else { return false };
        matches!(source.raw_os_error(), Some(code) if code == Errno::NOSPC.raw_os_error() || code == Errno::DQUOT.raw_os_error())
    }

    /// The disk says that it is broken, rather than that something is wrong with what was asked of it.
    pub(super) fn is_broken_disk(&self) -> bool {
        let LogError::Io { source, .. } = self else { return false };
        let broken = [Errno::IO, Errno::ROFS].map(Errno::raw_os_error);
        source.raw_os_error().is_some_and(|code| broken.contains(&code))
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// `orders-3`: the folder of a partition.
pub fn partition_dir(data_dir: &Path, partition: &TopicPartition) -> PathBuf {
    data_dir.join(partition.to_string())
}

/// The topic's name and the partition of a folder so named; `None` for other folders, deleted ones among them.
pub fn parse_partition_dir(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let plain = !topic.is_empty() && !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    let partition = partition.parse().ok().filter(|_| plain)?;
    Some(TopicPartition { topic: topic.into(), partition: crate::model::PartitionIndex(partition) })
}

/// The name a folder gets before it is removed, which may take a while: `orders-3.<32 hex digits>-delete`. Kafka
/// cuts the topic's name so that the whole is at most 255 characters.
pub fn deleted_dir_name(partition: &TopicPartition, unique: Uuid) -> String {
    let hex: String = unique.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let suffix = format!("-{}.{hex}-delete", partition.partition);
    let topic: String = partition.topic.chars().take(255 - suffix.len()).collect();
    format!("{topic}{suffix}")
}

/// Whether a folder was renamed by a deletion that did not finish.
pub fn is_deleted_dir(name: &str) -> bool {
    name.ends_with("-delete") && name.contains('.')
}

/// `00000000000000000042.log` and its like.
pub(super) fn segment_file(dir: &Path, base: Offset, suffix: &str) -> PathBuf {
    dir.join(format!("{:020}.{suffix}", base.0))
}

/// What is in a partition's folder, as far as names tell. Offsets ascend.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub logs: Vec<Offset>,
    pub snapshots: Vec<Offset>,
    /// Index files by base offset; they may belong to no log any more.
    pub indexes: Vec<(Offset, PathBuf)>,
    /// Segments that compaction was about to replace.
    pub swaps: Vec<Swap>,
    /// Half-written files and files that a deletion left behind.
    pub rubbish: Vec<PathBuf>,
    /// A flush failed here, and nobody has put it right since.
    pub flush_failed: bool,
}

pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, LogError> {
    let mut listing = Listing::default();
    for path in disk.list(dir).map_err(|error| LogError::io("list", dir, error))? {
        listing.flush_failed |= path.file_name().is_some_and(|name| name == FLUSH_FAILED);
        let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
        let base = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.len() == 20);
        let base = base.and_then(|stem| stem.parse().ok()).filter(|base| (0..BASE_MAX).contains(base)).map(Offset);
        match (suffix, base) {
            (LOG_SUFFIX, Some(base)) => listing.logs.push(base),
            (SNAPSHOT_SUFFIX, Some(base)) => listing.snapshots.push(base),
            (INDEX_SUFFIX | TIME_INDEX_SUFFIX | TXN_INDEX_SUFFIX, Some(base)) => listing.indexes.push((base, path)),
            (SWAP_SUFFIX, _) => {
                listing.swaps.extend(path.file_stem().and_then(|stem| stem.to_str()).and_then(Swap::parse));
            }
            (TEMPORARY_SUFFIX | DELETED_SUFFIX | CLEANED_SUFFIX, _) => listing.rubbish.push(path),
            _ => {}
        }
    }
    listing.logs.sort_unstable();
    listing.snapshots.sort_unstable();
    Ok(listing)
}

pub(super) fn create_dir(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    disk.create_dir_all(path).map_err(|error| LogError::io("create", path, error))
}

/// Opens for reading and writing, creating it where it is missing.
pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, LogError> {
    open_in(disk, path, OpenMode::OrCreate).map_err(|error| LogError::io("open", path, error))
}

pub(super) fn open_existing(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, LogError> {
    open_in(disk, path, OpenMode::Existing).map_err(|error| LogError::io("open", path, error))
}

/// Where no descriptor is left, files that were not used for long are closed.
fn open_in(disk: &dyn Disk, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
    disk.files().relieve(|| disk.open(path, mode))
}

/// Opens a file that is closed, and opened again by its name, as others need their turn.
pub(super) fn open_pooled(disk: &SharedDisk, path: &Path, mode: OpenMode) -> Result<PooledFile, LogError> {
    PooledFile::open(disk, path.to_owned(), mode).map_err(|error| LogError::io("open", path, error))
}

pub(super) fn size(file: &dyn DiskFile, path: &Path) -> Result<u64, LogError> {
    file.len().map_err(|error| LogError::io("stat", path, error))
}

/// When the content was last changed.
pub(super) fn modified(file: &dyn DiskFile, path: &Path) -> Result<Timestamp, LogError> {
    file.modified().map_err(|error| LogError::io("stat", path, error))
}

pub(super) fn truncate(file: &dyn DiskFile, path: &Path, size: u64) -> Result<(), LogError> {
    file.set_len(size).map_err(|error| LogError::io("truncate", path, error))
}

/// Makes the content durable.
pub(super) fn sync(file: &dyn DiskFile, path: &Path) -> Result<(), LogError> {
    file.sync_data().map_err(|error| LogError::io("flush", path, error))
}

pub const FLUSH_FAILED: &str = "flush-failed";

/// Leaves a note that a flush failed. The kernel reports that once, and takes the pages for clean although they are not on the
/// disk; the next process must not believe what it reads until it has written it anew. After a power loss it reads what
/// there is, so that the note itself need not be durable.
pub(super) fn note_flush_failure(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    open(disk, &dir.join(FLUSH_FAILED)).map(drop)
}

/// What was believed to be on the disk is there now.
pub(super) fn forget_flush_failure(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    remove(disk, &dir.join(FLUSH_FAILED))
}

/// Makes creations, renames and removals in a folder durable.
pub(super) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    disk.sync_dir(dir).map_err(|error| LogError::io("flush", dir, error))
}

pub(super) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), LogError> {
    disk.rename(from, to).map_err(|error| LogError::io("rename", from, error))
}

/// Removes a file that may be gone already.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    unless_gone(disk.remove_file(path), path)
}

/// Removes a folder, with all that is in it, that may be gone already.
pub(super) fn remove_dir(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    unless_gone(disk.remove_dir_all(dir), dir)
}

fn unless_gone(removed: io::Result<()>, path: &Path) -> Result<(), LogError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Reads at `position` until `buffer` is full or the file ends; returns the bytes read.
pub(super) fn read_at(file: &dyn DiskFile, path: &Path, buffer: &mut [u8], position: u64) -> Result<usize, LogError> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LogError::io("read", path, error)),
        }
    }
    Ok(filled)
}

/// Reads `length` bytes at `position` into a buffer of exactly that size, which is never zeroed; fewer where the
/// file ends before.
pub(super) fn read_bytes(file: &dyn DiskFile, path: &Path, position: u64, length: usize) -> Result<Bytes, LogError> {
    let mut buffer = Vec::with_capacity(length);
    while buffer.len() < length {
        let at = position + buffer.len() as u64;
        // Where the allocator gave more than was asked for, the spare capacity reaches further: cut below.
        match file.read_to_spare(&mut buffer, at) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LogError::io("read", path, error)),
        }
    }
    buffer.truncate(length);
    Ok(Bytes::from(buffer))
}

/// Writes both parts, one after the other, at `position`; in one system call unless the kernel takes less.
pub(super) fn write_at(
    file: &dyn DiskFile,
    path: &Path,
    mut head: &[u8],
    mut tail: &[u8],
    mut position: u64,
) -> Result<(), LogError> {
    while !head.is_empty() || !tail.is_empty() {
        match file.write_at(head, tail, position) {
            Ok(0) => return Err(LogError::io("write", path, io::Error::from(io::ErrorKind::WriteZero))),
            Ok(written) => {
                let of_head = written.min(head.len());
                head = head.get(of_head..).unwrap_or_default();
                tail = tail.get(written - of_head..).unwrap_or_default();
                position += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LogError::io("write", path, error)),
        }
    }
    Ok(())
}

/// Replaces a file so that after a power loss it holds either the old or the new content.
pub(super) fn write_atomically(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), LogError> {
    replace(disk, path, content, true)?;
    path.parent().map_or(Ok(()), |dir| sync_dir(disk, dir))
}

/// Replaces a file so that after a kill it holds either the old or the new content; after a power loss, anything.
pub(super) fn write_unflushed(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), LogError> {
    replace(disk, path, content, false)
}

/// One caller at a time for a file and `flush`, so that the two ways may meet: a roll and a flush may replace the same file.
fn replace(disk: &dyn Disk, path: &Path, content: &[u8], flush: bool) -> Result<(), LogError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(if flush { ".flushed." } else { "." });
    name.push(TEMPORARY_SUFFIX);
    let temporary = path.with_file_name(name);
    let write = || {
        let file =
            open_in(disk, &temporary, OpenMode::Empty).map_err(|error| LogError::io("create", &temporary, error))?;
        write_at(&*file, &temporary, content, &[], 0)?;
        if flush {
            sync(&*file, &temporary)?;
        }
        rename(disk, &temporary, path)
    };
    write().inspect_err(|_| {
        // It takes space, and the next one must not find its content.
        let _ = disk.remove_file(&temporary);
    })
}

/// The content of a small file, `None` where there is none.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match disk.read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("read", path, error)),
    }
}

pub const PARTITION_METADATA: &str = "partition.metadata";

/// Which topic a partition's folder belongs to (KIP-516); `None` where the file is not there yet.
pub fn read_partition_metadata(disk: &dyn Disk, dir: &Path) -> Result<Option<TopicId>, LogError> {
    let path = dir.join(PARTITION_METADATA);
    let Some(content) = read_whole(disk, &path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&content);
    let mut fields = text.lines().filter_map(|line| line.split_once(':').map(|(name, value)| (name, value.trim())));
    match (fields.next(), fields.next()) {
        (Some(("version", "0")), Some(("topic_id", id))) => {
            let id = id.parse().map_err(|error| LogError::corrupt(&path, 0, error))?;
            Ok(Some(TopicId(id)))
        }
        _ => Err(LogError::corrupt(&path, 0, "not 'version: 0' and a 'topic_id'")),
    }
}

/// As [`read_partition_metadata`], of a folder that should be a topic's with this id. The ids of two topics have hardly a
/// character in common: one that differs in a single one is this topic's, and damaged. It is then written anew, since the
/// files of an older topic would be deleted.
///
/// # Errors
/// As [`read_partition_metadata`].
pub fn read_owner(disk: &dyn Disk, dir: &Path, expected: TopicId) -> Result<Option<TopicId>, LogError> {
    let path = dir.join(PARTITION_METADATA);
    let (found, right) = (read_whole(disk, &path)?.unwrap_or_default(), partition_metadata(expected));
    let wrong = found.iter().zip(right.as_bytes()).filter(|(a, b)| a != b).count();
    if found.len() == right.len() && (1..=2).contains(&wrong) {
        warn!("{} is damaged, {wrong} of its bytes are wrong: writing it anew", path.display());
        write_partition_metadata(disk, dir, expected)?;
        return Ok(Some(expected));
    }
    read_partition_metadata(disk, dir)
}

fn partition_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Durable once the folder is.
pub(super) fn write_partition_metadata(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    replace(disk, &dir.join(PARTITION_METADATA), partition_metadata(topic_id).as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{env::RealDisk, model::PartitionIndex};

    #[test]
    fn names_are_kafkas() {
        let partition = TopicPartition { topic: "a-b.c".into(), partition: PartitionIndex(3) };
        assert_eq!(parse_partition_dir("a-b.c-3"), Some(partition.clone()));
        for name in ["a", "-3", "a-", "a-+3", "a-3.0123-delete", "a-99999999999"] {
            assert_eq!(parse_partition_dir(name), None, "{name}");
        }
        let deleted = deleted_dir_name(&partition, Uuid([0xab; 16]));
        assert_eq!(deleted, "a-b.c-3.abababababababababababababababab-delete");
        assert!(is_deleted_dir(&deleted) && parse_partition_dir(&deleted).is_none());
        let long = TopicPartition { topic: "x".repeat(249).into(), partition: PartitionIndex(12) };
        assert_eq!(deleted_dir_name(&long, Uuid([0; 16])).len(), 255);
        let path = segment_file(Path::new("d"), Offset(42), LOG_SUFFIX);
        assert_eq!(path, Path::new("d/00000000000000000042.log"));
    }

    #[test]
    fn a_file_is_replaced_by_a_roll_and_a_flush_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| write_unflushed(&RealDisk, &path, b"one").unwrap()));
            scope.spawn(|| (0..50).for_each(|_| write_atomically(&RealDisk, &path, b"two").unwrap()));
        });
        assert!([b"one", b"two"].contains(&fs::read(&path).unwrap()[..].try_into().unwrap()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn reads_and_writes_by_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = open(&RealDisk, &path).unwrap();
        write_at(&*file, &path, b"head", b"tail", 2).unwrap();
        assert_eq!(read_bytes(&*file, &path, 2, 6).unwrap(), "headta");
        assert_eq!(read_bytes(&*file, &path, 6, 100).unwrap(), "tail", "short where the file ends");
        let mut buffer = [0; 16];
        assert_eq!(read_at(&*file, &path, &mut buffer, 4).unwrap(), 6);
        assert_eq!(&buffer[..6], b"adtail");
    }

    #[test]
    fn partition_metadata_round_trips_and_refuses_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_partition_metadata(&RealDisk, dir.path()).unwrap().is_none());
        let id = TopicId("j6oLhdE1Sa-SshIIKYs03A".parse().unwrap());
        write_partition_metadata(&RealDisk, dir.path(), id).unwrap();
        assert_eq!(read_partition_metadata(&RealDisk, dir.path()).unwrap(), Some(id));
        let text = fs::read_to_string(dir.path().join("partition.metadata")).unwrap();
        assert_eq!(text, "version: 0\ntopic_id: j6oLhdE1Sa-SshIIKYs03A");
        fs::write(dir.path().join("partition.metadata"), "version: 1\n").unwrap();
        assert!(matches!(read_partition_metadata(&RealDisk, dir.path()), Err(LogError::Corrupt { .. })));
    }
}
