//! Committed offsets: commit, fetch, delete, and what becomes of them when nobody wants them any more.
//!
//! | how offsets go | rule |
//! |---|---|
//! | `delete` | an operator asks: OffsetDelete, or the whole group with DeleteGroups |
//! | `expire` | retention (KIP-211), by passes over all groups; groups of which nothing is left go with it |
//! | `topics` | their topic is gone |
//!
//! A group that has nothing but offsets was made by committing to it without being a member (generation -1): Kafka calls it
//! simple, and shows it as an empty classic group without a protocol. Here it is no more than its offsets.

mod commit;
mod delete;
mod expire;
mod fetch;
mod topics;

#[cfg(test)]
pub(super) mod tests;

use std::{ops::Bound, sync::Arc};

use felice_protocol::coordinator::{GroupRecord, offsets::OffsetCommitKey};

use super::{GroupMachine, State, machine::Cx};
use crate::model::Timestamp;

/// What offsets know that is not in the log.
#[derive(Debug, Default)]
pub struct OffsetsSoft {
    /// The pass over all groups that looks for what has expired, where one has begun.
    pass: Option<expire::Cursor>,
    /// When the next one begins.
    next_pass: Timestamp,
    /// Deleted topics whose offsets are not all gone yet.
    forgetting: Option<topics::Forgetting>,
}

/// What a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Consumer,
    /// One that has members, or had.
    Classic,
    /// One that is made of offsets only.
    Simple,
}

impl GroupMachine {
    /// What the group is, as decisions see it; `None` where there is none.
    pub(super) fn kind(&self, group_id: &str) -> Option<Kind> {
        if self.state.consumer.contains_key(group_id) {
            Some(Kind::Consumer)
        } else if self.classic_state(group_id).is_some() {
            Some(Kind::Classic)
        } else {
            self.state.kind(group_id)
        }
    }

    /// Deletes an offset.
    fn forget(&mut self, cx: &mut Cx<'_>, group: &str, topic: &str, partition: i32) {
        let key = OffsetCommitKey {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
            ..OffsetCommitKey::default()
        };
        self.write(cx, GroupRecord::OffsetCommit(key, None));
    }

    /// Deletes every offset of a group, those that transactions have pending included.
    pub(super) fn forget_all(&mut self, cx: &mut Cx<'_>, group: &str) {
        let committed = self.state.offsets.get(group);
        let committed = committed.into_iter().flat_map(|topics| {
            topics.iter().flat_map(|(topic, partitions)| partitions.keys().map(|partition| (topic.clone(), *partition)))
        });
        let mut places: Vec<(Arc<str>, i32)> = committed.collect();
        places.extend(self.state.pending_of(group).map(|(_, topic, partition)| (topic.clone(), *partition)));
        places.sort();
        places.dedup();
        for (topic, partition) in places {
            self.forget(cx, group, &topic, partition);
        }
    }
}

impl State {
    /// What the group is, as the log has it.
    pub(super) fn kind(&self, group_id: &str) -> Option<Kind> {
        if self.consumer.contains_key(group_id) {
            Some(Kind::Consumer)
        } else if self.classic.contains_key(group_id) {
            Some(Kind::Classic)
        } else if self.offsets.contains_key(group_id) || self.pending_of(group_id).next().is_some() {
            Some(Kind::Simple)
        } else {
            None
        }
    }

    /// The ids of all groups of which the log says something, in order and each once, from one on.
    pub(super) fn group_ids(&self, from: Bound<&str>) -> impl Iterator<Item = &Arc<str>> {
        let range = (from, Bound::<&str>::Unbounded);
        let mut consumer = self.consumer.range::<str, _>(range).map(|(id, _)| id).peekable();
        let mut classic = self.classic.range::<str, _>(range).map(|(id, _)| id).peekable();
        let mut simple = self.offsets.range::<str, _>(range).map(|(id, _)| id).peekable();
        std::iter::from_fn(move || {
            let next = [consumer.peek(), classic.peek(), simple.peek()].into_iter().flatten().min().copied()?;
            consumer.next_if(|id| *id == next);
            classic.next_if(|id| *id == next);
            simple.next_if(|id| *id == next);
            Some(next)
        })
    }
}
