//! OffsetFetch: what a group has committed.

use std::{cell::Cell, sync::Arc};

use felice_protocol::{Uuid, error::ErrorCode, messages::offset_fetch::*};

use super::Kind;
use crate::{
    coordinator::group::{CommittedOffset, GroupMachine, State},
    metadata::Image,
};

/// What the answer for one group may take, in bytes: some half a million partitions. A request may name a partition, and with it
/// what was committed as metadata, again and again.
const ANSWER_MAX: usize = 32 << 20;

impl GroupMachine {
    /// One group of an OffsetFetch. Of a group that does not exist nothing was committed; that is no error.
    pub(in crate::coordinator::group) fn fetch_offsets(
        &self,
        committed: &State,
        image: &Image,
        request: &OffsetFetchRequestGroup,
        require_stable: bool,
    ) -> OffsetFetchResponseGroup {
        let group_id = &request.group_id;
        let mut answer = OffsetFetchResponseGroup { group_id: group_id.clone(), ..OffsetFetchResponseGroup::default() };
        if committed.kind(group_id) == Some(Kind::Consumer) {
            let member_id = request.member_id.as_deref();
            if let Err(error) = self.check_consumer_fetch(committed, group_id, member_id, request.member_epoch) {
                answer.error_code = error.code();
                return answer;
            }
        }
        let fetch = Fetch { machine: self, committed, image, group_id, require_stable, left: Cell::new(ANSWER_MAX) };
        answer.topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| fetch.topic(topic)).collect(),
            None => fetch.everything(),
        };
        answer
    }
}

/// A request for offsets of one group.
struct Fetch<'a> {
    machine: &'a GroupMachine,
    committed: &'a State,
    image: &'a Image,
    group_id: &'a str,
    require_stable: bool,
    /// Bytes that the answer may yet grow by.
    left: Cell<usize>,
}

impl Fetch<'_> {
    fn topic(&self, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
        let offsets = self.committed.offsets.get(self.group_id).and_then(|topics| topics.get(&*topic.name));
        let expected = self.expected(&topic.name, topic.topic_id);
        let partition = |index: &i32| {
            let offset = offsets.and_then(|offsets| offsets.get(index));
            self.partition(&topic.name, *index, offset.filter(|offset| is_of(offset, expected)))
        };
        OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.iter().map(partition).collect(),
            ..OffsetFetchResponseTopics::default()
        }
    }

    fn everything(&self) -> Vec<OffsetFetchResponseTopics> {
        let topics = self.committed.offsets.get(self.group_id).into_iter().flatten();
        let topics = topics.map(|(name, offsets)| {
            let expected = self.expected(name, Uuid::default());
            let offsets = offsets.iter().filter(|(_, offset)| is_of(offset, expected));
            OffsetFetchResponseTopics {
                name: name.to_string(),
                partitions: offsets.map(|(index, offset)| self.partition(name, *index, Some(offset))).collect(),
                ..OffsetFetchResponseTopics::default()
            }
        });
        topics.filter(|topic| !topic.partitions.is_empty()).collect()
    }

    /// The topic that is meant: the one with the id that was asked for, or else any of that name, as in Kafka. But a topic that was
    /// deleted and made again is another one, even while the old one's offsets are still there.
    fn expected(&self, name: &str, asked: Uuid) -> Uuid {
        if asked != Uuid::default() || !self.machine.is_forgetting(name) {
            return asked;
        }
        self.image.topic(name).map(|topic| topic.id().0).unwrap_or_default()
    }

    fn partition(
        &self,
        topic: &str,
        index: i32,
        offset: Option<&Arc<CommittedOffset>>,
    ) -> OffsetFetchResponsePartitions {
        let none = OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: -1,
            metadata: Some(String::new()),
            ..OffsetFetchResponsePartitions::default()
        };
        let metadata = offset.map_or(0, |offset| offset.metadata.len());
        self.left.set(self.left.get().saturating_sub(size_of_val(&none) + metadata));
        if self.left.get() == 0 {
            return OffsetFetchResponsePartitions { error_code: ErrorCode::PolicyViolation.code(), ..none };
        }
        if self.require_stable && self.is_unstable(topic, index) {
            return OffsetFetchResponsePartitions { error_code: ErrorCode::UnstableOffsetCommit.code(), ..none };
        }
        let Some(offset) = offset else { return none };
        OffsetFetchResponsePartitions {
            committed_offset: offset.offset.0,
            committed_leader_epoch: offset.leader_epoch,
            metadata: Some(offset.metadata.to_string()),
            ..none
        }
    }

    /// Whether something is under way that may change the offset: a transaction, or a commit that is appended and not
    /// yet committed itself.
    fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        let decided = &self.machine.state;
        decided.offset(self.group_id, topic, partition) != self.committed.offset(self.group_id, topic, partition)
            || decided.is_pending(self.group_id, topic, partition)
            || self.committed.is_pending(self.group_id, topic, partition)
    }
}

/// Whether an offset was committed for this topic, as far as both ids are known.
fn is_of(offset: &CommittedOffset, topic_id: Uuid) -> bool {
    let unknown = Uuid::default();
    offset.topic_id == unknown || topic_id == unknown || offset.topic_id == topic_id
}
