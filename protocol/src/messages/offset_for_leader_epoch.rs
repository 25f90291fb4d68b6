//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that a log that diverged can be cut.
//!
//! Version notes:
//! - v0: KIP-101
//! - v1: the epoch that the end offset belongs to, which may be a lower one than was asked for (KIP-279)
//! - v2: the requester's leader epoch is checked; throttle time (KIP-320). The oldest in Kafka 4
//! - v3: who asks: a follower, or a consumer (-1, -2 to see beyond the high watermark)
//! - v4: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    OffsetForLeaderEpochRequest {
        replica_id: i32 [3+, ignorable] = -2,
        topics: Vec<OffsetForLeaderTopic>,
    }

    /// A topic to look into.
    OffsetForLeaderTopic {
        topic: String,
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// A partition, and the epoch whose end is asked for.
    OffsetForLeaderPartition {
        partition: i32,
        current_leader_epoch: i32 [2+, ignorable] = -1,
        leader_epoch: i32,
    }

    /// The response: see the [module](self).
    OffsetForLeaderEpochResponse {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// A topic's epochs.
    OffsetForLeaderTopicResult {
        topic: String,
        partitions: Vec<EpochEndOffset>,
    }

    /// The end of an epoch; -1 where it is not known.
    EpochEndOffset {
        error_code: i16,
        partition: i32,
        leader_epoch: i32 [1+, ignorable] = -1,
        end_offset: i64 = -1,
    }
}
