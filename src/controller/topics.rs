//! New topics.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CreateTopics, Decision, MAX_RECORDS, NewTopic, Reason, Refusal, Reply, TopicCreated, TopicDefaults, configs,
    draft::Draft, partitions, placement::Placer, topic_name::validate_topic_name,
};
use crate::{
    metadata::{ConfigRecord, Image, Partition, Record, TOPIC_RESOURCE, TopicRecord},
    model::PartitionIndex,
};

/// Kafka keeps its metadata in a topic of this name; clients know it as nobody's to create.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// CreateTopics. Each topic stands for itself, and sees those before it; only what is too large as a whole is refused as
/// a whole. (Kafka compares names with existing topics alone, and so creates `a.b` and `a_b` in one request.)
pub(super) fn create(image: &Image, command: &CreateTopics) -> Decision {
    let mut draft = Draft::new(image);
    match create_each(&mut draft, command) {
        Ok(results) => Decision { records: draft.finish(command.validate_only), reply: Reply::CreateTopics(results) },
        Err(refusal) => {
            let refused = |topic: &NewTopic| (topic.name.clone(), Err(refusal.clone()));
            Decision { records: vec![], reply: Reply::CreateTopics(command.topics.iter().map(refused).collect()) }
        }
    }
}

type CreateResult = (String, Result<TopicCreated, Refusal>);

fn create_each(draft: &mut Draft, command: &CreateTopics) -> Result<Vec<CreateResult>, Refusal> {
    let repeated = repeated(command.topics.iter().map(|topic| &*topic.name));
    let allowed = |topic: &&NewTopic| !repeated.contains(&*topic.name) && topic.name != CLUSTER_METADATA;
    let wanted: i64 =
        command.topics.iter().filter(allowed).map(|topic| partitions_wanted(topic, command.defaults)).sum();
    if wanted > MAX_RECORDS as i64 {
        return Err(Refusal::new(Reason::PolicyViolation, "Excessively large number of partitions per request."));
    }
    let mut placer = Placer::new(command.seed);
    let mut results = Vec::new();
    for topic in command.topics.iter().filter(allowed) {
        let result = match created(draft.image(), &mut placer, topic, command.defaults) {
            Ok((records, created)) => {
                draft.add(records)?;
                Ok(created)
            }
            Err(refusal) => Err(refusal),
        };
        results.push((topic.name.clone(), result));
    }
    for &name in &repeated {
        results.push((name.to_owned(), Err(Refusal::new(Reason::InvalidRequest, "Duplicate topic name."))));
    }
    if !repeated.contains(CLUSTER_METADATA) && command.topics.iter().any(|topic| topic.name == CLUSTER_METADATA) {
        let message = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
        results.push((CLUSTER_METADATA.to_owned(), Err(Refusal::new(Reason::InvalidRequest, message))));
    }
    Ok(results)
}

fn partitions_wanted(topic: &NewTopic, defaults: TopicDefaults) -> i64 {
    match topic.num_partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len() as i64,
        -1 => defaults.num_partitions.into(),
        partitions => i64::from(partitions).max(0),
    }
}

/// The records that make a topic, settings before partitions.
fn created(
    image: &Image,
    placer: &mut Placer,
    topic: &NewTopic,
    defaults: TopicDefaults,
) -> Result<(Vec<Record>, TopicCreated), Refusal> {
    check_name(image, topic)?;
    let configs = configs::of_new_topic(&topic.configs)?;
    let partitions =
        if topic.assignments.is_empty() { placed(image, placer, topic, defaults)? } else { assigned(image, topic)? };

    let id = topic.candidate_id;
    if image.topic_by_id(id).is_some() {
        return Err(Refusal::new(Reason::UnknownServerError, format!("Topic id {id} is in use already.")));
    }
    let created = TopicCreated {
        id,
        num_partitions: partitions.len() as i32,
        replication_factor: partitions.first().map_or(0, |first| first.replicas.len() as i16),
        configs,
    };
    let mut records = Vec::with_capacity(1 + created.configs.len() + partitions.len());
    records.push(TopicRecord { name: topic.name.clone(), topic_id: id.0, ..TopicRecord::default() }.into());
    records.extend(created.configs.iter().map(|(name, value)| {
        Record::from(ConfigRecord {
            resource_type: TOPIC_RESOURCE,
            resource_name: topic.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
            ..ConfigRecord::default()
        })
    }));
    let indexes = (0..).map(PartitionIndex);
    records.extend(indexes.zip(&partitions).map(|(index, partition)| Record::from(partition.record(id, index))));
    Ok((records, created))
}

