//! JoinGroup (key 11): a member of a classic group takes part in the next generation. Waits for the others.
//!
//! - v1: rebalance timeout (KIP-62). v2: throttle time. v4: the first join is told a member id to join with (KIP-394).
//! - v5: static members (KIP-345). v6: flexible. v7: protocol type and a nullable protocol name in the answer (KIP-559).
//! - v8: a reason (KIP-800). v9: `skip_assignment` (KIP-814).

use felice_protocol::{
    error::ErrorCode,
    messages::join_group::{JoinGroupRequest, JoinGroupResponse},
};

use super::{Answer, Context, groups};
use crate::coordinator::group::Command;

/// From here on a protocol that there is none of is null, and before that empty.
const FIRST_VERSION_WITH_NULL: i16 = 7;

pub fn handle(cx: &Context<'_>, request: JoinGroupRequest) -> Answer<JoinGroupResponse> {
    let version = cx.version;
    if request.group_id.is_empty() {
        let error_code = ErrorCode::InvalidGroupId.code();
        let refused = JoinGroupResponse { error_code, member_id: request.member_id, ..JoinGroupResponse::default() };
        return Answer::Now(in_version(version, refused));
    }
    groups::submit(cx, Command::JoinGroup(request), move |response| in_version(version, response))
}

fn in_version(version: i16, mut response: JoinGroupResponse) -> JoinGroupResponse {
    let name = response.protocol_name.unwrap_or_default();
    response.protocol_name = Some(name).filter(|name| version < FIRST_VERSION_WITH_NULL || !name.is_empty());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_that_there_is_none_of_is_empty_and_later_null() {
        let named = |name: Option<&str>| JoinGroupResponse {
            protocol_name: name.map(str::to_owned),
            ..JoinGroupResponse::default()
        };
        for (version, given, expected) in [
            (6, None, Some("")),
            (6, Some("range"), Some("range")),
            (7, Some(""), None),
            (7, None, None),
            (7, Some("range"), Some("range")),
        ] {
            assert_eq!(in_version(version, named(given)), named(expected));
        }
    }
}
