//! Metadata (key 3): brokers, topics, and the leader of each partition.
//!
//! - v0: an empty list of topics asks for all; from v1 null does. v1: rack, controller, internal. v2: cluster id.
//! - v4: `allow_auto_topic_creation`. v5: offline replicas (KIP-112). v7: leader epochs (KIP-320).
//! - v8: authorized operations (KIP-430); the cluster's moved to DescribeCluster in v11.
//! - v10: topic ids in the answer, v12: in the request (KIP-516). v13: a top-level error (KIP-1102).
//!
//! Where a topic is created because a client asked for it, the answer waits for it and already shows it; Kafka answers
//! UNKNOWN_TOPIC_OR_PARTITION and lets the client ask again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use felice_protocol::{
    Uuid,
    error::ErrorCode,
    messages::metadata::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
        MetadataResponseTopic,
    },
};

use super::{Answer, Context, operations, topics::auto_create};
use crate::{
    controller::validate_topic_name,
    metadata::{Image, Topic, is_internal},
    model::TopicId,
};

/// From here on topics may be asked for by id.
const FIRST_VERSION_BY_ID: i16 = 12;

pub fn handle(cx: &Context<'_>, request: MetadataRequest) -> Answer<MetadataResponse> {
    let image = cx.services.quorum.image();
    let topics = match &request.topics {
        None => None,
        Some(topics) if topics.is_empty() && cx.version == 0 => None,
        Some(topics) => Some(topics),
    };
    if let Some(topics) = topics
        && cx.version < FIRST_VERSION_BY_ID
        && topics.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_zero())
    {
        return Answer::Now(all_failed(topics, ErrorCode::InvalidRequest));
    }
    let missing: Vec<String> = match topics {
        Some(topics) if request.allow_auto_topic_creation && cx.services.config.auto_create_topics => topics
            .iter()
            .filter(|topic| topic.topic_id.is_zero())
            .filter_map(|topic| topic.name.as_ref())
            .filter(|name| image.topic(name).is_none() && validate_topic_name(name).is_ok())
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    let mut response = frame(cx, &image, &request);
    let with_operations = request.include_topic_authorized_operations;
    if missing.is_empty() {
        response.topics = answer_topics(&image, topics, with_operations, &HashMap::new());
        return Answer::Now(response);
    }
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    let topics = topics.cloned();
    Answer::Later(Box::pin(async move {
        let failures = auto_create(&services, &principal, missing).await.into_iter().collect();
        let image = services.quorum.image();
        response.topics = answer_topics(&image, topics.as_ref(), with_operations, &failures);
        response
    }))
}

/// Everything but the topics.
fn frame(cx: &Context<'_>, image: &Image, request: &MetadataRequest) -> MetadataResponse {
    let brokers = cx
        .services
        .endpoints(image, cx.peer)
        .into_iter()
        .filter(|endpoint| !endpoint.fenced)
        .map(|endpoint| MetadataResponseBroker {
            node_id: endpoint.node_id.0,
            host: endpoint.host,
            port: endpoint.port,
            rack: endpoint.rack,
            ..MetadataResponseBroker::default()
        })
        .collect();
    MetadataResponse {
        brokers,
        cluster_id: Some(cx.services.cluster_id.to_string()),
        controller_id: cx.services.controller_id().0,
        cluster_authorized_operations: operations::cluster(request.include_cluster_authorized_operations),
        ..MetadataResponse::default()
    }
}

/// A request that is refused as a whole, which is told topic by topic; there are no brokers in it, as in Kafka.
fn all_failed(topics: &[MetadataRequestTopic], error: ErrorCode) -> MetadataResponse {
    let topics = topics
        .iter()
        .map(|topic| MetadataResponseTopic {
            error_code: error.code(),
            // Below version 12 a name must be there.
            name: Some(topic.name.clone().unwrap_or_default()),
            topic_id: topic.topic_id,
            topic_authorized_operations: operations::topic(false),
            ..MetadataResponseTopic::default()
        })
        .collect();
    MetadataResponse { topics, ..MetadataResponse::default() }
}

fn answer_topics(
    image: &Image,
    asked: Option<&Vec<MetadataRequestTopic>>,
    with_operations: bool,
    failures: &HashMap<String, ErrorCode>,
) -> Vec<MetadataResponseTopic> {
    match asked {
        None => image.topics().map(|topic| describe(topic, with_operations)).collect(),
        Some(asked) => {
            let mut seen = HashSet::new();
            asked
                .iter()
                // Whoever names an id asks for that, whatever else is said.
                .filter(|topic| {
                    seen.insert((topic.name.as_deref().filter(|_| topic.topic_id.is_zero()), topic.topic_id))
                })
                .map(|topic| answer_topic(image, topic, with_operations, failures))
                .collect()
        }
    }
}

fn answer_topic(
    image: &Image,
    asked: &MetadataRequestTopic,
    with_operations: bool,
    failures: &HashMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    let failed = |error: ErrorCode, name: Option<String>, topic_id: Uuid| MetadataResponseTopic {
        error_code: error.code(),
        // What may be done with a name is told even where there is no such topic; an id says nothing.
        topic_authorized_operations: operations::topic(with_operations && name.is_some()),
        name,
        topic_id,
        ..MetadataResponseTopic::default()
    };
    if !asked.topic_id.is_zero() {
        return match image.topic_by_id(TopicId(asked.topic_id)) {
            Some(topic) => describe(topic, with_operations),
            None => failed(ErrorCode::UnknownTopicId, None, asked.topic_id),
        };
    }
    let name = asked.name.as_deref().unwrap_or_default();
    if let Some(topic) = image.topic(name) {
        return describe(topic, with_operations);
    }
    let error = match (validate_topic_name(name), failures.get(name)) {
        (Err(_), _) => ErrorCode::InvalidTopicException,
        (Ok(()), Some(error)) => *error,
        (Ok(()), None) => ErrorCode::UnknownTopicOrPartition,
    };
    failed(error, Some(name.to_owned()), Uuid::ZERO)
}

fn describe(topic: &Topic, with_operations: bool) -> MetadataResponseTopic {
    let partitions = topic
        .partitions()
        .map(|(index, partition)| MetadataResponsePartition {
            error_code: ErrorCode::None.code(),
            partition_index: index.0,
            leader_id: partition.leader.0,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: partition.replicas.iter().map(|node| node.0).collect(),
            isr_nodes: partition.isr.iter().map(|node| node.0).collect(),
            offline_replicas: Vec::new(),
            ..MetadataResponsePartition::default()
        })
        .collect();
    MetadataResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name().to_string()),
        topic_id: topic.id().0,
        is_internal: is_internal(topic.name()),
        partitions,
        topic_authorized_operations: operations::topic(with_operations),
        ..MetadataResponseTopic::default()
    }
}
