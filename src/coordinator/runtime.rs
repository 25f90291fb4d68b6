//! The coordinators of all groups whose partition of `__consumer_offsets` this broker leads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use felice_protocol::{error::ErrorCode, messages::list_groups::ListedGroup, record::Compression};
use futures_util::future;
use parking_lot::RwLock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    group::{Answer, Command, GroupSettings, Query},
    journal::Journal,
    shard::{Answered, NewCall, Shard, Surroundings},
    view,
};
use crate::{
    config::{self, BrokerConfig},
    controller::{self, CreateTopics, NewTopic, Reason, Reply, TopicDefaults},
    env::SharedEnv,
    metadata::{Delta, Image, NO_LEADER, Topic},
    model::{LeaderEpoch, NodeId, PartitionIndex, Principal, TopicId, TopicIdPartition},
    quorum::{Quorum, Subscriber},
    replica::Replicas,
    store::SharedStore,
};

/// The topic in which groups and their offsets are.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What is not a group's own business.
pub struct GroupCoordinatorConfig {
    pub node_id: NodeId,
    pub groups: GroupSettings,
    /// `offsets.topic.num.partitions`, `offsets.topic.replication.factor` and `offsets.topic.segment.bytes`: of a topic that does
    /// not exist yet.
    pub partitions: i32,
    pub replication_factor: i16,
    pub segment_bytes: i32,
    /// `offsets.topic.compression.codec`
    pub compression: Compression,
    /// `offsets.load.buffer.size`
    pub load_bytes: usize,
}

impl From<&BrokerConfig> for GroupCoordinatorConfig {
    fn from(config: &BrokerConfig) -> Self {
        let config::GroupSettings { offsets, offsets_topic: topic, .. } = &config.groups;
        GroupCoordinatorConfig {
            node_id: config.node_id,
            groups: GroupSettings::from(&config.groups),
            partitions: topic.num_partitions,
            replication_factor: topic.replication_factor,
            segment_bytes: topic.segment_bytes,
            compression: Compression::new(topic.compression_codec),
            load_bytes: offsets.load_buffer_size,
        }
    }
}

/// See the module.
pub struct GroupCoordinator {
    config: GroupCoordinatorConfig,
    around: Arc<Surroundings>,
    replicas: Arc<Replicas>,
    shards: RwLock<Shards>,
    /// One creation of the topic at a time.
    creating: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

#[derive(Default)]
struct Shards {
    topic: Option<TopicId>,
    by_partition: BTreeMap<i32, Arc<Shard>>,
}

impl GroupCoordinator {
    /// Begins to load what this broker leads, and follows the metadata from here on. To be started once the partitions follow
    /// them.
    pub fn start(
        config: GroupCoordinatorConfig,
        env: SharedEnv,
        store: SharedStore,
        quorum: Arc<Quorum>,
        replicas: Arc<Replicas>,
    ) -> Arc<GroupCoordinator> {
        let around = Arc::new(Surroundings {
            env,
            quorum: Arc::clone(&quorum),
            store,
            settings: Arc::new(config.groups.clone()),
            load_bytes: config.load_bytes,
        });
        let coordinator = Arc::new(GroupCoordinator {
            config,
            around,
            replicas,
            shards: RwLock::default(),
            creating: tokio::sync::Mutex::new(()),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        });
        quorum.subscribe(Arc::new(Follower(Arc::downgrade(&coordinator))));
        coordinator
    }

