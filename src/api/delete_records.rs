//! DeleteRecords (key 21): deletes the records of partitions before an offset (KIP-107).
//!
//! - v1: throttling happens after the response (KIP-219). v2: flexible.
//!
//! Offset -1 stands for the high watermark. What is answered as deleted stays so after a power loss; Kafka stores log starts
//! once a minute. `timeout_ms` is about followers, and there are none to wait for.

use std::{collections::HashMap, sync::Arc};

use felice_protocol::{
    error::ErrorCode,
    messages::delete_records::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
    },
};
use tracing::error;

use super::{Answer, Context, Services, partitions};
use crate::{
    metadata::is_internal,
    model::Offset,
    replica::{DeleteBefore, DeleteRecordsError, Partition},
};

const HIGH_WATERMARK: i64 = -1;
const NO_LOW_WATERMARK: i64 = -1;

pub fn handle(cx: &Context<'_>, request: DeleteRecordsRequest) -> Answer<DeleteRecordsResponse> {
    let services = Arc::clone(cx.services);
    // It waits for the disk.
    Answer::Heavy(Box::new(move || Answer::Now(delete(&services, request))))
}

fn delete(services: &Services, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = merged(request);
    let mut asked = Vec::new();
    for topic in &mut topics {
        for (index, outcome) in &mut topic.partitions {
            if let Outcome::Asked(offset) = *outcome {
                *outcome = match find(services, &topic.name, *index) {
                    Ok(partition) => {
                        asked.push((partition, before(offset)));
                        Outcome::Found
                    }
                    Err(error) => Outcome::Refused(error),
                };
            }
        }
    }
    let mut results = services.replicas.delete_records(&asked).into_iter().zip(asked);
    let mut answer = |(partition_index, outcome)| {
        let result = match outcome {
            Outcome::Refused(error) => Err(error),
            Outcome::Asked(_) | Outcome::Found => match results.next() {
                Some((result, (partition, _))) => result.map_err(|error| code(&partition, &error)),
                None => Err(ErrorCode::UnknownServerError),
            },
        };
        DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: result.map_or(NO_LOW_WATERMARK, |log_start| log_start.0),
            error_code: result.err().unwrap_or(ErrorCode::None).code(),
            ..DeleteRecordsPartitionResult::default()
        }
    };
    let topics = topics.into_iter().map(|topic| DeleteRecordsTopicResult {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(&mut answer).collect(),
        ..DeleteRecordsTopicResult::default()
    });
    DeleteRecordsResponse { throttle_time_ms: 0, topics: topics.collect(), ..DeleteRecordsResponse::default() }
}

/// A topic that was asked for, with each of its partitions once.
struct Topic {
    name: String,
    partitions: Vec<(i32, Outcome)>,
}

#[derive(Clone, Copy)]
enum Outcome {
    /// Records below this offset are to go.
    Asked(i64),
    Found,
    Refused(ErrorCode),
}

/// Each topic and each partition once, in the order of their first mention; the last offset holds, as in Kafka.
fn merged(request: DeleteRecordsRequest) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    let mut topic_places: HashMap<String, usize> = HashMap::new();
    let mut places: HashMap<(usize, i32), usize> = HashMap::new();
    for asked in request.topics {
        let at = *topic_places.entry(asked.name.clone()).or_insert(topics.len());
        if at == topics.len() {
            topics.push(Topic { name: asked.name, partitions: Vec::new() });
        }
        let Some(topic) = topics.get_mut(at) else { continue };
        for partition in asked.partitions {
            let outcome = Outcome::Asked(partition.offset);
            let place = *places.entry((at, partition.partition_index)).or_insert(topic.partitions.len());
            match topic.partitions.get_mut(place) {
                Some((_, known)) => *known = outcome,
                None => topic.partitions.push((partition.partition_index, outcome)),
            }
        }
    }
    // A topic without partitions is not answered.
    topics.retain(|topic| !topic.partitions.is_empty());
    topics
}

fn find(services: &Services, topic: &str, index: i32) -> Result<Arc<Partition>, ErrorCode> {
    let partition = partitions::by_name(services, topic, index)?;
    if is_internal(topic) { Err(ErrorCode::InvalidTopicException) } else { Ok(partition) }
}

fn before(offset: i64) -> DeleteBefore {
    match offset {
        HIGH_WATERMARK => DeleteBefore::HighWatermark,
        offset => DeleteBefore::Offset(Offset(offset)),
    }
}

fn code(partition: &Partition, cause: &DeleteRecordsError) -> ErrorCode {
    match cause {
        DeleteRecordsError::NotLeader => ErrorCode::NotLeaderOrFollower,
        DeleteRecordsError::Policy => ErrorCode::PolicyViolation,
        DeleteRecordsError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Log(_) | DeleteRecordsError::Store(_) => {
            error!(partition = %partition.name(), "records cannot be deleted: {cause}");
            ErrorCode::KafkaStorageError
        }
    }
}

#[cfg(test)]
mod tests {
    use felice_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};

    use super::*;

    #[test]
    fn what_comes_twice_is_asked_for_once() {
        let topic = |name: &str, partitions: &[(i32, i64)]| DeleteRecordsTopic {
            name: name.to_owned(),
            partitions: partitions
                .iter()
                .map(|(partition_index, offset)| DeleteRecordsPartition {
                    partition_index: *partition_index,
                    offset: *offset,
                    ..DeleteRecordsPartition::default()
                })
                .collect(),
            ..DeleteRecordsTopic::default()
        };
        let topics = vec![
            topic("a", &[(1, 10), (0, 5), (1, 3)]),
            topic("none", &[]),
            topic("b", &[(0, 7)]),
            topic("a", &[(0, 9), (2, 1)]),
        ];
        let merged = merged(DeleteRecordsRequest { topics, ..DeleteRecordsRequest::default() });
        let told: Vec<(&str, i32, i64)> = merged
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|(index, outcome)| (&*topic.name, *index, outcome)))
            .map(|(name, index, outcome)| match outcome {
                Outcome::Asked(offset) => (name, index, *offset),
                _ => panic!(),
            })
            .collect();
        assert_eq!(told, [("a", 1, 3), ("a", 0, 9), ("a", 2, 1), ("b", 0, 7)]);
    }
}
