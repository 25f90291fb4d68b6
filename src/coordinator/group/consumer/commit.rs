//! Whether members may commit and fetch offsets with the epoch that they name.

use felice_protocol::{Uuid, error::ErrorCode};

use super::{
    super::{GroupMachine, State},
    member::Standing,
};

/// A member that names an earlier epoch than its own may commit for the partitions that it has had since then (KIP-1251).
#[derive(Debug)]
pub(in super::super) struct SinceEpoch {
    epoch: i32,
    standing: Standing,
    refused: ErrorCode,
}

impl SinceEpoch {
    pub fn check(&self, topic_id: Uuid, partition: i32) -> Result<(), ErrorCode> {
        let of = |partitions: &super::member::Partitions| partitions.get(&topic_id)?.get(&partition).copied();
        let since = of(&self.standing.assigned).or_else(|| of(&self.standing.revoking));
        if since.is_some_and(|since| self.epoch >= since) { Ok(()) } else { Err(self.refused) }
    }
}

impl GroupMachine {
    /// Whether a commit is refused as a whole. Where it is not, [`GroupMachine::consumer_commits_since`] may yet refuse
    /// partitions.
    pub(in super::super) fn check_consumer_commit(
        &self,
        group_id: &str,
        member_id: &str,
        epoch: i32,
        api_version: i16,
    ) -> Result<(), ErrorCode> {
        let Some(group) = self.state.consumer.get(group_id) else { return Err(ErrorCode::GroupIdNotFound) };
        // An operator, or a consumer that assigns partitions itself.
        if epoch < 0 && group.members.is_empty() {
            return Ok(());
        }
        if !group.members.contains_key(member_id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        let is_classic = group.is_classic(member_id);
        if !is_classic && api_version < 9 {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if epoch > group.member_epoch(member_id) {
            return Err(wrong_epoch(is_classic));
        }
        Ok(())
    }

    /// For which partitions only a commit is taken, that was not refused as a whole; `None` where for all.
    pub(in super::super) fn consumer_commits_since(
        &self,
        group_id: &str,
        member_id: &str,
        epoch: i32,
    ) -> Option<SinceEpoch> {
        let group = self.state.consumer.get(group_id)?;
        if !group.members.contains_key(member_id) || epoch >= group.member_epoch(member_id) {
            return None;
        }
        let refused = wrong_epoch(group.is_classic(member_id));
        Some(SinceEpoch { epoch, standing: group.standing(member_id), refused })
    }

    pub(in super::super) fn check_consumer_fetch(
        &self,
        committed: &State,
        group_id: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        // An operator, or a client that does not say who it is.
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let Some(group) = committed.consumer.get(group_id) else { return Err(ErrorCode::GroupIdNotFound) };
        match member_id {
            Some(member_id) if group.members.contains_key(member_id) => {
                if group.member_epoch(member_id) == epoch {
                    Ok(())
                } else {
                    Err(wrong_epoch(group.is_classic(member_id)))
                }
            }
            _ => Err(ErrorCode::UnknownMemberId),
        }
    }
}

fn wrong_epoch(is_classic: bool) -> ErrorCode {
    if is_classic { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
