//! WriteShareGroupState (key 85): a partition's leader stores what a share group has done with it.
//!
//! Version notes:
//! - v0: KIP-932
//! - v1: how many offsets from the start on need no more delivery (KIP-1226)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    WriteShareGroupStateRequest {
        group_id: String,
        topics: Vec<WriteStateData>,
    }

    /// Partitions of a topic.
    WriteStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// What has changed in a partition's state.
    PartitionData {
        partition: i32,
        state_epoch: i32,
        leader_epoch: i32,
        /// -1 where it stays.
        start_offset: i64,
        delivery_complete_count: i32 [1+, ignorable] = -1,
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

    /// The response: see the [module](self).
    WriteShareGroupStateResponse {
        results: Vec<WriteStateResult>,
    }

    /// What became of a topic's states.
    WriteStateResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    /// What became of a partition's state.
    PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
