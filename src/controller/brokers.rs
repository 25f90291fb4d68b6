//! The cluster's beginning, and brokers that start.

use std::collections::BTreeSet;

use super::{
    BrokerRegistered, ClusterInitialized, Decision, InitializeCluster, Reason, Refusal, RegisterBroker, Reply,
    draft::is_active,
};
use crate::{
    metadata::{
        BrokerEndpoint, ClusterRecord, FeatureLevelRecord, Image, NO_LEADER, Partition, PartitionChangeRecord, Record,
        RegisterBrokerRecord,
    },
    model::{NodeId, Uuid},
};

pub(super) fn initialize_cluster(image: &Image, command: &InitializeCluster) -> Decision {
    let (records, result) = match image.cluster_id() {
        None => {
            let cluster = ClusterRecord { cluster_id: command.cluster_id.clone(), ..ClusterRecord::default() };
            let features = features_to_begin(image, command);
            (std::iter::once(cluster.into()).chain(features).collect(), Ok(ClusterInitialized { first: true }))
        }
        Some(id) if id == command.cluster_id => {
            (features_to_begin(image, command).collect(), Ok(ClusterInitialized { first: false }))
        }
        Some(_) => (vec![], Err(wrong_cluster(image, &command.cluster_id))),
    };
    Decision { records, reply: Reply::InitializeCluster(result) }
}

/// The features that have no level yet. A cluster that is older than a feature gets it too: nobody has turned it off, since so
/// far levels are not changed otherwise.
fn features_to_begin(image: &Image, command: &InitializeCluster) -> impl Iterator<Item = Record> {
    command.features.iter().filter(|(name, _)| image.feature_level(name) == 0).map(|(name, level)| {
        FeatureLevelRecord { name: name.clone(), feature_level: *level, ..FeatureLevelRecord::default() }.into()
    })
}

/// A broker registers. How many records that makes is bounded by the number of its partitions alone.
pub(super) fn register(image: &Image, command: &RegisterBroker) -> Decision {
    let (records, result) = match registered(image, command) {
        Ok((records, epoch)) => (records, Ok(BrokerRegistered { epoch })),
        Err(refusal) => (vec![], Err(refusal)),
    };
    Decision { records, reply: Reply::RegisterBroker(result) }
}

fn registered(image: &Image, command: &RegisterBroker) -> Result<(Vec<Record>, i64), Refusal> {
    if image.cluster_id() != Some(&*command.cluster_id) {
        return Err(wrong_cluster(image, &command.cluster_id));
    }
    check_directories(image, command)?;

    let existing = image.broker(command.node_id);
    let same_process = existing.filter(|broker| broker.incarnation_id == command.incarnation_id);
    let mut records = Vec::new();
    let (epoch, fenced) = match same_process {
        Some(broker) => (broker.epoch, broker.fenced),
        None => {
            if let Some(broker) = existing {
                let is_clean = command.previous_epoch == Some(broker.epoch);
                records = started(image, command.node_id, is_clean);
            }
            (image.brokers().map(|broker| broker.epoch).max().unwrap_or(0) + 1, false)
        }
    };
    let listeners = command.listeners.iter();
    records.push(
        RegisterBrokerRecord {
            broker_id: command.node_id.0,
            incarnation_id: command.incarnation_id,
            broker_epoch: epoch,
            end_points: listeners
                .map(|listener| BrokerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..BrokerEndpoint::default()
                })
                .collect(),
            rack: command.rack.clone(),
            fenced,
            log_dirs: command.directories.clone(),
            ..RegisterBrokerRecord::default()
        }
        .into(),
    );
    Ok((records, epoch))
}

fn check_directories(image: &Image, command: &RegisterBroker) -> Result<(), Refusal> {
    let refused = |message: String| Err(Refusal::new(Reason::InvalidRegistration, message));
    if command.directories.is_empty() {
        return refused("No directories specified in request".to_owned());
    }
    if command.directories.contains(&Uuid::ZERO) {
        return refused("Reserved directory ID in request".to_owned());
    }
    if command.directories.iter().collect::<BTreeSet<_>>().len() < command.directories.len() {
        return refused("Duplicate directory ID in request".to_owned());
    }
    for broker in image.brokers().filter(|broker| broker.id != command.node_id) {
        if let Some(directory) = command.directories.iter().find(|id| broker.directories.contains(id)) {
            return refused(format!("Broker {} is already registered with directory {directory}", broker.id));
        }
    }
    Ok(())
}

