//! `felice dump`: what is in the files of a partition, as text or as JSON lines.

mod batches;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{CANNOT, DAMAGED, Out, Output, SOUND, Stop, data_dir, exit, text};
use crate::{
    env::{Disk, Glimpse, RealDisk},
    log::{
        LogError,
        inspect::{self, AbortedTransaction, Entries, Entry, FileKind, OffsetEntry, TimeEntry},
        parse_partition_dir,
    },
    model::Offset,
};

/// What `felice dump` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  shown
  1  something is damaged; what could be read is shown
  2  the arguments make no sense, or something cannot be read

Examples:
  felice dump orders-3
  felice dump --deep --from 1000 --to 1010 orders-3
  felice dump ./data/orders-3/00000000000000000000.log
  felice dump ./data/orders-3/00000000000000000000.timeindex -o json")]
pub struct Dump {
    /// A file, a partition's folder, or a partition of the data folder as TOPIC-PARTITION
    #[arg(value_name = "FILE|TOPIC-PARTITION")]
    what: PathBuf,

    /// Where the data is, for TOPIC-PARTITION
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// How to write it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Only batches and index entries that reach this offset
    #[arg(long, value_name = "OFFSET", default_value = "0")]
    from: i64,

    /// Only batches and index entries that begin by this offset
    #[arg(long, value_name = "OFFSET")]
    to: Option<i64>,

    /// The records of each batch as well
    #[arg(long)]
    deep: bool,

    /// Keys, values and headers whole, however long
    #[arg(long)]
    full: bool,
}

/// Shows files, and changes none; a broker may run meanwhile.
pub fn dump(args: Dump) -> ExitCode {
    exit(run(args))
}

fn run(args: Dump) -> Result<u8, Stop> {
    let path = find(&args.what, args.data_dir.clone())?;
    let to = args.to.unwrap_or(i64::MAX);
    if args.from > to {
        return Err(Stop::Cannot(format!("no offset is from {} on and up to {to}", args.from)));
    }
    let mut dumper = Dumper {
        disk: &RealDisk,
        out: Out::new(args.output),
        from: args.from,
        to,
        deep: args.deep,
        shown_max: if args.full { usize::MAX } else { text::SHOWN_MAX },
        damaged: false,
        unreadable: false,
    };
    if path.is_dir() {
        dumper.folder(&path)?
    } else {
        dumper.file(&path, None)?
    }
    dumper.out.flush()?;
    Ok(match dumper {
        Dumper { damaged: true, .. } => DAMAGED,
        Dumper { unreadable: true, .. } => CANNOT,
        _ => SOUND,
    })
}

/// The file or folder that is meant.
fn find(what: &Path, named: Option<PathBuf>) -> Result<PathBuf, Stop> {
    if what.exists() {
        return Ok(what.to_owned());
    }
    let is_partition = what.to_str().and_then(parse_partition_dir).is_some();
    if !is_partition {
        return Err(Stop::Cannot(format!("{}: no such file, and no TOPIC-PARTITION", what.display())));
    }
    let path = data_dir(named)?.join(what);
    if path.is_dir() { Ok(path) } else { Err(Stop::Cannot(format!("{}: no such partition", path.display()))) }
}

struct Dumper<'a> {
    disk: &'a dyn Disk,
    out: Out,
    from: i64,
    to: i64,
    deep: bool,
    /// Characters of a key or value.
    shown_max: usize,
    damaged: bool,
    unreadable: bool,
}

