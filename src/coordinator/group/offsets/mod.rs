//! Committed offsets: commit, fetch, delete, expire.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::{offset_commit::*, offset_delete::*, offset_fetch::*},
};

use super::{Caller, Command, GroupMachine, State, machine::Cx};
use crate::{metadata::Image, model::Timestamp};

impl GroupMachine {
    pub(super) fn load_offsets(&mut self, _now: Timestamp) {}

    pub(super) fn commit_offsets(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: OffsetCommitRequest) {
        let answer = Command::OffsetCommit(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn delete_offsets(&mut self, cx: &mut Cx<'_>, caller: &Caller, request: OffsetDeleteRequest) {
        let answer = Command::OffsetDelete(request).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn fetch_offsets(
        &self,
        _committed: &State,
        _image: &Image,
        group: &OffsetFetchRequestGroup,
        _require_stable: bool,
    ) -> OffsetFetchResponseGroup {
        OffsetFetchResponseGroup {
            group_id: group.group_id.clone(),
            error_code: ErrorCode::CoordinatorNotAvailable.code(),
            ..OffsetFetchResponseGroup::default()
        }
    }

    /// Topics are gone, and so are their offsets.
    pub(super) fn forget_topics(&mut self, _cx: &mut Cx<'_>, _topics: &[Arc<str>]) {}

    /// Removes what has expired, and groups of which nothing is left.
    pub(super) fn expire_offsets(&mut self, _cx: &mut Cx<'_>) {}
}
