//! AllocateProducerIds (key 67): a broker asks the controller for a block of producer ids.
//!
//! Version notes:
//! - v0: KIP-730

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AllocateProducerIdsRequest {
        broker_id: i32,
        broker_epoch: i64 = -1,
    }

    /// The response: see the [module](self).
    AllocateProducerIdsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id_start: i64,
        producer_id_len: i32,
    }
}
