//! LeaveGroup (key 13): members of a classic group leave it.
//!
//! - v1: throttle time. v3: several members at once, static ones by their instance id (KIP-345). v4: flexible. v5: a reason
//!   (KIP-800).
//!
//! The coordinator sees all versions in the form of version 3.

use felice_protocol::{
    error::ErrorCode,
    messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity},
};

use super::{Answer, Context, groups};
use crate::coordinator::group::Command;

/// From here on there are several members, each with an error of its own.
const FIRST_VERSION_WITH_MEMBERS: i16 = 3;

pub fn handle(cx: &Context<'_>, request: LeaveGroupRequest) -> Answer<LeaveGroupResponse> {
    let version = cx.version;
    if request.group_id.is_empty() {
        let error_code = ErrorCode::InvalidGroupId.code();
        return Answer::Now(LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() });
    }
    groups::submit(cx, Command::LeaveGroup(in_one_form(version, request)), move |response| {
        in_version(version, response)
    })
}

/// Before there are several, the one member stands by itself.
fn in_one_form(version: i16, mut request: LeaveGroupRequest) -> LeaveGroupRequest {
    if version < FIRST_VERSION_WITH_MEMBERS {
        let member_id = std::mem::take(&mut request.member_id);
        request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
    }
    request
}

/// Before there are several, the one member's error is the answer's.
fn in_version(version: i16, mut response: LeaveGroupResponse) -> LeaveGroupResponse {
    if version < FIRST_VERSION_WITH_MEMBERS {
        let members = std::mem::take(&mut response.members);
        if response.error_code == 0 {
            response.error_code = members.first().map_or(0, |member| member.error_code);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use felice_protocol::messages::leave_group::MemberResponse;

    use super::*;

    #[test]
    fn one_member_is_a_list_of_one() {
        let by_itself = LeaveGroupRequest { member_id: "m".to_owned(), ..LeaveGroupRequest::default() };
        let member = MemberIdentity { member_id: "m".to_owned(), ..MemberIdentity::default() };
        let listed = LeaveGroupRequest { members: vec![member], ..LeaveGroupRequest::default() };
        assert_eq!(in_one_form(2, by_itself), listed);
        assert_eq!(in_one_form(3, listed.clone()), listed);
    }

    #[test]
    fn one_members_error_is_the_answers_where_there_is_only_one() {
        let answer = |error_code, of_member: &[i16]| LeaveGroupResponse {
            error_code,
            members: of_member.iter().map(|&error_code| MemberResponse { error_code, ..Default::default() }).collect(),
            ..LeaveGroupResponse::default()
        };
        assert_eq!(in_version(2, answer(0, &[25])), answer(25, &[]));
        assert_eq!(in_version(2, answer(16, &[])), answer(16, &[]));
        assert_eq!(in_version(3, answer(0, &[25])), answer(0, &[25]));
    }
}
