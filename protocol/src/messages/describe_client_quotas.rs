//! DescribeClientQuotas (key 48): quotas of users, client ids and addresses that match a filter.
//!
//! Version notes:
//! - v0: KIP-546
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    DescribeClientQuotasRequest {
        components: Vec<ComponentData>,
        strict: bool,
    }

    /// What an entity must have.
    ComponentData {
        entity_type: String,
        /// 0 this name, 1 the default, 2 any name.
        match_type: i8,
        r#match: Option<String>,
    }

    /// The response: see the [module](self).
    DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        entries: Option<Vec<EntryData>>,
    }

    /// An entity and its quotas.
    EntryData {
        entity: Vec<EntityData>,
        values: Vec<ValueData>,
    }

    /// A part of an entity: user, client-id or ip; null is the default.
    EntityData {
        entity_type: String,
        entity_name: Option<String>,
    }

    /// A quota.
    ValueData {
        key: String,
        value: f64,
    }
}
