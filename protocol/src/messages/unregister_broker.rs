//! UnregisterBroker (key 64): takes a broker that is gone out of the cluster.
//!
//! Version notes:
//! - v0: KIP-631

use crate::schema;

schema! {
    /// The request: see the [module](self).
    UnregisterBrokerRequest {
        broker_id: i32,
    }

    /// The response: see the [module](self).
    UnregisterBrokerResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
