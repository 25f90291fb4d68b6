//! A broker's settings, typed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use super::{
    Bind, ConfigError, GroupSettings, ListenerConfig, OBEYED, Overrides, Problem, Setting, Settings, TopicConfig,
    controllers, listeners,
    setting::{Value, split_list},
    topic::{self, Described, DescribedSynonym, Source},
};
use crate::model::NodeId;

/// Everything that a broker is told at its start. Each field but the last is one setting, named as Kafka names it.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub node_id: NodeId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `log.dirs`; `None` where no folder was named.
    pub data_dir: Option<PathBuf>,
    /// At least one; the first is the one for other brokers (`inter.broker.listener.name`).
    pub listeners: Vec<ListenerConfig>,
    /// `controller.listener.names`: listeners that are not opened.
    pub controller_listeners: Vec<ListenerConfig>,
    /// `http.listen`, `--http`: where metrics and health are served; empty: nowhere.
    pub http: Vec<Bind>,

    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    pub max_connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `None`: connections may idle for ever.
    pub connections_max_idle: Option<Duration>,
    pub socket_request_max_bytes: usize,
    /// `None`: as much as the machine bears. Never less than `socket_request_max_bytes`.
    pub queued_max_request_bytes: Option<usize>,

    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    pub num_partitions: i32,
    pub default_replication_factor: i16,

    pub fetch_max_bytes: usize,
    pub max_incremental_fetch_session_cache_slots: usize,
    pub max_request_partition_size_limit: usize,
    pub producer_id_expiration: Duration,
    pub producer_id_expiration_check_interval: Duration,

    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    pub cleaner: CleanerConfig,
    /// `log.scrub.interval.ms`; `None`: never.
    pub scrub_interval: Option<Duration>,
    /// `log.scrub.io.max.bytes.per.second`.
    pub scrub_bytes_per_second: u64,
    /// `log.dir.min.free.bytes`; `None`: by the size of the disk.
    pub min_free_bytes: Option<u64>,
    /// `num.recovery.threads.per.data.dir`.
    pub recovery_threads: usize,

    /// The group coordinator's.
    pub groups: GroupSettings,

    /// What was set, from which topics and groups take their defaults and `DescribeConfigs` its answers.
    pub settings: Settings,
}

/// How compacted topics are compacted: the settings called `log.cleaner.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanerConfig {
    /// None where `log.cleaner.enable` is false.
    pub threads: usize,
    pub backoff: Duration,
    pub dedupe_buffer_bytes: usize,
    pub io_buffer_bytes: usize,
    pub load_factor: f64,
    pub io_max_bytes_per_second: f64,
}

