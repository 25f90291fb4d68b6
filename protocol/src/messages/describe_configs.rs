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
    /// The request: see the [module](self).
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool [1+],
        include_documentation: bool [3+],
    }

    /// A resource, and which of its settings; null for all.
    DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8,
        resource_name: String,
        configuration_keys: Option<Vec<String>>,
    }

    /// The response: see the [module](self).
    DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    /// A resource's settings.
    DescribeConfigsResult {
        error_code: i16,
        error_message: Option<String>,
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    /// A setting.
    DescribeConfigsResourceResult {
        name: String,
        value: Option<String>,
        read_only: bool,
        is_default: bool [0],
        /// 1 topic, 2 broker, 3 all brokers, 4 broker's file, 5 default, 6 logger, 7 client metrics, 8 group.
        config_source: i8 [1+, ignorable] = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym> [1+, ignorable],
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        config_type: i8 [3+, ignorable],
        documentation: Option<String> [3+, ignorable],
    }

    /// Where else the value could have come from, the strongest first.
    DescribeConfigsSynonym {
        name: String,
        value: Option<String>,
        source: i8,
    }
}
