//! DescribeShareGroupOffsets (key 90): where share groups' partitions begin.
//!
//! Version notes:
//! - v0: KIP-932
//! - v1: how many records are left to deliver (KIP-1226)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
    }

    /// A group.
    DescribeShareGroupOffsetsRequestGroup {
        group_id: String,
        /// Null for all.
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
    }

    /// Partitions of a topic.
    DescribeShareGroupOffsetsRequestTopic {
        topic_name: String,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    DescribeShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>,
    }

    /// A group's offsets.
    DescribeShareGroupOffsetsResponseGroup {
        group_id: String,
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
        error_code: i16,
        error_message: Option<String>,
    }

    /// A topic's offsets.
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: String,
        topic_id: Uuid,
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>,
    }

    /// A partition's offset.
    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32,
        start_offset: i64,
        leader_epoch: i32,
        lag: i64 [1+, ignorable] = -1,
        error_code: i16,
        error_message: Option<String>,
    }
}
