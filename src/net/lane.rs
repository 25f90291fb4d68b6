//! The lane for heavy requests: what takes long on a processor is worked on apart, few at a time, so that the threads that serve
//! everyone else go on doing so, and what such requests take in memory is bounded by how many there are at once.

use std::{sync::Arc, thread};

use tokio::{sync::Semaphore, task};

/// As many threads as there are processors: the operating system shares these out between them and the threads that serve.
#[derive(Debug)]
pub struct Lane {
    turns: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Lane {
        Lane { turns: Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, usize::from))) }
    }
}

impl Lane {
    /// Does `work` once it is its turn; `None` where it panicked. Turns are taken in order of arrival. Whoever leaves while waiting
    /// leaves the queue; work that has begun is finished.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let done = task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.ok()
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
        let lane = Lane { turns: Arc::new(Semaphore::new(2)) };
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
        let lane = Lane { turns: Arc::new(Semaphore::new(1)) };
        assert_eq!(lane.work(|| -> i32 { panic!("on purpose") }).await, None);
        assert_eq!(lane.work(|| 7).await, Some(7));
    }
}
