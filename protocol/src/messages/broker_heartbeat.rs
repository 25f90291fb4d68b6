//! BrokerHeartbeat (key 63): a broker says that it lives, how far it has read the metadata, and whether it wants to
//! stop.
//!
//! Version notes:
//! - v0: KIP-631
//! - v1: log directories that failed (KIP-858)
//! - v2: log directories that take no new partitions (KIP-1066)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    BrokerHeartbeatRequest {
        broker_id: i32,
        broker_epoch: i64 = -1,
        current_metadata_offset: i64,
        want_fence: bool,
        want_shut_down: bool,
        offline_log_dirs: Vec<Uuid> [1+, tag 0],
        cordoned_log_dirs: Option<Vec<Uuid>> [2+, tag 1],
    }

    /// The response: see the [module](self).
    BrokerHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        is_caught_up: bool,
        is_fenced: bool = true,
        should_shut_down: bool,
    }
}
