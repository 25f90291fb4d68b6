//! DeleteShareGroupState (key 86): the group coordinator has the share coordinator forget the state of partitions.
//!
//! Version notes:
//! - v0: KIP-932

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    DeleteShareGroupStateRequest {
        group_id: String,
        topics: Vec<DeleteStateData>,
    }

    /// Partitions of a topic.
    DeleteStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// A partition.
    PartitionData {
        partition: i32,
    }

    /// The response: see the [module](self).
    DeleteShareGroupStateResponse {
        results: Vec<DeleteStateResult>,
    }

    /// What became of a topic's states.
    DeleteStateResult {
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
