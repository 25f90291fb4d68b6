//! ListConfigResources (key 74): the names of resources that have settings.
//!
//! Version notes:
//! - v0: client metrics only, then called ListClientMetricsResources (KIP-1000)
//! - v1: resources of all types, or of those asked for (KIP-1142)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ListConfigResourcesRequest {
        /// Empty for all.
        resource_types: Vec<i8> [1+],
    }

    /// The response: see the [module](self).
    ListConfigResourcesResponse {
        throttle_time_ms: i32,
        error_code: i16,
        config_resources: Vec<ConfigResource>,
    }

    /// A resource.
    ConfigResource {
        resource_name: String,
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [1+, ignorable] = 16,
    }
}