impl BrokerConfig {
    /// Types the settings. `listen` is what `--listen` gave and goes before `listeners`, and so are `http` and `http.listen`.
    ///
    /// # Errors
    /// Rules over several settings, and settings whose text has a form of its own.
    pub(super) fn new(settings: Settings, listen: &[String], http: &[String]) -> Result<BrokerConfig, Vec<Problem>> {
        let mut problems = Vec::new();
        let read = Read(&settings);
        let mut keep = |result: Result<(), Problem>| problems.extend(result.err());

        let mut node_id = read.int("node.id");
        if let Some(&Value::Int(broker_id)) = settings.given("broker.id") {
            let node_id_given = settings.given("node.id").is_some();
            if !node_id_given && broker_id >= 0 {
                node_id = broker_id;
            }
            if broker_id != node_id && broker_id != -1 {
                let rule = format!("broker.id={broker_id} and node.id={node_id} must be the same");
                keep(Err(read.problem("broker.id", ConfigError::Rule(rule))));
            }
        }
        let roles = read.list("process.roles");
        if !["broker", "controller"].iter().all(|role| roles.iter().any(|given| given == role)) {
            let (value, only) = (roles.join(","), "broker,controller");
            // Whatever else such a file says is for another kind of node.
            let error = ConfigError::ValueNotYet { name: "process.roles", value, only };
            return Err(vec![read.problem("process.roles", error)]);
        }
        let data_dir = read.data_dir().unwrap_or_else(|problem| {
            keep(Err(problem));
            None
        });
        let overrides = read.max_connections_per_ip_overrides().unwrap_or_else(|problem| {
            keep(Err(problem));
            BTreeMap::new()
        });
        if read.int("max.connections.per.ip") == 0 && overrides.is_empty() {
            let rule = "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides is set";
            keep(Err(read.problem("max.connections.per.ip", ConfigError::Rule(rule.to_owned()))));
        }
        let queued = read.long("queued.max.request.bytes");
        if queued > 0 && queued < i64::from(read.int("socket.request.max.bytes")) {
            let rule = "queued.max.request.bytes must be larger or equal to socket.request.max.bytes";
            keep(Err(read.problem("queued.max.request.bytes", ConfigError::Rule(rule.to_owned()))));
        }
        for (name, told) in log_rules(&read) {
            keep(Err(read.problem(name, ConfigError::Rule(told))));
        }
        let groups = GroupSettings::new(&read).unwrap_or_else(|problems| {
            problems.into_iter().for_each(|problem| keep(Err(problem)));
            GroupSettings::default()
        });
        let listeners = listeners::listeners(&settings, listen).unwrap_or_else(|problem| {
            keep(Err(problem));
            listeners::Listeners::default()
        });
        let http = listeners::http(&settings, http).unwrap_or_else(|problem| {
            keep(Err(problem));
            Vec::new()
        });
        keep(controllers::check(&settings, &listeners.controllers, NodeId(node_id)));
        if !problems.is_empty() {
            return Err(problems);
        }

        Ok(BrokerConfig {
            node_id: NodeId(node_id),
            rack: settings.given("broker.rack").map(Value::to_text).filter(|rack| !rack.is_empty()),
            data_dir,
            listeners: listeners.brokers,
            controller_listeners: listeners.controllers,
            http,
            max_connections: read.size("max.connections"),
            max_connections_per_ip: read.size("max.connections.per.ip"),
            max_connections_per_ip_overrides: overrides,
            connections_max_idle: u64::try_from(read.long("connections.max.idle.ms")).ok().map(Duration::from_millis),
            socket_request_max_bytes: read.size("socket.request.max.bytes"),
            queued_max_request_bytes: usize::try_from(queued).ok().filter(|bytes| *bytes > 0),
            auto_create_topics: read.bool("auto.create.topics.enable"),
            delete_topics: read.bool("delete.topic.enable"),
            num_partitions: read.int("num.partitions"),
            default_replication_factor: i16::try_from(read.int("default.replication.factor")).unwrap_or(i16::MAX),
            fetch_max_bytes: read.size("fetch.max.bytes"),
            max_incremental_fetch_session_cache_slots: read.size("max.incremental.fetch.session.cache.slots"),
            max_request_partition_size_limit: read.size("max.request.partition.size.limit"),
            producer_id_expiration: read.millis("producer.id.expiration.ms"),
            producer_id_expiration_check_interval: read.millis("producer.id.expiration.check.interval.ms"),
            retention_check_interval: Duration::from_millis(
                u64::try_from(read.long("log.retention.check.interval.ms")).unwrap_or(u64::MAX),
            ),
            cleaner: CleanerConfig {
                threads: if read.bool("log.cleaner.enable") { read.size("log.cleaner.threads") } else { 0 },
                backoff: Duration::from_millis(u64::try_from(read.long("log.cleaner.backoff.ms")).unwrap_or(u64::MAX)),
                dedupe_buffer_bytes: usize::try_from(read.long("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX),
                io_buffer_bytes: read.size("log.cleaner.io.buffer.size"),
                load_factor: read.double("log.cleaner.io.buffer.load.factor"),
                io_max_bytes_per_second: read.double("log.cleaner.io.max.bytes.per.second"),
            },
            scrub_interval: u64::try_from(read.long("log.scrub.interval.ms")).ok().map(Duration::from_millis),
            scrub_bytes_per_second: u64::try_from(read.long("log.scrub.io.max.bytes.per.second")).unwrap_or(1),
            min_free_bytes: u64::try_from(read.long("log.dir.min.free.bytes")).ok(),
            recovery_threads: read.size("num.recovery.threads.per.data.dir"),
            groups,
            settings,
        })
    }

    /// What holds for a topic with these settings of its own.
    ///
    /// # Errors
    /// Only where `overrides` were not [validated](super::topic::validate).
    pub fn topic(&self, overrides: &Overrides) -> Result<TopicConfig, ConfigError> {
        TopicConfig::new(&self.settings, overrides)
    }
}

/// The broker's own settings that have a value, as `DescribeConfigs` tells them. All are read-only.
pub fn describe_broker(settings: &Settings) -> Vec<Described> {
    let describe = |setting: &'static Setting| {
        let told = |value: String, source| DescribedSynonym { name: setting.name, value, source };
        let given = settings.given(setting.name).map(|value| told(value.to_text(), Source::StaticBroker));
        let default = setting.default.map(|value| told(value.to_owned(), Source::Default));
        let synonyms: Vec<DescribedSynonym> = given.into_iter().chain(default).collect();
        let first = synonyms.first()?.clone();
        let (value, source) = (first.value, first.source);
        Some(Described { name: setting.name, value, source, synonyms, ty: setting.ty, doc: setting.doc })
    };
    OBEYED.iter().filter_map(describe).collect()
}

/// Kafka's defaults, but for those that Felice sets otherwise (see the table).
impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig::new(Settings::default(), &[], &[]).unwrap_or_else(|problems| unreachable!("{problems:?}"))
    }
}

