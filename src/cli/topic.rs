//! `felice topic`: lists, creates, describes and deletes topics.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Out, Output, SOUND, Stop,
    connect::{Connect, refused},
    table::Table,
    text,
};
use crate::{
    client::{
        Client, ClientError, Isolation, Topic as Found,
        offsets::{Listed, OffsetSpec},
        topics::{NewTopic, Setting},
    },
    model::{NodeId, TopicPartition},
};

/// What `felice topic` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  done
  1  a broker refused, or could not be reached
  2  the arguments make no sense

Examples:
  felice topic create orders --partitions 12 --config retention.ms=86400000
  felice topic list
  felice topic describe orders -o json
  felice topic delete orders -b broker-1:9092")]
pub struct Topic {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All topics
    List(List),
    /// Make topics
    Create(Create),
    /// Partitions, replicas, offsets and settings of topics
    Describe(Describe),
    /// Delete topics and what is in them
    Delete(Delete),
}

#[derive(Debug, Args)]
struct List {
    /// Without topics that brokers keep for themselves, such as __consumer_offsets
    #[arg(long)]
    exclude_internal: bool,

    /// How to write them
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
struct Create {
    /// Their names
    #[arg(value_name = "TOPIC", required = true)]
    names: Vec<String>,

    /// How many partitions; else what the broker has as num.partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// How many replicas of each; else what the broker has as default.replication.factor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,

    /// A setting of the topic, such as cleanup.policy=compact. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    config: Vec<(String, String)>,

    /// A topic that exists already is fine
    #[arg(long)]
    if_not_exists: bool,

    /// Only ask whether it would be made
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Describe {
    /// Their names; all where none is named
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,

    /// How to write it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
struct Delete {
    /// Their names
    #[arg(value_name = "TOPIC", required = true)]
    names: Vec<String>,

    /// A topic that does not exist is fine
    #[arg(long)]
    if_exists: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write name=value".to_owned()),
    }
}

/// Looks at topics, or changes which there are.
pub fn topic(args: Topic) -> ExitCode {
    args.connect.run(async |client| match &args.command {
        Command::List(list) => self::list(client, list).await,
        Command::Create(create) => self::create(client, create).await,
        Command::Describe(describe) => self::describe(client, describe).await,
        Command::Delete(delete) => self::delete(client, delete).await,
    })
}

async fn list(client: &Client, args: &List) -> Result<u8, Stop> {
    let mut out = Out::new(args.output);
    let topics = client.topics().await?;
    let mut table = Table::new(&["TOPIC", "PARTITIONS#", "REPLICAS#", "ID"]);
    for topic in topics.iter().filter(|topic| !(args.exclude_internal && topic.is_internal)) {
        let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
        match out.format {
            Output::Text => table.row([
                topic.name.to_string(),
                topic.partitions.len().to_string(),
                replicas.to_string(),
                topic.id.to_string(),
            ]),
            Output::Json => out.line(
                &json!({
                    "topic": &*topic.name,
                    "id": topic.id.to_string(),
                    "partitions": topic.partitions.len(),
                    "replication_factor": replicas,
                    "internal": topic.is_internal,
                })
                .to_string(),
            )?,
        }
    }
    out.table(&table)?;
    out.flush()?;
    Ok(SOUND)
}

async fn create(client: &Client, args: &Create) -> Result<u8, Stop> {
    let mut out = Out::new(Output::Text);
    let mut code = SOUND;
    for name in &args.names {
        let topic = NewTopic {
            name: name.clone(),
            partitions: args.partitions,
            replication_factor: args.replication_factor,
            configs: args.config.clone(),
        };
        match client.create_topic(&topic, args.dry_run).await {
            Ok((partitions, replicas)) => {
                let done = if args.dry_run { "would be created" } else { "created" };
                let partitions = u64::try_from(partitions).ok().map(|n| text::counted(n, "partition", "partitions"));
                let replicas = u64::try_from(replicas).ok().map(|n| text::counted(n, "replica", "replicas"));
                let parts: Vec<String> = partitions.into_iter().chain(replicas).collect();
                let parts = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
                out.line(&format!("{done} topic {name}{parts}"))?;
            }
            Err(error)
                if args.if_not_exists
                    && error.code() == Some(felice_protocol::error::ErrorCode::TopicAlreadyExists) =>
            {
                out.line(&format!("topic {name} exists already"))?;
            }
            Err(error) => code = refused(error)?,
        }
    }
    out.flush()?;
    Ok(code)
}

async fn delete(client: &Client, args: &Delete) -> Result<u8, Stop> {
    let mut out = Out::new(Output::Text);
    let mut code = SOUND;
    for name in &args.names {
        match client.delete_topic(name).await {
            Ok(()) => out.line(&format!("deleted topic {name}"))?,
            Err(error)
                if args.if_exists
                    && error.code() == Some(felice_protocol::error::ErrorCode::UnknownTopicOrPartition) =>
            {
                out.line(&format!("topic {name} does not exist"))?;
            }
            Err(error) => code = refused(error)?,
        }
    }
    out.flush()?;
    Ok(code)
}

async fn describe(client: &Client, args: &Describe) -> Result<u8, Stop> {
    let topics = if args.names.is_empty() {
        client.topics().await?
    } else {
        let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
        client.named_topics(&names).await?
    };
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    let settings = if names.is_empty() { BTreeMap::new() } else { client.topic_settings(&names).await? };
    let offsets = Offsets::of(client, &topics).await?;
    let mut out = Out::new(args.output);
    for (at, topic) in topics.iter().enumerate() {
        let own: Vec<&Setting> =
            settings.get(&*topic.name).into_iter().flatten().filter(|setting| setting.is_own).collect();
        match out.format {
            Output::Json => out.line(&described_json(topic, &own, &offsets).to_string())?,
            Output::Text => {
                if at > 0 {
                    out.line("")?;
                }
                describe_text(&mut out, topic, &own, &offsets)?;
            }
        }
    }
    out.flush()?;
    Ok(SOUND)
}

/// Where partitions begin and end, of those that have a leader.
struct Offsets {
    earliest: BTreeMap<TopicPartition, Listed>,
    latest: BTreeMap<TopicPartition, Listed>,
}

impl Offsets {
    async fn of(client: &Client, topics: &[Found]) -> Result<Offsets, ClientError> {
        let led: Vec<TopicPartition> = topics
            .iter()
            .flat_map(|topic| topic.topic_partitions().zip(&topic.partitions))
            .filter(|(_, partition)| partition.leader.is_some())
            .map(|(partition, _)| partition)
            .collect();
        let each = |spec: OffsetSpec| led.iter().map(|partition| (partition.clone(), spec)).collect();
        Ok(Offsets {
            earliest: client.list_offsets(&each(OffsetSpec::Earliest), Isolation::ReadUncommitted).await?,
            latest: client.list_offsets(&each(OffsetSpec::Latest), Isolation::ReadUncommitted).await?,
        })
    }

