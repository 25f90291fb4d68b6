//! Seeded runs of random commands against a model of the cluster that is simple enough to be right: a map of topics.

use std::collections::{BTreeMap, BTreeSet};

use super::{oracle::metadata::check_epochs, random::Random};
use crate::{
    controller::{testing::*, *},
    metadata::{Delta, Image, Record, decode_batch, encode_batch},
    model::{LeaderEpoch, NodeId, PartitionIndex, Timestamp, TopicId, TopicIdPartition, Uuid},
};

/// What a topic is known to be.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    id: TopicId,
    partitions: i32,
    replication_factor: usize,
    configs: BTreeMap<String, String>,
}

const NAMES: &[&str] = &["a", "b", "a.b", "a_b", "a-b", "..", "c d", "long.name_1", "long_name.1"];
const DEFAULTS: TopicDefaults = TopicDefaults { num_partitions: 3, replication_factor: 1 };

struct Run {
    random: Random,
    image: Image,
    topics: BTreeMap<String, Known>,
    brokers: BTreeMap<i32, i64>,
    ids_seen: BTreeSet<TopicId>,
    next_producer_id: i64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut run = Run {
            random: Random::new(seed),
            image: Image::default(),
            topics: BTreeMap::new(),
            brokers: BTreeMap::new(),
            ids_seen: BTreeSet::new(),
            next_producer_id: 0,
        };
        run.decide(InitializeCluster { cluster_id: "cluster".to_owned(), features: BTreeMap::new() });
        run.start_broker();
        run
    }

    /// Decides and applies, and checks all that holds whatever the command.
    fn decide(&mut self, command: impl Into<Command>) -> Reply {
        let command = command.into();
        let decision = decide(Timestamp(0), &self.image, &command);
        assert_eq!(decision, decide(Timestamp(0), &self.image, &command), "the same arguments, another decision");

        let stored = decode_batch(&encode_batch(&decision.records).unwrap()).unwrap();
        assert_eq!(stored, decision.records);
        let before = self.image.clone();
        let before_records: Vec<Record> = before.records().collect();
        let mut delta = Delta::default();
        for record in &stored {
            self.image.apply(record, &mut delta).unwrap_or_else(|misfit| panic!("{record:?}: {misfit}"));
        }
        assert!(before.records().eq(before_records), "an older image has changed");
        check_image(&self.image);
        check_delta(&before, &self.image, &delta);
        check_epochs(&before, &self.image).unwrap();
        decision.reply
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 => self.start_broker(),
            1..=4 => self.create_topics(),
            5 | 6 => self.delete_topics(),
            7 | 8 => self.create_partitions(),
            9 | 10 => self.alter_configs(),
            _ => self.allocate_producer_ids(),
        }
        let found: BTreeMap<String, Known> = self
            .image
            .topics()
            .map(|topic| {
                let configs = topic.configs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let known = Known {
                    id: topic.id(),
                    partitions: topic.partition_count(),
                    replication_factor: topic.replication_factor(),
                    configs,
                };
                (topic.name().to_string(), known)
            })
            .collect();
        assert_eq!(found, self.topics);
    }

    fn start_broker(&mut self) {
        let id = 1 + self.random.below(4) as i32;
        let previous_epoch = self.brokers.get(&id).copied().filter(|_| self.random.one_in(2));
        let incarnation_id = self.random.uuid();
        let reply = self.decide(RegisterBroker { previous_epoch, incarnation_id, ..broker(id, 0) });
        let Reply::RegisterBroker(Ok(BrokerRegistered { epoch })) = reply else { panic!("{reply:?}") };
        assert!(self.brokers.values().all(|older| *older < epoch));
        self.brokers.insert(id, epoch);
    }

    fn create_topics(&mut self) {
        let validate_only = self.random.one_in(5);
        let topics: Vec<NewTopic> = (0..self.random.below(4))
            .map(|_| {
                let assignments = if self.random.one_in(4) {
                    let node = |random: &mut Random| NodeId(1 + random.below(5) as i32);
                    (0..2).map(|index| (index, vec![node(&mut self.random)])).collect()
                } else {
                    vec![]
                };
                let counts = if assignments.is_empty() {
                    (self.random.pick(&[-2, -1, 0, 1, 2, 5]), self.random.pick(&[-1, 0, 1, 1, 2, 3]))
                } else {
                    (-1, -1)
                };
                let configs = match self.random.below(4) {
                    0 => vec![("segment.ms".to_owned(), Some("60000".to_owned()))],
                    1 => vec![("nonsense".to_owned(), Some("1".to_owned()))],
                    _ => vec![],
                };
                NewTopic {
                    name: self.random.pick(NAMES).to_owned(),
                    candidate_id: TopicId(self.random.uuid()),
                    num_partitions: counts.0,
                    replication_factor: counts.1,
                    assignments,
                    configs,
                }
            })
            .collect();
        let command = CreateTopics {
            topics: topics.clone(),
            validate_only,
            defaults: DEFAULTS,
            seed: self.random.clone().next(),
        };
        let Reply::CreateTopics(results) = self.decide(command) else { panic!() };

        let mut then = self.topics.clone();
        for topic in &topics {
            let result = &results.iter().find(|(name, _)| *name == topic.name).unwrap().1;
            let expected = self.expect_created(&then, &topics, topic);
            assert_eq!(result.is_ok(), expected.is_some(), "{topic:?}: {result:?}");
            if let (Ok(created), Some(known)) = (result, expected) {
                assert_eq!(
                    (created.id, created.num_partitions, created.replication_factor as usize, &created.configs),
                    (known.id, known.partitions, known.replication_factor, &known.configs)
                );
                then.insert(topic.name.clone(), known);
            }
        }
        if !validate_only {
            for known in then.values().filter(|known| self.topics.values().all(|older| older.id != known.id)) {
                assert!(self.ids_seen.insert(known.id), "a topic id came back");
            }
            self.topics = then;
        }
    }

    fn expect_created(&self, then: &BTreeMap<String, Known>, all: &[NewTopic], topic: &NewTopic) -> Option<Known> {
        let unified = |name: &str| name.replace('.', "_");
        let name_is_free = then.keys().all(|name| unified(name) != unified(&topic.name));
        let is_single = all.iter().filter(|other| other.name == topic.name).count() == 1;
        let is_valid = !topic.name.contains(' ') && topic.name != "..";
        let configs_are_valid = topic.configs.iter().all(|(name, _)| name == "segment.ms");
        let (partitions, replication_factor) = if topic.assignments.is_empty() {
            let or_default = |given: i32, default: i32| if given == -1 { default } else { given };
            (
                or_default(topic.num_partitions, DEFAULTS.num_partitions),
                or_default(topic.replication_factor.into(), DEFAULTS.replication_factor.into()),
            )
        } else {
            let registered =
                topic.assignments.iter().flat_map(|(_, ids)| ids).all(|id| self.brokers.contains_key(&id.0));
            (topic.assignments.len() as i32, i32::from(registered))
        };
        let fits = partitions > 0 && replication_factor > 0 && replication_factor as usize <= self.brokers.len();
        (name_is_free && is_single && is_valid && configs_are_valid && fits).then(|| Known {
            id: topic.candidate_id,
            partitions,
            replication_factor: replication_factor as usize,
            configs: topic.configs.iter().map(|(name, value)| (name.clone(), value.clone().unwrap())).collect(),
        })
    }

    fn delete_topics(&mut self) {
        let topics: Vec<TopicRef> = (0..self.random.below(3))
            .map(|_| {
                let name = self.random.pick(NAMES);
                match self.topics.get(name) {
                    Some(known) if self.random.one_in(2) => TopicRef { name: None, id: known.id },
                    _ => TopicRef { name: Some(name.to_owned()), id: TopicId(Uuid::ZERO) },
                }
            })
            .collect();
        let Reply::DeleteTopics(results) = self.decide(DeleteTopics { topics: topics.clone() }) else { panic!() };

        let name_of = |topic: &TopicRef| {
            let by_id = self.topics.iter().find(|(_, known)| known.id == topic.id).map(|(name, _)| name.clone());
            topic.name.clone().or(by_id).unwrap()
        };
        let names: Vec<String> = topics.iter().map(name_of).collect();
        let deleted: BTreeSet<String> =
            results.iter().filter(|result| result.result.is_ok()).map(|result| result.name.clone().unwrap()).collect();
        for name in NAMES.iter().map(|name| name.to_string()) {
            let asked_once = names.iter().filter(|other| **other == name).count() == 1;
            assert_eq!(deleted.contains(&name), asked_once && self.topics.contains_key(&name), "{name}: {results:?}");
        }
        self.topics.retain(|name, _| !deleted.contains(name));
    }

    fn create_partitions(&mut self) {
        let topic = self.random.pick(NAMES).to_owned();
        let count = 1 + self.random.below(8) as i32;
        let validate_only = self.random.one_in(5);
        let seed = self.random.clone().next();
        let topics = vec![NewPartitions { topic: topic.clone(), count, assignments: None }];
        let Reply::CreatePartitions(results) = self.decide(CreatePartitions { topics, validate_only, seed }) else {
            panic!()
        };
        match self.topics.get_mut(&topic).filter(|known| count > known.partitions) {
            Some(known) => {
                assert_eq!(results, [(topic, Ok(()))]);
                known.partitions = if validate_only { known.partitions } else { count };
            }
            None => assert!(results[0].1.is_err(), "{topic} {count}: {results:?}"),
        }
    }

    fn alter_configs(&mut self) {
        let topic = self.random.pick(NAMES).to_owned();
        let name = self.random.pick(&["segment.ms", "max.message.bytes", "nonsense"]).to_owned();
        let value = self.random.pick(&["1000", "2000", "many"]).to_owned();
        let op = self.random.pick(&[ConfigOp::Set, ConfigOp::Set, ConfigOp::Delete]);
        let changes = vec![ConfigChange { name: name.clone(), op, value: Some(value.clone()) }];
        let replaces_all = value == "2000";
        let topics = vec![TopicConfigChanges { topic: topic.clone(), changes, replaces_all }];
        let Reply::AlterConfigs(results) = self.decide(AlterConfigs { topics, validate_only: false }) else { panic!() };
        let is_valid = op == ConfigOp::Delete || name != "nonsense" && value != "many";
        if let Some(known) = self.topics.get_mut(&topic).filter(|_| is_valid && replaces_all) {
            known.configs.retain(|other, _| *other == name);
        }
        match self.topics.get_mut(&topic).filter(|_| is_valid) {
            Some(known) if op == ConfigOp::Set => {
                assert_eq!(results[0].1, Ok(()));
                known.configs.insert(name, value);
            }
            Some(known) => {
                assert_eq!(results[0].1, Ok(()));
                known.configs.remove(&name);
            }
            None => assert!(results[0].1.is_err(), "{results:?}"),
        }
    }

    fn allocate_producer_ids(&mut self) {
        let node = 1 + self.random.below(5) as i32;
        let epoch = self.brokers.get(&node).copied().unwrap_or(0);
        let reply = self.decide(AllocateProducerIds { node_id: NodeId(node), broker_epoch: epoch });
        let Reply::AllocateProducerIds(result) = reply else { panic!() };
        assert_eq!(result.is_ok(), self.brokers.contains_key(&node));
        if let Ok(block) = result {
            assert_eq!((block.first.0, block.len), (self.next_producer_id, 1000));
            self.next_producer_id += 1000;
        }
    }
}

