//! OffsetFetch (key 9): the offsets that groups have committed.
//!
//! Version notes:
//! - v0: offsets from ZooKeeper
//! - v1: the same, from Kafka. The oldest in Kafka 4
//! - v2: null asks for all topics; a top-level error code
//! - v3: throttle time (KIP-124)
//! - v4: throttling happens after the response (KIP-219)
//! - v5: leader epochs (KIP-320)
//! - v6: flexible (KIP-482)
//! - v7: only offsets that no open transaction may change: UNSTABLE_OFFSET_COMMIT (KIP-447)
//! - v8: many groups in one request (KIP-709)
//! - v9: members of the new consumer protocol: STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID (KIP-848)
//! - v10: topic ids instead of names (KIP-848)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    OffsetFetchRequest {
        group_id: String [0-7],
        /// Null for all.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0-7, null 2-7] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup> [8+],
        require_stable: bool [7+],
    }

    /// Partitions of a topic.
    OffsetFetchRequestTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// A group, and who asks.
    OffsetFetchRequestGroup {
        group_id: String,
        member_id: Option<String> [9+, ignorable],
        member_epoch: i32 [9+, ignorable] = -1,
        /// Null for all.
        topics: Option<Vec<OffsetFetchRequestTopics>>,
    }

    /// Partitions of a topic.
    OffsetFetchRequestTopics {
        name: String [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partition_indexes: Vec<i32>,
    }

    /// The response: see the [module](self).
    OffsetFetchResponse {
        throttle_time_ms: i32 [3+, ignorable],
        topics: Vec<OffsetFetchResponseTopic> [0-7],
        error_code: i16 [2-7, ignorable],
        groups: Vec<OffsetFetchResponseGroup> [8+],
    }

    /// A topic's offsets.
    OffsetFetchResponseTopic {
        name: String,
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// A partition's offset; -1 where there is none.
    OffsetFetchResponsePartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5-7, ignorable] = -1,
        metadata: Option<String>,
        error_code: i16,
    }

    /// A group's offsets.
    OffsetFetchResponseGroup {
        group_id: String,
        topics: Vec<OffsetFetchResponseTopics>,
        error_code: i16,
    }

    /// A topic's offsets.
    OffsetFetchResponseTopics {
        name: String [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetFetchResponsePartitions>,
    }

    /// A partition's offset; -1 where there is none.
    OffsetFetchResponsePartitions {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<String>,
        error_code: i16,
    }
}
