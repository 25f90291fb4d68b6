//! DescribeDelegationToken (key 41): delegation tokens by their owners. Times are in milliseconds since 1970.
//!
//! Version notes:
//! - v0: KIP-48
//! - v1: throttling happens after the response (KIP-219). The oldest in Kafka 4
//! - v2: flexible (KIP-482)
//! - v3: who asked for a token (KIP-373)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeDelegationTokenRequest {
        /// Null for all.
        owners: Option<Vec<DescribeDelegationTokenOwner>>,
    }

    /// Whose tokens.
    DescribeDelegationTokenOwner {
        principal_type: String,
        principal_name: String,
    }

    /// The response: see the [module](self).
    DescribeDelegationTokenResponse {
        error_code: i16,
        tokens: Vec<DescribedDelegationToken>,
        throttle_time_ms: i32,
    }

    /// A token.
    DescribedDelegationToken {
        principal_type: String,
        principal_name: String,
        token_requester_principal_type: String [3+],
        token_requester_principal_name: String [3+],
        issue_timestamp: i64,
        expiry_timestamp: i64,
        max_timestamp: i64,
        token_id: String,
        hmac: Bytes,
        renewers: Vec<DescribedDelegationTokenRenewer>,
    }

    /// Who may renew it.
    DescribedDelegationTokenRenewer {
        principal_type: String,
        principal_name: String,
    }
}
