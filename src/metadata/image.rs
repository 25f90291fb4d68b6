//! The cluster as the metadata log describes it: an immutable value whose maps share structure, so that a copy costs
//! nothing, a record O(log n), and a reader that holds one is never in anybody's way.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use rpds::RedBlackTreeMapSync;

use super::{
    broker::Broker,
    delta::{DeletedTopic, Delta},
    record::{
        ClusterRecord, ConfigRecord, FeatureLevelRecord, GROUP_RESOURCE, PartitionChangeRecord, PartitionRecord,
        ProducerIdsRecord, Record, RemoveTopicRecord, TOPIC_RESOURCE, TopicRecord,
    },
    topic::{Partition, Topic},
};
use crate::model::{NodeId, PartitionIndex, ProducerId, TopicId, TopicIdPartition};

/// All of the cluster's metadata at one position of its log. Cloning costs a few reference counts.
///
/// Invariants: `topic_ids` maps the name of each topic in `topics` to its id, and nothing else; a topic's name and id
/// never change; its partitions are numbered from 0 without gaps; each group in `group_configs` has a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    cluster_id: Option<Arc<str>>,
    features: RedBlackTreeMapSync<Arc<str>, i16>,
    brokers: RedBlackTreeMapSync<NodeId, Arc<Broker>>,
    topics: RedBlackTreeMapSync<TopicId, Topic>,
    topic_ids: RedBlackTreeMapSync<Arc<str>, TopicId>,
    /// Names with every `.` turned into `_`, of the topics whose names have either: in the names of metrics they would
    /// be one.
    unified_names: RedBlackTreeMapSync<Arc<str>, Arc<str>>,
    /// The settings that groups have of their own.
    group_configs: RedBlackTreeMapSync<Arc<str>, Configs>,
    partition_count: usize,
    next_producer_id: ProducerId,
}

type Configs = RedBlackTreeMapSync<Arc<str>, Arc<str>>;

/// A record does not fit the image that it came to. The log or the code is broken: there is no way on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("no topic has id {0}")]
    UnknownTopicId(TopicId),
    #[error("no topic has the name {0:?}")]
    UnknownTopic(String),
    #[error("a topic {name:?} or with id {id} exists already")]
    TopicExists { name: String, id: TopicId },
    #[error("partition {partition} of {topic:?} exists already or would leave a gap")]
    PartitionOutOfSequence { topic: String, partition: i32 },
    #[error("{topic:?} has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("settings of resource type {0} are not supported")]
    ResourceType(i8),
    #[error("producer id {next} is not beyond {current}")]
    ProducerIdsBackwards { current: ProducerId, next: ProducerId },
    #[error("the cluster id is {current}, not {other}")]
    ClusterId { current: String, other: String },
}

impl Default for Image {
    fn default() -> Self {
        Image {
            cluster_id: None,
            features: RedBlackTreeMapSync::new_sync(),
            brokers: RedBlackTreeMapSync::new_sync(),
            topics: RedBlackTreeMapSync::new_sync(),
            topic_ids: RedBlackTreeMapSync::new_sync(),
            unified_names: RedBlackTreeMapSync::new_sync(),
            group_configs: RedBlackTreeMapSync::new_sync(),
            partition_count: 0,
            next_producer_id: ProducerId(0),
        }
    }
}

/// Reading.
impl Image {
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// A feature's finalized level; 0 where it has none, which means that the feature is off.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Finalized features, by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    pub fn broker(&self, id: NodeId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, fenced ones too, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    pub fn partition(&self, at: TopicIdPartition) -> Option<&Partition> {
        self.topics.get(&at.topic_id)?.partition(at.partition)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// In order.
    pub fn topic_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topic_ids.keys()
    }

    /// The topics whose name is `first` or sorts behind it, by name.
    pub fn topics_from<'a>(&'a self, first: &'a str) -> impl Iterator<Item = &'a Topic> {
        let range = (Bound::Included(first), Bound::<&str>::Unbounded);
        self.topic_ids.range::<str, _>(range).filter_map(|(_, id)| self.topics.get(id))
    }

    pub fn topic_count(&self) -> usize {
        self.topic_ids.size()
    }

    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The first producer id that no broker was given.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The topic with which a topic of this name would share the names of its metrics.
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        Some(&**self.unified_names.get(&*unified_name(name)?)?)
    }

    /// The settings that a group has of its own, by name; most have none.
    pub fn group_config(&self, group: &str) -> BTreeMap<String, String> {
        let configs = self.group_configs.get(group);
        configs.into_iter().flatten().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The groups that have settings of their own, by name.
    pub fn groups_with_configs(&self) -> impl Iterator<Item = &Arc<str>> {
        self.group_configs.keys()
    }

    /// Records that, applied to an empty image, make this one.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let cluster_id = self
            .cluster_id
            .iter()
            .map(|id| ClusterRecord { cluster_id: id.to_string(), ..ClusterRecord::default() }.into());
        let features = self.features.iter().map(|(name, level)| {
            FeatureLevelRecord { name: name.to_string(), feature_level: *level, ..FeatureLevelRecord::default() }.into()
        });
        let brokers = self.brokers.values().map(|broker| broker.record().into());
        let producer_ids = (self.next_producer_id > ProducerId(0)).then(|| {
            // Whom the last block went to matters to nobody any more.
            let next_producer_id = self.next_producer_id.0;
            ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id, ..ProducerIdsRecord::default() }
                .into()
        });
        let groups = self.group_configs.iter().flat_map(|(group, configs)| {
            configs.iter().map(|(name, value)| {
                ConfigRecord {
                    resource_type: GROUP_RESOURCE,
                    resource_name: group.to_string(),
                    name: name.to_string(),
                    value: Some(value.to_string()),
                    ..ConfigRecord::default()
                }
                .into()
            })
        });
        cluster_id
            .chain(features)
            .chain(brokers)
            .chain(producer_ids)
            .chain(groups)
            .chain(self.topics().flat_map(Topic::records))
    }
}

