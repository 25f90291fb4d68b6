//! What people are shown of consumer groups.

use std::collections::BTreeMap;

use felice_protocol::{
    Uuid,
    coordinator::consumer_group::{ConsumerGroupMemberMetadataValue, TopicPartition},
    messages::consumer_group_describe::*,
};

use super::super::{ConsumerGroup, GroupMachine, State};
use crate::{metadata::Image, model::TopicId};

/// The numbers of member types (KIP-1099).
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

impl GroupMachine {
    /// Kafka's name for the state that a group is in.
    pub(in super::super) fn consumer_state(&self, committed: &State, group_id: &str) -> Option<&'static str> {
        committed.consumer.get(group_id).map(ConsumerGroup::state_name)
    }

    /// Whether a group subscribes to a topic, by its name or by a regular expression.
    pub(in super::super) fn consumer_subscribes(&self, group_id: &str, topic: &str) -> bool {
        self.soft.consumer.subscribes(group_id, topic)
    }

    pub(in super::super) fn describe_consumer(
        &self,
        committed: &State,
        image: &Image,
        group_id: &str,
    ) -> Option<DescribedGroup> {
        let group = committed.consumer.get(group_id)?;
        let members = group.members.iter().map(|(member_id, member)| describe_member(group, member_id, member, image));
        Some(DescribedGroup {
            group_id: group_id.to_owned(),
            group_state: group.state_name().to_owned(),
            group_epoch: group.epoch(),
            assignment_epoch: group.assignment_epoch(),
            assignor_name: self.preferred_assignor(group_id).name().to_owned(),
            members: members.collect(),
            ..DescribedGroup::default()
        })
    }
}

impl ConsumerGroup {
    fn state_name(&self) -> &'static str {
        let assignment_epoch = self.assignment_epoch();
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch() > assignment_epoch {
            "Assigning"
        } else if self.members.keys().any(|member_id| !self.is_reconciled(member_id, assignment_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }
}

fn describe_member(
    group: &ConsumerGroup,
    member_id: &str,
    member: &ConsumerGroupMemberMetadataValue,
    image: &Image,
) -> Member {
    // What it has to give up it answers for until it has.
    let current = group.currents.get(member_id);
    let mut has: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for topic in current.iter().flat_map(|now| now.assigned_partitions.iter().chain(&now.partitions_pending_revocation))
    {
        has.entry(topic.topic_id).or_default().extend(&topic.partitions);
    }
    let target =
        group.target(member_id).iter().map(|TopicPartition { topic_id, partitions, .. }| (*topic_id, partitions));
    Member {
        member_id: member_id.to_owned(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: group.member_epoch(member_id),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.subscribed_topic_names.clone(),
        subscribed_topic_regex: member.subscribed_topic_regex.clone(),
        assignment: assignment(has.iter().map(|(topic_id, partitions)| (*topic_id, partitions)), image),
        target_assignment: assignment(target, image),
        member_type: if group.is_classic(member_id) { CLASSIC } else { CONSUMER },
        ..Member::default()
    }
}

/// Topics that are gone have no name by which to show them.
fn assignment<'a>(topics: impl Iterator<Item = (Uuid, &'a Vec<i32>)>, image: &Image) -> Assignment {
    let topic = |(topic_id, partitions): (Uuid, &Vec<i32>)| {
        Some(TopicPartitions {
            topic_id,
            topic_name: image.topic_by_id(TopicId(topic_id))?.name().to_string(),
            partitions: partitions.clone(),
            ..TopicPartitions::default()
        })
    };
    Assignment { topic_partitions: topics.filter_map(topic).collect(), ..Assignment::default() }
}
