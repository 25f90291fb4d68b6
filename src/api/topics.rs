//! What the handlers that create topics share.

use std::sync::Arc;

use felice_protocol::error::ErrorCode;

use super::{Services, refusal};
use crate::{
    controller::{Command, CreateTopics, NewTopic, Reply, TopicDefaults},
    coordinator::OFFSETS_TOPIC,
    metadata::is_internal,
    model::{Principal, TopicId},
};

impl Services {
    /// What a topic gets where its creator leaves it to the broker.
    pub fn topic_defaults(&self) -> TopicDefaults {
        TopicDefaults {
            num_partitions: self.config.num_partitions,
            replication_factor: self.config.default_replication_factor,
        }
    }
}

/// Creates topics that a client only mentioned, with the broker's defaults. Answers with those that could not be
/// created and why; one that exists by now is no failure.
pub async fn auto_create(
    services: &Arc<Services>,
    principal: &Principal,
    names: Vec<String>,
) -> Vec<(String, ErrorCode)> {
    // A client that merely asks is told to ask again: the topic may be made once the disk is well.
    if services.replicas.trouble().is_some() {
        return names.into_iter().map(|name| (name, ErrorCode::LeaderNotAvailable)).collect();
    }
    let (internal, names): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_internal(name));
    let mut failures = Vec::new();
    for name in internal {
        // The others belong to coordinators that are not served, and would be made wrong.
        let made = if name == OFFSETS_TOPIC {
            services.groups.ensure_topic().await
        } else {
            Err(ErrorCode::UnknownTopicOrPartition)
        };
        failures.extend(made.err().map(|error| (name, error)));
    }
    if names.is_empty() {
        return failures;
    }
    let topics = names
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            candidate_id: TopicId(services.env.uuid()),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        })
        .collect();
    let command = Command::CreateTopics(CreateTopics {
        topics,
        validate_only: false,
        defaults: services.topic_defaults(),
        seed: services.env.random_u64(),
    });
    match services.quorum.submit(principal, command).await {
        Ok(Reply::CreateTopics(results)) => failures.extend(results.into_iter().filter_map(|(name, result)| {
            let error = refusal::code(result.err()?.reason);
            (error != ErrorCode::TopicAlreadyExists).then_some((name, error))
        })),
        Ok(_) => failures.extend(names.into_iter().map(|name| (name, ErrorCode::UnknownServerError))),
        Err(_) => failures.extend(names.into_iter().map(|name| (name, ErrorCode::LeaderNotAvailable))),
    }
    failures
}
