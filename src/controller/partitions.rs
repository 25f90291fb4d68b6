//! New partitions, of new topics and of those that grow.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    CreatePartitions, Decision, NewPartitions, Reason, Refusal, Reply,
    draft::{Draft, is_active},
    placement::Placer,
    topics::repeated,
};
use crate::{
    metadata::{Image, Partition, Record},
    model::{LeaderEpoch, NodeId, PartitionIndex, Uuid},
};

/// CreatePartitions. Each topic stands for itself: another's refusal does not concern it.
pub(super) fn create(image: &Image, command: &CreatePartitions) -> Decision {
    let repeated = repeated(command.topics.iter().map(|new| &*new.topic));
    let mut draft = Draft::new(image);
    let mut placer = Placer::new(command.seed);
    let mut results = Vec::new();
    for &name in &repeated {
        results.push((name.to_owned(), Err(Refusal::new(Reason::InvalidRequest, "Duplicate topic name."))));
    }
    for new in command.topics.iter().filter(|new| !repeated.contains(&*new.topic)) {
        let result = added(&draft, &mut placer, new).and_then(|records| draft.add(records));
        results.push((new.topic.clone(), result));
    }
    Decision { records: draft.finish(command.validate_only), reply: Reply::CreatePartitions(results) }
}

/// The records that raise a topic's number of partitions.
fn added(draft: &Draft, placer: &mut Placer, new: &NewPartitions) -> Result<Vec<Record>, Refusal> {
    let image = draft.image();
    let topic = image.topic(&new.topic).ok_or(Refusal::wordless(Reason::UnknownTopicOrPartition))?;
    let current = topic.partition_count();
    if new.count == current {
        return Err(Refusal::new(Reason::InvalidPartitions, format!("Topic already has {current} partition(s).")));
    }
    let more = match usize::try_from(i64::from(new.count) - i64::from(current)) {
        Ok(more) => more,
        Err(_) => {
            return Err(Refusal::new(
                Reason::InvalidPartitions,
                format!(
                    "The topic {} currently has {current} partition(s); {} would not be an increase.",
                    new.topic, new.count
                ),
            ));
        }
    };
    if let Some(assignments) = &new.assignments
        && assignments.len() != more
    {
        return Err(Refusal::new(
            Reason::InvalidReplicaAssignment,
            format!(
                "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            ),
        ));
    }
    // Kafka places them all before it counts.
    if more > draft.room() {
        return Err(Refusal::too_large());
    }
    let replication_factor = topic.replication_factor();
    let partitions = match &new.assignments {
        Some(assignments) => {
            let assigned = (current..).zip(assignments);
            let assigned = assigned.map(|(index, replicas)| manual(image, index, replicas, Some(replication_factor)));
            assigned.collect::<Result<Vec<_>, Refusal>>()?
        }
        None => {
            let replication_factor = i16::try_from(replication_factor).unwrap_or(i16::MAX);
            let refused = |message| Refusal::new(Reason::InvalidReplicationFactor, message);
            placed(image, placer, more, replication_factor, refused)?
        }
    };
    let indexes = (current..).map(PartitionIndex);
    Ok(indexes.zip(&partitions).map(|(index, partition)| partition.record(topic.id(), index).into()).collect())
}

/// New partitions, placed by the controller. `refused` puts the placer's reason into words.
pub(super) fn placed(
    image: &Image,
    placer: &mut Placer,
    partitions: usize,
    replication_factor: i16,
    refused: impl FnOnce(String) -> Refusal,
) -> Result<Vec<Partition>, Refusal> {
    let placed = match placer.place(image, partitions, replication_factor) {
        Ok(placed) => placed,
        Err(message) => return Err(refused(message)),
    };
    // The placer lets none but an unfenced broker lead, so each has an in-sync replica.
    Ok(placed.iter().filter_map(|replicas| new_partition(image, replicas)).collect())
}

/// A new partition whose replicas the client chose.
pub(super) fn manual(
    image: &Image,
    index: i32,
    replicas: &[NodeId],
    replication_factor: Option<usize>,
) -> Result<Partition, Refusal> {
    let refused = |message: String| Refusal::new(Reason::InvalidReplicaAssignment, message);
    if replicas.is_empty() {
        return Err(refused("The manual partition assignment includes an empty replica list.".to_owned()));
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut seen = BTreeSet::new();
    for id in sorted {
        if image.broker(id).is_none() {
            return Err(refused(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            )));
        }
        if !seen.insert(id) {
            return Err(refused(format!("The manual partition assignment includes the broker {id} more than once.")));
        }
    }
    if let Some(expected) = replication_factor
        && replicas.len() != expected
    {
        return Err(refused(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
             previous partitions, which have {expected} replica(s).",
            replicas.len()
        )));
    }
    new_partition(image, replicas).ok_or_else(|| {
        refused(format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
             controlled shutdown."
        ))
    })
}

