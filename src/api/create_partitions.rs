//! CreatePartitions (key 37): more partitions for a topic (KIP-195).
//!
//! - v0: count, assignments, validate only. v2: flexible. v3: THROTTLING_QUOTA_EXCEEDED (KIP-599).
//!
//! Internal topics keep the partitions that they have: by their number each group has its coordinator, and with another one most
//! would be looked for where they are not. (Kafka grants it, and has lost their offsets after its next start.)

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
    },
};

use super::{Answer, Context, refusal};
use crate::{
    controller::{Command, CreatePartitions, NewPartitions, Reply},
    metadata::is_internal,
    model::NodeId,
};

pub fn handle(cx: &Context<'_>, request: CreatePartitionsRequest) -> Answer<CreatePartitionsResponse> {
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    let image = services.quorum.image();
    let is_fixed = |topic: &CreatePartitionsTopic| is_internal(&topic.name) && image.topic(&topic.name).is_some();
    let (fixed, topics): (Vec<_>, Vec<_>) = request.topics.into_iter().partition(is_fixed);
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
    let topics = topics
        .into_iter()
        .map(|topic| NewPartitions {
            topic: topic.name,
            count: topic.count,
            assignments: topic
                .assignments
                .map(|assignments| assignments.into_iter().map(|assignment| nodes(assignment.broker_ids)).collect()),
        })
        .collect();
    let command = Command::CreatePartitions(CreatePartitions {
        topics,
        validate_only: request.validate_only,
        seed: services.env.random_u64(),
    });
    let result = |name, (error_code, error_message)| CreatePartitionsTopicResult {
        name,
        error_code,
        error_message,
        ..CreatePartitionsTopicResult::default()
    };
    let refused = move |topic: CreatePartitionsTopic| {
        let message = format!("The number of partitions of {} is fixed: groups are found by it.", topic.name);
        result(topic.name, (ErrorCode::InvalidPartitions.code(), Some(message)))
    };
    let refused = fixed.into_iter().map(refused);
    if !request.validate_only
        && let Some(trouble) = services.replicas.trouble()
    {
        let results = names.into_iter().map(|name| result(name, refusal::of_trouble(trouble)));
        let results = results.chain(refused).collect();
        return Answer::Now(CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() });
    }
    Answer::Later(Box::pin(async move {
        let mut results: Vec<_> = match services.quorum.submit(&principal, command).await {
            Ok(Reply::CreatePartitions(results)) => {
                results.into_iter().map(|(name, outcome)| result(name, refusal::of(&outcome))).collect()
            }
            Ok(_) => names.into_iter().map(|name| result(name, (ErrorCode::UnknownServerError.code(), None))).collect(),
            Err(error) => names.into_iter().map(|name| result(name, refusal::of_submit(&error))).collect(),
        };
        results.extend(refused);
        CreatePartitionsResponse { throttle_time_ms: 0, results, ..CreatePartitionsResponse::default() }
    }))
}
