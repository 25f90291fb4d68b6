//! `felice group reset-offsets`: moves what a group has committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use felice_protocol::error::ErrorCode;
use serde_json::json;

use super::{
    super::{Out, Output, SOUND, Stop, moment, table::Table, tell},
    plan::{self, Known, Moved, Scope, Target},
};
use crate::{
    client::{
        Client, Isolation,
        groups::{Committed, Committer},
        offsets::{Listed, OffsetSpec},
    },
    model::{Offset, TopicPartition},
};

/// A file of offsets of a hundred thousand partitions has some megabytes.
const FILE_MAX: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(
    override_usage = "felice group reset-offsets <GROUP> <WHERE> [--topic <TOPIC>]... [--all-topics] [--execute]"
)]
pub(super) struct Reset {
    /// Which group
    #[arg(value_name = "GROUP")]
    group: String,

    #[command(flatten)]
    target: Where,

    /// A topic, or some of its partitions as TOPIC:0,3-5. May be repeated
    #[arg(long, value_name = "TOPIC", conflicts_with = "all_topics")]
    topic: Vec<Scope>,

    /// All topics of which the group has committed something
    #[arg(long)]
    all_topics: bool,

    /// Do it, instead of only showing it
    #[arg(long)]
    execute: bool,

    /// Write topic,partition,offset lines, for --from-file
    #[arg(long, conflicts_with = "output")]
    export: bool,

    /// How to write it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// Where to; one of them.
#[derive(Debug, Args)]
#[group(id = "WHERE", required = true, multiple = false)]
struct Where {
    /// To the oldest message
    #[arg(long)]
    to_earliest: bool,

    /// To the end
    #[arg(long)]
    to_latest: bool,

    /// To where they are
    #[arg(long)]
    to_current: bool,

    /// To this offset, or the nearest that a partition has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,

    /// To the first message of this time or later: 2026-11-22T08:30:00Z (without Z: UTC)
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,

    /// To the first message that is not older than this: PT1H30M, or 90m
    #[arg(long, value_name = "DURATION")]
    by_duration: Option<String>,

    /// By so many messages; back where negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,

