//! HTTP connections: few, small and short, whoever opens them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Connections at once; a further one has the oldest closed. Whoever asks is done in a moment, so that one is idle or slow, and
/// peers that are silent cannot keep out a probe.
const CONNECTIONS_MAX: usize = 64;
/// The largest head of a request, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// How long a peer may take for a head, or keep a connection without asking.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection lives at all, and what is left of an answer then.
const LIFE_TIME: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(5);
/// Before another try where the process has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What accepting needs.
#[derive(Clone)]
pub struct Accepting {
    router: Router,
    open: Arc<Mutex<Open>>,
    stopping: CancellationToken,
}

/// The connections that there are, at most [`CONNECTIONS_MAX`].
#[derive(Default)]
struct Open {
    /// By their number, in the order in which they came. Cancelled where a connection must end at once.
    places: BTreeMap<u64, CancellationToken>,
    next: u64,
}

impl Open {
    fn enter(&mut self) -> (u64, CancellationToken) {
        if self.places.len() == CONNECTIONS_MAX
            && let Some((_, oldest)) = self.places.pop_first()
        {
            oldest.cancel();
        }
        self.next += 1;
        let ended = CancellationToken::new();
        self.places.insert(self.next, ended.clone());
        debug_assert!(self.places.len() <= CONNECTIONS_MAX);
        (self.next, ended)
    }
}

impl Accepting {
    pub fn new(router: Router, stopping: CancellationToken) -> Accepting {
        Accepting { router, open: Arc::default(), stopping }
    }

    /// Serves whoever connects, until the broker has stopped.
    pub async fn accept(self, socket: TcpListener) {
        loop {
            let accepted = select! {
                () = self.stopping.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let (place, ended) = self.open.lock().enter();
            let (router, stopping, open) = (self.router.clone(), self.stopping.clone(), Arc::clone(&self.open));
            tokio::spawn(async move {
                select! {
                    () = ended.cancelled() => {}
                    () = serve(stream, router, stopping) => {}
                }
                open.lock().places.remove(&place);
            });
        }
    }
}

async fn serve(stream: TcpStream, router: Router, stopping: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = select! {
        ended = &mut connection => Some(ended),
        () = sleep(LIFE_TIME) => None,
        () = stopping.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!("an HTTP connection ended: {error}");
    }
}