impl Dumper<'_> {
    /// A partition's files: what is about the whole of it, then segment by segment.
    fn folder(&mut self, dir: &Path) -> Result<(), Stop> {
        let listed = self.disk.list(dir).map_err(|error| Stop::Cannot(format!("{}: {error}", dir.display())))?;
        let mut files: Vec<(Offset, FileKind, PathBuf)> = listed
            .into_iter()
            .filter_map(|path| {
                let kind = FileKind::of(&path)?;
                Some((kind.base().unwrap_or(Offset(-1)), kind, path))
            })
            .collect();
        if files.is_empty() {
            return Err(Stop::Cannot(format!("{} has no file of a log", dir.display())));
        }
        files.sort();
        let bases: Vec<Offset> =
            files.iter().filter(|(_, kind, _)| matches!(kind, FileKind::Log(_))).map(|(base, ..)| *base).collect();
        for (base, kind, path) in &files {
            let next = bases.get(bases.partition_point(|other| other <= base)).copied();
            let is_out_of_range = base.0 > self.to || next.is_some_and(|next| next.0 <= self.from);
            // Producer state is as of its name's offset, and belongs to no range.
            if *kind == FileKind::Leftover || (kind.base().is_some() && is_out_of_range) {
                continue;
            }
            self.file(path, next)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, next_base: Option<Offset>) -> Result<(), Stop> {
        let result = match FileKind::of(path) {
            Some(FileKind::Log(base)) => self.log(path, base, next_base),
            Some(FileKind::OffsetIndex(base)) => self.offset_index(path, base),
            Some(FileKind::TimeIndex(base)) => self.time_index(path, base),
            Some(FileKind::TransactionIndex(_)) => self.transaction_index(path),
            Some(FileKind::Snapshot(offset)) => self.snapshot(path, offset),
            Some(FileKind::LeaderEpochs) => self.epochs(path),
            Some(FileKind::PartitionMetadata) => self.partition_metadata(path),
            _ if path.file_name().is_some_and(|name| name == "meta.properties") => return self.meta(path),
            Some(FileKind::Leftover) | None => {
                return Err(Stop::Cannot(format!("{}: not a kind of file that is known", path.display())));
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Stop(stop)) => Err(stop),
            Err(Failure::Log(LogError::Corrupt { path, position, why })) => self.damage(&path, position, None, &why),
            Err(Failure::Log(error)) => {
                self.unreadable = true;
                self.problem("unreadable", path, None, None, &error.to_string())
            }
        }
    }

    fn offset_index(&mut self, path: &Path, base: Offset) -> Result<(), Failure> {
        let mut last = None;
        self.entries(path, "offset  batch at byte", |entry: &OffsetEntry| {
            let offset = base.plus(i64::from(entry.relative_offset)).0;
            let wrong = ascends(&mut last, entry.key());
            let json = json!({ "kind": "offset_index_entry", "offset": offset, "batch_position": entry.position });
            (offset, format!("{offset}  {}", entry.position), json, wrong)
        })
    }

    fn time_index(&mut self, path: &Path, base: Offset) -> Result<(), Failure> {
        let mut last = None;
        self.entries(path, "largest timestamp  up to offset", |entry: &TimeEntry| {
            let offset = base.plus(i64::from(entry.relative_offset)).0;
            let wrong = ascends(&mut last, entry.key());
            let json = json!({ "kind": "time_index_entry", "timestamp": entry.timestamp, "offset": offset });
            (offset, format!("{}  {offset}", text::time(entry.timestamp)), json, wrong)
        })
    }

    fn transaction_index(&mut self, path: &Path) -> Result<(), Failure> {
        let mut before = None;
        let head = "producer  aborted from  to  last stable offset";
        self.entries(path, head, |entry: &AbortedTransaction| {
            let AbortedTransaction { version, producer_id, first_offset, last_offset, last_stable_offset } = *entry;
            let wrong = match ascends(&mut before, entry.key()) {
                None if version != 0 => Some(format!("version {version}")),
                wrong => wrong,
            };
            let json = json!({
                "kind": "aborted_transaction",
                "version": version,
                "producer_id": producer_id.0,
                "first_offset": first_offset.0,
                "last_offset": last_offset.0,
                "last_stable_offset": last_stable_offset.0,
            });
            let line = format!("{producer_id}  {first_offset}  {last_offset}  {last_stable_offset}");
            (last_offset.0, line, json, wrong)
        })
    }

    /// The entries of an index: their offset, how they read, and what is wrong with each.
    fn entries<E: Entry>(
        &mut self,
        path: &Path,
        head: &str,
        mut show: impl FnMut(&E) -> (i64, String, Value, Option<String>),
    ) -> Result<(), Failure> {
        let mut entries = Entries::<E>::open(self.disk, path)?;
        self.title(path, entries.bytes())?;
        if self.out.format == Output::Text {
            self.out.line(head)?;
        }
        while let Some((position, entry)) = entries.take()? {
            let (offset, line, json, wrong) = show(&entry);
            if (self.from..=self.to).contains(&offset) {
                self.show(path, position, &line, json)?;
            }
            if let Some(wrong) = wrong {
                self.damage(path, position, Some(offset), &wrong)?;
            }
        }
        if entries.odd_bytes() > 0 {
            let what = format!("{} bytes behind the last whole entry", entries.odd_bytes());
            self.damage(path, entries.bytes() - entries.odd_bytes(), None, &what)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, path: &Path, offset: Offset) -> Result<(), Failure> {
        let producers = inspect::read_snapshot(self.disk, path)?.unwrap_or_default();
        self.title(path, std::fs::metadata(path).map_or(0, |metadata| metadata.len()))?;
        if self.out.format == Output::Text {
            self.out.line(&format!("producer state as of offset {offset}"))?;
            self.out.line(
                "producer  epoch  batches (sequences @ offsets)  last timestamp  coordinator  transaction from",
            )?;
        }
        for (id, producer) in producers {
            let batches: Vec<_> = producer
                .batches
                .iter()
                .map(|batch| (batch.first_sequence(), batch.last_sequence, batch.base_offset(), batch.last_offset))
                .collect();
            let told: Vec<String> = batches.iter().map(|(a, b, c, d)| format!("{a}..{b} @ {c}..{d}")).collect();
            let transaction = producer.transaction_start.map_or("-".to_owned(), |offset| offset.to_string());
            let line = format!(
                "{id}  {}  {}  {}  {}  {transaction}",
                producer.epoch,
                if told.is_empty() { "-".to_owned() } else { told.join(", ") },
                text::time(producer.timestamp.0),
                producer.coordinator_epoch,
            );
            let batches: Vec<Value> = batches
                .iter()
                .map(|(first, last, base, end)| {
                    json!({ "first_sequence": first, "last_sequence": last, "base_offset": base.0, "last_offset": end.0 })
                })
                .collect();
            let json = json!({
                "kind": "producer",
                "producer_id": id.0,
                "producer_epoch": producer.epoch.0,
                "batches": batches,
                "last_timestamp": producer.timestamp.0,
                "coordinator_epoch": producer.coordinator_epoch,
                "transaction_first_offset": producer.transaction_start.map(|offset| offset.0),
            });
            self.show_line(path, &line, json)?;
        }
        Ok(())
    }

    fn epochs(&mut self, path: &Path) -> Result<(), Failure> {
        let epochs = inspect::read_epochs(self.disk, path)?.unwrap_or_default();
        self.title(path, std::fs::metadata(path).map_or(0, |metadata| metadata.len()))?;
        if self.out.format == Output::Text {
            self.out.line("leader epoch  from offset")?;
        }
        for entry in epochs.entries() {
            let json = json!({ "kind": "leader_epoch", "epoch": entry.epoch.0, "start_offset": entry.start.0 });
            self.show_line(path, &format!("{}  {}", entry.epoch, entry.start), json)?;
        }
        Ok(())
    }

    fn partition_metadata(&mut self, path: &Path) -> Result<(), Failure> {
        let id = inspect::read_topic_id(self.disk, path)?;
        self.title(path, std::fs::metadata(path).map_or(0, |metadata| metadata.len()))?;
        if let Some(id) = id {
            let json = json!({ "kind": "partition_metadata", "topic_id": id.to_string() });
            self.show_line(path, &format!("topic id {id}"), json)?;
        }
        Ok(())
    }

    /// `meta.properties` of a data folder.
    fn meta(&mut self, path: &Path) -> Result<(), Stop> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let glimpse = match Glimpse::of(dir) {
            Ok(glimpse) => glimpse,
            Err(error) => return self.damage(path, 0, None, &error.to_string()),
        };
        let Some((node_id, cluster_id)) = glimpse.identity else { return Ok(()) };
        self.title(path, std::fs::metadata(path).map_or(0, |metadata| metadata.len()))?;
        let json = json!({
            "kind": "meta_properties",
            "node_id": node_id.0,
            "cluster_id": cluster_id,
            "in_use": glimpse.in_use,
            "clean_shutdown": glimpse.clean_shutdown.is_some(),
        });
        let state = match (glimpse.in_use, glimpse.clean_shutdown) {
            (true, _) => "a broker runs on it",
            (false, Some(_)) => "the last stop was clean",
            (false, None) => "the last stop was not clean",
        };
        self.show_line(path, &format!("node {node_id} of cluster {cluster_id}; {state}"), json)
    }

    /// A line about the file as a whole; JSON lines say themselves of which file they are.
    fn title(&mut self, path: &Path, size: u64) -> Result<(), Stop> {
        match self.out.format {
            Output::Text => self.out.line(&format!("# {} ({} bytes)", path.display(), text::grouped(size))),
            Output::Json => Ok(()),
        }
    }

    fn show(&mut self, path: &Path, position: u64, line: &str, mut json: Value) -> Result<(), Stop> {
        if let Value::Object(fields) = &mut json {
            fields.insert("position".to_owned(), position.into());
        }
        self.show_line(path, line, json)
    }

    fn show_line(&mut self, path: &Path, line: &str, mut json: Value) -> Result<(), Stop> {
        match self.out.format {
            Output::Text => self.out.line(line),
            Output::Json => {
                if let Value::Object(fields) = &mut json {
                    fields.insert("file".to_owned(), path.display().to_string().into());
                }
                self.out.line(&json.to_string())
            }
        }
    }

    fn damage(&mut self, path: &Path, position: u64, offset: Option<i64>, what: &str) -> Result<(), Stop> {
        self.damaged = true;
        self.problem("damage", path, Some(position), offset, what)
    }

    fn problem(
        &mut self,
        kind: &str,
        path: &Path,
        position: Option<u64>,
        offset: Option<i64>,
        what: &str,
    ) -> Result<(), Stop> {
        let at = position.map(|position| format!(" at byte {position}")).unwrap_or_default();
        let of = offset.map(|offset| format!(" (offset {offset})")).unwrap_or_default();
        let line = format!("!! {kind}: {}{at}{of}: {what}", path.display());
        let json = json!({ "kind": kind, "position": position, "offset": offset, "what": what });
        self.show_line(path, &line, json)
    }
}

/// What an index entry's key says where it does not exceed the one before.
fn ascends<K: Ord>(last: &mut Option<K>, key: K) -> Option<String> {
    let ascends = last.as_ref().is_none_or(|last| *last < key);
    *last = Some(key);
    (!ascends).then(|| "the entries do not ascend".to_owned())
}

/// A file could not be shown to its end.
enum Failure {
    Stop(Stop),
    Log(LogError),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        Failure::Stop(stop)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        Failure::Log(error)
    }
}
