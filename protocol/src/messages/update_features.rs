//! UpdateFeatures (key 57): raises and lowers the levels of the cluster's features.
//!
//! Version notes:
//! - v0: KIP-584
//! - v1: downgrades may be unsafe; asks only whether it would (KIP-778)
//! - v2: all features or none: no result for each (KIP-1022)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    UpdateFeaturesRequest {
        timeout_ms: i32 = 60000,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool [1+],
    }

    /// A feature's new level; 0 disables it.
    FeatureUpdateKey {
        feature: String,
        max_version_level: i16,
        allow_downgrade: bool [0],
        /// 1 up only, 2 down where nothing is lost, 3 down even so.
        upgrade_type: i8 [1+] = 1,
    }

    /// The response: see the [module](self).
    UpdateFeaturesResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        results: Vec<UpdatableFeatureResult> [0-1, ignorable],
    }

    /// What became of a feature.
    UpdatableFeatureResult {
        feature: String,
        error_code: i16,
        error_message: Option<String>,
    }
}
