//! The settings of a topic: what may be set, what holds, and where it comes from.
//!
//! A topic's own setting goes before the broker's setting for all topics, which has another name
//! (`segment.bytes` and `log.segment.bytes`), and that before the default.

use std::collections::BTreeMap;

use super::{
    ConfigError, Settings,
    setting::{
        Setting,
        Type::{self, Boolean, Double, Int, List, Long},
        Valid::{self, Any, AtLeast, Between, BetweenOrMinusOne, OneOf, Ratio},
        Value, split_list,
    },
    table::{self, CLEANUP_POLICIES, CODECS, MAX_LONG, NEVER, TIMESTAMP_TYPES},
};

/// A setting of topics, with the broker settings that hold where a topic does not set it, the first one first.
#[derive(Debug)]
pub struct TopicSetting {
    pub setting: Setting,
    synonyms: &'static [Synonym],
}

/// A broker setting, and how many of the topic setting's units one of its own is.
#[derive(Debug, Clone, Copy)]
struct Synonym {
    name: &'static str,
    times: i64,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

const fn same(name: &'static str) -> Synonym {
    Synonym { name, times: 1 }
}

const fn row(
    name: &'static str,
    ty: Type,
    default: &'static str,
    valid: Valid,
    synonyms: &'static [Synonym],
    doc: &'static str,
) -> TopicSetting {
    TopicSetting { setting: Setting { name, ty, default: Some(default), valid, dynamic: true, doc }, synonyms }
}

const FOREVER: &str = MAX_LONG.unwrap();

#[rustfmt::skip]
static OBEYED: &[TopicSetting] = &[
    row("cleanup.policy", List, "delete", CLEANUP_POLICIES, &[same("log.cleanup.policy")],
        "What happens to old records: `delete` removes old segments, `compact` keeps the last record of each key, both do both; empty keeps everything."),
    row("compression.gzip.level", Int, "-1", BetweenOrMinusOne(1, 9), &[same("compression.gzip.level")],
        "Level for batches that the broker compresses with gzip."),
    row("compression.lz4.level", Int, "9", Between(1, 17), &[same("compression.lz4.level")],
        "Level for batches that the broker compresses with lz4."),
    row("compression.type", Type::String, "producer", OneOf(CODECS), &[same("compression.type")],
        "The codec in which batches are stored; `producer` keeps them as they came."),
    row("compression.zstd.level", Int, "3", Between(-131_072, 22), &[same("compression.zstd.level")],
        "Level for batches that the broker compresses with zstd."),
    row("delete.retention.ms", Long, "86400000", AtLeast(0), &[same("log.cleaner.delete.retention.ms")],
        "How long a tombstone or transaction marker stays in a compacted topic after it was first cleaned."),
    row("file.delete.delay.ms", Long, "60000", AtLeast(0), &[same("log.segment.delete.delay.ms")],
        "How long the files of a deleted segment stay on disk, renamed."),
    row("flush.messages", Long, FOREVER, AtLeast(1), &[same("log.flush.interval.messages")],
        "Records after which a partition is flushed to disk. At 1 every acknowledgement waits for its flush, and so survives a power loss."),
    row("flush.ms", Long, FOREVER, AtLeast(0), &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        "Time after which written records are flushed to disk."),
    row("index.interval.bytes", Int, "4096", AtLeast(0), &[same("log.index.interval.bytes")],
        "Bytes of log between two entries of the offset index."),
    row("max.compaction.lag.ms", Long, FOREVER, AtLeast(1), &[same("log.cleaner.max.compaction.lag.ms")],
        "Time after which a record must become eligible for compaction, however little of the log is dirty."),
    row("max.message.bytes", Int, "1048588", AtLeast(0), &[same("message.max.bytes")],
        "The largest record batch, as it arrives (that is, compressed)."),
    row("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), &[same("log.message.timestamp.after.max.ms")],
        "How far a producer's timestamp may lie in the future."),
    row("message.timestamp.before.max.ms", Long, FOREVER, AtLeast(0), &[same("log.message.timestamp.before.max.ms")],
        "How far a producer's timestamp may lie in the past."),
    row("message.timestamp.type", Type::String, "CreateTime", OneOf(TIMESTAMP_TYPES), &[same("log.message.timestamp.type")],
        "Whether a record's timestamp is the producer's or the time of its append."),
    row("min.cleanable.dirty.ratio", Double, "0.5", Ratio, &[same("log.cleaner.min.cleanable.ratio")],
        "The share of a compacted log that must be dirty before it is cleaned."),
    row("min.compaction.lag.ms", Long, "0", AtLeast(0), &[same("log.cleaner.min.compaction.lag.ms")],
        "Time for which a record is not compacted."),
    row("min.insync.replicas", Int, "1", AtLeast(1), &[same("min.insync.replicas")],
        "In-sync replicas without which a write with acks=all is refused."),
    row("preallocate", Boolean, "false", NEVER, &[same("log.preallocate")],
        "Whether a segment's file is made at full size at once."),
    row("remote.storage.enable", Boolean, "false", NEVER, &[],
        "Whether closed segments are moved to remote storage."),
    row("retention.bytes", Long, "-1", Any, &[same("log.retention.bytes")],
        "Size of a partition above which its oldest segments are deleted; -1 is without limit."),
    row("retention.ms", Long, "604800000", AtLeast(-1), &[
        same("log.retention.ms"),
        Synonym { name: "log.retention.minutes", times: MINUTE_MS },
        Synonym { name: "log.retention.hours", times: HOUR_MS },
    ],
        "Age of its newest record at which a segment is deleted; -1 is without limit."),
    row("segment.bytes", Int, "1073741824", AtLeast(1_048_576), &[same("log.segment.bytes")],
        "Size at which a segment is closed and the next one begun."),
    row("segment.index.bytes", Int, "10485760", AtLeast(4), &[same("log.index.size.max.bytes")],
        "Largest size of a segment's offset index; a segment whose index is full is closed."),
    row("segment.jitter.ms", Long, "0", AtLeast(0), &[same("log.roll.jitter.ms"), Synonym { name: "log.roll.jitter.hours", times: HOUR_MS }],
        "The most by which a segment is closed before segment.ms, at random, so that not all close at once."),
    row("segment.ms", Long, "604800000", AtLeast(1), &[same("log.roll.ms"), Synonym { name: "log.roll.hours", times: HOUR_MS }],
        "Age at which a segment is closed."),
    row("unclean.leader.election.enable", Boolean, "false", NEVER, &[same("unclean.leader.election.enable")],
        "Whether a replica that lacks acknowledged records may lead."),
];

/// Topic settings that Kafka obeys and Felice refuses so far, and what they belong to.
static NOT_YET: &[(&str, &str)] = &[
    ("follower.replication.throttled.replicas", "quotas"),
    ("leader.replication.throttled.replicas", "quotas"),
    ("local.retention.bytes", "tiered storage"),
    ("local.retention.ms", "tiered storage"),
    ("remote.log.copy.disable", "tiered storage"),
    ("remote.log.delete.on.disable", "tiered storage"),
];

/// The topic settings that may be set, in order of their names.
pub fn settings() -> &'static [TopicSetting] {
    OBEYED
}

