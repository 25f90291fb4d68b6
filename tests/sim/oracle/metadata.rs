//! What the metadata's users are told is what its log says:
//!
//! - the image that is read is what a replay of the committed batches comes to;
//! - no reply shows what later vanished: at the place in the log where a command took effect, and at no other, deciding it
//!   anew against what is committed before it gives the same records and the same reply;
//! - leader, partition and broker epochs never go back, topic ids and producer ids are given out once.

use std::collections::BTreeSet;

use super::Violation;
use crate::{
    controller::{Command, Decision, Reply, decide},
    metadata::{Delta, Image, decode_batch},
    model::{Timestamp, TopicId, TopicIdPartition},
};

/// A command that was answered, and where it stands.
#[derive(Debug)]
pub struct Answered {
    /// How many batches were committed before it.
    pub after: usize,
    /// Whether it is the next one itself, or changed nothing and was answered at once.
    pub appended: bool,
    pub command: Command,
    pub reply: Reply,
}

/// The committed batches, one after the other, and the images that they lead to.
#[derive(Debug)]
pub struct Replay {
    images: Vec<Image>,
    topic_ids: BTreeSet<TopicId>,
}

fn violation(what: String) -> Violation {
    Violation::new("metadata", what)
}

impl Replay {
    pub fn new() -> Replay {
        Replay { images: vec![Image::default()], topic_ids: BTreeSet::new() }
    }

    /// The image after all that is committed.
    pub fn image(&self) -> &Image {
        self.images.last().expect("the empty image, at least")
    }

    pub fn committed(&self) -> usize {
        self.images.len() - 1
    }

    /// One more batch is committed.
    pub fn commit(&mut self, batch: &bytes::Bytes) -> Result<(), Violation> {
        let records = decode_batch(batch).map_err(|error| violation(error.to_string()))?;
        let before = self.image();
        let (mut image, mut delta) = (before.clone(), Delta::default());
        for record in &records {
            image.apply(record, &mut delta).map_err(|misfit| violation(format!("{record:?}: {misfit}")))?;
        }
        check_epochs(before, &image)?;
        if let Some(id) = delta.topics_created.iter().find(|id| !self.topic_ids.insert(**id)) {
            return Err(violation(format!("the topic id {id} is given out again")));
        }
        self.images.push(image);
        Ok(())
    }

    /// What is read is committed.
    pub fn check_read(&self, image: &Image, at: usize) -> Result<(), Violation> {
        if self.images.get(at) == Some(image) {
            return Ok(());
        }
        Err(violation(format!("the image that is read is not that of the first {at} batches")))
    }

    /// What was answered is what the log says.
    pub fn check_answered(&self, answered: &Answered, batch: Option<&bytes::Bytes>) -> Result<(), Violation> {
        let Answered { after, command, reply, .. } = answered;
        let is_there = !answered.appended || batch.is_some();
        let Some(before) = self.images.get(*after).filter(|_| is_there) else {
            return Err(violation(format!("{command:?} is answered by {reply:?} and was never committed")));
        };
        let records = batch.map_or(Ok(Vec::new()), decode_batch).map_err(|error| violation(error.to_string()))?;
        let expected = decide(Timestamp(0), before, command);
        let found = Decision { records, reply: reply.clone() };
        if found == expected {
            return Ok(());
        }
        Err(violation(format!("{command:?} after {after} batches gave {found:?} where {expected:?} is right")))
    }

    /// Each producer id is in one block that was given out.
    pub fn check_producer_ids<'a>(&self, answered: impl Iterator<Item = &'a Answered>) -> Result<(), Violation> {
        let mut given = BTreeSet::new();
        for Answered { reply, .. } in answered {
            let Reply::AllocateProducerIds(Ok(block)) = reply else { continue };
            if !given.insert(block.first) || block.first.0 + i64::from(block.len) > self.image().next_producer_id().0 {
                return Err(violation(format!("the producer ids from {} on are given out again", block.first)));
            }
        }
        Ok(())
    }
}

/// No epoch goes back, and no leader changes without a new one.
pub fn check_epochs(before: &Image, after: &Image) -> Result<(), Violation> {
    for topic in before.topics() {
        for (partition, old) in topic.partitions() {
            let Some(new) = after.partition(TopicIdPartition { topic_id: topic.id(), partition }) else { continue };
            let goes_back = new.leader_epoch < old.leader_epoch || new.partition_epoch < old.partition_epoch;
            if goes_back || new.leader != old.leader && new.leader_epoch == old.leader_epoch {
                return Err(violation(format!("{old:?} becomes {new:?}")));
            }
        }
    }
    for broker in before.brokers() {
        if after.broker(broker.id).is_some_and(|after| after.epoch < broker.epoch) {
            return Err(violation(format!("the epoch of {broker:?} goes back")));
        }
    }
    Ok(())
}
