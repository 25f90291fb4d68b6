//! ConsumerGroupHeartbeat (key 68): a member of a consumer group is alive, says what it reads and what it has, and is told what it
//! shall have (KIP-848).
//!
//! - v0: the broker makes member ids. v1: members make them themselves (KIP-1082); a regular expression of topics.

use felice_protocol::{
    error::ErrorCode,
    messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
};

use super::{Answer, Context, groups};
use crate::coordinator::group::Command;

pub fn handle(cx: &Context<'_>, request: ConsumerGroupHeartbeatRequest) -> Answer<ConsumerGroupHeartbeatResponse> {
    let refused = |error: ErrorCode, message: Option<&str>| {
        Answer::Now(ConsumerGroupHeartbeatResponse {
            error_code: error.code(),
            error_message: message.map(str::to_owned),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    };
    if !groups::serves_consumer_protocol(cx.services) {
        return refused(ErrorCode::UnsupportedVersion, Some("The version of API is not supported."));
    }
    groups::submit(cx, Command::ConsumerGroupHeartbeat(request), |response| response)
}
