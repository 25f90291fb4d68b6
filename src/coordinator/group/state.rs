//! What a partition of `__consumer_offsets` says: each key's last value, put where it is looked for.

use std::sync::Arc;

use felice_protocol::{
    Uuid,
    coordinator::{GroupRecord, consumer_group::*, offsets::*},
};
use rpds::RedBlackTreeMapSync as Map;

use crate::model::{Offset, ProducerId, Timestamp};

/// The groups and offsets of one coordinator, as its log has them. Cheap to clone; equal where the logs say the same.
///
/// A group id may be in `classic` or in `consumer`, and in both only between the records of one decision that converts it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Classic groups as of their last completed rebalance.
    pub classic: Map<Arc<str>, Arc<GroupMetadataValue>>,
    pub consumer: Map<Arc<str>, ConsumerGroup>,
    pub offsets: Map<Arc<str>, GroupOffsets>,
    /// Offsets that transactions have committed which have not ended (KIP-98).
    pub pending: Map<ProducerId, Map<OffsetKey, Arc<CommittedOffset>>>,
}

/// Of one group: by topic, by partition.
pub type GroupOffsets = Map<Arc<str>, Map<i32, Arc<CommittedOffset>>>;

/// Group, topic and partition.
pub type OffsetKey = (Arc<str>, Arc<str>, i32);

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedOffset {
    pub offset: Offset,
    /// Of the record before it; -1 where the consumer did not know.
    pub leader_epoch: i32,
    pub metadata: Box<str>,
    pub committed_at: Timestamp,
    /// Where the commit named its own retention (OffsetCommit 2 to 4).
    pub expires_at: Option<Timestamp>,
    /// Zero where it was not known.
    pub topic_id: Uuid,
}

/// A consumer group (KIP-848). Empty parts are those of which the log says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConsumerGroup {
    pub metadata: Option<Arc<ConsumerGroupMetadataValue>>,
    pub members: Map<Arc<str>, Arc<ConsumerGroupMemberMetadataValue>>,
    pub target_metadata: Option<Arc<ConsumerGroupTargetAssignmentMetadataValue>>,
    pub targets: Map<Arc<str>, Arc<ConsumerGroupTargetAssignmentMemberValue>>,
    pub currents: Map<Arc<str>, Arc<ConsumerGroupCurrentMemberAssignmentValue>>,
    pub regexes: Map<Arc<str>, Arc<ConsumerGroupRegularExpressionValue>>,
}

impl ConsumerGroup {
    /// Whether the log says nothing of it any more.
    pub fn is_gone(&self) -> bool {
        self.metadata.is_none()
            && self.members.is_empty()
            && self.target_metadata.is_none()
            && self.targets.is_empty()
            && self.currents.is_empty()
            && self.regexes.is_empty()
    }
}

impl State {
    /// Does what a record says. What a tombstone names may be gone already: after a compaction the log may hold only that.
    ///
    /// `producer` is who has written it within a transaction: then it holds once that is committed.
    pub fn apply(&mut self, producer: Option<ProducerId>, record: &GroupRecord) {
        match record {
            GroupRecord::LegacyOffsetCommit(key, value) => {
                let value = value.as_ref().map(|value| CommittedOffset {
                    offset: Offset(value.offset),
                    leader_epoch: -1,
                    metadata: value.metadata.as_str().into(),
                    committed_at: Timestamp(value.commit_timestamp),
                    expires_at: None,
                    topic_id: Uuid::default(),
                });
                self.set_offset(producer, (&key.group, &key.topic, key.partition), value);
            }
            GroupRecord::OffsetCommit(key, value) => {
                let value = value.as_ref().map(CommittedOffset::from);
                self.set_offset(producer, (&key.group, &key.topic, key.partition), value);
            }
            GroupRecord::GroupMetadata(key, value) => match value {
                Some(value) => self.classic.insert_mut(key.group.as_str().into(), Arc::new(value.clone())),
                None => drop(self.classic.remove_mut(key.group.as_str())),
            },
            GroupRecord::ConsumerGroupMetadata(key, value) => {
                let value = value.clone().map(Arc::new);
                self.change(&key.group_id, |group| group.metadata = value);
            }
            // Kafka before 4.1 wrote it; what it tells is looked up in the cluster's metadata.
            GroupRecord::ConsumerGroupPartitionMetadata(..) => {}
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                self.change(&key.group_id, |group| set(&mut group.members, &key.member_id, value));
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => {
                let value = value.clone().map(Arc::new);
                self.change(&key.group_id, |group| group.target_metadata = value);
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                self.change(&key.group_id, |group| set(&mut group.targets, &key.member_id, value));
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                self.change(&key.group_id, |group| set(&mut group.currents, &key.member_id, value));
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                self.change(&key.group_id, |group| set(&mut group.regexes, &key.regular_expression, value));
            }
            // Groups of kinds that are not served here.
            _ => {}
        }
    }

