//! The settings of groups, under Kafka's names; the defaults are Kafka 4.3's. Times in milliseconds unless their names say
//! otherwise.

use crate::{
    config::{self, GroupConfig},
    metadata::Image,
};

pub use crate::config::MigrationPolicy;

/// The default of `max.message.bytes`.
const RECORD_MAX_BYTES: usize = 1_048_588;

/// What the broker's settings say of groups.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms` and `group.max.session.timeout.ms`: what members of classic groups may ask for.
    pub classic_min_session_timeout_ms: i32,
    pub classic_max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub classic_max_size: usize,
    /// `group.coordinator.rebalance.protocols` has `consumer` (and `group.version` is 1).
    pub serves_consumer_protocol: bool,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `group.consumer.assignors`; the first one is what a group gets that asks for none.
    pub assignors: Vec<String>,
    /// `group.consumer.max.size`
    pub consumer_max_size: usize,
    /// `group.consumer.*`, for groups that have no settings of their own.
    pub consumer: ConsumerGroupConfig,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_interval_ms: i32,
    /// By which a group's own settings are bounded.
    pub consumer_bounds: config::ConsumerSettings,
    /// What one batch of records may take: `max.message.bytes` of the topic that the groups are kept in.
    pub record_max_bytes: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention_minutes: i32,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
}

/// What may be set for each group that speaks the consumer protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    /// Between two target assignments at least.
    pub assignment_interval_ms: i32,
}

impl Default for GroupSettings {
    fn default() -> Self {
        GroupSettings::from(&config::GroupSettings::default())
    }
}

impl From<&config::GroupSettings> for GroupSettings {
    fn from(settings: &config::GroupSettings) -> Self {
        let config::GroupSettings { classic, consumer, offsets, .. } = settings;
        GroupSettings {
            classic_min_session_timeout_ms: classic.min_session_timeout_ms,
            classic_max_session_timeout_ms: classic.max_session_timeout_ms,
            initial_rebalance_delay_ms: classic.initial_rebalance_delay_ms,
            classic_max_size: classic.max_size,
            serves_consumer_protocol: settings.consumer_protocol,
            migration: consumer.migration_policy,
            assignors: consumer.assignors.iter().map(|name| (*name).to_owned()).collect(),
            consumer_max_size: consumer.max_size,
            consumer: ConsumerGroupConfig {
                session_timeout_ms: consumer.session_timeout_ms,
                heartbeat_interval_ms: consumer.heartbeat_interval_ms,
                assignment_interval_ms: consumer.assignment_interval_ms,
            },
            regex_refresh_interval_ms: consumer.regex_refresh_interval_ms,
            consumer_bounds: consumer.clone(),
            record_max_bytes: RECORD_MAX_BYTES,
            offset_metadata_max_bytes: offsets.metadata_max_bytes,
            offsets_retention_minutes: i32::try_from(offsets.retention_ms / 60_000).unwrap_or(i32::MAX),
            offsets_retention_check_interval_ms: offsets.retention_check_interval_ms,
        }
    }
}

impl GroupSettings {
    /// A group's own settings, or else the broker's.
    pub fn consumer_group(&self, image: &Image, group_id: &str) -> ConsumerGroupConfig {
        let own = image.group_config(group_id);
        if own.is_empty() {
            return self.consumer;
        }
        let config = GroupConfig::new(&own, &self.consumer_bounds);
        ConsumerGroupConfig {
            session_timeout_ms: config.consumer_session_timeout_ms,
            heartbeat_interval_ms: config.consumer_heartbeat_interval_ms,
            assignment_interval_ms: config.consumer_assignment_interval_ms,
        }
    }
}
