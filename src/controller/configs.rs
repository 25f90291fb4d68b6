//! The settings that topics override.

use std::collections::BTreeMap;

use super::{
    AlterConfigs, ConfigChange, ConfigOp, Decision, Reason, Refusal, Reply, TopicConfigChanges, draft::Draft,
    topic_name::validate_topic_name, topics::repeated,
};
use crate::{
    config::{self, ConfigError, Setting, Type},
    metadata::{ConfigRecord, Image, PartitionChangeRecord, Record, TOPIC_RESOURCE, Topic},
};

/// The longest value, in bytes; Kafka's, and what a string on the wire holds.
pub(super) const MAX_VALUE_LEN: usize = 32_767;

/// IncrementalAlterConfigs and AlterConfigs for topics. The changes to one topic are made all or none; another's do not concern it.
pub(super) fn alter(image: &Image, command: &AlterConfigs) -> Decision {
    let repeated = repeated(command.topics.iter().map(|topic| &*topic.topic));
    let mut draft = Draft::new(image);
    let mut results = Vec::with_capacity(command.topics.len());
    for topic in &command.topics {
        let result = if repeated.contains(&*topic.topic) {
            Err(Refusal::new(Reason::InvalidRequest, "Each resource must appear at most once."))
        } else {
            altered(draft.image(), topic).and_then(|records| draft.add(records))
        };
        results.push((topic.topic.clone(), result));
    }
    // What is too large as a whole is refused as a whole.
    if let Some(too_large) = results.iter().find_map(|(_, result)| result.as_ref().err().filter(|r| is_too_large(r))) {
        let refused = |topic: &TopicConfigChanges| (topic.topic.clone(), Err(too_large.clone()));
        let results = command.topics.iter().map(refused).collect();
        return Decision { records: vec![], reply: Reply::AlterConfigs(results) };
    }
    Decision { records: draft.finish(command.validate_only), reply: Reply::AlterConfigs(results) }
}

pub(super) fn is_too_large(refusal: &Refusal) -> bool {
    refusal.reason == Reason::PolicyViolation
}

/// The records that change one topic's settings. What is as it was makes none.
///
/// The order of the checks is Kafka's: a wrong value is told even where the topic does not exist.
fn altered(image: &Image, command: &TopicConfigChanges) -> Result<Vec<Record>, Refusal> {
    check_form(&command.changes)?;
    let topic = image.topic(&command.topic);
    let mut changed: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for change in &command.changes {
        let current = topic.and_then(|topic| topic.config(&change.name));
        let value = changed_value(config::topic::setting, change, current)?;
        if value.as_deref() != current {
            changed.insert(&change.name, value);
        }
    }
    if command.replaces_all {
        let named = |name: &str| command.changes.iter().any(|change| change.name == name);
        let others = topic.into_iter().flat_map(Topic::configs).filter(|(name, _)| !named(name));
        changed.extend(others.map(|(name, _)| (name, None)));
    }
    if changed.values().flatten().any(|value| value.len() > MAX_VALUE_LEN) {
        return Err(value_too_long());
    }
    if command.topic.is_empty() {
        return Err(Refusal::new(Reason::InvalidRequest, "Default topic resources are not allowed."));
    }
    validate_topic_name(&command.topic).map_err(|message| Refusal::new(Reason::InvalidTopic, message))?;
    for (name, value) in &changed {
        if let Some(value) = value {
            config::topic::validate(name, value).map_err(invalid)?;
        }
    }
    let mut after: BTreeMap<String, String> = topic.into_iter().flat_map(Topic::configs).map(owned).collect();
    for (name, value) in &changed {
        match value {
            Some(value) => after.insert((*name).to_owned(), value.clone()),
            None => after.remove(*name),
        };
    }
    config::topic::validate_together(&after).map_err(invalid)?;
    let topic = topic.ok_or_else(|| {
        let message = format!("The topic '{}' does not exist.", command.topic);
        Refusal::new(Reason::UnknownTopicOrPartition, message)
    })?;

    let forget_eligible = changed.contains_key("min.insync.replicas");
    let mut records: Vec<Record> = changed
        .into_iter()
        .map(|(name, value)| {
            let resource_name = command.topic.clone();
            ConfigRecord {
                resource_type: TOPIC_RESOURCE,
                resource_name,
                name: name.to_owned(),
                value,
                ..ConfigRecord::default()
            }
            .into()
        })
        .collect();
    if forget_eligible {
        records.extend(without_eligible_leaders(topic));
    }
    Ok(records)
}