fn wrong_cluster(image: &Image, got: &str) -> Refusal {
    let expected = image.cluster_id().unwrap_or_default();
    let message = format!("Expected cluster ID {expected}, but got cluster ID {got}");
    Refusal::new(Reason::InconsistentClusterId, message)
}

/// What a new start of a known broker means for the partitions that it has replicas of.
fn started(image: &Image, node: NodeId, is_clean: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in image.topics() {
        for (index, partition) in topic.partitions().filter(|(_, partition)| partition.replicas.contains(&node)) {
            let change =
                if is_clean { after_clean_stop(partition, node) } else { after_unclean_stop(image, partition, node) };
            if let Some(change) = change {
                let (partition_id, topic_id) = (index.0, topic.id().0);
                records.push(PartitionChangeRecord { partition_id, topic_id, ..change }.into());
            }
        }
    }
    records
}

/// It has all that it had: it leads again what waits for it.
fn after_clean_stop(partition: &Partition, node: NodeId) -> Option<PartitionChangeRecord> {
    if partition.leader != NO_LEADER {
        return None;
    }
    if partition.isr.contains(&node) {
        return Some(PartitionChangeRecord { leader: node.0, ..Default::default() });
    }
    let is_eligible = partition.isr.is_empty() && partition.elr.contains(&node);
    is_eligible.then(|| PartitionChangeRecord {
        leader: node.0,
        isr: Some(vec![node.0]),
        eligible_leader_replicas: Some(others(&partition.elr, node)),
        ..Default::default()
    })
}

/// It may have lost what it acknowledged, so it leaves the ISR and the ELR where another replica is in either. Where it
/// is the last one it has all that is left: it leads on, in a new epoch, so that a consumer that is ahead of a lost tail
/// is told so and does not wait for offsets that will mean other records.
fn after_unclean_stop(image: &Image, partition: &Partition, node: NodeId) -> Option<PartitionChangeRecord> {
    if !partition.isr.contains(&node) && !partition.elr.contains(&node) {
        return None;
    }
    let (isr, elr) = (others(&partition.isr, node), others(&partition.elr, node));
    if isr.is_empty() && elr.is_empty() {
        return Some(PartitionChangeRecord {
            leader: node.0,
            isr: Some(vec![node.0]),
            eligible_leader_replicas: (!partition.elr.is_empty()).then(Vec::new),
            ..Default::default()
        });
    }
    let heir = |of: &[i32]| {
        let fit = |id: &&NodeId| **id != node && of.contains(&id.0) && is_active(image, **id);
        partition.replicas.iter().find(fit).map(|id| id.0)
    };
    let shrunk = PartitionChangeRecord {
        isr: partition.isr.contains(&node).then(|| isr.clone()),
        eligible_leader_replicas: partition.elr.contains(&node).then(|| elr.clone()),
        ..Default::default()
    };
    if partition.leader != node && partition.leader != NO_LEADER {
        return Some(shrunk);
    }
    match heir(if isr.is_empty() { &elr } else { &isr }) {
        // The ISR is empty: an eligible replica begins a new one.
        Some(heir) if isr.is_empty() => Some(PartitionChangeRecord {
            leader: heir,
            isr: Some(vec![heir]),
            eligible_leader_replicas: Some(elr.into_iter().filter(|id| *id != heir).collect()),
            ..Default::default()
        }),
        Some(heir) => Some(PartitionChangeRecord { leader: heir, ..shrunk }),
        None if partition.leader == NO_LEADER => Some(shrunk),
        None => Some(PartitionChangeRecord { leader: NO_LEADER.0, ..shrunk }),
    }
}

