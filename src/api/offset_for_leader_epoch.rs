//! OffsetForLeaderEpoch (key 23): where a leader epoch ends, so that a follower knows where to truncate, and
//! a client whether a log was truncated.
//!
//! - v0: of followers (KIP-101). v1: the epoch found is told too (KIP-279). v2: the leader epoch that the client knows (KIP-320). v3: replica id. v4: flexible.

use felice_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use super::{Answer, Context, partitions};
use crate::model::LeaderEpoch;

pub fn handle(cx: &Context<'_>, request: OffsetForLeaderEpochRequest) -> Answer<OffsetForLeaderEpochResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| OffsetForLeaderTopicResult {
            partitions: topic.partitions.iter().map(|partition| answer(cx, &topic.topic, partition)).collect(),
            topic: topic.topic,
            ..OffsetForLeaderTopicResult::default()
        })
        .collect();
    Answer::Now(OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics, ..OffsetForLeaderEpochResponse::default() })
}

fn answer(cx: &Context<'_>, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut answer = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    let found = partitions::by_name(cx.services, topic, asked.partition).and_then(|partition| {
        partition.check_leader_epoch(asked.current_leader_epoch).map(|()| partition).map_err(partitions::epoch_code)
    });
    match found {
        Ok(partition) => match partition.end_of_epoch(LeaderEpoch(asked.leader_epoch)) {
            Ok(Some((epoch, end))) => {
                answer.leader_epoch = epoch.0;
                answer.end_offset = end.0;
            }
            Ok(None) => {}
            Err(error) => answer.error_code = partitions::log_code(&partition, &error).code(),
        },
        Err(error) => answer.error_code = error.code(),
    }
    answer
}