pub(super) fn check_form(changes: &[ConfigChange]) -> Result<(), Refusal> {
    if !repeated(changes.iter().map(|change| &*change.name)).is_empty() {
        return Err(Refusal::new(Reason::InvalidRequest, "Error due to duplicate config keys"));
    }
    let nulls = changes.iter().filter(|change| change.op != ConfigOp::Delete && change.value.is_none());
    let nulls: Vec<&str> = nulls.map(|change| &*change.name).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    Ok(())
}

/// What a change makes of the current value. `setting` knows the settings that such a resource has.
pub(super) fn changed_value(
    setting: fn(&str) -> Result<&'static Setting, ConfigError>,
    change: &ConfigChange,
    current: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let operand = change.value.as_deref().unwrap_or_default();
    let (op, is_append) = match change.op {
        ConfigOp::Set => return Ok(Some(operand.to_owned())),
        ConfigOp::Delete => return Ok(None),
        ConfigOp::Append => ("APPEND", true),
        ConfigOp::Subtract => ("SUBTRACT", false),
    };
    let default = match setting(&change.name) {
        Ok(setting) if setting.ty == Type::List => setting.default,
        Ok(_) | Err(ConfigError::UnknownTopicSetting(_) | ConfigError::UnknownGroupSetting(_)) => {
            let message = format!("Can't {op} to key {} because its type is not LIST.", change.name);
            return Err(Refusal::new(Reason::InvalidConfig, message));
        }
        Err(error) => return Err(invalid(error)),
    };
    let mut elements: Vec<&str> =
        current.or(default).unwrap_or_default().split(',').filter(|element| !element.is_empty()).collect();
    for element in java_split(operand) {
        match elements.iter().position(|other| *other == element) {
            None if is_append => elements.push(element),
            Some(at) if !is_append => {
                elements.remove(at);
            }
            _ => {}
        }
    }
    Ok(Some(elements.join(",")))
}

/// Java's `split(",")`: empty parts at the end do not count, unless there is nothing else at all.
fn java_split(text: &str) -> impl Iterator<Item = &str> {
    let trimmed = if text.is_empty() { text } else { text.trim_end_matches(',') };
    let parts = if trimmed.is_empty() && !text.is_empty() { None } else { Some(trimmed.split(',')) };
    parts.into_iter().flatten()
}

/// Who is eligible to lead was decided by the old `min.insync.replicas`, and holds no longer (KIP-966).
fn without_eligible_leaders(topic: &Topic) -> impl Iterator<Item = Record> {
    topic.partitions().filter(|(_, partition)| !partition.elr.is_empty()).map(|(index, _)| {
        let eligible_leader_replicas = Some(vec![]);
        let (partition_id, topic_id) = (index.0, topic.id().0);
        PartitionChangeRecord { partition_id, topic_id, eligible_leader_replicas, ..Default::default() }.into()
    })
}

/// The settings of a new topic as they are to be stored. Where one comes twice, the last holds.
pub(super) fn of_new_topic(configs: &[(String, Option<String>)]) -> Result<BTreeMap<String, String>, Refusal> {
    let nulls: Vec<&str> = configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| &**name).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    let last: BTreeMap<&str, &str> =
        configs.iter().map(|(name, value)| (&**name, value.as_deref().unwrap_or_default())).collect();
    if last.values().any(|value| value.len() > MAX_VALUE_LEN) {
        return Err(value_too_long());
    }
    for (name, value) in &last {
        config::topic::validate(name, value).map_err(invalid)?;
    }
    let configs = last.into_iter().map(owned).collect();
    config::topic::validate_together(&configs).map_err(invalid)?;
    Ok(configs)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub(super) fn invalid(error: ConfigError) -> Refusal {
    Refusal::new(Reason::InvalidConfig, error.to_string())
}

