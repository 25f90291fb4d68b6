//! Retention, partition by partition.

use tracing::{error, info};

use super::{
    super::{Partition, scalars::AtRest, stored::Keeper},
    Shared,
};
use crate::{
    log::{Expired, LogConfig, LogError},
    model::Timestamp,
    store::StoreError,
};

/// What keeps old segments from being removed.
#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the log start cannot be stored: {0}")]
    Store(#[from] StoreError),
}

/// Which partitions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Compacted,
    NotCompacted,
}

impl Shared {
    /// Removes what is due of these partitions.
    pub(super) fn enforce_retention(&self, which: Which) {
        for partition in self.replicas.all() {
            if self.is_stopped() {
                return;
            }
            let is_compacted = partition.settings.load().log.compacts;
            if which == Which::All || is_compacted == (which == Which::Compacted) {
                self.expire(&partition);
            }
        }
    }

    fn expire(&self, partition: &Partition) {
        // Who compacts it sees to this afterwards.
        let Some(_tended) = partition.tended.try_lock() else { return };
        match partition.enforce_retention(self.replicas.keeper(), self.replicas.now()) {
            Ok(None) => {}
            Ok(Some(expired)) => {
                let Expired { segments, bytes, log_start, files } = expired;
                info!(
                    partition = %partition.name(),
                    "removed {segments} old segments ({bytes} bytes), the log starts at {log_start} now"
                );
                self.delete_later(files, partition.settings.load().log.file_delete_delay_ms);
            }
            // A deletion takes the log away under our hands.
            Err(_) if partition.is_closed() => {}
            // That its disk failed was told.
            Err(RetentionError::Log(LogError::Failed { .. })) => {}
            Err(error) => error!(partition = %partition.name(), "old segments cannot be removed: {error}"),
        }
    }
}

impl Partition {
    /// Takes old segments out of the log, durably; their files have to be deleted.
    fn enforce_retention(&self, keeper: &Keeper, now: Timestamp) -> Result<Option<Expired>, RetentionError> {
        let config = &self.settings.load().log;
        if self.is_closed() || self.known_at_rest().is_some_and(|at_rest| !may_be_due(&at_rest, config, now)) {
            return Ok(None);
        }
        let log = self.log()?;
        let before = log.log_start();
        let expired = log.enforce_retention(self.high_watermark(), now, || {
            self.keep(keeper, |_| ())?;
            Ok::<_, RetentionError>(keeper.sync()?)
        });
        if log.log_start() > before {
            self.wake_fetches();
        }
        expired
    }
}

/// Whether a log is worth being opened, as nobody did since it was closed cleanly. (What lies below the log start goes when it
/// is opened.)
fn may_be_due(at_rest: &AtRest, config: &LogConfig, now: Timestamp) -> bool {
    let is_large = u64::try_from(config.retention_bytes).is_ok_and(|limit| at_rest.size > limit);
    let is_old = config.retention_ms >= 0 && now.0.saturating_sub(at_rest.oldest_timestamp.0) > config.retention_ms;
    config.deletes && at_rest.size > 0 && (is_large || is_old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LeaderEpoch, Offset};

    #[test]
    fn a_log_at_rest_is_opened_only_where_something_may_be_due() {
        let config = |deletes, retention_bytes, retention_ms| LogConfig {
            deletes,
            retention_bytes,
            retention_ms,
            ..LogConfig::default()
        };
        for (size, age_ms, config, expected) in [
            (0, 1000, config(true, 0, 0), false),
            (10, 1000, config(true, -1, -1), false),
            (10, 1000, config(true, -1, 999), true),
            (10, 1000, config(true, -1, 1000), false),
            (10, 1000, config(true, 9, -1), true),
            (10, 1000, config(true, 10, -1), false),
            (10, 1000, config(false, 0, 0), false),
        ] {
            let at_rest = AtRest {
                log_end: Offset(5),
                latest_epoch: LeaderEpoch(0),
                log_start_epoch: LeaderEpoch(0),
                size,
                segments: 1,
                oldest_timestamp: Timestamp(5_000 - age_ms),
                first_undecided: None,
            };
            assert_eq!(may_be_due(&at_rest, &config, Timestamp(5_000)), expected, "{size} {config:?}");
        }
    }
}
