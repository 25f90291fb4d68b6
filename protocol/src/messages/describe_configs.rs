//! DescribeConfigs (key 32): settings of topics, brokers and groups, with where each value comes from.
//!
//! Version notes:
//! - v1: sources and synonyms (KIP-226). Kafka 4 has nothing older
//! - v2: throttling happens after the response (KIP-219)
//! - v3: types and documentation (KIP-569)
//! - v4: flexible (KIP-482)

use crate::schema;

schema! {
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [3+],
    }

    DescribeConfigsResource {
        resource_type: i8,
        resource_name: String,
        configuration_keys: Option<Vec<String>>,
    }

    DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    DescribeConfigsResult {
        error_code: i16,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    DescribeConfigsResourceResult {
        name: String,
        value: Option<String>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        config_type: i8 [3+, ignorable],
        documentation: Option<String> [3+, ignorable],
    }

    DescribeConfigsSynonym {
        name: String,
        value: Option<String>,
        source: i8,
    }
}
