//! IncrementalAlterConfigs (key 44): sets (0), deletes (1), appends to (2) and subtracts from (3) single settings.
//!
//! Version notes:
//! - v0: KIP-339
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// A resource with settings to change.
    AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    /// A change.
    AlterableConfig {
        name: String,
        /// 0 set, 1 delete, 2 append, 3 subtract.
        config_operation: i8,
        value: Option<String>,
    }

    /// The response: see the [module](self).
    IncrementalAlterConfigsResponse {
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