    /// A transaction has ended: what it has committed holds, or never was.
    pub fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        let Some(pending) = self.pending.get(&producer).cloned() else { return };
        self.pending.remove_mut(&producer);
        if commits {
            for ((group, topic, partition), value) in &pending {
                self.put_offset(group, topic, *partition, Some(Arc::clone(value)));
            }
        }
    }

    /// Whether a transaction that has not ended has committed an offset of this partition.
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let key: OffsetKey = (Arc::from(group), Arc::from(topic), partition);
        self.pending.values().any(|offsets| offsets.contains_key(&key))
    }

    /// What transactions that have not ended have committed for a group.
    pub fn pending_of(&self, group: &str) -> impl Iterator<Item = &OffsetKey> {
        let first: OffsetKey = (Arc::from(group), Arc::from(""), i32::MIN);
        self.pending.values().flat_map(move |offsets| {
            let group = first.0.clone();
            offsets.range(first.clone()..).map(|(key, _)| key).take_while(move |key| key.0 == group)
        })
    }

    pub fn offset(&self, group: &str, topic: &str, partition: i32) -> Option<&Arc<CommittedOffset>> {
        self.offsets.get(group)?.get(topic)?.get(&partition)
    }

    /// Records that say all of this, but for what transactions have pending.
    pub fn records(&self) -> impl Iterator<Item = GroupRecord> {
        let classic = self.classic.iter().map(|(group, value)| {
            let key = GroupMetadataKey { group: group.to_string(), ..GroupMetadataKey::default() };
            GroupRecord::GroupMetadata(key, Some((**value).clone()))
        });
        let consumer = self.consumer.iter().flat_map(|(group, state)| state.records(group));
        let offsets = self.offsets.iter().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions.iter().map(move |(partition, value)| value.record(group, topic, *partition))
            })
        });
        classic.chain(consumer).chain(offsets)
    }

    fn change(&mut self, group_id: &str, change: impl FnOnce(&mut ConsumerGroup)) {
        if let Some(group) = self.consumer.get_mut(group_id) {
            change(group);
            if group.is_gone() {
                self.consumer.remove_mut(group_id);
            }
        } else {
            let mut group = ConsumerGroup::default();
            change(&mut group);
            if !group.is_gone() {
                self.consumer.insert_mut(group_id.into(), group);
            }
        }
    }

    fn set_offset(
        &mut self,
        producer: Option<ProducerId>,
        (group, topic, partition): (&str, &str, i32),
        value: Option<CommittedOffset>,
    ) {
        let value = value.map(Arc::new);
        match (producer, value) {
            (Some(producer), Some(value)) => {
                let key = (Arc::from(group), Arc::from(topic), partition);
                if let Some(pending) = self.pending.get_mut(&producer) {
                    pending.insert_mut(key, value);
                } else {
                    self.pending.insert_mut(producer, Map::default().insert(key, value));
                }
            }
            (_, value) => {
                self.overtake_pending(group, topic, partition, value.as_ref());
                self.put_offset(group, topic, partition, value);
            }
        }
    }

    /// What a transaction has pending from before does not come back over what was committed or deleted since: Kafka compares the
    /// places of the two in the log. A commit takes the pending one's place, so that the partition stays one that the transaction
    /// may change.
    fn overtake_pending(&mut self, group: &str, topic: &str, partition: i32, value: Option<&Arc<CommittedOffset>>) {
        if self.pending.is_empty() {
            return;
        }
        let key: OffsetKey = (Arc::from(group), Arc::from(topic), partition);
        let producers: Vec<ProducerId> =
            self.pending.iter().filter(|(_, offsets)| offsets.contains_key(&key)).map(|(id, _)| *id).collect();
        for producer in producers {
            let Some(offsets) = self.pending.get_mut(&producer) else { continue };
            match value {
                Some(value) => offsets.insert_mut(key.clone(), Arc::clone(value)),
                None => drop(offsets.remove_mut(&key)),
            }
            if offsets.is_empty() {
                self.pending.remove_mut(&producer);
            }
        }
    }

    fn put_offset(&mut self, group: &str, topic: &str, partition: i32, value: Option<Arc<CommittedOffset>>) {
        match value {
            Some(value) => {
                if !self.offsets.contains_key(group) {
                    self.offsets.insert_mut(group.into(), Map::default());
                }
                let Some(topics) = self.offsets.get_mut(group) else { return };
                if let Some(partitions) = topics.get_mut(topic) {
                    partitions.insert_mut(partition, value);
                } else {
                    topics.insert_mut(topic.into(), Map::default().insert(partition, value));
                }
            }
            None => {
                let Some(topics) = self.offsets.get_mut(group) else { return };
                let Some(partitions) = topics.get_mut(topic) else { return };
                partitions.remove_mut(&partition);
                if partitions.is_empty() {
                    topics.remove_mut(topic);
                }
                if topics.is_empty() {
                    self.offsets.remove_mut(group);
                }
            }
        }
    }
}

