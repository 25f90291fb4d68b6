//! Topics and members by number, and who owns each partition while that is being decided.

use std::collections::{BTreeMap, BTreeSet};

use felice_protocol::coordinator::consumer_group::TopicPartition;

use super::{AssignError, GroupAssignment, GroupSpec};
use crate::model::TopicId;

/// The owner of a partition that has none yet.
pub(super) const NOBODY: u32 = u32::MAX;

/// Invariants: an owner is the index of a member that subscribes to the topic, or [`NOBODY`]; `owners` is as long as `topics`, and
/// each part of it as long as the topic has partitions.
#[derive(Debug)]
pub(super) struct Board<'a> {
    pub group: &'a GroupSpec<'a>,
    /// What somebody subscribes to, ascending.
    pub topics: Vec<TopicId>,
    /// By topic, by partition.
    pub owners: Vec<Vec<u32>>,
    /// Subscriptions that differ: each the indices of its topics, ascending.
    subscriptions: Vec<Vec<u32>>,
    /// By member, an index of `subscriptions`.
    subscription_of: Vec<u32>,
}

impl<'a> Board<'a> {
    pub(super) fn without_owners(group: &'a GroupSpec<'a>) -> Result<Board<'a>, AssignError> {
        debug_assert!(group.members.is_sorted_by(|a, b| a.member_id < b.member_id), "members ascend by their ids");
        let mut ids: BTreeMap<&[TopicId], u32> = BTreeMap::new();
        let mut subscription_of: Vec<u32> = Vec::with_capacity(group.members.len());
        for (index, member) in group.members.iter().enumerate() {
            debug_assert!(member.subscribed.is_sorted_by(|a, b| a < b), "subscriptions ascend");
            // Neighbours often share theirs, which is cheap to see.
            let shared =
                index.checked_sub(1).filter(|i| group.members[*i].subscribed.as_ptr() == member.subscribed.as_ptr());
            let same = shared.filter(|i| group.members[*i].subscribed.len() == member.subscribed.len());
            let next = ids.len() as u32;
            subscription_of.push(match same {
                Some(neighbour) => subscription_of[neighbour],
                None => *ids.entry(&member.subscribed).or_insert(next),
            });
        }
        let topics: Vec<TopicId> =
            ids.keys().flat_map(|topics| topics.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut owners = Vec::with_capacity(topics.len());
        for topic in &topics {
            let partitions = *group.topics.get(topic).ok_or(AssignError::UnknownTopic(*topic))?;
            owners.push(vec![NOBODY; partitions as usize]);
        }
        let index_of = |topic| topics.binary_search(topic).map_or(NOBODY, |index| index as u32);
        let mut subscriptions = vec![Vec::new(); ids.len()];
        for (subscribed, id) in ids {
            subscriptions[id as usize] = subscribed.iter().map(index_of).collect();
        }
        Ok(Board { group, topics, owners, subscriptions, subscription_of })
    }

    /// Owners are those of the last assignment, where they still subscribe. Of two, the first member is.
    pub(super) fn with_owners(group: &'a GroupSpec<'a>) -> Result<Board<'a>, AssignError> {
        let mut board = Board::without_owners(group)?;
        for (index, member) in group.members.iter().enumerate() {
            for assigned in member.assigned {
                let topic_id = TopicId(assigned.topic_id);
                let (Ok(_), Ok(topic)) =
                    (member.subscribed.binary_search(&topic_id), board.topics.binary_search(&topic_id))
                else {
                    continue;
                };
                for partition in &assigned.partitions {
                    let owner =
                        usize::try_from(*partition).ok().and_then(|partition| board.owners[topic].get_mut(partition));
                    if let Some(owner) = owner.filter(|owner| **owner == NOBODY) {
                        *owner = index as u32;
                    }
                }
            }
        }
        Ok(board)
    }

    /// Whether all members subscribe to the same.
    pub(super) fn is_homogeneous(&self) -> bool {
        self.subscriptions.len() <= 1
    }

    /// What a member subscribes to: indices of topics, ascending.
    pub(super) fn topics_of(&self, member: usize) -> &[u32] {
        &self.subscriptions[self.subscription_of[member] as usize]
    }

    pub(super) fn into_assignment(self) -> GroupAssignment {
        let mut members: Vec<Vec<TopicPartition>> = vec![Vec::new(); self.group.members.len()];
        for (topic_id, owners) in self.topics.iter().zip(self.owners) {
            for (partition, owner) in (0..).zip(owners) {
                debug_assert!(owner != NOBODY, "partition {partition} of {topic_id} was left out");
                let topics = &mut members[owner as usize];
                match topics.last_mut() {
                    Some(last) if last.topic_id == topic_id.0 => last.partitions.push(partition),
                    _ => topics.push(TopicPartition {
                        topic_id: topic_id.0,
                        partitions: vec![partition],
                        ..TopicPartition::default()
                    }),
                }
            }
        }
        let had = self.group.members.iter().map(|member| member.assigned);
        let members = members.into_iter().zip(had).map(|(has, had)| (has != had).then_some(has));
        GroupAssignment { members: members.collect() }
    }
}
