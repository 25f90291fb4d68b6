//! The settings of the group coordinator: what holds for all groups of this broker.

use felice_protocol::record::Codec;

use super::{ConfigError, Problem, Settings, broker::Read, setting::Value};

/// What the group coordinator is told, as plain data that pure code can look at. Times are in milliseconds, sizes in bytes.
/// A field is one setting, named as Kafka names it without its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// Whether `group.coordinator.rebalance.protocols` has `consumer`; `classic` is always there.
    pub consumer_protocol: bool,
    pub classic: ClassicSettings,
    pub consumer: ConsumerSettings,
    pub offsets: OffsetSettings,
    pub offsets_topic: OffsetsTopicSettings,
}

/// `group.*`: groups of the classic protocol. `min_session_timeout_ms` <= `max_session_timeout_ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicSettings {
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    /// Not negative.
    pub initial_rebalance_delay_ms: i32,
    /// At least 1.
    pub max_size: usize,
}

/// `group.consumer.*`: groups of the consumer protocol (KIP-848).
///
/// Invariants: each of `session_timeout_ms`, `heartbeat_interval_ms` and `assignment_interval_ms` lies within its minimum and maximum,
/// and the heartbeat interval is less than the session timeout. The three hold for a group that has no other setting of its own:
/// see [`GroupConfig`](super::GroupConfig).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    pub session_timeout_ms: i32,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub min_heartbeat_interval_ms: i32,
    pub max_heartbeat_interval_ms: i32,
    pub assignment_interval_ms: i32,
    pub min_assignment_interval_ms: i32,
    pub max_assignment_interval_ms: i32,
    /// At least 1.
    pub max_size: usize,
    /// By name, such as `uniform`: each is one of [`ASSIGNORS`], none twice. At least one; the first is for members that ask for
    /// none.
    pub assignors: Vec<&'static str>,
    pub migration_policy: MigrationPolicy,
    pub regex_refresh_interval_ms: i32,
}

/// `group.consumer.migration.policy`: which way groups with members may go between the two protocols. Empty ones always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    /// To the classic protocol only.
    Downgrade,
    /// To the consumer protocol only.
    Upgrade,
    Bidirectional,
}

