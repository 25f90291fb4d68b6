//! The fetch sessions of this broker: their epochs, and who must go where there is no room (KIP-227; Kafka's FetchManager
//! and FetchSessionCache).
//!
//! A request finds its session without a lock that others share; only making a session takes one.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::model::Timestamp;

/// "No session" on the wire.
pub const NO_SESSION: i32 = 0;
/// In a request: begin a session.
pub const INITIAL_EPOCH: i32 = 0;
/// In a request: end the session, if any, and begin none.
pub const FINAL_EPOCH: i32 = -1;

/// A session that was used or made within this time is safe from the less privileged and the smaller.
const SAFE_FOR: Duration = Duration::from_secs(120);
/// All sessions together hold at most so many partitions (around 100 MiB). Kafka bounds only the number of sessions.
const PARTITIONS_MAX: usize = 1 << 19;
/// What a partition of a session takes at most, in bytes.
const PARTITION_BYTES: usize = 200;

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// It was evicted, or never was.
    NotFound,
    /// Another request came first, or one was lost.
    InvalidEpoch,
    /// It began with topic names and goes on with ids, or the reverse.
    TopicIds,
}

/// The epoch after `epoch`: 0 and below are not session epochs.
pub fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..0 => FINAL_EPOCH,
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

/// All sessions. `S` is what a session holds.
pub struct SessionCache<S> {
    slots: usize,
    partitions_max: usize,
    sessions: DashMap<i32, Arc<Cached<S>>>,
    /// Sum of the sizes of all sessions in `sessions`.
    partitions: AtomicUsize,
    /// Held while a session is made.
    admission: Mutex<()>,
}

/// A session that outlives its request.
pub struct Cached<S> {
    id: i32,
    is_privileged: bool,
    by_id: bool,
    created: Timestamp,
    last_used: AtomicI64,
    size: AtomicUsize,
    state: Mutex<State<S>>,
}

struct State<S> {
    /// Of the next request.
    epoch: i32,
    is_removed: bool,
    session: S,
}

/// A request's hold on its session: good until another request takes the session over.
pub struct Hold<S> {
    cached: Arc<Cached<S>>,
    epoch: i32,
}

impl<S> Hold<S> {
    pub fn session_id(&self) -> i32 {
        self.cached.id
    }

    /// The session's epoch after this request, which is that of the next.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The session, or `None` where a later request has taken it over. Not to be held across an await.
    pub fn lock(&self) -> Option<impl std::ops::DerefMut<Target = S> + '_> {
        let state = self.cached.state.lock();
        (state.epoch == self.epoch).then(|| MutexGuard::map(state, |state| &mut state.session))
    }
}