    fn range(&self, partition: &TopicPartition) -> (Option<i64>, Option<i64>) {
        let offset = |of: &BTreeMap<TopicPartition, Listed>| Some(of.get(partition)?.offset?.0);
        (offset(&self.earliest), offset(&self.latest))
    }
}

fn describe_text(out: &mut Out, topic: &Found, own: &[&Setting], offsets: &Offsets) -> Result<(), Stop> {
    out.line(&format!("topic     {}{}", topic.name, if topic.is_internal { " (internal)" } else { "" }))?;
    out.line(&format!("id        {}", topic.id))?;
    for (at, setting) in own.iter().enumerate() {
        let label = if at == 0 { "settings" } else { "" };
        out.line(&format!("{label:8}  {}={}", setting.name, setting.value.as_deref().unwrap_or_default()))?;
    }
    let mut table = Table::new(&["PARTITION#", "LEADER#", "REPLICAS", "IN-SYNC", "START#", "END#"]);
    for (key, partition) in topic.topic_partitions().zip(&topic.partitions) {
        let (start, end) = offsets.range(&key);
        let shown = |offset: Option<i64>| offset.map_or_else(String::new, |offset| offset.to_string());
        table.row([
            partition.index.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            nodes(&partition.replicas),
            nodes(&partition.isr),
            shown(start),
            shown(end),
        ]);
    }
    out.table(&table)
}

fn described_json(topic: &Found, own: &[&Setting], offsets: &Offsets) -> serde_json::Value {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
    let partitions: Vec<serde_json::Value> = topic
        .topic_partitions()
        .zip(&topic.partitions)
        .map(|(key, partition)| {
            let (start, end) = offsets.range(&key);
            json!({
                "partition": partition.index.0,
                "leader": partition.leader.map(|leader| leader.0),
                "leader_epoch": partition.leader_epoch.0,
                "replicas": ids(&partition.replicas),
                "in_sync": ids(&partition.isr),
                "offline": ids(&partition.offline),
                "start_offset": start,
                "end_offset": end,
            })
        })
        .collect();
    let settings: BTreeMap<&str, Option<&str>> =
        own.iter().map(|setting| (setting.name.as_str(), setting.value.as_deref())).collect();
    json!({
        "topic": &*topic.name,
        "id": topic.id.to_string(),
        "internal": topic.is_internal,
        "settings": settings,
        "partitions": partitions,
    })
}

fn nodes(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
