//! IncrementalAlterConfigs (key 44): sets (0), deletes (1), appends to (2) and subtracts from (3) single settings.
//!
//! Version notes:
//! - v0: KIP-339
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    AlterableConfig {
        name: String,
        config_operation: i8,
        value: Option<String>,
    }

    IncrementalAlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
    }
}
