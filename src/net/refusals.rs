//! Lines about peers that were turned away: the first of each at once, repetitions summed up.

use std::{net::SocketAddr, time::Duration};

use parking_lot::Mutex;
use tokio::{select, sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    env::{RefusalLog, SharedEnv},
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
}

impl Refusals {
    pub fn new(env: SharedEnv) -> Refusals {
        Refusals { env, log: Mutex::default(), counted: Notify::new(), exhausted: Mutex::default() }
    }

    /// A connection was closed for `reason`, which is of this `kind` and which the peer is to blame for.
    pub fn closed(&self, peer: SocketAddr, kind: &'static str, reason: &str) {
        let now = self.env.now();
        let tell = self.log.lock().note(now, peer.ip(), kind);
        self.counted.notify_one();
        if tell {
            warn!("closed the connection of {peer}: {reason}");
        }
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
            for summary in summaries {
                let (count, seconds) = (summary.count, summary.over.as_secs());
                match summary.of {
                    Some((peer, kind)) => warn!("closed {count} more connections of {peer} in {seconds} s: {kind}"),
                    None => warn!("closed {count} more connections of other peers in {seconds} s"),
                }
            }
        }
    }
}
