//! DeleteAcls (key 31): removes the ACLs that match filters. The numbers are those of DescribeAcls.
//!
//! Version notes:
//! - v0: KIP-140
//! - v1: prefixes as patterns (KIP-290); throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: users as resources (KIP-373)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter>,
    }

    /// Which ACLs to remove.
    DeleteAclsFilter {
        resource_type_filter: i8,
        resource_name_filter: Option<String>,
        pattern_type_filter: i8 [1+] = 3,
        principal_filter: Option<String>,
        host_filter: Option<String>,
        operation: i8,
        permission_type: i8,
    }

    /// The response: see the [module](self).
    DeleteAclsResponse {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// What a filter matched, in the order of the request.
    DeleteAclsFilterResult {
        error_code: i16,
        error_message: Option<String>,
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// An ACL that matched, and what became of it.
    DeleteAclsMatchingAcl {
        error_code: i16,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [1+] = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
