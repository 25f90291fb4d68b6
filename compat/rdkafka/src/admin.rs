//! The admin client, as far as topics and their settings go.

use std::collections::BTreeMap;

use futures_executor::block_on;
use rdkafka::{
    admin::{
        AdminClient, AlterConfig, ConfigEntry, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication, TopicResult,
    },
    client::DefaultClientContext,
    consumer::Consumer,
    error::KafkaResult,
    types::RDKafkaErrorCode,
};

use crate::{
    broker::Broker,
    check::{LIMIT, same, settled},
    clients::{admin, create, options, reader, topic},
};

pub fn calls(broker: &Broker) {
    let calls = Calls { broker, admin: admin(broker) };
    let node = calls.cluster();
    calls.create_topics(node);
    calls.create_partitions(node);
    calls.configs();
    calls.delete_topics();
}

struct Calls<'a> {
    broker: &'a Broker,
    admin: AdminClient<DefaultClientContext>,
}

impl Calls<'_> {
    fn cluster(&self) -> i32 {
        let metadata = reader(self.broker, &[]).fetch_metadata(None, LIMIT).expect("Metadata");
        let brokers: Vec<_> =
            metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
        same("one broker, at its address", vec![self.broker.address.clone()], brokers);
        let cluster = self.admin.inner().fetch_cluster_id(LIMIT);
        same("a cluster id", Some(22), cluster.map(|id| id.len()));
        metadata.brokers()[0].id()
    }

    fn create_topics(&self, node: i32) {
        let dry = block_on(self.admin.create_topics(&[topic("dry", 3)], &options().validate_only(true)));
        same("validate only is answered", Ok(()), code(dry));
        same("validate only creates nothing", BTreeMap::new(), self.topics());
        let mut settings = topic("settings", 1);
        settings = settings.set("segment.ms", "1234567").set("cleanup.policy", "delete");
        create(self.broker, &[topic("ten", 10), settings, topic("a.b", 1)]);
        let replicas = [node];
        create(self.broker, &[NewTopic::new("assigned", 2, TopicReplication::Variable(&[&replicas, &replicas]))]);
        for (what, expected, new) in [
            ("an existing topic", RDKafkaErrorCode::TopicAlreadyExists, topic("ten", 1)),
            ("a name with a slash", RDKafkaErrorCode::InvalidTopic, topic("a/b", 1)),
            ("a colliding name", RDKafkaErrorCode::InvalidTopic, topic("a_b", 1)),
            ("100,000 partitions", RDKafkaErrorCode::PolicyViolation, topic("huge", 100_000)),
            (
                "three replicas on one broker",
                RDKafkaErrorCode::InvalidReplicationFactor,
                NewTopic::new("three", 1, TopicReplication::Fixed(3)),
            ),
            ("an unknown setting", RDKafkaErrorCode::InvalidConfig, topic("bad", 1).set("no.such", "1")),
            ("a bad value", RDKafkaErrorCode::InvalidConfig, topic("bad", 1).set("segment.ms", "soon")),
        ] {
            same(
                format!("refused: {what}"),
                Err(expected),
                code(block_on(self.admin.create_topics(&[new], &options()))),
            );
        }
        let expected = [("ten", 10), ("settings", 1), ("a.b", 1), ("assigned", 2)];
        settled("the topics", expected.map(|(name, count)| (name.to_owned(), count)).into(), || self.topics());

        let metadata = reader(self.broker, &[]).fetch_metadata(Some("ten"), LIMIT).expect("Metadata");
        for partition in metadata.topics()[0].partitions() {
            let seen = (partition.leader(), partition.replicas(), partition.isr());
            assert_eq!(seen, (node, &[node][..], &[node][..]), "leader, replicas and ISR of {}", partition.id());
        }
    }

    fn create_partitions(&self, node: i32) {
        let grow = |new: NewPartitions<'_>, validate_only| {
            code(block_on(self.admin.create_partitions(&[new], &options().validate_only(validate_only))))
        };
        same("validate only is answered", Ok(()), grow(NewPartitions::new("ten", 11), true));
        same("validate only adds no partition", Some(&10), self.topics().get("ten"));
        same("eleven partitions", Ok(()), grow(NewPartitions::new("ten", 11), false));
        settled("eleven partitions are there", Some(11), || self.topics().get("ten").copied());
        same("a twelfth, assigned", Ok(()), grow(NewPartitions::new("ten", 12).assign(&[&[node]]), false));
        settled("the twelfth is there", Some(12), || self.topics().get("ten").copied());
        let fewer = grow(NewPartitions::new("ten", 2), false);
        same("refused: fewer partitions", Err(RDKafkaErrorCode::InvalidPartitions), fewer);
        let nowhere = grow(NewPartitions::new("nowhere", 2), false);
        same("refused: partitions of an unknown topic", Err(RDKafkaErrorCode::UnknownTopicOrPartition), nowhere);
    }

    /// The crate has AlterConfigs alone, which replaces all settings of a topic; and it does not hand on an error that is told
    /// for a single topic.
    fn configs(&self) {
        let of = |name: &str| {
            let entry = self.settings("settings").remove(name).expect("every setting is described");
            (entry.value.unwrap_or_default(), entry.source)
        };
        let given = |value: &str, source| (value.to_owned(), source);
        same("a setting of the topic", given("1234567", ConfigSource::DynamicTopic), of("segment.ms"));
        same("a default", given("1048588", ConfigSource::Default), of("max.message.bytes"));
        let alter = |name, value| {
            let change = AlterConfig::new(ResourceSpecifier::Topic("settings")).set(name, value);
            block_on(self.admin.alter_configs(&[change], &options())).expect("AlterConfigs");
        };
        alter("max.message.bytes", "2000000");
        settled("a setting is replaced", given("2000000", ConfigSource::DynamicTopic), || of("max.message.bytes"));
        settled("and the others are gone", given("604800000", ConfigSource::Default), || of("segment.ms"));
        for (name, value) in [("segment.ms", "soon"), ("no.such", "1")] {
            alter(name, value);
            same(
                format!("{name}={value} changes nothing"),
                given("2000000", ConfigSource::DynamicTopic),
                of("max.message.bytes"),
            );
        }
        same("an unknown topic has no settings", 0, self.settings("nowhere").len());
    }

    fn delete_topics(&self) {
        let delete = |names: &[&str]| code(block_on(self.admin.delete_topics(names, &options())));
        same("a topic is deleted", Ok(()), delete(&["ten"]));
        settled("it is gone", None, || self.topics().get("ten").copied());
        same("refused: deleting it again", Err(RDKafkaErrorCode::UnknownTopicOrPartition), delete(&["ten"]));
        same("the others are deleted", Ok(()), delete(&["settings", "a.b", "assigned"]));
        settled("all topics are gone", BTreeMap::new(), || self.topics());
    }

    /// Without those that the broker made for itself.
    fn topics(&self) -> BTreeMap<String, usize> {
        let metadata = reader(self.broker, &[]).fetch_metadata(None, LIMIT).expect("Metadata");
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
    }

    fn settings(&self, topic: &str) -> BTreeMap<String, ConfigEntry> {
        let described = block_on(self.admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options()));
        let resource = described.expect("DescribeConfigs").into_iter().next().expect("an answer").expect("settings");
        resource.entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect()
    }
}

/// The first code in the answer to a call for topics.
fn code(answers: KafkaResult<Vec<TopicResult>>) -> Result<(), RDKafkaErrorCode> {
    for answer in answers.expect("an answer") {
        answer.map_err(|(_, code)| code)?;
    }
    Ok(())
}
