//! PURE: what a reset of offsets asks for, and which offsets that comes to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{Offset, PartitionIndex, Timestamp, TopicPartition};

/// Where offsets are moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    /// Where they are: for `--export`, or to keep them from expiring.
    Current,
    Offset(Offset),
    ShiftBy(i64),
    /// The first message of this time or later; the end where there is none.
    Time(Timestamp),
    /// As somebody wrote it down.
    Each(BTreeMap<TopicPartition, Offset>),
}

/// What is known of a partition. Invariant: `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub start: Offset,
    pub end: Offset,
    pub committed: Option<Offset>,
    /// The first offset of the time that was asked for, where a message is as late.
    pub sought: Option<Offset>,
}

/// What an offset is moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub to: Offset,
    /// Whether that is the nearest there is, and not what was asked for.
    pub clamped: bool,
}

impl Target {
    /// The new offset of a partition; `None` where there is nothing to go by. Always one that the partition has, or its end.
    pub(super) fn of(&self, partition: &TopicPartition, known: &Known) -> Option<Moved> {
        let asked = match self {
            Target::Earliest => known.start,
            Target::Latest => known.end,
            // As it is, even where its message is gone.
            Target::Current => return Some(Moved { to: known.committed?, clamped: false }),
            Target::Offset(offset) => *offset,
            Target::ShiftBy(count) => Offset(known.committed?.0.saturating_add(*count)),
            Target::Time(_) => known.sought.unwrap_or(known.end),
            Target::Each(offsets) => *offsets.get(partition)?,
        };
        let to = asked.max(known.start).min(known.end);
        Some(Moved { to, clamped: to != asked })
    }
}

/// A topic, whole or some of its partitions: `orders`, `orders:0,3-5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub topic: String,
    /// Empty: all.
    pub partitions: BTreeSet<PartitionIndex>,
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Scope, String> {
        /// No topic has more partitions; a longer range is a slip.
        const PARTITIONS_MAX: i32 = 1_000_000;
        let wrong = || format!("{text:?} is no topic: write orders, or orders:0,3-5 for some of its partitions");
        let (topic, list) = match text.split_once(':') {
            Some((topic, list)) => (topic, Some(list)),
            None => (text, None),
        };
        if topic.is_empty() {
            return Err(wrong());
        }
        let index =
            |text: &str| text.parse::<i32>().ok().filter(|index| (0..PARTITIONS_MAX).contains(index)).ok_or_else(wrong);
        let mut partitions = BTreeSet::new();
        for part in list.into_iter().flat_map(|list| list.split(',')) {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (index(first)?, index(last)?),
                None => (index(part)?, index(part)?),
            };
            if first > last {
                return Err(wrong());
            }
            partitions.extend((first..=last).map(PartitionIndex));
        }
        Ok(Scope { topic: topic.to_owned(), partitions })
    }
}

/// Reads offsets from a file: lines of `topic,partition,offset`, or of `group,topic,partition,offset` where others' are left out, as
/// Kafka's tool exports them; or JSON, an object a line or a list of them, with `topic`, `partition` and `offset`.
pub(super) fn read(text: &str, group: &str) -> Result<BTreeMap<TopicPartition, Offset>, String> {
    let text = text.trim();
    let mut offsets = BTreeMap::new();
    if text.starts_with('[') {
        let rows: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (at, row) in rows.iter().enumerate() {
            let (partition, offset) = from_json(row).ok_or_else(|| format!("object {}: {SHAPE}", at + 1))?;
            add(&mut offsets, partition, offset)?;
        }
        return Ok(offsets);
    }
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {}: {SHAPE}", at + 1);
        let (partition, offset) = if line.starts_with('{') {
            let row = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
            from_json(&row).ok_or_else(wrong)?
        } else {
            let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
            let (topic, partition, offset) = match fields[..] {
                [topic, partition, offset] => (topic, partition, offset),
                [of, topic, partition, offset] if of == group => (topic, partition, offset),
                [_, _, _, _] => continue,
                _ => return Err(wrong()),
            };
            let index = partition.parse().ok().filter(|index| *index >= 0).ok_or_else(wrong)?;
            let offset = offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(wrong)?;
            (named(topic, index), Offset(offset))
        };
        add(&mut offsets, partition, offset)?;
    }
    Ok(offsets)
}

const SHAPE: &str = "expected topic,partition,offset, or an object with these three";

