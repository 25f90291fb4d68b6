//! OffsetDelete (key 47): forgets committed offsets of topics that no member of the group reads (KIP-496).

use felice_protocol::{error::ErrorCode, messages::offset_delete::*};

use super::{Answer, Context, groups};
use crate::{coordinator::group::Command, metadata::Image, model::PartitionIndex};

pub fn handle(cx: &Context<'_>, mut request: OffsetDeleteRequest) -> Answer<OffsetDeleteResponse> {
    if request.group_id.is_empty() {
        let error_code = ErrorCode::InvalidGroupId.code();
        return Answer::Now(OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() });
    }
    let checked = check(&cx.services.quorum.image(), &mut request.topics);
    groups::submit(cx, Command::OffsetDelete(request), |told| merge(checked, told))
}

/// Takes out partitions that do not exist, and answers with all of them, of which those that are left have no error so far.
fn check(image: &Image, topics: &mut Vec<OffsetDeleteRequestTopic>) -> Vec<OffsetDeleteResponseTopic> {
    // Kafka tells nothing of these.
    topics.retain(|topic| !topic.partitions.is_empty() || image.topic(&topic.name).is_none());
    let check = |topic: &mut OffsetDeleteRequestTopic| {
        let found = image.topic(&topic.name);
        let exists = |partition: &OffsetDeleteRequestPartition| {
            found.is_some_and(|found| found.partition(PartitionIndex(partition.partition_index)).is_some())
        };
        let checked = |partition: &OffsetDeleteRequestPartition| {
            let error = if exists(partition) { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.code(),
                ..OffsetDeleteResponsePartition::default()
            }
        };
        let partitions = topic.partitions.iter().map(checked).collect();
        topic.partitions.retain(exists);
        OffsetDeleteResponseTopic { name: topic.name.clone(), partitions, ..OffsetDeleteResponseTopic::default() }
    };
    let checked = topics.iter_mut().map(check).collect();
    topics.retain(|topic| !topic.partitions.is_empty());
    checked
}

/// Puts what the coordinator tells of the partitions that it was asked where they belong: both are in the request's order.
fn merge(mut checked: Vec<OffsetDeleteResponseTopic>, told: OffsetDeleteResponse) -> OffsetDeleteResponse {
    if told.error_code != 0 {
        return told;
    }
    let mut told = told.topics.into_iter().flat_map(|topic| topic.partitions);
    let partitions = checked.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == 0) {
        let of_it = told.next().filter(|told| told.partition_index == partition.partition_index);
        partition.error_code = of_it.map_or(ErrorCode::UnknownServerError.code(), |told| told.error_code);
    }
    OffsetDeleteResponse { topics: checked, ..OffsetDeleteResponse::default() }
}

#[cfg(test)]
pub mod tests {
    use felice_protocol::Uuid;

    use super::*;
    use crate::metadata::{Delta, PartitionRecord, TopicRecord};

    /// Topic `a` with two partitions, and `b` with one. Their ids are of ones, and of twos.
    pub fn image() -> Image {
        let mut image = Image::default();
        for (name, id, partitions) in [("a", 1, 2), ("b", 2, 1)] {
            let topic_id = Uuid([id; 16]);
            let topic = TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() };
            image.apply(&topic.into(), &mut Delta::default()).unwrap();
            for partition_id in 0..partitions {
                let record = PartitionRecord {
                    partition_id,
                    topic_id,
                    replicas: vec![1],
                    isr: vec![1],
                    leader: 1,
                    directories: vec![Uuid([7; 16])],
                    ..PartitionRecord::default()
                };
                image.apply(&record.into(), &mut Delta::default()).unwrap();
            }
        }
        image
    }

    #[test]
    fn what_does_not_exist_is_answered_in_its_place() {
        let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index, ..Default::default() };
        let topic = |name: &str, partitions: &[i32]| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: partitions.iter().map(partition).collect(),
            ..OffsetDeleteRequestTopic::default()
        };
        let mut topics = vec![topic("c", &[0]), topic("b", &[]), topic("d", &[]), topic("a", &[2, 1])];
        let checked = check(&image(), &mut topics);
        assert_eq!(topics, [topic("a", &[1])]);
        let told = OffsetDeleteResponse {
            topics: vec![OffsetDeleteResponseTopic {
                name: "a".to_owned(),
                partitions: vec![OffsetDeleteResponsePartition {
                    partition_index: 1,
                    error_code: 86,
                    ..Default::default()
                }],
                ..OffsetDeleteResponseTopic::default()
            }],
            ..OffsetDeleteResponse::default()
        };
        let merged = merge(checked.clone(), told);
        let names: Vec<&str> = merged.topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["c", "d", "a"]);
        let codes: Vec<i16> =
            merged.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.error_code)).collect();
        assert_eq!(codes, [3, 3, 86]);
        let refused = OffsetDeleteResponse { error_code: 69, ..OffsetDeleteResponse::default() };
        assert_eq!(merge(checked, refused.clone()), refused);
    }
}
