//! Envelope (key 58): a broker forwards a client's request to the controller, in the client's name.
//!
//! Version notes:
//! - v0: KIP-590

use bytes::Bytes;

use crate::{schema, stored};

schema! {
    /// The request: see the [module](self).
    EnvelopeRequest {
        /// The client's request, with its header.
        request_data: Bytes,
        /// [`DefaultPrincipalData`], behind its version in two bytes.
        request_principal: Option<Bytes>,
        /// 4 or 16 bytes.
        client_host_address: Bytes,
    }

    /// The response: see the [module](self).
    EnvelopeResponse {
        /// The response, with its header.
        response_data: Option<Bytes>,
        error_code: i16,
    }

    /// A principal, as the broker that forwards has authenticated it.
    DefaultPrincipalData {
        r#type: String,
        name: String,
        token_authenticated: bool,
    }
}

stored! {
    0 DefaultPrincipalData 0-0, flexible 0+;
}