/// Puts a value in, or takes out what a tombstone names.
fn set<V: Clone>(map: &mut Map<Arc<str>, Arc<V>>, key: &str, value: &Option<V>) {
    match value {
        Some(value) => map.insert_mut(key.into(), Arc::new(value.clone())),
        None => drop(map.remove_mut(key)),
    }
}

impl ConsumerGroup {
    fn records(&self, group_id: &str) -> Vec<GroupRecord> {
        let group_id = || group_id.to_owned();
        let mut records = Vec::new();
        for (member, value) in &self.members {
            let key = ConsumerGroupMemberMetadataKey {
                group_id: group_id(),
                member_id: member.to_string(),
                ..ConsumerGroupMemberMetadataKey::default()
            };
            records.push(GroupRecord::ConsumerGroupMemberMetadata(key, Some((**value).clone())));
        }
        for (regex, value) in &self.regexes {
            let key = ConsumerGroupRegularExpressionKey {
                group_id: group_id(),
                regular_expression: regex.to_string(),
                ..ConsumerGroupRegularExpressionKey::default()
            };
            records.push(GroupRecord::ConsumerGroupRegularExpression(key, Some((**value).clone())));
        }
        if let Some(value) = &self.metadata {
            let key = ConsumerGroupMetadataKey { group_id: group_id(), ..ConsumerGroupMetadataKey::default() };
            records.push(GroupRecord::ConsumerGroupMetadata(key, Some((**value).clone())));
        }
        for (member, value) in &self.targets {
            let key = ConsumerGroupTargetAssignmentMemberKey {
                group_id: group_id(),
                member_id: member.to_string(),
                ..ConsumerGroupTargetAssignmentMemberKey::default()
            };
            records.push(GroupRecord::ConsumerGroupTargetAssignmentMember(key, Some((**value).clone())));
        }
        if let Some(value) = &self.target_metadata {
            let key = ConsumerGroupTargetAssignmentMetadataKey {
                group_id: group_id(),
                ..ConsumerGroupTargetAssignmentMetadataKey::default()
            };
            records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, Some((**value).clone())));
        }
        for (member, value) in &self.currents {
            let key = ConsumerGroupCurrentMemberAssignmentKey {
                group_id: group_id(),
                member_id: member.to_string(),
                ..ConsumerGroupCurrentMemberAssignmentKey::default()
            };
            records.push(GroupRecord::ConsumerGroupCurrentMemberAssignment(key, Some((**value).clone())));
        }
        records
    }
}

impl From<&OffsetCommitValue> for CommittedOffset {
    fn from(value: &OffsetCommitValue) -> Self {
        CommittedOffset {
            offset: Offset(value.offset),
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.as_str().into(),
            committed_at: Timestamp(value.commit_timestamp),
            expires_at: (value.expire_timestamp != -1).then_some(Timestamp(value.expire_timestamp)),
            topic_id: value.topic_id,
        }
    }
}

