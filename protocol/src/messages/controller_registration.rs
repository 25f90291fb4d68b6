//! ControllerRegistration (key 70): a controller makes itself known to the active one.
//!
//! Version notes:
//! - v0: KIP-919

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ControllerRegistrationRequest {
        controller_id: i32,
        incarnation_id: Uuid,
        zk_migration_ready: bool,
        listeners: Vec<Listener>,
        features: Vec<Feature>,
    }

    /// One of the controller's listeners.
    Listener {
        name: String,
        host: String,
        port: u16,
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16,
    }

    /// A feature, and the levels that the controller knows.
    Feature {
        name: String,
        min_supported_version: i16,
        max_supported_version: i16,
    }

    /// The response: see the [module](self).
    ControllerRegistrationResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
