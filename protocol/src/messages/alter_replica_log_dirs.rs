//! AlterReplicaLogDirs (key 34): moves a broker's replicas to other log directories of the same broker.
//!
//! Version notes:
//! - v0: KIP-113
//! - v1: throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// A directory, and what shall move there.
    AlterReplicaLogDir {
        path: String,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// Partitions of a topic.
    AlterReplicaLogDirTopic {
        name: String,
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    AlterReplicaLogDirsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// What became of a topic's partitions.
    AlterReplicaLogDirTopicResult {
        topic_name: String,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// What became of a partition.
    AlterReplicaLogDirPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
