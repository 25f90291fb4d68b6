//! ListOffsets (key 2): the offset of a partition at a timestamp, or at one of the special ones.
//!
//! Timestamps below 0 mean: -1 latest, -2 earliest, -3 that of the largest timestamp, -4 earliest on local disk, -5
//! latest in tiered storage, -6 earliest not yet uploaded.
//!
//! Version notes:
//! - v0: several offsets for each partition, the first ones of segments last written before the timestamp
//! - v1: one offset for each partition, with its timestamp (KIP-79). The oldest in Kafka 4
//! - v2: isolation level: with read_committed, latest means the last stable offset (KIP-98); throttle time (KIP-124)
//! - v3: throttling happens after the response (KIP-219)
//! - v4: leader epochs (KIP-320)
//! - v5: OFFSET_NOT_AVAILABLE may be answered (KIP-207)
//! - v6: flexible (KIP-482)
//! - v7: timestamp -3 (KIP-734)
//! - v8: timestamp -4 (KIP-405)
//! - v9: timestamp -5 (KIP-1005)
//! - v10: how long the broker may look in tiered storage (KIP-1075)
//! - v11: timestamp -6 (KIP-1023)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ListOffsetsRequest {
        /// A follower, or -1.
        replica_id: i32,
        /// 0 read_uncommitted, 1 read_committed.
        isolation_level: i8 [2+],
        topics: Vec<ListOffsetsTopic>,
        timeout_ms: i32 [10+, ignorable],
    }

    /// A topic to look into.
    ListOffsetsTopic {
        name: String,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// A partition to look into, and at which timestamp.
    ListOffsetsPartition {
        partition_index: i32,
        current_leader_epoch: i32 [4+, ignorable] = -1,
        timestamp: i64,
        max_num_offsets: i32 [0] = 1,
    }

    /// The response: see the [module](self).
    ListOffsetsResponse {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<ListOffsetsTopicResponse>,
    }

    /// A topic's offsets.
    ListOffsetsTopicResponse {
        name: String,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// A partition's offset, and its record's timestamp; -1 where there is none.
    ListOffsetsPartitionResponse {
        partition_index: i32,
        error_code: i16,
        old_style_offsets: Vec<i64> [0],
        timestamp: i64 [1+] = -1,
        offset: i64 [1+] = -1,
        leader_epoch: i32 [4+] = -1,
    }
}
