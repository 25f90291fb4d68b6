//! ListOffsets version 0, from before message formats had timestamps: a partition's offsets are told by its segments, each
//! with the time of its last change (Kafka 3.9's `UnifiedLog.legacyFetchOffsetsBefore`).

use std::collections::HashSet;

use felice_protocol::{
    error::ErrorCode,
    messages::list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
};

use super::{Answer, Context, EARLIEST, LATEST, partitions};
use crate::model::{Offset, Timestamp};

/// The replica id of consumers; others may see beyond the high watermark.
const CONSUMER: i32 = -1;

pub fn handle(cx: &Context<'_>, request: ListOffsetsRequest) -> Answer<ListOffsetsResponse> {
    let from_consumer = request.replica_id == CONSUMER;
    // Each may be answered with an offset for every segment, so none is answered twice (Kafka 3.9 does).
    let mut seen = HashSet::new();
    let topics = request
        .topics
        .iter()
        .map(|topic| ListOffsetsTopicResponse {
            partitions: topic
                .partitions
                .iter()
                .filter(|asked| seen.insert((&topic.name, asked.partition_index)))
                .map(|asked| answer(cx, &topic.name, asked, from_consumer))
                .collect(),
            name: topic.name.clone(),
            ..ListOffsetsTopicResponse::default()
        })
        .collect();
    Answer::Now(ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

fn answer(
    cx: &Context<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
    from_consumer: bool,
) -> ListOffsetsPartitionResponse {
    let found = find(cx, topic, asked, from_consumer);
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: found.as_ref().err().copied().unwrap_or(ErrorCode::None).code(),
        old_style_offsets: found.unwrap_or_default().into_iter().map(|offset| offset.0).collect(),
        ..ListOffsetsPartitionResponse::default()
    }
}

fn find(
    cx: &Context<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
    from_consumer: bool,
) -> Result<Vec<Offset>, ErrorCode> {
    if asked.timestamp < EARLIEST {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = partitions::by_name(cx.services, topic, asked.partition_index)?;
    let mut begins = partition.segment_times().map_err(|error| partitions::log_code(&partition, &error))?;
    let end = partition.log_end();
    if begins.last().is_some_and(|(last, _)| *last < end) {
        begins.push((end, cx.services.env.now()));
    }
    let most = usize::try_from(asked.max_num_offsets).unwrap_or(0);
    let until = if from_consumer { partition.high_watermark() } else { end };
    Ok(before(&begins, asked.timestamp, most, until))
}

/// The newest `most` offsets among `begins` (ascending, each with the time of its segment's last change) that are not after
/// `timestamp`, newest first. What lies beyond `until` becomes one offset: `until` itself.
fn before(begins: &[(Offset, Timestamp)], timestamp: i64, most: usize, until: Offset) -> Vec<Offset> {
    let count = match timestamp {
        LATEST => begins.len(),
        EARLIEST => begins.len().min(1),
        timestamp => begins.iter().rposition(|(_, changed)| changed.0 <= timestamp).map_or(0, |last| last + 1),
    };
    let mut offsets: Vec<Offset> =
        begins.iter().take(count).rev().take(most).map(|(begin, _)| (*begin).min(until)).collect();
    offsets.dedup();
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_by_segments_newest_first() {
        let begins: Vec<(Offset, Timestamp)> =
            [(0, 100), (10, 200), (20, 150), (30, 300)].map(|(begin, at)| (Offset(begin), Timestamp(at))).to_vec();
        for (timestamp, most, until, expected) in [
            (LATEST, 9, 30, &[30, 20, 10, 0][..]),
            (LATEST, 2, 30, &[30, 20]),
            (LATEST, 0, 30, &[]),
            (EARLIEST, 9, 30, &[0]),
            (EARLIEST, 0, 30, &[]),
            (99, 9, 30, &[]),
            (100, 9, 30, &[0]),
            (160, 9, 30, &[20, 10, 0]),
            (299, 9, 30, &[20, 10, 0]),
            (300, 1, 30, &[30]),
            (LATEST, 9, 25, &[25, 20, 10, 0]),
            (LATEST, 9, 15, &[15, 10, 0]),
            (LATEST, 1, 15, &[15]),
            (LATEST, 9, 10, &[10, 0]),
        ] {
            let found: Vec<i64> =
                before(&begins, timestamp, most, Offset(until)).iter().map(|offset| offset.0).collect();
            assert_eq!(found, expected, "{timestamp} {most} {until}");
        }
        assert!(before(&[], LATEST, 5, Offset(0)).is_empty());
    }
}
