//! The frame budget: how many bytes of requests all connections together may hold in memory.
//!
//! A frame pays as its bytes arrive, in steps of at most [`STEP`], never by the length that its peer claims: a hundred
//! peers that announce 100 MB and stall hold nothing. What was paid is given back when the [`Permit`] is dropped, which
//! the produce path does as soon as the bytes are in the file.
//!
//! Two rules keep partly read frames from blocking each other for good:
//! - small frames (up to [`SMALL_FRAME`]) may also draw on a reserve that large ones never touch, so heartbeats,
//!   metadata and small produces go on while large frames queue;
//! - when the budget is spent, the frame that has waited longest gets the *overdraft*: it may finish beyond the budget.
//!   There is one overdraft at a time, so memory is bounded by the budget, the reserve and one largest frame. A frame
//!   that does not finish within [`OVERDRAFT_TIME`] is too slow to hold up the others, and its connection is closed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

/// A frame pays for at most this much at a time.
pub const STEP: usize = 64 * 1024;
/// Frames up to this size may draw on the reserve.
pub const SMALL_FRAME: usize = 64 * 1024;
/// How long a frame may take once it draws beyond the budget.
pub const OVERDRAFT_TIME: Duration = Duration::from_secs(5);

/// What all connections share. Invariant: `free + reserve_free + held == total + reserve`, where held excludes overdrafts.
#[derive(Debug)]
pub struct FrameBudget {
    total: usize,
    state: Mutex<State>,
    next_ticket: AtomicU64,
}

#[derive(Debug)]
struct State {
    free: usize,
    reserve_free: usize,
    overdraft_taken: bool,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    small: bool,
    granted: Arc<Grant>,
}

#[derive(Debug, Default)]
struct Grant {
    waker: Mutex<Option<Waker>>,
}

impl Grant {
    fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

impl FrameBudget {
    /// `total` bytes for frames of any size; a sixteenth more, at least 1 MiB, is the reserve for small ones.
    pub fn new(total: usize) -> Arc<FrameBudget> {
        let reserve = (total / 16).max(1 << 20);
        Arc::new(FrameBudget {
            total,
            state: Mutex::new(State {
                free: total,
                reserve_free: reserve,
                overdraft_taken: false,
                waiting: VecDeque::new(),
            }),
            next_ticket: AtomicU64::new(0),
        })
    }

    /// The largest frame that is accepted at all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// A permit for a frame of `frame_len` bytes, holding nothing yet.
    pub fn permit(self: &Arc<Self>, frame_len: usize) -> Permit {
        Permit {
            budget: Arc::clone(self),
            small: frame_len <= SMALL_FRAME,
            held: 0,
            held_reserve: 0,
            overdraft: false,
            waiting: None,
        }
    }

    /// Bytes that frames hold now.
    pub fn held(&self) -> usize {
        let state = self.state.lock();
        self.total.saturating_sub(state.free)
    }
}

impl State {
    /// Wakes whoever may go on. Woken frames try again themselves: a wake is a hint, not a transfer.
    fn wake_next(&self) {
        let available = self.free > 0 || !self.overdraft_taken;
        if available && let Some(first) = self.waiting.front() {
            first.granted.wake();
        }
        if self.reserve_free > 0
            && let Some(small) = self.waiting.iter().find(|waiting| waiting.small)
        {
            small.granted.wake();
        }
    }
}

/// What one frame holds of the budget; dropping it gives everything back.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<FrameBudget>,
    small: bool,
    held: usize,
    held_reserve: usize,
    overdraft: bool,
    waiting: Option<(u64, Arc<Grant>)>,
}

