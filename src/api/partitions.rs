//! From what a request names to a partition, and from a partition's refusals to Kafka's error codes.

use std::sync::Arc;

use felice_protocol::error::ErrorCode;

use super::Services;
use crate::{
    log::LogError,
    model::{PartitionIndex, TopicId, TopicIdPartition},
    replica::{EpochMismatch, Partition},
};

/// The partition that this broker leads, by its topic's name.
pub fn by_name(services: &Services, topic: &str, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
    let image = services.quorum.image();
    let topic = image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    find(services, topic.id(), partition, topic.partition_count())
}

/// The partition that this broker leads, by its topic's id.
pub fn by_id(services: &Services, topic: TopicId, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
    match services.replicas.partition(TopicIdPartition { topic_id: topic, partition: PartitionIndex(partition) }) {
        Some(partition) => Ok(partition),
        None => {
            let image = services.quorum.image();
            let topic = image.topic_by_id(topic).ok_or(ErrorCode::UnknownTopicId)?;
            find(services, topic.id(), partition, topic.partition_count())
        }
    }
}

fn find(services: &Services, topic_id: TopicId, partition: i32, count: i32) -> Result<Arc<Partition>, ErrorCode> {
    let at = TopicIdPartition { topic_id, partition: PartitionIndex(partition) };
    match services.replicas.partition(at) {
        Some(partition) => Ok(partition),
        None if services.replicas.is_offline(at) => {
            services.replicas.reopen(&services.quorum.image(), at).ok_or(ErrorCode::KafkaStorageError)
        }
        None if (0..count).contains(&partition) => Err(ErrorCode::NotLeaderOrFollower),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

pub fn epoch_code(mismatch: EpochMismatch) -> ErrorCode {
    match mismatch {
        EpochMismatch::Fenced => ErrorCode::FencedLeaderEpoch,
        EpochMismatch::Unknown => ErrorCode::UnknownLeaderEpoch,
    }
}

/// A log that cannot be read is the disk's fault, not the client's. Where bytes are not what was written, trying again is of no
/// use, and Kafka's clients tell whoever uses them so.
pub fn log_code(partition: &Partition, cause: &LogError) -> ErrorCode {
    partition.report_unreadable(cause);
    match cause {
        LogError::Corrupt { .. } => ErrorCode::CorruptMessage,
        _ => ErrorCode::KafkaStorageError,
    }
}
