//! Broker and topic settings under Kafka's names: what they are, what was set, and what holds.
//!
//! Three sources are layered, each over the one before: a properties file, `--set`, and flags. A name is either obeyed,
//! accepted with a warning because it has no meaning here, or refused; nothing is accepted and silently without effect.

mod banner;
mod broker;
mod controllers;
mod error;
pub mod group;
mod groups;
mod listeners;
mod setting;
mod settings;
mod table;
pub mod topic;

use std::path::Path;

pub use self::{
    banner::{banner, warning},
    broker::{BrokerConfig, CleanerConfig, describe_broker},
    error::ConfigError,
    group::GroupConfig,
    groups::{
        ASSIGNORS, ClassicSettings, ConsumerSettings, GroupSettings, MigrationPolicy, OffsetSettings,
        OffsetsTopicSettings,
    },
    listeners::{Advertised, Bind, Host, ListenerConfig, PLAINTEXT},
    setting::{Setting, Type, Valid, Value},
    settings::{Layers, Origin, Problem, Settings},
    table::{Kind, OBEYED, kind},
    topic::{Overrides, TimestampType, TopicCompression, TopicConfig},
};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Given<'a> {
    /// `--config`: the file's path and contents.
    pub file: Option<(&'a Path, &'a [u8])>,
    /// `--set`, each `name=value`.
    pub set: &'a [String],
    /// `--data-dir`.
    pub data_dir: Option<&'a Path>,
    /// `--listen`, each `host:port`.
    pub listen: &'a [String],
    /// `--http`, each `host:port`.
    pub http: &'a [String],
}

