//! IncrementalAlterConfigs (key 44): sets, deletes, appends to and subtracts from settings (KIP-339).
//!
//! - v0. v1: flexible.
//!
//! Topics only. A broker's settings are those of its properties file: changing them at run time is refused.

use std::{collections::HashMap, sync::Arc};

use felice_protocol::{
    error::ErrorCode,
    messages::incremental_alter_configs::{
        AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse,
    },
};

use super::{
    Answer, Context,
    describe_configs::{BROKER, TOPIC},
    refusal,
};
use crate::controller::{AlterConfigs, Command, ConfigChange, ConfigOp, Reply, TopicConfigChanges};

pub fn handle(cx: &Context<'_>, request: IncrementalAlterConfigsRequest) -> Answer<IncrementalAlterConfigsResponse> {
    let mut counts: HashMap<(i8, String), usize> = HashMap::new();
    for resource in &request.resources {
        *counts.entry((resource.resource_type, resource.resource_name.clone())).or_default() += 1;
    }
    let mut responses = Vec::new();
    let mut topics = Vec::new();
    for resource in request.resources {
        let duplicate =
            counts.get(&(resource.resource_type, resource.resource_name.clone())).is_some_and(|count| *count > 1);
        match changes(&resource, duplicate) {
            Ok(changes) => topics.push(TopicConfigChanges { topic: resource.resource_name, changes }),
            Err((error, message)) => responses.push(AlterConfigsResourceResponse {
                error_code: error.code(),
                error_message: Some(message),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..AlterConfigsResourceResponse::default()
            }),
        }
    }
    if topics.is_empty() {
        return Answer::Now(IncrementalAlterConfigsResponse {
            throttle_time_ms: 0,
            responses,
            ..IncrementalAlterConfigsResponse::default()
        });
    }
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    Answer::Later(Box::pin(async move {
        let names: Vec<String> = topics.iter().map(|topic| topic.topic.clone()).collect();
        let command = Command::AlterConfigs(AlterConfigs { topics, validate_only: request.validate_only });
        let response = |name, (error_code, error_message)| AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: TOPIC,
            resource_name: name,
            ..AlterConfigsResourceResponse::default()
        };
        match services.quorum.submit(&principal, command).await {
            Ok(Reply::AlterConfigs(results)) => {
                responses.extend(results.into_iter().map(|(name, result)| response(name, refusal::of(&result))));
            }
            Ok(_) => {
                let failed = (ErrorCode::UnknownServerError.code(), None);
                responses.extend(names.into_iter().map(|name| response(name, failed.clone())));
            }
            Err(error) => {
                responses.extend(names.into_iter().map(|name| response(name, refusal::of_submit(&error))));
            }
        }
        IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses, ..IncrementalAlterConfigsResponse::default() }
    }))
}

fn changes(resource: &AlterConfigsResource, duplicate: bool) -> Result<Vec<ConfigChange>, (ErrorCode, String)> {
    if duplicate {
        return Err((ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned()));
    }
    match resource.resource_type {
        TOPIC => {}
        BROKER => {
            return Err((
                ErrorCode::InvalidRequest,
                "Changing broker settings at run time is not supported; they are set in the properties file."
                    .to_owned(),
            ));
        }
        other => return Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
    resource
        .configs
        .iter()
        .map(|config| {
            let op = match config.config_operation {
                0 => ConfigOp::Set,
                1 => ConfigOp::Delete,
                2 => ConfigOp::Append,
                3 => ConfigOp::Subtract,
                other => return Err((ErrorCode::InvalidRequest, format!("Unknown operation type {other}."))),
            };
            Ok(ConfigChange { name: config.name.clone(), op, value: config.value.clone() })
        })
        .collect()
}
