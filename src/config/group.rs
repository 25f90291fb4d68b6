//! The settings of one group (a resource of the type GROUP): what may be set, what holds, and where it comes from.
//!
//! A group's own setting goes before the broker's for all groups, which has another name (`consumer.session.timeout.ms` and
//! `group.consumer.session.timeout.ms`), and that before the default. A group need not exist to have settings.

use super::{
    ConfigError, ConsumerSettings, Settings,
    setting::{Setting, Type, Valid, Value},
    table,
    topic::{Described, DescribedSynonym, Overrides, Source},
};

/// A setting of groups, with the broker's setting that holds where a group does not set it.
#[derive(Debug)]
struct GroupSetting {
    setting: Setting,
    of_broker: &'static str,
}

const fn row(
    name: &'static str,
    default: &'static str,
    min: i64,
    of_broker: &'static str,
    doc: &'static str,
) -> GroupSetting {
    let (ty, default, valid, dynamic) = (Type::Int, Some(default), Valid::AtLeast(min), true);
    GroupSetting { setting: Setting { name, ty, default, valid, dynamic, doc }, of_broker }
}

#[rustfmt::skip]
static OBEYED: &[GroupSetting] = &[
    row("consumer.assignment.interval.ms", "1000", 0, "group.consumer.assignment.interval.ms",
        "The least time between two assignments of the group."),
    row("consumer.heartbeat.interval.ms", "5000", 1, "group.consumer.heartbeat.interval.ms",
        "How often members are told to send a heartbeat."),
    row("consumer.session.timeout.ms", "45000", 1, "group.consumer.session.timeout.ms",
        "After this long without a heartbeat a member is removed from the group."),
];

/// Settings of groups that Kafka obeys and Felice refuses so far, and what they belong to.
static NOT_YET: &[(&str, &[&str])] = &[
    (
        "share groups",
        &[
            "share.assignment.interval.ms",
            "share.auto.offset.reset",
            "share.delivery.count.limit",
            "share.heartbeat.interval.ms",
            "share.isolation.level",
            "share.partition.max.record.locks",
            "share.record.lock.duration.ms",
            "share.renew.acknowledge.enable",
            "share.session.timeout.ms",
        ],
    ),
    (
        "streams groups",
        &[
            "streams.assignment.interval.ms",
            "streams.heartbeat.interval.ms",
            "streams.initial.rebalance.delay.ms",
            "streams.num.standby.replicas",
            "streams.session.timeout.ms",
        ],
    ),
];

/// The obeyed setting called `name`.
///
/// # Errors
/// [`ConfigError::NotYet`] where only Kafka obeys it, [`ConfigError::UnknownGroupSetting`] where nobody does.
pub fn setting(name: &str) -> Result<&'static Setting, ConfigError> {
    if let Some(row) = OBEYED.iter().find(|row| row.setting.name == name) {
        return Ok(&row.setting);
    }
    match NOT_YET.iter().find(|(_, names)| names.contains(&name)) {
        Some((feature, _)) => Err(ConfigError::NotYet { name: name.to_owned(), feature }),
        None => Err(ConfigError::UnknownGroupSetting(name.to_owned())),
    }
}

/// Whether a group may be given these settings, taken together and with those of its broker.
///
/// # Errors
/// As [`setting`] and [`Setting::parse`]; [`ConfigError::Rule`], in Kafka's words, where they do not lie within the broker's bounds or
/// do not go together.
pub fn validate(own: &Overrides, broker: &ConsumerSettings) -> Result<(), ConfigError> {
    for name in own.keys() {
        setting(name)?;
    }
    for (name, value) in own {
        setting(name)?.parse(value)?;
    }
    for row in OBEYED {
        let Some(value) = row.own(own) else { continue };
        let (min, max) = bounds(row.setting.name, broker);
        // group.consumer.session.timeout.ms has the bound group.consumer.min.session.timeout.ms.
        let bound = |which: &str| row.of_broker.replacen("consumer.", &format!("consumer.{which}."), 1);
        let rule = if value < min {
            format!("{} must be greater than or equal to {}", row.setting.name, bound("min"))
        } else if value > max {
            format!("{} must be less than or equal to {}", row.setting.name, bound("max"))
        } else {
            continue;
        };
        return Err(ConfigError::Rule(rule));
    }
    let effective = GroupConfig::new(own, broker);
    if effective.consumer_session_timeout_ms <= effective.consumer_heartbeat_interval_ms {
        let rule = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
        return Err(ConfigError::Rule(rule.to_owned()));
    }
    Ok(())
}

