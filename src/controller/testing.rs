//! What the tests of the controller share: small clusters, and a loop that decides and applies.

use super::{
    AllocateProducerIds, AlterConfigs, AlterGroupConfigs, Command, CreatePartitions, CreateTopics, DeleteTopics,
    InitializeCluster, NewTopic, RegisterBroker, Reply, TopicDefaults, decide,
};
use crate::{
    metadata::{Delta, Image, Listener, RegisterBrokerRecord},
    model::{NodeId, Timestamp, TopicId, Uuid},
};

macro_rules! into_command {
    ($($name:ident)*) => {$(
        impl From<$name> for Command {
            fn from(command: $name) -> Command {
                Command::$name(command)
            }
        }
    )*};
}

into_command! {
    InitializeCluster RegisterBroker CreateTopics DeleteTopics CreatePartitions AlterConfigs AlterGroupConfigs
    AllocateProducerIds
}

/// Decides the command and applies what comes of it.
pub fn run(image: &mut Image, command: impl Into<Command>) -> Reply {
    let decision = decide(Timestamp(0), image, &command.into());
    for record in &decision.records {
        image.apply(record, &mut Delta::default()).unwrap();
    }
    decision.reply
}

/// A cluster named "cluster" of brokers 1 to `brokers`, with epochs to match.
pub fn cluster(brokers: i32) -> Image {
    let mut image = Image::default();
    run(&mut image, InitializeCluster { cluster_id: "cluster".to_owned(), features: [("f".to_owned(), 1)].into() });
    for id in 1..=brokers {
        run(&mut image, broker(id, 1));
    }
    image
}

/// A start of a broker, after an unclean stop if it is not the first.
pub fn broker(id: i32, incarnation: u8) -> RegisterBroker {
    RegisterBroker {
        node_id: NodeId(id),
        cluster_id: "cluster".to_owned(),
        incarnation_id: Uuid([incarnation; 16]),
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: format!("b{id}"),
            port: 9092,
            security_protocol: 0,
        }],
        rack: None,
        directories: vec![Uuid([0x80 | id as u8; 16])],
        previous_epoch: None,
    }
}

pub fn fence(image: &mut Image, id: i32) {
    let broker = image.broker(NodeId(id)).unwrap();
    let record = RegisterBrokerRecord {
        broker_id: id,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        fenced: true,
        log_dirs: broker.directories.clone(),
        ..Default::default()
    };
    image.apply(&record.into(), &mut Delta::default()).unwrap();
}

/// Its candidate id is made of its name.
pub fn new_topic(name: &str, num_partitions: i32, replication_factor: i16) -> NewTopic {
    let mut id = [b'-'; 16];
    for (to, from) in id.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    NewTopic {
        name: name.to_owned(),
        candidate_id: TopicId(Uuid(id)),
        num_partitions,
        replication_factor,
        assignments: vec![],
        configs: vec![],
    }
}

pub fn creation(topics: Vec<NewTopic>) -> CreateTopics {
    CreateTopics {
        topics,
        validate_only: false,
        defaults: TopicDefaults { num_partitions: 1, replication_factor: 1 },
        seed: 1,
    }
}

/// Creates a topic, which must succeed.
pub fn create_topic(image: &mut Image, topic: NewTopic) {
    let Reply::CreateTopics(results) = run(image, creation(vec![topic])) else { panic!() };
    results[0].1.as_ref().unwrap();
}
