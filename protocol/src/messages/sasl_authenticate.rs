//! SaslAuthenticate (key 36): one token of a SASL exchange, each way.
//!
//! Version notes:
//! - v0: KIP-152
//! - v1: after which time the client must authenticate again (KIP-368)
//! - v2: flexible (KIP-482)

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    SaslAuthenticateRequest {
        auth_bytes: Bytes,
    }

    /// The response: see the [module](self).
    SaslAuthenticateResponse {
        error_code: i16,
        error_message: Option<String>,
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [1+, ignorable],
    }
}