/// What holds for a group, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupConfig {
    pub consumer_session_timeout_ms: i32,
    pub consumer_heartbeat_interval_ms: i32,
    pub consumer_assignment_interval_ms: i32,
}

impl GroupConfig {
    /// What holds for a group with these settings of its own, on a broker with those. A value that was valid when it was set and no
    /// longer lies within the broker's bounds counts as the nearer bound, as in Kafka.
    pub fn new(own: &Overrides, broker: &ConsumerSettings) -> GroupConfig {
        let value = |name: &str, of_broker: i32| {
            let row = OBEYED.iter().find(|row| row.setting.name == name);
            let (min, max) = bounds(name, broker);
            row.and_then(|row| row.own(own)).map_or(of_broker, |value| value.min(max).max(min))
        };
        GroupConfig {
            consumer_session_timeout_ms: value("consumer.session.timeout.ms", broker.session_timeout_ms),
            consumer_heartbeat_interval_ms: value("consumer.heartbeat.interval.ms", broker.heartbeat_interval_ms),
            consumer_assignment_interval_ms: value("consumer.assignment.interval.ms", broker.assignment_interval_ms),
        }
    }
}

fn bounds(name: &str, broker: &ConsumerSettings) -> (i32, i32) {
    match name {
        "consumer.session.timeout.ms" => (broker.min_session_timeout_ms, broker.max_session_timeout_ms),
        "consumer.heartbeat.interval.ms" => (broker.min_heartbeat_interval_ms, broker.max_heartbeat_interval_ms),
        _ => (broker.min_assignment_interval_ms, broker.max_assignment_interval_ms),
    }
}

impl GroupSetting {
    fn own(&self, own: &Overrides) -> Option<i32> {
        match self.setting.parse(own.get(self.setting.name)?) {
            Ok(Value::Int(value)) => Some(value),
            _ => None,
        }
    }
}

