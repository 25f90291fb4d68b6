//! ControlledShutdown (key 7): a broker asks the controller to move its leaderships away before it stops. Not in Kafka
//! 4, where the heartbeat asks (BrokerHeartbeat).
//!
//! Version notes:
//! - v0: the one request whose header has no client id
//! - v1: the usual header
//! - v2: the broker's epoch (KIP-380)
//! - v3: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ControlledShutdownRequest {
        broker_id: i32,
        broker_epoch: i64 [2+, ignorable] = -1,
    }

    /// The response: see the [module](self).
    ControlledShutdownResponse {
        error_code: i16,
        remaining_partitions: Vec<RemainingPartition>,
    }

    /// A partition that the broker still leads.
    RemainingPartition {
        topic_name: String,
        partition_index: i32,
    }
}
