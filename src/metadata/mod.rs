//! Cluster metadata: the records of its log (`record.rs`), and the image that they add up to (`image.rs`).

mod broker;
mod delta;
mod image;
mod record;
mod topic;

pub use broker::{Broker, Listener};
pub use delta::{DeletedTopic, Delta};
pub use image::{Image, Misfit};
pub use record::{
    BrokerEndpoint, ClusterRecord, ConfigRecord, FeatureLevelRecord, GROUP_RESOURCE, LEADER_UNCHANGED,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, Record, RecordError, RegisterBrokerRecord,
    RemoveTopicRecord, TOPIC_RESOURCE, TopicRecord, decode_batch, encode_batch,
};
pub use topic::{NO_LEADER, Partition, Topic, is_internal};
