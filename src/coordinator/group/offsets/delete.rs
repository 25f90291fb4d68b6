//! OffsetDelete (KIP-496): forgets offsets of topics that nobody in the group reads.

use felice_protocol::{error::ErrorCode, messages::offset_delete::*};

use super::Kind;
use crate::coordinator::group::{Answer, Caller, Command, GroupMachine, machine::Cx};

impl GroupMachine {
    pub(in crate::coordinator::group) fn delete_offsets(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        request: OffsetDeleteRequest,
    ) {
        let answer = match self.check_delete_offsets(&request.group_id) {
            Ok(kind) => self.write_deletions(cx, kind, request),
            Err(error) => Command::OffsetDelete(request).refused(error),
        };
        cx.out.answer(caller.call, answer);
    }

    /// Of members that are consumers it is known what they read; else there must be none.
    fn check_delete_offsets(&self, group_id: &str) -> Result<Kind, ErrorCode> {
        let kind = self.kind(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if kind == Kind::Classic {
            match self.classic_state(group_id) {
                Some("Dead") => return Err(ErrorCode::GroupIdNotFound),
                Some("Empty") | None => {}
                Some(_) if self.classic_protocol_type(group_id) == Some("consumer") => {}
                Some(_) => return Err(ErrorCode::NonEmptyGroup),
            }
        }
        Ok(kind)
    }

    fn write_deletions(&mut self, cx: &mut Cx<'_>, kind: Kind, request: OffsetDeleteRequest) -> Answer {
        cx.out.is_divisible = true;
        let group = request.group_id;
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let error = if self.subscribes(kind, &group, &topic.name) {
                ErrorCode::GroupSubscribedToTopic
            } else {
                ErrorCode::None
            };
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for OffsetDeleteRequestPartition { partition_index, .. } in topic.partitions {
                if error == ErrorCode::None
                    && (self.state.offset(&group, &topic.name, partition_index).is_some()
                        || self.state.is_pending(&group, &topic.name, partition_index))
                {
                    self.forget(cx, &group, &topic.name, partition_index);
                }
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index,
                    error_code: error.code(),
                    ..OffsetDeleteResponsePartition::default()
                });
            }
            topics.push(OffsetDeleteResponseTopic {
                name: topic.name,
                partitions,
                ..OffsetDeleteResponseTopic::default()
            });
        }
        Answer::OffsetDelete(OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() })
    }

    /// Whether a member reads the topic. True as well where members are consumers and it is not known what they read.
    pub(super) fn subscribes(&self, kind: Kind, group: &str, topic: &str) -> bool {
        match kind {
            Kind::Consumer => self.consumer_subscribes(group, topic),
            Kind::Classic => self.classic_subscribes(group, topic),
            Kind::Simple => false,
        }
    }
}
