//! TxnOffsetCommit (key 28): stores how far a group will have come once a producer's transaction is committed.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: throttling happens after the response (KIP-219)
//! - v2: leader epochs (KIP-320)
//! - v3: flexible (KIP-482); generation and member, so that a member that was left behind is fenced (KIP-447)
//! - v4: TRANSACTION_ABORTABLE may be answered (KIP-890)
//! - v5: offsets join the transaction without AddOffsetsToTxn (KIP-890)
//! - v6: topic ids instead of names; GROUP_ID_NOT_FOUND, STALE_MEMBER_EPOCH (KIP-1319)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    TxnOffsetCommitRequest {
        transactional_id: String,
        group_id: String,
        producer_id: i64,
        producer_epoch: i16,
        generation_id_or_member_epoch: i32 [3+] = -1,
        member_id: String [3+],
        group_instance_id: Option<String> [3+],
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    /// A topic with offsets to commit.
    TxnOffsetCommitRequestTopic {
        name: String [0-5, ignorable],
        topic_id: Uuid [6+, ignorable],
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    /// A partition's offset.
    TxnOffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [2+, ignorable] = -1,
        committed_metadata: Option<String>,
    }

    /// The response: see the [module](self).
    TxnOffsetCommitResponse {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    /// What became of a topic's offsets.
    TxnOffsetCommitResponseTopic {
        name: String [0-5, ignorable],
        topic_id: Uuid [6+, ignorable],
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    /// What became of a partition's offset.
    TxnOffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
