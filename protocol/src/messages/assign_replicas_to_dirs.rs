//! AssignReplicasToDirs (key 73): a broker tells the controller in which log directories its replicas are.
//!
//! Version notes:
//! - v0: KIP-858

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    AssignReplicasToDirsRequest {
        broker_id: i32,
        broker_epoch: i64 = -1,
        directories: Vec<DirectoryData>,
    }

    /// A directory and what is in it.
    DirectoryData {
        id: Uuid,
        topics: Vec<TopicData>,
    }

    /// Partitions of a topic.
    TopicData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    /// A partition.
    PartitionData {
        partition_index: i32,
    }

    /// The response: see the [module](self).
    AssignReplicasToDirsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        directories: Vec<DirectoryResponseData>,
    }

    /// What became of a directory's partitions.
    DirectoryResponseData {
        id: Uuid,
        topics: Vec<TopicResponseData>,
    }

    /// What became of a topic's partitions.
    TopicResponseData {
        topic_id: Uuid,
        partitions: Vec<PartitionResponseData>,
    }

    /// What became of a partition.
    PartitionResponseData {
        partition_index: i32,
        error_code: i16,
    }
}
