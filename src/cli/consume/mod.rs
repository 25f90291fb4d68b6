//! `felice consume`: shows a topic's messages, alone or as a member of a group.

mod format;
mod member;
mod printer;
mod start;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use self::{
    format::Format,
    member::Place,
    printer::{Chunk, Printer},
    start::Start,
};
use super::{
    FORCED, Output, SOUND, Stop,
    connect::{Connect, Interrupts, block_on},
    exit, moment, tell,
};
use crate::{
    client::{Client, Fetched, Fetcher, FetcherSettings, Isolation, Protocol, offsets::OffsetSpec},
    model::{Offset, PartitionIndex, Timestamp, TopicPartition},
};

/// How often a member of a group commits what was shown.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// For how long a consumer that failed tries to leave its group.
const FAREWELL: Duration = Duration::from_secs(3);

/// What `felice consume` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Where to begin: a group goes on where it has committed; otherwise at the end, or with -e at the beginning. What is
shown is committed for the group every 5 seconds and at the end.

Formats (-f): %t topic, %p partition, %o offset, %T timestamp in ms, %D time, %k key, %s value, %h headers, %K and %S
the sizes of key and value (-1: null), %% a percent sign, \\n \\t \\0 \\\\. JSON has one object a line; bytes that are not
UTF-8 are in base64, under a name with _base64.

Exit codes:
  0  done, also after Ctrl-C
  1  a broker refused, or could not be reached
  2  the arguments make no sense

Examples:
  felice consume letters
  felice consume letters --from-beginning -n 10 -k :
  felice consume orders -e -o json | jq .value
  felice consume orders -p 3 --offset -5
  felice consume orders --from 1h -f '%D %p:%o %k=%s\\n'
  felice consume orders --group billing")]
pub struct Consume {
    /// What to read
    topic: String,

    /// Begin with the oldest message; in a group, where it has committed nothing
    #[arg(long, conflicts_with_all = ["offset", "from"])]
    from_beginning: bool,

