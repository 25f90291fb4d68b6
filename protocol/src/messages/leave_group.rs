//! LeaveGroup (key 13): takes members out of a classic group.
//!
//! Version notes:
//! - v0: one member; the groups of Kafka 0.9
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: many members in one request, by member id or by static name (KIP-345)
//! - v4: flexible (KIP-482)
//! - v5: why a member leaves (KIP-800)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    LeaveGroupRequest {
        group_id: String,
        member_id: String [0-2],
        members: Vec<MemberIdentity> [3+],
    }

    /// A member that leaves.
    MemberIdentity {
        member_id: String,
        group_instance_id: Option<String>,
        reason: Option<String> [5+, ignorable],
    }

    /// The response: see the [module](self).
    LeaveGroupResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16,
        members: Vec<MemberResponse> [3+],
    }

    /// What became of a member.
    MemberResponse {
        member_id: String,
        group_instance_id: Option<String>,
        error_code: i16,
    }
}
