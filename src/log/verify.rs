//! Everything that can be said of a partition's files without opening the log: `felice verify`.
//!
//! A segment is walked once, its indexes beside it: each entry must lead to the batch that it names. What a file says of another
//! (leader epochs, topic id, producer state) must agree. Where a broker runs, the newest segment grows meanwhile, its indexes
//! trail it, and old segments may go: none of that is damage.

mod segment;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    epochs::{self, LeaderEpochs},
    files::{self, LogError},
    inspect::{self, FileKind},
};
use crate::{
    env::Disk,
    model::{LeaderEpoch, Offset, TopicId},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing, and nothing is wrong with what is in the log.
    Note,
    /// The disk would not tell.
    Unreadable,
    /// Bytes are not what was written.
    Damage,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub path: PathBuf,
    /// A byte of that file.
    pub position: Option<u64>,
    /// An offset of the partition.
    pub offset: Option<Offset>,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What is known of the folder that the partitions are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// A broker has it open.
    pub in_use: bool,
    /// The last stop was clean: everything must be whole to the last byte.
    pub clean: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub partitions: u64,
    pub segments: u64,
    pub batches: u64,
    pub records: u64,
    /// Of all files.
    pub bytes: u64,
    pub damaged: u64,
    pub unreadable: u64,
    pub notes: u64,
}

/// Looks at partitions, one after the other. Only reads.
pub struct Verifier<'a> {
    disk: &'a dyn Disk,
    circumstances: Circumstances,
    report: &'a mut dyn FnMut(&Finding),
    /// Called every so many bytes.
    progress: &'a mut dyn FnMut(&Tally),
    tally: Tally,
    /// Of the last batch of this partition so far.
    latest_epoch: LeaderEpoch,
    /// The partitions of a topic have one id.
    topics: BTreeMap<String, (TopicId, PathBuf)>,
}

impl<'a> Verifier<'a> {
    pub fn new(
        disk: &'a dyn Disk,
        circumstances: Circumstances,
        report: &'a mut dyn FnMut(&Finding),
        progress: &'a mut dyn FnMut(&Tally),
    ) -> Verifier<'a> {
        Verifier {
            disk,
            circumstances,
            report,
            progress,
            tally: Tally::default(),
            latest_epoch: LeaderEpoch::NONE,
            topics: BTreeMap::new(),
        }
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// All files of the partition in `dir`.
    pub fn partition(&mut self, dir: &Path) {
        self.tally.partitions += 1;
        self.latest_epoch = LeaderEpoch::NONE;
        let Some(mut paths) = self.list(dir) else { return };
        paths.sort_unstable();
        let known: Vec<(FileKind, &Path)> =
            paths.iter().filter_map(|path| Some((FileKind::of(path)?, path.as_path()))).collect();
        let logs: Vec<(Offset, &Path)> = known
            .iter()
            .filter_map(|(kind, path)| if let FileKind::Log(base) = kind { Some((*base, *path)) } else { None })
            .collect();
        self.topic_id(dir);
        for path in paths.iter().filter(|path| FileKind::of(path).is_none()) {
            let name = path.file_name().unwrap_or_default();
            if name == files::FLUSH_FAILED {
                self.note(path, "a flush failed here: the next start writes anew what it checks".to_owned());
            } else {
                self.note(path, "no file of a log".to_owned());
            }
        }
        for (kind, path) in &known {
            match kind {
                FileKind::Leftover => self.note(path, "left behind; the next start puts it away".to_owned()),
                FileKind::OffsetIndex(base) | FileKind::TimeIndex(base) | FileKind::TransactionIndex(base)
                    if logs.binary_search_by_key(base, |(base, _)| *base).is_err() =>
                {
                    if self.circumstances.clean {
                        self.damage(path, None, Some(*base), "the segment of this index is missing".to_owned());
                    } else {
                        self.note(path, "an index without its segment; the next start removes it".to_owned());
                    }
                }
                _ => {}
            }
        }
        let epochs = self.epochs(dir, !logs.is_empty());
        let mut end = None;
        for (at, (base, path)) in logs.iter().enumerate() {
            let next_base = logs.get(at + 1).map(|(next, _)| *next);
            end = self.segment(path, *base, next_base, epochs.as_ref()).or(end);
        }
        for (kind, path) in &known {
            if let FileKind::Snapshot(offset) = kind {
                self.snapshot(path, *offset, end);
            }
        }
        (self.progress)(&self.tally);
    }

