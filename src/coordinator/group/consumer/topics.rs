//! A group's topics in one number, by which it is seen that they have changed (KIP-1101). The same number as Kafka's, so that a
//! group does not rebalance for having moved here.

use std::{collections::BTreeSet, sync::Arc};

use twox_hash::XxHash3_64;

use super::live::ConsumerGroups;
use crate::metadata::{Image, Topic};

/// The form of what is hashed of a topic.
const TOPIC_FORM: u8 = 0;
/// Hashes of topics that nobody subscribes to any more, besides as many as there are of others.
const UNUSED_HASHES_MAX: usize = 1_000;

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
        if self.topic_hashes.len() >= self.topic_hashes_max {
            self.drop_unused_hashes();
        }
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
        self.drop_unused_hashes();
        let ConsumerGroups { groups, topic_hashes, image: before, .. } = self;
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

    /// Members may subscribe to ever other names. Those that somebody subscribes to stay: where a group is not stale, its topics are
    /// watched by them.
    fn drop_unused_hashes(&mut self) {
        let ConsumerGroups { groups, topic_hashes, topic_hashes_max, .. } = self;
        let subscribed: BTreeSet<&Arc<str>> = groups.values().flat_map(|live| live.index.topics.keys()).collect();
        topic_hashes.retain(|name, _| subscribed.contains(name));
        *topic_hashes_max = UNUSED_HASHES_MAX + 2 * topic_hashes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metadata::{Delta, PartitionRecord, RegisterBrokerRecord, TopicRecord},
        model::Uuid,
    };

    /// A topic with the brokers that have each partition; brokers 1 and 2 are in racks.
    fn image(name: &str, topic_id: Uuid, partitions: &[&[i32]]) -> Image {
        let mut image = Image::default();
        let mut apply = |record| image.apply(&record, &mut Delta::default()).unwrap();
        for (broker_id, rack) in [(1, "r1"), (2, "rack2")] {
            let rack = Some(rack.to_owned());
            apply(RegisterBrokerRecord { broker_id, rack, ..RegisterBrokerRecord::default() }.into());
        }
        apply(TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() }.into());
        for (partition_id, replicas) in (0..).zip(partitions) {
            let record = PartitionRecord {
                topic_id,
                partition_id,
                replicas: replicas.to_vec(),
                directories: vec![Uuid::ZERO; replicas.len()],
                ..PartitionRecord::default()
            };
            apply(record.into());
        }
        image
    }

    /// The numbers are those of Kafka 4.3.1's own class (`Utils.computeTopicHash`, `computeGroupHash`).
    #[test]
    fn hashes_are_kafkas() {
        let foo = Uuid(std::array::from_fn(|index| index as u8 + 1));
        let bar = Uuid(0x0000_0000_0000_0001_0000_0000_0000_0002_u128.to_be_bytes());
        let many = Uuid(0x0000_0000_0000_0003_0000_0000_0000_0004_u128.to_be_bytes());
        let hash = |name: &str, id, partitions: &[&[i32]]| {
            let image = image(name, id, partitions);
            topic_hash(image.topic(name).unwrap(), &image)
        };
        let foo = hash("foo", foo, &[&[7], &[7]]);
        let bar = hash("bar", bar, &[&[2, 1], &[1]]);
        assert_eq!((foo, bar), (-2_775_853_597_384_077_458, 6_945_151_332_826_417_566));
        // More than fits the short forms of the hash.
        let hash = hash("many", many, &[&[1][..]; 100]);
        assert_eq!(hash, 4_625_680_759_928_666_636);

        let mut groups = ConsumerGroups::default();
        let live = groups.groups.entry("g".into()).or_default();
        for (topic, hash) in [("foo", Some(foo)), ("bar", Some(bar)), ("none", None)] {
            live.index.topics.insert(topic.into(), Default::default());
            groups.topic_hashes.insert(topic.into(), hash);
        }
        assert_eq!(groups.metadata_hash("g", &Image::default()), 3_664_003_895_266_732_716);
        assert_eq!(groups.metadata_hash("other", &Image::default()), 0);
    }
}
