//! SyncGroup (key 14): the leader of a classic group hands in all assignments, each member gets its own.
//!
//! Version notes:
//! - v0: the groups of Kafka 0.9
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: static members (KIP-345)
//! - v4: flexible (KIP-482)
//! - v5: protocol type and name are told, and must be the group's (KIP-559)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    SyncGroupRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3+],
        protocol_type: Option<String> [5+, ignorable],
        protocol_name: Option<String> [5+, ignorable],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// One member's assignment, in the form of the group's protocol: not for the broker to read.
    SyncGroupRequestAssignment {
        member_id: String,
        assignment: Bytes,
    }

    /// The response: see the [module](self).
    SyncGroupResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16,
        protocol_type: Option<String> [5+, ignorable],
        protocol_name: Option<String> [5+, ignorable],
        assignment: Bytes,
    }
}
