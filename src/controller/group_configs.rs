//! The settings that groups override.
//!
//! A group need not exist to have settings, and keeps them when it goes: they are the metadata's, its members are the group
//! coordinator's.

use std::collections::BTreeMap;

use super::{
    AlterGroupConfigs, Decision, GroupConfigChanges, Reason, Refusal, Reply,
    configs::{MAX_VALUE_LEN, changed_value, check_form, invalid, is_too_large, value_too_long},
    draft::Draft,
    topics::repeated,
};
use crate::{
    config::{self, ConsumerSettings},
    metadata::{ConfigRecord, GROUP_RESOURCE, Image, Record},
};

/// IncrementalAlterConfigs and AlterConfigs for groups. The changes to one group are made all or none; another's do not concern it.
pub(super) fn alter(image: &Image, command: &AlterGroupConfigs) -> Decision {
    let repeated = repeated(command.groups.iter().map(|group| &*group.group));
    let mut draft = Draft::new(image);
    let mut results = Vec::with_capacity(command.groups.len());
    for group in &command.groups {
        let result = if repeated.contains(&*group.group) {
            Err(Refusal::new(Reason::InvalidRequest, "Each resource must appear at most once."))
        } else {
            altered(draft.image(), group, &command.broker).and_then(|records| draft.add(records))
        };
        results.push((group.group.clone(), result));
    }
    // What is too large as a whole is refused as a whole.
    if let Some(too_large) = results.iter().find_map(|(_, result)| result.as_ref().err().filter(|r| is_too_large(r))) {
        let refused = |group: &GroupConfigChanges| (group.group.clone(), Err(too_large.clone()));
        let results = command.groups.iter().map(refused).collect();
        return Decision { records: vec![], reply: Reply::AlterGroupConfigs(results) };
    }
    Decision { records: draft.finish(command.validate_only), reply: Reply::AlterGroupConfigs(results) }
}

