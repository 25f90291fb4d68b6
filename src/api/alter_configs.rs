//! AlterConfigs (key 33): sets settings, and takes away whatever setting it does not name (KIP-133). Clients from before
//! IncrementalAlterConfigs, and some newer ones, have no other.
//!
//! - v0. v1: throttling by the client. v2: flexible.

use felice_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse, AlterableConfig,
};

use super::{
    Answer, Context,
    config_changes::{self, Altered, Resource},
};
use crate::controller::{ConfigChange, ConfigOp};

pub fn handle(cx: &Context<'_>, request: AlterConfigsRequest) -> Answer<AlterConfigsResponse> {
    let resources = request.resources.into_iter().map(|resource| Resource {
        kind: resource.resource_type,
        name: resource.resource_name,
        changes: Ok(resource.configs.into_iter().map(change).collect()),
    });
    config_changes::alter(cx, resources.collect(), true, request.validate_only, respond)
}

fn change(config: AlterableConfig) -> ConfigChange {
    ConfigChange { name: config.name, op: ConfigOp::Set, value: config.value }
}

fn respond(answers: Vec<Altered>) -> AlterConfigsResponse {
    let responses = answers.into_iter().map(|altered| AlterConfigsResourceResponse {
        error_code: altered.error_code,
        error_message: altered.error_message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
        ..AlterConfigsResourceResponse::default()
    });
    AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect(), ..AlterConfigsResponse::default() }
}
