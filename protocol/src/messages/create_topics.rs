//! CreateTopics (key 19): creates topics, by numbers or by an assignment of replicas, or only says whether it would.
//!
//! Version notes:
//! - v0: KIP-4
//! - v1: asks whether it would; error messages
//! - v2: throttle time (KIP-124). The oldest in Kafka 4
//! - v3: throttling happens after the response (KIP-219)
//! - v4: -1 partitions or replicas mean the broker's defaults (KIP-464)
//! - v5: flexible (KIP-482); partitions, replicas and settings of what was created (KIP-525)
//! - v6: THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)
//! - v7: the new topic's id (KIP-516)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    CreateTopicsRequest {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool [1+],
    }

    /// A topic to create. -1 partitions or replicas: see `assignments`, or the broker's defaults.
    CreatableTopic {
        name: String,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    /// The brokers that shall have a partition, the preferred leader first.
    CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// A setting.
    CreatableTopicConfig {
        name: String,
        value: Option<String>,
    }

    /// The response: see the [module](self).
    CreateTopicsResponse {
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<CreatableTopicResult>,
    }

    /// What became of a topic.
    CreatableTopicResult {
        name: String,
        topic_id: Uuid [7+, ignorable],
        error_code: i16,
        error_message: Option<String> [1+, ignorable],
        topic_config_error_code: i16 [5+, tag 0, ignorable],
        num_partitions: i32 [5+, ignorable] = -1,
        replication_factor: i16 [5+, ignorable] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5+, ignorable],
    }

    /// A setting of the new topic.
    CreatableTopicConfigs {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
