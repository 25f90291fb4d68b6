//! `felice verify`: whether the files of a data folder hold what was written to them.

use std::{
    cell::RefCell,
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::{CANNOT, DAMAGED, Out, Output, SOUND, Stop, data_dir, exit, text};
use crate::{
    env::{Glimpse, RealDisk},
    log::{
        is_deleted_dir, parse_partition_dir,
        verify::{Circumstances, Finding, Severity, Tally, Verifier},
    },
};

/// How often a terminal is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// How often whatever else reads standard error is.
const PROGRESS_SELDOM: Duration = Duration::from_secs(10);

/// What `felice verify` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  everything is sound
  1  something is damaged; each finding names file, byte and offset
  2  the arguments make no sense, or something cannot be read

Examples:
  felice verify
  felice verify --data-dir ./data orders
  felice verify --data-dir ./data orders-3 -o json")]
pub struct Verify {
    /// Topics, or partitions as TOPIC-PARTITION; all where none is named
    #[arg(value_name = "TOPIC[-PARTITION]")]
    names: Vec<String>,

    /// Where the data is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// How to write what is found
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// Reads every file, changes none; a broker may run meanwhile.
pub fn verify(args: Verify) -> ExitCode {
    exit(run(args))
}

fn run(args: Verify) -> Result<u8, Stop> {
    let data_dir = data_dir(args.data_dir)?;
    let mut out = Out::new(args.output);
    let glimpse = Glimpse::of(&data_dir).map_err(|error| Stop::Cannot(error.to_string()))?;
    if glimpse.identity.is_none() {
        return Err(Stop::Cannot(format!("{} has no meta.properties: it is not a data folder", data_dir.display())));
    }
    let circumstances = Circumstances { in_use: glimpse.in_use, clean: glimpse.clean_shutdown.is_some() };
    let partitions = chosen(&data_dir, &args.names)?;
    if out.format == Output::Text {
        let state = match circumstances {
            Circumstances { in_use: true, .. } => "a broker runs on it: what it writes meanwhile is not looked at",
            Circumstances { clean: true, .. } => "the last stop was clean",
            _ => "the last stop was not clean: the next start recovers",
        };
        let count = text::counted(partitions.len() as u64, "partition", "partitions");
        out.line(&format!("{}: {count}; {state}", data_dir.display()))?;
    }
    let mut stopped = None;
    let started = Instant::now();
    let progress = RefCell::new(Progress::new(started));
    let mut damaged_mark = 0;
    let tally = {
        let mut report = |finding: &Finding| {
            progress.borrow_mut().clear();
            if stopped.is_none()
                && let Err(stop) = tell(&mut out, finding)
            {
                stopped = Some(stop);
            }
        };
        if let Some(what) = glimpse.damaged_mark {
            damaged_mark = 1;
            let path = data_dir.join(".kafka_cleanshutdown");
            report(&Finding { severity: Severity::Damage, path, position: None, offset: None, what });
        }
        let mut far = |tally: &Tally| progress.borrow_mut().tell(tally);
        let disk = RealDisk;
        let mut verifier = Verifier::new(&disk, circumstances, &mut report, &mut far);
        for dir in &partitions {
            verifier.partition(dir);
        }
        verifier.tally()
    };
    progress.borrow_mut().clear();
    if let Some(stop) = stopped {
        return Err(stop);
    }
    let damaged = tally.damaged + damaged_mark;
    summary(&mut out, &tally, damaged, started.elapsed())?;
    out.flush()?;
    Ok(match (damaged, tally.unreadable) {
        (0, 0) => SOUND,
        (0, _) => CANNOT,
        _ => DAMAGED,
    })
}

/// The folders of the partitions that are asked for.
fn chosen(data_dir: &Path, names: &[String]) -> Result<Vec<PathBuf>, Stop> {
    let cannot = |error: io::Error| Stop::Cannot(format!("{}: {error}", data_dir.display()));
    let mut found = Vec::new();
    let mut seen = vec![false; names.len()];
    for entry in fs::read_dir(data_dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some(partition) = parse_partition_dir(&name).filter(|_| !is_deleted_dir(&name)) else { continue };
        let mut is_asked_for = names.is_empty();
        for (at, asked) in names.iter().enumerate() {
            if *asked == name || **asked == *partition.topic {
                is_asked_for = true;
                if let Some(seen) = seen.get_mut(at) {
                    *seen = true;
                }
            }
        }
        if is_asked_for {
            found.push((partition, entry.path()));
        }
    }
    if let Some((name, _)) = names.iter().zip(&seen).find(|(_, seen)| !**seen) {
        let name = text::printable(name.as_bytes(), text::SHOWN_MAX);
        return Err(Stop::Cannot(format!("{} has no topic or partition {name}", data_dir.display())));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn tell(out: &mut Out, finding: &Finding) -> Result<(), Stop> {
    let kind = match finding.severity {
        Severity::Note => "note",
        Severity::Unreadable => "unreadable",
        Severity::Damage => "damage",
    };
    match out.format {
        Output::Text => out.line(&format!("{kind}: {finding}"))?,
        Output::Json => {
            let line = json!({
                "kind": kind,
                "file": finding.path.display().to_string(),
                "position": finding.position,
                "offset": finding.offset.map(|offset| offset.0),
                "what": finding.what,
            });
            out.line(&line.to_string())?;
        }
    }
    // Who looks on sees it at once.
    out.flush()
}

fn summary(out: &mut Out, tally: &Tally, damaged: u64, elapsed: Duration) -> Result<(), Stop> {
    let rate = tally.bytes as f64 / elapsed.as_secs_f64().max(1e-3);
    match out.format {
        Output::Text => {
            let verdict = match (damaged, tally.unreadable) {
                (0, 0) => "sound".to_owned(),
                (0, unreadable) => format!("{unreadable} could not be read"),
                (damaged, 0) => format!("{damaged} DAMAGED"),
                (damaged, unreadable) => format!("{damaged} DAMAGED, {unreadable} could not be read"),
            };
            let notes = if tally.notes > 0 { format!(", {} notes", tally.notes) } else { String::new() };
            out.line(&format!(
                "{verdict}{notes}: {}, {}, {}, {}, {} in {:.1} s ({:.0} MB/s)",
                text::counted(tally.partitions, "partition", "partitions"),
                text::counted(tally.segments, "segment", "segments"),
                text::counted(tally.batches, "batch", "batches"),
                text::counted(tally.records, "record", "records"),
                text::size(tally.bytes),
                elapsed.as_secs_f64(),
                rate / 1e6,
            ))
        }
        Output::Json => {
            let line = json!({
                "kind": "summary",
                "sound": damaged == 0 && tally.unreadable == 0,
                "damaged": damaged,
                "unreadable": tally.unreadable,
                "notes": tally.notes,
                "partitions": tally.partitions,
                "segments": tally.segments,
                "batches": tally.batches,
                "records": tally.records,
                "bytes": tally.bytes,
                "seconds": elapsed.as_secs_f64(),
            });
            out.line(&line.to_string())
        }
    }
}

/// Tells on standard error how far it is: one line that is written over on a terminal, seldom elsewhere.
struct Progress {
    started: Instant,
    told: Instant,
    on_terminal: bool,
    shown: bool,
}

impl Progress {
    fn new(now: Instant) -> Progress {
        Progress { started: now, told: now, on_terminal: io::stderr().is_terminal(), shown: false }
    }

    fn tell(&mut self, tally: &Tally) {
        let pause = if self.on_terminal { PROGRESS_EVERY } else { PROGRESS_SELDOM };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let rate = tally.bytes as f64 / self.started.elapsed().as_secs_f64() / 1e6;
        let line = format!(
            "{}, {}, {rate:.0} MB/s",
            text::counted(tally.partitions, "partition", "partitions"),
            text::size(tally.bytes)
        );
        let (before, after) = if self.on_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(io::stderr(), "{before}{line}{after}");
        self.shown = self.on_terminal;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
