//! EndQuorumEpoch (key 54): the leader of the metadata quorum resigns, and says who should follow.
//!
//! Version notes:
//! - v0: KIP-595
//! - v1: flexible (KIP-482); successors with their directory ids; where the leader is (KIP-853)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    EndQuorumEpochRequest {
        cluster_id: Option<String>,
        topics: Vec<TopicData>,
        leader_endpoints: Vec<LeaderEndpoint> [1+, ignorable],
    }

    /// A topic: the metadata log is the only one.
    TopicData {
        topic_name: String,
        partitions: Vec<PartitionData>,
    }

    /// The leader that resigns, and its successors, best first.
    PartitionData {
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32,
        preferred_successors: Vec<i32> [0, ignorable],
        preferred_candidates: Vec<ReplicaInfo> [1+, ignorable],
    }

    /// A successor.
    ReplicaInfo {
        candidate_id: i32,
        candidate_directory_id: Uuid,
    }

    /// One of the leader's listeners.
    LeaderEndpoint {
        name: String,
        host: String,
        port: u16,
    }

    /// The response: see the [module](self).
    EndQuorumEpochResponse {
        error_code: i16,
        topics: Vec<TopicResponseData>,
        node_endpoints: Vec<NodeEndpoint> [1+, tag 0],
    }

    /// A topic's answers.
    TopicResponseData {
        topic_name: String,
        partitions: Vec<PartitionResponseData>,
    }

    /// The leader that the voter knows.
    PartitionResponseData {
        partition_index: i32,
        error_code: i16,
        leader_id: i32,
        leader_epoch: i32,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: u16,
    }
}
