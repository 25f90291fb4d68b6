//! Heartbeat (key 12): a member of a classic group is alive, and is told when it has to join again.
//!
//! - v1: throttle time. v3: static members (KIP-345). v4: flexible.

use felice_protocol::{
    error::ErrorCode,
    messages::heartbeat::{HeartbeatRequest, HeartbeatResponse},
};

use super::{Answer, Context, groups};
use crate::coordinator::group::Command;

pub fn handle(cx: &Context<'_>, request: HeartbeatRequest) -> Answer<HeartbeatResponse> {
    if request.group_id.is_empty() {
        let error_code = ErrorCode::InvalidGroupId.code();
        return Answer::Now(HeartbeatResponse { error_code, ..HeartbeatResponse::default() });
    }
    groups::submit(cx, Command::Heartbeat(request), |response| response)
}
