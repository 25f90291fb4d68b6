//! `felice group describe`: members, what is assigned to them, and how far behind each partition is, in messages and in time.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use super::super::{Out, Output, SOUND, Stop, connect::refused, moment, table::Table, tell, text};
use crate::{
    client::{
        Client, ClientError, Isolation,
        groups::{Committed, Group, Listing, Member, by_topic},
        offsets::OffsetSpec,
    },
    model::{Offset, Timestamp, TopicPartition},
};

#[derive(Debug, Args)]
pub(super) struct Describe {
    /// Their names; all where none is named
    #[arg(value_name = "GROUP")]
    names: Vec<String>,

    /// How to write it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

pub(super) async fn describe(client: &Client, args: &Describe) -> Result<u8, Stop> {
    let names = if args.names.is_empty() {
        let (ours, others): (Vec<Listing>, Vec<Listing>) = client.groups().await?.into_iter().partition(is_described);
        for group in others {
            tell(&format!("group {} is of type {}: not shown", group.id, group.kind.unwrap_or_default()));
        }
        ours.into_iter().map(|group| group.id).collect()
    } else {
        args.names.clone()
    };
    let mut out = Out::new(args.output);
    let mut code = SOUND;
    let mut is_first = true;
    for name in &names {
        let described = match client.group(name).await {
            Ok(group) => group,
            Err(error) => {
                code = refused(error)?;
                continue;
            }
        };
        let rows = Row::all(client, &described).await?;
        match out.format {
            Output::Json => out.line(&group_json(&described, &rows).to_string())?,
            Output::Text => {
                if !is_first {
                    out.line("")?;
                }
                group_text(&mut out, &described, &rows)?;
            }
        }
        is_first = false;
    }
    out.flush()?;
    Ok(code)
}

/// Share and streams groups have other members, and no offsets of this kind.
fn is_described(group: &Listing) -> bool {
    group.kind.as_deref().is_none_or(|kind| matches!(kind, "classic" | "consumer"))
}

/// A partition that a group has committed or a member has.
struct Row<'a> {
    partition: TopicPartition,
    committed: Option<Committed>,
    /// `None` where the partition is not there any more, or nobody leads it.
    end: Option<Offset>,
    /// When the first message after the committed offset was written, where there is one.
    waiting_since: Option<Timestamp>,
    now: Timestamp,
    member: Option<&'a Member>,
}

