//! FindCoordinator (key 10): which broker coordinates a group, a transactional id or a share partition.
//!
//! librdkafka compresses with lz4 only where this API is advertised from version 0.
//!
//! Version notes:
//! - v0: groups; then called GroupCoordinator
//! - v1: transactional ids (KIP-98); throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: flexible (KIP-482)
//! - v4: many keys in one request (KIP-699)
//! - v5: TRANSACTION_ABORTABLE may be answered (KIP-890)
//! - v6: share groups (KIP-932)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    FindCoordinatorRequest {
        key: String [0-3],
        /// 0 group, 1 transactional id, 2 share partition (`group:topic id:partition`).
        key_type: i8 [1+],
        coordinator_keys: Vec<String> [4+],
    }

    /// The response: see the [module](self).
    FindCoordinatorResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16 [0-3],
        error_message: Option<String> [1-3, ignorable],
        node_id: i32 [0-3],
        host: String [0-3],
        port: i32 [0-3],
        coordinators: Vec<Coordinator> [4+],
    }

    /// A key, and the broker that coordinates it.
    Coordinator {
        key: String,
        node_id: i32,
        host: String,
        port: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
