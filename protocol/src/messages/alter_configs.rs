//! AlterConfigs (key 33): replaces all settings of resources. IncrementalAlterConfigs is what should be used.
//!
//! Version notes:
//! - v0: KIP-133
//! - v1: throttling happens after the response (KIP-219)
//! - v2: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// A resource and all its settings; those not named get their defaults.
    AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// A setting's new value.
    AlterableConfig {
        name: String,
        value: Option<String>,
    }

    /// The response: see the [module](self).
    AlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    /// What became of a resource.
    AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