/// The obeyed setting called `name`.
///
/// # Errors
/// [`ConfigError::NotYet`] where only Kafka obeys it, [`ConfigError::UnknownTopicSetting`] where nobody does.
pub fn setting(name: &str) -> Result<&'static Setting, ConfigError> {
    if let Some(row) = OBEYED.iter().find(|row| row.setting.name == name) {
        return Ok(&row.setting);
    }
    match NOT_YET.iter().find(|(known, _)| *known == name) {
        Some((_, feature)) => Err(ConfigError::NotYet { name: name.to_owned(), feature }),
        None => Err(ConfigError::UnknownTopicSetting(name.to_owned())),
    }
}

/// Whether a topic may be given this value. It is stored and shown as it came, spaces and all, as Kafka does: who compares
/// what he set with what he is shown must find no difference.
///
/// # Errors
/// As [`setting`] and [`Setting::parse`].
pub fn validate(name: &str, value: &str) -> Result<(), ConfigError> {
    setting(name)?.parse(value).map(|_| ())
}

/// Whether these settings of a topic, each of which is [valid](validate), go together.
///
/// # Errors
/// [`ConfigError::Rule`], in Kafka's words.
pub fn validate_together(overrides: &Overrides) -> Result<(), ConfigError> {
    check_compaction_lags(&Lookup { broker: &Settings::default(), overrides })
}

