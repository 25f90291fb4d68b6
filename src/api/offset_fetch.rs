//! OffsetFetch (key 9): the offsets that groups have committed.
//!
//! - v0: from ZooKeeper, in Kafka; here it is like v1. v2: null asks for all topics; a top-level error. v3: throttle time.
//! - v5: leader epochs (KIP-320). v6: flexible. v7: `require_stable` (KIP-447). v8: many groups (KIP-709).
//! - v9: members of consumer groups: STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID (KIP-848). v10: topics by id.
//!
//! The coordinator sees all versions in the form of version 9.

use std::sync::Arc;

use felice_protocol::{error::ErrorCode, messages::offset_fetch::*};

use super::{Answer, Context, Services, groups};
use crate::{coordinator::group::Query, metadata::Image, model::TopicId};

/// From here on there are several groups.
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// From here on topics are named by their ids.
const FIRST_VERSION_BY_ID: i16 = 10;
/// From here on what is wrong with a group is not told of each partition.
const FIRST_VERSION_WITH_ERROR: i16 = 2;

pub fn handle(cx: &Context<'_>, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    let version = cx.version;
    let services = Arc::clone(cx.services);
    Answer::Later(Box::pin(async move {
        let require_stable = request.require_stable;
        let asked = if version >= FIRST_VERSION_WITH_GROUPS { request.groups } else { vec![only_group(request)] };
        let mut answers = Vec::with_capacity(asked.len());
        let mut left = groups::ANSWER_MAX;
        for group in asked {
            let answer = match left {
                0 => refused(group.group_id, group.topics, ErrorCode::PolicyViolation.code(), version),
                _ => fetch(&services, version, group, require_stable).await,
            };
            left = left.saturating_sub(size(&answer));
            answers.push(answer);
        }
        in_version(version, answers)
    }))
}

fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..OffsetFetchRequestGroup::default()
    }
}

async fn fetch(
    services: &Services,
    version: i16,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let image = services.quorum.image();
    let asks_for_all = group.topics.is_none();
    let mut unknown = Vec::new();
    if let Some(topics) = &mut group.topics
        && version >= FIRST_VERSION_BY_ID
    {
        unknown = take_unknown(&image, topics);
    }
    let group_id = group.group_id.clone();
    // With an error for each partition, it has to be known which there are.
    let asked = group.topics.clone().filter(|_| version < FIRST_VERSION_WITH_ERROR);
    let query = Query::OffsetFetch { group, require_stable };
    match groups::query::<OffsetFetchResponseGroup>(services, &group_id, query).await {
        Ok(mut answer) if answer.error_code == 0 => {
            if asks_for_all && version >= FIRST_VERSION_BY_ID {
                name_by_id(&image, &mut answer.topics);
            }
            answer.topics = in_order(answer.topics, unknown);
            answer
        }
        Ok(OffsetFetchResponseGroup { error_code, .. }) => refused(group_id, asked, error_code, version),
        Err(error) => refused(group_id, asked, error.code(), version),
    }
}

/// Names topics that are asked for by id. Those that nothing is known of are taken out and answered, with their places.
fn take_unknown(image: &Image, topics: &mut Vec<OffsetFetchRequestTopics>) -> Vec<(usize, OffsetFetchResponseTopics)> {
    let mut unknown = Vec::new();
    let mut index = 0;
    topics.retain_mut(|topic| {
        let found = image.topic_by_id(TopicId(topic.topic_id));
        match found {
            Some(found) => topic.name = found.name().to_string(),
            None => unknown.push((index, failed(topic, ErrorCode::UnknownTopicId.code()))),
        }
        index += 1;
        found.is_some()
    });
    unknown
}

/// Each topic at its place in the request.
fn in_order(
    answered: Vec<OffsetFetchResponseTopics>,
    unknown: Vec<(usize, OffsetFetchResponseTopics)>,
) -> Vec<OffsetFetchResponseTopics> {
    if unknown.is_empty() {
        return answered;
    }
    let mut all = Vec::with_capacity(answered.len() + unknown.len());
    let mut answered = answered.into_iter();
    for (index, topic) in unknown {
        let before = index.saturating_sub(all.len());
        all.extend(answered.by_ref().take(before));
        all.push(topic);
    }
    all.extend(answered);
    all
}

/// Gives topics their ids; those that have none any more cannot be told.
fn name_by_id(image: &Image, topics: &mut Vec<OffsetFetchResponseTopics>) {
    topics.retain_mut(|topic| {
        let found = image.topic(&topic.name);
        topic.topic_id = found.map(|found| found.id().0).unwrap_or_default();
        found.is_some()
    });
}

