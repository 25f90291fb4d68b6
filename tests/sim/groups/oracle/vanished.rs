//! Nothing that vanished was ever told: what an answer says is committed when it leaves.

use std::collections::BTreeSet;

use felice_protocol::{
    coordinator::consumer_group::ConsumerGroupCurrentMemberAssignmentValue,
    messages::{
        consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
        offset_commit::{OffsetCommitRequest, OffsetCommitResponse},
        sync_group::{SyncGroupRequest, SyncGroupResponse},
    },
};

use super::Violation;
use crate::{
    coordinator::group::{Answer, Command, State},
    model::TopicId,
    sim::groups::{
        client::classic,
        world::{Held, World},
    },
};

/// What a member was told to have: group, static name or member id, generation or epoch, and partitions.
pub struct Assigned<'a> {
    pub group: &'a str,
    pub member: String,
    pub epoch: i32,
    pub partitions: BTreeSet<Held>,
}

/// An answer that leaves now. What it assigns, if it does.
pub fn check<'a>(
    asked: &'a Command,
    answer: &Answer,
    committed: &State,
    world: &World,
) -> Result<Option<Assigned<'a>>, Violation> {
    match (asked, answer) {
        (Command::SyncGroup(asked), Answer::SyncGroup(answer)) if answer.error_code == 0 => {
            synced(asked, answer, committed, world).map(Some)
        }
        (Command::ConsumerGroupHeartbeat(asked), Answer::ConsumerGroupHeartbeat(answer)) if answer.error_code == 0 => {
            heard(asked, answer, committed)
        }
        (Command::OffsetCommit(asked), Answer::OffsetCommit(answer)) => {
            committed_offsets(asked, answer, committed).map(|()| None)
        }
        (Command::DeleteGroup(group), Answer::DeleteGroup(answer)) if answer.error_code == 0 => {
            let is_there = committed.classic.contains_key(&**group)
                || committed.consumer.contains_key(&**group)
                || committed.offsets.contains_key(&**group);
            if is_there { Err(vanished(format!("{group} was said to be deleted"))) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}

fn synced<'a>(
    asked: &'a SyncGroupRequest,
    answer: &SyncGroupResponse,
    committed: &State,
    world: &World,
) -> Result<Assigned<'a>, Violation> {
    let (group, member_id, epoch) = (&*asked.group_id, &asked.member_id, asked.generation_id);
    let mut partitions = classic::assignment(&answer.assignment, world)?;
    if let Some(known) = committed.classic.get(group) {
        let member = known.members.iter().find(|member| member.member_id == *member_id);
        let is_its = member.is_some_and(|member| member.assignment == answer.assignment);
        if known.generation != epoch || !is_its {
            let what = format!("{member_id} was told {partitions:?} in generation {epoch}, where {group} is {known:?}");
            return Err(vanished(what));
        }
    } else {
        let current = committed.consumer.get(group).and_then(|known| known.currents.get(&**member_id));
        let has = current.map(|current| all_of(current)).unwrap_or_default();
        // It is told names. One that is another topic's by now is still right, and what it means is seen with the next epoch.
        let is_gone = |(topic, _): &Held| world.name_of(*topic).is_none();
        if has.iter().any(is_gone) {
            partitions.retain(|(topic, _)| has.iter().any(|(known, _)| known == topic));
        }
        if current.is_none_or(|current| current.member_epoch != epoch) || !partitions.is_subset(&has) {
            let what = format!("{member_id} of {group} was told {partitions:?} in epoch {epoch}, which is {current:?}");
            return Err(vanished(what));
        }
    }
    let member = asked.group_instance_id.clone().unwrap_or_else(|| member_id.clone());
    Ok(Assigned { group, member, epoch, partitions })
}

fn heard<'a>(
    asked: &'a ConsumerGroupHeartbeatRequest,
    answer: &ConsumerGroupHeartbeatResponse,
    committed: &State,
) -> Result<Option<Assigned<'a>>, Violation> {
    let group = &*asked.group_id;
    let member_id = answer.member_id.as_ref().unwrap_or(&asked.member_id);
    let known = committed.consumer.get(group);
    let current = known.and_then(|known| known.currents.get(&**member_id));
    let epoch = answer.member_epoch;
    if epoch == -1 {
        let is_there = known.is_some_and(|known| known.members.contains_key(&**member_id));
        return if is_there { Err(vanished(format!("{member_id} was told that it has left"))) } else { Ok(None) };
    }
    if current.is_none_or(|current| current.member_epoch != epoch) {
        return Err(vanished(format!("{member_id} of {group} was told epoch {epoch}, where it is {current:?}")));
    }
    let (Some(current), Some(assignment)) = (current, &answer.assignment) else { return Ok(None) };
    let topics = assignment.topic_partitions.iter();
    let partitions: BTreeSet<Held> =
        topics.flat_map(|topic| topic.partitions.iter().map(|at| (TopicId(topic.topic_id), *at))).collect();
    if partitions != assigned(current) {
        let what = format!("{member_id} of {group} was told to have {partitions:?}, where it is {current:?}");
        return Err(vanished(what));
    }
    let member = asked.instance_id.clone().unwrap_or_else(|| member_id.clone());
    Ok(Some(Assigned { group, member, epoch, partitions }))
}

fn committed_offsets(
    asked: &OffsetCommitRequest,
    answer: &OffsetCommitResponse,
    committed: &State,
) -> Result<(), Violation> {
    for (topic, told) in asked.topics.iter().zip(&answer.topics) {
        for (partition, told) in topic.partitions.iter().zip(&told.partitions) {
            if told.error_code != 0 {
                continue;
            }
            let found = committed.offset(&asked.group_id, &topic.name, partition.partition_index);
            let is_there = found.is_some_and(|found| {
                found.offset.0 == partition.committed_offset
                    && found.leader_epoch == partition.committed_leader_epoch
                    && *found.metadata == *partition.committed_metadata.as_deref().unwrap_or_default()
            });
            if !is_there || told.partition_index != partition.partition_index {
                let what = format!("{} was told that {partition:?} is committed, where {found:?} is", asked.member_id);
                return Err(vanished(what));
            }
        }
    }
    Ok(())
}

pub fn assigned(current: &ConsumerGroupCurrentMemberAssignmentValue) -> BTreeSet<Held> {
    let topics = current.assigned_partitions.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|at| (TopicId(topic.topic_id), *at))).collect()
}

/// With what it is to give up.
fn all_of(current: &ConsumerGroupCurrentMemberAssignmentValue) -> BTreeSet<Held> {
    let topics = current.assigned_partitions.iter().chain(&current.partitions_pending_revocation);
    topics.flat_map(|topic| topic.partitions.iter().map(|at| (TopicId(topic.topic_id), *at))).collect()
}

fn vanished(what: String) -> Violation {
    Violation::new("vanished", what)
}