impl Permit {
    /// Pays for up to [`STEP`] of `wanted` more bytes and says for how many; waits where the budget is spent.
    pub fn poll_grow(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        let step = wanted.min(STEP);
        if step == 0 || self.overdraft {
            return Poll::Ready(step);
        }
        let mut state = self.budget.state.lock();
        let first = match &self.waiting {
            None => state.waiting.is_empty(),
            Some((ticket, _)) => state.waiting.front().is_some_and(|waiting| waiting.ticket == *ticket),
        };
        let granted = if self.small && state.reserve_free >= step && (state.free < step || !first) {
            state.reserve_free -= step;
            self.held_reserve += step;
            step
        } else if first && state.free > 0 {
            let granted = step.min(state.free);
            state.free -= granted;
            self.held += granted;
            granted
        } else if first && !state.overdraft_taken {
            state.overdraft_taken = true;
            self.overdraft = true;
            step
        } else {
            0
        };
        if granted > 0 {
            if let Some((ticket, _)) = self.waiting.take() {
                state.waiting.retain(|waiting| waiting.ticket != ticket);
                state.wake_next();
            }
            return Poll::Ready(granted);
        }
        let small = self.small;
        let next_ticket = &self.budget.next_ticket;
        let (_, grant) = self.waiting.get_or_insert_with(|| {
            let ticket = next_ticket.fetch_add(1, Ordering::Relaxed);
            let granted = Arc::new(Grant::default());
            state.waiting.push_back(Waiting { ticket, small, granted: Arc::clone(&granted) });
            (ticket, granted)
        });
        *grant.waker.lock() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether this frame draws beyond the budget, and so must finish within [`OVERDRAFT_TIME`].
    pub fn overdrawn(&self) -> bool {
        self.overdraft
    }

    /// Gives back `unused` bytes of what the last [`Permit::poll_grow`] granted.
    pub fn shrink(&mut self, unused: usize) {
        if unused == 0 || self.overdraft {
            return;
        }
        let mut state = self.budget.state.lock();
        let from_reserve = unused.min(self.held_reserve);
        self.held_reserve -= from_reserve;
        state.reserve_free += from_reserve;
        let from_held = (unused - from_reserve).min(self.held);
        self.held -= from_held;
        state.free += from_held;
        state.wake_next();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.held == 0 && self.held_reserve == 0 && !self.overdraft && self.waiting.is_none() {
            return;
        }
        let mut state = self.budget.state.lock();
        state.free += self.held;
        state.reserve_free += self.held_reserve;
        if self.overdraft {
            state.overdraft_taken = false;
        }
        if let Some((ticket, _)) = self.waiting.take() {
            state.waiting.retain(|waiting| waiting.ticket != ticket);
        }
        debug_assert!(state.free <= self.budget.total);
        state.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(permit: &mut Permit, wanted: usize) -> Option<usize> {
        let waker = Waker::noop();
        match permit.poll_grow(&mut Context::from_waker(waker), wanted) {
            Poll::Ready(granted) => Some(granted),
            Poll::Pending => None,
        }
    }

    const LARGE: usize = 10 << 20;

    #[test]
    fn announcing_costs_nothing_and_arriving_is_paid_in_steps() {
        let budget = FrameBudget::new(1 << 20);
        let mut permit = budget.permit(LARGE);
        assert_eq!(budget.held(), 0);
        assert_eq!(poll(&mut permit, LARGE), Some(STEP));
        permit.shrink(STEP - 100);
        assert_eq!(budget.held(), 100);
        drop(permit);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn small_frames_live_on_the_reserve_while_large_ones_wait() {
        let budget = FrameBudget::new(2 * STEP);
        let mut large: Vec<Permit> = (0..4).map(|_| budget.permit(LARGE)).collect();
        assert_eq!(poll(&mut large[0], LARGE), Some(STEP));
        assert_eq!(poll(&mut large[1], LARGE), Some(STEP));
        assert_eq!(poll(&mut large[2], LARGE), Some(STEP), "the overdraft");
        assert!(large[2].overdrawn());
        assert_eq!(poll(&mut large[3], LARGE), None);
        let mut small = budget.permit(1000);
        assert_eq!(poll(&mut small, 1000), Some(1000));
    }

    #[test]
    fn partly_read_frames_never_deadlock() {
        // Ten frames, each larger than what is left for it, all of them partly read.
        let budget = FrameBudget::new(4 * STEP);
        let mut frames: Vec<(Permit, usize)> = (0..10).map(|_| (budget.permit(LARGE), 3 * STEP)).collect();
        let mut finished = 0;
        for _ in 0..1000 {
            frames.retain_mut(|(permit, missing)| {
                if let Some(granted) = poll(permit, *missing) {
                    *missing -= granted;
                }
                if *missing == 0 {
                    finished += 1;
                }
                *missing > 0
            });
        }
        assert_eq!(finished, 10);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_returned_permit_wakes_the_one_that_waited_longest() {
        let budget = FrameBudget::new(STEP);
        let (mut a, mut b, mut c) = (budget.permit(LARGE), budget.permit(LARGE), budget.permit(LARGE));
        assert_eq!(poll(&mut a, LARGE), Some(STEP));
        assert_eq!(poll(&mut b, LARGE), Some(STEP));
        let count = Arc::new(Count(AtomicU64::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        assert!(c.poll_grow(&mut Context::from_waker(&waker), LARGE).is_pending());
        drop(a);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&mut c, LARGE), Some(STEP));
    }

    #[test]
    fn a_waiter_that_leaves_passes_the_turn_on() {
        let budget = FrameBudget::new(STEP);
        let (mut a, mut b, mut c, mut d) =
            (budget.permit(LARGE), budget.permit(LARGE), budget.permit(LARGE), budget.permit(LARGE));
        assert!(poll(&mut a, LARGE).is_some() && poll(&mut b, LARGE).is_some());
        assert!(poll(&mut c, LARGE).is_none() && poll(&mut d, LARGE).is_none());
        drop(c);
        drop(b);
        assert_eq!(poll(&mut d, LARGE), Some(STEP));
    }
}