fn check_name(image: &Image, topic: &NewTopic) -> Result<(), Refusal> {
    let name = &*topic.name;
    if image.topic(name).is_some() {
        return Err(Refusal::new(Reason::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    if let Some(other) = image.colliding_topic(name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(Refusal::new(Reason::InvalidTopic, message));
    }
    validate_topic_name(name).map_err(|message| Refusal::new(Reason::InvalidTopic, message))
}

fn placed(
    image: &Image,
    placer: &mut Placer,
    topic: &NewTopic,
    defaults: TopicDefaults,
) -> Result<Vec<Partition>, Refusal> {
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        return Err(Refusal::new(
            Reason::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    let partitions = if topic.num_partitions == -1 { defaults.num_partitions } else { topic.num_partitions };
    let partitions = match usize::try_from(partitions) {
        Ok(partitions) if partitions > 0 => partitions,
        _ => {
            return Err(Refusal::new(
                Reason::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
    };
    let replication_factor =
        if topic.replication_factor == -1 { defaults.replication_factor } else { topic.replication_factor };
    partitions::placed(image, placer, partitions, replication_factor, |message| {
        Refusal::new(
            Reason::InvalidReplicationFactor,
            format!("Unable to replicate the partition {replication_factor} time(s): {message}"),
        )
    })
}

fn assigned(image: &Image, topic: &NewTopic) -> Result<Vec<Partition>, Refusal> {
    let invalid = |message: &str| Refusal::new(Reason::InvalidRequest, message);
    if topic.replication_factor != -1 {
        return Err(invalid("A manual partition assignment was specified, but replication factor was not set to -1."));
    }
    if topic.num_partitions != -1 {
        return Err(invalid("A manual partition assignment was specified, but numPartitions was not set to -1."));
    }
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut replication_factor = None;
    for (index, replicas) in &topic.assignments {
        if partitions.contains_key(index) {
            return Err(Refusal::new(
                Reason::InvalidReplicaAssignment,
                format!("Found multiple manual partition assignments for partition {index}"),
            ));
        }
        partitions.insert(*index, partitions::manual(image, *index, replicas, replication_factor)?);
        replication_factor = Some(replicas.len());
    }
    if !partitions.keys().copied().eq(0..partitions.len() as i32) {
        return Err(Refusal::new(
            Reason::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ));
    }
    Ok(partitions.into_values().collect())
}

/// What comes more than once.
pub(super) fn repeated<T: Ord + Copy>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(*item)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::model::NodeId;

    fn assigned_topic(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
        NewTopic {
            assignments: assignments.iter().map(|(index, ids)| (*index, nodes(ids))).collect(),
            ..new_topic(name, -1, -1)
        }
    }

    fn refusal(image: &Image, topic: NewTopic) -> (Reason, String) {
        let decision = create(image, &creation(vec![topic]));
        assert_eq!(decision.records, []);
        let Reply::CreateTopics(results) = decision.reply else { panic!("{:?}", decision.reply) };
        let [(_, Err(refusal))] = &*results else { panic!("{results:?}") };
        (refusal.reason, refusal.message.clone().unwrap())
    }

    #[test]
    fn a_topic_gets_what_was_asked_or_the_defaults() {
        let mut image = cluster(3);
        for (partitions, replicas, expected) in [(6, 2, (6, 2)), (-1, 1, (4, 1)), (2, -1, (2, 3)), (-1, -1, (4, 3))] {
            let name = format!("t{partitions}.{replicas}");
            let command = CreateTopics {
                defaults: TopicDefaults { num_partitions: 4, replication_factor: 3 },
                ..creation(vec![new_topic(&name, partitions, replicas)])
            };
            let Reply::CreateTopics(results) = run(&mut image, command) else { panic!() };
            let created = results[0].1.as_ref().unwrap();
            assert_eq!((created.num_partitions, created.replication_factor), expected);
            let topic = image.topic(&name).unwrap();
            assert_eq!((topic.partition_count(), topic.replication_factor()), (expected.0, expected.1 as usize));
            assert_eq!(topic.id(), created.id);
            for (_, partition) in topic.partitions() {
                assert_eq!((partition.leader, partition.leader_epoch.0), (partition.replicas[0], 0));
                assert_eq!(partition.isr, partition.replicas);
                assert!(partition.directories.iter().all(|directory| !directory.is_zero()));
            }
        }
    }

    #[test]
    fn an_assignment_is_obeyed() {
        let mut image = cluster(3);
        create_topic(&mut image, assigned_topic("t", &[(1, &[2, 3]), (0, &[3, 1])]));
        let topic = image.topic("t").unwrap();
        let replicas: Vec<Vec<i32>> =
            topic.partitions().map(|(_, partition)| partition.replicas.iter().map(|id| id.0).collect()).collect();
        assert_eq!(replicas, [[3, 1], [2, 3]]);
    }

    #[test]
    fn refusals_are_kafkas() {
        let mut image = cluster(2);
        create_topic(&mut image, new_topic("a.b", 1, 1));
        create_topic(&mut image, new_topic("plain", 1, 1));
        let configured = |configs: &[(&str, Option<&str>)]| NewTopic {
            configs: configs.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned))).collect(),
            ..new_topic("c", 1, 1)
        };
        for (topic, reason, message) in [
            (new_topic("a.b", 1, 1), Reason::TopicAlreadyExists, "Topic 'a.b' already exists."),
            (new_topic("a_b", 1, 1), Reason::InvalidTopic, "Topic 'a_b' collides with existing topic: a.b"),
            (new_topic("", 1, 1), Reason::InvalidTopic, "Topic name is invalid: the empty string is not allowed"),
            (
                new_topic("t", 1, 0),
                Reason::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ),
            (
                new_topic("t", 0, 1),
                Reason::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ),
            (
                new_topic("t", -2, -2),
                Reason::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ),
            (
                new_topic("t", 1, 3),
                Reason::InvalidReplicationFactor,
                "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
                 because only 2 broker(s) are registered or some brokers have all their log directories cordoned.",
            ),
            (new_topic("t", 10_001, 1), Reason::PolicyViolation, "Excessively large number of partitions per request."),
            (
                new_topic("t", 10_000, 1),
                Reason::PolicyViolation,
                "Unable to perform excessively large batch operation.",
            ),
            (
                NewTopic { num_partitions: 1, ..assigned_topic("t", &[(0, &[1])]) },
                Reason::InvalidRequest,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            ),
            (
                NewTopic { replication_factor: 1, ..assigned_topic("t", &[(0, &[1])]) },
                Reason::InvalidRequest,
                "A manual partition assignment was specified, but replication factor was not set to -1.",
            ),
            (
                assigned_topic("t", &[(0, &[1]), (0, &[2])]),
                Reason::InvalidReplicaAssignment,
                "Found multiple manual partition assignments for partition 0",
            ),
            (
                assigned_topic("t", &[(0, &[1]), (2, &[2])]),
                Reason::InvalidReplicaAssignment,
                "partitions should be a consecutive 0-based integer sequence",
            ),
            (
                assigned_topic("t", &[(0, &[])]),
                Reason::InvalidReplicaAssignment,
                "The manual partition assignment includes an empty replica list.",
            ),
            (
                assigned_topic("t", &[(0, &[1, 9])]),
                Reason::InvalidReplicaAssignment,
                "The manual partition assignment includes broker 9, but no such broker is registered.",
            ),
            (
                assigned_topic("t", &[(0, &[1, 2, 1])]),
                Reason::InvalidReplicaAssignment,
                "The manual partition assignment includes the broker 1 more than once.",
            ),
            (
                assigned_topic("t", &[(0, &[1, 2]), (1, &[1])]),
                Reason::InvalidReplicaAssignment,
                "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent \
                 with previous partitions, which have 2 replica(s).",
            ),
            (
                new_topic(CLUSTER_METADATA, 1, 1),
                Reason::InvalidRequest,
                "Creation of internal topic __cluster_metadata is prohibited.",
            ),
            (
                configured(&[("segment.ms", None), ("segment.bytes", None)]),
                Reason::InvalidConfig,
                "Null value not supported for topic configs: segment.ms,segment.bytes",
            ),
            (configured(&[("nope", Some("1"))]), Reason::InvalidConfig, "Unknown topic config name: nope"),
            (
                configured(&[("segment.ms", Some("soon"))]),
                Reason::InvalidConfig,
                "Invalid value soon for configuration segment.ms: Not a number of type LONG",
            ),
        ] {
            assert_eq!(refusal(&image, topic.clone()), (reason, message.to_owned()), "{topic:?}");
        }
        fence(&mut image, 1);
        fence(&mut image, 2);
        assert_eq!(
            refusal(&image, assigned_topic("t", &[(0, &[1, 2])])),
            (
                Reason::InvalidReplicaAssignment,
                "All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled \
                 shutdown."
                    .to_owned()
            )
        );
        assert_eq!(
            refusal(&image, new_topic("t", 1, 1)),
            (
                Reason::InvalidReplicationFactor,
                "Unable to replicate the partition 1 time(s): All brokers are currently fenced, or have all their log \
                 directories cordoned."
                    .to_owned()
            )
        );
    }

    #[test]
    fn topics_of_one_request_stand_for_themselves() {
        let mut image = cluster(1);
        let command = creation(vec![
            new_topic("good", 2, 1),
            new_topic("twice", 1, 1),
            new_topic("bad name", 1, 1),
            new_topic("twice", 1, 1),
            new_topic("x.y", 1, 1),
            new_topic("x_y", 1, 1),
        ]);
        let Reply::CreateTopics(mut results) = run(&mut image, command) else { panic!() };
        results.sort_by(|a, b| a.0.cmp(&b.0));
        let results: Vec<_> = results
            .iter()
            .map(|(name, result)| (&**name, result.as_ref().map(|_| ()).map_err(|refusal| refusal.reason)))
            .collect();
        assert_eq!(
            results,
            [
                ("bad name", Err(Reason::InvalidTopic)),
                ("good", Ok(())),
                ("twice", Err(Reason::InvalidRequest)),
                ("x.y", Ok(())),
                ("x_y", Err(Reason::InvalidTopic)),
            ]
        );
        assert_eq!(image.topics().map(|topic| &**topic.name()).collect::<Vec<_>>(), ["good", "x.y"]);
    }

    #[test]
    fn what_is_too_large_is_refused_whole() {
        let image = cluster(1);
        for topics in [
            vec![new_topic("a", 5_000, 1), new_topic("b", 5_000, 1)],
            vec![new_topic("a", i32::MAX, 1), new_topic("b", i32::MAX, 1), new_topic("ok", 1, 1)],
        ] {
            let decision = create(&image, &creation(topics));
            assert_eq!(decision.records, []);
            let Reply::CreateTopics(results) = decision.reply else { panic!() };
            assert!(results.iter().all(|(_, r)| r.as_ref().is_err_and(|r| r.reason == Reason::PolicyViolation)));
        }
        let decision = create(&image, &creation(vec![new_topic("a", 9_999, 1)]));
        assert_eq!(decision.records.len(), MAX_RECORDS);
    }

    #[test]
    fn validate_only_answers_as_if() {
        let image = cluster(1);
        let real = creation(vec![new_topic("a", 1, 1), new_topic("..", 1, 1)]);
        let check = CreateTopics { validate_only: true, ..real.clone() };
        let (real, check) = (create(&image, &real), create(&image, &check));
        assert_eq!(real.reply, check.reply);
        assert_eq!((real.records.len(), check.records.len()), (2, 0));
    }
}