impl<'a> Row<'a> {
    async fn all(client: &Client, group: &'a Group) -> Result<Vec<Row<'a>>, ClientError> {
        let committed = client.committed(&group.id, None).await?;
        let owners: BTreeMap<&TopicPartition, &Member> =
            group.members.iter().flat_map(|member| member.assigned.iter().map(move |it| (it, member))).collect();
        let partitions: BTreeSet<TopicPartition> = committed.keys().chain(owners.keys().copied()).cloned().collect();
        let ends = ends(client, &partitions).await?;
        let behind: BTreeMap<TopicPartition, Offset> = committed
            .iter()
            .filter(|(partition, it)| ends.get(partition).is_some_and(|end| it.offset < *end))
            .map(|(partition, it)| (partition.clone(), it.offset))
            .collect();
        let since = client.timestamps(&behind).await?;
        let now = client.env().now();
        let row = |partition: TopicPartition| Row {
            committed: committed.get(&partition).cloned(),
            end: ends.get(&partition).copied(),
            waiting_since: since.get(&partition).copied(),
            now,
            member: owners.get(&partition).copied(),
            partition,
        };
        Ok(partitions.into_iter().map(row).collect())
    }

    /// Messages after the committed offset. Negative where that is beyond the end, as after an unclean election.
    fn lag(&self) -> Option<i64> {
        Some(self.end?.0 - self.committed.as_ref()?.offset.0)
    }

    /// How long the first of them has been there, in milliseconds; 0 where there is none.
    fn behind_ms(&self) -> Option<i64> {
        match self.lag()? {
            ..=0 => Some(0),
            _ => self.waiting_since.filter(|since| since.0 >= 0).map(|since| (self.now.0 - since.0).max(0)),
        }
    }
}

/// The log ends of those that are there and led. A group may have committed offsets of topics that were deleted.
async fn ends(
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let names: Vec<&str> = by_topic(partitions).into_keys().collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cluster = client.retrying(async || client.cluster(Some(&names)).await).await?;
    let led = cluster.topics.iter().filter(|topic| topic.error.is_none()).flat_map(|topic| {
        topic.topic_partitions().zip(&topic.partitions).filter(|(_, it)| it.leader.is_some()).map(|(it, _)| it)
    });
    let wanted = led.filter(|it| partitions.contains(it)).map(|it| (it, OffsetSpec::Latest)).collect();
    let listed = client.list_offsets(&wanted, Isolation::ReadUncommitted).await?;
    Ok(listed.into_iter().filter_map(|(partition, end)| Some((partition, end.offset?))).collect())
}

fn group_text(out: &mut Out, group: &Group, rows: &[Row<'_>]) -> Result<(), Stop> {
    let epochs = group.epochs.map(|(epoch, assignment)| format!("{epoch}, of the assignment {assignment}"));
    for (label, value) in [
        ("group", group.id.as_str()),
        ("type", group.kind),
        ("state", &group.state),
        ("protocol", &group.protocol_type),
        ("assignor", &group.assignor),
        ("epoch", epochs.as_deref().unwrap_or_default()),
        ("coordinator", &group.coordinator.to_string()),
    ] {
        if !value.is_empty() {
            out.line(&format!("{label:11}  {}", text::one_line(value)))?;
        }
    }
    let mut members = Table::new(&["MEMBER", "CLIENT", "HOST", "EPOCH#", "ASSIGNED"]);
    for member in &group.members {
        members.row([
            named(member),
            member.client_id.clone(),
            member.host.clone(),
            member.epoch.map_or_else(String::new, |epoch| epoch.to_string()),
            shown(&member.assigned),
        ]);
    }
    if members.has_rows() {
        out.line("")?;
        out.table(&members)?;
    }
    let mut table = Table::new(&["TOPIC", "PARTITION#", "COMMITTED#", "END#", "LAG#", "BEHIND#", "MEMBER"]);
    for row in rows {
        let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        table.row([
            row.partition.topic.to_string(),
            row.partition.partition.to_string(),
            number(row.committed.as_ref().map(|committed| committed.offset.0)),
            number(row.end.map(|end| end.0)),
            number(row.lag()),
            row.behind_ms().map_or_else(String::new, moment::length),
            row.member.map_or_else(String::new, named),
        ]);
    }
    if table.has_rows() {
        out.line("")?;
        out.table(&table)?;
    }
    Ok(())
}

/// A static member by its instance, which is what people named it.
fn named(member: &Member) -> String {
    match &member.instance {
        Some(instance) => format!("{instance}={}", member.id),
        None => member.id.clone(),
    }
}

/// `orders:0-3,7;letters:0`
fn shown(partitions: &BTreeSet<TopicPartition>) -> String {
    let topics: Vec<String> =
        by_topic(partitions).into_iter().map(|(topic, indexes)| format!("{topic}:{}", ranges(&indexes))).collect();
    topics.join(";")
}

/// Ascending numbers, runs of them as their ends.
fn ranges(indexes: &[i32]) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*index) => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let shown = |(first, last): (i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(shown).collect::<Vec<_>>().join(",")
}

fn group_json(group: &Group, rows: &[Row<'_>]) -> Value {
    let members: Vec<Value> = group
        .members
        .iter()
        .map(|member| {
            json!({
                "member": member.id,
                "instance": member.instance,
                "rack": member.rack,
                "client": member.client_id,
                "host": member.host,
                "epoch": member.epoch,
                "subscribed": member.subscribed,
                "subscribed_regex": member.subscribed_regex,
                "assigned": by_topic(&member.assigned),
                "target": member.target.as_ref().map(by_topic),
            })
        })
        .collect();
    let offsets: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "topic": &*row.partition.topic,
                "partition": row.partition.partition.0,
                "committed_offset": row.committed.as_ref().map(|it| it.offset.0),
                "leader_epoch": row.committed.as_ref().map(|it| it.leader_epoch.0).filter(|epoch| *epoch >= 0),
                "metadata": row.committed.as_ref().map(|it| it.metadata.as_str()).filter(|it| !it.is_empty()),
                "end_offset": row.end.map(|end| end.0),
                "lag": row.lag(),
                "waiting_since": row.waiting_since.map(|since| since.0),
                "behind_ms": row.behind_ms(),
                "member": row.member.map(|member| member.id.as_str()),
            })
        })
        .collect();
    json!({
        "group": group.id,
        "type": group.kind,
        "state": group.state,
        "protocol": group.protocol_type,
        "assignor": group.assignor,
        "group_epoch": group.epochs.map(|(epoch, _)| epoch),
        "assignment_epoch": group.epochs.map(|(_, epoch)| epoch),
        "coordinator": group.coordinator.0,
        "members": members,
        "offsets": offsets,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{LeaderEpoch, PartitionIndex};

    #[test]
    fn partitions_are_shown_in_runs() {
        for (indexes, expected) in
            [(&[][..], ""), (&[3], "3"), (&[0, 1], "0,1"), (&[0, 1, 2, 3, 7, 9, 10], "0-3,7,9,10")]
        {
            assert_eq!(ranges(indexes), expected);
        }
        let at = |topic: &str, index| TopicPartition { topic: Arc::from(topic), partition: PartitionIndex(index) };
        let all = BTreeSet::from([at("b", 0), at("a", 2), at("a", 0), at("a", 1)]);
        assert_eq!(shown(&all), "a:0-2;b:0");
    }

    #[test]
    fn lag_is_told_in_messages_and_in_time() {
        for (committed, end, since, lag, behind) in [
            (Some(5), Some(9), Some(4_000), Some(4), Some(6_000)),
            (Some(9), Some(9), None, Some(0), Some(0)),
            (Some(12), Some(9), None, Some(-3), Some(0)),
            (Some(5), Some(9), Some(-1), Some(4), None),
            (Some(5), Some(9), Some(11_000), Some(4), Some(0)),
            (Some(5), None, None, None, None),
            (None, Some(9), None, None, None),
        ] {
            let committed = committed.map(|offset| Committed {
                offset: Offset(offset),
                leader_epoch: LeaderEpoch::NONE,
                metadata: String::new(),
            });
            let row = Row {
                partition: TopicPartition { topic: Arc::from("t"), partition: PartitionIndex(0) },
                committed,
                end: end.map(Offset),
                waiting_since: since.map(Timestamp),
                now: Timestamp(10_000),
                member: None,
            };
            assert_eq!((row.lag(), row.behind_ms()), (lag, behind));
        }
    }
}
