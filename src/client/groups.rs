//! Groups: which there are, what they are made of, what they have committed, and deleting them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        consumer_group_describe::{self, ConsumerGroupDescribeRequest},
        consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription},
        delete_groups::DeleteGroupsRequest,
        describe_groups::{self, DescribeGroupsRequest},
        list_groups::ListGroupsRequest,
        offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch::*,
    },
    schema::{Stored, Versions},
};
use futures_util::future::join_all;

use super::{Client, ClientError, Connection, Lane};
use crate::model::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicPartition};

/// Up to 9 topics go by their names.
const BY_NAME: Versions = Versions::new(1, 9);

/// A group in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub id: String,
    /// Such as `classic` or `consumer`; `None` where the broker does not say.
    pub kind: Option<String>,
    pub state: Option<String>,
    /// What a classic group is for, such as `consumer` or `connect`.
    pub protocol_type: String,
    pub coordinator: NodeId,
}

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    /// `classic` or `consumer`.
    pub kind: &'static str,
    pub state: String,
    pub protocol_type: String,
    /// The assignor that it agreed on; empty where it has none yet.
    pub assignor: String,
    /// Of a consumer group: its epoch, and that of its assignment.
    pub epochs: Option<(i32, i32)>,
    pub coordinator: NodeId,
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    pub id: String,
    /// Of a static member.
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Of a consumer group's member.
    pub epoch: Option<i32>,
    pub subscribed: Vec<String>,
    pub subscribed_regex: Option<String>,
    pub assigned: BTreeSet<TopicPartition>,
    /// What it will have, where that is something else.
    pub target: Option<BTreeSet<TopicPartition>>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
}

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committer {
    pub member_id: String,
    pub instance: Option<String>,
    /// The generation or, in a consumer group, the member's epoch.
    pub generation: i32,
}

impl Committer {
    /// Nobody: an administrator, or a consumer that assigns itself. Refused where the group has members.
    pub fn outsider() -> Committer {
        Committer { member_id: String::new(), instance: None, generation: -1 }
    }
}

impl Client {
    /// All groups of the cluster, by id. Each broker is asked, since each knows those that it coordinates.
    pub async fn groups(&self) -> Result<Vec<Listing>, ClientError> {
        self.retrying(async || {
            let brokers = self.cluster(Some(&[])).await?.brokers;
            let mut groups = Vec::new();
            for listed in join_all(brokers.keys().map(|node| self.groups_at(*node))).await {
                groups.extend(listed?);
            }
            groups.sort_by(|a: &Listing, b: &Listing| a.id.cmp(&b.id));
            groups.dedup_by(|a, b| a.id == b.id);
            Ok(groups)
        })
        .await
    }

    async fn groups_at(&self, node: NodeId) -> Result<Vec<Listing>, ClientError> {
        let connection = self.node(node, Lane::Requests).await?;
        let version = connection.version::<ListGroupsRequest>(Versions::from(0), "listing groups")?;
        let response = connection.call(version, &ListGroupsRequest::default()).await?;
        ClientError::check(response.error_code, None, || format!("the groups of broker {node}"))?;
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        let listing = |group: felice_protocol::messages::list_groups::ListedGroup| Listing {
            id: group.group_id,
            kind: told(group.group_type.to_lowercase()),
            state: told(group.group_state),
            protocol_type: group.protocol_type,
            coordinator: node,
        };
        Ok(response.groups.into_iter().map(listing).collect())
    }