fn add(
    offsets: &mut BTreeMap<TopicPartition, Offset>,
    partition: TopicPartition,
    offset: Offset,
) -> Result<(), String> {
    let shown = partition.to_string();
    match offsets.insert(partition, offset) {
        None => Ok(()),
        Some(_) => Err(format!("{shown} is there twice")),
    }
}

fn from_json(row: &serde_json::Value) -> Option<(TopicPartition, Offset)> {
    let index = row.get("partition")?.as_i64().and_then(|index| i32::try_from(index).ok()).filter(|it| *it >= 0)?;
    let offset = row.get("offset")?.as_i64().filter(|offset| *offset >= 0)?;
    Some((named(row.get("topic")?.as_str()?, index), Offset(offset)))
}

fn named(topic: &str, index: i32) -> TopicPartition {
    TopicPartition { topic: Arc::from(topic), partition: PartitionIndex(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_lie_within_their_partition() {
        let known = Known { start: Offset(10), end: Offset(20), committed: Some(Offset(15)), sought: None };
        let each = |offset| Target::Each(BTreeMap::from([(named("t", 0), Offset(offset))]));
        let sought = Known { sought: Some(Offset(12)), ..known };
        let nothing = Known { committed: None, ..known };
        let expired = Known { committed: Some(Offset(3)), ..known };
        for (target, known, expected) in [
            (Target::Earliest, known, Some((10, false))),
            (Target::Latest, known, Some((20, false))),
            (Target::Current, known, Some((15, false))),
            (Target::Current, nothing, None),
            (Target::Current, expired, Some((3, false))),
            (Target::Offset(Offset(12)), known, Some((12, false))),
            (Target::Offset(Offset(20)), known, Some((20, false))),
            (Target::Offset(Offset(21)), known, Some((20, true))),
            (Target::Offset(Offset(0)), known, Some((10, true))),
            (Target::ShiftBy(-2), known, Some((13, false))),
            (Target::ShiftBy(-6), known, Some((10, true))),
            (Target::ShiftBy(i64::MAX), known, Some((20, true))),
            (Target::ShiftBy(1), nothing, None),
            (Target::Time(Timestamp(7)), sought, Some((12, false))),
            (Target::Time(Timestamp(7)), known, Some((20, false))),
            (each(11), known, Some((11, false))),
            (each(1), known, Some((10, true))),
            (Target::Each(BTreeMap::new()), known, None),
        ] {
            let moved = target.of(&named("t", 0), &known).map(|moved| (moved.to.0, moved.clamped));
            assert_eq!(moved, expected, "{target:?}");
        }
    }

    #[test]
    fn scopes_are_read() {
        for (text, topic, partitions) in [
            ("orders", "orders", &[][..]),
            ("orders:3", "orders", &[3]),
            ("orders:0,3-5", "orders", &[0, 3, 4, 5]),
            ("a.b_c-d:0", "a.b_c-d", &[0]),
        ] {
            let scope: Scope = text.parse().unwrap();
            let indexes: Vec<i32> = scope.partitions.iter().map(|index| index.0).collect();
            assert_eq!((scope.topic.as_str(), indexes.as_slice()), (topic, partitions), "{text}");
        }
        for text in ["", ":", "orders:", "orders:x", "orders:5-3", "orders:-1", "orders:0,", "orders:0-9999999"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_each_kind_are_read() {
        let expected = BTreeMap::from([(named("a", 0), Offset(5)), (named("b", 2), Offset(7))]);
        for text in [
            "a,0,5\nb,2,7\n",
            "# mine\n\"a\",0,5\r\n\r\n b , 2 , 7",
            "g,a,0,5\nother,a,0,9\ng,b,2,7",
            "{\"topic\":\"a\",\"partition\":0,\"offset\":5}\n{\"topic\":\"b\",\"partition\":2,\"offset\":7}",
            "[{\"topic\":\"a\",\"partition\":0,\"offset\":5},\n{\"topic\":\"b\",\"partition\":2,\"offset\":7}]",
        ] {
            assert_eq!(read(text, "g"), Ok(expected.clone()), "{text}");
        }
        for (text, wrong) in [
            ("a,0", "line 1: expected topic,partition,offset"),
            ("a,0,5\na,0,6", "a-0 is there twice"),
            ("a,0,-5", "line 1: expected"),
            ("\n# x\na,x,5", "line 2: expected"),
            ("{\"topic\":\"a\"}", "line 1: expected"),
            ("{", "line 1: EOF"),
            ("[1]", "object 1: expected"),
        ] {
            let told = read(text, "g").unwrap_err();
            assert!(told.starts_with(wrong), "{text}: {told}");
        }
    }
}
