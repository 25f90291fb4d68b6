//! DescribeGroups (key 15): classic groups with their members.
//!
//! - v1: throttle time. v3: authorized operations (KIP-430). v4: static members (KIP-345). v5: flexible.
//! - v6: GROUP_ID_NOT_FOUND with a message for a group that is not there, which before is in state Dead (KIP-1043).

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember},
};

use super::{Answer, Context, groups, operations};
use crate::coordinator::group::Query;

/// From here on a group that is not there is an error.
const FIRST_VERSION_WITH_NOT_FOUND: i16 = 6;

pub fn handle(cx: &Context<'_>, request: DescribeGroupsRequest) -> Answer<DescribeGroupsResponse> {
    let version = cx.version;
    let services = Arc::clone(cx.services);
    Answer::Later(Box::pin(async move {
        let mut described = Vec::with_capacity(request.groups.len());
        let mut left = groups::ANSWER_MAX;
        for group_id in request.groups {
            let query = Query::DescribeGroup(group_id.clone());
            let found = match left {
                0 => Err(ErrorCode::PolicyViolation),
                _ => groups::query(&services, &group_id, query).await,
            };
            let group = found.unwrap_or_else(|error| DescribedGroup {
                group_id,
                error_code: error.code(),
                ..DescribedGroup::default()
            });
            left = left.saturating_sub(size(&group));
            described.push(in_version(version, group, request.include_authorized_operations));
        }
        DescribeGroupsResponse { groups: described, ..DescribeGroupsResponse::default() }
    }))
}

/// About what an answer takes, in bytes.
fn size(group: &DescribedGroup) -> usize {
    let member = |member: &DescribedGroupMember| {
        let names = member.member_id.len() + member.client_id.len() + member.client_host.len();
        size_of_val(member) + names + member.member_metadata.len() + member.member_assignment.len()
    };
    size_of_val(group) + group.group_id.len() + group.members.iter().map(member).sum::<usize>()
}

fn in_version(version: i16, mut group: DescribedGroup, with_operations: bool) -> DescribedGroup {
    if version < FIRST_VERSION_WITH_NOT_FOUND {
        group.error_message = None;
        if group.error_code == ErrorCode::GroupIdNotFound.code() {
            group.error_code = ErrorCode::None.code();
        }
    }
    group.authorized_operations = operations::group(with_operations && group.error_code == 0);
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_there_is_dead_and_later_an_error() {
        let missing = DescribedGroup {
            group_state: "Dead".to_owned(),
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some("Group g not found.".to_owned()),
            ..DescribedGroup::default()
        };
        let early = in_version(5, missing.clone(), true);
        assert_eq!((early.error_code, early.error_message.as_deref()), (0, None));
        assert_ne!(early.authorized_operations, i32::MIN);
        assert_eq!(in_version(6, missing.clone(), true), missing);
    }
}
