//! GetTelemetrySubscriptions (key 71): which metrics a client shall send, and how often.
//!
//! Version notes:
//! - v0: KIP-714

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    GetTelemetrySubscriptionsRequest {
        /// All zero in a client's first request.
        client_instance_id: Uuid,
    }

    /// The response: see the [module](self).
    GetTelemetrySubscriptionsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        client_instance_id: Uuid,
        subscription_id: i32,
        /// Codecs by their numbers in record batches.
        accepted_compression_types: Vec<i8>,
        push_interval_ms: i32,
        telemetry_max_bytes: i32,
        delta_temporality: bool,
        /// Prefixes of names; an empty one means all.
        requested_metrics: Vec<String>,
    }
}
