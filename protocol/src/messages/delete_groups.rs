//! DeleteGroups (key 42): deletes empty groups with their offsets.
//!
//! Version notes:
//! - v0: KIP-229
//! - v1: throttling happens after the response (KIP-219)
//! - v2: flexible (KIP-482)
//! - v3: error messages (KIP-1331)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DeleteGroupsRequest {
        groups_names: Vec<String>,
    }

    /// The response: see the [module](self).
    DeleteGroupsResponse {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    /// What became of a group.
    DeletableGroupResult {
        group_id: String,
        error_code: i16,
        error_message: Option<String> [3+, ignorable],
    }
}
