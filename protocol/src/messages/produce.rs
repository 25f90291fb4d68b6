//! Produce (key 0): appends record batches to partitions.
//!
//! With `acks = 0` there is no response. Below version 3 records are sets of messages of format 0 or 1, several
//! of them for each partition. Kafka 4 no longer takes those, but advertises version 0: librdkafka needs to see it.
//!
//! Version notes:
//! - v0: message format 0
//! - v1: throttle time (KIP-13)
//! - v2: message format 1: timestamps, and in the response the time of a log append (KIP-32)
//! - v3: transactional id; record format 2, exactly one batch for each partition (KIP-98)
//! - v4: KAFKA_STORAGE_ERROR may be answered (KIP-112)
//! - v5: log start offset in the response (KIP-107)
//! - v6: throttling happens after the response (KIP-219)
//! - v7: zstd (KIP-110)
//! - v8: which records were refused, and why (KIP-467)
//! - v9: flexible (KIP-482)
//! - v10: the current leader, and where it is, with NOT_LEADER_OR_FOLLOWER (KIP-951)
//! - v11: TRANSACTION_ABORTABLE may be answered (KIP-890)
//! - v12: partitions join the transaction without AddPartitionsToTxn (KIP-890)
//! - v13: topic ids instead of names (KIP-516)

use bytes::Bytes;

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ProduceRequest {
        transactional_id: Option<String> [3+],
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    /// A topic to append to.
    TopicProduceData {
        name: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_data: Vec<PartitionProduceData>,
    }

    /// A partition, and what to append to it.
    PartitionProduceData {
        index: i32,
        records: Option<Bytes>,
    }

    /// The response: see the [module](self).
    ProduceResponse {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32 [1+, ignorable],
        node_endpoints: Vec<NodeEndpoint> [10+, tag 0],
    }

    /// What became of a topic's batches.
    TopicProduceResponse {
        name: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_responses: Vec<PartitionProduceResponse>,
    }

    /// Where a partition's batch is, or why not.
    PartitionProduceResponse {
        index: i32,
        error_code: i16,
        base_offset: i64,
        /// Since 1970, where the topic takes the time of appending; else -1.
        log_append_time_ms: i64 [2+, ignorable] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8+, ignorable],
        error_message: Option<String> [8+, ignorable],
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    /// A record that was the reason to refuse its batch, by its number in the batch.
    BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<String>,
    }

    /// Who leads, where the broker does not.
    LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