/// A partition that begins on these replicas: the active ones are in sync, and the first of those leads. None where none
/// is active.
fn new_partition(image: &Image, replicas: &[NodeId]) -> Option<Partition> {
    let replicas: Arc<[NodeId]> = replicas.into();
    let isr: Arc<[NodeId]> = if replicas.iter().all(|id| is_active(image, *id)) {
        replicas.clone()
    } else {
        replicas.iter().copied().filter(|id| is_active(image, *id)).collect()
    };
    Some(Partition {
        leader: *isr.first()?,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        directories: replicas.iter().map(|id| directory(image, *id)).collect(),
        replicas,
        isr,
        elr: Arc::new([]),
    })
}

/// Where a broker with one log directory puts a replica. One with several says so itself later.
fn directory(image: &Image, id: NodeId) -> Uuid {
    match image.broker(id).map(|broker| &*broker.directories) {
        Some([only]) => *only,
        _ => Uuid::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    fn grow(topic: &str, count: i32, assignments: Option<&[&[i32]]>) -> NewPartitions {
        let nodes = |ids: &&[i32]| ids.iter().copied().map(NodeId).collect();
        NewPartitions {
            topic: topic.to_owned(),
            count,
            assignments: assignments.map(|assignments| assignments.iter().map(nodes).collect()),
        }
    }

    fn grown(image: &mut Image, topics: Vec<NewPartitions>) -> Vec<(String, Result<(), Refusal>)> {
        let command = CreatePartitions { topics, validate_only: false, seed: 7 };
        match run(image, command) {
            Reply::CreatePartitions(results) => results,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals_are_kafkas() {
        let mut image = cluster(3);
        create_topic(&mut image, new_topic("t", 2, 2));
        let before = image.clone();
        let message = |reason, text: &str| Refusal::new(reason, text);
        for (new, refusal) in [
            (grow("nope", 3, None), Refusal::wordless(Reason::UnknownTopicOrPartition)),
            (grow("t", 2, None), message(Reason::InvalidPartitions, "Topic already has 2 partition(s).")),
            (
                grow("t", 1, None),
                message(
                    Reason::InvalidPartitions,
                    "The topic t currently has 2 partition(s); 1 would not be an increase.",
                ),
            ),
            (
                grow("t", i32::MIN, None),
                message(
                    Reason::InvalidPartitions,
                    "The topic t currently has 2 partition(s); -2147483648 would not be an increase.",
                ),
            ),
            (
                grow("t", 4, Some(&[&[1, 2]])),
                message(
                    Reason::InvalidReplicaAssignment,
                    "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
                ),
            ),
            (
                grow("t", 3, Some(&[&[1]])),
                message(
                    Reason::InvalidReplicaAssignment,
                    "The manual partition assignment includes a partition with 1 replica(s), but this is not \
                     consistent with previous partitions, which have 2 replica(s).",
                ),
            ),
            (grow("t", 10_003, None), Refusal::too_large()),
            (grow("t", i32::MAX, None), Refusal::too_large()),
        ] {
            let results = grown(&mut image, vec![new.clone()]);
            assert_eq!(results, [(new.topic.clone(), Err(refusal))], "{new:?}");
            assert_eq!(image, before);
        }
    }

    #[test]
    fn topics_stand_for_themselves() {
        let mut image = cluster(3);
        for name in ["a", "b", "c"] {
            create_topic(&mut image, new_topic(name, 1, 1));
        }
        let mut results = grown(
            &mut image,
            vec![
                grow("a", 3, Some(&[&[2], &[3]])),
                grow("b", 4, None),
                grow("b", 5, None),
                grow("c", 1, None),
                grow("missing", 2, None),
            ],
        );
        results.sort_by(|a, b| a.0.cmp(&b.0));
        let outcomes: Vec<_> =
            results.iter().map(|(_, result)| result.as_ref().map_err(|refusal| refusal.reason)).collect();
        assert_eq!(
            outcomes,
            [
                Ok(&()),
                Err(Reason::InvalidRequest),
                Err(Reason::InvalidPartitions),
                Err(Reason::UnknownTopicOrPartition)
            ]
        );
        let a = image.topic("a").unwrap();
        let leaders: Vec<_> = a.partitions().skip(1).map(|(_, partition)| partition.leader).collect();
        assert_eq!((a.partition_count(), leaders), (3, vec![NodeId(2), NodeId(3)]));
        assert_eq!(image.topic("b").unwrap().partition_count(), 1);
    }

    #[test]
    fn validate_only_changes_nothing() {
        let mut image = cluster(1);
        create_topic(&mut image, new_topic("t", 1, 1));
        let before = image.clone();
        let command = CreatePartitions { topics: vec![grow("t", 9, None)], validate_only: true, seed: 0 };
        assert_eq!(run(&mut image, command), Reply::CreatePartitions(vec![("t".to_owned(), Ok(()))]));
        assert_eq!(image, before);
    }
}
