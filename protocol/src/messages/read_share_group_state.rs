//! ReadShareGroupState (key 84): a partition's leader reads what a share group has done with it.
//!
//! Version notes:
//! - v0: KIP-932

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    ReadShareGroupStateRequest {
        group_id: String,
        topics: Vec<ReadStateData>,
    }

    /// Partitions of a topic.
    ReadStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// A partition, and its leader's epoch.
    PartitionData {
        partition: i32,
        leader_epoch: i32,
    }

    /// The response: see the [module](self).
    ReadShareGroupStateResponse {
        results: Vec<ReadStateResult>,
    }

    /// A topic's states.
    ReadStateResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    /// A partition's state.
    PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<String>,
        state_epoch: i32,
        start_offset: i64,
        state_batches: Vec<StateBatch>,
    }

    /// The state of offsets from first to last, both included.
    StateBatch {
        first_offset: i64,
        last_offset: i64,
        /// 0 available, 2 acknowledged, 4 archived.
        delivery_state: i8,
        delivery_count: i16,
    }
}
