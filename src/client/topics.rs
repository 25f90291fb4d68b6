//! Topics: which there are, making and deleting them, their settings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use felice_protocol::{
    error::ErrorCode,
    messages::{
        create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        metadata::{MetadataResponsePartition, MetadataResponseTopic},
    },
    schema::Versions,
};
use tokio::time::{Instant, sleep};

use super::{Client, ClientError};
use crate::model::{LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicPartition};

/// A topic may be known to the controller a moment before it is to the broker that is asked.
const APPEARS_WITHIN: Duration = Duration::from_secs(1);

/// For how long a broker may work at a request of ours before it says that it goes on without us.
const BROKER_TIMEOUT: Duration = Duration::from_secs(30);

/// The kind of resource that a topic is to DescribeConfigs.
const TOPIC_RESOURCE: i8 = 2;

/// Where a setting's value comes from (`DescribeConfigsResponse.ConfigSource`): the topic's own.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

/// A topic as metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    /// Zero where the broker does not know of ids.
    pub id: TopicId,
    pub is_internal: bool,
    /// Why nothing more is known, such as that there is no such topic.
    pub error: Option<ErrorCode>,
    /// By index.
    pub partitions: Vec<Partition>,
}

/// A partition as metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub index: PartitionIndex,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub offline: Vec<NodeId>,
}

impl Topic {
    pub(super) fn from_wire(topic: &MetadataResponseTopic) -> Topic {
        let mut partitions: Vec<Partition> = topic.partitions.iter().map(Partition::from_wire).collect();
        partitions.sort_by_key(|partition| partition.index);
        Topic {
            name: Arc::from(topic.name.as_deref().unwrap_or_default()),
            id: TopicId(topic.topic_id),
            is_internal: topic.is_internal,
            error: (topic.error_code != 0)
                .then(|| ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError)),
            partitions,
        }
    }

    /// Its partitions by name and index.
    pub fn topic_partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.partitions
            .iter()
            .map(|partition| TopicPartition { topic: Arc::clone(&self.name), partition: partition.index })
    }
}

impl Partition {
    fn from_wire(partition: &MetadataResponsePartition) -> Partition {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
        Partition {
            index: PartitionIndex(partition.partition_index),
            leader: (partition.leader_id >= 0).then_some(NodeId(partition.leader_id)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: nodes(&partition.replica_nodes),
            isr: nodes(&partition.isr_nodes),
            offline: nodes(&partition.offline_replicas),
        }
    }
}

/// What a new topic should be. `None` is the broker's default.
#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    pub name: String,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    pub configs: Vec<(String, String)>,
}

/// A setting of a topic, with where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: Option<String>,
    /// Whether it was set for this topic.
    pub is_own: bool,
}

impl Client {
    /// All topics, by name.
    pub async fn topics(&self) -> Result<Vec<Topic>, ClientError> {
        self.retrying(async || {
            let mut topics = self.cluster(None).await?.topics;
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        })
        .await
    }

    /// These topics, in this order. Where one does not exist, that is an error.
    pub async fn named_topics(&self, names: &[&str]) -> Result<Vec<Topic>, ClientError> {
        let started = Instant::now();
        loop {
            let found = self.retrying(async || self.cluster(Some(names)).await).await?.topics;
            let refused = found.iter().find_map(|topic| Some((topic, topic.error?)));
            match refused {
                None => {
                    let by_name: BTreeMap<&str, &Topic> = found.iter().map(|topic| (&*topic.name, topic)).collect();
                    return Ok(names
                        .iter()
                        .filter_map(|name| by_name.get(name))
                        .map(|topic| (*topic).clone())
                        .collect());
                }
                Some((topic, code)) => {
                    let patience = if code == ErrorCode::UnknownTopicOrPartition {
                        APPEARS_WITHIN.min(self.settings().patience)
                    } else {
                        self.settings().patience
                    };
                    if !code.is_retriable() || started.elapsed() > patience {
                        return Err(ClientError::refused(code.code(), None, format!("topic {}", topic.name)));
                    }
                    sleep(super::BACKOFF_MIN).await;
                }
            }
        }
    }

    /// Makes a topic, or only asks whether that would be possible. Returns partitions and replication factor, where the broker says.
    pub async fn create_topic(&self, topic: &NewTopic, validate_only: bool) -> Result<(i32, i16), ClientError> {
        let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
            ..CreatableTopicConfig::default()
        });
        let creatable = CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: topic.replication_factor.unwrap_or(-1),
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![creatable],
            timeout_ms: millis(BROKER_TIMEOUT),
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let connection = self.retrying(async || self.controller().await).await?;
        // From version 4 on a broker may be asked for its defaults (KIP-464).
        let version = connection.version::<CreateTopicsRequest>(Versions::from(4), "creating a topic")?;
        let response = connection.call_for(version, &request, BROKER_TIMEOUT).await?;
        let what = || format!("topic {}", topic.name);
        match response.topics.into_iter().next() {
            Some(result) => {
                ClientError::check(result.error_code, result.error_message.as_deref(), what)?;
                Ok((result.num_partitions, result.replication_factor))
            }
            None => Err(nothing_about(&connection, what())),
        }
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let connection = self.retrying(async || self.controller().await).await?;
        let version = connection.version::<DeleteTopicsRequest>(Versions::from(1), "deleting a topic")?;
        let mut request = DeleteTopicsRequest { timeout_ms: millis(BROKER_TIMEOUT), ..DeleteTopicsRequest::default() };
        if version >= 6 {
            request.topics = vec![DeleteTopicState { name: Some(name.to_owned()), ..DeleteTopicState::default() }];
        } else {
            request.topic_names = vec![name.to_owned()];
        }
        let response = connection.call_for(version, &request, BROKER_TIMEOUT).await?;
        let what = || format!("topic {name}");
        match response.responses.into_iter().next() {
            Some(result) => ClientError::check(result.error_code, result.error_message.as_deref(), what),
            None => Err(nothing_about(&connection, what())),
        }
    }

    /// The settings of topics, all of them with where they come from.
    pub async fn topic_settings(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<Setting>>, ClientError> {
        let resource = |name: &&str| DescribeConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: (*name).to_owned(),
            ..DescribeConfigsResource::default()
        };
        let request = DescribeConfigsRequest {
            resources: names.iter().map(resource).collect(),
            ..DescribeConfigsRequest::default()
        };
        self.retrying(async || {
            let connection = self.any().await?;
            let version =
                connection.version::<DescribeConfigsRequest>(Versions::from(1), "describing a topic's settings")?;
            let response = connection.call(version, &request).await?;
            let mut settings = BTreeMap::new();
            for result in response.results {
                ClientError::check(result.error_code, result.error_message.as_deref(), || {
                    format!("the settings of topic {}", result.resource_name)
                })?;
                let own = result.configs.into_iter().map(|config| Setting {
                    is_own: config.config_source == DYNAMIC_TOPIC_CONFIG,
                    name: config.name,
                    value: config.value,
                });
                settings.insert(result.resource_name, own.collect());
            }
            Ok(settings)
        })
        .await
    }
}

fn nothing_about(connection: &super::Connection, what: String) -> ClientError {
    let reason = format!("it answers nothing about {what}");
    ClientError::Protocol { address: connection.address().clone(), reason }
}

pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
