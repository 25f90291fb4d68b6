//! DescribeConfigs (key 32): settings of topics, brokers and groups, with where each value comes from.
//!
//! Version notes:
//! - v0: whether a value is the default (KIP-133)
//! - v1: sources and synonyms instead (KIP-226). The oldest in Kafka 4
//! - v2: throttling happens after the response (KIP-219)
//! - v3: types and documentation (KIP-569)
//! - v4: flexible (KIP-482)

use crate::schema;

schema! {
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool [1+],
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
        is_default: bool [0],
        config_source: i8 [1+, ignorable] = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym> [1+, ignorable],
        config_type: i8 [3+, ignorable],
        documentation: Option<String> [3+, ignorable],
    }

    DescribeConfigsSynonym {
        name: String,
        value: Option<String>,
        source: i8,
    }
}
