//! PURE: when the disk of a data folder may be appended to: while it has room.

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
}
