//! ListGroups (key 16): the groups that a broker coordinates.
//!
//! Version notes:
//! - v0: the groups of Kafka 0.9
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: flexible (KIP-482)
//! - v4: states, and only groups in these states (KIP-518)
//! - v5: types, and only groups of these types (KIP-848)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ListGroupsRequest {
        /// Empty for all.
        states_filter: Vec<String> [4+],
        /// Empty for all.
        types_filter: Vec<String> [5+],
    }

    /// The response: see the [module](self).
    ListGroupsResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16,
        groups: Vec<ListedGroup>,
    }

    /// A group.
    ListedGroup {
        group_id: String,
        protocol_type: String,
        group_state: String [4+, ignorable],
        group_type: String [5+, ignorable],
    }
}