impl MigrationPolicy {
    pub fn upgrades(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    pub fn downgrades(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// `offset*`: what is kept of commits, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetSettings {
    /// `offset.metadata.max.bytes`; nothing is allowed where the setting is negative, as in Kafka.
    pub metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub retention_ms: i64,
    pub retention_check_interval_ms: i64,
    pub load_buffer_size: usize,
}

/// `offsets.topic.*`: how `__consumer_offsets` is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsTopicSettings {
    pub num_partitions: i32,
    /// Where there are fewer brokers, that many.
    pub replication_factor: i16,
    pub segment_bytes: i32,
    /// Of the batches that the coordinator writes.
    pub compression_codec: Codec,
}

/// The assignors that a broker has, by the names that clients use, with the Java classes by which Kafka's properties may name
/// them too.
pub const ASSIGNORS: [(&str, &str); 2] = [
    ("uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor"),
    ("range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"),
];

/// Kafka's defaults.
impl Default for GroupSettings {
    fn default() -> Self {
        let settings = Settings::default();
        GroupSettings::new(&Read(&settings)).unwrap_or_else(|problems| unreachable!("{problems:?}"))
    }
}

impl GroupSettings {
    /// # Errors
    /// Rules over several settings, and settings whose values only this broker can judge.
    pub(super) fn new(read: &Read<'_>) -> Result<GroupSettings, Vec<Problem>> {
        let mut problems = rules(read);
        let protocols = read.list("group.coordinator.rebalance.protocols");
        let mut keep = |name: &str, error: ConfigError| problems.push(read.problem(name, error));
        if let Err(error) = check_protocols(&protocols) {
            keep("group.coordinator.rebalance.protocols", error);
        }
        let assignors = assignors(&read.list("group.consumer.assignors")).unwrap_or_else(|error| {
            keep("group.consumer.assignors", error);
            Vec::new()
        });
        let codec = read.int("offsets.topic.compression.codec");
        let compression_codec = u8::try_from(codec).ok().and_then(Codec::from_id).unwrap_or_else(|| {
            let rule = format!("Unknown compression type id: {codec}");
            keep("offsets.topic.compression.codec", ConfigError::Rule(rule));
            Codec::None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(GroupSettings {
            consumer_protocol: protocols.iter().any(|protocol| protocol == "consumer"),
            classic: ClassicSettings {
                min_session_timeout_ms: read.int("group.min.session.timeout.ms"),
                max_session_timeout_ms: read.int("group.max.session.timeout.ms"),
                initial_rebalance_delay_ms: read.int("group.initial.rebalance.delay.ms").max(0),
                max_size: read.size("group.max.size"),
            },
            consumer: ConsumerSettings {
                session_timeout_ms: read.int("group.consumer.session.timeout.ms"),
                min_session_timeout_ms: read.int("group.consumer.min.session.timeout.ms"),
                max_session_timeout_ms: read.int("group.consumer.max.session.timeout.ms"),
                heartbeat_interval_ms: read.int("group.consumer.heartbeat.interval.ms"),
                min_heartbeat_interval_ms: read.int("group.consumer.min.heartbeat.interval.ms"),
                max_heartbeat_interval_ms: read.int("group.consumer.max.heartbeat.interval.ms"),
                assignment_interval_ms: read.int("group.consumer.assignment.interval.ms"),
                min_assignment_interval_ms: read.int("group.consumer.min.assignment.interval.ms"),
                max_assignment_interval_ms: read.int("group.consumer.max.assignment.interval.ms"),
                max_size: read.size("group.consumer.max.size"),
                assignors,
                migration_policy: match read.value("group.consumer.migration.policy").to_text().to_lowercase().as_str()
                {
                    "disabled" => MigrationPolicy::Disabled,
                    "downgrade" => MigrationPolicy::Downgrade,
                    "upgrade" => MigrationPolicy::Upgrade,
                    _ => MigrationPolicy::Bidirectional,
                },
                regex_refresh_interval_ms: read.int("group.consumer.regex.refresh.interval.ms"),
            },
            offsets: OffsetSettings {
                metadata_max_bytes: read.size("offset.metadata.max.bytes"),
                retention_ms: i64::from(read.int("offsets.retention.minutes")) * 60_000,
                retention_check_interval_ms: read.long("offsets.retention.check.interval.ms"),
                load_buffer_size: read.size("offsets.load.buffer.size"),
            },
            offsets_topic: OffsetsTopicSettings {
                num_partitions: read.int("offsets.topic.num.partitions"),
                replication_factor: i16::try_from(read.int("offsets.topic.replication.factor")).unwrap_or(i16::MAX),
                segment_bytes: read.int("offsets.topic.segment.bytes"),
                compression_codec,
            },
        })
    }
}

/// What is wrong with numbers that bound each other. The words are Kafka's, which has all of them but the one for the classic
/// protocol: with such bounds it starts, and refuses every member.
fn rules(read: &Read<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut require = |name: &str, relation: &str, other: &str| {
        let (value, bound) = (read.int(name), read.int(other));
        let holds = match relation {
            "greater than or equal to" => value >= bound,
            "less than or equal to" => value <= bound,
            _ => value < bound,
        };
        if !holds {
            let rule = format!("{name} must be {relation} {other}");
            // It may be the bound that was set.
            let at_fault = if read.0.given(name).is_some() { name } else { other };
            problems.push(read.problem(at_fault, ConfigError::Rule(rule)));
        }
    };
    require("group.max.session.timeout.ms", "greater than or equal to", "group.min.session.timeout.ms");
    for what in ["heartbeat.interval.ms", "session.timeout.ms", "assignment.interval.ms"] {
        let [value, min, max] = ["", "min.", "max."].map(|bound| format!("group.consumer.{bound}{what}"));
        require(&max, "greater than or equal to", &min);
        require(&value, "greater than or equal to", &min);
        require(&value, "less than or equal to", &max);
    }
    require("group.consumer.heartbeat.interval.ms", "less than", "group.consumer.session.timeout.ms");
    problems
}

fn check_protocols(protocols: &[String]) -> Result<(), ConfigError> {
    const NAME: &str = "group.coordinator.rebalance.protocols";
    if protocols.is_empty() {
        let rule = format!(
            "Configuration '{NAME}' must not be empty. Valid values include: [consumer, classic, share, streams]"
        );
        return Err(ConfigError::Rule(rule));
    }
    if !protocols.iter().any(|protocol| protocol == "classic") {
        return Err(ConfigError::Rule("Disabling the 'classic' protocol is not supported.".to_owned()));
    }
    if protocols.iter().any(|protocol| protocol != "classic" && protocol != "consumer") {
        let (value, only) = (Value::List(protocols.to_vec()).to_text(), "classic,consumer");
        return Err(ConfigError::ValueNotYet { name: NAME, value, only });
    }
    Ok(())
}

fn assignors(given: &[String]) -> Result<Vec<&'static str>, ConfigError> {
    const NAME: &str = "group.consumer.assignors";
    if given.is_empty() {
        let rule = format!("Configuration '{NAME}' must not be empty. Valid values include: any non-empty value");
        return Err(ConfigError::Rule(rule));
    }
    let mut assignors = Vec::new();
    for asked in given {
        let Some((name, _)) = ASSIGNORS.iter().find(|(name, class)| asked == name || asked == class) else {
            let reason = "there are uniform and range, and no Java classes".to_owned();
            return Err(ConfigError::Invalid { name: NAME, value: asked.clone(), reason });
        };
        if assignors.contains(name) {
            return Err(ConfigError::Rule(format!("Configuration '{NAME}' values must not be duplicated.")));
        }
        assignors.push(*name);
    }
    Ok(assignors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(pairs: &[(&str, &str)]) -> Result<GroupSettings, Vec<String>> {
        Settings::of(pairs)
            .and_then(|settings| GroupSettings::new(&Read(&settings)))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_kafkas() {
        assert_eq!(
            GroupSettings::default(),
            GroupSettings {
                consumer_protocol: true,
                classic: ClassicSettings {
                    min_session_timeout_ms: 6_000,
                    max_session_timeout_ms: 1_800_000,
                    initial_rebalance_delay_ms: 3_000,
                    max_size: i32::MAX as usize,
                },
                consumer: ConsumerSettings {
                    session_timeout_ms: 45_000,
                    min_session_timeout_ms: 45_000,
                    max_session_timeout_ms: 60_000,
                    heartbeat_interval_ms: 5_000,
                    min_heartbeat_interval_ms: 5_000,
                    max_heartbeat_interval_ms: 15_000,
                    assignment_interval_ms: 1_000,
                    min_assignment_interval_ms: 0,
                    max_assignment_interval_ms: 15_000,
                    max_size: i32::MAX as usize,
                    assignors: vec!["uniform", "range"],
                    migration_policy: MigrationPolicy::Bidirectional,
                    regex_refresh_interval_ms: 600_000,
                },
                offsets: OffsetSettings {
                    metadata_max_bytes: 4096,
                    retention_ms: 7 * 24 * 3_600_000,
                    retention_check_interval_ms: 600_000,
                    load_buffer_size: 5 << 20,
                },
                offsets_topic: OffsetsTopicSettings {
                    num_partitions: 50,
                    replication_factor: 3,
                    segment_bytes: 100 << 20,
                    compression_codec: Codec::None,
                },
            }
        );
    }

    #[test]
    fn settings_become_fields() {
        let groups = groups(&[
            ("group.coordinator.rebalance.protocols", "classic"),
            ("group.initial.rebalance.delay.ms", "-5"),
            ("group.consumer.assignors", " org.apache.kafka.coordinator.group.assignor.RangeAssignor, uniform"),
            ("group.consumer.migration.policy", "UpGrade"),
            ("offsets.retention.minutes", "2147483647"),
            ("offsets.topic.compression.codec", "4"),
            ("offset.metadata.max.bytes", "-1"),
        ])
        .unwrap();
        assert!(!groups.consumer_protocol);
        assert_eq!(groups.classic.initial_rebalance_delay_ms, 0);
        assert_eq!(groups.consumer.assignors, ["range", "uniform"]);
        assert_eq!(groups.consumer.migration_policy, MigrationPolicy::Upgrade);
        assert!(groups.consumer.migration_policy.upgrades() && !groups.consumer.migration_policy.downgrades());
        assert_eq!(groups.offsets.retention_ms, 2_147_483_647 * 60_000);
        assert_eq!((groups.offsets.metadata_max_bytes, groups.offsets_topic.compression_codec), (0, Codec::Zstd));
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (pairs, told) in [
            (
                &[("group.min.session.timeout.ms", "7000"), ("group.max.session.timeout.ms", "6999")][..],
                "group.max.session.timeout.ms must be greater than or equal to group.min.session.timeout.ms",
            ),
            (
                &[("group.consumer.heartbeat.interval.ms", "4999")],
                "group.consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
            ),
            (
                &[("group.consumer.heartbeat.interval.ms", "15001")],
                "group.consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
            ),
            (
                &[("group.consumer.max.session.timeout.ms", "44999"), ("group.consumer.min.session.timeout.ms", "1")],
                "group.consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
            ),
            (
                &[("group.consumer.min.session.timeout.ms", "5000"), ("group.consumer.session.timeout.ms", "5000")],
                "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms",
            ),
            (
                &[("group.consumer.min.assignment.interval.ms", "2000")],
                "group.consumer.assignment.interval.ms must be greater than or equal to group.consumer.min.assignment.interval.ms",
            ),
            (
                &[("group.coordinator.rebalance.protocols", "consumer")],
                "Disabling the 'classic' protocol is not supported.",
            ),
            (
                &[("group.coordinator.rebalance.protocols", "classic,share")],
                "group.coordinator.rebalance.protocols=classic,share is not supported yet; only \
                 group.coordinator.rebalance.protocols=classic,consumer is",
            ),
            (
                &[("group.coordinator.rebalance.protocols", "classic,eager")],
                "Invalid value eager for configuration group.coordinator.rebalance.protocols: String must be one of: \
                 consumer, classic, share, streams",
            ),
            (
                &[("group.consumer.assignors", "")],
                "Configuration 'group.consumer.assignors' must not be empty. Valid values include: any non-empty value",
            ),
            (
                &[("group.consumer.assignors", "range,range")],
                "Configuration 'group.consumer.assignors' values must not be duplicated.",
            ),
            (
                &[("group.consumer.assignors", "com.example.Mine")],
                "Invalid value com.example.Mine for configuration group.consumer.assignors: there are uniform and range, and \
                 no Java classes",
            ),
            (&[("offsets.topic.compression.codec", "5")], "Unknown compression type id: 5"),
            (
                &[("group.consumer.regex.refresh.interval.ms", "9999")],
                "Invalid value 9999 for configuration group.consumer.regex.refresh.interval.ms: Value must be at least 10000",
            ),
            (
                &[("group.consumer.migration.policy", "both")],
                "Invalid value both for configuration group.consumer.migration.policy: String must be one of (case \
                 insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL",
            ),
        ] {
            assert_eq!(groups(pairs), Err(vec![format!("--set: {told}")]), "{pairs:?}");
        }
    }
}
