//! What the broker owes to its peers: the memory of finished responses that they have not taken, and of requests that wait.
//! One connection's share is bounded by its [`Pipeline`](super::pipeline::Pipeline); this bounds the sum of all.
//!
//! - Beyond half of the limit memory is *tight*: a connection that is owed something is not read from until it has taken
//!   that. Who asks and takes, one at a time, is always served.
//! - Beyond the limit whoever weighs most is closed: what it is owed, times how long it has not taken a byte of it. So peers that
//!   do not read go before those that read slowly, and those before small ones.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// The least that the limit is: small brokers have peers too.
const LIMIT_MIN: usize = 16 << 20;

/// What all connections share. Invariant: `sum` is no less than what all `debts` owe together, and the same once nobody is in the
/// middle of a change: it is raised before a share is, and lowered after.
#[derive(Debug)]
pub struct Owed {
    limit: usize,
    sum: AtomicUsize,
    started: Instant,
    next_id: AtomicU64,
    debts: Mutex<HashMap<u64, Arc<Share>>>,
}

/// One connection's share, and when its peer last did something.
#[derive(Debug)]
struct Share {
    bytes: AtomicUsize,
    /// When the peer last sent or took a byte, in milliseconds after [`Owed::started`].
    active: AtomicU64,
    /// It is the peer's turn: responses are there and it does not take them.
    blocked: AtomicBool,
    revoked: AtomicBool,
    told: Notify,
}

/// A connection's side of the account. What is still owed is forgotten when it is dropped.
#[derive(Debug)]
pub struct Account {
    owed: Arc<Owed>,
    id: u64,
    share: Arc<Share>,
}

impl Owed {
    pub fn new(limit: usize) -> Arc<Owed> {
        Arc::new(Owed {
            limit: limit.max(LIMIT_MIN),
            sum: AtomicUsize::new(0),
            started: Instant::now(),
            next_id: AtomicU64::new(0),
            debts: Mutex::default(),
        })
    }

    /// Bytes that are owed now.
    pub fn bytes(&self) -> usize {
        self.sum.load(Ordering::Relaxed)
    }

    pub fn open(self: &Arc<Self>) -> Account {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let share = Arc::new(Share {
            bytes: AtomicUsize::new(0),
            active: AtomicU64::new(self.at(Instant::now())),
            blocked: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            told: Notify::new(),
        });
        self.debts.lock().insert(id, Arc::clone(&share));
        Account { owed: Arc::clone(self), id, share }
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Closes the heaviest until the rest is well within the limit.
    fn relieve(&self) {
        let now = self.at(Instant::now());
        let debts = self.debts.lock();
        let mut over = self.sum.load(Ordering::Relaxed).saturating_sub(self.limit / 8 * 7);
        if over < self.limit / 8 {
            return; // another connection's task was first
        }
        let mut heaviest: Vec<(Reverse<u128>, &Arc<Share>)> = debts
            .values()
            .map(|share| (Reverse(share.weight(now)), share))
            .filter(|(weight, _)| weight.0 > 0)
            .collect();
        heaviest.sort_unstable_by_key(|(weight, _)| *weight);
        for (_, share) in heaviest {
            if over == 0 {
                break;
            }
            share.revoked.store(true, Ordering::Relaxed);
            let bytes = share.bytes.swap(0, Ordering::Relaxed);
            self.sum.fetch_sub(bytes, Ordering::Relaxed);
            over = over.saturating_sub(bytes);
            share.told.notify_one();
        }
    }
}

impl Share {
    fn weight(&self, now: u64) -> u128 {
        if self.revoked.load(Ordering::Relaxed) {
            return 0;
        }
        let blocked = self.blocked.load(Ordering::Relaxed);
        let ms = if blocked { now.saturating_sub(self.active.load(Ordering::Relaxed)) } else { 0 };
        self.bytes.load(Ordering::Relaxed) as u128 * u128::from(ms + 100)
    }
}

impl Account {
    pub fn add(&self, bytes: usize) {
        if self.share.revoked.load(Ordering::Relaxed) {
            return;
        }
        let sum = self.owed.sum.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.share.bytes.fetch_add(bytes, Ordering::Relaxed);
        if sum > self.owed.limit {
            self.owed.relieve();
        }
    }