/// Changing.
impl Image {
    /// The image one record further. `delta` is told what was touched.
    ///
    /// After an error the image is as it was before.
    pub fn apply(&mut self, record: &Record, delta: &mut Delta) -> Result<(), Misfit> {
        match record {
            Record::Cluster(record) => self.apply_cluster(record, delta),
            Record::FeatureLevel(record) => {
                if record.feature_level == 0 {
                    self.features.remove_mut(&*record.name);
                } else {
                    self.features.insert_mut(Arc::from(&*record.name), record.feature_level);
                }
                delta.cluster = true;
                Ok(())
            }
            Record::RegisterBroker(record) => {
                let broker = Broker::of(record);
                delta.brokers.insert(broker.id);
                self.brokers.insert_mut(broker.id, Arc::new(broker));
                Ok(())
            }
            Record::ProducerIds(record) => {
                let next = ProducerId(record.next_producer_id);
                if next <= self.next_producer_id {
                    return Err(Misfit::ProducerIdsBackwards { current: self.next_producer_id, next });
                }
                self.next_producer_id = next;
                delta.producer_ids = true;
                Ok(())
            }
            Record::Topic(record) => self.apply_topic(record, delta),
            Record::RemoveTopic(record) => self.apply_remove_topic(record, delta),
            Record::Config(record) => self.apply_config(record, delta),
            Record::Partition(record) => self.apply_partition(record, delta),
            Record::PartitionChange(record) => self.apply_partition_change(record, delta),
        }
    }

    fn apply_cluster(&mut self, record: &ClusterRecord, delta: &mut Delta) -> Result<(), Misfit> {
        match &self.cluster_id {
            Some(current) if **current != *record.cluster_id => {
                Err(Misfit::ClusterId { current: current.to_string(), other: record.cluster_id.clone() })
            }
            _ => {
                self.cluster_id = Some(Arc::from(&*record.cluster_id));
                delta.cluster = true;
                Ok(())
            }
        }
    }

    fn apply_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Result<(), Misfit> {
        let id = TopicId(record.topic_id);
        if self.topics.contains_key(&id) || self.topic_ids.contains_key(&*record.name) {
            return Err(Misfit::TopicExists { name: record.name.clone(), id });
        }
        let name: Arc<str> = Arc::from(&*record.name);
        if let Some(unified) = unified_name(&name) {
            self.unified_names.insert_mut(Arc::from(unified), name.clone());
        }
        self.topic_ids.insert_mut(name.clone(), id);
        self.topics.insert_mut(id, Topic::new(id, name));
        delta.topics_created.insert(id);
        Ok(())
    }

    fn apply_remove_topic(&mut self, record: &RemoveTopicRecord, delta: &mut Delta) -> Result<(), Misfit> {
        let id = TopicId(record.topic_id);
        let topic = self.topics.get(&id).ok_or(Misfit::UnknownTopicId(id))?;
        let (name, partitions) = (topic.name.clone(), topic.partition_count());
        self.partition_count -= topic.partitions.len();
        self.topics.remove_mut(&id);
        self.topic_ids.remove_mut(&*name);
        if let Some(unified) = unified_name(&name) {
            self.unified_names.remove_mut(&*unified);
        }
        delta.note_topic_deleted(id, DeletedTopic { name, partitions });
        Ok(())
    }