/// The same of what a broker sets for all topics.
pub(super) fn validate_defaults(broker: &Settings) -> Result<(), ConfigError> {
    check_compaction_lags(&Lookup { broker, overrides: &Overrides::new() })
}

fn check_compaction_lags(of: &Lookup<'_>) -> Result<(), ConfigError> {
    let (min, max) = (of.long("min.compaction.lag.ms"), of.long("max.compaction.lag.ms"));
    if min <= max {
        return Ok(());
    }
    let rule = format!("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})");
    Err(ConfigError::Rule(rule))
}

/// What holds for a topic. Times are in milliseconds and sizes in bytes, as in Kafka; `i64::MAX` stands for "never".
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// Whether `cleanup.policy` has `delete`.
    pub deletes: bool,
    /// Whether `cleanup.policy` has `compact`.
    pub compacts: bool,
    /// -1 is without limit.
    pub retention_ms: i64,
    /// -1 is without limit.
    pub retention_bytes: i64,
    pub file_delete_delay_ms: i64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    /// 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    pub segment_bytes: u32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    pub max_message_bytes: u32,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub min_insync_replicas: u32,
    pub compression: TopicCompression,
    pub flush_messages: i64,
    pub flush_ms: i64,
}

/// Whose clock a record's timestamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// How batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCompression {
    /// As they came.
    Producer,
    Uncompressed,
    /// Level 1 to 9, or the codec's own choice.
    Gzip {
        level: Option<i32>,
    },
    Snappy,
    /// Level 1 to 17.
    Lz4 {
        level: i32,
    },
    /// Level -131072 to 22.
    Zstd {
        level: i32,
    },
}

/// Where a value comes from. The numbers are those of `DescribeConfigs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// The topic's own setting (`DYNAMIC_TOPIC_CONFIG`).
    Topic = 1,
    /// The broker's properties file or command line (`STATIC_BROKER_CONFIG`).
    StaticBroker = 4,
    Default = 5,
    /// The group's own setting (`DYNAMIC_GROUP_CONFIG`).
    Group = 8,
}

/// One setting as `DescribeConfigs` tells it. None is sensitive; those of topics can be changed, a broker's cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
    /// All that is said about it, the one that holds first.
    pub synonyms: Vec<DescribedSynonym>,
    pub ty: Type,
    pub doc: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSynonym {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
}

/// A topic's own settings by name, as the cluster's metadata keeps them.
pub type Overrides = BTreeMap<String, String>;