    pub fn sub(&self, bytes: usize) {
        // After it was revoked nothing is left of the share.
        let before = self
            .share
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| Some(owed.saturating_sub(bytes)))
            .unwrap_or_default();
        self.owed.sum.fetch_sub(before.min(bytes), Ordering::Relaxed);
    }

    /// Whether memory is short enough that nobody should ask for more before taking what it is owed.
    pub fn is_tight(&self) -> bool {
        self.owed.sum.load(Ordering::Relaxed) > self.owed.limit / 2
    }

    /// The peer has sent or taken something, or its turn begins.
    pub fn touch(&self) {
        self.touch_at(Instant::now());
    }

    pub fn touch_at(&self, now: Instant) {
        self.share.active.store(self.owed.at(now), Ordering::Relaxed);
    }

    /// When the peer last sent or took something.
    pub fn last_active(&self) -> Instant {
        self.owed.started + Duration::from_millis(self.share.active.load(Ordering::Relaxed))
    }

    /// The peer's turn begins, or is over.
    pub fn set_blocked(&self, blocked: bool) {
        self.share.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Responses are there, and the peer has not taken all of them.
    pub fn is_blocked(&self) -> bool {
        self.share.blocked.load(Ordering::Relaxed)
    }

    /// Resolves when this connection must be closed for what it is owed.
    pub async fn revoked(&self) {
        while !self.share.revoked.load(Ordering::Relaxed) {
            self.share.told.notified().await;
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Under the lock, so that nobody revokes it in between.
        let mut debts = self.owed.debts.lock();
        debts.remove(&self.id);
        self.owed.sum.fetch_sub(self.share.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn is_revoked(account: &Account) -> bool {
        account.revoked().now_or_never().is_some()
    }

    fn sum(owed: &Owed) -> usize {
        owed.sum.load(Ordering::Relaxed)
    }

    #[test]
    fn what_is_taken_or_dropped_is_no_longer_owed() {
        let owed = Owed::new(16 * MIB);
        let (a, b) = (owed.open(), owed.open());
        a.add(5 * MIB);
        b.add(2 * MIB);
        assert!(!a.is_tight());
        a.add(2 * MIB);
        assert!(a.is_tight() && b.is_tight());
        a.sub(6 * MIB);
        assert_eq!(sum(&owed), 3 * MIB);
        drop(b);
        assert_eq!(sum(&owed), MIB);
        drop(a);
        assert_eq!((sum(&owed), owed.debts.lock().len()), (0, 0));
    }

    #[test]
    fn beyond_the_limit_the_heaviest_goes_and_only_it() {
        let owed = Owed::new(16 * MIB);
        let accounts: Vec<Account> = (0..5).map(|_| owed.open()).collect();
        for (account, mib) in accounts.iter().zip([1, 3, 8, 2, 2]) {
            account.add(mib * MIB);
        }
        assert!(!accounts.iter().any(is_revoked), "at the limit");
        accounts[0].add(1);
        assert_eq!(accounts.iter().map(is_revoked).collect::<Vec<_>>(), [false, false, true, false, false]);
        assert_eq!(sum(&owed), 8 * MIB + 1);
        // It finishes its business, and nothing of it is counted any more.
        accounts[2].add(MIB);
        accounts[2].sub(9 * MIB);
        assert_eq!(sum(&owed), 8 * MIB + 1);
    }

    #[test]
    fn who_takes_nothing_goes_before_who_is_owed_more() {
        let mut owed = Owed::new(16 * MIB);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        Arc::get_mut(&mut owed).unwrap().started = long_ago;
        let (stalled, slow, waiting) = (owed.open(), owed.open(), owed.open());
        stalled.add(4 * MIB);
        slow.add(6 * MIB);
        waiting.add(6 * MIB);
        stalled.set_blocked(true);
        slow.set_blocked(true);
        stalled.share.active.store(0, Ordering::Relaxed);
        slow.touch();
        waiting.add(1);
        assert_eq!([&stalled, &slow, &waiting].map(is_revoked), [true, false, false]);
    }

    #[test]
    fn ten_thousand_small_ones_are_bounded_too() {
        let owed = Owed::new(16 * MIB);
        let accounts: Vec<Account> = (0..10_000).map(|_| owed.open()).collect();
        for account in &accounts {
            account.add(8 * 1024);
            assert!(sum(&owed) <= 16 * MIB);
        }
        assert!(accounts.iter().filter(|account| is_revoked(account)).count() > 7000);
        drop(accounts);
        assert_eq!(sum(&owed), 0);
    }
}