    fn list(&mut self, dir: &Path) -> Option<Vec<PathBuf>> {
        match self.disk.list(dir) {
            Ok(paths) => Some(paths),
            Err(error) => {
                self.failed(dir, &LogError::io("list", dir, error));
                None
            }
        }
    }

    fn topic_id(&mut self, dir: &Path) {
        let path = dir.join(files::PARTITION_METADATA);
        let id = match inspect::read_topic_id(self.disk, &path) {
            Ok(Some(id)) => id,
            Ok(None) => return self.damage(&path, None, None, "it is missing".to_owned()),
            Err(error) => return self.failed(&path, &error),
        };
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(partition) = files::parse_partition_dir(name) else { return };
        let (first, from) = self.topics.entry(partition.topic.to_string()).or_insert_with(|| (id, path.clone()));
        if *first != id {
            let what = format!("topic id {id}, where {} has {first}", from.display());
            self.damage(&path, None, None, what);
        }
    }

    fn epochs(&mut self, dir: &Path, expected: bool) -> Option<LeaderEpochs> {
        let path = dir.join(epochs::CHECKPOINT_FILE);
        match inspect::read_epochs(self.disk, &path) {
            Ok(Some(epochs)) => return Some(epochs),
            Ok(None) if expected && self.circumstances.clean => {
                self.damage(&path, None, None, "it is missing".to_owned());
            }
            Ok(None) => {}
            // What a power loss leaves of a checkpoint that was not flushed is made anew by the next start.
            Err(LogError::Corrupt { why, .. }) if !self.circumstances.clean => {
                self.note(&path, format!("{why}; the next start makes it anew"));
            }
            Err(error) => self.failed(&path, &error),
        }
        None
    }

    fn snapshot(&mut self, path: &Path, offset: Offset, end: Option<Offset>) {
        let producers = match inspect::read_snapshot(self.disk, path) {
            Ok(Some(producers)) => producers,
            Ok(None) => return,
            // One that was made at a roll is not flushed.
            Err(LogError::Corrupt { why, .. }) if !self.circumstances.clean && !self.circumstances.in_use => {
                return self.note(path, format!("{why}; the next start makes do without"));
            }
            Err(error) => return self.failed(path, &error),
        };
        let is_beyond = end.is_some_and(|end| offset > end);
        if is_beyond && self.circumstances.clean && !self.circumstances.in_use {
            let what = format!("producer state as of offset {offset}, and the log ends before");
            self.damage(path, None, end, what);
        }
        for (id, producer) in producers {
            let last = producer.batches.last().map(|batch| batch.last_offset);
            if let Some(last) = last.filter(|last| *last >= offset) {
                self.damage(path, None, Some(last), format!("producer {id} has a batch that comes after the snapshot"));
            }
        }
    }

    fn note(&mut self, path: &Path, what: String) {
        self.tell(Finding { severity: Severity::Note, path: path.to_owned(), position: None, offset: None, what });
    }

    fn damage(&mut self, path: &Path, position: Option<u64>, offset: Option<Offset>, what: String) {
        self.tell(Finding { severity: Severity::Damage, path: path.to_owned(), position, offset, what });
    }

    /// What a reader failed with. A file that is gone by now was one of a broker that runs.
    fn failed(&mut self, path: &Path, error: &LogError) {
        match error {
            LogError::Corrupt { path, position, why } => self.damage(path, Some(*position), None, why.clone()),
            error if error.is_not_found() && self.circumstances.in_use => {}
            error => self.tell(Finding {
                severity: Severity::Unreadable,
                path: path.to_owned(),
                position: None,
                offset: None,
                what: error.to_string(),
            }),
        }
    }

    fn tell(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Note => self.tally.notes += 1,
            Severity::Unreadable => self.tally.unreadable += 1,
            Severity::Damage => self.tally.damaged += 1,
        }
        (self.report)(&finding);
    }
}
