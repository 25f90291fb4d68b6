//! What is counted and looked up of consumer groups, so that a heartbeat that changes nothing looks at nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use felice_protocol::{
    Uuid,
    coordinator::{GroupRecord, consumer_group::*},
};

use super::{
    super::{ConsumerGroup, State},
    attempt::Taken,
};
use crate::{metadata::Image, model::Timestamp};

/// How many subscribe to a topic: members by its name, regular expressions that match it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subscribers {
    pub by_name: usize,
    pub by_regex: usize,
}

/// An index of a group. It follows from what the log says of the group, and is kept with each record.
///
/// Invariant: counts are above zero, and nobody's entries are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub topics: BTreeMap<Arc<str>, Subscribers>,
    /// How many members subscribe by a regular expression.
    pub regexes: BTreeMap<Arc<str>, usize>,
    /// How many members ask for an assignor.
    pub assignors: BTreeMap<Arc<str>, usize>,
    /// Static members: member id by instance id.
    pub instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Members that speak the classic protocol.
    pub classic_members: usize,
    /// How many of them know a protocol.
    pub classic_protocols: BTreeMap<Arc<str>, usize>,
    /// Who has a partition, or has not given it up yet.
    pub owners: BTreeMap<Uuid, BTreeMap<i32, Arc<str>>>,
}

/// A group that is served.
#[derive(Debug)]
pub(super) struct Live {
    pub index: Index,
    /// Its topics may not be what its epoch is for.
    pub stale: bool,
    /// There are topics that its regular expressions were not matched against.
    pub new_topics: bool,
    pub matching: Matching,
    /// A target assignment for all members did not fit a batch: it is not tried again before, and nobody else may come in.
    pub full_until: Option<Timestamp>,
    pub invited: Invited,
}

/// Member ids that were given to who speaks the classic protocol, to join with; the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Invited(VecDeque<Arc<str>>);

impl Invited {
    const MAX: usize = 1000;

    pub fn add(&mut self, member_id: Arc<str>) {
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(member_id);
    }

    /// Whether the id was given, which counts once.
    pub fn take(&mut self, member_id: &str) -> bool {
        let found = self.0.iter().rposition(|invited| **invited == *member_id);
        found.and_then(|index| self.0.remove(index)).is_some()
    }
}

/// Where the matching of a group's regular expressions stands, which goes step by step.
#[derive(Debug, Default)]
pub(super) struct Matching {
    pub to_do: BTreeSet<Arc<str>>,
    /// One has matched other topics than before.
    pub found_others: bool,
    /// One has matched more topics than fit a record: it is not tried again before.
    pub not_before: Option<Timestamp>,
}

impl Default for Live {
    /// Of a group that has just been made, or loaded, nothing is sure.
    fn default() -> Self {
        Live {
            index: Index::default(),
            stale: true,
            new_topics: true,
            matching: Matching::default(),
            full_until: None,
            invited: Invited::default(),
        }
    }
}

impl Index {
    pub fn of(group: &ConsumerGroup) -> Index {
        let mut index = Index::default();
        for (member_id, value) in &group.members {
            index.add_member(member_id, value);
        }
        for (member_id, value) in &group.currents {
            index.add_partitions(member_id, value);
        }
        for value in group.regexes.values() {
            index.add_matches(value);
        }
        index
    }