fn others(nodes: &[NodeId], node: NodeId) -> Vec<i32> {
    nodes.iter().filter(|id| **id != node).map(|id| id.0).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::{
        metadata::Delta,
        model::{LeaderEpoch, PartitionIndex},
    };

    fn register(image: &mut Image, command: RegisterBroker) -> Result<i64, Refusal> {
        match run(image, command) {
            Reply::RegisterBroker(result) => result.map(|registered| registered.epoch),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cluster_begins_once() {
        let mut image = Image::default();
        let command =
            InitializeCluster { cluster_id: "one".to_owned(), features: [("metadata.version".to_owned(), 1)].into() };
        let initialize = |image: &mut Image, command: &InitializeCluster| match run(image, command.clone()) {
            Reply::InitializeCluster(result) => result,
            other => panic!("{other:?}"),
        };
        assert_eq!(initialize(&mut image, &command), Ok(ClusterInitialized { first: true }));
        assert_eq!((image.cluster_id(), image.feature_level("metadata.version")), (Some("one"), 1));
        assert_eq!(initialize(&mut image, &command), Ok(ClusterInitialized { first: false }));
        let with_groups = InitializeCluster {
            features: [("group.version".to_owned(), 1), ("metadata.version".to_owned(), 2)].into(),
            ..command.clone()
        };
        assert_eq!(initialize(&mut image, &with_groups), Ok(ClusterInitialized { first: false }));
        let levels: Vec<_> = image.features().collect();
        assert_eq!(levels, [("group.version", 1), ("metadata.version", 1)], "a new feature begins, an old one stays");
        assert_eq!(initialize_cluster(&image, &with_groups).records, [], "asked again it changes nothing");
        let other = InitializeCluster { cluster_id: "two".to_owned(), ..command };
        let refused = initialize(&mut image, &other).unwrap_err();
        assert_eq!(refused.to_string(), "Expected cluster ID one, but got cluster ID two");
    }

    #[test]
    fn strangers_are_refused() {
        let mut image = cluster(2);
        let before = image.clone();
        let first_of_two = broker(2, 1).directories[0];
        for (command, reason, message) in [
            (
                RegisterBroker { cluster_id: "other".to_owned(), ..broker(1, 9) },
                Reason::InconsistentClusterId,
                "Expected cluster ID cluster, but got cluster ID other".to_owned(),
            ),
            (
                RegisterBroker { directories: vec![], ..broker(1, 9) },
                Reason::InvalidRegistration,
                "No directories specified in request".to_owned(),
            ),
            (
                RegisterBroker { directories: vec![Uuid::ZERO], ..broker(1, 9) },
                Reason::InvalidRegistration,
                "Reserved directory ID in request".to_owned(),
            ),
            (
                RegisterBroker { directories: vec![Uuid([9; 16]); 2], ..broker(1, 9) },
                Reason::InvalidRegistration,
                "Duplicate directory ID in request".to_owned(),
            ),
            (
                RegisterBroker { directories: vec![first_of_two], ..broker(1, 9) },
                Reason::InvalidRegistration,
                format!("Broker 2 is already registered with directory {first_of_two}"),
            ),
        ] {
            assert_eq!(register(&mut image, command), Err(Refusal::new(reason, message)));
            assert_eq!(image, before);
        }
    }

    #[test]
    fn epochs_rise_with_every_incarnation() {
        let mut image = cluster(2);
        assert_eq!(image.broker(NodeId(1)).unwrap().epoch, 1);
        assert_eq!(image.broker(NodeId(2)).unwrap().epoch, 2);
        // The same process again, with another rack: an amendment.
        let amended = RegisterBroker { rack: Some("r".to_owned()), ..broker(1, 1) };
        assert_eq!(register(&mut image, amended), Ok(1));
        assert_eq!(image.broker(NodeId(1)).unwrap().rack.as_deref(), Some("r"));
        assert_eq!(register(&mut image, broker(1, 2)), Ok(3));
        assert_eq!(register(&mut image, broker(1, 3)), Ok(4));
    }

    #[test]
    fn a_lone_broker_leads_on_in_a_new_epoch_only_after_an_unclean_stop() {
        let mut image = cluster(1);
        create_topic(&mut image, new_topic("t", 3, 1));
        let epochs = |image: &Image| -> Vec<_> {
            image.topic("t").unwrap().partitions().map(|(_, p)| (p.leader, p.leader_epoch)).collect()
        };
        let clean = RegisterBroker { previous_epoch: Some(1), ..broker(1, 2) };
        assert_eq!(register(&mut image, clean), Ok(2));
        assert_eq!(epochs(&image), [(NodeId(1), LeaderEpoch(0)); 3]);
        // A mark from an older stop does not count, and neither does none.
        let stale = RegisterBroker { previous_epoch: Some(1), ..broker(1, 3) };
        assert_eq!(register(&mut image, stale), Ok(3));
        assert_eq!(epochs(&image), [(NodeId(1), LeaderEpoch(1)); 3]);
        assert_eq!(register(&mut image, broker(1, 4)), Ok(4));
        assert_eq!(epochs(&image), [(NodeId(1), LeaderEpoch(2)); 3]);
    }

    /// (leader, ISR, ELR) of a partition on brokers 1, 2, 3, before and after broker 1 starts again.
    #[test]
    fn replicas_that_may_have_lost_records_step_back() {
        type State = (i32, &'static [i32], &'static [i32]);
        let cases: &[(State, bool, &[i32], State)] = &[
            // (before, clean, fenced, after)
            ((1, &[1, 2, 3], &[]), false, &[], (2, &[2, 3], &[])),
            ((1, &[1, 2, 3], &[]), false, &[2], (3, &[2, 3], &[])),
            ((1, &[1, 2], &[]), false, &[2], (-1, &[2], &[])),
            ((2, &[1, 2], &[]), false, &[], (2, &[2], &[])),
            ((1, &[1], &[]), false, &[], (1, &[1], &[])),
            ((1, &[1], &[2]), false, &[], (2, &[2], &[])),
            ((1, &[1], &[2, 3]), false, &[2], (3, &[3], &[2])),
            ((1, &[1], &[2]), false, &[2], (-1, &[], &[2])),
            ((2, &[2], &[1]), false, &[], (2, &[2], &[])),
            ((-1, &[], &[1]), false, &[], (1, &[1], &[])),
            ((-1, &[], &[1, 2]), false, &[2], (-1, &[], &[2])),
            ((2, &[2], &[]), false, &[], (2, &[2], &[])),
            ((1, &[1, 2, 3], &[]), true, &[], (1, &[1, 2, 3], &[])),
            ((-1, &[1, 2], &[]), true, &[2], (1, &[1, 2], &[])),
            ((-1, &[], &[1, 2]), true, &[2], (1, &[1], &[2])),
            ((-1, &[], &[2]), true, &[2], (-1, &[], &[2])),
        ];
        for (before, clean, fenced, after) in cases {
            let mut image = cluster(3);
            create_topic(&mut image, new_topic("t", 1, 3));
            let topic_id = image.topic("t").unwrap().id().0;
            let shape = PartitionChangeRecord {
                topic_id,
                leader: before.0,
                replicas: Some(vec![1, 2, 3]),
                isr: Some(before.1.to_vec()),
                eligible_leader_replicas: Some(before.2.to_vec()),
                ..Default::default()
            };
            image.apply(&shape.into(), &mut Delta::default()).unwrap();
            for id in *fenced {
                fence(&mut image, *id);
            }
            let partition = |image: &Image| image.topic("t").unwrap().partition(PartitionIndex(0)).unwrap().clone();
            let old = partition(&image);
            register(&mut image, RegisterBroker { previous_epoch: clean.then_some(1), ..broker(1, 2) }).unwrap();
            let new = partition(&image);
            let raw = |nodes: &[NodeId]| nodes.iter().map(|id| id.0).collect::<Vec<_>>();
            assert_eq!(
                (new.leader.0, &*raw(&new.isr), &*raw(&new.elr)),
                *after,
                "{before:?}, clean: {clean}, fenced: {fenced:?}"
            );
            let may_lead_on = !clean && new.leader == NodeId(1);
            let raised = new.leader_epoch > old.leader_epoch;
            assert_eq!(raised, new.leader != old.leader || may_lead_on, "{before:?}, clean: {clean}");
        }
    }
}