/// A snapshot makes the image again, and its parts agree.
fn check_image(image: &Image) {
    let records: Vec<Record> = image.records().collect();
    let mut again = Image::default();
    for record in &decode_batch(&encode_batch(&records).unwrap()).unwrap() {
        again.apply(record, &mut Delta::default()).unwrap();
    }
    assert_eq!(again, *image);

    let mut partitions = 0;
    let mut names = Vec::new();
    for topic in image.topics() {
        names.push(topic.name().clone());
        partitions += topic.partitions().count();
        assert_eq!(image.topic_by_id(topic.id()), Some(topic));
        assert_eq!(image.topic(topic.name()), Some(topic));
        for (_, partition) in topic.partitions() {
            assert!(partition.isr.contains(&partition.leader), "{partition:?}");
            assert!(partition.isr.iter().all(|id| partition.replicas.contains(id)), "{partition:?}");
            assert_eq!(partition.replicas.len(), topic.replication_factor());
        }
    }
    assert_eq!(partitions, image.partition_count());
    assert_eq!(names.len(), image.topic_count());
    assert!(names.is_sorted());
    for first in NAMES {
        let from: Vec<_> = image.topics_from(first).map(|topic| topic.name().clone()).collect();
        assert!(names.iter().filter(|name| ***name >= **first).eq(&from));
    }
}

