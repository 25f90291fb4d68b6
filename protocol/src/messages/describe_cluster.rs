//! DescribeCluster (key 60): the cluster's id, its brokers, and what the client may do with it.
//!
//! Version notes:
//! - v0: taken out of Metadata (KIP-700)
//! - v1: asks a controller for controllers; MISMATCHED_ENDPOINT_TYPE, UNSUPPORTED_ENDPOINT_TYPE (KIP-919)
//! - v2: fenced brokers too (KIP-1073)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeClusterRequest {
        include_cluster_authorized_operations: bool,
        /// 1 brokers, 2 controllers.
        endpoint_type: i8 [1+] = 1,
        include_fenced_brokers: bool [2+],
    }

    /// The response: see the [module](self).
    DescribeClusterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        endpoint_type: i8 [1+] = 1,
        cluster_id: String,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        /// One bit for each operation, by its number in ACLs; `i32::MIN` where not asked for.
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// A broker or controller.
    DescribeClusterBroker {
        broker_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
        is_fenced: bool [2+],
    }
}
