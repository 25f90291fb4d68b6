//! AddRaftVoter (key 80): adds a voter to the metadata quorum.
//!
//! Version notes:
//! - v0: KIP-853
//! - v1: whether the answer waits for the commit (KIP-1186)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    AddRaftVoterRequest {
        cluster_id: Option<String>,
        timeout_ms: i32,
        voter_id: i32,
        voter_directory_id: Uuid,
        listeners: Vec<Listener>,
        ack_when_committed: bool [1+] = true,
    }

    /// One of the voter's listeners.
    Listener {
        name: String,
        host: String,
        port: u16,
    }

    /// The response: see the [module](self).
    AddRaftVoterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
