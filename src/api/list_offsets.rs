//! ListOffsets (key 2): offsets by timestamp, and the ends of a partition.
//!
//! - v0: up to so many offsets a partition, newest first: where segments begin ([`by_segment`]). v1: one offset a partition. v2: isolation level. v4: leader epochs (KIP-320). v6: flexible. v7: -3, the record with the
//!   largest timestamp (KIP-734). v8: -4, the earliest local offset (KIP-405). v9: -5, the last tiered one (KIP-1005).
//!   v10: a timeout for lookups in remote storage (KIP-1075). v11: -6, the earliest offset pending upload (KIP-1023).
//!
//! Nothing is tiered: the earliest local offset is the log's start, and -5 and -6 have no offset to name.

mod by_segment;

use std::{collections::HashMap, sync::Arc};

use felice_protocol::{
    error::ErrorCode,
    messages::list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
};

use super::{Answer, Context, Services, partitions};
use crate::{
    log::{LogError, TimestampedOffset},
    model::{LeaderEpoch, Offset, Timestamp},
    replica::{Isolation, Partition},
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// From here on the answer carries the leader epoch.
const FIRST_VERSION_WITH_EPOCH: i16 = 4;

/// Special timestamps and the version that brought them.
const SPECIAL: [(i64, i16); 6] = [
    (LATEST, 1),
    (EARLIEST, 1),
    (MAX_TIMESTAMP, 7),
    (EARLIEST_LOCAL, 8),
    (LATEST_TIERED, 9),
    (EARLIEST_PENDING_UPLOAD, 11),
];

pub fn handle(cx: &Context<'_>, request: ListOffsetsRequest) -> Answer<ListOffsetsResponse> {
    if cx.version == 0 {
        return by_segment::handle(cx, request);
    }
    let (services, version) = (Arc::clone(cx.services), cx.version);
    let opens_batches = request
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|asked| asked.timestamp >= 0 || asked.timestamp == MAX_TIMESTAMP);
    let answer = move || Answer::Now(answer_all(&services, version, request));
    if opens_batches { Answer::Heavy(Box::new(answer)) } else { answer() }
}

fn answer_all(services: &Services, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = Isolation::from_wire(request.isolation_level);
    let mut counts: HashMap<(&str, i32), usize> = HashMap::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            *counts.entry((&topic.name, asked.partition_index)).or_default() += 1;
        }
    }
    let topics = request
        .topics
        .iter()
        .map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                // What is asked for more than once is refused, once.
                .filter_map(|asked| match (counts.remove(&(&topic.name, asked.partition_index))?, isolation) {
                    // As Kafka answers an isolation level that does not exist.
                    (_, None) => Some(failed(asked, ErrorCode::UnknownServerError)),
                    (1, Some(isolation)) => Some(answer(services, version, &topic.name, asked, isolation)),
                    _ => Some(failed(asked, ErrorCode::InvalidRequest)),
                })
                .collect(),
            ..ListOffsetsTopicResponse::default()
        })
        .collect();
    ListOffsetsResponse { throttle_time_ms: 0, topics, ..ListOffsetsResponse::default() }
}

fn answer(
    services: &Services,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    match find(services, version, topic, asked, isolation) {
        Ok(None) => failed(asked, ErrorCode::None),
        Ok(Some((timestamp, offset, epoch))) => ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            error_code: ErrorCode::None.code(),
            timestamp: timestamp.0,
            offset: offset.0,
            leader_epoch: if version >= FIRST_VERSION_WITH_EPOCH { epoch.0 } else { LeaderEpoch::NONE.0 },
            ..ListOffsetsPartitionResponse::default()
        },
        Err(error) => failed(asked, error),
    }
}

fn failed(asked: &ListOffsetsPartition, error: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: error.code(),
        ..ListOffsetsPartitionResponse::default()
    }
}

type Found = Option<(Timestamp, Offset, LeaderEpoch)>;

fn find(
    services: &Services,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Found, ErrorCode> {
    let special = SPECIAL.iter().find(|(timestamp, _)| *timestamp == asked.timestamp);
    let known = match special {
        Some((_, first_version)) => version >= *first_version,
        None => asked.timestamp >= 0,
    };
    if !known {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = partitions::by_name(services, topic, asked.partition_index)?;
    partition.check_leader_epoch(asked.current_leader_epoch).map_err(partitions::epoch_code)?;
    look_up(&partition, asked.timestamp, isolation).map_err(|error| partitions::log_code(&partition, &error))
}

fn look_up(partition: &Partition, timestamp: i64, isolation: Isolation) -> Result<Found, LogError> {
    let found = |found: TimestampedOffset| (found.timestamp, found.offset, found.leader_epoch);
    Ok(match timestamp {
        LATEST => {
            let end = partition.readable_end(isolation);
            Some((Timestamp::NONE, end, partition.leader_epoch()))
        }
        EARLIEST | EARLIEST_LOCAL => {
            let start = partition.log_start();
            Some((Timestamp::NONE, start, partition.epoch_of(start)?.unwrap_or(LeaderEpoch::NONE)))
        }
        MAX_TIMESTAMP => partition.max_timestamp(isolation)?.map(found),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => None,
        timestamp => partition.offset_for_timestamp(Timestamp(timestamp), isolation)?.map(found),
    })
}
