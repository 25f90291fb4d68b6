//! A log that Kafka wrote comes to the groups and offsets that Kafka told of: `compat/offsets-topic/run fixture` made the data in
//! `kafka`, and `compat/offsets-topic/src/{Story,Facts}.java` say what happened and how it is told.

use std::collections::{BTreeMap, BTreeSet};

use felice_protocol::{
    Uuid, coordinator::offsets::GroupMetadataValue, messages::consumer_protocol::ConsumerProtocolAssignment,
    schema::Stored,
};

use super::*;
use crate::coordinator::group::ConsumerGroup;

const LOG: &[u8] = include_bytes!("tests/kafka/00000000000000000000.log");
const FACTS: &str = include_str!("tests/kafka/facts.tsv");

fn batches() -> Vec<Batch> {
    let mut left = Bytes::from_static(LOG);
    let mut batches = Vec::new();
    while !left.is_empty() {
        let (batch, rest) = Batch::split_first(&left).unwrap();
        batch.verify_crc().unwrap();
        batches.push(batch);
        left = rest;
    }
    batches
}

/// Replays all of it. Nothing may be passed over.
fn state() -> State {
    let mut loading = Loading::default();
    for batch in batches() {
        loading.replay(&batch, Offset(0)).unwrap();
    }
    assert_eq!(loading.passed_over, 0);
    loading.state
}

#[test]
fn a_log_of_kafkas_says_what_kafka_told_of_it() {
    let facts: BTreeSet<&str> = FACTS.lines().filter(|line| !line.starts_with("topic\t")).collect();
    let told = tell(&state());
    let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
    let (missing, wrong): (Vec<_>, Vec<_>) = (facts.difference(&told).collect(), told.difference(&facts).collect());
    assert!(missing.is_empty() && wrong.is_empty(), "Kafka says {missing:#?}\nand we say {wrong:#?}");
}

#[test]
fn a_transaction_that_has_not_ended_is_pending_and_no_other() {
    let state = state();
    let pending: Vec<_> = state.pending.values().flat_map(|offsets| offsets.keys()).collect();
    assert_eq!(pending, [&("open".into(), "letters".into(), 0)]);
    assert!(state.is_pending("open", "letters", 0) && !state.is_pending("committed", "letters", 0));
}

#[test]
fn ours_are_kafkas_bytes_in_kafkas_versions() {
    let mut kinds = BTreeMap::new();
    let mut tombstones = BTreeSet::new();
    for batch in batches().iter().filter(|batch| !batch.header().is_control()) {
        let bytes = batch.record_bytes(DECOMPRESSED_MAX).unwrap();
        for record in batch.record_views(&bytes).unwrap() {
            let record = record.unwrap();
            let key = bytes.slice_ref(record.key.unwrap());
            let value = record.value.map(|value| bytes.slice_ref(value));
            let decoded = GroupRecord::decode(&key, value.as_ref()).unwrap();
            assert_eq!(decoded.encode_key().unwrap(), key, "{decoded:?}");
            assert_eq!(decoded.encode_value(value_version(&decoded)).unwrap(), value, "{decoded:?}");
            match value {
                Some(_) => *kinds.entry(decoded.record_type().name).or_insert(0) += 1,
                None => drop(tombstones.insert(decoded.record_type().name)),
            }
        }
    }
    let all = [
        "ConsumerGroupCurrentMemberAssignment",
        "ConsumerGroupMemberMetadata",
        "ConsumerGroupMetadata",
        "ConsumerGroupRegularExpression",
        "ConsumerGroupTargetAssignmentMember",
        "ConsumerGroupTargetAssignmentMetadata",
        "GroupMetadata",
        "OffsetCommit",
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), all);
    // The only regular expression is one of a group that stays.
    assert!(
        all.iter().all(|kind| tombstones.contains(kind) || *kind == "ConsumerGroupRegularExpression"),
        "{tombstones:?}"
    );
}

#[test]
fn a_state_of_kafkas_survives_being_written_as_ours() {
    let state = state();
    let mut again = State::default();
    for record in state.records() {
        let value = record.encode_value(value_version(&record)).unwrap();
        again.apply(None, &GroupRecord::decode(&record.encode_key().unwrap(), value.as_ref()).unwrap());
    }
    again.pending = state.pending.clone();
    assert_eq!(again, state);
}

