//! EndTxn (key 26): commits or aborts a producer's transaction.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: throttling happens after the response (KIP-219)
//! - v2: PRODUCER_FENCED may be answered (KIP-588)
//! - v3: flexible (KIP-482)
//! - v4: TRANSACTION_ABORTABLE may be answered (KIP-890)
//! - v5: the producer's epoch is raised at each transaction's end, and told with its id (KIP-890)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    EndTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        /// Whether to commit, not to abort.
        committed: bool,
    }

    /// The response: see the [module](self).
    EndTxnResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 [5+, ignorable] = -1,
        producer_epoch: i16 [5+, ignorable] = -1,
    }
}
