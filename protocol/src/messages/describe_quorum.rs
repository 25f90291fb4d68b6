//! DescribeQuorum (key 55): the state of the metadata quorum: its leader, its voters and observers, and how far each
//! has come.
//!
//! Version notes:
//! - v0: KIP-595
//! - v1: when each replica last fetched, and was last caught up, in milliseconds since 1970 (KIP-836)
//! - v2: error messages, directory ids, where the nodes are (KIP-853)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    DescribeQuorumRequest {
        topics: Vec<TopicData>,
    }

    /// A topic: the metadata log is the only one.
    TopicData {
        topic_name: String,
        partitions: Vec<PartitionData>,
    }

    /// A partition: 0.
    PartitionData {
        partition_index: i32,
    }

    /// The response: see the [module](self).
    DescribeQuorumResponse {
        error_code: i16,
        error_message: Option<String> [2+, ignorable],
        topics: Vec<TopicResponseData>,
        nodes: Vec<Node> [2+],
    }

    /// A topic's partitions.
    TopicResponseData {
        topic_name: String,
        partitions: Vec<PartitionResponseData>,
    }

    /// The quorum of a partition.
    PartitionResponseData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<String> [2+, ignorable],
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<ReplicaState>,
        observers: Vec<ReplicaState>,
    }

    /// How far a replica has come.
    ReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [2+],
        log_end_offset: i64,
        last_fetch_timestamp: i64 [1+, ignorable] = -1,
        last_caught_up_timestamp: i64 [1+, ignorable] = -1,
    }

    /// Where a node is.
    Node {
        node_id: i32,
        listeners: Vec<Listener>,
    }

    /// One of its listeners.
    Listener {
        name: String,
        host: String,
        port: u16,
    }
}
