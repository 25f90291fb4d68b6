//! CreateTopics (key 19).
//!
//! - v1: validate only, error messages. v2: throttling. v4: -1 takes the broker's defaults (KIP-464). v5: flexible; the answer carries partitions, replication
//!   factor and settings (KIP-525). v6: THROTTLING_QUOTA_EXCEEDED (KIP-599). v7: topic id (KIP-516).
//!
//! Below v4 a default must be asked for as Kafka 4 allows it there too: it does not look at the version.

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::create_topics::{
        CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
    },
};

use super::{Answer, Context, Services, refusal};
use crate::{
    config::{self, BrokerConfig},
    controller::{Command, CreateTopics, NewTopic, Refusal, Reply, TopicCreated},
    model::{NodeId, TopicId},
};

pub fn handle(cx: &Context<'_>, request: CreateTopicsRequest) -> Answer<CreateTopicsResponse> {
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    let command = Command::CreateTopics(CreateTopics {
        validate_only: request.validate_only,
        defaults: services.topic_defaults(),
        seed: services.env.random_u64(),
        topics: request.topics.into_iter().map(|topic| new_topic(&services, topic)).collect(),
    });
    let names: Vec<String> = match &command {
        Command::CreateTopics(command) => command.topics.iter().map(|topic| topic.name.clone()).collect(),
        _ => Vec::new(),
    };
    if !request.validate_only
        && let Some(trouble) = services.replicas.trouble()
    {
        let topics = failed(names, refusal::of_trouble(trouble));
        return Answer::Now(CreateTopicsResponse { topics, ..CreateTopicsResponse::default() });
    }
    Answer::Later(Box::pin(async move {
        let topics = match services.quorum.submit(&principal, command).await {
            Ok(Reply::CreateTopics(results)) => {
                results.into_iter().map(|(name, result)| answer(&services.config, name, result)).collect()
            }
            Ok(_) => failed(names, (ErrorCode::UnknownServerError.code(), None)),
            Err(error) => failed(names, refusal::of_submit(&error)),
        };
        CreateTopicsResponse { throttle_time_ms: 0, topics, ..CreateTopicsResponse::default() }
    }))
}

fn new_topic(services: &Services, topic: CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name,
        candidate_id: TopicId(services.env.uuid()),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids.into_iter().map(NodeId).collect()))
            .collect(),
        configs: topic.configs.into_iter().map(|config| (config.name, config.value)).collect(),
    }
}

fn answer(broker: &BrokerConfig, name: String, result: Result<TopicCreated, Refusal>) -> CreatableTopicResult {
    let (error_code, error_message) = refusal::of(&result);
    let mut answer = failed_topic(name, (error_code, error_message));
    if let Ok(created) = result {
        answer.topic_id = created.id.0;
        answer.num_partitions = created.num_partitions;
        answer.replication_factor = created.replication_factor;
        answer.configs = Some(
            config::topic::describe(&broker.settings, &created.configs)
                .into_iter()
                .map(|entry| CreatableTopicConfigs {
                    name: entry.name.to_owned(),
                    value: Some(entry.value),
                    read_only: false,
                    config_source: entry.source as i8,
                    is_sensitive: false,
                    ..CreatableTopicConfigs::default()
                })
                .collect(),
        );
    }
    answer
}

fn failed(names: Vec<String>, error: (i16, Option<String>)) -> Vec<CreatableTopicResult> {
    names.into_iter().map(|name| failed_topic(name, error.clone())).collect()
}

/// An answer without a topic. Its settings are none, not null: null would say that they may not be seen (KIP-525).
fn failed_topic(name: String, (error_code, error_message): (i16, Option<String>)) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code,
        error_message,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}
