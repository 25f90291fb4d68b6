//! The same work for many partitions, on several threads: nearly all of it is waiting for the disk, which takes many such
//! waits at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const THREADS_MAX: usize = 16;

/// Does `work` for each item and returns when all are done. This thread takes its share, and all of it where no other
/// thread can be had.
pub fn for_each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    for_each_with(THREADS_MAX, items, || (), |(), item| work(item));
}

/// As [`for_each`], on at most so many threads, each of which has something of its own at hand for all its work.
pub fn for_each_with<T: Sync, H>(
    threads: usize,
    items: &[T],
    at_hand: impl Fn() -> H + Sync,
    work: impl Fn(&mut H, &T) + Sync,
) {
    let next = AtomicUsize::new(0);
    let do_some = || {
        let mut hand = at_hand();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut hand, item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            let _ = thread::Builder::new().name("partitions".to_owned()).spawn_scoped(scope, do_some);
        }
        do_some();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once() {
        for len in [0, 1, 2, 1000] {
            let items: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
            for_each(&items, |item| {
                item.fetch_add(1, Ordering::Relaxed);
            });
            assert!(items.iter().all(|item| item.load(Ordering::Relaxed) == 1));
            for threads in [0, 1, 3] {
                for_each_with(
                    threads,
                    &items,
                    || 0,
                    |done, item| {
                        *done += 1;
                        item.fetch_add(1, Ordering::Relaxed);
                    },
                );
            }
            assert!(items.iter().all(|item| item.load(Ordering::Relaxed) == 4));
        }
    }
}
