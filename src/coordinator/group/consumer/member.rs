//! Where a member of a consumer group stands: its epoch, what it has, and what it is to give up.

use std::collections::BTreeMap;

use felice_protocol::{Uuid, coordinator::consumer_group::*};

use super::super::ConsumerGroup;

/// The epoch of who is not, or no longer, a member.
pub(super) const LEFT: i32 = -1;
/// The epoch of a static member that has left and will come back.
pub(super) const LEFT_FOR_NOW: i32 = -2;

/// By topic, by partition: the member's epoch when it got the partition (KIP-1251).
pub(super) type Partitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is on the way to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberState {
    /// It has what it shall have at its epoch.
    Stable,
    /// It has not given up what it was told to.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
    /// A later version has written it.
    Unknown,
}

impl MemberState {
    pub fn of(state: i8) -> MemberState {
        match state {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }

    fn number(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }
}

/// Invariant: no partition is both in `assigned` and in `revoking`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub epoch: i32,
    /// The epoch before: the answer that told of the present one may be lost.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    pub revoking: Partitions,
}

impl Default for Standing {
    /// Who has just joined.
    fn default() -> Self {
        Standing {
            epoch: 0,
            previous_epoch: LEFT,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
        }
    }
}

impl Standing {
    pub fn of(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Standing {
        Standing {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::of(value.state),
            assigned: with_epochs(&value.assigned_partitions, value.member_epoch),
            revoking: with_epochs(&value.partitions_pending_revocation, value.member_epoch),
        }
    }

    pub fn value(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        debug_assert!(self.revoking.iter().all(|(topic, partitions)| {
            partitions.keys().all(|partition| !self.assigned.get(topic).is_some_and(|has| has.contains_key(partition)))
        }));
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.number(),
            assigned_partitions: topic_partitions(&self.assigned),
            partitions_pending_revocation: topic_partitions(&self.revoking),
            ..ConsumerGroupCurrentMemberAssignmentValue::default()
        }
    }

    /// Moves on to an epoch, the same one included.
    pub fn at_epoch(mut self, epoch: i32) -> Standing {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
        self
    }
}

/// Partitions of which it is not recorded when they were got count from the epoch at which they are recorded.
fn with_epochs(topics: &[TopicPartitions], epoch: i32) -> Partitions {
    let mut all = Partitions::new();
    for topic in topics {
        let epochs = topic.assignment_epochs.as_deref().filter(|epochs| epochs.len() == topic.partitions.len());
        let epoch_of = |index: usize| epochs.and_then(|epochs| epochs.get(index)).copied().unwrap_or(epoch.max(0));
        let partitions = topic.partitions.iter().enumerate().map(|(index, partition)| (*partition, epoch_of(index)));
        all.entry(topic.topic_id).or_default().extend(partitions);
    }
    all.retain(|_, partitions| !partitions.is_empty());
    all
}

fn topic_partitions(topics: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(topic_id, partitions): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
        ..TopicPartitions::default()
    };
    topics.iter().map(topic).collect()
}

/// Reading what the log says of a group, with what holds where it says nothing yet.
impl ConsumerGroup {
    /// A group begins with epoch 1, and with an assignment of nothing for it.
    pub(in super::super) fn epoch(&self) -> i32 {
        self.metadata.as_ref().map_or(1, |metadata| metadata.epoch)
    }

    pub(super) fn metadata_hash(&self) -> i64 {
        self.metadata.as_ref().map_or(0, |metadata| metadata.metadata_hash)
    }

    pub(in super::super) fn assignment_epoch(&self) -> i32 {
        self.target_metadata.as_ref().map_or(1, |metadata| metadata.assignment_epoch)
    }

    /// Milliseconds since 1970; 0 where it is not known.
    pub(super) fn assignment_timestamp(&self) -> i64 {
        self.target_metadata.as_ref().map_or(0, |metadata| metadata.assignment_timestamp)
    }

    pub(super) fn target(&self, member_id: &str) -> &[TopicPartition] {
        self.targets.get(member_id).map_or(&[], |target| &target.topic_partitions)
    }

    pub(super) fn standing(&self, member_id: &str) -> Standing {
        self.currents.get(member_id).map_or_else(Standing::default, |current| Standing::of(current))
    }

    pub(super) fn member_epoch(&self, member_id: &str) -> i32 {
        self.currents.get(member_id).map_or(0, |current| current.member_epoch)
    }

    pub(super) fn member_state(&self, member_id: &str) -> MemberState {
        self.currents.get(member_id).map_or(MemberState::Stable, |current| MemberState::of(current.state))
    }

    /// Whether a member has come to the assignment of that epoch.
    pub(super) fn is_reconciled(&self, member_id: &str, epoch: i32) -> bool {
        self.member_epoch(member_id) == epoch && self.member_state(member_id) == MemberState::Stable
    }

    pub(super) fn is_classic(&self, member_id: &str) -> bool {
        self.members.get(member_id).is_some_and(|member| member.classic_member_metadata.is_some())
    }
}
