//! Topics and partitions as the metadata knows them.

use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, VectorSync};

use super::record::{
    ConfigRecord, LEADER_UNCHANGED, PartitionChangeRecord, PartitionRecord, Record, TOPIC_RESOURCE, TopicRecord,
};
use crate::model::{LeaderEpoch, NodeId, PartitionIndex, TopicId, Uuid};

/// The leader of a partition that has none.
pub const NO_LEADER: NodeId = NodeId(-1);

/// The coordinators' own topics, as Kafka's `Topic.isInternal` has them: clients may read them and write to none.
const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether a topic of this name is one of the coordinators'.
pub fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// A topic with its partitions and the settings that it overrides. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub(super) id: TopicId,
    pub(super) name: Arc<str>,
    pub(super) partitions: VectorSync<Partition>,
    pub(super) configs: RedBlackTreeMapSync<Arc<str>, Arc<str>>,
}

/// One partition's assignment and who leads it.
///
/// Invariants: `isr` and `elr` are disjoint subsets of `replicas`; `directories` has an entry for each replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// [`NO_LEADER`] while there is none.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes to this partition.
    pub partition_epoch: i32,
    /// The first one is the preferred leader.
    pub replicas: Arc<[NodeId]>,
    /// In-sync replicas.
    pub isr: Arc<[NodeId]>,
    /// Eligible leader replicas (KIP-966): they left the ISR when it was at `min.insync.replicas`, so they have all that
    /// was acknowledged.
    pub elr: Arc<[NodeId]>,
    /// The log directory of each replica (KIP-858); zero while not known.
    pub directories: Arc<[Uuid]>,
}

impl Topic {
    pub(super) fn new(id: TopicId, name: Arc<str>) -> Topic {
        Topic { id, name, partitions: VectorSync::new_sync(), configs: RedBlackTreeMapSync::new_sync() }
    }

    pub fn id(&self) -> TopicId {
        self.id
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partitions are numbered in 31 bits")
    }

    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// All partitions, by index.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Partition)> {
        (0..).map(PartitionIndex).zip(self.partitions.iter())
    }

    /// How many replicas its partitions have, as far as they agree.
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |first| first.replicas.len())
    }

    /// The topic's own value of a setting; none where it has the default.
    pub fn config(&self, name: &str) -> Option<&str> {
        self.configs.get(name).map(|value| &**value)
    }

    /// The settings that this topic overrides, by name.
    pub fn configs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configs.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let topic =
            Record::from(TopicRecord { name: self.name.to_string(), topic_id: self.id.0, ..TopicRecord::default() });
        let configs = self.configs().map(|(name, value)| {
            Record::from(ConfigRecord {
                resource_type: TOPIC_RESOURCE,
                resource_name: self.name.to_string(),
                name: name.to_owned(),
                value: Some(value.to_owned()),
                ..ConfigRecord::default()
            })
        });
        let partitions = self.partitions().map(|(index, partition)| partition.record(self.id, index).into());
        std::iter::once(topic).chain(configs).chain(partitions)
    }
}

impl Partition {
    /// The form in which a new partition, or one in a snapshot, is recorded.
    pub fn record(&self, topic_id: TopicId, index: PartitionIndex) -> PartitionRecord {
        PartitionRecord {
            partition_id: index.0,
            topic_id: topic_id.0,
            replicas: raw(&self.replicas),
            isr: raw(&self.isr),
            leader: self.leader.0,
            leader_epoch: self.leader_epoch.0,
            partition_epoch: self.partition_epoch,
            directories: self.directories.to_vec(),
            eligible_leader_replicas: raw(&self.elr),
            ..PartitionRecord::default()
        }
    }

    pub(super) fn of(record: &PartitionRecord) -> Partition {
        let replicas = nodes(&record.replicas);
        // Mostly the same, and then one allocation serves both.
        let isr = if record.isr == record.replicas { replicas.clone() } else { nodes(&record.isr) };
        Partition {
            leader: NodeId(record.leader),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
            replicas,
            isr,
            elr: nodes(&record.eligible_leader_replicas),
            directories: Arc::from(&*record.directories),
        }
    }

    pub(super) fn change(&mut self, record: &PartitionChangeRecord) {
        if let Some(isr) = &record.isr {
            self.isr = nodes(isr);
        }
        if let Some(elr) = &record.eligible_leader_replicas {
            self.elr = nodes(elr);
        }
        if let Some(replicas) = &record.replicas {
            self.replicas = nodes(replicas);
        }
        if let Some(directories) = &record.directories {
            self.directories = Arc::from(&**directories);
        }
        // Naming a leader begins an epoch, also where it is the one that leads already.
        if record.leader != LEADER_UNCHANGED {
            self.leader = NodeId(record.leader);
            self.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(1));
        }
        self.partition_epoch = self.partition_epoch.saturating_add(1);
    }

    pub(super) fn debug_assert_invariants(&self) {
        debug_assert!(self.isr.iter().chain(&*self.elr).all(|node| self.replicas.contains(node)), "{self:?}");
        debug_assert!(!self.isr.iter().any(|node| self.elr.contains(node)), "{self:?}");
        debug_assert_eq!(self.replicas.len(), self.directories.len(), "{self:?}");
    }
}

fn nodes(ids: &[i32]) -> Arc<[NodeId]> {
    ids.iter().copied().map(NodeId).collect()
}

fn raw(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
