//! OffsetCommit: who may commit, and what is written.

use felice_protocol::{
    coordinator::{
        GroupRecord,
        offsets::{OffsetCommitKey, OffsetCommitValue},
    },
    error::ErrorCode,
    messages::offset_commit::*,
};

use super::Kind;
use crate::{
    coordinator::group::{Answer, Caller, Command, GroupMachine, machine::Cx},
    model::Timestamp,
};

impl GroupMachine {
    pub(in crate::coordinator::group) fn commit_offsets(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: OffsetCommitRequest,
    ) {
        let answer = match self.check_commit(cx, caller.version, &request) {
            Ok(()) => self.write_offsets(cx, request),
            Err(error) => Command::OffsetCommit(request).refused(error),
        };
        cx.out.answer(caller.call, answer);
    }

    /// Members commit within their generation or epoch. Who is no member may commit to a group that has no members.
    fn check_commit(&mut self, cx: &mut Cx<'_>, version: i16, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let OffsetCommitRequest { group_id, member_id, .. } = request;
        let instance_id = request.group_instance_id.as_deref();
        let generation = request.generation_id_or_member_epoch;
        match self.kind(group_id) {
            Some(Kind::Consumer) => {
                self.check_consumer_commit(group_id, member_id, generation, version)?;
                self.check_partitions(request)
            }
            Some(Kind::Classic) => self.check_classic_commit(cx, group_id, member_id, instance_id, generation, false),
            _ if generation < 0 => Ok(()),
            Some(Kind::Simple) => Err(ErrorCode::UnknownMemberId),
            // Until version 9, clients expect a generation to be wrong, but not a group to be missing.
            None if version >= 9 => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// A member that names an epoch before its own has had a partition since then, or the whole commit is refused (KIP-1251).
    fn check_partitions(&self, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let epoch = request.generation_id_or_member_epoch;
        let Some(since) = self.consumer_commits_since(&request.group_id, &request.member_id, epoch) else {
            return Ok(());
        };
        for topic in &request.topics {
            for partition in &topic.partitions {
                if !self.is_too_large(partition.committed_metadata.as_deref().unwrap_or_default()) {
                    since.check(topic.topic_id, partition.partition_index)?;
                }
            }
        }
        Ok(())
    }

    fn write_offsets(&mut self, cx: &mut Cx<'_>, request: OffsetCommitRequest) -> Answer {
        let since =
            self.consumer_commits_since(&request.group_id, &request.member_id, request.generation_id_or_member_epoch);
        let group = request.group_id;
        let expire_timestamp = match request.retention_time_ms {
            -1 => -1,
            retention => cx.now.0.saturating_add(retention),
        };
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            let topic_id = match cx.image.topic(&topic.name) {
                Some(found) if topic.topic_id.is_zero() => found.id().0,
                _ => topic.topic_id,
            };
            for partition in topic.partitions {
                let metadata = partition.committed_metadata.unwrap_or_default();
                let mut error = ErrorCode::None;
                let late = since.as_ref().and_then(|since| since.check(topic_id, partition.partition_index).err());
                if let Some(late) = late {
                    error = late;
                } else if self.is_too_large(&metadata) {
                    error = ErrorCode::OffsetMetadataTooLarge;
                } else {
                    let key = OffsetCommitKey {
                        group: group.clone(),
                        topic: topic.name.clone(),
                        partition: partition.partition_index,
                        ..OffsetCommitKey::default()
                    };
                    let value = OffsetCommitValue {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata,
                        commit_timestamp: commit_timestamp(cx.now, partition.commit_timestamp),
                        expire_timestamp,
                        topic_id: topic.topic_id,
                        ..OffsetCommitValue::default()
                    };
                    self.write(cx, GroupRecord::OffsetCommit(key, Some(value)));
                }
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                    ..OffsetCommitResponsePartition::default()
                });
            }
            topics.push(OffsetCommitResponseTopic {
                name: topic.name,
                topic_id: topic.topic_id,
                partitions,
                ..OffsetCommitResponseTopic::default()
            });
        }
        Answer::OffsetCommit(OffsetCommitResponse { topics, ..OffsetCommitResponse::default() })
    }

    /// The limit counts as Java does: in UTF-16 units.
    fn is_too_large(&self, metadata: &str) -> bool {
        let max = self.settings.offset_metadata_max_bytes;
        // UTF-16 never has more units than UTF-8 has bytes.
        metadata.len() > max && metadata.encode_utf16().count() > max
    }
}

/// Version 1 of the request may name the time of the commit.
fn commit_timestamp(now: Timestamp, named: i64) -> i64 {
    if named == -1 { now.0 } else { named }
}
