//! Heartbeat (key 12): a member of a classic group says that it lives, and learns of rebalances.
//!
//! Version notes:
//! - v0: the groups of Kafka 0.9
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: static members (KIP-345)
//! - v4: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    HeartbeatRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3+],
    }

    /// The response: see the [module](self).
    HeartbeatResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16,
    }
}
