//! Where in its partitions a consumption begins.

use std::{collections::BTreeMap, str::FromStr};

use crate::{
    client::{
        Client, ClientError, Fetcher, Isolation,
        offsets::{Listed, OffsetSpec},
    },
    model::{Offset, Timestamp, TopicPartition},
};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    Offset(Offset),
    /// So many before the end.
    BeforeEnd(i64),
    At(Timestamp),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Start, String> {
        match text {
            "earliest" | "beginning" => Ok(Start::Earliest),
            "latest" | "end" => Ok(Start::Latest),
            _ => match text.parse::<i64>() {
                Ok(offset) if offset >= 0 && !text.starts_with('-') => Ok(Start::Offset(Offset(offset))),
                Ok(before) if before > i64::MIN => Ok(Start::BeforeEnd(-before)),
                _ => Err("write earliest, latest, N, or -N for N before the end".to_owned()),
            },
        }
    }
}

impl Start {
    /// The first offset to fetch of each partition. One that is named is taken as it is: the broker says where it is not there.
    pub(super) async fn positions(
        self,
        client: &Client,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        if let Start::Offset(offset) = self {
            return Ok(partitions.iter().map(|partition| (partition.clone(), offset)).collect());
        }
        let list = async |spec: OffsetSpec| {
            let wanted = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
            client.list_offsets(&wanted, isolation).await
        };
        let bounds = Bounds { earliest: list(OffsetSpec::Earliest).await?, latest: list(OffsetSpec::Latest).await? };
        let sought = match self {
            Start::At(time) => list(OffsetSpec::At(time)).await?,
            _ => BTreeMap::new(),
        };
        let position = |partition: &TopicPartition| {
            let (first, end) = bounds.of(partition);
            let sought = sought.get(partition).and_then(|listed| listed.offset);
            (partition.clone(), self.within(first, end, sought))
        };
        Ok(partitions.iter().map(position).collect())
    }

    /// `sought` is the first offset at or after the time, where there is one.
    fn within(self, first: Offset, end: Offset, sought: Option<Offset>) -> Offset {
        match self {
            Start::Earliest => first,
            Start::Latest => end,
            Start::Offset(offset) => offset,
            Start::BeforeEnd(count) => Offset(end.0.saturating_sub(count)).max(first).min(end),
            Start::At(_) => sought.unwrap_or(end),
        }
    }
}

struct Bounds {
    earliest: BTreeMap<TopicPartition, Listed>,
    latest: BTreeMap<TopicPartition, Listed>,
}

impl Bounds {
    fn of(&self, partition: &TopicPartition) -> (Offset, Offset) {
        let offset = |of: &BTreeMap<TopicPartition, Listed>| of.get(partition).and_then(|listed| listed.offset);
        let first = offset(&self.earliest).unwrap_or(Offset::ZERO);
        (first, offset(&self.latest).unwrap_or(first))
    }
}

/// Moves positions that their partitions do not have to the nearest that they have: retention goes on while one reads.
pub(super) async fn back_into_range(
    client: &Client,
    fetcher: &mut Fetcher,
    isolation: Isolation,
) -> Result<(), ClientError> {
    let positions = fetcher.positions().clone();
    let list = async |spec: OffsetSpec| {
        let wanted = positions.keys().map(|partition| (partition.clone(), spec)).collect();
        client.list_offsets(&wanted, isolation).await
    };
    let bounds = Bounds { earliest: list(OffsetSpec::Earliest).await?, latest: list(OffsetSpec::Latest).await? };
    for (partition, position) in &positions {
        let (first, end) = bounds.of(partition);
        let nearest = (*position).min(end).max(first);
        if nearest != *position {
            fetcher.seek(partition.clone(), nearest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_read() {
        for (text, start) in [
            ("earliest", Some(Start::Earliest)),
            ("beginning", Some(Start::Earliest)),
            ("latest", Some(Start::Latest)),
            ("end", Some(Start::Latest)),
            ("0", Some(Start::Offset(Offset(0)))),
            ("42", Some(Start::Offset(Offset(42)))),
            ("-5", Some(Start::BeforeEnd(5))),
            ("-0", Some(Start::BeforeEnd(0))),
            ("-9223372036854775808", None),
            ("5x", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Start>().ok(), start, "{text}");
        }
    }

    #[test]
    fn starts_lie_within_their_partition() {
        let (first, end) = (Offset(10), Offset(20));
        for (start, sought, expected) in [
            (Start::Earliest, None, 10),
            (Start::Latest, None, 20),
            (Start::Offset(Offset(3)), None, 3),
            (Start::BeforeEnd(5), None, 15),
            (Start::BeforeEnd(0), None, 20),
            (Start::BeforeEnd(500), None, 10),
            (Start::At(Timestamp(7)), Some(Offset(12)), 12),
            (Start::At(Timestamp(7)), None, 20),
        ] {
            assert_eq!(start.within(first, end, sought), Offset(expected), "{start:?}");
        }
    }
}
