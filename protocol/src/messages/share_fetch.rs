//! ShareFetch (key 78): acquires records of a share group, and acknowledges earlier ones.
//!
//! Version notes:
//! - v0: early access in Kafka 4.0
//! - v1: a limit in records; how long they stay acquired (KIP-932). The oldest in Kafka 4.1
//! - v2: how to count records (KIP-1206); acquired records may be renewed (KIP-1222)

use crate::{Uuid, schema, wire::Records};

schema! {
    /// The request: see the [module](self).
    ShareFetchRequest {
        group_id: Option<String>,
        member_id: Option<String>,
        /// 0 opens a session, -1 closes it.
        share_session_epoch: i32,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        max_records: i32 [1+],
        batch_size: i32 [1+],
        /// 0 whole batches, 1 no more records than the limit.
        share_acquire_mode: i8 [2+, ignorable],
        is_renew_ack: bool [2+],
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<ForgottenTopic>,
    }

    /// A topic to fetch from.
    FetchTopic {
        topic_id: Uuid,
        partitions: Vec<FetchPartition>,
    }

    /// A partition to fetch from, and what to acknowledge.
    FetchPartition {
        partition_index: i32,
        partition_max_bytes: i32 [0],
        acknowledgement_batches: Vec<AcknowledgementBatch>,
    }

    /// Offsets from first to last, both included.
    AcknowledgementBatch {
        first_offset: i64,
        last_offset: i64,
        /// One for all or one each: 0 gap, 1 accept, 2 release, 3 reject, 4 renew.
        acknowledge_types: Vec<i8>,
    }

    /// Partitions that leave the session.
    ForgottenTopic {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    ShareFetchResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        acquisition_lock_timeout_ms: i32 [1+],
        responses: Vec<ShareFetchableTopicResponse>,
        node_endpoints: Vec<NodeEndpoint>,
    }

    /// A topic's records.
    ShareFetchableTopicResponse {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// A partition's records, and what became of the acknowledgements.
    PartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
        acknowledge_error_code: i16,
        acknowledge_error_message: Option<String>,
        current_leader: LeaderIdAndEpoch,
        records: Option<Records> [0+, null 0] = Some(Records::default()),
        acquired_records: Vec<AcquiredRecords>,
    }

    /// Who leads, where the broker does not.
    LeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    /// Offsets from first to last, both included, that the member may now process.
    AcquiredRecords {
        first_offset: i64,
        last_offset: i64,
        delivery_count: i16,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
