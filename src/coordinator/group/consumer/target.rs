//! The target assignment: what all members shall have at the group's epoch.

use std::{collections::BTreeMap, sync::Arc};

use felice_protocol::{coordinator::consumer_group::ConsumerGroupMemberMetadataValue, error::ErrorCode};

use super::{
    super::{
        GroupMachine,
        assignor::{Assignor, GroupSpec, MemberSpec},
        machine::Cx,
    },
    heartbeat::subscribed_topic_ids,
    live::subscribed_regex,
    records,
    refusal::Refusal,
};
use crate::model::TopicId;

impl GroupMachine {
    /// Makes a new target assignment where the group's epoch is beyond that of the last one, which is not younger than
    /// `group.consumer.assignment.interval.ms`.
    pub(super) fn refresh_target(&mut self, cx: &mut Cx<'_>, group_id: &str) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(()) };
        if group.assignment_epoch() >= group.epoch() {
            return Ok(());
        }
        let interval_ms = i64::from(self.settings.consumer_group(cx.image, group_id).assignment_interval_ms);
        let last_at = group.assignment_timestamp();
        if last_at != 0 && interval_ms != 0 && cx.now.0 < last_at.saturating_add(interval_ms) {
            return Ok(());
        }
        self.write_target(cx, group_id)
    }

    fn write_target(&mut self, cx: &mut Cx<'_>, group_id: &str) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id).cloned() else { return Ok(()) };
        let mut subscriptions: BTreeMap<(&[String], Option<&str>), Arc<[TopicId]>> = BTreeMap::new();
        let mut spec = GroupSpec::default();
        for (member_id, member) in &group.members {
            let said = said(member);
            let subscribed = match subscriptions.get(&said) {
                Some(subscribed) => Arc::clone(subscribed),
                None => {
                    let ids = subscribed_topic_ids(&group, member, cx);
                    let subscribed: Arc<[TopicId]> = ids.into_iter().map(TopicId).collect();
                    subscriptions.insert(said, Arc::clone(&subscribed));
                    subscribed
                }
            };
            spec.members.push(MemberSpec {
                member_id,
                instance_id: member.instance_id.as_deref(),
                subscribed,
                assigned: group.target(member_id),
            });
        }
        for topic in subscriptions.values().flat_map(|topics| topics.iter()) {
            if !spec.topics.contains_key(topic)
                && let Some(found) = cx.image.topic_by_id(*topic)
            {
                spec.topics.insert(*topic, found.partition_count().unsigned_abs());
            }
        }
        let assigned = self.preferred_assignor(group_id).assign(&spec).map_err(|why| {
            let message = format!("Failed to compute a new target assignment for epoch {}: {why}", group.epoch());
            Refusal::new(ErrorCode::UnknownServerError, message)
        })?;
        for (member, target) in spec.members.iter().zip(assigned.members) {
            match target {
                Some(target) => self.write(cx, records::target(group_id, member.member_id, target)),
                None if !group.targets.contains_key(member.member_id) => {
                    self.write(cx, records::target(group_id, member.member_id, Vec::new()));
                }
                None => {}
            }
        }
        let now = cx.now.0;
        self.write(cx, records::target_epoch(group_id, group.epoch(), now));
        Ok(())
    }

    /// The one that most members ask for; the broker's first where nobody asks. Of two, the one that the broker names first.
    pub(super) fn preferred_assignor(&self, group_id: &str) -> Assignor {
        let index = self.soft.consumer.index(group_id);
        let asks = |name: &str| index.and_then(|index| index.assignors.get(name)).copied().unwrap_or(0);
        let mut best: Option<(usize, Assignor)> = None;
        for name in &self.settings.assignors {
            let Ok(assignor) = name.parse::<Assignor>() else { continue };
            if best.is_none_or(|(most, _)| asks(name) > most) {
                best = Some((asks(name), assignor));
            }
        }
        best.map_or(Assignor::Uniform, |(_, assignor)| assignor)
    }
}

/// Members that say the same subscribe to the same topics.
fn said(member: &ConsumerGroupMemberMetadataValue) -> (&[String], Option<&str>) {
    (&member.subscribed_topic_names, subscribed_regex(member))
}
