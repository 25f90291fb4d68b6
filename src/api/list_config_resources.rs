//! ListConfigResources (key 74): the names of what has settings.
//!
//! - v0: of client metrics only, then called ListClientMetricsResources (KIP-1000). v1: of the types asked for, or of all (KIP-1142).
//!
//! Topics and brokers are listed whether they have settings of their own or not, groups only where they have. There are no
//! subscriptions to client metrics, so none is listed.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::list_config_resources::{ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse},
};

use super::{
    Answer, Context,
    describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC},
};
use crate::metadata::Image;

/// The types that a version knows. A request for another is refused whole.
const TYPES: [&[i8]; 2] = [&[CLIENT_METRICS], &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC]];

/// More names than this are worth a thread of their own.
const FEW: usize = 1_000;

pub fn handle(cx: &Context<'_>, request: ListConfigResourcesRequest) -> Answer<ListConfigResourcesResponse> {
    let known = TYPES[usize::from(cx.version > 0)];
    let asked = request.resource_types;
    if asked.iter().any(|kind| !known.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return Answer::Now(ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() });
    }
    let kinds: Vec<i8> = known.iter().copied().filter(|kind| asked.is_empty() || asked.contains(kind)).collect();
    let image = cx.services.quorum.image();
    let is_heavy = image.topic_count() > FEW || image.groups_with_configs().take(FEW + 1).count() > FEW;
    let answer = move || {
        let config_resources = kinds.into_iter().flat_map(|kind| names(&image, kind)).collect();
        Answer::Now(ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() })
    };
    if is_heavy { Answer::Heavy(Box::new(answer)) } else { answer() }
}

/// All resources of a type.
fn names(image: &Arc<Image>, kind: i8) -> Vec<ConfigResource> {
    let resource = |resource_name| ConfigResource { resource_name, resource_type: kind, ..ConfigResource::default() };
    match kind {
        TOPIC => image.topics().map(|topic| resource(topic.name().to_string())).collect(),
        GROUP => image.groups_with_configs().map(|group| resource(group.to_string())).collect(),
        BROKER | BROKER_LOGGER => {
            image.brokers().filter(|broker| !broker.fenced).map(|broker| resource(broker.id.to_string())).collect()
        }
        _ => Vec::new(),
    }
}
