//! FindCoordinator (key 10): which broker coordinates a group, a transactional id or a share group's partition.
//!
//! - v0: a group by its id. v1: key type (0 group, 1 transaction), error message. v3: flexible. v4: several keys at once
//!   (KIP-699). v5: TRANSACTION_ABORTABLE may be returned (KIP-890). v6: share groups (KIP-932).
//!
//! There are no coordinators yet, and every key is answered COORDINATOR_NOT_AVAILABLE, which clients retry. The API is
//! advertised all the same: librdkafka compresses with lz4 only where it sees FindCoordinator.

use felice_protocol::{
    error::ErrorCode,
    messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

use super::{Answer, Context};

const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=2;

pub fn handle(cx: &Context<'_>, request: FindCoordinatorRequest) -> Answer<FindCoordinatorResponse> {
    let (error, message) = if KEY_TYPES.contains(&request.key_type) {
        (ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.")
    } else {
        (ErrorCode::InvalidRequest, "Unknown coordinator key type.")
    };
    let nowhere = |key| Coordinator {
        key,
        node_id: -1,
        host: String::new(),
        port: -1,
        error_code: error.code(),
        error_message: Some(message.to_owned()),
        ..Coordinator::default()
    };
    Answer::Now(if cx.version >= 4 {
        FindCoordinatorResponse {
            coordinators: request.coordinator_keys.into_iter().map(nowhere).collect(),
            ..FindCoordinatorResponse::default()
        }
    } else {
        FindCoordinatorResponse {
            error_code: error.code(),
            error_message: Some(message.to_owned()),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        }
    })
}
