//! AlterUserScramCredentials (key 51): sets and removes SCRAM credentials. The password comes salted, never as it is.
//!
//! Version notes:
//! - v0: KIP-554

use bytes::Bytes;

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    /// A credential to remove.
    ScramCredentialDeletion {
        name: String,
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
    }

    /// A credential to set.
    ScramCredentialUpsertion {
        name: String,
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Bytes,
    }

    /// The response: see the [module](self).
    AlterUserScramCredentialsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    /// What became of a user's credentials.
    AlterUserScramCredentialsResult {
        user: String,
        error_code: i16,
        error_message: Option<String>,
    }
}
