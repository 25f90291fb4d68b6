//! The command line: arguments, runtime, signals, exit codes.
//!
//! Exit codes of a broker: 0 after a clean stop, 1 where it could not start or not go on, 2 for arguments that make no sense, 130
//! where a second signal forced the end. The other commands say theirs in their help.

use std::{
    fs,
    future::Future,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use felice::{
    broker::Broker,
    cli,
    config::{self, BrokerConfig},
    env::{Inspected, SystemEnv, logging, process},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tracing::{debug, error, info, warn};

/// Settings are some kilobytes; what is larger was named by mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Of a file that is no properties file nearly every line is wrong.
const PROBLEMS_TOLD_MAX: usize = 20;

const FORCED: u8 = 130;

/// A second signal sooner than this is the same wish: timeout(1) signals its child and then the child's process group,
/// and so do others that pass Ctrl-C on.
const INSISTED_AFTER: Duration = Duration::from_secs(1);

/// A Kafka-compatible broker in one binary.
#[derive(Parser)]
#[command(name = "felice", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Command {
    /// Run a broker
    ///
    /// It needs no argument: data is kept in /var/lib/felice for root and in ~/.local/share/felice for others, and the
    /// broker listens on localhost:9092. Ctrl-C or SIGTERM stops it cleanly, a second one at once.
    Serve(Serve),

    /// List, create, describe and delete topics
    Topic(cli::Topic),

    /// Send each line of standard input as a message
    Produce(cli::Produce),

    /// Show a topic's messages
    ///
    /// From its end on, or from where you say, until Ctrl-C; as a member of a group, or alone.
    Consume(cli::Consume),

    /// List, describe and delete consumer groups, and reset their offsets
    Group(cli::Group),

    /// Show what is in a file of a data folder
    ///
    /// Logs, indexes, producer snapshots, checkpoints, or a whole partition; also while a broker runs.
    Dump(cli::Dump),

    /// Check every byte of a data folder's logs
    ///
    /// Batches, records, indexes, producer state and checkpoints; also while a broker runs. Changes nothing.
    Verify(cli::Verify),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  felice serve
  felice serve --data-dir ./data --listen localhost:0
  felice serve --http localhost:9644
  felice serve --listen :9092 --set auto.create.topics.enable=false
  felice serve --config server.properties --set node.id=7")]
struct Serve {
    /// Where data is kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where to listen, instead of localhost:9092; no host means all addresses, port 0 any free port. May be repeated
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<String>,

    /// Where to serve metrics and health by HTTP (/metrics, /readyz, /livez); off unless given. May be repeated
    #[arg(long, value_name = "HOST:PORT")]
    http: Vec<String>,

    /// Settings, under Kafka's names, from a properties file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// One setting; goes before the file. May be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// What to log: error, warn, info, debug or trace, by module too (info,felice::net=debug)
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: logging::Filter,

    /// How to log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    process::give_back_large_allocations();
    match Cli::parse().command {
        Command::Serve(args) => serve(args),
        Command::Topic(args) => cli::topic(args),
        Command::Produce(args) => cli::produce(args),
        Command::Consume(args) => cli::consume(args),
        Command::Group(args) => cli::group(args),
        Command::Dump(args) => cli::dump(args),
        Command::Verify(args) => cli::verify(args),
    }
}

fn serve(args: Serve) -> ExitCode {
    let format = match args.log_format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    logging::init(args.log_level.clone(), format);
    let (config, folder) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(problems) => {
            for problem in problems.iter().take(PROBLEMS_TOLD_MAX) {
                error!("{problem}");
            }
            if problems.len() > PROBLEMS_TOLD_MAX {
                error!("and {} more problems", problems.len() - PROBLEMS_TOLD_MAX);
            }
            return ExitCode::FAILURE;
        }
    };
    debug!("up to {:?} open files", process::raise_open_files());

    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        // Blocking work is disk work, of which a disk does only so much at once.
        .max_blocking_threads(64)
        .thread_name("felice")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(config, folder));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

/// Reads the settings and looks at the data folder; changes nothing.
fn prepare(args: &Serve) -> Result<(BrokerConfig, Inspected), Vec<String>> {
    let file = match &args.config {
        Some(path) => {
            let told = |error: io::Error| vec![format!("cannot read {}: {error}", path.display())];
            let metadata = fs::metadata(path).map_err(told)?;
            if metadata.len() > CONFIG_BYTES_MAX {
                return Err(vec![format!("{} is too large for a properties file", path.display())]);
            }
            Some((path.as_path(), fs::read(path).map_err(told)?))
        }
        None => None,
    };
    let given = config::Given {
        file: file.as_ref().map(|(path, contents)| (*path, contents.as_slice())),
        set: &args.set,
        data_dir: args.data_dir.as_deref(),
        listen: &args.listen,
        http: &args.http,
    };
    let (config, warnings) =
        config::load(&given).map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for warning in warnings {
        warn!("{warning}");
    }
    let Some(path) = config.data_dir.clone().or_else(process::default_data_dir) else {
        return Err(vec!["there is no home directory to keep data in: name a folder with --data-dir".to_owned()]);
    };
    let path =
        std::path::absolute(&path).map_err(|error| vec![format!("no data folder {}: {error}", path.display())])?;
    let folder = Inspected::new(&path, config.node_id).map_err(|error| vec![error.to_string()])?;
    Ok((config, folder))
}

async fn run(config: BrokerConfig, folder: Inspected) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            error!("cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(started) = signals.unless_stopped(Broker::start(config, folder, Arc::new(SystemEnv))).await else {
        info!("stopped before the start was complete");
        return ExitCode::SUCCESS;
    };
    let broker = match started {
        Ok(broker) => broker,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let code = tokio::select! {
        signal = signals.next() => {
            info!("{signal}: stopping");
            ExitCode::SUCCESS
        }
        error = broker.failed() => {
            error!("stopping, since without its metadata a broker cannot go on: {error}");
            ExitCode::FAILURE
        }
    };
    match signals.unless_insisted(broker.shutdown()).await {
        Some(()) => {
            info!("stopped");
            code
        }
        None => {
            warn!("stopped by force: the next start will recover");
            // Without waiting for whatever keeps the clean stop.
            std::process::exit(FORCED.into());
        }
    }
}

/// The signals that stop a broker: SIGINT and SIGTERM, and SIGHUP where a terminal that it was started on is closed.
/// A broker without a terminal ignores SIGHUP; it has nothing to read again.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    on_terminal: bool,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            on_terminal: io::stderr().is_terminal(),
        })
    }

    /// The name of the next signal to stop.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.hangup.recv() => {
                    if self.on_terminal {
                        return "SIGHUP";
                    }
                    info!("SIGHUP ignored: settings are read at the start only");
                }
            }
        }
    }

    /// What `work` comes to, or `None` where a signal comes that [`INSISTED_AFTER`] tells from an echo of the last one.
    async fn unless_insisted<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let insisted = async {
            let last = Instant::now();
            while last.elapsed() < INSISTED_AFTER {
                self.next().await;
            }
        };
        tokio::select! {
            done = work => Some(done),
            () = insisted => None,
        }
    }

    /// What `work` comes to, or `None` where a signal comes first.
    async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.next() => None,
        }
    }
}
