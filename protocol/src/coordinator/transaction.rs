//! Transactional ids, in `__transaction_state` (KIP-98).

use crate::schema;

schema! {
    /// Which transactional id.
    TransactionLogKey {
        transactional_id: String,
    }

    /// A transactional id's producer and transaction. Version 1 is flexible, with what KIP-890 and KIP-939 add in tags.
    TransactionLogValue {
        producer_id: i64,
        previous_producer_id: i64 [1+, tag 0] = -1,
        next_producer_id: i64 [1+, tag 1] = -1,
        producer_epoch: i16,
        client_transaction_version: i16 [1+, tag 2],
        transaction_timeout_ms: i32,
        /// 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort, 6 dead, 7
        /// prepare epoch fence.
        transaction_status: i8,
        transaction_partitions: Option<Vec<PartitionsSchema>>,
        /// Since 1970.
        transaction_last_update_timestamp_ms: i64,
        /// Since 1970; -1 where there is no transaction.
        transaction_start_timestamp_ms: i64,
        next_producer_epoch: i16 [1+, tag 3] = -1,
    }

    /// Partitions of a topic in the transaction.
    PartitionsSchema {
        topic: String,
        partition_ids: Vec<i32>,
    }
}
