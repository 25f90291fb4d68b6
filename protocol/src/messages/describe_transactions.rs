//! DescribeTransactions (key 65): transactional ids, their producers and what their transactions hold.
//!
//! Version notes:
//! - v0: KIP-664

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeTransactionsRequest {
        transactional_ids: Vec<String>,
    }

    /// The response: see the [module](self).
    DescribeTransactionsResponse {
        throttle_time_ms: i32,
        transaction_states: Vec<TransactionState>,
    }

    /// A transactional id.
    TransactionState {
        error_code: i16,
        transactional_id: String,
        transaction_state: String,
        transaction_timeout_ms: i32,
        /// Since 1970; -1 where there is no transaction.
        transaction_start_time_ms: i64,
        producer_id: i64,
        producer_epoch: i16,
        topics: Vec<TopicData>,
    }

    /// Partitions of a topic in the transaction.
    TopicData {
        topic: String,
        partitions: Vec<i32>,
    }
}
