//! OffsetCommit (key 8): stores how far a group has come.
//!
//! Version notes:
//! - v0: no group members: offsets were kept in ZooKeeper
//! - v1: generation and member; a timestamp for each partition; offsets are kept in Kafka
//! - v2: one retention time for the request instead of timestamps. The oldest in Kafka 4
//! - v3: throttle time (KIP-124)
//! - v4: throttling happens after the response (KIP-219)
//! - v5: no retention time any more: offsets live as long as the group, and a broker setting longer (KIP-211)
//! - v6: the leader epoch of the committed offset (KIP-320)
//! - v7: static members (KIP-345)
//! - v8: flexible (KIP-482)
//! - v9: members of the new consumer protocol: STALE_MEMBER_EPOCH, GROUP_ID_NOT_FOUND (KIP-848)
//! - v10: topic ids instead of names (KIP-848)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    OffsetCommitRequest {
        group_id: String,
        generation_id_or_member_epoch: i32 [1+, ignorable] = -1,
        member_id: String [1+, ignorable],
        group_instance_id: Option<String> [7+],
        retention_time_ms: i64 [2-4, ignorable] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    /// A topic with offsets to commit.
    OffsetCommitRequestTopic {
        name: String [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// A partition's offset.
    OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6+, ignorable] = -1,
        commit_timestamp: i64 [1] = -1,
        committed_metadata: Option<String>,
    }

    /// The response: see the [module](self).
    OffsetCommitResponse {
        throttle_time_ms: i32 [3+, ignorable],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    /// What became of a topic's offsets.
    OffsetCommitResponseTopic {
        name: String [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// What became of a partition's offset.
    OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
