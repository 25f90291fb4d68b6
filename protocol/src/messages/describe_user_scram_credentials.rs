//! DescribeUserScramCredentials (key 50): which SCRAM credentials users have, without their secrets.
//!
//! Version notes:
//! - v0: KIP-554

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeUserScramCredentialsRequest {
        /// Null, and empty, for all.
        users: Option<Vec<UserName>>,
    }

    /// Whose.
    UserName {
        name: String,
    }

    /// The response: see the [module](self).
    DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// A user and the credentials.
    DescribeUserScramCredentialsResult {
        user: String,
        error_code: i16,
        error_message: Option<String>,
        credential_infos: Vec<CredentialInfo>,
    }

    /// A credential.
    CredentialInfo {
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
    }
}
