//! An offset that is committed stays what it is until somebody commits another one, unless its topic is gone, an operator has
//! deleted it, or it has expired; and only who is a member commits for a group that has members.

use std::{collections::BTreeMap, ops::RangeInclusive};

use felice_protocol::coordinator::GroupRecord;

use super::Violation;
use crate::{
    coordinator::group::{Answer, Command, GroupMachine, State},
    model::{Timestamp, TopicId, Uuid},
    sim::groups::{
        coordinator::{Cause, Decided},
        world::World,
    },
};

/// Group, topic, partition.
type Key = (String, String, i32);

/// What must be there.
#[derive(Debug, Clone, Copy)]
struct Known {
    offset: i64,
    /// Zero where it was not said.
    topic_id: Uuid,
    committed_at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Offsets {
    known: BTreeMap<Key, Known>,
    retention_ms: i64,
}

impl Offsets {
    pub fn new(retention_ms: i64) -> Offsets {
        Offsets { known: BTreeMap::new(), retention_ms }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// How many a reader is told that asks for all: at least, and at most.
    pub fn count_of(&self, group: &str, world: &World) -> RangeInclusive<usize> {
        let of_group = self.known.iter().filter(|((of, ..), _)| of == group);
        let current = of_group.clone().filter(|((_, topic, _), known)| known.is_of(topic, world)).count();
        current..=of_group.count()
    }

    /// This machine has decided, and has changed its state already.
    pub fn decided(&self, decided: &Decided, machine: &GroupMachine) -> Result<(), Violation> {
        let (Cause::Command(command), [(_, Answer::OffsetCommit(answer))]) = (&decided.cause, &decided.answers[..])
        else {
            return Ok(());
        };
        let Command::OffsetCommit(asked) = &**command else { return Ok(()) };
        let mut told = answer.topics.iter().flat_map(|topic| &topic.partitions);
        if told.all(|partition| partition.error_code != 0) {
            return Ok(());
        }
        let (member, epoch) = (&*asked.member_id, asked.generation_id_or_member_epoch);
        let state = machine.state();
        let is_allowed = if let Some(group) = state.classic.get(&*asked.group_id) {
            // A generation that came to no assignment has members too, who still have what they had.
            let is_current = machine.classic_generation(&asked.group_id) == Some(epoch);
            let is_member = group.members.iter().any(|known| known.member_id == member);
            is_member && is_current || group.members.is_empty() && epoch < 0
        } else if let Some(group) = state.consumer.get(&*asked.group_id) {
            // An older epoch may do for a partition that it has had since.
            let known = group.currents.get(member).map(|current| current.member_epoch);
            known.is_some_and(|known| (1..=known).contains(&epoch)) || group.members.is_empty() && epoch < 0
        } else {
            epoch < 0
        };
        if is_allowed {
            return Ok(());
        }
        let what = format!("{member:?} in epoch {epoch} has committed for {}", asked.group_id);
        Err(Violation::new("offsets", what))
    }

    /// A decision is committed, from one state to the next one.
    pub fn committed(
        &mut self,
        decided: &Decided,
        (before, after): (&State, &State),
        world: &World,
    ) -> Result<(), Violation> {
        if let Cause::Command(command) = &decided.cause
            && let Command::OffsetCommit(asked) = &**command
            && let Some((_, Answer::OffsetCommit(answer))) =
                decided.answers.iter().find(|(_, answer)| matches!(answer, Answer::OffsetCommit(_)))
        {
            for (topic, told) in asked.topics.iter().zip(&answer.topics) {
                for (partition, told) in topic.partitions.iter().zip(&told.partitions) {
                    if told.error_code == 0 {
                        let key = (asked.group_id.clone(), topic.name.clone(), partition.partition_index);
                        let known = Known {
                            offset: partition.committed_offset,
                            topic_id: topic.topic_id,
                            committed_at: decided.at,
                        };
                        self.known.insert(key, known);
                    }
                }
            }
        }
        for record in &decided.records {
            let GroupRecord::OffsetCommit(key, None) = record else { continue };
            let key = (key.group.clone(), key.topic.clone(), key.partition);
            let Some(known) = self.known.remove(&key) else { continue };
            let (group, topic, _) = &key;
            let is_right = match &decided.cause {
                Cause::Image(deleted) => deleted.iter().any(|deleted| **deleted == **topic),
                // It makes up for a deletion that it has missed.
                Cause::Deadline if world.name_of(TopicId(known.topic_id)).is_none() => true,
                Cause::Deadline => {
                    // As in Kafka, a commit to a group that is empty does not begin the time anew.
                    let empty_since =
                        before.classic.get(&**group).map_or(i64::MAX, |group| group.current_state_timestamp);
                    let since = known.committed_at.0.min(empty_since);
                    decided.at.0 - since >= self.retention_ms && !is_subscribed(before, group, topic)
                }
                Cause::Command(command) => match &**command {
                    Command::DeleteGroup(deleted) => deleted == group,
                    Command::OffsetDelete(_) => !is_subscribed(before, group, topic),
                    _ => false,
                },
            };
            if !is_right {
                let what = format!("{known:?} of {key:?} was deleted by {decided:?}");
                return Err(Violation::new("offsets", what));
            }
        }
        if decided.records.iter().any(|record| matches!(record, GroupRecord::OffsetCommit(..))) {
            return self.check(after);
        }
        Ok(())
    }

    /// All that must be there is there, and nothing else.
    pub fn check(&self, committed: &State) -> Result<(), Violation> {
        for ((group, topic, partition), Known { offset, .. }) in &self.known {
            let found = committed.offset(group, topic, *partition).map(|found| found.offset.0);
            if found != Some(*offset) {
                let what = format!("{group} had committed {offset} of {topic}-{partition}, and {found:?} is there");
                return Err(Violation::new("offsets", what));
            }
        }
        let topics = committed.offsets.values().flat_map(|topics| topics.values());
        let there: usize = topics.map(|partitions| partitions.size()).sum();
        if there != self.known.len() {
            let what = format!("{there} offsets are there of {}", self.known.len());
            return Err(Violation::new("offsets", what));
        }
        Ok(())
    }

    /// What a reader is told is what is committed. That of a topic that had the name before may be told until it is deleted.
    pub fn check_told(
        &self,
        (group, topic, partition): (&str, &str, i32),
        told: i64,
        world: &World,
    ) -> Result<(), Violation> {
        let known = self.known.get(&(group.to_owned(), topic.to_owned(), partition));
        let is_right = match known {
            Some(known) => told == known.offset || told == -1 && !known.is_of(topic, world),
            None => told == -1,
        };
        if is_right {
            return Ok(());
        }
        let what = format!("{group} has committed {known:?} of {topic}-{partition}, and was told {told}");
        Err(Violation::new("offsets", what))
    }
}

impl Known {
    /// Whether it is of the topic that has this name now.
    fn is_of(&self, topic: &str, world: &World) -> bool {
        self.topic_id.is_zero() || world.topic(topic).is_none_or(|topic| topic.id().0 == self.topic_id)
    }
}

/// Whether a member of the group wants the topic. Of a classic group the log does not tell: who joins counts from when it joins.
fn is_subscribed(state: &State, group: &str, topic: &str) -> bool {
    let Some(group) = state.consumer.get(group) else { return false };
    let by_name = group.members.values().any(|member| member.subscribed_topic_names.iter().any(|name| name == topic));
    let by_regex = || {
        let regexes = group.members.values().filter_map(|member| member.subscribed_topic_regex.as_deref());
        regexes.filter_map(|regex| group.regexes.get(regex)).any(|known| known.topics.iter().any(|name| name == topic))
    };
    by_name || by_regex()
}