/// What is wrong with settings of the log, taken together, and a setting that is at fault.
fn log_rules(read: &Read<'_>) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    let given = retention.into_iter().find_map(|name| Some((name, read.0.given(name)?)));
    if let Some((name, Value::Long(0) | Value::Int(0))) = given {
        let rule = "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
        wrong.push((name, rule.to_owned()));
    }
    let threads = i64::from(read.int("log.cleaner.threads"));
    let buffer = read.long("log.cleaner.dedupe.buffer.size");
    if read.bool("log.cleaner.enable") && threads > 0 && buffer / threads <= 1024 * 1024 {
        let rule = "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.";
        wrong.push(("log.cleaner.dedupe.buffer.size", rule.to_owned()));
    }
    if let Err(error) = topic::validate_defaults(read.0) {
        wrong.push(("log.cleaner.min.compaction.lag.ms", error.to_string()));
    }
    wrong
}

/// Reads settings whose type the table gives.
pub(super) struct Read<'a>(pub &'a Settings);

impl Read<'_> {
    pub(super) fn value(&self, name: &str) -> Value {
        self.0.effective(name).unwrap_or_else(|| unreachable!("{name} has a default in the table"))
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        self.value(name) == Value::Bool(true)
    }

    pub(super) fn int(&self, name: &str) -> i32 {
        match self.value(name) {
            Value::Int(value) => value,
            other => unreachable!("{name} is an INT in the table, not {other:?}"),
        }
    }

    pub(super) fn long(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Long(value) => value,
            other => unreachable!("{name} is a LONG in the table, not {other:?}"),
        }
    }

    fn double(&self, name: &str) -> f64 {
        self.value(name).to_text().parse().unwrap_or_else(|_| unreachable!("{name} is a DOUBLE in the table"))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(values) => values,
            other => unreachable!("{name} is a LIST in the table, not {other:?}"),
        }
    }

    /// An INT whose valid values are not negative.
    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.int(name)).unwrap_or_default()
    }

    fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(self.size(name) as u64)
    }

    pub(super) fn problem(&self, name: &str, error: ConfigError) -> Problem {
        Problem { origin: self.0.origin(name), error }
    }

    fn data_dir(&self) -> Result<Option<PathBuf>, Problem> {
        let Some((name, dirs)) = ["log.dirs", "log.dir"].into_iter().find_map(|name| Some((name, self.0.given(name)?)))
        else {
            return Ok(None);
        };
        let rule = |text: String| Err(self.problem(name, ConfigError::Rule(text)));
        match dirs {
            Value::List(dirs) if dirs.len() > 1 => {
                rule(format!("{name} names {} folders; more than one is not supported yet", dirs.len()))
            }
            Value::List(dirs) => match dirs.first() {
                Some(dir) if !dir.is_empty() => Ok(Some(PathBuf::from(dir))),
                _ => rule(format!("{name} names no folder")),
            },
            other => unreachable!("{name} is a LIST in the table, not {other:?}"),
        }
    }

    /// `address:limit` with commas between.
    fn max_connections_per_ip_overrides(&self) -> Result<BTreeMap<IpAddr, usize>, Problem> {
        const NAME: &str = "max.connections.per.ip.overrides";
        let mut overrides = BTreeMap::new();
        for entry in split_list(&self.value(NAME).to_text()) {
            let invalid = |reason: &str| {
                let (value, reason) = (entry.clone(), reason.to_owned());
                self.problem(NAME, ConfigError::Invalid { name: NAME, value, reason })
            };
            let (host, limit) = entry.rsplit_once(':').ok_or_else(|| invalid("expected address:limit"))?;
            let limit: u32 = limit.trim().parse().map_err(|_| invalid("the limit must be a number of connections"))?;
            let host = host.trim().trim_start_matches('[').trim_end_matches(']');
            let ips = match host.parse::<IpAddr>() {
                Ok(ip) => vec![ip.to_canonical()],
                Err(_) if host == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                Err(_) => return Err(invalid("only addresses are supported yet, no host names")),
            };
            overrides.extend(ips.into_iter().map(|ip| (ip, limit as usize)));
        }
        Ok(overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<BrokerConfig, Vec<String>> {
        Settings::of(pairs)
            .and_then(|settings| BrokerConfig::new(settings, &[], &[]))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_kafkas_but_for_the_listed() {
        let config = BrokerConfig::default();
        assert_eq!(config.node_id, NodeId(1));
        assert_eq!(config.connections_max_idle, Some(Duration::from_secs(600)));
        assert_eq!(config.socket_request_max_bytes, 100 << 20);
        assert_eq!(config.queued_max_request_bytes, None);
        assert_eq!((config.num_partitions, config.default_replication_factor), (1, 1));
        assert_eq!((config.auto_create_topics, config.delete_topics), (true, true));
        assert_eq!(config.fetch_max_bytes, 55 << 20);
        assert_eq!(config.max_connections, i32::MAX as usize);
        assert_eq!((config.data_dir, config.rack), (None, None));
    }

    #[test]
    fn settings_become_fields() {
        let config = config(&[
            ("broker.id", "7"),
            ("log.dirs", "/data"),
            ("log.dir", "/other"),
            ("broker.rack", "east"),
            ("connections.max.idle.ms", "-1"),
            ("queued.max.request.bytes", "104857600"),
            ("max.connections.per.ip", "0"),
            ("max.connections.per.ip.overrides", "10.0.0.1:5, localhost:9,[2001:db8::1]:2"),
            ("process.roles", "controller,broker"),
        ])
        .unwrap();
        assert_eq!(config.node_id, NodeId(7));
        assert_eq!(config.data_dir, Some(PathBuf::from("/data")));
        assert_eq!(config.rack.as_deref(), Some("east"));
        assert_eq!(config.connections_max_idle, None);
        assert_eq!(config.queued_max_request_bytes, Some(100 << 20));
        let overrides: Vec<(String, usize)> =
            config.max_connections_per_ip_overrides.iter().map(|(ip, limit)| (ip.to_string(), *limit)).collect();
        let expected = [("10.0.0.1", 5), ("127.0.0.1", 9), ("::1", 9), ("2001:db8::1", 2)];
        assert_eq!(overrides, expected.map(|(ip, limit)| (ip.to_owned(), limit)));
    }

    #[test]
    fn description_tells_what_was_set_and_what_holds() {
        let settings = Settings::of(&[("num.partitions", "3"), ("broker.rack", "east")]).unwrap();
        let described = describe_broker(&settings);
        let tell = |name: &str| {
            let one = described.iter().find(|one| one.name == name)?;
            Some(format!("{} {:?} of {}", one.value, one.source, one.synonyms.len()))
        };
        assert_eq!(tell("num.partitions").as_deref(), Some("3 StaticBroker of 2"));
        assert_eq!(tell("broker.rack").as_deref(), Some("east StaticBroker of 1"));
        assert_eq!(tell("node.id").as_deref(), Some("1 Default of 1"));
        assert_eq!(tell("log.roll.ms"), None);
    }

    #[test]
    fn rules_over_several_settings() {
        for (pairs, told) in [
            (&[("node.id", "1"), ("broker.id", "2")][..], "--set: broker.id=2 and node.id=1 must be the same"),
            (&[("log.dirs", "/a,/b")], "--set: log.dirs names 2 folders; more than one is not supported yet"),
            (&[("log.dirs", "")], "--set: log.dirs names no folder"),
            (
                &[("queued.max.request.bytes", "1000")],
                "--set: queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
            ),
            (
                &[("max.connections.per.ip", "0")],
                "--set: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides is set",
            ),
            (
                &[("log.retention.ms", "0")],
                "--set: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
            ),
            (
                &[("log.retention.hours", "0")],
                "--set: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
            ),
            (
                &[("log.cleaner.dedupe.buffer.size", "4194304"), ("log.cleaner.threads", "4")],
                "--set: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
            ),
            (
                &[("log.cleaner.min.compaction.lag.ms", "2"), ("log.cleaner.max.compaction.lag.ms", "1")],
                "--set: conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)",
            ),
            (
                &[("process.roles", "broker")],
                "--set: process.roles=broker is not supported yet; only process.roles=broker,controller is",
            ),
            (
                &[("max.connections.per.ip.overrides", "a.example:1")],
                "--set: Invalid value a.example:1 for configuration max.connections.per.ip.overrides: only addresses are supported yet, no host names",
            ),
            (
                &[("max.connections.per.ip.overrides", "10.0.0.1:x")],
                "--set: Invalid value 10.0.0.1:x for configuration max.connections.per.ip.overrides: the limit must be a number of connections",
            ),
        ] {
            assert_eq!(config(pairs).map(|_| ()), Err(vec![told.to_owned()]), "{pairs:?}");
        }
        assert!(
            config(&[("log.retention.hours", "0"), ("log.retention.ms", "9")]).is_ok(),
            "what goes before it holds"
        );
        let two = [("broker.id", "2"), ("node.id", "1"), ("log.dirs", "")];
        assert_eq!(config(&two).unwrap_err().len(), 2);
    }
}
