//! A group's topics in one number, by which it is seen that they have changed (KIP-1101). The same number as Kafka's, so that a
//! group does not rebalance for having moved here.

use std::{collections::BTreeSet, sync::Arc};

use twox_hash::XxHash3_64;

use super::live::ConsumerGroups;
use crate::metadata::{Image, Topic};

/// The form of what is hashed of a topic.
const TOPIC_FORM: u8 = 0;

/// Its id, name and partitions, each with the racks of its replicas.
fn topic_hash(topic: &Topic, image: &Image) -> i64 {
    let mut bytes = Vec::with_capacity(64 + 16 * usize::try_from(topic.partition_count()).unwrap_or(0));
    bytes.push(TOPIC_FORM);
    let id = topic.id().0.0;
    // Two longs, each with its least byte first.
    bytes.extend(id.iter().take(8).rev());
    bytes.extend(id.iter().skip(8).rev());
    put_text(&mut bytes, topic.name());
    bytes.extend(topic.partition_count().to_le_bytes());
    for (index, partition) in topic.partitions() {
        bytes.extend(index.0.to_le_bytes());
        let racks = partition.replicas.iter().filter_map(|node| image.broker(*node)?.rack.as_deref());
        let mut racks: Vec<&str> = racks.collect();
        racks.sort_unstable();
        for rack in racks {
            bytes.extend(utf16_length(rack).to_le_bytes());
            put_text(&mut bytes, rack);
        }
    }
    XxHash3_64::oneshot(&bytes).cast_signed()
}

/// As hash4j takes a string in: its UTF-16 units, then how many they are.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    text.encode_utf16().for_each(|unit| bytes.extend(unit.to_le_bytes()));
    bytes.extend(utf16_length(text).to_le_bytes());
}

fn utf16_length(text: &str) -> i32 {
    i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX)
}

impl ConsumerGroups {
    /// Of all topics that a group subscribes to and that exist; 0 where there are none.
    pub(super) fn metadata_hash(&mut self, group_id: &str, image: &Image) -> i64 {
        let ConsumerGroups { groups, topic_hashes, .. } = self;
        let Some(live) = groups.get(group_id) else { return 0 };
        let mut bytes = Vec::with_capacity(8 * live.index.topics.len());
        for name in live.index.topics.keys() {
            let hash = match topic_hashes.get(name) {
                Some(hash) => *hash,
                None => {
                    let hash = image.topic(name).map(|topic| topic_hash(topic, image));
                    topic_hashes.insert(Arc::clone(name), hash);
                    hash
                }
            };
            bytes.extend(hash.into_iter().flat_map(i64::to_le_bytes));
        }
        if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes).cast_signed() }
    }

    /// Looks at all topics that are subscribed to, and marks the groups to which something has happened.
    pub(super) fn look_at_topics(&mut self, image: &Image) {
        let ConsumerGroups { groups, topic_hashes, image: before } = self;
        let subscribed: BTreeSet<&Arc<str>> = groups.values().flat_map(|live| live.index.topics.keys()).collect();
        topic_hashes.retain(|name, _| subscribed.contains(name));
        let mut changed = Vec::new();
        for (name, hash) in topic_hashes.iter_mut() {
            let now = image.topic(name).map(|topic| topic_hash(topic, image));
            if *hash != now {
                *hash = now;
                changed.push(Arc::clone(name));
            }
        }
        let has_regex = groups.values().any(|live| !live.index.regexes.is_empty());
        let created = has_regex && image.topics().any(|topic| before.topic_by_id(topic.id()).is_none());
        for live in groups.values_mut() {
            live.stale |= changed.iter().any(|name| live.index.topics.contains_key(name));
            live.new_topics |= created;
        }
        *before = image.clone();
    }
}
