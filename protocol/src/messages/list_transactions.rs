//! ListTransactions (key 66): the transactional ids that a broker coordinates.
//!
//! Version notes:
//! - v0: KIP-664
//! - v1: only those whose transactions have lasted some time (KIP-994)
//! - v2: only those that match a regular expression (KIP-1152)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ListTransactionsRequest {
        state_filters: Vec<String>,
        producer_id_filters: Vec<i64>,
        /// In milliseconds; below 0 for all.
        duration_filter: i64 [1+] = -1,
        transactional_id_pattern: Option<String> [2+],
    }

    /// The response: see the [module](self).
    ListTransactionsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        unknown_state_filters: Vec<String>,
        transaction_states: Vec<TransactionState>,
    }

    /// A transactional id.
    TransactionState {
        transactional_id: String,
        producer_id: i64,
        transaction_state: String,
    }
}
