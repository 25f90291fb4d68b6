//! Groups change their kind while they live (`group.consumer.migration.policy`).
//!
//! - A classic group of consumers becomes a consumer group when the first member of the consumer protocol joins: [`upgrade`].
//! - Its members go on with the classic protocol as members of the consumer group: [`classic_member`].
//! - Where the last member of the consumer protocol goes, it becomes a classic group again: [`downgrade`].

mod classic_member;
mod downgrade;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use felice_protocol::{
    Uuid,
    messages::consumer_protocol::{self, ConsumerProtocolAssignment, ConsumerProtocolSubscription},
    schema::Stored,
};

use crate::{metadata::Image, model::TopicId};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// What a member has said it wants; `None` where it is no subscription.
fn subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    ConsumerProtocolSubscription::decode_with_any_version(metadata).ok().filter(|_| version(metadata) >= 0)
}

/// In which version a member has said it, which is the one in which it is told what to have.
fn version(metadata: &Bytes) -> i16 {
    metadata.first_chunk().map_or(0, |version| i16::from_be_bytes(*version))
}

/// An assignment in the form of the consumer's own protocol. Topics that are gone are left out.
fn assignment<'a>(topics: impl Iterator<Item = (Uuid, &'a [i32])>, metadata: &Bytes, image: &Image) -> Bytes {
    let topic = |(topic_id, partitions): (Uuid, &[i32])| {
        Some(consumer_protocol::TopicPartition {
            topic: image.topic_by_id(TopicId(topic_id))?.name().to_string(),
            partitions: partitions.to_vec(),
            ..consumer_protocol::TopicPartition::default()
        })
    };
    let assigned = ConsumerProtocolAssignment {
        assigned_partitions: topics.filter_map(topic).collect(),
        ..ConsumerProtocolAssignment::default()
    };
    let newest = ConsumerProtocolAssignment::VERSIONS.max;
    let bytes = assigned.encode_with_version(version(metadata).clamp(0, newest));
    debug_assert!(bytes.is_ok(), "names of topics and their partitions can be written");
    bytes.unwrap_or_default()
}

/// Partitions by topic id, of topics that exist.
fn by_topic_id(topics: &[consumer_protocol::TopicPartition], image: &Image) -> BTreeMap<Uuid, BTreeSet<i32>> {
    let mut all: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
    for topic in topics {
        if let Some(found) = image.topic(&topic.topic) {
            all.entry(found.id().0).or_default().extend(&topic.partitions);
        }
    }
    all.retain(|_, partitions| !partitions.is_empty());
    all
}