/// The delta names all that differs.
fn check_delta(before: &Image, after: &Image, delta: &Delta) {
    let ids = |image: &Image| image.topics().map(|topic| topic.id()).collect::<BTreeSet<_>>();
    let (old, new) = (ids(before), ids(after));
    assert!(delta.topics_created.iter().eq(new.difference(&old)));
    assert!(delta.topics_deleted.keys().eq(old.difference(&new)));
    for (id, deleted) in &delta.topics_deleted {
        let topic = before.topic_by_id(*id).unwrap();
        assert_eq!((&deleted.name, deleted.partitions), (topic.name(), topic.partition_count()));
    }
    for topic in after.topics() {
        let older = before.topic_by_id(topic.id());
        for (partition, state) in topic.partitions() {
            let at = TopicIdPartition { topic_id: topic.id(), partition };
            assert_eq!(delta.partitions.contains(&at), before.partition(at) != Some(state), "{at:?}");
        }
        let configs_differ =
            older.map_or(topic.configs().next().is_some(), |older| !older.configs().eq(topic.configs()));
        assert_eq!(delta.topic_configs.contains(&topic.id()), configs_differ);
    }
    assert!(delta.partitions.iter().all(|at| after.partition(*at).is_some()));
    for broker in after.brokers() {
        assert_eq!(delta.brokers.contains(&broker.id), before.broker(broker.id) != Some(broker));
    }
    assert_eq!(delta.producer_ids, before.next_producer_id() != after.next_producer_id());
    assert_eq!(delta.cluster, before.cluster_id() != after.cluster_id());
}

#[test]
fn random_commands_do_what_the_model_does() {
    let mut topics = 0;
    let mut epochs = LeaderEpoch(0);
    for seed in 0..100 {
        let mut run = Run::new(seed);
        for _ in 0..60 {
            run.step();
            topics = topics.max(run.image.topic_count());
        }
        for topic in run.image.topics() {
            epochs = epochs.max(topic.partition(PartitionIndex(0)).unwrap().leader_epoch);
        }
    }
    // Else the runs did not come far enough to say anything.
    assert!(topics >= 4 && epochs >= LeaderEpoch(3), "{topics} topics, {epochs:?}");
}
