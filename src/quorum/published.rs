//! The committed image for everybody to read, and those who want to hear of changes.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    metadata::{DeletedTopic, Delta, Image},
    model::{PartitionIndex, TopicIdPartition},
};

/// Someone who acts on changes of the metadata.
pub trait Subscriber: Send + Sync {
    /// `image` is in effect and `delta` is what it changed. Called in order, one at a time, and before whoever asked for
    /// the change is answered; so it holds up all changes while it runs. It must not subscribe from within.
    fn applied(&self, image: &Arc<Image>, delta: &Delta);
}

pub struct Published {
    image: ArcSwap<Image>,
    /// The index of the last log entry that is in the image; -1 before the first.
    version: AtomicI64,
    /// Held while an image is put in place and told, so that each subscriber sees every change after its first call.
    subscribers: Mutex<Vec<Arc<dyn Subscriber>>>,
}

impl Default for Published {
    fn default() -> Published {
        Published { image: ArcSwap::default(), version: AtomicI64::new(-1), subscribers: Mutex::default() }
    }
}

impl Published {
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that the image has all entries up to this one.
    pub fn advance(&self, index: u64) {
        self.version.fetch_max(i64::try_from(index).unwrap_or(i64::MAX), Ordering::AcqRel);
    }

    pub fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    pub fn publish(&self, image: Image, delta: &Delta) {
        let subscribers = self.subscribers.lock();
        let image = Arc::new(image);
        self.image.store(image.clone());
        subscribers.iter().for_each(|subscriber| subscriber.applied(&image, delta));
    }

    /// Puts an image in place that no records lead to, such as a leader's snapshot.
    pub fn replace(&self, image: Image) {
        let delta = difference(&self.image(), &image);
        self.publish(image, &delta);
    }

    /// Tells the subscriber the whole image now, as if all of it had just been created, and all changes from now on.
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        let mut subscribers = self.subscribers.lock();
        let image = self.image();
        subscriber.applied(&image, &difference(&Image::default(), &image));
        subscribers.push(subscriber);
    }
}

/// What may differ. Partitions, settings and brokers that both images have count as touched, whether they differ or not.
fn difference(old: &Image, new: &Image) -> Delta {
    let mut delta = Delta { cluster: true, producer_ids: true, ..Delta::default() };
    for topic in new.topics() {
        if old.topic_by_id(topic.id()).is_none() {
            delta.topics_created.insert(topic.id());
        }
        delta.topic_configs.insert(topic.id());
        let at = |partition| TopicIdPartition { topic_id: topic.id(), partition: PartitionIndex(partition) };
        delta.partitions.extend((0..topic.partition_count()).map(at));
    }
    for topic in old.topics().filter(|topic| new.topic_by_id(topic.id()).is_none()) {
        let deleted = DeletedTopic { name: topic.name().clone(), partitions: topic.partition_count() };
        delta.topics_deleted.insert(topic.id(), deleted);
    }
    delta.group_configs = new.groups_with_configs().chain(old.groups_with_configs()).cloned().collect();
    delta.brokers = new.brokers().chain(old.brokers()).map(|broker| broker.id).collect();
    delta
}
