//! ShareAcknowledge (key 79): acknowledges records of a share group.
//!
//! Version notes:
//! - v0: early access in Kafka 4.0
//! - v1: KIP-932. The oldest in Kafka 4.1
//! - v2: acquired records may be renewed, and how long they then stay (KIP-1222)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ShareAcknowledgeRequest {
        group_id: Option<String>,
        member_id: Option<String>,
        /// -1 closes the session.
        share_session_epoch: i32,
        is_renew_ack: bool [2+],
        topics: Vec<AcknowledgeTopic>,
    }

    /// A topic with records to acknowledge.
    AcknowledgeTopic {
        topic_id: Uuid,
        partitions: Vec<AcknowledgePartition>,
    }

    /// A partition with records to acknowledge.
    AcknowledgePartition {
        partition_index: i32,
        acknowledgement_batches: Vec<AcknowledgementBatch>,
    }

    /// Offsets from first to last, both included.
    AcknowledgementBatch {
        first_offset: i64,
        last_offset: i64,
        /// One for all or one each: 0 gap, 1 accept, 2 release, 3 reject, 4 renew.
        acknowledge_types: Vec<i8>,
    }

    /// The response: see the [module](self).
    ShareAcknowledgeResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        acquisition_lock_timeout_ms: i32 [2+, ignorable],
        responses: Vec<ShareAcknowledgeTopicResponse>,
        node_endpoints: Vec<NodeEndpoint>,
    }

    /// What became of a topic's acknowledgements.
    ShareAcknowledgeTopicResponse {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// What became of a partition's acknowledgements.
    PartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String>,
        current_leader: LeaderIdAndEpoch,
    }

    /// Who leads, where the broker does not.
    LeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
