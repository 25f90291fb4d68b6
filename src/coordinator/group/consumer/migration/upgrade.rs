//! A classic group becomes a consumer group: with its generation as epoch, and with what its leader had assigned last as the
//! target and as what members have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use felice_protocol::{
    Uuid,
    coordinator::consumer_group::{
        ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue, TopicPartition,
    },
    error::ErrorCode,
    messages::{
        consumer_group_heartbeat::ConsumerGroupHeartbeatRequest, consumer_protocol::ConsumerProtocolAssignment,
    },
    schema::Stored,
};

use super::{
    super::{
        super::{
            GroupMachine,
            classic::{ClassicGroup, ClassicMember, ClassicState, MemberProtocol},
            machine::Cx,
        },
        member::{MemberState, Partitions, Standing},
        records,
        refusal::Refusal,
    },
    by_topic_id, subscription,
};
use crate::{
    env::faults::{Fault, planted},
    metadata::Image,
};

/// A member of a classic group, as the consumer group has it.
struct Converted {
    id: Arc<str>,
    session_timeout_ms: i32,
    value: ConsumerGroupMemberMetadataValue,
    assigned: BTreeMap<Uuid, BTreeSet<i32>>,
}

impl GroupMachine {
    /// Who joins a group of which there is nothing makes it; a classic one is converted, if it may be.
    pub(in super::super) fn enter_consumer_group(
        &mut self,
        cx: &mut Cx<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        joins: bool,
    ) -> Result<(), Refusal> {
        let group_id = request.group_id.as_str();
        if self.state.consumer.contains_key(group_id) {
            return Ok(());
        }
        let Some(classic) = self.classic_group(group_id) else {
            return if joins { Ok(()) } else { not_found(format!("Consumer group {group_id} not found.")) };
        };
        if !joins {
            return not_found(format!("Group {group_id} is not a consumer group."));
        }
        if classic.state() == ClassicState::Empty {
            self.take_classic_for_now(cx, group_id);
            return Ok(());
        }
        let members = self.check_upgrade(classic, cx.image)?;
        let generation = classic.generation();
        self.upgrade(cx, group_id, generation, members);
        Ok(())
    }

    fn check_upgrade(&self, classic: &ClassicGroup, image: &Image) -> Result<Vec<Converted>, Refusal> {
        let group_id = classic.id();
        let refuse =
            |why: &str| not_found(format!("Cannot upgrade classic group {group_id} to consumer group because {why}"));
        if !self.settings.migration.upgrades() {
            return refuse("online upgrade is disabled.");
        }
        if !classic.is_of_consumers() {
            return refuse("the group does not use the consumer embedded protocol.");
        }
        if classic.members().len() > self.settings.consumer_max_size {
            return refuse("the group size exceeds the consumer group maximum size.");
        }
        let mut members = Vec::with_capacity(classic.members().len());
        for member in classic.members() {
            let Some(assigned) = assignment_of(member) else {
                return refuse("the embedded consumer protocol is malformed.");
            };
            if assigned.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
                return refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                     assignor before re-attempting the upgrade.",
                );
            }
            let Some(value) = value_of(member, classic.protocol()) else {
                return refuse("the embedded consumer protocol is malformed.");
            };
            members.push(Converted {
                id: Arc::clone(&member.id),
                session_timeout_ms: member.session_timeout_ms,
                value,
                assigned: by_topic_id(&assigned.assigned_partitions, image),
            });
        }
        Ok(members)
    }

    fn upgrade(&mut self, cx: &mut Cx<'_>, group_id: &str, generation: i32, members: Vec<Converted>) {
        // Whose first rebalance is not over is at 0, which is the epoch of who has not joined.
        let generation = if planted(Fault::UpgradeToFirstEpoch) { 1 } else { generation.max(1) };
        self.take_classic_for_now(cx, group_id);
        for member in &members {
            self.write(cx, records::member(group_id, &member.id, Some(member.value.clone())));
        }
        let hash = self.soft.consumer.metadata_hash(group_id, cx.image);
        self.write(cx, records::group_epoch(group_id, generation, hash));
        for member in &members {
            let topic = |(topic_id, partitions): (&Uuid, &BTreeSet<i32>)| TopicPartition {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
                ..TopicPartition::default()
            };
            let target = member.assigned.iter().map(topic).collect();
            self.write(cx, records::target(group_id, &member.id, target));
        }
        self.write(cx, records::target_epoch(group_id, generation, 0));
        let mut taken = BTreeSet::new();
        for member in members {
            let standing = standing_of(generation, &member.assigned, &mut taken);
            self.write(cx, records::current(group_id, &member.id, Some(standing.value())));
            self.renew_session_for(cx, group_id, &member.id, member.session_timeout_ms);
        }
    }
}

/// What the leader has given a member; nothing before it has.
fn assignment_of(member: &ClassicMember) -> Option<ConsumerProtocolAssignment> {
    if member.assignment.is_empty() {
        return Some(ConsumerProtocolAssignment::default());
    }
    ConsumerProtocolAssignment::decode_with_any_version(&member.assignment).ok()
}

/// A member that has not come to a generation yet says what it wants in the protocol that it likes best.
fn value_of(member: &ClassicMember, protocol: Option<&str>) -> Option<ConsumerGroupMemberMetadataValue> {
    let said = protocol.and_then(|protocol| member.metadata(protocol));
    let said = subscription(said.or_else(|| member.protocols.first().map(|known| &known.metadata))?)?;
    let names: BTreeSet<String> = said.topics.into_iter().collect();
    let protocol = |known: &MemberProtocol| ClassicProtocol {
        name: known.name.to_string(),
        metadata: known.metadata.clone(),
        ..ClassicProtocol::default()
    };
    Some(ConsumerGroupMemberMetadataValue {
        instance_id: member.instance_id.as_deref().map(str::to_owned),
        rack_id: said.rack_id.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        subscribed_topic_names: names.into_iter().collect(),
        subscribed_topic_regex: Some(String::new()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic_member_metadata: Some(ClassicMemberMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: member.protocols.iter().map(protocol).collect(),
            ..ClassicMemberMetadata::default()
        }),
        ..ConsumerGroupMemberMetadataValue::default()
    })
}

/// What a leader has given to two, the first one has; the other is to join anew as all are, and finds out.
fn standing_of(
    generation: i32,
    assigned: &BTreeMap<Uuid, BTreeSet<i32>>,
    taken: &mut BTreeSet<(Uuid, i32)>,
) -> Standing {
    let mut has = Partitions::new();
    for (topic, partitions) in assigned {
        for partition in partitions {
            if taken.insert((*topic, *partition)) {
                has.entry(*topic).or_default().insert(*partition, generation);
            }
        }
    }
    Standing {
        epoch: generation,
        previous_epoch: generation,
        state: MemberState::Stable,
        assigned: has,
        revoking: Partitions::new(),
    }
}

fn not_found<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal::new(ErrorCode::GroupIdNotFound, message))
}
