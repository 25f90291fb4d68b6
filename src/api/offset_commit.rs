//! OffsetCommit (key 8): stores how far a group has come.
//!
//! - v0: by nobody in particular. v1: generation and member; a timestamp for each partition. v2: a retention time for all of them
//!   instead, until v4. v5: none: offsets live as long as their group and then for `offsets.retention.minutes` (KIP-211).
//! - v3: throttle time. v6: leader epochs (KIP-320). v7: static members (KIP-345). v8: flexible.
//! - v9: members of consumer groups: STALE_MEMBER_EPOCH, GROUP_ID_NOT_FOUND (KIP-848). v10: topics by id.
//!
//! Kafka kept the offsets of version 0 in ZooKeeper, and refuses it since there is none; here they are like all others.
//! Partitions that do not exist are refused one by one, and the others are committed.

use felice_protocol::{error::ErrorCode, messages::offset_commit::*};

use super::{Answer, Context, groups};
use crate::{
    coordinator::group::Command,
    metadata::{Image, Topic},
    model::{PartitionIndex, TopicId},
};

/// From here on topics are named by their ids.
const FIRST_VERSION_BY_ID: i16 = 10;

pub fn handle(cx: &Context<'_>, mut request: OffsetCommitRequest) -> Answer<OffsetCommitResponse> {
    let image = cx.services.quorum.image();
    match resolve(&image, cx.version >= FIRST_VERSION_BY_ID, &mut request.topics) {
        None => groups::submit(cx, Command::OffsetCommit(request), |response| response),
        // As in Kafka, with nothing to commit the group does not matter.
        Some(checked) if request.topics.is_empty() => Answer::Now(checked),
        Some(checked) => groups::submit(cx, Command::OffsetCommit(request), |told| merge(checked, told)),
    }
}

/// Gives topics their names and ids. Where partitions do not exist it takes them out, and answers with the whole response, in
/// which what is left has no error so far.
fn resolve(image: &Image, by_id: bool, topics: &mut Vec<OffsetCommitRequestTopic>) -> Option<OffsetCommitResponse> {
    let mut is_complete = true;
    topics.retain_mut(|topic| {
        let found = if by_id { image.topic_by_id(TopicId(topic.topic_id)) } else { image.topic(&topic.name) };
        topic.topic_id = found.map_or(topic.topic_id, |found| found.id().0);
        if by_id {
            topic.name = found.map(|found| found.name().to_string()).unwrap_or_default();
        }
        is_complete &= topic.partitions.iter().all(|partition| error(found, by_id, partition) == ErrorCode::None);
        // As in Kafka, a topic that is there and has nothing to commit is not spoken of.
        found.is_none() || !topic.partitions.is_empty()
    });
    if is_complete && topics.iter().any(|topic| !topic.partitions.is_empty()) {
        return None;
    }
    let check = |topic: &mut OffsetCommitRequestTopic| {
        let found = image.topic_by_id(TopicId(topic.topic_id));
        let checked = |partition: &OffsetCommitRequestPartition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: error(found, by_id, partition).code(),
            ..OffsetCommitResponsePartition::default()
        };
        let partitions = topic.partitions.iter().map(checked).collect();
        topic.partitions.retain(|partition| error(found, by_id, partition) == ErrorCode::None);
        OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions,
            ..OffsetCommitResponseTopic::default()
        }
    };
    let checked = topics.iter_mut().map(check).collect();
    topics.retain(|topic| !topic.partitions.is_empty());
    Some(OffsetCommitResponse { topics: checked, ..OffsetCommitResponse::default() })
}

fn error(topic: Option<&Topic>, by_id: bool, partition: &OffsetCommitRequestPartition) -> ErrorCode {
    match topic {
        Some(topic) if topic.partition(PartitionIndex(partition.partition_index)).is_some() => ErrorCode::None,
        None if by_id => ErrorCode::UnknownTopicId,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}

/// Puts what the coordinator tells of the partitions that it was asked where they belong: both are in the request's order.
fn merge(mut checked: OffsetCommitResponse, told: OffsetCommitResponse) -> OffsetCommitResponse {
    let mut told = told.topics.into_iter().flat_map(|topic| topic.partitions);
    let partitions = checked.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == 0) {
        let of_it = told.next().filter(|told| told.partition_index == partition.partition_index);
        partition.error_code = of_it.map_or(ErrorCode::UnknownServerError.code(), |told| told.error_code);
    }
    checked
}

#[cfg(test)]
mod tests {
    use felice_protocol::Uuid;

    use super::*;
    use crate::api::offset_delete::tests::image;

    fn topics(asked: &[(&str, u8, &[i32])]) -> Vec<OffsetCommitRequestTopic> {
        let partition = |index: &i32| OffsetCommitRequestPartition { partition_index: *index, ..Default::default() };
        asked
            .iter()
            .map(|(name, id, partitions)| OffsetCommitRequestTopic {
                name: (*name).to_owned(),
                topic_id: Uuid([*id; 16]),
                partitions: partitions.iter().map(partition).collect(),
                ..OffsetCommitRequestTopic::default()
            })
            .collect()
    }

    #[test]
    fn what_exists_goes_to_the_coordinator_with_its_name_and_id() {
        let mut by_name = topics(&[("a", 0, &[0, 1]), ("b", 0, &[0])]);
        assert_eq!(resolve(&image(), false, &mut by_name), None);
        let mut by_id = topics(&[("", 1, &[0, 1]), ("", 2, &[0])]);
        assert_eq!(resolve(&image(), true, &mut by_id), None);
        assert_eq!((&by_name, &by_name), (&by_id, &topics(&[("a", 1, &[0, 1]), ("b", 2, &[0])])));
    }

    #[test]
    fn what_does_not_exist_is_answered_in_its_place() {
        let (unknown, unknown_id) = (ErrorCode::UnknownTopicOrPartition.code(), ErrorCode::UnknownTopicId.code());
        for (by_id, asked, left, expected) in [
            (
                false,
                topics(&[("c", 0, &[0]), ("a", 0, &[2, 0, -1, 1]), ("b", 0, &[0])]),
                topics(&[("a", 1, &[0, 1]), ("b", 2, &[0])]),
                vec![unknown, unknown, 11, unknown, 12, 13],
            ),
            (
                true,
                topics(&[("", 9, &[0]), ("", 1, &[2, 0])]),
                topics(&[("a", 1, &[0])]),
                vec![unknown_id, unknown, 11],
            ),
        ] {
            let mut topics = asked;
            let checked = resolve(&image(), by_id, &mut topics).expect("refusals");
            assert_eq!(topics, left);
            let mut code = 10;
            let mut answered = |partition: OffsetCommitRequestPartition| {
                code += 1;
                OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code,
                    ..OffsetCommitResponsePartition::default()
                }
            };
            let told = topics.into_iter().map(|topic| OffsetCommitResponseTopic {
                partitions: topic.partitions.into_iter().map(&mut answered).collect(),
                ..OffsetCommitResponseTopic::default()
            });
            let told = OffsetCommitResponse { topics: told.collect(), ..OffsetCommitResponse::default() };
            let merged = merge(checked, told);
            let codes: Vec<i16> =
                merged.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.error_code)).collect();
            assert_eq!(codes, expected);
        }
    }

    #[test]
    fn with_nothing_to_commit_nobody_is_asked() {
        let mut topics = topics(&[("a", 0, &[])]);
        assert!(resolve(&image(), false, &mut topics).is_some() && topics.is_empty());
    }
}