impl<S> SessionCache<S> {
    /// At most `slots` sessions (`max.incremental.fetch.session.cache.slots`), 0 being none at all, and as many partitions in
    /// them as an eighth of `memory` holds.
    pub fn new(slots: usize, memory: usize) -> SessionCache<S> {
        SessionCache {
            slots,
            partitions_max: PARTITIONS_MAX.min(memory / 8 / PARTITION_BYTES),
            sessions: DashMap::new(),
            partitions: AtomicUsize::new(0),
            admission: Mutex::new(()),
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many partitions all sessions hold together.
    pub fn partition_count(&self) -> usize {
        self.partitions.load(Ordering::Relaxed)
    }

    /// Keeps a session of `size` partitions whose first answer leaves now, and returns its id; [`NO_SESSION`] where there
    /// is no room for it, and the client goes on without.
    pub fn create(
        &self,
        session: S,
        size: usize,
        is_privileged: bool,
        by_id: bool,
        now: Timestamp,
        mut random: impl FnMut() -> u64,
    ) -> i32 {
        if self.slots == 0 || size > self.partitions_max {
            return NO_SESSION;
        }
        let _admission = self.admission.lock();
        while self.sessions.len() >= self.slots || self.partition_count().saturating_add(size) > self.partitions_max {
            let newcomer = Standing { id: NO_SESSION, is_privileged, size, created: now, last_used: now };
            match victim(newcomer, self.sessions.iter().map(|session| session.standing()), now) {
                Some(id) => self.remove(id),
                None => return NO_SESSION,
            }
        }
        let id = loop {
            let id = i32::try_from(random() >> 33).unwrap_or(NO_SESSION);
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.partitions.fetch_add(size, Ordering::Relaxed);
        let cached = Cached {
            id,
            is_privileged,
            by_id,
            created: now,
            last_used: AtomicI64::new(now.0),
            size: AtomicUsize::new(size),
            state: Mutex::new(State { epoch: next_epoch(INITIAL_EPOCH), is_removed: false, session }),
        };
        self.sessions.insert(id, Arc::new(cached));
        id
    }

    /// Goes on with a session: `update` applies what the request says and returns the session's size. From here on the session
    /// is this request's, and one before it that still waits has lost it. `None` where no partition is left: the session has
    /// ended.
    pub fn resume(
        &self,
        id: i32,
        epoch: i32,
        by_id: bool,
        now: Timestamp,
        update: impl FnOnce(&mut S, i32) -> usize,
    ) -> Result<Option<Hold<S>>, SessionError> {
        let cached = self.sessions.get(&id).map(|cached| Arc::clone(&cached)).ok_or(SessionError::NotFound)?;
        let mut state = cached.state.lock();
        if state.is_removed {
            return Err(SessionError::NotFound);
        }
        if state.epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if cached.by_id != by_id {
            return Err(SessionError::TopicIds);
        }
        let epoch = next_epoch(epoch);
        let size = update(&mut state.session, epoch);
        state.epoch = epoch;
        let before = cached.size.swap(size, Ordering::Relaxed);
        self.partitions.fetch_add(size, Ordering::Relaxed);
        let others = self.partitions.fetch_sub(before, Ordering::Relaxed) - before - size;
        drop(state);
        if size == 0 {
            self.remove(id);
            return Ok(None);
        }
        if size > before && others.saturating_add(size) > self.partitions_max {
            // The client begins anew, with a session if by then there is room for it.
            self.remove(id);
            return Err(SessionError::NotFound);
        }
        cached.last_used.store(now.0, Ordering::Relaxed);
        Ok(Some(Hold { cached, epoch }))
    }

    /// Ends a session, if there is one of this id. A request that waits with it still gets its answer.
    pub fn remove(&self, id: i32) {
        let Some((_, cached)) = self.sessions.remove(&id) else { return };
        let mut state = cached.state.lock();
        state.is_removed = true;
        self.partitions.fetch_sub(cached.size.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl<S> Cached<S> {
    fn standing(&self) -> Standing {
        Standing {
            id: self.id,
            is_privileged: self.is_privileged,
            size: self.size.load(Ordering::Relaxed),
            created: self.created,
            last_used: Timestamp(self.last_used.load(Ordering::Relaxed)),
        }
    }
}

/// What decides whether a session may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    id: i32,
    /// Of a follower.
    is_privileged: bool,
    size: usize,
    created: Timestamp,
    last_used: Timestamp,
}

impl Standing {
    /// Whether it was in use for long enough that it may have to make room.
    fn is_settled(&self) -> bool {
        self.last_used.0.saturating_sub(self.created.0) > SAFE_FOR.as_millis() as i64
    }

    fn worth(&self) -> (bool, usize) {
        (self.is_privileged, self.size)
    }
}

/// PURE: which session goes for `newcomer`: the one longest unused, if that is long; else the least worthy (not of a
/// follower, then the smallest), if it is worth less than the newcomer and not too young to be pushed out by it.
fn victim(newcomer: Standing, sessions: impl Iterator<Item = Standing>, now: Timestamp) -> Option<i32> {
    let mut stale: Option<Standing> = None;
    let mut least: Option<Standing> = None;
    for session in sessions {
        let key = |session: &Standing| Reverse((session.last_used, session.id));
        if stale.as_ref().is_none_or(|stale| key(&session) > key(stale)) {
            stale = Some(session);
        }
        let can_go = session.is_settled() || (newcomer.is_privileged && !session.is_privileged);
        let key = |session: &Standing| (session.worth(), session.id);
        if can_go && least.as_ref().is_none_or(|least| key(&session) < key(least)) {
            least = Some(session);
        }
    }
    let is_stale = |session: &Standing| now.0.saturating_sub(session.last_used.0) > SAFE_FOR.as_millis() as i64;
    stale.filter(is_stale).or_else(|| least.filter(|least| least.worth() < newcomer.worth())).map(|session| session.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * MINUTE)
    }

    fn numbers() -> impl FnMut() -> u64 {
        let mut next = 0;
        move || {
            next += 1;
            next << 33
        }
    }

    fn cache(slots: usize) -> SessionCache<&'static str> {
        SessionCache::new(slots, 1 << 30)
    }

    fn resume(
        cache: &SessionCache<&'static str>,
        id: i32,
        epoch: i32,
        size: usize,
    ) -> Result<Option<i32>, SessionError> {
        cache.resume(id, epoch, true, at(0), |_, _| size).map(|hold| hold.map(|hold| hold.epoch()))
    }

    #[test]
    fn epochs_count_up_and_wrap_to_one() {
        for (epoch, next) in [(0, 1), (1, 2), (i32::MAX, 1), (-1, -1), (i32::MIN, -1)] {
            assert_eq!(next_epoch(epoch), next, "{epoch}");
        }
    }

    #[test]
    fn a_session_goes_on_in_order_of_its_epochs() {
        let cache = cache(10);
        let id = cache.create("a", 3, false, true, at(0), numbers());
        assert_ne!(id, NO_SESSION);
        assert_eq!(resume(&cache, id, 0, 3), Err(SessionError::InvalidEpoch));
        assert_eq!(resume(&cache, id, 1, 3), Ok(Some(2)));
        assert_eq!(resume(&cache, id, 1, 3), Err(SessionError::InvalidEpoch), "the same request twice");
        assert_eq!(resume(&cache, id, 3, 3), Err(SessionError::InvalidEpoch));
        assert_eq!(resume(&cache, id, 2, 5), Ok(Some(3)));
        assert_eq!(cache.partition_count(), 5);
        assert_eq!(resume(&cache, id + 1, 1, 3), Err(SessionError::NotFound));
        assert_eq!(cache.resume(id, 3, false, at(0), |_, _| 5).err(), Some(SessionError::TopicIds));
        assert_eq!(resume(&cache, id, 3, 0), Ok(None), "the last partition is forgotten");
        assert_eq!(resume(&cache, id, 4, 1), Err(SessionError::NotFound));
        assert_eq!((cache.len(), cache.partition_count()), (0, 0));
    }

    #[test]
    fn a_later_request_takes_the_session_over() {
        let cache = cache(10);
        let id = cache.create("a", 3, false, true, at(0), numbers());
        let first = cache.resume(id, 1, true, at(0), |_, _| 3).unwrap().unwrap();
        assert_eq!(*first.lock().unwrap(), "a");
        let second = cache.resume(id, 2, true, at(0), |_, _| 3).unwrap().unwrap();
        assert!(first.lock().is_none());
        cache.remove(id);
        assert_eq!(*second.lock().unwrap(), "a", "who waits still gets an answer");
    }

    #[test]
    fn the_epoch_wraps_within_a_session() {
        let cache = cache(1);
        let id = cache.create("a", 1, false, true, at(0), numbers());
        cache.sessions.get(&id).unwrap().state.lock().epoch = i32::MAX;
        assert_eq!(resume(&cache, id, i32::MAX, 1), Ok(Some(1)));
        assert_eq!(resume(&cache, id, 1, 1), Ok(Some(2)));
    }

    #[test]
    fn ids_are_positive_and_unique() {
        let cache = cache(10);
        let mut draws = [0, 1 << 33, 1 << 33, (1 << 33) + 5, u64::MAX].into_iter();
        let mut create = || cache.create("a", 1, false, true, at(0), || draws.next().unwrap());
        assert_eq!([create(), create()], [1, i32::MAX]);
    }

    #[test]
    fn without_slots_there_are_no_sessions() {
        let cache = cache(0);
        assert_eq!(cache.create("a", 1, true, true, at(0), numbers()), NO_SESSION);
    }

    #[test]
    fn who_must_go() {
        let session = |id, is_privileged, size, created, last_used| Standing {
            id,
            is_privileged,
            size,
            created: at(created),
            last_used: at(last_used),
        };
        let now = 100;
        // What it is about, the newcomer's privilege and size, the sessions, and who goes.
        type Case<'a> = (&'a str, bool, usize, &'a [Standing], Option<i32>);
        let cases: [Case<'_>; 9] = [
            ("nobody there", false, 1, &[], None),
            ("unused for long", false, 1, &[session(1, true, 9, 0, 99), session(2, true, 9, 0, 97)], Some(2)),
            ("the longest unused", false, 1, &[session(1, true, 9, 0, 90), session(2, false, 1, 0, 97)], Some(1)),
            ("two minutes are not long", false, 1, &[session(1, false, 1, 0, 98)], None),
            (
                "larger than a settled one",
                false,
                5,
                &[session(1, false, 6, 0, 99), session(2, false, 4, 0, 99)],
                Some(2),
            ),
            ("as large is not larger", false, 4, &[session(2, false, 4, 0, 99)], None),
            ("larger than a young one", false, 5, &[session(2, false, 4, 98, 99)], None),
            ("a follower pushes out a young consumer", true, 1, &[session(1, false, 9, 99, 99)], Some(1)),
            ("a consumer never pushes out a follower", false, 99, &[session(1, true, 1, 0, 99)], None),
        ];
        for (what, is_privileged, size, sessions, expected) in cases {
            let newcomer = session(0, is_privileged, size, now, now);
            assert_eq!(victim(newcomer, sessions.iter().copied(), at(now)), expected, "{what}");
        }
    }

    #[test]
    fn a_full_cache_evicts_or_refuses() {
        let cache = cache(2);
        let mut random = numbers();
        let first = cache.create("a", 2, false, true, at(0), &mut random);
        let second = cache.create("b", 4, false, true, at(0), &mut random);
        assert_eq!(cache.create("c", 9, false, true, at(1), &mut random), NO_SESSION, "both are young");
        cache.resume(second, 1, true, at(2), |_, _| 4).unwrap();
        let third = cache.create("c", 1, false, true, at(3), &mut random);
        assert_ne!(third, NO_SESSION, "the first is stale");
        assert_eq!(resume(&cache, first, 1, 2), Err(SessionError::NotFound));
        assert_eq!((cache.len(), cache.partition_count()), (2, 5));
    }

    #[test]
    fn partitions_are_bounded_over_all_sessions() {
        let cache = cache(1000);
        let mut random = numbers();
        assert_eq!(cache.create("a", PARTITIONS_MAX + 1, false, true, at(0), &mut random), NO_SESSION);
        let little: SessionCache<&str> = SessionCache::new(10, 1 << 20);
        assert_eq!(little.create("a", 1000, false, true, at(0), &mut random), NO_SESSION, "200 kB of 1 MiB");
        assert_ne!(little.create("a", 600, false, true, at(0), &mut random), NO_SESSION);
        let first = cache.create("a", PARTITIONS_MAX - 10, false, true, at(0), &mut random);
        assert_eq!(cache.create("b", 11, false, true, at(0), &mut random), NO_SESSION);
        let second = cache.create("b", 10, false, true, at(0), &mut random);
        assert_eq!(resume(&cache, second, 1, 11), Err(SessionError::NotFound), "no room to grow");
        assert_eq!(cache.partition_count(), PARTITIONS_MAX - 10);
        assert_eq!(resume(&cache, first, 1, PARTITIONS_MAX), Ok(Some(2)));
    }
}