/// Every setting of a group with these settings of its own, on a broker with those, in order of names.
pub fn describe(broker: &Settings, own: &Overrides) -> Vec<Described> {
    let describe = |row: &'static GroupSetting| {
        let name = row.setting.name;
        let mut synonyms = Vec::new();
        if let Some(value) = row.own(own) {
            synonyms.push(DescribedSynonym { name, value: value.to_string(), source: Source::Group });
        }
        if let Some(value) = broker.given(row.of_broker) {
            let (name, value) = (row.of_broker, value.to_text());
            synonyms.push(DescribedSynonym { name, value, source: Source::StaticBroker });
        }
        if let Some(value) = table::setting(row.of_broker).and_then(|setting| setting.default) {
            let (name, value) = (row.of_broker, value.to_owned());
            synonyms.push(DescribedSynonym { name, value, source: Source::Default });
        }
        let first = synonyms.first()?;
        let (value, source) = (first.value.clone(), first.source);
        Some(Described { name, value, source, synonyms, ty: row.setting.ty, doc: row.setting.doc })
    };
    OBEYED.iter().filter_map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::GroupSettings, *};

    fn own(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn broker() -> ConsumerSettings {
        GroupSettings::default().consumer
    }

    #[test]
    fn the_table_is_in_order_and_agrees_with_the_brokers() {
        assert!(OBEYED.is_sorted_by_key(|row| row.setting.name));
        for row in OBEYED {
            let of_broker = table::setting(row.of_broker).unwrap();
            assert_eq!(row.setting.default, of_broker.default, "{}", row.setting.name);
            assert!(row.setting.default_value().is_some() && row.setting.doc.ends_with('.'));
        }
    }

    #[test]
    fn the_group_goes_before_the_broker_within_its_bounds() {
        let mut broker = broker();
        broker.heartbeat_interval_ms = 6000;
        let config = GroupConfig::new(&own(&[("consumer.session.timeout.ms", " 50000 ")]), &broker);
        let expected = GroupConfig {
            consumer_session_timeout_ms: 50_000,
            consumer_heartbeat_interval_ms: 6_000,
            consumer_assignment_interval_ms: 1_000,
        };
        assert_eq!(config, expected);
        broker.max_session_timeout_ms = 47_000;
        broker.min_assignment_interval_ms = 10;
        let set = own(&[("consumer.session.timeout.ms", "50000"), ("consumer.assignment.interval.ms", "0")]);
        let capped = GroupConfig::new(&set, &broker);
        let expected =
            GroupConfig { consumer_session_timeout_ms: 47_000, consumer_assignment_interval_ms: 10, ..expected };
        assert_eq!(capped, expected);
    }

    #[test]
    fn what_a_group_may_not_be_given_is_told_as_by_kafka() {
        let mut wide = broker();
        (wide.min_session_timeout_ms, wide.max_heartbeat_interval_ms) = (1, 60_000);
        for (broker, pairs, told) in [
            (broker(), &[][..], Ok(())),
            (
                broker(),
                &[("consumer.session.timeout.ms", "45000"), ("consumer.heartbeat.interval.ms", "15000")],
                Ok(()),
            ),
            (
                broker(),
                &[("consumer.session.timeout", "45000")],
                Err("Unknown group config name: consumer.session.timeout"),
            ),
            (
                broker(),
                &[("share.session.timeout.ms", "45000")],
                Err("share.session.timeout.ms is not supported yet: it belongs to share groups"),
            ),
            (
                broker(),
                &[("consumer.session.timeout.ms", "0")],
                Err("Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1"),
            ),
            (
                broker(),
                &[("consumer.session.timeout.ms", "long")],
                Err("Invalid value long for configuration consumer.session.timeout.ms: Not a number of type INT"),
            ),
            (
                broker(),
                &[("consumer.session.timeout.ms", "44999")],
                Err(
                    "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
                ),
            ),
            (
                broker(),
                &[("consumer.heartbeat.interval.ms", "15001")],
                Err(
                    "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
                ),
            ),
            (
                broker(),
                &[("consumer.assignment.interval.ms", "15001")],
                Err(
                    "consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms",
                ),
            ),
            (
                wide.clone(),
                &[("consumer.session.timeout.ms", "5000")],
                Err("consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"),
            ),
            (
                wide,
                &[("consumer.heartbeat.interval.ms", "45000")],
                Err("consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"),
            ),
        ] {
            let result = validate(&own(pairs), &broker).map_err(|error| error.to_string());
            assert_eq!(result, told.map_err(str::to_owned), "{pairs:?}");
        }
    }

    #[test]
    fn description_tells_values_sources_and_synonyms() {
        let broker = Settings::of(&[("group.consumer.session.timeout.ms", "46000")]).unwrap();
        let described = describe(&broker, &own(&[("consumer.heartbeat.interval.ms", "6000")]));
        let told: Vec<String> = described
            .iter()
            .map(|one| {
                let synonyms = one.synonyms.iter().map(|s| format!(", {}={} {:?}", s.name, s.value, s.source));
                format!("{}={} {:?}{}", one.name, one.value, one.source, synonyms.collect::<String>())
            })
            .collect();
        assert_eq!(
            told,
            [
                "consumer.assignment.interval.ms=1000 Default, group.consumer.assignment.interval.ms=1000 Default",
                "consumer.heartbeat.interval.ms=6000 Group, consumer.heartbeat.interval.ms=6000 Group, \
                 group.consumer.heartbeat.interval.ms=5000 Default",
                "consumer.session.timeout.ms=46000 StaticBroker, group.consumer.session.timeout.ms=46000 StaticBroker, \
                 group.consumer.session.timeout.ms=45000 Default",
            ]
        );
    }
}
