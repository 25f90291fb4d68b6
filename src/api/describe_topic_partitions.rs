//! DescribeTopicPartitions (key 75): topics with all their partitions, page by page (KIP-966).
//!
//! - v0: a cursor names the first topic and partition of the next page; eligible leader replicas.

use felice_protocol::{
    error::ErrorCode,
    messages::describe_topic_partitions::{
        Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    },
};

use super::{Answer, Context, operations};
use crate::{
    controller::validate_topic_name,
    metadata::{Image, Partition, Topic, is_internal},
    model::PartitionIndex,
};

pub fn handle(cx: &Context<'_>, request: DescribeTopicPartitionsRequest) -> Answer<DescribeTopicPartitionsResponse> {
    let image = cx.services.quorum.image();
    let limit = request
        .response_partition_limit
        .min(i32::try_from(cx.services.config.max_request_partition_size_limit).unwrap_or(i32::MAX))
        .max(1);
    let mut names: Vec<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let every = names.is_empty();
    let cursor = request.cursor.as_ref();
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    if every {
        names = image.topics_from(from).map(|topic| &**topic.name()).collect();
    }
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name >= from);
    // Among all topics, the one that the cursor names may have been deleted in between: the page begins with the next one.
    if let Some(cursor) = cursor
        && (cursor.partition_index < 0 || !every && names.binary_search(&from).is_err())
    {
        return Answer::Now(all_failed(&request));
    }
    let mut page = Page { left: limit, topics: Vec::new(), next: None };
    for name in names {
        let first = cursor.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index);
        if page.left == 0 {
            page.next = Some(Cursor { topic_name: name.to_owned(), partition_index: first, ..Cursor::default() });
            break;
        }
        page.add(&image, name, first);
        if page.next.is_some() {
            break;
        }
    }
    Answer::Now(DescribeTopicPartitionsResponse {
        throttle_time_ms: 0,
        topics: page.topics,
        next_cursor: page.next,
        ..DescribeTopicPartitionsResponse::default()
    })
}

/// A cursor that no earlier page can have given out: there is no field to say so but each topic's own.
fn all_failed(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name.clone()),
            topic_authorized_operations: operations::topic(false),
            ..DescribeTopicPartitionsResponseTopic::default()
        })
        .collect();
    DescribeTopicPartitionsResponse { topics, ..DescribeTopicPartitionsResponse::default() }
}

struct Page {
    left: i32,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page {
    fn add(&mut self, image: &Image, name: &str, first: i32) {
        let Some(topic) = image.topic(name) else {
            let error = match validate_topic_name(name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            self.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                name: Some(name.to_owned()),
                topic_authorized_operations: operations::topic(true),
                ..DescribeTopicPartitionsResponseTopic::default()
            });
            return;
        };
        let end = topic.partition_count().min(first.saturating_add(self.left));
        let partitions: Vec<_> = (first..end)
            .filter_map(|index| topic.partition(PartitionIndex(index)).map(|partition| describe(index, partition)))
            .collect();
        self.left -= i32::try_from(partitions.len()).unwrap_or(self.left);
        if end < topic.partition_count() {
            self.next = Some(Cursor { topic_name: name.to_owned(), partition_index: end, ..Cursor::default() });
        }
        self.topics.push(answer(topic, partitions));
    }
}

fn answer(
    topic: &Topic,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name().to_string()),
        topic_id: topic.id().0,
        is_internal: is_internal(topic.name()),
        partitions,
        topic_authorized_operations: operations::topic(true),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn describe(index: i32, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let ids = |nodes: &[crate::model::NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::None.code(),
        partition_index: index,
        leader_id: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(ids(&partition.elr)),
        last_known_elr: Some(Vec::new()),
        offline_replicas: Vec::new(),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}