    /// To what a file has: CSV as --export writes it, or JSON
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// A partition with what would become of it.
struct Row {
    partition: TopicPartition,
    committed: Option<Committed>,
    end: Offset,
    moved: Moved,
}

pub(super) async fn reset(client: &Client, args: &Reset) -> Result<u8, Stop> {
    let target = target(client, args)?;
    if args.topic.is_empty() && !args.all_topics && !matches!(target, Target::Each(_)) {
        return Err(Stop::Cannot("say of which topics: --topic TOPIC, or --all-topics".to_owned()));
    }
    must_be_inactive(client, &args.group).await?;
    let committed = client.committed(&args.group, None).await?;
    let partitions = partitions(client, args, &target, &committed).await?;
    let rows = rows(client, &target, &partitions, committed).await?;
    for row in rows.iter().filter(|row| row.moved.clamped) {
        tell(&format!("{}: takes {}, the nearest offset that it has", row.partition, row.moved.to));
    }
    if args.execute && !rows.is_empty() {
        let offsets = rows.iter().map(|row| (row.partition.clone(), (row.moved.to, epoch_of(row)))).collect();
        client.commit(&args.group, &Committer::outsider(), &offsets).await?;
    }
    show(args, &rows)?;
    if rows.is_empty() {
        tell(&format!("group {} has nothing there to reset", args.group));
    } else if !args.execute && !args.export {
        tell("nothing is changed yet: add --execute");
    }
    Ok(SOUND)
}

/// That of what was committed is true of that offset only.
fn epoch_of(row: &Row) -> crate::model::LeaderEpoch {
    match &row.committed {
        Some(committed) if committed.offset == row.moved.to => committed.leader_epoch,
        _ => crate::model::LeaderEpoch::NONE,
    }
}

fn target(client: &Client, args: &Reset) -> Result<Target, Stop> {
    let to = &args.target;
    let wrong = |option: &str| {
        let option = option.to_owned();
        move |wrong: String| Stop::Cannot(format!("{option}: {wrong}"))
    };
    Ok(if to.to_earliest {
        Target::Earliest
    } else if to.to_latest {
        Target::Latest
    } else if let Some(offset) = to.to_offset {
        Target::Offset(Offset(offset))
    } else if let Some(time) = &to.to_datetime {
        Target::Time(moment::moment(time).map_err(wrong("--to-datetime"))?)
    } else if let Some(span) = &to.by_duration {
        let span = moment::span(span).map_err(wrong("--by-duration"))?;
        Target::Time(moment::ago(client.env().now(), span))
    } else if let Some(count) = to.shift_by {
        Target::ShiftBy(count)
    } else if let Some(path) = &to.from_file {
        Target::Each(plan::read(&contents(path)?, &args.group).map_err(wrong(&path.display().to_string()))?)
    } else {
        Target::Current
    })
}

fn contents(path: &Path) -> Result<String, Stop> {
    let cannot = |why: String| Stop::Cannot(format!("{}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > FILE_MAX {
        return Err(cannot(format!("larger than {FILE_MAX} bytes")));
    }
    fs::read_to_string(path).map_err(|error| cannot(error.to_string()))
}

/// Members would go on from where they are and commit over it. The coordinator refuses as well; this says it before any work.
async fn must_be_inactive(client: &Client, name: &str) -> Result<(), Stop> {
    match client.group(name).await {
        Ok(group) if group.members.is_empty() => Ok(()),
        Ok(group) => Err(Stop::Failed(format!(
            "group {name} is in use (state {}, {}): offsets can be reset once its members have left",
            group.state,
            super::super::text::counted(group.members.len() as u64, "member", "members"),
        ))),
        // Offsets may be given to a group before its first member comes.
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The partitions that are meant, of topics that exist.
async fn partitions(
    client: &Client,
    args: &Reset,
    target: &Target,
    committed: &BTreeMap<TopicPartition, Committed>,
) -> Result<BTreeSet<TopicPartition>, Stop> {
    let mut meant = BTreeSet::new();
    if !args.topic.is_empty() {
        let names: BTreeSet<&str> = args.topic.iter().map(|scope| scope.topic.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let topics = client.named_topics(&names).await?;
        for scope in &args.topic {
            let Some(topic) = topics.iter().find(|topic| *topic.name == scope.topic) else { continue };
            let count = topic.partitions.len();
            if let Some(missing) =
                scope.partitions.iter().find(|index| !topic.partitions.iter().any(|it| it.index == **index))
            {
                return Err(Stop::Cannot(format!("topic {} has {count} partitions, and no {missing}", topic.name)));
            }
            let is_meant =
                |it: &TopicPartition| scope.partitions.is_empty() || scope.partitions.contains(&it.partition);
            meant.extend(topic.topic_partitions().filter(is_meant));
        }
    } else if args.all_topics {
        meant.extend(committed.keys().cloned());
    }
    if let Target::Each(offsets) = target {
        if args.topic.is_empty() && !args.all_topics {
            meant.extend(offsets.keys().cloned());
        } else {
            meant.retain(|partition| offsets.contains_key(partition));
        }
    }
    let names: BTreeSet<&str> = meant.iter().map(|partition| &*partition.topic).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return Ok(meant);
    }
    let cluster = client.cluster(Some(&names)).await?;
    let there: BTreeSet<TopicPartition> = cluster.topics.iter().flat_map(|topic| topic.topic_partitions()).collect();
    for gone in meant.difference(&there) {
        tell(&format!("{gone} does not exist (any more): left as it is"));
    }
    Ok(meant.intersection(&there).cloned().collect())
}

async fn rows(
    client: &Client,
    target: &Target,
    partitions: &BTreeSet<TopicPartition>,
    mut committed: BTreeMap<TopicPartition, Committed>,
) -> Result<Vec<Row>, Stop> {
    let list = async |spec: OffsetSpec| {
        let wanted = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        client.list_offsets(&wanted, Isolation::ReadUncommitted).await
    };
    let (starts, ends) = (list(OffsetSpec::Earliest).await?, list(OffsetSpec::Latest).await?);
    let sought = match target {
        Target::Time(time) => list(OffsetSpec::At(*time)).await?,
        _ => BTreeMap::new(),
    };
    let offset = |of: &BTreeMap<TopicPartition, Listed>, at: &TopicPartition| of.get(at).and_then(|it| it.offset);
    let mut rows = Vec::new();
    for partition in partitions {
        let (Some(start), Some(end)) = (offset(&starts, partition), offset(&ends, partition)) else { continue };
        let committed = committed.remove(partition);
        let known = Known {
            start,
            end: end.max(start),
            committed: committed.as_ref().map(|it| it.offset),
            sought: offset(&sought, partition),
        };
        match target.of(partition, &known) {
            Some(moved) => rows.push(Row { partition: partition.clone(), committed, end, moved }),
            None => tell(&format!("{partition}: nothing is committed to go by, left as it is")),
        }
    }
    Ok(rows)
}

fn show(args: &Reset, rows: &[Row]) -> Result<(), Stop> {
    let mut out = Out::new(args.output);
    let mut table = Table::new(&["TOPIC", "PARTITION#", "COMMITTED#", "NEW#", "END#", "LAG#"]);
    for row in rows {
        let (partition, to) = (&row.partition, row.moved.to.0);
        let committed = row.committed.as_ref().map(|it| it.offset.0);
        if args.export {
            out.line(&format!("{},{},{to}", partition.topic, partition.partition))?;
            continue;
        }
        match out.format {
            Output::Text => table.row([
                partition.topic.to_string(),
                partition.partition.to_string(),
                committed.map_or_else(String::new, |offset| offset.to_string()),
                to.to_string(),
                row.end.to_string(),
                (row.end.0 - to).to_string(),
            ]),
            Output::Json => out.line(
                &json!({
                    "topic": &*partition.topic,
                    "partition": partition.partition.0,
                    "committed_offset": committed,
                    "offset": to,
                    "end_offset": row.end.0,
                    "executed": args.execute,
                })
                .to_string(),
            )?,
        }
    }
    out.table(&table)?;
    out.flush()
}
