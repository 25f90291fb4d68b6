//! AlterClientQuotas (key 49): sets and removes quotas of users, client ids and addresses.
//!
//! Version notes:
//! - v0: KIP-546
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    AlterClientQuotasRequest {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    EntityData {
        entity_type: String,
        entity_name: Option<String>,
    }

    OpData {
        key: String,
        value: f64,
        remove: bool,
    }

    AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<EntryResponseData>,
    }

    EntryResponseData {
        error_code: i16,
        error_message: Option<String>,
        entity: Vec<EntityData>,
    }
}