    /// Answers everyone who waits and takes no more.
    pub async fn stop(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Which broker coordinates the group. Makes the topic where there is none yet.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE: nobody leads its partition, or the topic cannot be made.
    pub async fn find(&self, group_id: &str) -> Result<NodeId, ErrorCode> {
        self.ensure_topic().await?;
        let image = self.around.quorum.image();
        let topic = image.topic(OFFSETS_TOPIC).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let index = PartitionIndex(partition_of(group_id, topic.partition_count()));
        let leader = topic.partition(index).map(|partition| partition.leader);
        leader.filter(|leader| *leader != NO_LEADER).ok_or(ErrorCode::CoordinatorNotAvailable)
    }

    /// Carries a command out, if its group is coordinated here.
    pub fn submit(&self, call: NewCall, command: Command) -> Answered {
        match self.shard(command.group_id()) {
            Ok(shard) => shard.submit(call, command),
            Err(error) => Answered::Now(command.refused(error)),
        }
    }

    /// Looks up what is committed of a group.
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
    pub async fn query(&self, group_id: &str, query: Query) -> Result<Answer, ErrorCode> {
        self.shard(group_id)?.query(query).await
    }

    /// All groups here that pass the filters.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS, beside the groups that are loaded.
    pub async fn list(&self, states: &[String], types: &[String]) -> (Vec<ListedGroup>, ErrorCode) {
        let shards = self.shards();
        let query = Query::ListGroups { states: states.to_vec(), types: types.to_vec() };
        let answers = future::join_all(shards.iter().map(|shard| shard.query(query.clone()))).await;
        let (mut groups, mut error) = (Vec::new(), ErrorCode::None);
        for answer in answers {
            match answer {
                Ok(Answer::ListGroups(some)) => groups.extend(some),
                // Its groups are listed by who leads it now.
                Ok(_) | Err(ErrorCode::NotCoordinator) => {}
                Err(other) => error = other,
            }
        }
        (groups, error)
    }

    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.read().by_partition.values().cloned().collect()
    }

    pub(super) fn image(&self) -> Arc<Image> {
        self.around.quorum.image()
    }

