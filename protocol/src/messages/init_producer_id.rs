//! InitProducerId (key 22): gives a producer its id and epoch, and fences earlier producers of the same transactional
//! id.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: throttling happens after the response (KIP-219)
//! - v2: flexible (KIP-482)
//! - v3: a producer may ask for a new epoch of the id that it has (KIP-360)
//! - v4: PRODUCER_FENCED may be answered (KIP-588)
//! - v5: TRANSACTION_ABORTABLE may be answered (KIP-890)
//! - v6: two-phase commit: keeps a prepared transaction and tells of it (KIP-939). Not yet stable in Kafka

use crate::schema;

schema! {
    /// The request: see the [module](self).
    InitProducerIdRequest {
        transactional_id: Option<String>,
        transaction_timeout_ms: i32,
        producer_id: i64 [3+] = -1,
        producer_epoch: i16 [3+] = -1,
        enable_2pc: bool [6+],
        keep_prepared_txn: bool [6+],
    }

    /// The response: see the [module](self).
    InitProducerIdResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [6+] = -1,
        ongoing_txn_producer_epoch: i16 [6+] = -1,
    }
}