    fn apply_config(&mut self, record: &ConfigRecord, delta: &mut Delta) -> Result<(), Misfit> {
        match record.resource_type {
            TOPIC_RESOURCE => self.apply_topic_config(record, delta),
            GROUP_RESOURCE => {
                self.apply_group_config(record, delta);
                Ok(())
            }
            other => Err(Misfit::ResourceType(other)),
        }
    }

    fn apply_group_config(&mut self, record: &ConfigRecord, delta: &mut Delta) {
        let group: Arc<str> = Arc::from(&*record.resource_name);
        let mut configs = self.group_configs.get(&group).cloned().unwrap_or_else(Configs::new_sync);
        match &record.value {
            Some(value) => configs.insert_mut(Arc::from(&*record.name), Arc::from(&**value)),
            None => {
                configs.remove_mut(&*record.name);
            }
        }
        if configs.is_empty() {
            self.group_configs.remove_mut(&group);
        } else {
            self.group_configs.insert_mut(Arc::clone(&group), configs);
        }
        delta.group_configs.insert(group);
    }

    fn apply_topic_config(&mut self, record: &ConfigRecord, delta: &mut Delta) -> Result<(), Misfit> {
        let id = self.topic_ids.get(&*record.resource_name);
        let topic = id.and_then(|id| self.topics.get_mut(id));
        let topic = topic.ok_or_else(|| Misfit::UnknownTopic(record.resource_name.clone()))?;
        match &record.value {
            Some(value) => topic.configs.insert_mut(Arc::from(&*record.name), Arc::from(&**value)),
            None => {
                topic.configs.remove_mut(&*record.name);
            }
        }
        delta.topic_configs.insert(topic.id);
        Ok(())
    }

    fn apply_partition(&mut self, record: &PartitionRecord, delta: &mut Delta) -> Result<(), Misfit> {
        let id = TopicId(record.topic_id);
        let topic = self.topics.get_mut(&id).ok_or(Misfit::UnknownTopicId(id))?;
        if record.partition_id != topic.partition_count() {
            return Err(Misfit::PartitionOutOfSequence {
                topic: topic.name.to_string(),
                partition: record.partition_id,
            });
        }
        let partition = Partition::of(record);
        partition.debug_assert_invariants();
        topic.partitions.push_back_mut(partition);
        self.partition_count += 1;
        delta.partitions.insert(TopicIdPartition { topic_id: id, partition: PartitionIndex(record.partition_id) });
        Ok(())
    }

    fn apply_partition_change(&mut self, record: &PartitionChangeRecord, delta: &mut Delta) -> Result<(), Misfit> {
        let id = TopicId(record.topic_id);
        let topic = self.topics.get_mut(&id).ok_or(Misfit::UnknownTopicId(id))?;
        let index = PartitionIndex(record.partition_id);
        let partition = usize::try_from(index.0).ok().and_then(|at| topic.partitions.get_mut(at));
        let Some(partition) = partition else {
            return Err(Misfit::UnknownPartition { topic: topic.name.to_string(), partition: index.0 });
        };
        partition.change(record);
        partition.debug_assert_invariants();
        delta.partitions.insert(TopicIdPartition { topic_id: id, partition: index });
        Ok(())
    }
}