/// The lines of `facts.tsv`, but for topics.
fn tell(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |parts: &[&str]| {
        let parts: Vec<&str> = parts.iter().map(|part| if part.is_empty() { "-" } else { part }).collect();
        lines.push(parts.join("\t"));
    };
    let ids: BTreeSet<&Arc<str>> =
        state.classic.keys().chain(state.consumer.keys()).chain(state.offsets.keys()).collect();
    for id in ids {
        if let Some(group) = state.consumer.get(id) {
            let epoch = group.metadata.as_ref().unwrap().epoch.to_string();
            let target_epoch = group.target_metadata.as_ref().unwrap().assignment_epoch.to_string();
            let assignor = group.members.values().find_map(|member| member.server_assignor.as_deref());
            line(&[
                "group",
                id,
                "Consumer",
                consumer_state(group),
                assignor.unwrap_or("uniform"),
                &epoch,
                &target_epoch,
            ]);
            for (member_id, member) in &group.members {
                let (current, target) = (&group.currents[member_id], &group.targets[member_id]);
                let instance = member.instance_id.as_deref().unwrap_or("");
                let has = current.assigned_partitions.iter().map(|of| (topic(of.topic_id), &of.partitions));
                let shall = target.topic_partitions.iter().map(|of| (topic(of.topic_id), &of.partitions));
                let (epoch, host) = (current.member_epoch.to_string(), &member.client_host);
                let parts = [
                    "member",
                    id,
                    member_id,
                    instance,
                    &member.client_id,
                    host,
                    &epoch,
                    &partitions(has),
                    &partitions(shall),
                ];
                line(&parts);
            }
        } else {
            let nobody = GroupMetadataValue::default();
            let group = state.classic.get(id).map_or(&nobody, |group| group);
            let stable = if group.members.is_empty() { "Empty" } else { "Stable" };
            let protocol = group.protocol.as_deref().filter(|_| !group.members.is_empty()).unwrap_or("");
            line(&["group", id, "Classic", stable, protocol, "", ""]);
            for member in &group.members {
                let assignment = ConsumerProtocolAssignment::decode_with_version(&member.assignment).unwrap();
                let has = assignment.assigned_partitions.iter().map(|of| (of.topic.as_str(), &of.partitions));
                let instance = member.group_instance_id.as_deref().unwrap_or("");
                let (client, host) = (&member.client_id, &member.client_host);
                line(&["member", id, &member.member_id, instance, client, host, "", &partitions(has), ""]);
            }
        }
        for (topic, offsets) in state.offsets.get(id).into_iter().flatten() {
            for (partition, committed) in offsets {
                let epoch = if committed.leader_epoch < 0 { String::new() } else { committed.leader_epoch.to_string() };
                let (partition, offset) = (partition.to_string(), committed.offset.0.to_string());
                line(&["offset", id, topic, &partition, &offset, &epoch, &committed.metadata]);
            }
        }
    }
    lines
}

fn consumer_state(group: &ConsumerGroup) -> &'static str {
    let epoch = group.target_metadata.as_ref().unwrap().assignment_epoch;
    if group.members.is_empty() {
        "Empty"
    } else if group.metadata.as_ref().unwrap().epoch > epoch {
        "Assigning"
    } else if group.currents.values().any(|current| current.member_epoch < epoch || current.state != 0) {
        "Reconciling"
    } else {
        "Stable"
    }
}

fn topic(id: Uuid) -> &'static str {
    let id = id.to_string();
    let topics = FACTS.lines().filter_map(|line| line.strip_prefix("topic\t")?.split_once('\t'));
    topics.into_iter().find(|topic| topic.1 == id).unwrap().0
}

fn partitions<'a>(topics: impl Iterator<Item = (&'a str, &'a Vec<i32>)>) -> String {
    let names =
        topics.flat_map(|(topic, partitions)| partitions.iter().map(move |partition| format!("{topic}-{partition}")));
    names.collect::<BTreeSet<String>>().into_iter().collect::<Vec<String>>().join(",")
}
