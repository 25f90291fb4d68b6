//! BeginQuorumEpoch (key 53): a new leader of the metadata quorum makes itself known to a voter.
//!
//! Version notes:
//! - v0: KIP-595
//! - v1: flexible (KIP-482); whom the leader means; where it is (KIP-853)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    BeginQuorumEpochRequest {
        cluster_id: Option<String>,
        voter_id: i32 [1+, ignorable] = -1,
        topics: Vec<TopicData>,
        leader_endpoints: Vec<LeaderEndpoint> [1+, ignorable],
    }

    /// A topic: the metadata log is the only one.
    TopicData {
        topic_name: String,
        partitions: Vec<PartitionData>,
    }

    /// The leader and its epoch.
    PartitionData {
        partition_index: i32,
        voter_directory_id: Uuid [1+, ignorable],
        leader_id: i32,
        leader_epoch: i32,
    }

    /// One of the leader's listeners.
    LeaderEndpoint {
        name: String,
        host: String,
        port: u16,
    }

    /// The response: see the [module](self).
    BeginQuorumEpochResponse {
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
