//! CreatePartitions (key 37): raises the number of partitions of topics.
//!
//! Version notes:
//! - v0: KIP-195
//! - v1: throttling happens after the response (KIP-219)
//! - v2: flexible (KIP-482)
//! - v3: THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// A topic, and how many partitions it shall have.
    CreatePartitionsTopic {
        name: String,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// The brokers that shall have a new partition.
    CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }

    /// The response: see the [module](self).
    CreatePartitionsResponse {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    /// What became of a topic.
    CreatePartitionsTopicResult {
        name: String,
        error_code: i16,
        error_message: Option<String>,
    }
}
