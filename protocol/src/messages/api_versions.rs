//! ApiVersions (key 18): which versions of which APIs a broker serves. The first request on most connections.
//!
//! A request in a version that the broker does not know is answered in version 0, with UNSUPPORTED_VERSION and the
//! range of this API (KIP-511). The response's header is version 0 in all versions.
//!
//! Version notes:
//! - v0: KIP-35
//! - v1: throttle time (KIP-124)
//! - v2: throttling happens after the response (KIP-219)
//! - v3: flexible (KIP-482); the client's name and version (KIP-511); features (KIP-584)
//! - v4: features may have a minimum of 0; below, such features are left out (KAFKA-17011)
//! - v5: the cluster and node that the client means to reach (KIP-1242)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    ApiVersionsRequest {
        client_software_name: String [3+, ignorable],
        client_software_version: String [3+, ignorable],
        cluster_id: Option<String> [5+, ignorable],
        node_id: i32 [5+, ignorable] = -1,
    }

    /// The response: see the [module](self).
    ApiVersionsResponse {
        error_code: i16,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1+, ignorable],
        supported_features: Vec<SupportedFeatureKey> [3+, tag 0, ignorable],
        finalized_features_epoch: i64 [3+, tag 1, ignorable] = -1,
        finalized_features: Vec<FinalizedFeatureKey> [3+, tag 2, ignorable],
        zk_migration_ready: bool [3+, tag 3, ignorable],
    }

    /// An API that the broker serves, from version to version.
    ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// A feature, and the levels that the broker knows.
    SupportedFeatureKey {
        name: String,
        min_version: i16,
        max_version: i16,
    }

    /// A feature, and the level that the cluster has.
    FinalizedFeatureKey {
        name: String,
        max_version_level: i16,
        min_version_level: i16,
    }
}
