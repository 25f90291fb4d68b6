//! AlterClientQuotas (key 49): sets and removes quotas of users, client ids and addresses.
//!
//! Version notes:
//! - v0: KIP-546
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    AlterClientQuotasRequest {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    /// An entity, and what to change.
    EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    /// A part of an entity: user, client-id or ip; null is the default.
    EntityData {
        entity_type: String,
        entity_name: Option<String>,
    }

    /// A quota to set or to remove.
    OpData {
        key: String,
        value: f64,
        remove: bool,
    }

    /// The response: see the [module](self).
    AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<EntryResponseData>,
    }

    /// What became of an entity.
    EntryResponseData {
        error_code: i16,
        error_message: Option<String>,
        entity: Vec<EntityData>,
    }
}
