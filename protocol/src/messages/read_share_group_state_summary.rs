//! ReadShareGroupStateSummary (key 87): where share groups' partitions begin, without the rest of their state.
//!
//! Version notes:
//! - v0: KIP-932
//! - v1: how many offsets from the start on need no more delivery (KIP-1226)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ReadShareGroupStateSummaryRequest {
        group_id: String,
        topics: Vec<ReadStateSummaryData>,
    }

    /// Partitions of a topic.
    ReadStateSummaryData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// A partition.
    PartitionData {
        partition: i32,
        leader_epoch: i32,
    }

    /// The response: see the [module](self).
    ReadShareGroupStateSummaryResponse {
        results: Vec<ReadStateSummaryResult>,
    }

    /// A topic's summaries.
    ReadStateSummaryResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    /// A partition's summary.
    PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<String>,
        state_epoch: i32,
        leader_epoch: i32,
        start_offset: i64,
        delivery_complete_count: i32 [1+, ignorable] = -1,
    }
}
