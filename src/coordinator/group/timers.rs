//! Deadlines: what is to happen when, if nothing happens before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::Timestamp;

/// What a deadline is for. There is at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A classic group waits for members to join: its initial delay, or its rebalance timeout.
    ClassicJoin {
        group: Arc<str>,
    },
    /// A classic group waits for its leader's assignment, and for its members to ask for it.
    ClassicSync {
        group: Arc<str>,
    },
    /// A member of a classic group was not heard of. Also one that was given a member id and has not joined with it.
    ClassicSession {
        group: Arc<str>,
        member: Arc<str>,
    },
    /// A member of a consumer group was not heard of.
    ConsumerSession {
        group: Arc<str>,
        member: Arc<str>,
    },
    /// A member of a consumer group has not given up the partitions that it should.
    ConsumerRebalance {
        group: Arc<str>,
        member: Arc<str>,
    },
    /// A member of a consumer group that speaks the classic protocol has not rejoined or not asked for its assignment.
    ConsumerJoin {
        group: Arc<str>,
        member: Arc<str>,
    },
    ConsumerSync {
        group: Arc<str>,
        member: Arc<str>,
    },
    /// A consumer group's regular expressions are due to be matched again.
    ConsumerRegex {
        group: Arc<str>,
    },
    /// Offsets and groups are looked through for what has expired.
    Expiry,
}

/// All deadlines of a coordinator.
#[derive(Debug, Default, Clone)]
pub struct Timers {
    at: BTreeMap<Timer, Timestamp>,
    queue: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    /// Sets a deadline, in place of the one that was set before.
    pub fn set(&mut self, timer: Timer, at: Timestamp) {
        if let Some(before) = self.at.insert(timer.clone(), at) {
            if before == at {
                return;
            }
            self.queue.remove(&(before, timer.clone()));
        }
        self.queue.insert((at, timer));
    }

    pub fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.at.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    /// When it is due; `None` where it is not set.
    pub fn deadline(&self, timer: &Timer) -> Option<Timestamp> {
        self.at.get(timer).copied()
    }

    /// All that are set.
    #[cfg(test)]
    pub fn pending(&self) -> impl Iterator<Item = &Timer> {
        self.at.keys()
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }

    /// The clock was set: all that is due is due by so many milliseconds later.
    pub fn shift(&mut self, by_ms: i64) {
        let shifted = |at: Timestamp| Timestamp(at.0.saturating_add(by_ms));
        self.at.values_mut().for_each(|at| *at = shifted(*at));
        self.queue = std::mem::take(&mut self.queue).into_iter().map(|(at, timer)| (shifted(at), timer)).collect();
    }

    pub fn clear(&mut self) {
        self.at.clear();
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_once_at_the_time_that_was_set_last() {
        let session = |member: &str| Timer::ConsumerSession { group: Arc::from("g"), member: Arc::from(member) };
        let mut timers = Timers::default();
        timers.set(session("a"), Timestamp(10));
        timers.set(session("b"), Timestamp(20));
        timers.set(session("a"), Timestamp(30));
        timers.set(Timer::Expiry, Timestamp(25));
        timers.cancel(&Timer::Expiry);
        assert_eq!((timers.next(), timers.deadline(&session("a"))), (Some(Timestamp(20)), Some(Timestamp(30))));
        assert_eq!(timers.pop_due(Timestamp(19)), None);
        assert_eq!(timers.pop_due(Timestamp(30)), Some(session("b")));
        timers.shift(-5);
        assert_eq!(timers.pop_due(Timestamp(24)), None);
        assert_eq!(timers.pop_due(Timestamp(25)), Some(session("a")));
        assert_eq!((timers.pop_due(Timestamp(99)), timers.next()), (None, None));
    }
}
