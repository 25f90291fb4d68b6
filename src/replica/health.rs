//! PURE: when the disk of a data folder may be appended to: while it has room, and while what was flushed to it can be believed.

use crate::model::Timestamp;

/// Without `log.dir.min.free.bytes` this share of the disk is kept free ...
const FREE_SHARE: u64 = 32;
/// ... but never more than this, in bytes.
const FREE_MAX: u64 = 64 << 20;
/// Above the floor, before appends are taken again, in bytes.
const MARGIN_MAX: u64 = 16 << 20;
/// However fast a disk is, it does not fill faster, in bytes a millisecond.
const FILL_RATE_MAX: u64 = 8 << 20;
/// Others may fill the disk as well.
const LOOK_INTERVAL_MS_MAX: i64 = 1000;
/// Between two tries to verify a folder whose disk still fails.
const BACKOFF_MS_MIN: i64 = 1000;
const BACKOFF_MS_MAX: i64 = 30_000;

/// What is known of the space on a data folder's disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still take.
    pub available: u64,
    pub total: u64,
    /// What the store means to keep in reserve and has not set aside by now. Whoever appended to it would leave nothing to
    /// delete topics with.
    pub reserve_missing: u64,
}

/// Whether there is room for appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It cannot be used up before so many milliseconds from now.
    Enough {
        for_ms: i64,
    },
    Low,
}

/// The bytes that appends leave free. `set` is `log.dir.min.free.bytes`.
pub fn floor(set: Option<u64>, space: Space) -> u64 {
    let own = set.unwrap_or_else(|| (space.total / FREE_SHARE).min(FREE_MAX));
    // On a disk so small that a reserve will never be there, some room remains.
    own.saturating_add(space.reserve_missing.min(space.total / 8))
}

/// Judges the space that there is. Where it was low, it takes some more to be enough, so that a disk at the floor is not now
/// good and now bad.
pub fn room(set: Option<u64>, space: Space, was_low: bool) -> Room {
    let floor = floor(set, space);
    let needed = if was_low { floor.saturating_add((floor / 2).min(MARGIN_MAX)) } else { floor };
    match space.available.checked_sub(needed) {
        None => Room::Low,
        Some(above) => {
            let fills_in = i64::try_from(above / FILL_RATE_MAX).unwrap_or(i64::MAX);
            Room::Enough { for_ms: fills_in.min(LOOK_INTERVAL_MS_MAX) }
        }
    }
}

/// Whether flushes to a folder can be believed.
///
/// A flush that fails is told once. The kernel takes the pages for clean from then on, so that another flush succeeds and says
/// nothing about them. So the folder is suspect until everything that was not known to be on disk has been read, written anew
/// and flushed, in one round in which nothing fails.
///
/// ```text
///   Good --fail--> Suspect --begin--> Verifying --end, nothing failed--> Good
///                     ^                   |
///                     +--end, some failed-+   (the next round after 1 s, then 2, 4, ... 30 s)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    #[default]
    Good,
    Suspect {
        since: Timestamp,
        /// Rounds that failed.
        rounds: u32,
        next_round: Timestamp,
    },
    Verifying {
        since: Timestamp,
        rounds: u32,
        /// A flush failed after this round began.
        has_failed: bool,
    },
}

/// How a round of verifying ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The folder can be believed again, after so many milliseconds.
    Good { after_ms: i64 },
    /// Try again after so many milliseconds.
    Failed { retry_ms: i64 },
}

impl Trust {
    pub fn is_good(self) -> bool {
        self == Trust::Good
    }

    /// A flush has failed. True where that is news: the folder was good until now.
    pub fn fail(&mut self, now: Timestamp) -> bool {
        match self {
            Trust::Good => {
                *self = Trust::Suspect { since: now, rounds: 0, next_round: now };
                true
            }
            Trust::Suspect { .. } => false,
            Trust::Verifying { has_failed, .. } => {
                *has_failed = true;
                false
            }
        }
    }

    /// Milliseconds until the next round is due; `None` while there is nothing to verify.
    pub fn next_round(self, now: Timestamp) -> Option<i64> {
        match self {
            // A clock that was set back must not keep the folder suspect.
            Trust::Suspect { next_round, .. } => Some(next_round.0.saturating_sub(now.0).clamp(0, BACKOFF_MS_MAX)),
            Trust::Good | Trust::Verifying { .. } => None,
        }
    }

    /// A round begins.
    pub fn begin(&mut self) {
        if let Trust::Suspect { since, rounds, .. } = *self {
            *self = Trust::Verifying { since, rounds, has_failed: false };
        }
    }

