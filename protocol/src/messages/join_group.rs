//! JoinGroup (key 11): enters a classic group, and waits until all of its members are there.
//!
//! Version notes:
//! - v0: the groups of Kafka 0.9
//! - v1: a rebalance timeout of its own; before, the session timeout is meant (KIP-62)
//! - v2: throttle time (KIP-124)
//! - v3: throttling happens after the response (KIP-219)
//! - v4: the first join is answered with MEMBER_ID_REQUIRED and the id to join with (KIP-394)
//! - v5: static members (KIP-345)
//! - v6: flexible (KIP-482)
//! - v7: the protocol type is told, and the protocol's name may be null (KIP-559)
//! - v8: why the member joins (KIP-800)
//! - v9: a static leader is told to skip the assignment (KIP-814)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    JoinGroupRequest {
        group_id: String,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1+, ignorable] = -1,
        member_id: String,
        group_instance_id: Option<String> [5+],
        protocol_type: String,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<String> [8+, ignorable],
    }

    /// A protocol that the member knows, and what it says in it: not for the broker to read.
    JoinGroupRequestProtocol {
        name: String,
        metadata: Bytes,
    }

    /// The response: see the [module](self).
    JoinGroupResponse {
        throttle_time_ms: i32 [2+, ignorable],
        error_code: i16,
        generation_id: i32 = -1,
        protocol_type: Option<String> [7+, ignorable],
        protocol_name: Option<String> [0+, null 7+],
        leader: String,
        skip_assignment: bool [9+],
        member_id: String,
        members: Vec<JoinGroupResponseMember>,
    }

    /// A member, as the leader sees it.
    JoinGroupResponseMember {
        member_id: String,
        group_instance_id: Option<String> [5+, ignorable],
        metadata: Bytes,
    }
}