    pub(super) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    fn shard(&self, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        let image = self.around.quorum.image();
        let topic = image.topic(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_of(group_id, topic.partition_count());
        let shard = self.shards.read().by_partition.get(&index).cloned();
        shard.or_else(|| self.late_shard(&image, topic, index)).ok_or(ErrorCode::NotCoordinator)
    }

    /// The coordinator of a partition whose log could not be opened when it came here: whoever asks for it tries again.
    fn late_shard(&self, image: &Image, topic: &Topic, index: i32) -> Option<Arc<Shard>> {
        let partition = topic.partition(PartitionIndex(index))?;
        if partition.leader != self.config.node_id || self.ending.is_cancelled() {
            return None;
        }
        self.replicas.reopen(image, TopicIdPartition { topic_id: topic.id(), partition: PartitionIndex(index) })?;
        let mut shards = self.shards.write();
        // Else what follows the metadata is about to see to it.
        if shards.topic != Some(topic.id()) {
            return None;
        }
        self.ensure_shard(&mut shards, topic.id(), index, partition.leader_epoch)
    }

    /// The coordinator of a partition, which begins to load where there is none yet. `None` where the log cannot be opened.
    fn ensure_shard(
        &self,
        shards: &mut Shards,
        topic_id: TopicId,
        index: i32,
        leader_epoch: LeaderEpoch,
    ) -> Option<Arc<Shard>> {
        if let Some(shard) = shards.by_partition.get(&index) {
            return Some(Arc::clone(shard));
        }
        let id = TopicIdPartition { topic_id, partition: PartitionIndex(index) };
        let partition = self.replicas.partition(id)?;
        let journal = Journal { partition, leader_epoch, compression: self.config.compression };
        let shard = Shard::new(journal, Arc::clone(&self.around), self.ending.child_token());
        self.tasks.spawn(Arc::clone(&shard).attend());
        shards.by_partition.insert(index, Arc::clone(&shard));
        Some(shard)
    }

    /// Makes the topic where there is none yet.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE.
    pub async fn ensure_topic(&self) -> Result<(), ErrorCode> {
        if self.around.quorum.image().topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        if self.replicas.trouble().is_some() {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let _creating = self.creating.lock().await;
        let image = self.around.quorum.image();
        if image.topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        // With fewer brokers than it asks for it is made on those that there are: one broker must work as it is.
        let brokers = i16::try_from(image.brokers().filter(|broker| !broker.fenced).count()).unwrap_or(i16::MAX);
        let replication_factor = self.config.replication_factor.min(brokers.max(1));
        let setting = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let topic = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            candidate_id: TopicId(self.around.env.uuid()),
            num_partitions: self.config.partitions,
            replication_factor,
            assignments: Vec::new(),
            configs: vec![
                setting("cleanup.policy", "compact"),
                setting("compression.type", "producer"),
                setting("segment.bytes", &self.config.segment_bytes.to_string()),
            ],
        };
        let command = controller::Command::CreateTopics(CreateTopics {
            topics: vec![topic],
            validate_only: false,
            defaults: TopicDefaults { num_partitions: self.config.partitions, replication_factor },
            seed: self.around.env.random_u64(),
        });
        let failed = match self.around.quorum.submit(&Principal::broker(), command).await {
            Ok(Reply::CreateTopics(results)) => match results.into_iter().next() {
                Some((_, Ok(_))) => return Ok(()),
                Some((_, Err(refusal))) if refusal.reason == Reason::TopicAlreadyExists => return Ok(()),
                Some((_, Err(refusal))) => refusal.to_string(),
                None => "no answer".to_owned(),
            },
            Ok(_) => "the controller answered something else than it was asked".to_owned(),
            Err(error) => error.to_string(),
        };
        warn!("{OFFSETS_TOPIC} cannot be created: {failed}");
        Err(ErrorCode::CoordinatorNotAvailable)
    }

    fn follow(&self, image: &Image, delta: &Delta) {
        let deleted: Vec<Arc<str>> = delta.topics_deleted.values().map(|topic| Arc::clone(&topic.name)).collect();
        let touches_groups = !delta.partitions.is_empty() || !deleted.is_empty() || !delta.group_configs.is_empty();
        let topic = image.topic(OFFSETS_TOPIC);
        let topic_id = topic.map(|topic| topic.id());
        let mut shards = self.shards.write();
        let is_touched = shards.topic != topic_id || delta.partitions.iter().any(|at| Some(at.topic_id) == topic_id);
        if is_touched {
            let led: BTreeMap<i32, LeaderEpoch> = topic
                .into_iter()
                .flat_map(|topic| topic.partitions())
                .filter(|(_, partition)| partition.leader == self.config.node_id)
                .map(|(index, partition)| (index.0, partition.leader_epoch))
                .collect();
            let is_same_topic = shards.topic == topic_id;
            shards.by_partition.retain(|index, shard| {
                let goes_on = is_same_topic && led.get(index) == Some(&shard.journal().leader_epoch);
                if !goes_on {
                    shard.end();
                }
                goes_on
            });
            if let Err(error) = view::clear_all_but(&self.around.store, topic_id) {
                warn!("what is stored of groups whose topic is gone cannot be removed: {error}");
            }
            shards.topic = topic_id;
            if let Some(topic_id) = topic_id {
                for (index, leader_epoch) in led {
                    self.ensure_shard(&mut shards, topic_id, index, leader_epoch);
                }
            }
        }
        if touches_groups {
            shards.by_partition.values().for_each(|shard| shard.topics_changed(deleted.clone()));
        }
    }
}

impl Drop for GroupCoordinator {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

/// Follows the metadata. The quorum has this, and the coordinator has the quorum.
struct Follower(Weak<GroupCoordinator>);

impl Subscriber for Follower {
    fn applied(&self, image: &Arc<Image>, delta: &Delta) {
        if let Some(coordinator) = self.0.upgrade() {
            coordinator.follow(image, delta);
        }
    }
}

/// The partition of a group among so many, as Kafka has it: by Java's `String.hashCode`.
fn partition_of(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Kafka's `Utils.abs(groupId.hashCode) % 50`.
    #[test]
    fn a_group_is_where_kafka_has_it() {
        for (group_id, partition) in [("", 0), ("g", 3), ("console-consumer-12345", 6), ("größe", 7), ("😀", 49)] {
            assert_eq!(partition_of(group_id, 50), partition, "{group_id}");
        }
    }
}
