//! Where partitions begin and end, where in them a moment is, and which moment an offset is.

use std::collections::BTreeMap;

use felice_protocol::{
    error::ErrorCode,
    messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    schema::Versions,
};
use futures_util::future::join_all;

use super::{
    Client, ClientError, Isolation, Lane,
    fetcher::{self, FetcherSettings},
};
use crate::model::{LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicPartition};

/// An offset by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// That of the first record that is still there.
    Earliest,
    /// That which the next record will get. With [`Isolation::ReadCommitted`] not beyond an open transaction.
    Latest,
    /// That of the first record of this time or later.
    At(Timestamp),
}

impl OffsetSpec {
    fn on_wire(self) -> i64 {
        match self {
            OffsetSpec::Earliest => -2,
            OffsetSpec::Latest => -1,
            // A time before 1970 means the beginning, where negative numbers mean other things.
            OffsetSpec::At(timestamp) => timestamp.0.max(0),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// `None` where no record is as late as the time that was asked for.
    pub offset: Option<Offset>,
    /// That of the record, where a time was asked for.
    pub timestamp: Option<Timestamp>,
    pub leader_epoch: LeaderEpoch,
}

/// Bytes of a partition in one answer of [`Client::timestamps`]: a batch or some.
const GLIMPSE: i32 = 16 << 10;
/// Bytes of one answer in all.
const GLIMPSES: i32 = 16 << 20;

impl Client {
    /// Offsets of partitions, each of which is named once.
    pub async fn list_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Listed>, ClientError> {
        let mut found = BTreeMap::new();
        self.retrying(async || {
            let left: Vec<(TopicPartition, OffsetSpec)> = wanted
                .iter()
                .filter(|(partition, _)| !found.contains_key(*partition))
                .map(|(partition, spec)| (partition.clone(), *spec))
                .collect();
            let shares = self.by_leader(left, |(partition, _)| partition).await?;
            let answers = shares.iter().map(|(node, share)| self.list_offsets_at(*node, share, isolation));
            let mut failed = Ok(());
            for ((_, share), answer) in shares.iter().zip(join_all(answers).await) {
                let (listed, error) = match answer {
                    Ok((listed, error)) => (listed, error),
                    Err(error) => (Vec::new(), Some(error)),
                };
                found.extend(listed);
                if let Some(error) = error {
                    self.forget_leaders(share.iter().map(|(partition, _)| partition));
                    failed = Err(error);
                }
            }
            failed
        })
        .await?;
        Ok(found)
    }

    async fn list_offsets_at(
        &self,
        node: NodeId,
        share: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
    ) -> Result<(Vec<(TopicPartition, Listed)>, Option<ClientError>), ClientError> {
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for (partition, spec) in share {
            if topics.last().is_none_or(|last| last.name != *partition.topic) {
                topics.push(ListOffsetsTopic { name: partition.topic.to_string(), ..ListOffsetsTopic::default() });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(ListOffsetsPartition {
                    partition_index: partition.partition.0,
                    timestamp: spec.on_wire(),
                    ..ListOffsetsPartition::default()
                });
            }
        }
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.on_wire(),
            topics,
            timeout_ms: super::topics::millis(self.settings().request_timeout),
            ..ListOffsetsRequest::default()
        };
        let connection = self.node(node, Lane::Requests).await?;
        let version = connection.version::<ListOffsetsRequest>(Versions::from(2), "listing offsets")?;
        let response = connection.call(version, &request).await?;
        let mut listed = Vec::new();
        let mut failed = None;
        for topic in response.topics {
            for answer in topic.partitions {
                let partition = TopicPartition {
                    topic: topic.name.as_str().into(),
                    partition: PartitionIndex(answer.partition_index),
                };
                match ClientError::check(answer.error_code, None, || partition.to_string()) {
                    Ok(()) => listed.push((
                        partition,
                        Listed {
                            offset: (answer.offset >= 0).then_some(Offset(answer.offset)),
                            timestamp: (answer.timestamp >= 0).then_some(Timestamp(answer.timestamp)),
                            leader_epoch: LeaderEpoch(answer.leader_epoch),
                        },
                    )),
                    Err(error) => failed = Some(error),
                }
            }
        }
        Ok((listed, failed))
    }

    /// The time of the first record at or after each offset; of the first that is left, where a partition begins behind it by now.
    /// Partitions where there is none are left out.
    pub async fn timestamps(
        &self,
        wanted: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<BTreeMap<TopicPartition, Timestamp>, ClientError> {
        let settings = FetcherSettings {
            max_wait: std::time::Duration::ZERO,
            max_bytes: GLIMPSES,
            partition_max_bytes: GLIMPSE,
            ..FetcherSettings::default()
        };
        let mut found = BTreeMap::new();
        let mut left = wanted.clone();
        while !left.is_empty() {
            let before = left.len();
            let mut cut = BTreeMap::new();
            let positions = left.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
            for (node, share) in self.by_leader(positions, |(partition, _)| partition).await? {
                for (partition, answer) in fetcher::fetch(self, node, &share, &settings).await? {
                    let Some(offset) = left.get(&partition).copied() else { continue };
                    match ErrorCode::from_code(answer.error_code) {
                        Some(ErrorCode::None) => {
                            if let Some(timestamp) = fetcher::first_timestamp(&partition, offset, &answer)? {
                                left.remove(&partition);
                                found.insert(partition, timestamp);
                            } else if offset.0 >= answer.high_watermark {
                                left.remove(&partition);
                            }
                        }
                        Some(ErrorCode::OffsetOutOfRange) => {
                            left.remove(&partition);
                            cut.insert(partition, offset);
                        }
                        _ => {
                            left.remove(&partition);
                        }
                    }
                }
            }
            let is_stuck = left.len() == before;
            let starts = cut.keys().map(|partition| (partition.clone(), OffsetSpec::Earliest)).collect();
            for (partition, start) in self.list_offsets(&starts, Isolation::ReadUncommitted).await? {
                // Else it is beyond the end.
                if let Some(start) =
                    start.offset.filter(|start| cut.get(&partition).is_some_and(|offset| start > offset))
                {
                    left.insert(partition, start);
                }
            }
            // An answer has at least the first partition's batch; one that has nothing will not have it later either.
            if is_stuck {
                break;
            }
        }
        Ok(found)
    }

    /// What is to be asked of each leader. Topics whose leaders are not known are asked for.
    pub(super) async fn by_leader<T>(
        &self,
        items: Vec<T>,
        partition_of: impl Fn(&T) -> &TopicPartition,
    ) -> Result<BTreeMap<NodeId, Vec<T>>, ClientError> {
        let mut unknown: Vec<&str> =
            items.iter().map(&partition_of).filter(|it| self.leader(it).is_none()).map(|it| &*it.topic).collect();
        unknown.dedup();
        if !unknown.is_empty() {
            let cluster = self.cluster(Some(&unknown)).await?;
            for topic in cluster.topics {
                if let Some(code) = topic.error {
                    return Err(ClientError::refused(code.code(), None, format!("topic {}", topic.name)));
                }
            }
        }
        let mut shares: BTreeMap<NodeId, Vec<T>> = BTreeMap::new();
        for item in items {
            let partition = partition_of(&item);
            let leader = self.leader(partition).ok_or_else(|| ClientError::NoLeader(partition.clone()))?;
            shares.entry(leader).or_default().push(item);
        }
        Ok(shares)
    }

    /// To be asked for anew, because the leader does not answer or says that it is none.
    pub(super) fn forget_leaders<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        let mut known = self.known.lock();
        for partition in partitions {
            known.leaders.remove(partition);
        }
    }
}