/// The records that change one group's settings. What is as it was makes none.
fn altered(image: &Image, command: &GroupConfigChanges, broker: &ConsumerSettings) -> Result<Vec<Record>, Refusal> {
    check_form(&command.changes)?;
    let before = image.group_config(&command.group);
    let mut after = if command.replaces_all { BTreeMap::new() } else { before.clone() };
    for change in &command.changes {
        let current = before.get(&change.name).map(String::as_str);
        match changed_value(config::group::setting, change, current)? {
            Some(value) if value.len() > MAX_VALUE_LEN => return Err(value_too_long()),
            Some(value) => after.insert(change.name.clone(), value),
            None => after.remove(&change.name),
        };
    }
    if command.group.is_empty() {
        return Err(Refusal::new(Reason::InvalidRequest, "Default group resources are not allowed."));
    }
    config::group::validate(&after, broker).map_err(invalid)?;
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    let changed = set.map(|(name, value)| (name, Some(value.clone()))).chain(removed.map(|name| (name, None)));
    let records = changed.map(|(name, value)| {
        let (resource_name, name) = (command.group.clone(), name.clone());
        ConfigRecord { resource_type: GROUP_RESOURCE, resource_name, name, value, ..ConfigRecord::default() }.into()
    });
    Ok(records.collect())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ConfigChange, ConfigOp, testing::*},
        *,
    };
    use crate::config::GroupSettings;

    const SESSION: &str = "consumer.session.timeout.ms";
    const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

    fn change(name: &str, op: ConfigOp, value: Option<&str>) -> ConfigChange {
        ConfigChange { name: name.to_owned(), op, value: value.map(str::to_owned) }
    }

    fn set(name: &str, value: &str) -> ConfigChange {
        change(name, ConfigOp::Set, Some(value))
    }

    fn command(groups: Vec<(&str, Vec<ConfigChange>)>) -> AlterGroupConfigs {
        let group = |(group, changes): (&str, Vec<ConfigChange>)| {
            let group = group.to_owned();
            GroupConfigChanges { group, changes, replaces_all: false }
        };
        let groups = groups.into_iter().map(group).collect();
        AlterGroupConfigs { groups, broker: GroupSettings::default().consumer, validate_only: false }
    }

    fn run_one(image: &mut Image, command: AlterGroupConfigs) -> Result<(), Refusal> {
        let Reply::AlterGroupConfigs(results) = run(image, command) else { panic!() };
        results.into_iter().next().unwrap().1
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn settings_are_set_replaced_and_deleted() {
        let mut image = cluster(1);
        let both = vec![set(SESSION, " 50000"), set(HEARTBEAT, "6000")];
        assert_eq!(run_one(&mut image, command(vec![("g", both.clone())])), Ok(()));
        assert_eq!(image.group_config("g"), pairs([(SESSION, " 50000"), (HEARTBEAT, "6000")]));
        assert_eq!(alter(&image, &command(vec![("g", both)])).records, [], "what is so already makes no record");

        let deletion = vec![change(HEARTBEAT, ConfigOp::Delete, None), change("nope", ConfigOp::Delete, None)];
        assert_eq!(run_one(&mut image, command(vec![("g", deletion)])), Ok(()));
        assert_eq!(image.group_config("g"), pairs([(SESSION, " 50000")]));

        let mut replace = command(vec![("g", vec![set(HEARTBEAT, "7000")])]);
        replace.groups[0].replaces_all = true;
        assert_eq!(run_one(&mut image, replace), Ok(()));
        assert_eq!(image.group_config("g"), pairs([(HEARTBEAT, "7000")]));

        let mut validate = command(vec![("g", vec![set(HEARTBEAT, "8000")])]);
        validate.validate_only = true;
        assert_eq!(run_one(&mut image, validate), Ok(()));
        assert_eq!(image.group_config("g"), pairs([(HEARTBEAT, "7000")]));
    }

    #[test]
    fn refusals_are_kafkas() {
        let mut image = cluster(1);
        let too_long = "9".repeat(32_768);
        for (group, changes, reason, message) in [
            ("g", vec![set("nope", "1")], Reason::InvalidConfig, "Unknown group config name: nope"),
            ("", vec![set(SESSION, "50000")], Reason::InvalidRequest, "Default group resources are not allowed."),
            (
                "g",
                vec![set(SESSION, "50000"), set(HEARTBEAT, "4999")],
                Reason::InvalidConfig,
                "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
            ),
            (
                "g",
                vec![change(SESSION, ConfigOp::Append, Some("1"))],
                Reason::InvalidConfig,
                "Can't APPEND to key consumer.session.timeout.ms because its type is not LIST.",
            ),
            (
                "g",
                vec![set(SESSION, "1"), set(SESSION, "2")],
                Reason::InvalidRequest,
                "Error due to duplicate config keys",
            ),
            (
                "g",
                vec![change(SESSION, ConfigOp::Set, None)],
                Reason::InvalidRequest,
                "Null value not supported for : consumer.session.timeout.ms",
            ),
            (
                "g",
                vec![set(SESSION, &too_long)],
                Reason::InvalidConfig,
                "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
            ),
        ] {
            let before = image.clone();
            let refused = run_one(&mut image, command(vec![(group, changes.clone())]));
            assert_eq!(refused, Err(Refusal::new(reason, message)), "{group}: {changes:?}");
            assert_eq!(image, before, "all or nothing");
        }
    }

    #[test]
    fn groups_stand_for_themselves() {
        let mut image = cluster(1);
        let changes = |value| vec![set(SESSION, value)];
        let four = [("g", changes("50000")), ("h", changes("1")), ("i", changes("50000")), ("i", changes("46000"))];
        let Reply::AlterGroupConfigs(results) = run(&mut image, command(four.into())) else { panic!() };
        let reasons: Vec<_> = results.iter().map(|(_, result)| result.as_ref().err().map(|r| r.reason)).collect();
        let twice = Some(Reason::InvalidRequest);
        assert_eq!(reasons, [None, Some(Reason::InvalidConfig), twice, twice]);
        assert_eq!(image.groups_with_configs().map(|group| &**group).collect::<Vec<_>>(), ["g"]);
    }
}
