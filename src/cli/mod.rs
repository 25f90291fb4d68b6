//! The commands of `felice` besides `serve`: those that look at files, and those that are Kafka clients.
//!
//! What a command finds goes to standard output, as text or as one JSON object a line; how it gets on goes to standard error.

mod connect;
mod consume;
mod dump;
mod group;
mod moment;
mod produce;
mod table;
mod text;
mod topic;
mod verify;

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::ValueEnum;

pub use self::{
    consume::{Consume, consume},
    dump::{Dump, dump},
    group::{Group, group},
    produce::{Produce, produce},
    topic::{Topic, topic},
    verify::{Verify, verify},
};
use crate::env::process;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// Something is damaged.
const DAMAGED: u8 = 1;
/// A broker refused, or could not be reached.
const FAILED: u8 = 1;
/// What was asked for makes no sense or cannot be read.
const CANNOT: u8 = 2;

/// A second signal forced the end.
const FORCED: i32 = 130;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Standard output. Whoever reads may have enough: then the command ends, and says nothing of it.
struct Out {
    stdout: BufWriter<StdoutLock<'static>>,
    format: Output,
}

/// Why a command came to no result.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("nobody reads on")]
    PipeClosed,
    /// What was asked for makes no sense, or something here cannot be read or written.
    #[error("{0}")]
    Cannot(String),
    /// A broker refused, or could not be reached.
    #[error("{0}")]
    Failed(String),
}

impl Out {
    fn new(format: Output) -> Out {
        Out { stdout: BufWriter::with_capacity(64 << 10, io::stdout().lock()), format }
    }

    fn line(&mut self, line: &str) -> Result<(), Stop> {
        writeln!(self.stdout, "{line}").map_err(Stop::from)
    }

    /// For people; nothing where objects are written, or where it has no rows.
    fn table(&mut self, table: &table::Table) -> Result<(), Stop> {
        if self.format == Output::Text && table.has_rows() {
            for line in table.lines() {
                self.line(&line)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.stdout.flush().map_err(Stop::from)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::PipeClosed,
            _ => Stop::Cannot(format!("cannot write: {error}")),
        }
    }
}

/// The exit code, after the one line about what went wrong.
fn exit(result: Result<u8, Stop>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Stop::PipeClosed) => ExitCode::from(SOUND),
        Err(Stop::Cannot(why)) => {
            tell(&why);
            ExitCode::from(CANNOT)
        }
        Err(Stop::Failed(why)) => {
            tell(&why);
            ExitCode::from(FAILED)
        }
    }
}

/// A line on standard error. Where that is gone too there is nobody to tell.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "felice: {}", text::one_line(line));
}

/// The folder that was named, or the one that a broker would use.
fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, Stop> {
    named.or_else(process::default_data_dir).ok_or_else(|| {
        Stop::Cannot("there is no home directory to look for data in: name a folder with --data-dir".to_owned())
    })
}
