//! What a run of metadata records touched, so that a subscriber looks at that and never compares images.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{NodeId, PartitionIndex, TopicId, TopicIdPartition};

/// What changed between two images. It says *where* to look; what is there now is in the newer image, and what was
/// there before in the older.
///
/// A topic that was created and deleted within one delta does not appear. So `topics_created` and `partitions` name
/// only what the newer image has, and `topics_deleted` only what the older one had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub topics_created: BTreeSet<TopicId>,
    pub topics_deleted: BTreeMap<TopicId, DeletedTopic>,
    /// Partitions that were created or whose leader, replicas, ISR, ELR or epochs changed.
    pub partitions: BTreeSet<TopicIdPartition>,
    /// Topics whose settings changed, new topics with settings included.
    pub topic_configs: BTreeSet<TopicId>,
    /// Groups whose settings changed.
    pub group_configs: BTreeSet<Arc<str>>,
    /// Brokers that registered, or whose registration changed.
    pub brokers: BTreeSet<NodeId>,
    /// Feature levels or the cluster id changed.
    pub cluster: bool,
    pub producer_ids: bool,
}

/// What there was of a topic that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    pub name: Arc<str>,
    /// Its partitions were 0 to `partitions` - 1.
    pub partitions: i32,
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// Adds what a later delta touched.
    pub fn merge(&mut self, later: Delta) {
        for (id, deleted) in later.topics_deleted {
            self.note_topic_deleted(id, deleted);
        }
        self.topics_created.extend(later.topics_created);
        self.partitions.extend(later.partitions);
        self.topic_configs.extend(later.topic_configs);
        self.group_configs.extend(later.group_configs);
        self.brokers.extend(later.brokers);
        self.cluster |= later.cluster;
        self.producer_ids |= later.producer_ids;
    }

    pub(super) fn note_topic_deleted(&mut self, id: TopicId, deleted: DeletedTopic) {
        let partition = |index| TopicIdPartition { topic_id: id, partition: PartitionIndex(index) };
        // `split_off` twice, rather than `retain`, keeps a deletion independent of how much else was touched.
        let mut from = self.partitions.split_off(&partition(0));
        let mut after = from.split_off(&partition(i32::MAX));
        self.partitions.append(&mut after);
        self.topic_configs.remove(&id);
        if !self.topics_created.remove(&id) {
            self.topics_deleted.insert(id, deleted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uuid;

    fn id(n: u8) -> TopicId {
        TopicId(Uuid([n; 16]))
    }

    fn deleted(name: &str) -> DeletedTopic {
        DeletedTopic { name: Arc::from(name), partitions: 2 }
    }

    fn created(n: u8) -> Delta {
        let partition = |index| TopicIdPartition { topic_id: id(n), partition: PartitionIndex(index) };
        Delta {
            topics_created: BTreeSet::from([id(n)]),
            partitions: BTreeSet::from([partition(0), partition(1)]),
            topic_configs: BTreeSet::from([id(n)]),
            ..Delta::default()
        }
    }

    #[test]
    fn a_topic_created_and_deleted_leaves_nothing() {
        let mut delta = created(2);
        delta.merge(created(1));
        delta.merge(created(3));
        delta.note_topic_deleted(id(2), deleted("gone"));
        let mut others = created(1);
        others.merge(created(3));
        assert_eq!(delta, others);
    }

    #[test]
    fn merging_forgets_what_the_later_delta_deleted() {
        let mut delta = created(1);
        let mut later = Delta::default();
        later.note_topic_deleted(id(1), deleted("a"));
        later.note_topic_deleted(id(2), deleted("b"));
        delta.merge(later);
        assert_eq!(delta, Delta { topics_deleted: BTreeMap::from([(id(2), deleted("b"))]), ..Delta::default() });
    }
}
