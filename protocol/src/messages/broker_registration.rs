//! BrokerRegistration (key 62): a broker makes itself known to the controller, and gets its epoch.
//!
//! Version notes:
//! - v0: KIP-631
//! - v1: whether the broker comes from ZooKeeper (KIP-866)
//! - v2: log directories (KIP-858)
//! - v3: the epoch that the broker had before it stopped cleanly (KIP-966)
//! - v4: features may have a minimum of 0 (KAFKA-17011)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    BrokerRegistrationRequest {
        broker_id: i32,
        cluster_id: String,
        incarnation_id: Uuid,
        listeners: Vec<Listener>,
        features: Vec<Feature>,
        rack: Option<String>,
        is_migrating_zk_broker: bool [1+],
        log_dirs: Vec<Uuid> [2+, ignorable],
        previous_broker_epoch: i64 [3+, ignorable] = -1,
    }

    /// One of the broker's listeners.
    Listener {
        name: String,
        host: String,
        port: u16,
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16,
    }

    /// A feature, and the levels that the broker knows.
    Feature {
        name: String,
        min_supported_version: i16,
        max_supported_version: i16,
    }

    /// The response: see the [module](self).
    BrokerRegistrationResponse {
        throttle_time_ms: i32,
        error_code: i16,
        broker_epoch: i64 = -1,
    }
}
