//! AddPartitionsToTxn (key 24): takes partitions into a producer's transaction.
//!
//! Versions up to 3 are for producers, later ones for brokers, which ask whether a transaction goes on.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: throttling happens after the response (KIP-219)
//! - v2: PRODUCER_FENCED may be answered (KIP-588)
//! - v3: flexible (KIP-482)
//! - v4: many transactions in one request, to be changed or only looked at (KIP-890)
//! - v5: TRANSACTION_ABORTABLE may be answered (KIP-890)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AddPartitionsToTxnRequest {
        transactions: Vec<AddPartitionsToTxnTransaction> [4+],
        v3_and_below_transactional_id: String [0-3],
        v3_and_below_producer_id: i64 [0-3],
        v3_and_below_producer_epoch: i16 [0-3],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0-3],
    }

    /// A transaction, and the partitions that it is about.
    AddPartitionsToTxnTransaction {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        /// Only asks whether the partitions are in the transaction.
        verify_only: bool,
        topics: Vec<AddPartitionsToTxnTopic>,
    }

    /// Partitions of a topic.
    AddPartitionsToTxnTopic {
        name: String,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    AddPartitionsToTxnResponse {
        throttle_time_ms: i32,
        error_code: i16 [4+, ignorable],
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4+],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0-3],
    }

    /// What became of a transaction's partitions.
    AddPartitionsToTxnResult {
        transactional_id: String,
        topic_results: Vec<AddPartitionsToTxnTopicResult>,
    }

    /// What became of a topic's partitions.
    AddPartitionsToTxnTopicResult {
        name: String,
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    }

    /// What became of a partition.
    AddPartitionsToTxnPartitionResult {
        partition_index: i32,
        partition_error_code: i16,
    }
}