    /// A group of either kind. One that does not exist is [`ErrorCode::GroupIdNotFound`].
    pub async fn group(&self, id: &str) -> Result<Group, ClientError> {
        self.at_coordinator(id, async |connection| {
            let node = self.coordinator(id).await?;
            match consumer_group(connection, node, id).await {
                Err(error)
                    if matches!(error, ClientError::Unsupported { .. })
                        || matches!(error.code(), Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)) =>
                {
                    classic_group(connection, node, id).await
                }
                described => described,
            }
        })
        .await
    }

    /// Deletes a group with all that it committed. One with members is [`ErrorCode::NonEmptyGroup`].
    pub async fn delete_group(&self, id: &str) -> Result<(), ClientError> {
        self.at_coordinator(id, async |connection| {
            let request = DeleteGroupsRequest { groups_names: vec![id.to_owned()], ..DeleteGroupsRequest::default() };
            let version = connection.version::<DeleteGroupsRequest>(Versions::from(0), "deleting a group")?;
            let response = connection.call(version, &request).await?;
            let result = response.results.into_iter().find(|result| result.group_id == id);
            let result = result.ok_or_else(|| nothing_about(connection, id))?;
            ClientError::check(result.error_code, result.error_message.as_deref(), || format!("group {id}"))
        })
        .await
    }

    /// What a group has committed: of these partitions, or all that it has.
    pub async fn committed(
        &self,
        group: &str,
        partitions: Option<&BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
        self.at_coordinator(group, async |connection| committed(connection, group, partitions).await).await
    }

    /// Commits offsets.
    pub async fn commit(
        &self,
        group: &str,
        committer: &Committer,
        offsets: &BTreeMap<TopicPartition, (Offset, LeaderEpoch)>,
    ) -> Result<(), ClientError> {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (partition, (offset, leader_epoch)) in offsets {
            if topics.last().is_none_or(|last| last.name != *partition.topic) {
                let name = partition.topic.to_string();
                topics.push(OffsetCommitRequestTopic { name, ..OffsetCommitRequestTopic::default() });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(OffsetCommitRequestPartition {
                    partition_index: partition.partition.0,
                    committed_offset: offset.0,
                    committed_leader_epoch: leader_epoch.0,
                    committed_metadata: Some(String::new()),
                    ..OffsetCommitRequestPartition::default()
                });
            }
        }
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: committer.generation,
            member_id: committer.member_id.clone(),
            group_instance_id: committer.instance.clone(),
            topics,
            ..OffsetCommitRequest::default()
        };
        self.at_coordinator(group, async |connection| {
            let version =
                connection.version::<OffsetCommitRequest>(Versions::new(2, BY_NAME.max), "committing offsets")?;
            let response = connection.call(version, &request).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let what = || format!("committing {}-{} for group {group}", topic.name, partition.partition_index);
                    ClientError::check(partition.error_code, None, what)?;
                }
            }
            Ok(())
        })
        .await
    }
}

async fn consumer_group(connection: &Connection, node: NodeId, id: &str) -> Result<Group, ClientError> {
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![id.to_owned()], ..ConsumerGroupDescribeRequest::default() };
    let version =
        connection.version::<ConsumerGroupDescribeRequest>(Versions::from(0), "describing a consumer group")?;
    let response = connection.call(version, &request).await?;
    let group = response.groups.into_iter().find(|group| group.group_id == id);
    let group = group.ok_or_else(|| nothing_about(connection, id))?;
    ClientError::check(group.error_code, group.error_message.as_deref(), || format!("group {id}"))?;
    let partitions = |assignment: &consumer_group_describe::Assignment| {
        let topics = assignment.topic_partitions.iter();
        partitions_of(topics.map(|topic| (topic.topic_name.as_str(), topic.partitions.as_slice())))
    };
    let member = |member: consumer_group_describe::Member| {
        let assigned = partitions(&member.assignment);
        let target = Some(partitions(&member.target_assignment)).filter(|target| *target != assigned);
        Member {
            id: member.member_id,
            instance: member.instance_id,
            rack: member.rack_id,
            client_id: member.client_id,
            host: member.client_host,
            epoch: Some(member.member_epoch),
            subscribed: member.subscribed_topic_names,
            subscribed_regex: member.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
            assigned,
            target,
        }
    };
    Ok(Group {
        id: group.group_id,
        kind: "consumer",
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        assignor: group.assignor_name,
        epochs: Some((group.group_epoch, group.assignment_epoch)),
        coordinator: node,
        members: group.members.into_iter().map(member).collect(),
    })
}

async fn classic_group(connection: &Connection, node: NodeId, id: &str) -> Result<Group, ClientError> {
    /// What versions before 6 answer about a group that does not exist.
    const DEAD: &str = "Dead";
    let request = DescribeGroupsRequest { groups: vec![id.to_owned()], ..DescribeGroupsRequest::default() };
    let version = connection.version::<DescribeGroupsRequest>(Versions::from(0), "describing a group")?;
    let response = connection.call(version, &request).await?;
    let group = response.groups.into_iter().find(|group| group.group_id == id);
    let group = group.ok_or_else(|| nothing_about(connection, id))?;
    ClientError::check(group.error_code, group.error_message.as_deref(), || format!("group {id}"))?;
    if group.group_state == DEAD {
        return Err(ClientError::refused(ErrorCode::GroupIdNotFound.code(), None, format!("group {id}")));
    }
    let is_consumers = group.protocol_type == "consumer" || group.protocol_type.is_empty();
    let member = |member: describe_groups::DescribedGroupMember| Member {
        subscribed: if is_consumers { subscribed(&member.member_metadata) } else { Vec::new() },
        assigned: if is_consumers { assigned(&member.member_assignment) } else { BTreeSet::new() },
        id: member.member_id,
        instance: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        ..Member::default()
    };
    Ok(Group {
        id: group.group_id,
        kind: "classic",
        state: group.group_state,
        protocol_type: group.protocol_type,
        assignor: group.protocol_data,
        epochs: None,
        coordinator: node,
        members: group.members.into_iter().map(member).collect(),
    })
}

