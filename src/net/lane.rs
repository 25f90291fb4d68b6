//! The lane for heavy requests: what takes long on a processor is worked on apart, few at a time, so that the threads that serve
//! everyone else go on doing so, and what such requests take in memory is bounded by how many there are at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{sync::Semaphore, task, time::sleep};

use crate::env::process;

/// After so long without work, what it took in memory is given back.
const IDLE: Duration = Duration::from_secs(1);

/// As many threads as there are processors: the operating system shares these out between them and the threads that serve.
#[derive(Debug)]
pub struct Lane {
    width: usize,
    turns: Arc<Semaphore>,
    begun: Arc<AtomicU64>,
    /// Somebody waits for the lane to be idle.
    watched: Arc<AtomicBool>,
}

impl Default for Lane {
    fn default() -> Lane {
        Lane::new(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Lane {
    fn new(width: usize) -> Lane {
        Lane { width, turns: Arc::new(Semaphore::new(width)), begun: Arc::default(), watched: Arc::default() }
    }

    /// Does `work` once it is its turn; `None` where it panicked. Turns are taken in order of arrival. Whoever leaves while waiting
    /// leaves the queue; work that has begun is finished.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.give_back_when_idle();
        let done = task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.ok()
    }

    /// glibc keeps what a thread has freed for that thread, and the lane's threads take much and seldom.
    fn give_back_when_idle(&self) {
        if self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (width, turns) = (self.width, Arc::clone(&self.turns));
        let (begun, watched) = (Arc::clone(&self.begun), Arc::clone(&self.watched));
        task::spawn(async move {
            loop {
                let before = begun.load(Ordering::Relaxed);
                sleep(IDLE).await;
                if turns.available_permits() == width && begun.load(Ordering::Relaxed) == before {
                    break;
                }
            }
            // First: who begins from here on asks anew.
            watched.store(false, Ordering::Release);
            task::spawn_blocking(process::give_back_freed);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn few_work_at_a_time_and_all_get_their_turn() {
        let lane = Lane::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let both = Arc::new(Barrier::new(2));
        let work = |at: usize| {
            let (now, most, both) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&both));
            lane.work(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                both.wait();
                now.fetch_sub(1, Ordering::SeqCst);
                at
            })
        };
        let done = join_all((0..20).map(work)).await;
        assert_eq!(done, (0..20).map(Some).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_gives_the_turn_back() {
        let lane = Lane::new(1);
        assert_eq!(lane.work(|| -> i32 { panic!("on purpose") }).await, None);
        assert_eq!(lane.work(|| 7).await, Some(7));
    }
}
