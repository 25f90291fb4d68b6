//! What operators ask: which groups there are, what they are like, and to delete them.

use felice_protocol::{
    error::ErrorCode,
    messages::{consumer_group_describe, describe_groups, list_groups::ListedGroup},
};

use super::{Caller, Command, GroupMachine, State, machine::Cx};
use crate::{metadata::Image, model::Timestamp};

impl GroupMachine {
    pub(super) fn delete_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, group_id: String) {
        let answer = Command::DeleteGroup(group_id).refused(ErrorCode::CoordinatorNotAvailable);
        cx.out.answer(caller.call, answer);
    }

    pub(super) fn list_groups(
        &self,
        _now: Timestamp,
        _committed: &State,
        _states: &[String],
        _types: &[String],
    ) -> Vec<ListedGroup> {
        Vec::new()
    }

    pub(super) fn describe_group(&self, _committed: &State, group_id: &str) -> describe_groups::DescribedGroup {
        describe_groups::DescribedGroup {
            group_id: group_id.to_owned(),
            error_code: ErrorCode::CoordinatorNotAvailable.code(),
            ..describe_groups::DescribedGroup::default()
        }
    }

    pub(super) fn describe_consumer_group(
        &self,
        _committed: &State,
        _image: &Image,
        group_id: &str,
    ) -> consumer_group_describe::DescribedGroup {
        consumer_group_describe::DescribedGroup {
            group_id: group_id.to_owned(),
            error_code: ErrorCode::CoordinatorNotAvailable.code(),
            ..consumer_group_describe::DescribedGroup::default()
        }
    }
}