pub(super) fn value_too_long() -> Refusal {
    let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.";
    Refusal::new(Reason::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::{metadata::Delta, model::PartitionIndex};

    fn change(name: &str, op: ConfigOp, value: Option<&str>) -> ConfigChange {
        ConfigChange { name: name.to_owned(), op, value: value.map(str::to_owned) }
    }

    fn set(name: &str, value: &str) -> ConfigChange {
        change(name, ConfigOp::Set, Some(value))
    }

    fn command(topic: &str, changes: Vec<ConfigChange>) -> AlterConfigs {
        let topics = vec![TopicConfigChanges { topic: topic.to_owned(), changes, replaces_all: false }];
        AlterConfigs { topics, validate_only: false }
    }

    fn alter_one(image: &mut Image, topic: &str, changes: Vec<ConfigChange>) -> Result<(), Refusal> {
        let Reply::AlterConfigs(results) = run(image, command(topic, changes)) else { panic!() };
        results.into_iter().next().unwrap().1
    }

    fn with_topic() -> Image {
        let mut image = cluster(1);
        create_topic(&mut image, new_topic("t", 1, 1));
        image
    }

    #[test]
    fn settings_are_set_and_deleted() {
        let mut image = with_topic();
        assert_eq!(alter_one(&mut image, "t", vec![set("segment.ms", " 100 "), set("max.message.bytes", "5")]), Ok(()));
        let configs = |image: &Image| -> Vec<(String, String)> {
            let topic = image.topic("t").unwrap();
            topic.configs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(configs(&image), [pair("max.message.bytes", "5"), pair("segment.ms", " 100 ")]);

        // What is so already makes no record; deleting what is not set is no fault.
        let same = command("t", vec![set("segment.ms", " 100 "), change("nope", ConfigOp::Delete, None)]);
        let decision = alter(&image, &same);
        assert_eq!(decision.reply, Reply::AlterConfigs(vec![("t".to_owned(), Ok(()))]));
        assert_eq!(decision.records, []);

        assert_eq!(alter_one(&mut image, "t", vec![change("segment.ms", ConfigOp::Delete, None)]), Ok(()));
        assert_eq!(configs(&image), [pair("max.message.bytes", "5")]);
    }

    #[test]
    fn the_old_way_takes_away_what_it_does_not_name() {
        let mut image = with_topic();
        let replace = |image: &mut Image, changes: Vec<ConfigChange>| {
            let topics = vec![TopicConfigChanges { topic: "t".to_owned(), changes, replaces_all: true }];
            let Reply::AlterConfigs(results) = run(image, AlterConfigs { topics, validate_only: false }) else {
                panic!()
            };
            results.into_iter().next().unwrap().1
        };
        let configs = |image: &Image| -> Vec<(String, String)> {
            let topic = image.topic("t").unwrap();
            topic.configs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(replace(&mut image, vec![set("segment.ms", "1"), set("flush.ms", "2")]), Ok(()));
        assert_eq!(replace(&mut image, vec![set("segment.ms", "1"), set("max.message.bytes", "3")]), Ok(()));
        assert_eq!(configs(&image), [pair("max.message.bytes", "3"), pair("segment.ms", "1")]);
        assert!(replace(&mut image, vec![set("flush.ms", "never")]).is_err());
        assert_eq!(configs(&image), [pair("max.message.bytes", "3"), pair("segment.ms", "1")], "all or nothing");
        assert_eq!(replace(&mut image, vec![]), Ok(()));
        assert_eq!(configs(&image), []);
    }

    #[test]
    fn lists_grow_and_shrink() {
        use ConfigOp::{Append, Subtract};
        for (current, op, operand, expected) in [
            (None, Append, "delete", "delete"),
            (None, Append, "compact", "delete,compact"),
            (Some("compact"), Append, "delete,compact", "compact,delete"),
            (Some("compact,delete"), Subtract, "compact", "delete"),
            (Some("delete"), Subtract, "compact", "delete"),
            (None, Subtract, "delete", ""),
            (Some(""), Append, "delete,,", "delete"),
            (Some("delete"), Append, "", "delete,"),
            (Some("delete"), Append, ",", "delete"),
        ] {
            let change = change("cleanup.policy", op, Some(operand));
            let changed = changed_value(config::topic::setting, &change, current);
            assert_eq!(changed, Ok(Some(expected.to_owned())), "{current:?} {op:?} {operand:?}");
        }
    }

    #[test]
    fn refusals_are_kafkas() {
        let mut image = with_topic();
        let before = image.clone();
        let too_long = "9".repeat(32_768);
        for (topic, changes, reason, message) in [
            (
                "t",
                vec![set("segment.ms", "1"), change("segment.ms", ConfigOp::Delete, None)],
                Reason::InvalidRequest,
                "Error due to duplicate config keys",
            ),
            (
                "t",
                vec![change("segment.ms", ConfigOp::Set, None), change("flush.ms", ConfigOp::Append, None)],
                Reason::InvalidRequest,
                "Null value not supported for : segment.ms, flush.ms",
            ),
            (
                "t",
                vec![change("segment.ms", ConfigOp::Append, Some("1"))],
                Reason::InvalidConfig,
                "Can't APPEND to key segment.ms because its type is not LIST.",
            ),
            (
                "t",
                vec![change("nope", ConfigOp::Subtract, Some("1"))],
                Reason::InvalidConfig,
                "Can't SUBTRACT to key nope because its type is not LIST.",
            ),
            ("t", vec![set("nope", "1")], Reason::InvalidConfig, "Unknown topic config name: nope"),
            (
                "t",
                vec![set("segment.ms", "1"), set("max.message.bytes", "-1")],
                Reason::InvalidConfig,
                "Invalid value -1 for configuration max.message.bytes: Value must be at least 0",
            ),
            (
                "t",
                vec![set("segment.ms", &too_long)],
                Reason::InvalidConfig,
                "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
            ),
            ("", vec![set("segment.ms", "1")], Reason::InvalidRequest, "Default topic resources are not allowed."),
            (
                "a b",
                vec![],
                Reason::InvalidTopic,
                "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' \
                 and '-'",
            ),
            ("u", vec![set("nope", "1")], Reason::InvalidConfig, "Unknown topic config name: nope"),
            ("u", vec![set("segment.ms", "1")], Reason::UnknownTopicOrPartition, "The topic 'u' does not exist."),
        ] {
            let refused = alter_one(&mut image, topic, changes.clone());
            assert_eq!(refused, Err(Refusal::new(reason, message)), "{topic}: {changes:?}");
            assert_eq!(image, before, "all or nothing");
        }
    }

    #[test]
    fn settings_must_go_together_with_those_that_were_there() {
        let mut image = with_topic();
        let (min, max) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
        assert_eq!(alter_one(&mut image, "t", vec![set(min, "10")]), Ok(()));
        let conflict = |max| {
            let told = format!("conflict topic config setting {min} (10) > max.compaction.lag.ms ({max})");
            Err(Refusal::new(Reason::InvalidConfig, told))
        };
        assert_eq!(alter_one(&mut image, "t", vec![set(max, "9")]), conflict("9"));
        assert_eq!(alter_one(&mut image, "t", vec![set(max, "9"), change(min, ConfigOp::Delete, None)]), Ok(()));
        assert_eq!(alter_one(&mut image, "t", vec![set(min, "10")]), conflict("9"));
        let new = [(min, "10"), (max, "9")].map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(of_new_topic(&new).map(|_| ()), conflict("9"));
    }

    #[test]
    fn topics_stand_for_themselves() {
        let mut image = with_topic();
        create_topic(&mut image, new_topic("u", 1, 1));
        let topic = |name: &str, value| TopicConfigChanges {
            topic: name.to_owned(),
            changes: vec![set("segment.ms", value)],
            replaces_all: false,
        };
        let topics = vec![topic("t", "1"), topic("u", "never"), topic("v", "1"), topic("v", "2")];
        for validate_only in [true, false] {
            let command = AlterConfigs { topics: topics.clone(), validate_only };
            let Reply::AlterConfigs(results) = run(&mut image, command) else { panic!() };
            let reasons: Vec<_> = results.iter().map(|(_, result)| result.as_ref().err().map(|r| r.reason)).collect();
            let twice = Some(Reason::InvalidRequest);
            assert_eq!(reasons, [None, Some(Reason::InvalidConfig), twice, twice]);
            assert_eq!(image.topic("t").unwrap().config("segment.ms"), (!validate_only).then_some("1"));
        }
    }

    #[test]
    fn another_min_insync_replicas_forgets_who_is_eligible_to_lead() {
        let mut image = cluster(2);
        create_topic(&mut image, new_topic("t", 2, 2));
        let shrink = PartitionChangeRecord {
            partition_id: 1,
            topic_id: image.topic("t").unwrap().id().0,
            isr: Some(vec![1]),
            eligible_leader_replicas: Some(vec![2]),
            ..Default::default()
        };
        image.apply(&shrink.into(), &mut Delta::default()).unwrap();
        alter_one(&mut image, "t", vec![set("min.insync.replicas", "2")]).unwrap();
        assert!(image.topic("t").unwrap().partition(PartitionIndex(1)).unwrap().elr.is_empty());
    }
}
