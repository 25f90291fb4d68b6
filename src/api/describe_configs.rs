//! DescribeConfigs (key 32): settings with their values, sources and documentation.
//!
//! - v0: whether a value is the default. v1: its source instead, and synonyms (KIP-226). v3: type and documentation (KIP-569). v4: flexible.
//!
//! Topics, groups (KIP-848), and this broker's own settings (read-only: they are set in its properties file). Kafka lists every setting that
//! it has; we list those that we obey.

use std::{collections::BTreeMap, sync::Arc};

use felice_protocol::{
    error::ErrorCode,
    messages::describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
        DescribeConfigsResult, DescribeConfigsSynonym,
    },
};

use super::{Answer, Context, Services, refusal};
use crate::{
    config::{
        self, group,
        topic::{self, Described, Source},
    },
    controller::validate_topic_name,
};

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

type Refused = (ErrorCode, String);

/// More resources than this are worth a thread of their own.
const FEW: usize = 16;

/// About how many bytes of settings one answer may hold: those of ten thousand topics with all documentation. Kafka has no such
/// limit, and answers that are a thousand times the size of their requests.
const ANSWER_MAX: usize = 32 << 20;

/// What a client wants to be told of each setting.
#[derive(Clone, Copy)]
struct Wanted {
    version: i16,
    synonyms: bool,
    documentation: bool,
}

pub fn handle(cx: &Context<'_>, request: DescribeConfigsRequest) -> Answer<DescribeConfigsResponse> {
    let (services, version) = (Arc::clone(cx.services), cx.version);
    let is_heavy = request.resources.len() > FEW;
    let answer = move || Answer::Now(describe(&services, version, request));
    if is_heavy { Answer::Heavy(Box::new(answer)) } else { answer() }
}

fn describe(services: &Services, version: i16, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let wanted = Wanted { version, synonyms: request.include_synonyms, documentation: request.include_documentation };
    let mut left = ANSWER_MAX;
    let results = request
        .resources
        .into_iter()
        .map(|resource| {
            let described = match resource.resource_type {
                _ if left == 0 => Err((
                    ErrorCode::PolicyViolation,
                    "The answer would be too large; ask for fewer resources at a time.".to_owned(),
                )),
                TOPIC => describe_topic(services, &resource.resource_name),
                GROUP => describe_group(services, &resource.resource_name),
                BROKER => broker(services, &resource.resource_name),
                other => Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
            };
            let answer = answer(resource, described, wanted);
            left = left.saturating_sub(size(&answer));
            answer
        })
        .collect();
    DescribeConfigsResponse { throttle_time_ms: 0, results, ..DescribeConfigsResponse::default() }
}

/// About what a result takes on the wire, in bytes.
fn size(result: &DescribeConfigsResult) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let settings = result.configs.iter().map(|config| {
        let synonyms = config.synonyms.iter().map(|synonym| 6 + synonym.name.len() + text(&synonym.value));
        12 + config.name.len() + text(&config.value) + text(&config.documentation) + synonyms.sum::<usize>()
    });
    settings.sum()
}

fn describe_topic(services: &Services, name: &str) -> Result<(Vec<Described>, bool), Refused> {
    if let Err(invalid) = validate_topic_name(name) {
        return Err((ErrorCode::InvalidTopicException, invalid));
    }
    let image = services.quorum.image();
    let Some(topic) = image.topic(name) else {
        return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
    };
    let overrides: BTreeMap<String, String> =
        topic.configs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok((topic::describe(&services.config.settings, &overrides), false))
}

/// A group that does not exist has settings all the same.
fn describe_group(services: &Services, group: &str) -> Result<(Vec<Described>, bool), Refused> {
    if group.is_empty() {
        return Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned()));
    }
    let own = services.quorum.image().group_config(group);
    Ok((group::describe(&services.config.settings, &own), false))
}

fn broker(services: &Services, name: &str) -> Result<(Vec<Described>, bool), Refused> {
    // An empty name asks for the cluster-wide dynamic defaults, of which there are none.
    if name.is_empty() {
        return Ok((Vec::new(), false));
    }
    match name.parse::<i32>() {
        Ok(id) if id == services.node_id.0 => Ok((config::describe_broker(&services.config.settings), true)),
        Ok(id) => Err((
            ErrorCode::InvalidRequest,
            format!("Unexpected broker id, expected {} or empty string, but received {id}", services.node_id),
        )),
        Err(_) => Err((ErrorCode::InvalidRequest, format!("Broker id must be an integer, but it is: {name}"))),
    }
}

fn answer(
    resource: DescribeConfigsResource,
    described: Result<(Vec<Described>, bool), Refused>,
    wanted: Wanted,
) -> DescribeConfigsResult {
    let mut answer = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..DescribeConfigsResult::default()
    };
    match described {
        Ok((settings, read_only)) => {
            let named = resource.configuration_keys;
            answer.configs = settings
                .into_iter()
                .filter(|setting| {
                    named.as_ref().is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == setting.name))
                })
                .map(|setting| entry(setting, read_only, wanted))
                .collect();
            answer.error_message = Some(String::new());
        }
        Err((error, message)) => {
            answer.error_code = error.code();
            answer.error_message = Some(refusal::short(message));
        }
    }
    answer
}

fn entry(setting: Described, read_only: bool, wanted: Wanted) -> DescribeConfigsResourceResult {
    let synonyms = if wanted.synonyms {
        setting
            .synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name.to_owned(),
                value: Some(synonym.value),
                source: synonym.source as i8,
                ..DescribeConfigsSynonym::default()
            })
            .collect()
    } else {
        Vec::new()
    };
    DescribeConfigsResourceResult {
        name: setting.name.to_owned(),
        value: Some(setting.value),
        read_only,
        is_default: wanted.version == 0 && setting.source == Source::Default,
        config_source: setting.source as i8,
        is_sensitive: false,
        synonyms,
        config_type: setting.ty as i8,
        documentation: wanted.documentation.then(|| setting.doc.to_owned()),
        ..DescribeConfigsResourceResult::default()
    }
}
