//! Offsets of a topic go with it.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use super::expire::Budget;
use crate::{
    coordinator::group::{CommittedOffset, GroupMachine, machine::Cx},
    metadata::Image,
    model::Timestamp,
};

/// Topics whose offsets are being removed, and the groups that are still to be looked at.
#[derive(Debug)]
pub struct Forgetting {
    topics: BTreeSet<Arc<str>>,
    groups: Bound<Arc<str>>,
}

impl GroupMachine {
    /// Topics are gone, and so are their offsets: the first of them now, the others in slices.
    pub(in crate::coordinator::group) fn forget_topics(&mut self, cx: &mut Cx<'_>, topics: &[Arc<str>]) {
        if topics.is_empty() {
            return;
        }
        let begun = self.soft.offsets.forgetting.take().map(|begun| begun.topics);
        let topics: BTreeSet<Arc<str>> = begun.unwrap_or_default().into_iter().chain(topics.iter().cloned()).collect();
        self.forget_pending_of(cx, &topics);
        self.soft.offsets.forgetting = Some(Forgetting { topics, groups: Bound::Unbounded });
        self.forget_slice(cx);
        self.set_expiry(cx.now);
    }

    /// The deleted topics of which there may still be offsets.
    pub(in crate::coordinator::group) fn take_forgetting(&mut self) -> BTreeSet<Arc<str>> {
        self.soft.offsets.forgetting.take().map(|forgetting| forgetting.topics).unwrap_or_default()
    }

    /// Goes through all groups for offsets of these topics: what was decided of them before has not happened.
    pub(in crate::coordinator::group) fn forget_anew(&mut self, now: Timestamp, topics: BTreeSet<Arc<str>>) {
        if !topics.is_empty() {
            self.soft.offsets.forgetting = Some(Forgetting { topics, groups: Bound::Unbounded });
            self.set_expiry(now);
        }
    }

    /// Whether there may still be offsets of a deleted topic of this name.
    pub(super) fn is_forgetting(&self, topic: &str) -> bool {
        self.soft.offsets.forgetting.as_ref().is_some_and(|forgetting| forgetting.topics.contains(topic))
    }

    pub(super) fn forget_slice(&mut self, cx: &mut Cx<'_>) {
        let Some(mut forgetting) = self.soft.offsets.forgetting.take() else { return };
        let mut budget = Budget::FULL;
        let (mut doomed, mut stopped_at) = (Vec::new(), None);
        let from = forgetting.groups.as_ref().map(|id| &**id);
        'groups: for (group, offsets) in self.state.offsets.range::<str, _>((from, Bound::Unbounded)) {
            if budget.is_spent() {
                stopped_at = Some(group.clone());
                break;
            }
            budget.looks -= 1;
            // Either may be a great many.
            let topics: Vec<_> = if offsets.size() < forgetting.topics.len() {
                offsets.iter().filter(|(topic, _)| forgetting.topics.contains(*topic)).collect()
            } else {
                forgetting.topics.iter().filter_map(|topic| offsets.get_key_value(topic)).collect()
            };
            for (topic, partitions) in topics {
                let gone = partitions.iter().filter(|(_, offset)| is_of_gone(offset, topic, cx.image));
                for (partition, _) in gone {
                    if budget.is_spent() {
                        stopped_at = Some(group.clone());
                        break 'groups;
                    }
                    budget.deletions -= 1;
                    doomed.push((group.clone(), topic.clone(), *partition));
                }
            }
        }
        if let Some(group) = stopped_at {
            forgetting.groups = Bound::Included(group);
            self.soft.offsets.forgetting = Some(forgetting);
        }
        for (group, topic, partition) in doomed {
            self.forget(cx, &group, &topic, partition);
        }
    }

    /// What transactions have pending goes too, so that their end does not bring it back.
    fn forget_pending_of(&mut self, cx: &mut Cx<'_>, topics: &BTreeSet<Arc<str>>) {
        let pending = self.state.pending.values().flatten();
        let gone =
            pending.filter(|((_, topic, _), offset)| topics.contains(topic) && is_of_gone(offset, topic, cx.image));
        let doomed: BTreeSet<_> = gone.map(|(key, _)| key.clone()).collect();
        for (group, topic, partition) in doomed {
            self.forget(cx, &group, &topic, partition);
        }
    }
}

/// Whether an offset is not of the topic that has the name now. One that does not know its topic's id was committed for
/// the old one, as far as anybody can tell.
fn is_of_gone(offset: &CommittedOffset, topic: &str, image: &Image) -> bool {
    image.topic(topic).is_none_or(|now| now.id().0 != offset.topic_id)
}
