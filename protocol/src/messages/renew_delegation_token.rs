//! RenewDelegationToken (key 39): lets a delegation token live longer.
//!
//! Version notes:
//! - v0: KIP-48
//! - v1: throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    RenewDelegationTokenRequest {
        hmac: Bytes,
        renew_period_ms: i64,
    }

    /// The response: see the [module](self).
    RenewDelegationTokenResponse {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }
}
