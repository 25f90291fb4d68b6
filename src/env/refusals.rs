//! Keeps a peer that is refused again and again from filling the log: the first refusal is told, what follows is
//! counted and summed up. Pure: the caller has the clock and writes the lines.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::model::Timestamp;

/// How long refusals are counted before they are summed up.
const WINDOW: Duration = Duration::from_secs(60);

/// Peers that are counted one by one at a time; the refusals of others are counted together.
const PEERS_MAX: usize = 1024;

/// Counts refusals by peer and kind.
///
/// Holds at most [`PEERS_MAX`] counts and one for all others. A count begins with a refusal that was told and lasts for
/// [`WINDOW`]; if nothing came in that time it is forgotten, else it is summed up and begun again.
#[derive(Debug, Default)]
pub struct RefusalLog {
    counts: BTreeMap<(IpAddr, &'static str), Count>,
    others: Option<Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    /// Refusals that were not told.
    silent: u64,
}

/// Refusals that were not told one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Who was refused, and what for; `None` for all that were too many to tell apart.
    pub of: Option<(IpAddr, &'static str)>,
    pub count: u64,
    pub over: Duration,
}

impl RefusalLog {
    /// Notes that `peer` was refused, and says whether to tell it now.
    #[must_use]
    pub fn note(&mut self, now: Timestamp, peer: IpAddr, kind: &'static str) -> bool {
        let key = (peer.to_canonical(), kind);
        if let Some(count) = self.counts.get_mut(&key) {
            count.silent += 1;
            return false;
        }
        if self.counts.len() < PEERS_MAX {
            self.counts.insert(key, Count { since: now, silent: 0 });
            return true;
        }
        self.others.get_or_insert(Count { since: now, silent: 0 }).silent += 1;
        false
    }

    /// When [`RefusalLog::summaries`] next has something to do; `None` while nothing is counted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.counts.values().chain(&self.others).map(|count| count.since).min().map(|since| since.plus(WINDOW))
    }

    /// Sums up what was counted for long enough.
    pub fn summaries(&mut self, now: Timestamp) -> Vec<Summary> {
        let mut summaries = Vec::new();
        let mut close = |of, count: &mut Count| {
            if now < count.since.plus(WINDOW) {
                return true;
            }
            let went_on = count.silent > 0;
            if went_on {
                let over = Duration::from_millis(u64::try_from(now.0 - count.since.0).unwrap_or_default());
                summaries.push(Summary { of, count: count.silent, over });
            }
            *count = Count { since: now, silent: 0 };
            went_on
        };
        if let Some(mut count) = self.others {
            self.others = close(None, &mut count).then_some(count).filter(|count| count.silent > 0);
        }
        self.counts.retain(|key, count| close(Some(*key), count));
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp(1_000_000);
    const KIND: &str = "malformed frame";

    fn ip(last: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + last))
    }

    fn at(seconds: u64) -> Timestamp {
        T0.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_is_told_and_the_rest_summed_up() {
        let mut log = RefusalLog::default();
        assert_eq!(log.next_deadline(), None);
        assert!(log.note(at(0), ip(1), KIND));
        assert!(log.note(at(1), ip(1), "too many connections"), "another kind is told");
        assert!(log.note(at(1), ip(2), KIND), "another peer is told");
        for second in 2..50 {
            assert!(!log.note(at(second), ip(1), KIND));
        }
        assert_eq!(log.summaries(at(59)), []);
        assert_eq!(log.next_deadline(), Some(at(60)));
        let over = Duration::from_secs(61);
        assert_eq!(log.summaries(at(61)), [Summary { of: Some((ip(1), KIND)), count: 48, over }]);

        assert!(!log.note(at(70), ip(1), KIND), "who went on is not told one by one again");
        assert!(log.note(at(70), ip(2), KIND), "who paused is");
        assert_eq!(log.summaries(at(121)).len(), 1);
        assert_eq!(log.summaries(at(182)), []);
        assert_eq!(log.next_deadline(), None, "who stopped is forgotten");
    }

    #[test]
    fn one_peer_over_both_families_is_one() {
        let mut log = RefusalLog::default();
        assert!(log.note(T0, "10.0.0.1".parse().unwrap(), KIND));
        assert!(!log.note(T0, "::ffff:10.0.0.1".parse().unwrap(), KIND));
    }

    #[test]
    fn memory_is_bounded_however_many_peers_come() {
        let mut log = RefusalLog::default();
        let told = (0..100_000).filter(|peer| log.note(T0, ip(*peer), KIND)).count();
        assert_eq!((told, log.counts.len()), (PEERS_MAX, PEERS_MAX));
        let over = Duration::from_secs(60);
        assert_eq!(log.summaries(at(60)), [Summary { of: None, count: (100_000 - PEERS_MAX) as u64, over }]);
        assert_eq!((log.counts.len(), log.next_deadline()), (0, None));
        assert!(log.note(at(61), ip(7), KIND), "and then peers are told apart again");
    }
}
