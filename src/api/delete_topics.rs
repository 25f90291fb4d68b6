//! DeleteTopics (key 20).
//!
//! - v1: throttle time. v4: flexible. v5: error messages (KIP-599). v6: topics by id, or by name (KIP-516).

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse},
};

use super::{Answer, Context, refusal};
use crate::{
    controller::{Command, DeleteTopics, Reply, TopicRef},
    model::{TopicId, Uuid},
};

/// From here on a topic may be named by its id, and an answer may lack a name.
const FIRST_VERSION_BY_ID: i16 = 6;

pub fn handle(cx: &Context<'_>, request: DeleteTopicsRequest) -> Answer<DeleteTopicsResponse> {
    let by_id = cx.version >= FIRST_VERSION_BY_ID;
    let topics: Vec<TopicRef> = if by_id {
        request.topics.into_iter().map(|topic| TopicRef { name: topic.name, id: TopicId(topic.topic_id) }).collect()
    } else {
        let by_name = |name| TopicRef { name: Some(name), id: TopicId(Uuid::ZERO) };
        request.topic_names.into_iter().map(by_name).collect()
    };
    let all_failed = |topics: Vec<TopicRef>, (error_code, error_message): (i16, Option<String>)| {
        topics
            .into_iter()
            .map(|topic| DeletableTopicResult {
                name: topic.name,
                topic_id: topic.id.0,
                error_code,
                error_message: error_message.clone(),
                ..DeletableTopicResult::default()
            })
            .collect()
    };
    if !cx.services.config.delete_topics {
        let error = if cx.version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return Answer::Now(DeleteTopicsResponse {
            responses: all_failed(topics, (error.code(), None)),
            ..DeleteTopicsResponse::default()
        });
    }
    let services = Arc::clone(cx.services);
    let principal = cx.principal.clone();
    Answer::Later(Box::pin(async move {
        let command = Command::DeleteTopics(DeleteTopics { topics: topics.clone() });
        let responses = match services.quorum.submit(&principal, command).await {
            Ok(Reply::DeleteTopics(results)) => results
                .into_iter()
                .map(|deleted| {
                    let (error_code, error_message) = refusal::of(&deleted.result);
                    // A name is required on the wire below version 6.
                    let name = if by_id { deleted.name } else { Some(deleted.name.unwrap_or_default()) };
                    DeletableTopicResult {
                        name,
                        topic_id: deleted.id.0,
                        error_code,
                        error_message,
                        ..DeletableTopicResult::default()
                    }
                })
                .collect(),
            Ok(_) => all_failed(topics, (ErrorCode::UnknownServerError.code(), None)),
            Err(error) => all_failed(topics, refusal::of_submit(&error)),
        };
        DeleteTopicsResponse { throttle_time_ms: 0, responses, ..DeleteTopicsResponse::default() }
    }))
}
