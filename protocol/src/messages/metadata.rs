//! Metadata (key 3): brokers, topics and the leaders of their partitions.
//!
//! All topics are asked for by an empty array in version 0, and by null from version 1 on, where an empty array means
//! none.
//!
//! Version notes:
//! - v0: the brokers, and the topics that were asked for
//! - v1: null asks for all topics; racks, controller, internal topics
//! - v2: cluster id (KIP-78)
//! - v3: throttle time (KIP-124)
//! - v4: whether missing topics may be created
//! - v5: offline replicas (KIP-112)
//! - v6: throttling happens after the response (KIP-219)
//! - v7: leader epochs (KIP-320)
//! - v8: authorized operations (KIP-430)
//! - v9: flexible (KIP-482)
//! - v10: topic ids, in requests for show only (KIP-516)
//! - v11: authorized operations of the cluster move to DescribeCluster (KIP-700)
//! - v12: topics may be asked for by id (KIP-516)
//! - v13: a top-level error code, REBOOTSTRAP_REQUIRED (KIP-1102)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> [0+, null 1+],
        allow_auto_topic_creation: bool [4+] = true,
        include_cluster_authorized_operations: bool [8-10],
        include_topic_authorized_operations: bool [8+],
    }

    /// A topic to describe, by name or by id.
    MetadataRequestTopic {
        topic_id: Uuid [10+, ignorable],
        name: Option<String> [0+, null 10+],
    }

    /// The response: see the [module](self).
    MetadataResponse {
        throttle_time_ms: i32 [3+, ignorable],
        brokers: Vec<MetadataResponseBroker>,
        cluster_id: Option<String> [2+, ignorable],
        controller_id: i32 [1+, ignorable] = -1,
        topics: Vec<MetadataResponseTopic>,
        cluster_authorized_operations: i32 [8-10] = i32::MIN,
        error_code: i16 [13+, ignorable],
    }

    /// A broker, on the listener that was asked.
    MetadataResponseBroker {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String> [1+, ignorable],
    }

    /// A topic and its partitions.
    MetadataResponseTopic {
        error_code: i16,
        name: Option<String> [0+, null 12+],
        topic_id: Uuid [10+, ignorable],
        is_internal: bool [1+, ignorable],
        partitions: Vec<MetadataResponsePartition>,
        /// One bit for each operation, by its number in ACLs; `i32::MIN` where not asked for.
        topic_authorized_operations: i32 [8+] = i32::MIN,
    }

    /// A partition's leader and replicas.
    MetadataResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 [7+, ignorable] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5+, ignorable],
    }
}
