//! PushTelemetry (key 72): a client's metrics.
//!
//! Version notes:
//! - v0: KIP-714

use bytes::Bytes;

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    PushTelemetryRequest {
        client_instance_id: Uuid,
        subscription_id: i32,
        terminating: bool,
        /// The codec's number in record batches.
        compression_type: i8,
        /// OpenTelemetry's MetricsData as protobuf, compressed.
        metrics: Bytes,
    }

    /// The response: see the [module](self).
    PushTelemetryResponse {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
