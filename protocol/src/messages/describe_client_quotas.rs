//! DescribeClientQuotas (key 48): quotas of users, client ids and addresses that match a filter.
//!
//! Version notes:
//! - v0: KIP-546
//! - v1: flexible (KIP-482)

use crate::schema;

schema! {
    DescribeClientQuotasRequest {
        components: Vec<ComponentData>,
        strict: bool,
    }

    ComponentData {
        entity_type: String,
        match_type: i8,
        r#match: Option<String>,
    }

    DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        entries: Option<Vec<EntryData>>,
    }

    EntryData {
        entity: Vec<EntityData>,
        values: Vec<ValueData>,
    }

    EntityData {
        entity_type: String,
        entity_name: Option<String>,
    }

    ValueData {
        key: String,
        value: f64,
    }
}