impl TopicConfig {
    /// What holds for a topic with these settings of its own, on a broker with those.
    ///
    /// # Errors
    /// Only where `overrides` were not [validated](validate).
    pub fn new(broker: &Settings, overrides: &Overrides) -> Result<TopicConfig, ConfigError> {
        for (name, value) in overrides {
            validate(name, value)?;
        }
        let of = Lookup { broker, overrides };
        let codec = of.text("compression.type");
        let policy = of.text("cleanup.policy");
        Ok(TopicConfig {
            deletes: split_list(&policy).iter().any(|policy| policy == "delete"),
            compacts: split_list(&policy).iter().any(|policy| policy == "compact"),
            retention_ms: of.long("retention.ms"),
            retention_bytes: of.long("retention.bytes"),
            file_delete_delay_ms: of.long("file.delete.delay.ms"),
            delete_retention_ms: of.long("delete.retention.ms"),
            min_compaction_lag_ms: of.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: of.long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: of.text("min.cleanable.dirty.ratio").parse().unwrap_or_default(),
            segment_bytes: of.size("segment.bytes"),
            segment_ms: of.long("segment.ms"),
            segment_jitter_ms: of.long("segment.jitter.ms"),
            segment_index_bytes: of.size("segment.index.bytes"),
            index_interval_bytes: of.size("index.interval.bytes"),
            max_message_bytes: of.size("max.message.bytes"),
            timestamp_type: match of.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: of.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: of.long("message.timestamp.after.max.ms"),
            min_insync_replicas: of.size("min.insync.replicas"),
            compression: match codec.as_str() {
                "uncompressed" => TopicCompression::Uncompressed,
                "gzip" => TopicCompression::Gzip {
                    level: Some(of.int("compression.gzip.level")).filter(|level| *level != -1),
                },
                "snappy" => TopicCompression::Snappy,
                "lz4" => TopicCompression::Lz4 { level: of.int("compression.lz4.level") },
                "zstd" => TopicCompression::Zstd { level: of.int("compression.zstd.level") },
                _ => TopicCompression::Producer,
            },
            flush_messages: of.long("flush.messages"),
            flush_ms: of.long("flush.ms"),
        })
    }
}

/// Every setting of a topic with these settings of its own, on a broker with those, in order of names.
pub fn describe(broker: &Settings, overrides: &Overrides) -> Vec<Described> {
    let of = Lookup { broker, overrides };
    OBEYED.iter().map(|row| of.describe(row)).collect()
}

/// Layers a topic's settings over its broker's over the defaults.
struct Lookup<'a> {
    broker: &'a Settings,
    overrides: &'a Overrides,
}