/// Under which name a topic's metrics would collide; none for a name that cannot.
fn unified_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::{super::record::RegisterBrokerRecord, *};
    use crate::model::{LeaderEpoch, Uuid};

    const ID: Uuid = Uuid([1; 16]);
    const STRANGER: Uuid = Uuid([2; 16]);

    fn topic(name: &str, topic_id: Uuid) -> Record {
        TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() }.into()
    }

    fn partition(topic_id: Uuid, partition_id: i32) -> Record {
        let directories = vec![Uuid::ZERO];
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            directories,
            ..Default::default()
        }
        .into()
    }

    fn config(resource_type: i8, topic: &str, value: Option<&str>) -> Record {
        let (resource_name, name) = (topic.to_owned(), "segment.ms".to_owned());
        ConfigRecord { resource_type, resource_name, name, value: value.map(str::to_owned), ..ConfigRecord::default() }
            .into()
    }

    fn image_of(records: &[Record]) -> Image {
        let mut image = Image::default();
        for record in records {
            image.apply(record, &mut Delta::default()).unwrap();
        }
        image
    }

    fn small() -> Image {
        image_of(&[
            ClusterRecord { cluster_id: "c".to_owned(), ..ClusterRecord::default() }.into(),
            RegisterBrokerRecord { broker_id: 1, broker_epoch: 1, ..Default::default() }.into(),
            ProducerIdsRecord { broker_id: 1, broker_epoch: 1, next_producer_id: 1000, ..ProducerIdsRecord::default() }
                .into(),
            topic("a.b", ID),
            partition(ID, 0),
            partition(ID, 1),
        ])
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let change = |topic_id, partition_id| PartitionChangeRecord { topic_id, partition_id, ..Default::default() };
        for (record, text) in [
            (topic("a.b", STRANGER), format!("a topic \"a.b\" or with id {STRANGER} exists already")),
            (topic("c", ID), format!("a topic \"c\" or with id {ID} exists already")),
            (partition(ID, 0), "partition 0 of \"a.b\" exists already or would leave a gap".to_owned()),
            (partition(ID, 3), "partition 3 of \"a.b\" exists already or would leave a gap".to_owned()),
            (partition(STRANGER, 0), format!("no topic has id {STRANGER}")),
            (change(ID, 2).into(), "\"a.b\" has no partition 2".to_owned()),
            (change(ID, -1).into(), "\"a.b\" has no partition -1".to_owned()),
            (change(STRANGER, 0).into(), format!("no topic has id {STRANGER}")),
            (
                RemoveTopicRecord { topic_id: STRANGER, ..RemoveTopicRecord::default() }.into(),
                format!("no topic has id {STRANGER}"),
            ),
            (config(TOPIC_RESOURCE, "a_b", Some("1")), "no topic has the name \"a_b\"".to_owned()),
            (config(4, "a.b", Some("1")), "settings of resource type 4 are not supported".to_owned()),
            (
                ProducerIdsRecord {
                    broker_id: 1,
                    broker_epoch: 1,
                    next_producer_id: 1000,
                    ..ProducerIdsRecord::default()
                }
                .into(),
                "producer id 1000 is not beyond 1000".to_owned(),
            ),
            (
                ClusterRecord { cluster_id: "d".to_owned(), ..ClusterRecord::default() }.into(),
                "the cluster id is c, not d".to_owned(),
            ),
        ] {
            let (mut image, mut delta) = (small(), Delta::default());
            let misfit = image.apply(&record, &mut delta).unwrap_err();
            assert_eq!(misfit.to_string(), text);
            assert_eq!((image, delta.is_empty()), (small(), true), "{record:?}");
        }
    }

    #[test]
    fn an_older_image_stays_as_it_was() {
        let older = small();
        let mut newer = older.clone();
        let change = PartitionChangeRecord { topic_id: ID, partition_id: 1, leader: 1, ..Default::default() };
        for record in [change.into(), config(TOPIC_RESOURCE, "a.b", Some("5")), partition(ID, 2)] {
            newer.apply(&record, &mut Delta::default()).unwrap();
        }
        assert_eq!(older, small());
        let topic = newer.topic("a.b").unwrap();
        let epochs: Vec<_> = topic.partitions().map(|(_, p)| (p.leader_epoch, p.partition_epoch)).collect();
        assert_eq!(epochs, [(LeaderEpoch(0), 0), (LeaderEpoch(1), 1), (LeaderEpoch(0), 0)]);
        assert_eq!((topic.config("segment.ms"), newer.partition_count()), (Some("5"), 3));
    }

    #[test]
    fn a_group_need_not_exist_to_have_settings() {
        let mut image = small();
        let mut delta = Delta::default();
        for value in [Some("1"), Some("2")] {
            image.apply(&config(GROUP_RESOURCE, "g", value), &mut delta).unwrap();
        }
        assert_eq!(delta.group_configs.iter().map(|group| &**group).collect::<Vec<_>>(), ["g"]);
        assert_eq!(image.group_config("g"), BTreeMap::from([("segment.ms".to_owned(), "2".to_owned())]));
        assert_eq!(image.group_config("h"), BTreeMap::new());
        assert_eq!(image_of(&image.records().collect::<Vec<_>>()), image, "a snapshot has them");
        image.apply(&config(GROUP_RESOURCE, "g", None), &mut delta).unwrap();
        assert_eq!(image, small(), "nothing is left of them");
    }

    #[test]
    fn names_collide_until_the_topic_is_gone() {
        let mut image = small();
        assert_eq!(image.colliding_topic("a_b"), Some("a.b"));
        assert_eq!(image.colliding_topic("a-b"), None);
        image
            .apply(&RemoveTopicRecord { topic_id: ID, ..RemoveTopicRecord::default() }.into(), &mut Delta::default())
            .unwrap();
        assert_eq!(image.colliding_topic("a_b"), None);
        assert_eq!((image.topic_count(), image.partition_count()), (0, 0));
    }

    #[test]
    fn a_feature_at_level_zero_is_none() {
        let level = |feature_level| {
            FeatureLevelRecord { name: "f".to_owned(), feature_level, ..FeatureLevelRecord::default() }.into()
        };
        let image = image_of(&[level(3)]);
        assert_eq!((image.feature_level("f"), image.feature_level("g")), (3, 0));
        assert_eq!(image_of(&[level(3), level(0)]), Image::default());
    }
}
