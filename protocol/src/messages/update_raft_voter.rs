//! UpdateRaftVoter (key 82): a voter tells the leader of the metadata quorum where it is and what it knows.
//!
//! Version notes:
//! - v0: KIP-853

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    UpdateRaftVoterRequest {
        cluster_id: Option<String>,
        current_leader_epoch: i32,
        voter_id: i32,
        voter_directory_id: Uuid,
        listeners: Vec<Listener>,
        kraft_version_feature: KRaftVersionFeature,
    }

    /// One of the voter's listeners.
    Listener {
        name: String,
        host: String,
        port: u16,
    }

    /// The levels of `kraft.version` that the voter knows.
    KRaftVersionFeature {
        min_supported_version: i16,
        max_supported_version: i16,
    }

    /// The response: see the [module](self).
    UpdateRaftVoterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        current_leader: CurrentLeader [0+, tag 0],
    }

    /// Who leads, and where it is.
    CurrentLeader {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
        host: String,
        port: i32,
    }
}
