//! RemoveRaftVoter (key 81): takes a voter out of the metadata quorum.
//!
//! Version notes:
//! - v0: KIP-853

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    RemoveRaftVoterRequest {
        cluster_id: Option<String>,
        voter_id: i32,
        voter_directory_id: Uuid,
    }

    /// The response: see the [module](self).
    RemoveRaftVoterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
