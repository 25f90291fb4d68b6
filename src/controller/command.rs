//! What the controller can be asked, and what it answers.

use std::collections::BTreeMap;

use crate::{
    config::ConsumerSettings,
    metadata::Listener,
    model::{NodeId, ProducerId, TopicId, Uuid},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    InitializeCluster(InitializeCluster),
    RegisterBroker(RegisterBroker),
    CreateTopics(CreateTopics),
    DeleteTopics(DeleteTopics),
    CreatePartitions(CreatePartitions),
    AlterConfigs(AlterConfigs),
    AlterGroupConfigs(AlterGroupConfigs),
    AllocateProducerIds(AllocateProducerIds),
}

/// The variant of the command's name. Results for topics come in no particular order, as Kafka's do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    InitializeCluster(Result<ClusterInitialized, Refusal>),
    RegisterBroker(Result<BrokerRegistered, Refusal>),
    /// By name; a name that came twice has one result.
    CreateTopics(Vec<(String, Result<TopicCreated, Refusal>)>),
    DeleteTopics(Vec<DeletedTopic>),
    /// By name; a name that came twice has one result.
    CreatePartitions(Vec<(String, Result<(), Refusal>)>),
    /// By topic name; one that came twice has two results.
    AlterConfigs(Vec<(String, Result<(), Refusal>)>),
    /// By group id; one that came twice has two results.
    AlterGroupConfigs(Vec<(String, Result<(), Refusal>)>),
    AllocateProducerIds(Result<ProducerIdBlock, Refusal>),
}

/// Gives an empty cluster its id, and finalizes the levels of features that have none yet. Asked again it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitializeCluster {
    pub cluster_id: String,
    /// Features and the levels to begin with, such as `metadata.version`.
    pub features: BTreeMap<String, i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterInitialized {
    /// Whether it was this command that did it.
    pub first: bool,
}

/// A broker has started, or has new addresses. It is unfenced at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    pub node_id: NodeId,
    pub cluster_id: String,
    /// A new random one at every start of the process.
    pub incarnation_id: Uuid,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    /// The ids of its log directories; at least one.
    pub directories: Vec<Uuid>,
    /// The epoch that its last clean stop left on disk. Any other than the registered one, or none, makes this the start
    /// after an unclean stop: what was acknowledged may be lost (KIP-966).
    pub previous_epoch: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRegistered {
    pub epoch: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    pub topics: Vec<NewTopic>,
    /// Check and answer as if, and change nothing.
    pub validate_only: bool,
    pub defaults: TopicDefaults,
    /// A random number: where placement begins.
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// A random id that the topic gets if it is created.
    pub candidate_id: TopicId,
    /// -1 for the broker's default (KIP-464), and with `assignments`.
    pub num_partitions: i32,
    /// -1 for the broker's default (KIP-464), and with `assignments`.
    pub replication_factor: i16,
    /// Partition and its replicas; empty to let the controller place them.
    pub assignments: Vec<(i32, Vec<NodeId>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// What the broker's own settings say of new topics: `num.partitions`, `default.replication.factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    pub num_partitions: i32,
    pub replication_factor: i16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCreated {
    pub id: TopicId,
    pub num_partitions: i32,
    pub replication_factor: i16,
    /// The settings that the topic overrides.
    pub configs: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopics {
    pub topics: Vec<TopicRef>,
}

/// A topic by its name or its id; a client may, wrongly, give both or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRef {
    pub name: Option<String>,
    /// Zero for none.
    pub id: TopicId,
}

/// What became of a topic that was to be deleted. Name and id are both known where the topic was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    pub name: Option<String>,
    pub id: TopicId,
    pub result: Result<(), Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    pub topics: Vec<NewPartitions>,
    /// Check and answer as if, and change nothing.
    pub validate_only: bool,
    /// A random number: where placement begins.
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    pub topic: String,
    /// How many partitions the topic shall have in all.
    pub count: i32,
    /// The replicas of each *new* partition; none to let the controller place them.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// IncrementalAlterConfigs (KIP-339) and AlterConfigs (KIP-133) for topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    pub topics: Vec<TopicConfigChanges>,
    /// Check and answer as if, and change nothing.
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfigChanges {
    pub topic: String,
    pub changes: Vec<ConfigChange>,
    /// Settings that no change names go back to their defaults: the old AlterConfigs.
    pub replaces_all: bool,
}

/// IncrementalAlterConfigs and AlterConfigs for groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterGroupConfigs {
    pub groups: Vec<GroupConfigChanges>,
    /// What the broker's own settings say of groups: their bounds and defaults.
    pub broker: ConsumerSettings,
    /// Check and answer as if, and change nothing.
    pub validate_only: bool,
}

/// The group need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfigChanges {
    pub group: String,
    pub changes: Vec<ConfigChange>,
    /// Settings that no change names go back to their defaults: the old AlterConfigs.
    pub replaces_all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    pub name: String,
    pub op: ConfigOp,
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    Set,
    /// Back to the default. The value does not matter.
    Delete,
    /// Adds to a list what it does not have.
    Append,
    /// Takes from a list.
    Subtract,
}

/// A broker wants producer ids to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateProducerIds {
    pub node_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: i64,
}

/// `len` producer ids from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: ProducerId,
    pub len: i32,
}

/// Why the controller does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", message.as_deref().unwrap_or("refused"))]
pub struct Refusal {
    pub reason: Reason,
    /// Kafka's words for it; none where Kafka sends just the code.
    pub message: Option<String>,
}

/// Each is one of Kafka's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    UnknownServerError,
    UnknownTopicOrPartition,
    InvalidTopic,
    TopicAlreadyExists,
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidReplicaAssignment,
    InvalidConfig,
    InvalidRequest,
    PolicyViolation,
    StaleBrokerEpoch,
    UnknownTopicId,
    InconsistentClusterId,
    InvalidRegistration,
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Refusal {
        Refusal { reason, message: Some(message.into()) }
    }

    /// Just the code.
    pub fn wordless(reason: Reason) -> Refusal {
        Refusal { reason, message: None }
    }

    /// The command would make more than [`MAX_RECORDS`](super::MAX_RECORDS) records.
    pub(super) fn too_large() -> Refusal {
        Refusal::new(Reason::PolicyViolation, "Unable to perform excessively large batch operation.")
    }
}
