//! CreateDelegationToken (key 38): makes a token by which others may act as a principal. Times are in milliseconds
//! since 1970.
//!
//! Version notes:
//! - v0: KIP-48
//! - v1: throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: for another owner than the one who asks (KIP-373)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    CreateDelegationTokenRequest {
        /// Null for the one who asks.
        owner_principal_type: Option<String> [3+] = Some(String::new()),
        owner_principal_name: Option<String> [3+] = Some(String::new()),
        renewers: Vec<CreatableRenewers>,
        max_lifetime_ms: i64,
    }

    /// Who may renew the token before it expires.
    CreatableRenewers {
        principal_type: String,
        principal_name: String,
    }

    /// The response: see the [module](self).
    CreateDelegationTokenResponse {
        error_code: i16,
        principal_type: String,
        principal_name: String,
        token_requester_principal_type: String [3+],
        token_requester_principal_name: String [3+],
        issue_timestamp_ms: i64,
        expiry_timestamp_ms: i64,
        max_timestamp_ms: i64,
        token_id: String,
        hmac: Bytes,
        throttle_time_ms: i32,
    }
}
