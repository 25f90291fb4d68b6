//! FindCoordinator (key 10): which broker coordinates a group, a transactional id or a share group's partition.
//!
//! - v0: a group by its id. v1: key type (0 group, 1 transaction), error message. v3: flexible. v4: several keys at once
//!   (KIP-699). v5: TRANSACTION_ABORTABLE may be returned (KIP-890). v6: share groups (KIP-932).
//!
//! The first group that is asked for makes `__consumer_offsets`. Transactions and share groups have no coordinators yet: they are
//! answered COORDINATOR_NOT_AVAILABLE, which clients retry.
//!
//! librdkafka compresses with lz4 only where it sees this API from version 0.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

use super::{Answer, Context, Peer, Services};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// From here on several keys are asked for at once.
const FIRST_VERSION_WITH_KEYS: i16 = 4;
/// From here on share groups are known.
const FIRST_VERSION_WITH_SHARE: i16 = 6;

pub fn handle(cx: &Context<'_>, request: FindCoordinatorRequest) -> Answer<FindCoordinatorResponse> {
    let (services, peer, version) = (Arc::clone(cx.services), cx.peer.clone(), cx.version);
    Answer::Later(Box::pin(async move {
        let FindCoordinatorRequest { key, key_type, coordinator_keys, .. } = request;
        if version < FIRST_VERSION_WITH_KEYS {
            return single(find(&services, &peer, version, key_type, key).await);
        }
        let mut coordinators = Vec::with_capacity(coordinator_keys.len());
        for key in coordinator_keys {
            coordinators.push(find(&services, &peer, version, key_type, key).await);
        }
        FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
    }))
}

async fn find(services: &Services, peer: &Peer, version: i16, key_type: i8, key: String) -> Coordinator {
    let found = match key_type {
        GROUP => services.groups.find(&key).await.map_err(|error| (error, "The coordinator is not available.")),
        TRANSACTION => Err((ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.")),
        SHARE if version >= FIRST_VERSION_WITH_SHARE => {
            Err((ErrorCode::CoordinatorNotAvailable, "The coordinator is not available."))
        }
        SHARE => Err((ErrorCode::InvalidRequest, "Share groups are known from version 6 on.")),
        _ => Err((ErrorCode::InvalidRequest, "Unknown coordinator key type.")),
    };
    let endpoint = found.and_then(|node_id| {
        let image = services.quorum.image();
        let endpoints = services.endpoints(&image, peer);
        let reachable = endpoints.into_iter().find(|endpoint| endpoint.node_id == node_id && !endpoint.fenced);
        reachable.ok_or((ErrorCode::CoordinatorNotAvailable, "The coordinator is not available."))
    });
    match endpoint {
        Ok(endpoint) => Coordinator {
            key,
            node_id: endpoint.node_id.0,
            host: endpoint.host,
            port: endpoint.port,
            error_message: Some(String::new()),
            ..Coordinator::default()
        },
        Err((error, message)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(message.to_owned()),
            ..Coordinator::default()
        },
    }
}

/// The form before version 4, in which Kafka calls no error `NONE`.
fn single(found: Coordinator) -> FindCoordinatorResponse {
    let error_message = if found.error_code == 0 { Some("NONE".to_owned()) } else { found.error_message };
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}
