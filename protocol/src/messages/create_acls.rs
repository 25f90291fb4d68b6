//! CreateAcls (key 30): adds ACLs. The numbers are those of DescribeAcls.
//!
//! Version notes:
//! - v0: KIP-140
//! - v1: prefixes as patterns (KIP-290); throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: users as resources (KIP-373)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    CreateAclsRequest {
        creations: Vec<AclCreation>,
    }

    /// An ACL to add.
    AclCreation {
        resource_type: i8,
        resource_name: String,
        /// 3 literal, 4 prefixed.
        resource_pattern_type: i8 [1+] = 3,
        principal: String,
        host: String,
        operation: i8,
        /// 2 deny, 3 allow.
        permission_type: i8,
    }

    /// The response: see the [module](self).
    CreateAclsResponse {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    /// What became of one, in the order of the request.
    AclCreationResult {
        error_code: i16,
        error_message: Option<String>,
    }
}