    /// A round is over, in which everything could be verified or not.
    pub fn end(&mut self, now: Timestamp, is_good_now: bool) -> Verified {
        let Trust::Verifying { since, rounds, has_failed } = *self else {
            return Verified::Good { after_ms: 0 };
        };
        if is_good_now && !has_failed {
            *self = Trust::Good;
            return Verified::Good { after_ms: now.0.saturating_sub(since.0).max(0) };
        }
        let retry_ms = BACKOFF_MS_MIN.checked_shl(rounds).unwrap_or(i64::MAX).clamp(BACKOFF_MS_MIN, BACKOFF_MS_MAX);
        let next_round = Timestamp(now.0.saturating_add(retry_ms));
        *self = Trust::Suspect { since, rounds: rounds.saturating_add(1).min(16), next_round };
        Verified::Failed { retry_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn space(available: u64, total: u64) -> Space {
        Space { available, total, reserve_missing: 0 }
    }

    #[test]
    fn a_share_of_the_disk_stays_free() {
        for (set, total, reserve_missing, expected) in [
            (None, 64 * MIB, 0, 2 * MIB),
            (None, 2048 * MIB, 0, 64 * MIB),
            (None, 1 << 50, 0, 64 * MIB),
            (None, 64 * MIB, 10 * MIB, 10 * MIB),
            (None, 2048 * MIB, 10 * MIB, 74 * MIB),
            (Some(0), 2048 * MIB, 0, 0),
            (Some(0), 2048 * MIB, 10 * MIB, 10 * MIB),
            (Some(5), 64 * MIB, 0, 5),
            (Some(u64::MAX), 64 * MIB, 1, u64::MAX),
            (None, 0, 0, 0),
        ] {
            let space = Space { reserve_missing, ..space(0, total) };
            assert_eq!(floor(set, space), expected, "{set:?} {total} {reserve_missing}");
        }
    }

    #[test]
    fn room_is_looked_at_more_often_the_less_there_is() {
        let total = 2048 * MIB;
        for (available, was_low, expected) in [
            (total, false, Room::Enough { for_ms: 248 }),
            (64 * MIB + 80 * MIB, false, Room::Enough { for_ms: 10 }),
            (64 * MIB, false, Room::Enough { for_ms: 0 }),
            (64 * MIB - 1, false, Room::Low),
            (80 * MIB - 1, true, Room::Low),
            (80 * MIB, true, Room::Enough { for_ms: 0 }),
            (0, true, Room::Low),
        ] {
            assert_eq!(room(None, space(available, total), was_low), expected, "{available} {was_low}");
        }
        assert_eq!(room(None, space(1 << 50, 1 << 50), false), Room::Enough { for_ms: LOOK_INTERVAL_MS_MAX });
        assert_eq!(room(Some(u64::MAX), space(u64::MAX - 1, u64::MAX), true), Room::Low);
    }

    #[test]
    fn a_folder_is_good_again_after_a_round_in_which_nothing_fails() {
        let at = Timestamp;
        let mut trust = Trust::default();
        assert_eq!(trust.next_round(at(5)), None);
        assert!(trust.fail(at(1000)), "news");
        assert!(!trust.fail(at(1001)), "no news");
        assert_eq!(trust.next_round(at(1001)), Some(0));

        trust.begin();
        assert!(!trust.is_good() && trust.next_round(at(1002)).is_none());
        assert_eq!(trust.end(at(1100), false), Verified::Failed { retry_ms: 1000 });
        assert_eq!(trust.next_round(at(1100)), Some(1000));
        assert_eq!(trust.next_round(at(0)), Some(2100));
        assert_eq!(trust.next_round(at(i64::MIN)), Some(BACKOFF_MS_MAX), "a clock that was set back");

        trust.begin();
        trust.fail(at(2200));
        assert_eq!(trust.end(at(2300), true), Verified::Failed { retry_ms: 2000 }, "one failed in between");
        for retry_ms in [4000, 8000, 16_000, 30_000, 30_000] {
            trust.begin();
            assert_eq!(trust.end(at(2400), false), Verified::Failed { retry_ms });
        }
        for _ in 0..100 {
            trust.begin();
            assert_eq!(trust.end(at(2400), false), Verified::Failed { retry_ms: BACKOFF_MS_MAX });
        }
        trust.begin();
        assert_eq!(trust.end(at(4200), true), Verified::Good { after_ms: 3200 });
        assert!(trust.is_good());
        assert!(trust.fail(at(5000)), "news again");
        trust.begin();
        assert_eq!(trust.end(at(5000), false), Verified::Failed { retry_ms: 1000 }, "from the beginning");
    }
}
