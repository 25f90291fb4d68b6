//! SyncGroup (key 14): a member of a classic group asks for its assignment; the leader brings all of them. Waits for the leader.
//!
//! - v1: throttle time. v3: static members (KIP-345). v4: flexible. v5: protocol type and name, which must be given and must be
//!   the group's (KIP-559).

use felice_protocol::{
    error::ErrorCode,
    messages::sync_group::{SyncGroupRequest, SyncGroupResponse},
};

use super::{Answer, Context, groups};
use crate::coordinator::group::Command;

/// From here on protocol type and name must be given.
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

pub fn handle(cx: &Context<'_>, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    let refusal = if cx.version >= FIRST_VERSION_WITH_PROTOCOL && !names_protocol {
        Some(ErrorCode::InconsistentGroupProtocol)
    } else if request.group_id.is_empty() {
        Some(ErrorCode::InvalidGroupId)
    } else {
        None
    };
    if let Some(error) = refusal {
        return Answer::Now(SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() });
    }
    groups::submit(cx, Command::SyncGroup(request), |response| response)
}
