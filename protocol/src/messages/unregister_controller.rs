//! UnregisterController (key 94): takes a controller that is gone out of the cluster.
//!
//! Version notes:
//! - v0: KIP-1312

use crate::schema;

schema! {
    /// The request: see the [module](self).
    UnregisterControllerRequest {
        controller_id: i32,
    }

    /// The response: see the [module](self).
    UnregisterControllerResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