fn failed(topic: &OffsetFetchRequestTopics, error_code: i16) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code,
        ..OffsetFetchResponsePartitions::default()
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

/// `asked` is only looked at where the error belongs to the partitions.
fn refused(
    group_id: String,
    asked: Option<Vec<OffsetFetchRequestTopics>>,
    error_code: i16,
    version: i16,
) -> OffsetFetchResponseGroup {
    let asked = asked.filter(|_| version < FIRST_VERSION_WITH_ERROR).unwrap_or_default();
    let topics = asked.iter().map(|topic| failed(topic, error_code)).collect();
    OffsetFetchResponseGroup { group_id, topics, error_code, ..OffsetFetchResponseGroup::default() }
}

/// About what an answer takes, in bytes.
fn size(group: &OffsetFetchResponseGroup) -> usize {
    let metadata = |partition: &OffsetFetchResponsePartitions| partition.metadata.as_ref().map_or(0, String::len);
    let topic = |topic: &OffsetFetchResponseTopics| {
        let partitions = topic.partitions.iter().map(|partition| size_of_val(partition) + metadata(partition));
        size_of_val(topic) + topic.name.len() + partitions.sum::<usize>()
    };
    size_of_val(group) + group.group_id.len() + group.topics.iter().map(topic).sum::<usize>()
}

fn in_version(version: i16, groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= FIRST_VERSION_WITH_GROUPS {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let OffsetFetchResponseGroup { topics, error_code, .. } = groups.into_iter().next().unwrap_or_default();
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..OffsetFetchResponsePartition::default()
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopic::default()
    };
    OffsetFetchResponse {
        topics: topics.into_iter().map(topic).collect(),
        error_code,
        ..OffsetFetchResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use felice_protocol::Uuid;

    use super::*;
    use crate::api::offset_delete::tests::image;

    fn asked(id: u8) -> OffsetFetchRequestTopics {
        OffsetFetchRequestTopics { topic_id: Uuid([id; 16]), partition_indexes: vec![0], ..Default::default() }
    }

    #[test]
    fn topics_are_named_and_unknown_ones_keep_their_places() {
        let mut topics = vec![asked(9), asked(2), asked(8), asked(1)];
        let unknown = take_unknown(&image(), &mut topics);
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let places: Vec<(usize, i16)> =
            unknown.iter().map(|(index, topic)| (*index, topic.partitions[0].error_code)).collect();
        assert_eq!(places, [(0, ErrorCode::UnknownTopicId.code()), (2, ErrorCode::UnknownTopicId.code())]);
        let answered = |asked: &OffsetFetchRequestTopics| failed(asked, ErrorCode::None.code());
        let all = in_order(topics.iter().map(answered).collect(), unknown);
        let ids: Vec<u8> = all.iter().map(|topic| topic.topic_id.0[0]).collect();
        assert_eq!(ids, [9, 2, 8, 1]);
    }

    #[test]
    fn many_unknown_topics_among_known_ones_take_no_longer_than_as_many_others() {
        let mut topics: Vec<_> = (0..300_000).map(|index| asked(if index % 2 == 0 { 1 } else { 9 })).collect();
        let unknown = take_unknown(&image(), &mut topics);
        let answered = topics.iter().map(|topic| failed(topic, 0)).collect();
        let started = tokio::time::Instant::now();
        let all = in_order(answered, unknown);
        assert!(all.chunks(2).all(|pair| (pair[0].topic_id.0[0], pair[1].topic_id.0[0]) == (1, 9)));
        // Where each was moved for each, it took minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn of_all_topics_those_that_are_gone_have_no_id() {
        let topic = |name: &str| OffsetFetchResponseTopics { name: name.to_owned(), ..Default::default() };
        let mut topics = vec![topic("a"), topic("gone")];
        name_by_id(&image(), &mut topics);
        assert_eq!(topics, [OffsetFetchResponseTopics { topic_id: Uuid([1; 16]), ..topic("a") }]);
    }

    #[test]
    fn an_error_is_the_groups_or_before_version_2_each_partitions() {
        let of = |version, asked| {
            let answer = in_version(version, vec![refused("g".to_owned(), asked, 16, version)]);
            let partitions: Vec<i16> =
                answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.error_code)).collect();
            (answer.error_code, partitions, answer.groups.first().map(|group| group.error_code))
        };
        assert_eq!(of(1, Some(vec![asked(1)])), (16, vec![16], None));
        assert_eq!(of(2, Some(vec![asked(1)])), (16, vec![], None));
        assert_eq!(of(8, None), (0, vec![], Some(16)));
    }
}
