//! DescribeAcls (key 29): the ACLs that match a filter.
//!
//! The numbers are those of Kafka's `ResourceType`, `PatternType`, `AclOperation` and `AclPermissionType`; null, and 1
//! of a number, match anything.
//!
//! Version notes:
//! - v0: KIP-140
//! - v1: prefixes as patterns (KIP-290); throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: users as resources (KIP-373)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeAclsRequest {
        /// 1 any, 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
        resource_type_filter: i8,
        resource_name_filter: Option<String>,
        /// 1 any, 2 whatever matches the name, 3 literal, 4 prefixed.
        pattern_type_filter: i8 [1+] = 3,
        principal_filter: Option<String>,
        host_filter: Option<String>,
        operation: i8,
        permission_type: i8,
    }

    /// The response: see the [module](self).
    DescribeAclsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        resources: Vec<DescribeAclsResource>,
    }

    /// A resource and its ACLs.
    DescribeAclsResource {
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 [1+] = 3,
        acls: Vec<AclDescription>,
    }

    /// An ACL.
    AclDescription {
        principal: String,
        host: String,
        operation: i8,
        /// 2 deny, 3 allow.
        permission_type: i8,
    }
}
