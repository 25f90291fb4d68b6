//! A start that has logs to recover: on how many threads, how far it has come, and how it is stopped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;
use tracing::info;

use super::{Replicas, ReplicasConfig, StartError, parallel, slot::display_bytes};
use crate::{
    env::SharedEnv,
    log::{Bench, Progress},
    metadata::Image,
    store::SharedStore,
};

/// How often is told how far recovery has come.
const TOLD_EVERY: Duration = Duration::from_secs(3);

impl Replicas {
    /// [`Replicas::start`] on threads of its own. Where whoever waits for it gives up, it is stopped: the drop of the future ends
    /// once no log is touched any more.
    pub async fn start_apart(
        config: ReplicasConfig,
        env: SharedEnv,
        store: SharedStore,
        image: Arc<Image>,
    ) -> Result<Arc<Replicas>, StartError> {
        let progress = Arc::new(Progress::default());
        let data_dir = config.data_dir.clone();
        let (done, started) = oneshot::channel();
        let work = {
            let progress = Arc::clone(&progress);
            move || drop(done.send(Replicas::start(config, env, store, &image, &progress)))
        };
        let thread = thread::Builder::new().name("recovery".to_owned()).spawn(work);
        let thread = thread.map_err(|cause| StartError::Folder { path: data_dir, cause })?;
        let _stopped = StoppedOnDrop { progress, thread: Some(thread) };
        started.await.unwrap_or(Err(StartError::Stopped))
    }
}

struct StoppedOnDrop {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for StoppedOnDrop {
    fn drop(&mut self) {
        self.progress.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Recovers `logs` with `recover` on at most `threads` threads, and tells every few seconds how far it has come. `size` tells
/// about how many bytes of a log have to be checked. The caller syncs the data folder.
pub fn recover<T: Sync>(
    threads: usize,
    logs: &[T],
    progress: &Progress,
    size: impl Fn(&T) -> u64 + Sync,
    recover: impl Fn(&mut Bench<'_>, &T) + Sync,
) {
    let total = AtomicU64::new(0);
    let add = |(): &mut (), log: &T| {
        total.fetch_add(size(log), Ordering::Relaxed);
    };
    parallel::for_each_with(threads, logs, || (), add);
    let (total, done) = (total.into_inner(), &AtomicUsize::new(0));
    thread::scope(|scope| {
        let (ended, end) = channel::<()>();
        let line = || told(done.load(Ordering::Relaxed), logs.len(), progress.checked(), total);
        let tell = move || tell(&end, line);
        // It only tells.
        let _ = thread::Builder::new().name("progress".to_owned()).spawn_scoped(scope, tell);
        parallel::for_each_with(
            threads,
            logs,
            || Bench::without_parent(progress),
            |bench, log| {
                if !progress.is_stopped() {
                    recover(bench, log);
                }
                done.fetch_add(1, Ordering::Relaxed);
            },
        );
        drop(ended);
    });
}

fn tell(end: &Receiver<()>, line: impl Fn() -> String) {
    while end.recv_timeout(TOLD_EVERY) == Err(RecvTimeoutError::Timeout) {
        info!("{}", line());
    }
}

fn told(done: usize, logs: usize, checked: u64, total: u64) -> String {
    let (done, logs) = (grouped(done), grouped(logs));
    let (checked, total) = (display_bytes(checked), display_bytes(total.max(checked)));
    format!("recovering logs: {done} of {logs}, {checked} of about {total} checked")
}

/// 4000 as 4,000.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn progress_is_told_in_a_line() {
        assert_eq!(
            told(312, 4000, 1_234_567_890, 10 << 30),
            "recovering logs: 312 of 4,000, 1177 MiB of about 10.0 GiB checked"
        );
        assert_eq!(told(0, 1, 20, 10), "recovering logs: 0 of 1, 20 bytes of about 20 bytes checked");
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(grouped).each_ref().map(|s| &**s));
    }

    #[test]
    fn each_log_is_recovered_once_and_none_after_the_stop() {
        let logs: Vec<usize> = (0..100).collect();
        let recovered = Mutex::new(Vec::new());
        recover(3, &logs, &Progress::default(), |_| 1, |_, log| recovered.lock().push(*log));
        let mut recovered = recovered.into_inner();
        recovered.sort_unstable();
        assert_eq!(recovered, logs);
        let (progress, count) = (Progress::default(), AtomicUsize::new(0));
        recover(
            1,
            &logs,
            &progress,
            |_| 1,
            |_, log| {
                count.fetch_add(1, Ordering::Relaxed);
                if *log == 9 {
                    progress.stop();
                }
            },
        );
        assert_eq!(count.into_inner(), 10);
    }
}
