//! Lines about peers that were turned away: the first of each at once, repetitions summed up.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use parking_lot::Mutex;
use tokio::{select, sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    env::{RefusalLog, SharedEnv, Summary},
    model::Timestamp,
};

/// Running out of file descriptors is told this often.
const EXHAUSTION_QUIET: Duration = Duration::from_secs(60);

/// Tells whoever reads the log about refused peers, without letting them fill it.
pub struct Refusals {
    env: SharedEnv,
    log: Mutex<RefusalLog>,
    counted: Notify,
    exhausted: Mutex<Option<Timestamp>>,
    /// How many there were of each kind.
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    pub fn new(env: SharedEnv) -> Refusals {
        Refusals {
            env,
            log: Mutex::default(),
            counted: Notify::new(),
            exhausted: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// A connection was closed for `reason`, which is of this `kind` and which the peer is to blame for.
    pub fn closed(&self, peer: SocketAddr, kind: &'static str, reason: &str) {
        let now = self.env.now();
        *self.counts.lock().entry(kind).or_default() += 1;
        let tell = self.log.lock().note(now, peer.ip(), kind);
        self.counted.notify_one();
        if tell {
            warn!("closed the connection of {peer}: {reason}");
        }
    }

    /// How many connections were closed, by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    /// Whether running out of file descriptors has not been told for a while.
    pub fn first_exhaustion(&self) -> bool {
        let now = self.env.now();
        let mut exhausted = self.exhausted.lock();
        let tell = exhausted.is_none_or(|at| now >= at.plus(EXHAUSTION_QUIET));
        if tell {
            *exhausted = Some(now);
        }
        tell
    }

    /// Writes the sums, until the broker stops. Sleeps while there is nothing to sum up.
    pub async fn sum_up(&self, stopping: CancellationToken) {
        loop {
            let deadline = self.log.lock().next_deadline();
            let due = async {
                match deadline {
                    None => self.counted.notified().await,
                    Some(at) => {
                        let left = at.0.saturating_sub(self.env.now().0);
                        sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1))).await;
                    }
                }
            };
            select! {
                () = stopping.cancelled() => return,
                () = due => {}
            }
            let summaries = self.log.lock().summaries(self.env.now());
            for line in lines(&summaries) {
                warn!("{line}");
            }
        }
    }
}

/// One line for each peer and kind; where that would be many, for each kind.
fn lines(summaries: &[Summary]) -> Vec<String> {
    const FEW: usize = 8;
    if summaries.len() <= FEW {
        let line = |summary: &Summary| {
            let (count, seconds) = (summary.count, summary.over.as_secs());
            match summary.of {
                Some((peer, kind)) => format!("closed {count} more connections of {peer} in {seconds} s: {kind}"),
                None => format!("closed {count} more connections of other peers in {seconds} s"),
            }
        };
        return summaries.iter().map(line).collect();
    }
    let mut kinds: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for summary in summaries {
        let (peers, count, seconds) = kinds.entry(summary.of.map_or("various", |(_, kind)| kind)).or_default();
        *peers += 1;
        *count += summary.count;
        *seconds = summary.over.as_secs().max(*seconds);
    }
    let line = |(kind, (peers, count, seconds))| {
        format!("closed {count} more connections of {peers} peers in {seconds} s: {kind}")
    };
    kinds.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_peers_share_a_line() {
        let of = |last: u8, kind| Summary {
            of: Some(([10, 0, 0, last].into(), kind)),
            count: 3,
            over: Duration::from_secs(60),
        };
        assert_eq!(
            lines(&[of(1, "TLS handshakes"), Summary { of: None, ..of(0, "") }]),
            [
                "closed 3 more connections of 10.0.0.1 in 60 s: TLS handshakes",
                "closed 3 more connections of other peers in 60 s"
            ]
        );
        let many: Vec<Summary> =
            (0..200).map(|last| of(last, if last % 2 == 0 { "TLS handshakes" } else { "HTTP requests" })).collect();
        assert_eq!(
            lines(&many),
            [
                "closed 300 more connections of 100 peers in 60 s: HTTP requests",
                "closed 300 more connections of 100 peers in 60 s: TLS handshakes"
            ]
        );
    }
}
