//! AddOffsetsToTxn (key 25): takes a group's committed offsets into a producer's transaction.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: throttling happens after the response (KIP-219)
//! - v2: PRODUCER_FENCED may be answered (KIP-588)
//! - v3: flexible (KIP-482)
//! - v4: TRANSACTION_ABORTABLE may be answered (KIP-890)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AddOffsetsToTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }

    /// The response: see the [module](self).
    AddOffsetsToTxnResponse {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
