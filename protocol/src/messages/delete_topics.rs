//! DeleteTopics (key 20): deletes topics.
//!
//! Version notes:
//! - v0: KIP-4
//! - v1: throttle time (KIP-124). The oldest in Kafka 4
//! - v2: throttling happens after the response (KIP-219)
//! - v3: TOPIC_DELETION_DISABLED may be answered
//! - v4: flexible (KIP-482)
//! - v5: error messages; THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)
//! - v6: topics by name or by id (KIP-516)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6+],
        topic_names: Vec<String> [0-5, ignorable],
        timeout_ms: i32,
    }

    /// A topic, by name or by id.
    DeleteTopicState {
        name: Option<String>,
        topic_id: Uuid,
    }

    /// The response: see the [module](self).
    DeleteTopicsResponse {
        throttle_time_ms: i32 [1+, ignorable],
        responses: Vec<DeletableTopicResult>,
    }

    /// What became of a topic.
    DeletableTopicResult {
        name: Option<String> [0+, null 6+],
        topic_id: Uuid [6+, ignorable],
        error_code: i16,
        error_message: Option<String> [5+, ignorable],
    }
}
