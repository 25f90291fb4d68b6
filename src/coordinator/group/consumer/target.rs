//! The target assignment: what all members shall have at the group's epoch.

use std::{collections::BTreeMap, sync::Arc};

use felice_protocol::{
    coordinator::{GroupRecord, consumer_group::ConsumerGroupMemberMetadataValue},
    error::ErrorCode,
};

use super::{
    super::{
        GroupMachine,
        assignor::{Assignor, GroupSpec, MemberSpec},
        machine::Cx,
    },
    attempt::size_of,
    heartbeat::subscribed_topic_ids,
    live::subscribed_regex,
    records,
    refusal::Refusal,
};
use crate::model::{Timestamp, TopicId};

/// Between two attempts at a target assignment that does not fit a batch, at least.
const RETRY_MS: i64 = 1_000;

impl GroupMachine {
    /// Makes a new target assignment where the group's epoch is beyond that of the last one, which is not younger than
    /// `group.consumer.assignment.interval.ms`.
    ///
    /// Where it does not fit a batch, whoever comes in with this call does not; those that are in go on with what they have.
    pub(super) fn refresh_target(&mut self, cx: &mut Cx<'_>, group_id: &str, joins: bool) -> Result<(), Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(()) };
        if group.assignment_epoch() >= group.epoch() {
            return Ok(());
        }
        let interval_ms = i64::from(self.settings.consumer_group(cx.image, group_id).assignment_interval_ms);
        let last_at = group.assignment_timestamp();
        if last_at != 0 && interval_ms != 0 && cx.now.0 < last_at.saturating_add(interval_ms) {
            return Ok(());
        }
        let full_until = self.soft.consumer.groups.get(group_id).and_then(|live| live.full_until);
        if full_until.is_some_and(|until| cx.now < until) {
            return Ok(());
        }
        let target = self.new_target(cx, group_id)?;
        // There is to be room for what the member comes to by it.
        let size: usize = cx.out.records.iter().chain(&target).map(size_of).sum();
        let fits = size <= self.settings.record_max_bytes / 4 * 3;
        if let Some(live) = self.soft.consumer.groups.get_mut(group_id) {
            live.full_until = (!fits).then(|| Timestamp(cx.now.0.saturating_add(RETRY_MS.max(interval_ms))));
        }
        if fits {
            target.into_iter().for_each(|record| self.write(cx, record));
        } else if joins {
            return Err(Refusal { error: ErrorCode::UnknownServerError, message: None });
        }
        Ok(())
    }

    /// The records of a new target assignment.
    fn new_target(&self, cx: &Cx<'_>, group_id: &str) -> Result<Vec<GroupRecord>, Refusal> {
        let Some(group) = self.state.consumer.get(group_id) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let mut subscriptions: BTreeMap<Said<'_>, Arc<[TopicId]>> = BTreeMap::new();
        let mut spec = GroupSpec::default();
        for (member_id, member) in &group.members {
            let said = said(member);
            let subscribed = match subscriptions.get(&said) {
                Some(subscribed) => Arc::clone(subscribed),
                None => {
                    let ids = subscribed_topic_ids(group, member, cx);
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
                Some(target) => records.push(records::target(group_id, member.member_id, target)),
                None if !group.targets.contains_key(member.member_id) => {
                    records.push(records::target(group_id, member.member_id, Vec::new()));
                }
                None => {}
            }
        }
        records.push(records::target_epoch(group_id, group.epoch(), cx.now.0));
        Ok(records)
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

/// Names and a regular expression.
type Said<'a> = (&'a [String], Option<&'a str>);

/// Members that say the same subscribe to the same topics.
fn said(member: &ConsumerGroupMemberMetadataValue) -> Said<'_> {
    (&member.subscribed_topic_names, subscribed_regex(member))
}
