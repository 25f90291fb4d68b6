//! DescribeProducers (key 61): the producers that a partition knows.
//!
//! Version notes:
//! - v0: KIP-664

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeProducersRequest {
        topics: Vec<TopicRequest>,
    }

    /// Partitions of a topic.
    TopicRequest {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The response: see the [module](self).
    DescribeProducersResponse {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// A topic's partitions.
    TopicResponse {
        name: String,
        partitions: Vec<PartitionResponse>,
    }

    /// A partition's producers.
    PartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
        active_producers: Vec<ProducerState>,
    }

    /// A producer. -1 where there is no such thing.
    ProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }
}