/// The broker's settings, and one warning for each that has no meaning here.
///
/// # Errors
/// Everything that is wrong with them, at least one problem.
pub fn load(given: &Given<'_>) -> Result<(BrokerConfig, Vec<String>), Vec<Problem>> {
    let mut layers = Layers::default();
    if let Some((path, contents)) = given.file {
        layers.file(path, contents);
    }
    for pair in given.set {
        layers.set(pair);
    }
    let (settings, mut warnings) = layers.finish()?;
    let mut config = BrokerConfig::new(settings, given.listen, given.http)?;
    warnings.extend(controllers::notes(&config.settings, &config.controller_listeners));
    if let Some(dir) = given.data_dir {
        config.data_dir = Some(dir.to_owned());
        config.settings.note_flag("--data-dir", "log.dirs", vec![dir.display().to_string()]);
    }
    if !given.listen.is_empty() {
        let listeners = given.listen.iter().map(|address| format!("{PLAINTEXT}://{address}"));
        config.settings.note_flag("--listen", "listeners", listeners.collect());
    }
    if !given.http.is_empty() {
        config.settings.note_flag("--http", "http.listen", given.http.to_vec());
    }
    Ok((config, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_over_what_is_set() {
        let set = ["log.dirs=/set".to_owned(), "listeners=PLAINTEXT://:1".to_owned()];
        let listen = ["localhost:2".to_owned()];
        let given =
            Given { set: &set, data_dir: Some(Path::new("/flag, with a comma")), listen: &listen, ..Given::default() };
        let (config, _) = load(&given).unwrap();
        assert_eq!(config.data_dir.as_deref(), Some(Path::new("/flag, with a comma")));
        assert_eq!(config.listeners[0].bind[0].to_string(), "localhost:2");
        let told = |name| config.settings.effective(name).map(|value| value.to_text());
        assert_eq!(told("listeners").as_deref(), Some("PLAINTEXT://localhost:2"));
        assert_eq!(told("log.dirs").as_deref(), Some("/flag, with a comma"));
    }

    #[test]
    fn the_file_that_kafka_ships_is_taken_as_it_is() {
        let file = include_bytes!("../../tests/fixtures/settings/server.properties");
        let given = Given { file: Some((Path::new("F"), file)), ..Given::default() };
        let (config, warnings) = load(&given).unwrap();
        let listeners: Vec<String> =
            config.listeners.iter().map(|listener| format!("{}@{}", listener.name, listener.bind[0])).collect();
        assert_eq!(listeners, ["PLAINTEXT@:9092"]);
        assert_eq!(config.data_dir.as_deref(), Some(Path::new("/tmp/kraft-combined-logs")));
        assert_eq!((config.recovery_threads, config.groups.offsets_topic.replication_factor), (2, 1));
        assert_eq!(warnings.len(), 9, "{warnings:#?}");
        let last = "CONTROLLER (:9093) is not opened: this node is its own controller, and there are no others yet";
        assert_eq!(warnings[8], last);
    }

    /// Those of Kafka's files that are for a node of another kind.
    #[test]
    fn a_file_for_a_node_of_a_cluster_is_refused_in_one_line() {
        for role in ["broker", "controller"] {
            let file = format!(
                "process.roles={role}\nnode.id=2\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
                 listeners={}\ncontroller.listener.names=CONTROLLER\n",
                if role == "broker" { "PLAINTEXT://localhost:9092" } else { "CONTROLLER://:9093" }
            );
            let given = Given { file: Some((Path::new("F"), file.as_bytes())), ..Given::default() };
            let problems = load(&given).unwrap_err();
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let why = "is not supported yet; only process.roles=broker,controller is";
            assert_eq!(told, [format!("F, line 1: process.roles={role} {why}")]);
        }
    }

    /// The facts of Kafka 4.3.1, so that a row that drifts is seen.
    #[test]
    fn the_table_agrees_with_kafka() {
        let facts = include_str!("kafka-4.3.tsv");
        let ours_by_choice = [
            "controller.listener.names",
            "group.coordinator.rebalance.protocols",
            "log.dir",
            "listeners",
            "node.id",
            "process.roles",
        ];
        for fact in facts.lines().filter(|line| !line.starts_with('#')) {
            let [scope, name, ty, default, valid, changes] = fact.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{fact}");
            };
            let setting = match scope {
                "broker" => match kind(name) {
                    Some(Kind::Obeyed(setting)) => setting,
                    Some(_) => continue,
                    None => panic!("{name} is in no kind"),
                },
                "topic" => match topic::setting(name) {
                    Ok(setting) => setting,
                    Err(ConfigError::NotYet { .. }) => continue,
                    Err(error) => panic!("{error}"),
                },
                "group" => match group::setting(name) {
                    Ok(setting) => setting,
                    Err(ConfigError::NotYet { .. }) => continue,
                    Err(error) => panic!("{error}"),
                },
                _ => panic!("{fact}"),
            };
            assert_eq!(format!("{:?}", setting.ty).to_uppercase(), ty, "{name}");
            assert_eq!(setting.dynamic, changes == "dynamic", "{name}");
            match setting.valid {
                // Looked at where the listeners are made.
                Valid::Any if name == "security.inter.broker.protocol" => {}
                // Looked at with the listeners too.
                Valid::Any if name.starts_with("controller.quorum.") => {}
                Valid::Any => assert_eq!(valid, "", "{name}"),
                // Kafka checks the bound of log.roll.ms elsewhere.
                Valid::AtLeast(min) if !valid.is_empty() => assert_eq!(valid, format!("[{min},...]"), "{name}"),
                Valid::Between(min, max) if name != "default.replication.factor" => {
                    assert_eq!(valid, format!("[{min},...,{max}]"), "{name}");
                }
                Valid::BetweenOrMinusOne(min, max) => assert_eq!(valid, format!("[{min},...,{max}] or -1"), "{name}"),
                Valid::OneOf(known) => assert_eq!(valid, format!("[{}]", known.join(", ")), "{name}"),
                Valid::OneOfAnyCase(known) => {
                    assert_eq!(valid, format!("(case insensitive) [{}]", known.join(", ")), "{name}");
                }
                _ => {}
            }
            if !ours_by_choice.contains(&name) {
                let default = default.trim_start_matches('[').trim_end_matches(']').replace(", ", ",");
                assert_eq!(setting.default.unwrap_or("null"), default, "{name}");
            }
        }
    }

    #[test]
    fn every_setting_has_a_text_and_a_valid_default() {
        for setting in OBEYED {
            assert!(setting.doc.ends_with('.') && setting.doc.len() < 260, "{}", setting.name);
            if let Some(default) = setting.default {
                assert!(setting.parse(default).is_ok(), "{}", setting.name);
            }
        }
    }
}