    /// Follows a record that is about to be applied to a group.
    fn follow(&mut self, group: Option<&ConsumerGroup>, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                if let Some(before) = group.and_then(|group| group.members.get(key.member_id.as_str())) {
                    self.remove_member(&key.member_id, before);
                }
                if let Some(value) = value {
                    self.add_member(&key.member_id, value);
                }
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                if let Some(before) = group.and_then(|group| group.currents.get(key.member_id.as_str())) {
                    self.remove_partitions(&key.member_id, before);
                }
                if let Some(value) = value {
                    self.add_partitions(&key.member_id, value);
                }
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                if let Some(before) = group.and_then(|group| group.regexes.get(key.regular_expression.as_str())) {
                    self.remove_matches(before);
                }
                if let Some(value) = value {
                    self.add_matches(value);
                }
            }
            _ => {}
        }
    }

    pub fn owner(&self, topic: Uuid, partition: i32) -> Option<&Arc<str>> {
        self.owners.get(&topic)?.get(&partition)
    }

    fn add_member(&mut self, member_id: &str, value: &ConsumerGroupMemberMetadataValue) {
        for topic in &value.subscribed_topic_names {
            self.topics.entry(topic.as_str().into()).or_default().by_name += 1;
        }
        if let Some(regex) = subscribed_regex(value) {
            count(&mut self.regexes, regex);
        }
        if let Some(assignor) = &value.server_assignor {
            count(&mut self.assignors, assignor);
        }
        if let Some(instance) = &value.instance_id {
            self.instances.insert(instance.as_str().into(), member_id.into());
        }
        if let Some(classic) = &value.classic_member_metadata {
            self.classic_members += 1;
            classic.supported_protocols.iter().for_each(|protocol| count(&mut self.classic_protocols, &protocol.name));
        }
    }

    fn remove_member(&mut self, member_id: &str, value: &ConsumerGroupMemberMetadataValue) {
        for topic in &value.subscribed_topic_names {
            self.change_topic(topic, |subscribers| subscribers.by_name = subscribers.by_name.saturating_sub(1));
        }
        if let Some(regex) = subscribed_regex(value) {
            uncount(&mut self.regexes, regex);
        }
        if let Some(assignor) = &value.server_assignor {
            uncount(&mut self.assignors, assignor);
        }
        if let Some(instance) = &value.instance_id
            && self.instances.get(instance.as_str()).is_some_and(|owner| **owner == *member_id)
        {
            self.instances.remove(instance.as_str());
        }
        if let Some(classic) = &value.classic_member_metadata {
            self.classic_members = self.classic_members.saturating_sub(1);
            classic
                .supported_protocols
                .iter()
                .for_each(|protocol| uncount(&mut self.classic_protocols, &protocol.name));
        }
    }

    fn add_partitions(&mut self, member_id: &str, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        let member_id: Arc<str> = member_id.into();
        for topic in value.assigned_partitions.iter().chain(&value.partitions_pending_revocation) {
            if topic.partitions.is_empty() {
                continue;
            }
            let owners = self.owners.entry(topic.topic_id).or_default();
            owners.extend(topic.partitions.iter().map(|partition| (*partition, Arc::clone(&member_id))));
        }
    }

    fn remove_partitions(&mut self, member_id: &str, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        for topic in value.assigned_partitions.iter().chain(&value.partitions_pending_revocation) {
            let Some(owners) = self.owners.get_mut(&topic.topic_id) else { continue };
            for partition in &topic.partitions {
                if owners.get(partition).is_some_and(|owner| **owner == *member_id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.owners.remove(&topic.topic_id);
            }
        }
    }

    fn add_matches(&mut self, value: &ConsumerGroupRegularExpressionValue) {
        for topic in &value.topics {
            self.topics.entry(topic.as_str().into()).or_default().by_regex += 1;
        }
    }

    fn remove_matches(&mut self, value: &ConsumerGroupRegularExpressionValue) {
        for topic in &value.topics {
            self.change_topic(topic, |subscribers| subscribers.by_regex = subscribers.by_regex.saturating_sub(1));
        }
    }

    fn change_topic(&mut self, topic: &str, change: impl FnOnce(&mut Subscribers)) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            change(subscribers);
            if *subscribers == Subscribers::default() {
                self.topics.remove(topic);
            }
        }
    }
}

/// The regular expression by which a member subscribes; an empty one is none.
pub(super) fn subscribed_regex(value: &ConsumerGroupMemberMetadataValue) -> Option<&str> {
    value.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
}

fn count(counts: &mut BTreeMap<Arc<str>, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.into(), 1)),
    }
}

fn uncount(counts: &mut BTreeMap<Arc<str>, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(name)),
    }
}

/// What is known of consumer groups and not in the log.
#[derive(Debug, Default)]
pub struct ConsumerGroups {
    pub(super) groups: BTreeMap<Arc<str>, Live>,
    /// Of the topics that groups subscribe to, as they were last looked at; `None` where there is no such topic.
    pub(super) topic_hashes: BTreeMap<Arc<str>, Option<i64>>,
    /// From so many of them on it is worth looking for those that nobody subscribes to any more.
    pub(super) topic_hashes_max: usize,
    /// What the cluster was like when its topics were last looked at.
    pub(super) image: Image,
    /// Within a call only.
    pub(super) taken: Option<Box<Taken>>,
}

impl ConsumerGroups {
    /// Follows a record that is about to be applied.
    pub(in super::super) fn follow(&mut self, state: &State, record: &GroupRecord) {
        let group_id = match record {
            GroupRecord::ConsumerGroupMetadata(key, None) => {
                self.groups.remove(key.group_id.as_str());
                return;
            }
            GroupRecord::ConsumerGroupMetadata(key, Some(_)) => &key.group_id,
            GroupRecord::ConsumerGroupMemberMetadata(key, _) => &key.group_id,
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, _) => &key.group_id,
            GroupRecord::ConsumerGroupRegularExpression(key, _) => &key.group_id,
            _ => return,
        };
        if !self.groups.contains_key(group_id.as_str()) {
            self.groups.insert(group_id.as_str().into(), Live::default());
        }
        if let Some(live) = self.groups.get_mut(group_id.as_str()) {
            live.index.follow(state.consumer.get(group_id.as_str()), record);
        }
    }

    /// Makes a group's index anew: from the start, or where records were taken back.
    pub(super) fn reload(&mut self, state: &State, group_id: &str) {
        match state.consumer.get(group_id) {
            Some(group) => {
                let live = self.groups.entry(group_id.into()).or_default();
                (live.index, live.stale, live.new_topics) = (Index::of(group), true, true);
            }
            None => drop(self.groups.remove(group_id)),
        }
    }

    pub(super) fn index(&self, group_id: &str) -> Option<&Index> {
        self.groups.get(group_id).map(|live| &live.index)
    }

    /// Whether a group subscribes to a topic, by name or by a regular expression.
    pub(in super::super) fn subscribes(&self, group_id: &str, topic: &str) -> bool {
        self.index(group_id).is_some_and(|index| index.topics.contains_key(topic))
    }
}
