//! Metrics and health by HTTP: `/metrics` for Prometheus, `/readyz` and `/livez` for whoever starts, stops and routes.
//!
//! It answers from before the data folder is opened until the broker has stopped, since that is when one wants to know. Whoever
//! reaches it can read names of topics and groups, and change nothing. What it may take is bounded: connections, the size of a
//! request's head, the time for each, and one page of metrics at a time.

mod connection;
mod process;
mod routes;

use std::{io, sync::Arc};

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::Mutex};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{api::Services, metrics::Source};

/// The server. It ends when this is dropped.
pub struct Http {
    status: Arc<Status>,
    _stopping: DropGuard,
}

/// Where the broker is in its life.
pub enum Phase {
    /// What it is at, for whoever waits.
    Starting(&'static str),
    Serving(Serving),
    Stopping,
}

/// A broker that serves.
pub struct Serving {
    pub services: Arc<Services>,
    /// Who has metrics to show.
    pub sources: Vec<Arc<dyn Source>>,
}

struct Status {
    phase: ArcSwap<Phase>,
    page: Arc<Mutex<routes::LastPage>>,
}

impl Http {
    /// Serves on these sockets, which listen already.
    ///
    /// # Errors
    /// Where a socket cannot be waited on.
    pub fn start(sockets: Vec<std::net::TcpListener>) -> io::Result<Http> {
        let phase = ArcSwap::from_pointee(Phase::Starting("starting"));
        let status = Arc::new(Status { phase, page: Arc::default() });
        let stopping = CancellationToken::new();
        let accepting = connection::Accepting::new(routes::router(Arc::clone(&status)), stopping.clone());
        for socket in sockets {
            tokio::spawn(accepting.clone().accept(TcpListener::from_std(socket)?));
        }
        Ok(Http { status, _stopping: stopping.drop_guard() })
    }

    /// The broker has come to another phase of its life.
    pub fn enter(&self, phase: Phase) {
        self.status.phase.store(Arc::new(phase));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_before_and_after_the_broker_serves() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let http = Http::start(vec![socket]).unwrap();
        for (phase, told) in [
            (None, "starting\n"),
            (Some(Phase::Starting("opening the logs")), "opening the logs\n"),
            (Some(Phase::Stopping), "stopping\n"),
        ] {
            if let Some(phase) = phase {
                http.enter(phase);
            }
            let ready = get(address, "/readyz").await;
            assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with(&format!("\r\n\r\n{told}")), "{ready}");
            assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
            let metrics = get(address, "/metrics").await;
            assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("\nfelice_build_info{"), "{metrics}");
            assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        }
        drop(http);
        // The task that accepts ends soon, and with it the socket.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
