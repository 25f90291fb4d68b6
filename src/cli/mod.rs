//! The commands of `felice` besides `serve`.
//!
//! What a command finds goes to standard output, as text or as one JSON object a line; how it gets on goes to standard error.

mod dump;
mod text;
mod verify;

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::ValueEnum;

pub use self::{
    dump::{Dump, dump},
    verify::{Verify, verify},
};
use crate::env::process;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// Something is damaged.
const DAMAGED: u8 = 1;
/// What was asked for makes no sense or cannot be read.
const CANNOT: u8 = 2;

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
    #[error("{0}")]
    Cannot(String),
}

impl Out {
    fn new(format: Output) -> Out {
        Out { stdout: BufWriter::with_capacity(64 << 10, io::stdout().lock()), format }
    }

    fn line(&mut self, line: &str) -> Result<(), Stop> {
        writeln!(self.stdout, "{line}").map_err(Stop::from)
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
            // Where standard error is gone too there is nobody to tell.
            let _ = writeln!(io::stderr(), "felice: {why}");
            ExitCode::from(CANNOT)
        }
    }
}

/// The folder that was named, or the one that a broker would use.
fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, Stop> {
    named.or_else(process::default_data_dir).ok_or_else(|| {
        Stop::Cannot("there is no home directory to look for data in: name a folder with --data-dir".to_owned())
    })
}