    /// Begin at an offset: earliest, latest, N, or -N for N before the end
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, conflicts_with_all = ["from", "group"])]
    offset: Option<Start>,

    /// Begin with messages of a time, such as 2026-11-22T08:30:00Z (without Z: UTC), or of so long ago: 90m, PT1H30M
    #[arg(long, value_name = "TIME", conflicts_with = "group")]
    from: Option<String>,

    /// Only this partition. May be repeated
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "group")]
    partition: Vec<i32>,

    /// End after so many messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End where the topic ended when this began
    #[arg(short, long)]
    exit_at_end: bool,

    /// Share the topic with the other members of this group
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,

    /// How to be a member: the newer consumer protocol (KIP-848), or the classic one. Else what the broker has
    #[arg(long, value_name = "PROTOCOL", requires = "group")]
    group_protocol: Option<GroupProtocol>,

    /// Which messages of transactions are shown
    #[arg(long, value_name = "LEVEL", default_value = "read-committed")]
    isolation: IsolationLevel,

    /// Show keys too, with this text between key and value
    #[arg(short, long, value_name = "TEXT", conflicts_with = "format")]
    key_separator: Option<String>,

    /// What a null key or value is shown as
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    null: String,

    /// How a message is shown
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "output")]
    format: Option<String>,

    /// How messages are written; text is the value and a line's end
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GroupProtocol {
    Classic,
    Consumer,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IsolationLevel {
    ReadCommitted,
    ReadUncommitted,
}

/// Shows messages until it is told to stop.
pub fn consume(args: Consume) -> ExitCode {
    exit(block_on(run(args)))
}

impl Consume {
    /// Where one begins who is in no group.
    fn start(&self, now: Timestamp) -> Result<Start, Stop> {
        Ok(match (&self.offset, &self.from) {
            (Some(start), _) => *start,
            (None, Some(from)) => Start::At(
                moment::moment_or_span_ago(from, now).map_err(|wrong| Stop::Cannot(format!("--from: {wrong}")))?,
            ),
            (None, None) if self.from_beginning || self.exit_at_end => Start::Earliest,
            (None, None) => Start::Latest,
        })
    }
}

async fn run(args: Consume) -> Result<u8, Stop> {
    let client = args.connect.client()?;
    let mut interrupts = Interrupts::new()?;
    let format = Format::new(&args)?;
    let start = args.start(client.env().now())?;
    let isolation = match args.isolation {
        IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
    };
    let settings = FetcherSettings { isolation, ..FetcherSettings::default() };
    let fetcher = Fetcher::new(Arc::clone(&client), settings);
    let mut run = Run {
        printer: Printer::start(),
        client,
        fetcher,
        isolation,
        format,
        left: args.count.unwrap_or(u64::MAX),
        exit_at_end: args.exit_at_end,
        ends: None,
        place: None,
        commit_at: Instant::now() + COMMIT_EVERY,
    };
    let begun = tokio::select! {
        begun = run.begin(&args, start) => begun,
        () = interrupts.next() => return Ok(SOUND),
    };
    let ended = match begun {
        Ok(()) => tokio::select! {
            ended = run.consume() => ended,
            () = interrupts.next() => Ok(()),
        },
        Err(stop) => Err(stop),
    };
    // A group is left in any case, or others wait until it gives up on this member; but not for long where nobody answers.
    let patience = if matches!(ended, Err(Stop::Failed(_))) { FAREWELL } else { Duration::MAX };
    let left = tokio::select! {
        left = run.end() => left,
        () = sleep(patience) => Ok(()),
        () = interrupts.next() => std::process::exit(FORCED),
    };
    ended.and(left).map(|()| SOUND)
}

/// One consumption. Invariant: what was fetched is printed in that order, and what is committed was printed.
struct Run {
    client: Arc<Client>,
    fetcher: Fetcher,
    isolation: Isolation,
    format: Format,
    printer: Printer,
    /// Messages still to be shown.
    left: u64,
    exit_at_end: bool,
    /// Where to end, as far as known.
    ends: Option<BTreeMap<TopicPartition, Offset>>,
    place: Option<Place>,
    commit_at: Instant,
}

impl Run {
    async fn begin(&mut self, args: &Consume, start: Start) -> Result<(), Stop> {
        let topic = self.client.named_topics(&[&args.topic]).await?.into_iter().next();
        let topic = topic.ok_or_else(|| Stop::Failed(format!("topic {} does not exist", args.topic)))?;
        if let Some(group) = &args.group {
            let protocol = args.group_protocol.map(|protocol| match protocol {
                GroupProtocol::Classic => Protocol::Classic,
                GroupProtocol::Consumer => Protocol::Consumer,
            });
            let otherwise = if args.from_beginning { OffsetSpec::Earliest } else { OffsetSpec::Latest };
            self.place = Some(Place::join(&self.client, group, &args.topic, protocol, otherwise).await?);
            return Ok(());
        }
        let asked: BTreeSet<PartitionIndex> = args.partition.iter().copied().map(PartitionIndex).collect();
        let partitions: Vec<TopicPartition> =
            topic.topic_partitions().filter(|it| asked.is_empty() || asked.contains(&it.partition)).collect();
        if let Some(missing) = asked.iter().find(|index| !partitions.iter().any(|it| it.partition == **index)) {
            let count = topic.partitions.len();
            return Err(Stop::Cannot(format!(
                "topic {} has {count} partitions, and no partition {missing}",
                topic.name
            )));
        }
        for (partition, offset) in start.positions(&self.client, &partitions, self.isolation).await? {
            self.fetcher.seek(partition, offset);
        }
        self.ends_of(partitions).await
    }

    /// Where these partitions end now, if that is where to end.
    async fn ends_of(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<(), Stop> {
        if self.exit_at_end {
            let wanted = partitions.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
            let listed = self.client.list_offsets(&wanted, self.isolation).await?;
            let ends = listed.into_iter().filter_map(|(partition, end)| Some((partition, end.offset?)));
            self.ends.get_or_insert_default().extend(ends);
        }
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        let positions = self.fetcher.positions();
        self.left == 0
            || self.ends.as_ref().is_some_and(|ends| {
                !positions.is_empty()
                    && positions.iter().all(|(partition, at)| ends.get(partition).is_some_and(|end| at >= end))
            })
    }

    /// May be dropped at any time: what is committed afterwards is what was printed.
    async fn consume(&mut self) -> Result<(), Stop> {
        let mut ready: Option<Chunk> = None;
        while ready.is_some() || !self.is_at_end() {
            let due = self.place.as_ref().map(Place::due);
            let beats = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            // A poll that is dropped fetches again: only what is rare may come before it.
            let step = tokio::select! {
                biased;
                stopped = self.printer.ending.stopped() => return stopped,
                () = beats => Step::Beat,
                () = sleep_until(self.commit_at), if due.is_some() => Step::Commit,
                room = self.printer.input.room(), if ready.is_some() => {
                    room.give(ready.take());
                    Step::On
                }
                fetched = self.fetcher.poll(), if ready.is_none() => Step::Fetched(fetched),
            };
            match step {
                Step::On => {}
                Step::Beat => self.beat(&mut ready).await?,
                Step::Commit => {
                    self.commit_at = Instant::now() + COMMIT_EVERY;
                    if let Some(place) = &mut self.place {
                        place.commit(&self.printer.printed()).await?;
                    }
                }
                Step::Fetched(Ok(fetched)) => ready = self.format_all(fetched),
                Step::Fetched(Err(error)) if error.is_out_of_range() => {
                    tell(&format!("{error}: going on with what is there"));
                    start::back_into_range(&self.client, &mut self.fetcher, self.isolation).await?;
                }
                Step::Fetched(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn beat(&mut self, ready: &mut Option<Chunk>) -> Result<(), Stop> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let Some(change) = place.beat().await? else { return Ok(()) };
        // What was fetched is shown before its partition may become another's.
        if ready.is_some() {
            self.printer.input.room().await.give(ready.take());
        }
        self.printer.settle().await;
        self.printer.keep(place.owned());
        let printed = self.printer.printed();
        let added = place.follow(change, &mut self.fetcher, &printed).await?;
        self.ends_of(added).await
    }

    /// What was fetched as it is shown, up to the last message that is.
    fn format_all(&mut self, fetched: Vec<Fetched>) -> Option<Chunk> {
        let mut chunk = Chunk::default();
        for Fetched { partition, records, next } in fetched {
            let mut position = next;
            for record in &records {
                if self.left == 0 {
                    position = Offset(record.offset);
                    break;
                }
                self.left -= 1;
                self.format.write(&partition, record, &mut chunk.bytes);
            }
            chunk.positions.insert(partition, position);
        }
        (!chunk.positions.is_empty()).then_some(chunk)
    }

    async fn end(&mut self) -> Result<(), Stop> {
        let (printed, ended) = self.printer.finish().await;
        if let Some(place) = &mut self.place {
            place.leave(&printed).await?;
        }
        ended
    }
}

enum Step {
    On,
    Beat,
    Commit,
    Fetched(Result<Vec<Fetched>, crate::client::ClientError>),
}
