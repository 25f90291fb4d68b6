//! What offsets and admin ask of the kinds of groups, answered from the log alone, as long as the kinds do not answer it.

use felice_protocol::{
    coordinator::{GroupRecord, consumer_group::ConsumerGroupMetadataKey, offsets::GroupMetadataKey},
    error::ErrorCode,
    messages::{consumer_group_describe, describe_groups},
};

use super::{GroupMachine, State, machine::Cx};
use crate::metadata::Image;

impl GroupMachine {
    pub(super) fn classic_state(&self, group_id: &str) -> Option<&'static str> {
        let group = self.state.classic.get(group_id)?;
        Some(if group.members.is_empty() { "Empty" } else { "Stable" })
    }

    pub(super) fn classic_protocol_type(&self, group_id: &str) -> Option<&str> {
        self.state.classic.get(group_id).map(|group| group.protocol_type.as_str())
    }

    pub(super) fn classic_subscribes(&self, group_id: &str, topic: &str) -> bool {
        self.state.classic.get(group_id).is_some_and(|group| {
            group.members.iter().any(|m| m.subscription.windows(topic.len()).any(|part| part == topic.as_bytes()))
        })
    }

    pub(super) fn check_classic_commit(
        &mut self,
        _cx: &mut Cx<'_>,
        group_id: &str,
        member_id: &str,
        _instance_id: Option<&str>,
        generation: i32,
        _is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        let group = self.state.classic.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        match group.members.iter().any(|member| member.member_id == member_id) {
            false if generation < 0 && group.members.is_empty() => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
            true if generation != group.generation => Err(ErrorCode::IllegalGeneration),
            true => Ok(()),
        }
    }

    pub(super) fn describe_classic(&self, group_id: &str) -> Option<describe_groups::DescribedGroup> {
        let group = self.state.classic.get(group_id)?;
        Some(describe_groups::DescribedGroup {
            group_id: group_id.to_owned(),
            group_state: self.classic_state(group_id)?.to_owned(),
            protocol_type: group.protocol_type.clone(),
            ..describe_groups::DescribedGroup::default()
        })
    }

    pub(super) fn delete_classic(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let key = GroupMetadataKey { group: group_id.to_owned(), ..GroupMetadataKey::default() };
        self.write(cx, GroupRecord::GroupMetadata(key, None));
    }

    pub(super) fn check_consumer_commit(
        &self,
        _cx: &mut Cx<'_>,
        _group_id: &str,
        _member_id: &str,
        _instance_id: Option<&str>,
        epoch: i32,
        _api_version: i16,
    ) -> Result<(), ErrorCode> {
        if epoch < 0 { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    pub(super) fn check_consumer_fetch(
        &self,
        committed: &State,
        group_id: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        let Some(member_id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let group = committed.consumer.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let current = group.currents.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if current.member_epoch == epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
    }

    pub(super) fn consumer_state(&self, committed: &State, group_id: &str) -> Option<&'static str> {
        let group = committed.consumer.get(group_id)?;
        Some(if group.members.is_empty() { "Empty" } else { "Stable" })
    }

    pub(super) fn consumer_subscribes(&self, group_id: &str, topic: &str) -> bool {
        let Some(group) = self.state.consumer.get(group_id) else { return false };
        group.members.values().any(|member| member.subscribed_topic_names.iter().any(|name| name == topic))
    }

    pub(super) fn describe_consumer(
        &self,
        committed: &State,
        _image: &Image,
        group_id: &str,
    ) -> Option<consumer_group_describe::DescribedGroup> {
        Some(consumer_group_describe::DescribedGroup {
            group_id: group_id.to_owned(),
            group_state: self.consumer_state(committed, group_id)?.to_owned(),
            ..consumer_group_describe::DescribedGroup::default()
        })
    }

    pub(super) fn delete_consumer(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let key = ConsumerGroupMetadataKey { group_id: group_id.to_owned(), ..ConsumerGroupMetadataKey::default() };
        self.write(cx, GroupRecord::ConsumerGroupMetadata(key, None));
    }
}
