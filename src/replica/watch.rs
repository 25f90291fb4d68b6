//! How a waiting fetch learns of new data without polling.
//!
//! A [`Watch`] is what one fetch, or one fetch session, waits on. Each of its partitions has a slot; a partition whose
//! high watermark moves *marks* the slot and counts the bytes. A fetch looks only at marked slots, so a session over
//! 10,000 quiet partitions costs nothing a poll, and it is woken once the bytes it asked for are there.
//!
//! Nothing is missed by who registers first, then takes the marks, and only then reads.

use std::sync::{Arc, Weak};

use crate::env::sync::{Mutex, Notify};

/// One waiting fetch or fetch session.
#[derive(Debug, Default)]
pub struct Watch {
    marks: Mutex<Marks>,
    woken: Notify,
}

#[derive(Debug)]
struct Marks {
    /// Marked slots, each once, in the order of their marking.
    slots: Vec<u32>,
    is_marked: Vec<bool>,
    bytes: u64,
    /// Wake when `bytes` reaches this; `u64::MAX` while nobody waits, or who waits is woken already.
    wake_at: u64,
    /// Whose turn it is to wait.
    turn: i32,
}

impl Default for Marks {
    fn default() -> Self {
        Marks { slots: Vec::new(), is_marked: Vec::new(), bytes: 0, wake_at: u64::MAX, turn: 0 }
    }
}

impl Watch {
    pub fn new() -> Arc<Watch> {
        Arc::new(Watch::default())
    }

    /// Marks a slot and counts `bytes` that can now be read there; `u64::MAX` where it should be looked at once.
    pub fn mark(&self, slot: u32, bytes: u64) {
        let mut marks = self.marks.lock();
        let index = slot as usize;
        if marks.is_marked.len() <= index {
            marks.is_marked.resize(index + 1, false);
        }
        if let Some(is_marked) = marks.is_marked.get_mut(index)
            && !std::mem::replace(is_marked, true)
        {
            marks.slots.push(slot);
        }
        marks.bytes = marks.bytes.saturating_add(bytes);
        if marks.wake_at != u64::MAX && marks.bytes >= marks.wake_at {
            marks.wake_at = u64::MAX;
            drop(marks);
            self.woken.notify_waiters();
        }
    }

    /// Takes all marks, in the order of their marking, and begins to count bytes anew.
    pub fn take_marks(&self, into: &mut Vec<u32>) {
        let mut marks = self.marks.lock();
        let marks = &mut *marks;
        for &slot in &marks.slots {
            if let Some(is_marked) = marks.is_marked.get_mut(slot as usize) {
                *is_marked = false;
            }
        }
        into.append(&mut marks.slots);
        marks.bytes = 0;
        marks.wake_at = u64::MAX;
    }

    /// From now on it is `turn`'s turn to wait: who waits for another one is sent away at once.
    pub fn hand_over(&self, turn: i32) {
        self.marks.lock().turn = turn;
        self.woken.notify_waiters();
    }

    /// Waits until `bytes` more can be read, something happened that cannot wait, or the turn is another's. What was marked
    /// since the last [`Watch::take_marks`] counts.
    pub async fn wait(&self, turn: i32, bytes: u64) {
        loop {
            // Made before the condition is checked: a wake-up in between reaches it.
            let woken = self.woken.notified();
            {
                let mut marks = self.marks.lock();
                if marks.turn != turn || marks.bytes >= bytes {
                    return;
                }
                // An amount that never comes (u64::MAX) is reached by what cannot wait.
                marks.wake_at = bytes.min(u64::MAX - 1);
            }
            woken.await;
        }
    }
}

/// Who watches one partition.
#[derive(Debug, Default)]
pub struct Watchers {
    watchers: Mutex<Vec<(Weak<Watch>, u32)>>,
}

impl Watchers {
    /// From now on this partition marks `slot` of `watch`, until [`Watchers::remove`] or the watch is dropped.
    pub fn add(&self, watch: &Arc<Watch>, slot: u32) {
        let mut watchers = self.watchers.lock();
        // Fetches without a session come and go; what they left is cleared before the list would grow.
        if watchers.len() == watchers.capacity() {
            watchers.retain(|(watch, _)| watch.strong_count() > 0);
        }
        watchers.push((Arc::downgrade(watch), slot));
    }

    pub fn remove(&self, watch: &Arc<Watch>, slot: u32) {
        self.watchers.lock().retain(|(other, at)| *at != slot || !std::ptr::eq(other.as_ptr(), Arc::as_ptr(watch)));
    }

    /// Tells everyone that `bytes` more can be read: 0 where something else has changed that can be told by the way, such as
    /// the log start offset; `u64::MAX` where they should look at once (deleted, moved).
    pub fn mark(&self, bytes: u64) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|(watch, slot)| match watch.upgrade() {
            Some(watch) => {
                watch.mark(*slot, bytes);
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn wakes_when_enough_bytes_are_there_and_not_before() {
        let watch = Watch::new();
        let watchers = Watchers::default();
        watchers.add(&watch, 3);
        let mut wait = Box::pin(watch.wait(0, 100));
        assert!(wait.as_mut().now_or_never().is_none());
        watchers.mark(60);
        assert!(wait.as_mut().now_or_never().is_none());
        watchers.mark(40);
        assert!(wait.as_mut().now_or_never().is_some());
        let mut marks = Vec::new();
        watch.take_marks(&mut marks);
        assert_eq!(marks, [3]);
        assert!(watch.wait(0, 1).now_or_never().is_none(), "taking the marks begins anew");
    }

    #[test]
    fn a_mark_between_reading_and_waiting_is_not_lost() {
        let watch = Watch::new();
        watch.take_marks(&mut Vec::new());
        watch.mark(0, 10);
        assert!(watch.wait(0, 10).now_or_never().is_some());
    }

    #[test]
    fn what_cannot_wait_wakes_whoever_waits() {
        for bytes in [1, 1 << 40, u64::MAX] {
            let watch = Watch::new();
            let mut wait = Box::pin(watch.wait(0, bytes));
            assert!(wait.as_mut().now_or_never().is_none());
            watch.mark(0, 0);
            assert!(wait.as_mut().now_or_never().is_none());
            watch.mark(0, u64::MAX);
            assert!(wait.as_mut().now_or_never().is_some(), "{bytes}");
        }
    }

    #[test]
    fn a_later_turn_sends_the_earlier_one_away() {
        let watch = Watch::new();
        watch.hand_over(1);
        let mut first = Box::pin(watch.wait(1, 10));
        assert!(first.as_mut().now_or_never().is_none());
        watch.hand_over(2);
        watch.take_marks(&mut Vec::new());
        let mut second = Box::pin(watch.wait(2, 10));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.as_mut().now_or_never().is_some());
        watch.mark(0, 10);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn dropped_watches_leave_no_trace() {
        let watchers = Watchers::default();
        for slot in 0..10_000 {
            watchers.add(&Watch::new(), slot);
        }
        assert!(watchers.watchers.lock().len() < 16);
        let kept = Watch::new();
        watchers.add(&kept, 7);
        watchers.remove(&kept, 7);
        watchers.mark(1);
        assert!(watchers.watchers.lock().is_empty());
    }
}