impl Lookup<'_> {
    fn describe(&self, row: &'static TopicSetting) -> Described {
        let name = row.setting.name;
        let mut synonyms = Vec::new();
        let own = self.overrides.get(name).filter(|_| self.own(row).is_some());
        if let Some(value) = own {
            synonyms.push(DescribedSynonym { name, value: value.clone(), source: Source::Topic });
        }
        for synonym in row.synonyms {
            if let Some(value) = self.broker.given(synonym.name) {
                synonyms.push(DescribedSynonym {
                    name: synonym.name,
                    value: value.to_text(),
                    source: Source::StaticBroker,
                });
            }
        }
        // As in Kafka, the default is told under the first synonym's name, and not at all where that has none.
        let first = row.synonyms.first().and_then(|synonym| table::setting(synonym.name));
        if let Some(Setting { name, default: Some(value), .. }) = first {
            synonyms.push(DescribedSynonym { name, value: (*value).to_owned(), source: Source::Default });
        }
        Described {
            name,
            value: own.cloned().unwrap_or_else(|| self.value(row).to_text()),
            source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
            synonyms,
            ty: row.setting.ty,
            doc: row.setting.doc,
        }
    }

    fn value(&self, row: &TopicSetting) -> Value {
        let of_broker = || row.synonyms.iter().find_map(|synonym| self.of_broker(row, synonym));
        self.own(row)
            .or_else(of_broker)
            .or_else(|| row.setting.default_value())
            .unwrap_or_else(|| unreachable!("every topic setting has a valid default, which a test checks"))
    }

    fn own(&self, row: &TopicSetting) -> Option<Value> {
        self.overrides.get(row.setting.name).and_then(|text| row.setting.parse(text).ok())
    }

    fn of_broker(&self, row: &TopicSetting, synonym: &Synonym) -> Option<Value> {
        match (self.broker.given(synonym.name)?, row.setting.ty) {
            // Any negative time is "without limit".
            (Value::Int(value), Type::Long) if *value < 0 => Some(Value::Long(-1)),
            (Value::Long(value), _) if *value < 0 && row.setting.name == "retention.ms" => Some(Value::Long(-1)),
            (Value::Int(value), Type::Long) => Some(Value::Long(i64::from(*value).saturating_mul(synonym.times))),
            (Value::Long(value), Type::Long) => Some(Value::Long(value.saturating_mul(synonym.times))),
            (value, _) => Some(value.clone()),
        }
    }

    fn named(&self, name: &str) -> Value {
        let row = OBEYED.iter().find(|row| row.setting.name == name);
        row.map(|row| self.value(row)).unwrap_or_else(|| unreachable!("{name} is in the table, which a test checks"))
    }

    fn int(&self, name: &str) -> i32 {
        match self.named(name) {
            Value::Int(value) => value,
            other => unreachable!("{name} is an INT in the table, not {other:?}"),
        }
    }

    /// An INT whose valid values are not negative.
    fn size(&self, name: &str) -> u32 {
        u32::try_from(self.int(name)).unwrap_or_default()
    }

    fn long(&self, name: &str) -> i64 {
        match self.named(name) {
            Value::Long(value) => value,
            other => unreachable!("{name} is a LONG in the table, not {other:?}"),
        }
    }

    fn text(&self, name: &str) -> String {
        self.named(name).to_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn broker(pairs: &[(&str, &str)]) -> Settings {
        Settings::of(pairs).expect("settings")
    }

    #[test]
    fn the_table_is_in_order_and_agrees_with_the_brokers() {
        assert!(OBEYED.is_sorted_by_key(|row| row.setting.name));
        for row in OBEYED {
            let default = row.setting.default_value().map(|value| value.to_text());
            assert_eq!(default.as_deref(), row.setting.default, "{}", row.setting.name);
            for synonym in row.synonyms {
                assert!(table::setting(synonym.name).is_some(), "{} of {}", synonym.name, row.setting.name);
            }
            assert!(row.setting.doc.ends_with('.'));
        }
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = TopicConfig::new(&broker(&[]), &overrides(&[])).unwrap();
        assert_eq!(
            config,
            TopicConfig {
                deletes: true,
                compacts: false,
                retention_ms: 7 * 24 * HOUR_MS,
                retention_bytes: -1,
                file_delete_delay_ms: MINUTE_MS,
                delete_retention_ms: 24 * HOUR_MS,
                min_compaction_lag_ms: 0,
                max_compaction_lag_ms: i64::MAX,
                min_cleanable_dirty_ratio: 0.5,
                segment_bytes: 1 << 30,
                segment_ms: 7 * 24 * HOUR_MS,
                segment_jitter_ms: 0,
                segment_index_bytes: 10 << 20,
                index_interval_bytes: 4096,
                max_message_bytes: 1_048_588,
                timestamp_type: TimestampType::CreateTime,
                timestamp_before_max_ms: i64::MAX,
                timestamp_after_max_ms: HOUR_MS,
                min_insync_replicas: 1,
                compression: TopicCompression::Producer,
                flush_messages: i64::MAX,
                flush_ms: i64::MAX,
            }
        );
    }

    #[test]
    fn the_topic_goes_before_the_broker_and_the_first_synonym_before_the_second() {
        let hours = broker(&[("log.roll.hours", "2"), ("log.segment.bytes", "2097152"), ("compression.type", "gzip")]);
        let config = TopicConfig::new(&hours, &overrides(&[("segment.bytes", "1048576")])).unwrap();
        assert_eq!((config.segment_ms, config.segment_bytes), (2 * HOUR_MS, 1_048_576));
        assert_eq!(config.compression, TopicCompression::Gzip { level: None });

        let both =
            broker(&[("log.roll.hours", "2"), ("log.roll.ms", "5000"), ("log.flush.scheduler.interval.ms", "9")]);
        let own = overrides(&[("compression.type", "zstd"), ("compression.zstd.level", "-7")]);
        let config = TopicConfig::new(&both, &own).unwrap();
        assert_eq!((config.segment_ms, config.flush_ms), (5000, 9));
        assert_eq!(config.compression, TopicCompression::Zstd { level: -7 });
    }

    #[test]
    fn any_negative_retention_time_of_the_broker_is_without_limit() {
        for (name, value, expected) in [
            ("log.retention.hours", "2", 2 * HOUR_MS),
            ("log.retention.hours", "-7", -1),
            ("log.retention.minutes", "3", 3 * MINUTE_MS),
            ("log.retention.minutes", "-1", -1),
            ("log.retention.ms", "-5", -1),
            ("log.retention.ms", "5", 5),
        ] {
            let config = TopicConfig::new(&broker(&[(name, value)]), &overrides(&[])).unwrap();
            assert_eq!(config.retention_ms, expected, "{name}={value}");
        }
        let config = TopicConfig::new(&broker(&[("log.retention.bytes", "-5")]), &overrides(&[])).unwrap();
        assert_eq!(config.retention_bytes, -5);
    }

    #[test]
    fn settings_must_go_together() {
        for (pairs, expected) in [
            (&[][..], Ok(())),
            (&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "5")], Ok(())),
            (
                &[("min.compaction.lag.ms", " 6"), ("max.compaction.lag.ms", "5")],
                Err("conflict topic config setting min.compaction.lag.ms (6) > max.compaction.lag.ms (5)"),
            ),
        ] {
            let result = validate_together(&overrides(pairs)).map_err(|error| error.to_string());
            assert_eq!(result, expected.map_err(str::to_owned), "{pairs:?}");
        }
    }

    #[test]
    fn description_tells_values_sources_and_synonyms() {
        let broker = broker(&[("message.max.bytes", "2000"), ("log.roll.hours", "1")]);
        let own = overrides(&[("max.message.bytes", "1000"), ("segment.bytes", " +1048576")]);
        let described = describe(&broker, &own);
        assert_eq!(described.len(), OBEYED.len());
        let tell = |name: &str| {
            let one = described.iter().find(|one| one.name == name).expect("described");
            let mut text = format!("{} {:?}", one.value, one.source);
            for synonym in &one.synonyms {
                text += &format!(", {}={} {:?}", synonym.name, synonym.value, synonym.source);
            }
            text
        };
        for (name, told) in [
            (
                "max.message.bytes",
                "1000 Topic, max.message.bytes=1000 Topic, message.max.bytes=2000 StaticBroker, message.max.bytes=1048588 Default",
            ),
            ("segment.bytes", " +1048576 Topic, segment.bytes= +1048576 Topic, log.segment.bytes=1073741824 Default"),
            ("segment.ms", "3600000 StaticBroker, log.roll.hours=1 StaticBroker"),
            ("flush.ms", "9223372036854775807 Default"),
            ("cleanup.policy", "delete Default, log.cleanup.policy=delete Default"),
            ("remote.storage.enable", "false Default"),
        ] {
            assert_eq!(tell(name), told, "{name}");
        }
    }

    #[test]
    fn only_what_is_obeyed_may_be_set() {
        for (name, value) in [
            ("segment.bytes", " 1048576 "),
            ("cleanup.policy", "delete"),
            ("cleanup.policy", "compact, delete"),
            ("cleanup.policy", ""),
            ("min.cleanable.dirty.ratio", " 0.01"),
            ("preallocate", "FALSE"),
            ("flush.messages", "1"),
        ] {
            assert_eq!(validate(name, value), Ok(()), "{name}={value}");
        }
        for (name, value, message) in [
            ("segment.byte", "1", "Unknown topic config name: segment.byte"),
            ("segment.bytes", "5", "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"),
            ("local.retention.ms", "1", "local.retention.ms is not supported yet: it belongs to tiered storage"),
            ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "cleanup.policy",
                "keep",
                "Invalid value keep for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            ("preallocate", "true", "preallocate=true is not supported yet; only preallocate=false is"),
            (
                "compression.type",
                "LZ4",
                "Invalid value LZ4 for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
        ] {
            assert_eq!(validate(name, value).map_err(|e| e.to_string()), Err(message.to_owned()), "{name}={value}");
        }
    }
}
