//! The controller: what becomes of a change to the cluster's metadata. Pure: [`decide`] looks at an image and a command
//! and answers with the records to commit and the reply to give once they are; it changes nothing, reads no clock and
//! draws no random numbers. What must be random (a topic's id, where placement begins) comes in with the command.
//!
//! The rules and the words of the refusals are Kafka's (its ReplicationControlManager, ConfigurationControlManager and
//! ClusterControlManager, and ControllerApis for duplicates); the differences are said where they are made.

mod brokers;
mod command;
mod configs;
mod deletion;
mod draft;
mod group_configs;
mod partitions;
mod placement;
mod producer_ids;
mod tenure;
mod topic_name;
mod topics;

#[cfg(test)]
pub(crate) mod testing;

pub use command::{
    AllocateProducerIds, AlterConfigs, AlterGroupConfigs, BrokerRegistered, ClusterInitialized, Command, ConfigChange,
    ConfigOp, CreatePartitions, CreateTopics, DeleteTopics, DeletedTopic, GroupConfigChanges, InitializeCluster,
    NewPartitions, NewTopic, ProducerIdBlock, Reason, Refusal, RegisterBroker, Reply, TopicConfigChanges, TopicCreated,
    TopicDefaults, TopicRef,
};
pub use tenure::{Proposal, Step, Tenure};
pub use topic_name::validate_topic_name;

use crate::{
    metadata::{Image, Record},
    model::Timestamp,
};

/// What a client asks for makes no more records than this, and no more partitions (Kafka's MAX_RECORDS_PER_USER_OP and
/// MAX_PARTITIONS_PER_BATCH): the one batch that they are committed as must stay of a size that can be shipped at once.
pub const MAX_RECORDS: usize = 10_000;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// To be committed as one batch, so that all of them take effect or none. Empty where nothing changes.
    pub records: Vec<Record>,
    /// To be given once the records are committed.
    pub reply: Reply,
}

/// Decides one command against the state that all records decided before it lead to, committed or not.
///
/// The same arguments give the same decision. `now` is what every state machine of ours is told; no rule of the
/// controller depends on the time so far.
pub fn decide(_now: Timestamp, image: &Image, command: &Command) -> Decision {
    match command {
        Command::InitializeCluster(command) => brokers::initialize_cluster(image, command),
        Command::RegisterBroker(command) => brokers::register(image, command),
        Command::CreateTopics(command) => topics::create(image, command),
        Command::DeleteTopics(command) => deletion::delete(image, command),
        Command::CreatePartitions(command) => partitions::create(image, command),
        Command::AlterConfigs(command) => configs::alter(image, command),
        Command::AlterGroupConfigs(command) => group_configs::alter(image, command),
        Command::AllocateProducerIds(command) => producer_ids::allocate(image, command),
    }
}
