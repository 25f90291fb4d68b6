//! DeleteShareGroupOffsets (key 92): forgets the offsets of an empty share group, topic by topic.
//!
//! Version notes:
//! - v0: KIP-932

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    DeleteShareGroupOffsetsRequest {
        group_id: String,
        topics: Vec<DeleteShareGroupOffsetsRequestTopic>,
    }

    /// A topic to forget.
    DeleteShareGroupOffsetsRequestTopic {
        topic_name: String,
    }

    /// The response: see the [module](self).
    DeleteShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        responses: Vec<DeleteShareGroupOffsetsResponseTopic>,
    }

    /// What became of a topic's offsets.
    DeleteShareGroupOffsetsResponseTopic {
        topic_name: String,
        topic_id: Uuid,
        error_code: i16,
        error_message: Option<String>,
    }
}
