//! Looking at a partition's files from outside, without opening the log: for `felice dump`, `felice verify` and the scrub.
//!
//! Everything here only reads, believes nothing, and goes on behind damage where it can. It works on the files of a broker
//! that runs: nothing is locked, and a file that grows meanwhile is read up to where it ended at first.

mod entries;
mod scan;

pub use entries::{AbortedTransaction, Entries};
pub use scan::{Region, Scanner};

pub use super::{
    epochs::EpochStart,
    index::{Entry, OffsetEntry, TimeEntry},
    producers::{Producer, WrittenBatch},
};
use super::{
    epochs::{self, LeaderEpochs},
    files::{self, LogError},
    producers::Producers,
    snapshot,
};
use crate::{
    env::{Disk, OpenMode},
    model::{Offset, ProducerId, Timestamp, TopicId},
};
use std::{path::Path, sync::Arc};

/// What a file of a partition is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    PartitionMetadata,
    LeaderEpochs,
    Log(Offset),
    OffsetIndex(Offset),
    TimeIndex(Offset),
    TransactionIndex(Offset),
    /// Producer state as of this offset.
    Snapshot(Offset),
    /// What compaction, a deletion or a replacement did not finish.
    Leftover,
}

impl FileKind {
    /// `None` where the name is none of a log's. What follows `.cleaned`, `.swap` and the like is a leftover, whatever it was.
    pub fn of(path: &Path) -> Option<FileKind> {
        let name = path.file_name()?.to_str()?;
        if [".cleaned", ".swap", ".deleted", ".tmp"].iter().any(|suffix| name.ends_with(suffix)) {
            return Some(FileKind::Leftover);
        }
        match name {
            files::PARTITION_METADATA => return Some(FileKind::PartitionMetadata),
            epochs::CHECKPOINT_FILE => return Some(FileKind::LeaderEpochs),
            _ => {}
        }
        let (stem, suffix) = name.split_once('.')?;
        let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
        let base = Offset(stem.parse().ok().filter(|_| digits)?);
        Some(match suffix {
            files::LOG_SUFFIX => FileKind::Log(base),
            files::INDEX_SUFFIX => FileKind::OffsetIndex(base),
            files::TIME_INDEX_SUFFIX => FileKind::TimeIndex(base),
            files::TXN_INDEX_SUFFIX => FileKind::TransactionIndex(base),
            files::SNAPSHOT_SUFFIX => FileKind::Snapshot(base),
            _ => return None,
        })
    }

    /// The offset in its name.
    pub fn base(self) -> Option<Offset> {
        match self {
            FileKind::Log(base)
            | FileKind::OffsetIndex(base)
            | FileKind::TimeIndex(base)
            | FileKind::TransactionIndex(base)
            | FileKind::Snapshot(base) => Some(base),
            FileKind::PartitionMetadata | FileKind::LeaderEpochs | FileKind::Leftover => None,
        }
    }
}

/// Opens a file that is only read.
fn open(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn crate::env::DiskFile>, LogError> {
    disk.open(path, OpenMode::ReadOnly).map_err(|error| LogError::io("open", path, error))
}

/// A `leader-epoch-checkpoint`: `None` where there is none.
///
/// # Errors
/// `Corrupt` where it is damaged.
pub fn read_epochs(disk: &dyn Disk, path: &Path) -> Result<Option<LeaderEpochs>, LogError> {
    let Some(content) = files::read_whole(disk, path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&content);
    match LeaderEpochs::from_checkpoint(&text) {
        // Opening a log forgives entries out of order, which are never written.
        Some(known) if known.to_checkpoint() == text => Ok(Some(known)),
        Some(_) => Err(LogError::corrupt(path, 0, "leader epochs that do not ascend")),
        None => Err(LogError::corrupt(path, 0, "not a checkpoint of leader epochs")),
    }
}

/// A producer snapshot's producers, by id: `None` where there is none.
///
/// # Errors
/// `Corrupt` where it is damaged.
pub fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<(ProducerId, Producer)>>, LogError> {
    let Some(content) = files::read_whole(disk, path)? else { return Ok(None) };
    let producers: Producers =
        snapshot::decode(&content, Timestamp::NONE).map_err(|error| LogError::corrupt(path, 0, error))?;
    Ok(Some(producers.sorted().into_iter().map(|(id, producer)| (id, producer.clone())).collect()))
}

/// The topic id in a `partition.metadata`: `None` where there is none.
///
/// # Errors
/// `Corrupt` where it is damaged.
pub fn read_topic_id(disk: &dyn Disk, path: &Path) -> Result<Option<TopicId>, LogError> {
    path.parent().map_or(Ok(None), |dir| files::read_partition_metadata(disk, dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        for (name, kind) in [
            ("00000000000000000042.log", Some(FileKind::Log(Offset(42)))),
            ("00000000000000000042.index", Some(FileKind::OffsetIndex(Offset(42)))),
            ("00000000000000000042.timeindex", Some(FileKind::TimeIndex(Offset(42)))),
            ("00000000000000000042.txnindex", Some(FileKind::TransactionIndex(Offset(42)))),
            ("00000000000000000042.snapshot", Some(FileKind::Snapshot(Offset(42)))),
            ("00000000000000000042.log.cleaned", Some(FileKind::Leftover)),
            ("00000000000000000042.timeindex.swap", Some(FileKind::Leftover)),
            ("00000000000000000042.log.deleted", Some(FileKind::Leftover)),
            ("leader-epoch-checkpoint", Some(FileKind::LeaderEpochs)),
            ("leader-epoch-checkpoint.flushed.tmp", Some(FileKind::Leftover)),
            ("partition.metadata", Some(FileKind::PartitionMetadata)),
            ("42.log", None),
            ("+0000000000000000042.log", None),
            ("99999999999999999999.log", None),
            ("notes.txt", None),
        ] {
            assert_eq!(FileKind::of(&Path::new("/d/orders-3").join(name)), kind, "{name}");
        }
    }
}
