//! IncrementalAlterConfigs (key 44): sets, deletes, appends to and subtracts from settings (KIP-339).
//!
//! - v0. v1: flexible.

use felice_protocol::{
    error::ErrorCode,
    messages::incremental_alter_configs::{
        AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    },
};

use super::{
    Answer, Context,
    config_changes::{self, Altered, Resource},
};
use crate::controller::{ConfigChange, ConfigOp};

pub fn handle(cx: &Context<'_>, request: IncrementalAlterConfigsRequest) -> Answer<IncrementalAlterConfigsResponse> {
    let resources = request.resources.into_iter().map(|resource| Resource {
        kind: resource.resource_type,
        name: resource.resource_name,
        changes: resource.configs.into_iter().map(change).collect(),
    });
    config_changes::alter(cx, resources.collect(), false, request.validate_only, respond)
}

fn change(config: AlterableConfig) -> Result<ConfigChange, (ErrorCode, String)> {
    let op = match config.config_operation {
        0 => ConfigOp::Set,
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append,
        3 => ConfigOp::Subtract,
        other => return Err((ErrorCode::InvalidRequest, format!("Unknown operation type {other}."))),
    };
    Ok(ConfigChange { name: config.name, op, value: config.value })
}

fn respond(answers: Vec<Altered>) -> IncrementalAlterConfigsResponse {
    let responses = answers.into_iter().map(|altered| AlterConfigsResourceResponse {
        error_code: altered.error_code,
        error_message: altered.error_message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
        ..AlterConfigsResourceResponse::default()
    });
    IncrementalAlterConfigsResponse {
        throttle_time_ms: 0,
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}
