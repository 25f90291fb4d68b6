//! SaslHandshake (key 17): agrees on a SASL mechanism.
//!
//! Never flexible: clients up to 2.4 do not negotiate its version rightly (KAFKA-9577).
//!
//! Version notes:
//! - v0: tokens follow as bare frames (KIP-43)
//! - v1: tokens travel in SaslAuthenticate (KIP-152)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    SaslHandshakeRequest {
        mechanism: String,
    }

    /// The response: see the [module](self).
    SaslHandshakeResponse {
        error_code: i16,
        mechanisms: Vec<String>,
    }
}