impl CommittedOffset {
    /// The record that says it.
    pub fn record(&self, group: &str, topic: &str, partition: i32) -> GroupRecord {
        let key = OffsetCommitKey {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
            ..OffsetCommitKey::default()
        };
        let value = OffsetCommitValue {
            offset: self.offset.0,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.to_string(),
            commit_timestamp: self.committed_at.0,
            expire_timestamp: self.expires_at.map_or(-1, |at| at.0),
            topic_id: self.topic_id,
            ..OffsetCommitValue::default()
        };
        GroupRecord::OffsetCommit(key, Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(group: &str, partition: i32, offset: Option<i64>) -> GroupRecord {
        let key =
            OffsetCommitKey { group: group.to_owned(), topic: "t".to_owned(), partition, ..OffsetCommitKey::default() };
        let value = offset.map(|offset| OffsetCommitValue { offset, ..OffsetCommitValue::default() });
        GroupRecord::OffsetCommit(key, value)
    }

    fn offset(state: &State, group: &str, partition: i32) -> Option<i64> {
        state.offset(group, "t", partition).map(|committed| committed.offset.0)
    }

    #[test]
    fn a_tombstone_leaves_nothing_behind() {
        let mut state = State::default();
        state.apply(None, &commit("g", 0, Some(5)));
        state.apply(None, &commit("g", 1, Some(6)));
        state.apply(None, &commit("g", 0, None));
        assert_eq!((offset(&state, "g", 0), offset(&state, "g", 1)), (None, Some(6)));
        state.apply(None, &commit("g", 1, None));
        state.apply(None, &commit("never", 1, None));
        assert_eq!(state, State::default());
    }

    #[test]
    fn what_a_transaction_commits_holds_once_it_is_committed() {
        let mut state = State::default();
        state.apply(None, &commit("g", 0, Some(1)));
        state.apply(Some(ProducerId(7)), &commit("g", 0, Some(9)));
        state.apply(Some(ProducerId(8)), &commit("g", 1, Some(9)));
        assert_eq!(offset(&state, "g", 0), Some(1));
        assert!(state.is_pending("g", "t", 0) && state.is_pending("g", "t", 1) && !state.is_pending("g", "t", 2));
        state.end_transaction(ProducerId(8), false);
        state.end_transaction(ProducerId(7), true);
        assert_eq!((offset(&state, "g", 0), offset(&state, "g", 1)), (Some(9), None));
        assert!(state.pending.is_empty());
    }

    #[test]
    fn what_is_deleted_does_not_come_back_with_a_transaction() {
        let mut state = State::default();
        state.apply(Some(ProducerId(7)), &commit("g", 0, Some(9)));
        state.apply(None, &commit("g", 0, None));
        state.end_transaction(ProducerId(7), true);
        assert_eq!(state, State::default());
    }

    #[test]
    fn what_was_committed_since_stays_when_the_transaction_ends() {
        let mut state = State::default();
        state.apply(Some(ProducerId(7)), &commit("g", 0, Some(5)));
        state.apply(Some(ProducerId(7)), &commit("g", 1, Some(5)));
        state.apply(None, &commit("g", 0, Some(8)));
        state.apply(None, &commit("g", 1, Some(8)));
        state.apply(Some(ProducerId(7)), &commit("g", 1, Some(9)));
        assert!(state.is_pending("g", "t", 0) && state.is_pending("g", "t", 1));
        state.end_transaction(ProducerId(7), true);
        assert_eq!((offset(&state, "g", 0), offset(&state, "g", 1)), (Some(8), Some(9)));
    }

    #[test]
    fn its_records_make_it_again_and_an_older_clone_stays_as_it_was() {
        let mut state = State::default();
        let member = |value| {
            let key = ConsumerGroupMemberMetadataKey {
                group_id: "c".to_owned(),
                member_id: "m".to_owned(),
                ..ConsumerGroupMemberMetadataKey::default()
            };
            GroupRecord::ConsumerGroupMemberMetadata(key, value)
        };
        let classic = GroupMetadataKey { group: "k".to_owned(), ..GroupMetadataKey::default() };
        state.apply(None, &GroupRecord::GroupMetadata(classic, Some(GroupMetadataValue::default())));
        state.apply(None, &commit("g", 0, Some(5)));
        state.apply(None, &member(Some(ConsumerGroupMemberMetadataValue::default())));
        let mut again = State::default();
        state.records().for_each(|record| again.apply(None, &record));
        assert_eq!(again, state);

        let before = state.clone();
        state.apply(None, &member(None));
        state.apply(None, &commit("g", 0, Some(6)));
        assert!(state.consumer.is_empty() && before.consumer.contains_key("c"));
        assert_eq!((offset(&before, "g", 0), offset(&state, "g", 0)), (Some(5), Some(6)));
    }
}
