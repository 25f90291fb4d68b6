//! DescribeGroups (key 15): classic groups and their members.
//!
//! Version notes:
//! - v0: the groups of Kafka 0.9
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: authorized operations (KIP-430)
//! - v4: static members (KIP-345)
//! - v5: flexible (KIP-482)
//! - v6: GROUP_ID_NOT_FOUND and a message for a group that is not there, which until then was one in state Dead
//!   (KIP-1043)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeGroupsRequest {
        groups: Vec<String>,
        include_authorized_operations: bool [3+],
    }

    /// The response: see the [module](self).
    DescribeGroupsResponse {
        throttle_time_ms: i32 [1+, ignorable],
        groups: Vec<DescribedGroup>,
    }

    /// A group. Its protocol and its members' bytes are told in state Stable only.
    DescribedGroup {
        error_code: i16,
        error_message: Option<String> [6+],
        group_id: String,
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<DescribedGroupMember>,
        /// One bit for each operation, by its number in ACLs; `i32::MIN` where not asked for.
        authorized_operations: i32 [3+] = i32::MIN,
    }

    /// A member.
    DescribedGroupMember {
        member_id: String,
        group_instance_id: Option<String> [4+, ignorable],
        client_id: String,
        client_host: String,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
