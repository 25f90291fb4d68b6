//! InitializeShareGroupState (key 83): the group coordinator has the share coordinator begin the state of partitions.
//!
//! Version notes:
//! - v0: KIP-932

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    InitializeShareGroupStateRequest {
        group_id: String,
        topics: Vec<InitializeStateData>,
    }

    /// Partitions of a topic.
    InitializeStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// Where a partition begins.
    PartitionData {
        partition: i32,
        state_epoch: i32,
        /// -1 where not known yet.
        start_offset: i64,
    }

    /// The response: see the [module](self).
    InitializeShareGroupStateResponse {
        results: Vec<InitializeStateResult>,
    }

    /// What became of a topic's partitions.
    InitializeStateResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    /// What became of a partition.
    PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