/// The topics of a `ConsumerProtocolSubscription`; none where it is not there (yet) or another's.
fn subscribed(bytes: &Bytes) -> Vec<String> {
    ConsumerProtocolSubscription::decode_with_any_version(bytes).map(|it| it.topics).unwrap_or_default()
}

/// The partitions of a `ConsumerProtocolAssignment`; none where it is not there (yet) or another's.
pub(super) fn assigned(bytes: &Bytes) -> BTreeSet<TopicPartition> {
    let assignment = ConsumerProtocolAssignment::decode_with_any_version(bytes).unwrap_or_default();
    let topics = assignment.assigned_partitions.iter();
    partitions_of(topics.map(|topic| (topic.topic.as_str(), topic.partitions.as_slice())))
}

pub(super) fn partitions_of<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])>) -> BTreeSet<TopicPartition> {
    let mut all = BTreeSet::new();
    for (topic, partitions) in topics {
        let topic: Arc<str> = Arc::from(topic);
        let named = |index: &i32| TopicPartition { topic: Arc::clone(&topic), partition: PartitionIndex(*index) };
        all.extend(partitions.iter().map(named));
    }
    all
}

/// Partitions by topic, as requests name them.
pub fn by_topic<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> BTreeMap<&'a str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.0);
    }
    topics
}

async fn committed(
    connection: &Connection,
    group: &str,
    partitions: Option<&BTreeSet<TopicPartition>>,
) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
    let lowest = if partitions.is_none() { 2 } else { BY_NAME.min };
    let version =
        connection.version::<OffsetFetchRequest>(Versions::new(lowest, BY_NAME.max), "reading committed offsets")?;
    let topics = partitions.map(by_topic);
    let mut request = OffsetFetchRequest::default();
    if version >= 8 {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }];
    } else {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopic::default()
        };
        request.group_id = group.to_owned();
        request.topics = topics.map(|topics| topics.into_iter().map(topic).collect());
    }
    let response = connection.call(version, &request).await?;
    let what = || format!("the offsets of group {group}");
    let topics: Vec<OffsetFetchResponseTopics> = if version >= 8 {
        let answer = response.groups.into_iter().next().ok_or_else(|| nothing_about(connection, group))?;
        ClientError::check(answer.error_code, None, what)?;
        answer.topics
    } else {
        ClientError::check(response.error_code, None, what)?;
        response.topics.into_iter().map(in_newer_form).collect()
    };
    let mut committed = BTreeMap::new();
    for OffsetFetchResponseTopics { name, partitions, .. } in topics {
        let topic: Arc<str> = Arc::from(name);
        for told in partitions {
            let partition =
                TopicPartition { topic: Arc::clone(&topic), partition: PartitionIndex(told.partition_index) };
            ClientError::check(told.error_code, None, || format!("the offset of {partition} in group {group}"))?;
            if told.committed_offset >= 0 {
                let offset = Committed {
                    offset: Offset(told.committed_offset),
                    leader_epoch: LeaderEpoch(told.committed_leader_epoch),
                    metadata: told.metadata.unwrap_or_default(),
                };
                committed.insert(partition, offset);
            }
        }
    }
    Ok(committed)
}

/// As answers have it from version 8 on.
fn in_newer_form(topic: OffsetFetchResponseTopic) -> OffsetFetchResponseTopics {
    let partition = |partition: OffsetFetchResponsePartition| OffsetFetchResponsePartitions {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..OffsetFetchResponsePartitions::default()
    };
    OffsetFetchResponseTopics {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

fn nothing_about(connection: &Connection, group: &str) -> ClientError {
    let reason = format!("it answers nothing about group {group}");
    ClientError::Protocol { address: connection.address().clone(), reason }
}

#[cfg(test)]
mod tests {
    use felice_protocol::messages::consumer_protocol::TopicPartition as Assigned;

    use super::*;

    #[test]
    fn assignments_of_classic_members_are_read_in_any_version() {
        let topics = vec![
            Assigned { topic: "b".to_owned(), partitions: vec![1, 0], ..Assigned::default() },
            Assigned { topic: "a".to_owned(), partitions: vec![2], ..Assigned::default() },
        ];
        let assignment =
            ConsumerProtocolAssignment { assigned_partitions: topics, ..ConsumerProtocolAssignment::default() };
        for version in 0..=3 {
            let bytes = assignment.encode_with_version(version).unwrap();
            let shown: Vec<String> = assigned(&bytes).iter().map(ToString::to_string).collect();
            assert_eq!(shown, ["a-2", "b-0", "b-1"]);
        }
        let mut newer = assignment.encode_with_version(3).unwrap().to_vec();
        newer[1] = 9;
        assert_eq!(assigned(&Bytes::from(newer)).len(), 3);
        for bytes in [&b""[..], b"\0", b"connect's own"] {
            assert_eq!(assigned(&Bytes::from_static(bytes)), BTreeSet::new());
        }
    }
}
