//! Vote (key 52): a candidate of the metadata quorum asks for a voter's vote.
//!
//! Version notes:
//! - v0: KIP-595
//! - v1: whom the candidate means; directory ids; where the leader is (KIP-853)
//! - v2: asks only whether the vote would be granted (KIP-996)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    VoteRequest {
        cluster_id: Option<String>,
        voter_id: i32 [1+, ignorable] = -1,
        topics: Vec<TopicData>,
    }

    /// A topic: the metadata log is the only one.
    TopicData {
        topic_name: String,
        partitions: Vec<PartitionData>,
    }

    /// What the candidate has.
    PartitionData {
        partition_index: i32,
        replica_epoch: i32,
        replica_id: i32,
        replica_directory_id: Uuid [1+, ignorable],
        voter_directory_id: Uuid [1+, ignorable],
        last_offset_epoch: i32,
        last_offset: i64,
        pre_vote: bool [2+],
    }

    /// The response: see the [module](self).
    VoteResponse {
        error_code: i16,
        topics: Vec<TopicResponseData>,
        node_endpoints: Vec<NodeEndpoint> [1+, tag 0],
    }

    /// A topic's answers.
    TopicResponseData {
        topic_name: String,
        partitions: Vec<PartitionResponseData>,
    }

    /// The vote, and the leader that the voter knows.
    PartitionResponseData {
        partition_index: i32,
        error_code: i16,
        leader_id: i32,
        leader_epoch: i32,
        vote_granted: bool,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: u16,
    }
}
