//! Listening sockets: binding, accepting, and the limits on how many connections there may be.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::Notify,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use super::connection::{self, Shared};
use crate::{
    api::Peer,
    config::{Host, ListenerConfig},
    env::process,
    metrics::Counter,
};

const BACKLOG: i32 = 1024;

/// A listener's address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    address: String,
    #[source]
    cause: io::Error,
}

/// The sockets of one named listener; `localhost` has two (IPv4 and IPv6) with the same port.
#[derive(Debug)]
pub struct Bound {
    pub name: Arc<str>,
    pub sockets: Vec<std::net::TcpListener>,
}

impl Bound {
    /// The addresses of the sockets, with the ports that the kernel chose.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(std::net::TcpListener::local_addr).collect()
    }
}

/// Binds all that a listener is to listen on. Port 0 takes a free port.
pub fn bind(listener: &ListenerConfig) -> Result<Bound, BindError> {
    let mut sockets = Vec::new();
    for bind in &listener.bind {
        let bound = match &bind.host {
            Host::All => bind_all(bind.port),
            Host::Localhost => bind_localhost(bind.port),
            Host::Ip(ip) => bind_one(SocketAddr::new(*ip, bind.port), true).map(|socket| vec![socket]),
            Host::Name(name) => bind_named(name, bind.port),
        };
        sockets.extend(bound.map_err(|cause| BindError { address: bind.to_string(), cause })?);
    }
    Ok(Bound { name: Arc::from(listener.name.as_str()), sockets })
}

/// One dual-stack socket; a kernel without IPv6 gets IPv4 alone.
fn bind_all(port: u16) -> io::Result<Vec<std::net::TcpListener>> {
    let socket = match bind_one(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), false) {
        Err(error) if lacks_family(&error) => bind_one(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false)?,
        other => other?,
    };
    Ok(vec![socket])
}

fn bind_localhost(port: u16) -> io::Result<Vec<std::net::TcpListener>> {
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        tries += 1;
        let v4 = bind_one(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), false)?;
        let both = v4.local_addr()?.port();
        match bind_one(SocketAddr::from((Ipv6Addr::LOCALHOST, both)), true) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if lacks_family(&error) => return Ok(vec![v4]),
            // The kernel chose a port that is free in IPv4 only: let it choose again.
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

fn bind_named(host: &str, port: u16) -> io::Result<Vec<std::net::TcpListener>> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match bind_one(address, address.is_ipv6()) {
            Ok(socket) => return Ok(vec![socket]),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn lacks_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

fn bind_one(address: SocketAddr, only_v6: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restarted broker takes its port back although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// `max.connections`, `max.connections.per.ip` and `max.connections.per.ip.overrides`.
#[derive(Debug)]
pub struct ConnectionLimits {
    max: usize,
    max_per_ip: usize,
    overrides: HashMap<IpAddr, usize>,
    open: AtomicUsize,
    accepted: Counter,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    closed: Notify,
}

/// Counts one open connection for as long as it lives.
pub struct Admission {
    limits: Arc<ConnectionLimits>,
    ip: IpAddr,
}

impl ConnectionLimits {
    pub fn new(max: usize, max_per_ip: usize, overrides: HashMap<IpAddr, usize>) -> Arc<ConnectionLimits> {
        Arc::new(ConnectionLimits {
            max,
            max_per_ip,
            overrides,
            open: AtomicUsize::new(0),
            accepted: Counter::default(),
            per_ip: Mutex::new(HashMap::new()),
            closed: Notify::new(),
        })
    }

    /// Waits until there is room under `max.connections`: like Kafka, a full broker stops accepting.
    async fn room(&self) {
        while self.open.load(Ordering::Relaxed) >= self.max {
            self.closed.notified().await;
        }
    }

    /// Counts a connection from `ip`, or says which limit it exceeds.
    fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admission, String> {
        let limit = self.overrides.get(&ip).copied().unwrap_or(self.max_per_ip);
        let mut per_ip = self.per_ip.lock();
        let count = per_ip.entry(ip).or_default();
        if *count >= limit {
            if limit == 0 {
                per_ip.remove(&ip);
            }
            return Err(format!("{limit} connections from one address, the limit of max.connections.per.ip"));
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.add(1);
        Ok(Admission { limits: Arc::clone(self), ip })
    }

    /// Connections that were admitted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.value()
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut per_ip = self.limits.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
        self.limits.open.fetch_sub(1, Ordering::Relaxed);
        self.limits.closed.notify_one();
    }
}

/// Accepts connections until the broker stops. `connections` tracks their tasks, so that a clean stop can wait for them.
pub async fn accept(
    shared: Arc<Shared>,
    socket: TcpListener,
    listener: Arc<str>,
    limits: Arc<ConnectionLimits>,
    connections: TaskTracker,
) {
    let files_from = process::first_descriptor_for_files();
    loop {
        let accepted = select! {
            biased;
            () = shared.stopping.cancelled() => return,
            accepted = async {
                limits.room().await;
                socket.accept().await
            } => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if stream.as_raw_fd() >= files_from && !wait_for_room(&shared, &stream, files_from).await {
                    return;
                }
                let Some(peer) = Peer::of(&stream, address, &listener, &shared.stopping) else { continue };
                match limits.admit(peer.address.ip()) {
                    Ok(admission) => {
                        let shared = Arc::clone(&shared);
                        connections.spawn(async move {
                            connection::serve(shared, stream, peer).await;
                            drop(admission);
                        });
                    }
                    Err(reason) => shared.refusals.closed(peer.address, "too many connections", &reason),
                }
            }
            Err(error) if is_exhaustion(&error) => {
                tell_exhaustion(&shared, &error.to_string());
                pause(&shared).await;
            }
            // The peer went away between its handshake and our accept.
            Err(_) => {}
        }
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// The descriptors that are left are for files: accepting pauses, the kernel's backlog holds the peers, what is connected
/// goes on. False where the broker stops.
async fn wait_for_room(shared: &Shared, stream: &TcpStream, files_from: RawFd) -> bool {
    while !process::has_descriptor_below(files_from, stream) {
        tell_exhaustion(shared, &format!("{files_from} files are open, and what is left is for the log"));
        if !pause(shared).await {
            return false;
        }
    }
    true
}

fn tell_exhaustion(shared: &Shared, why: &str) {
    if shared.refusals.first_exhaustion() {
        error!("no new connection can be accepted: {why}; raise the limit of open files (ulimit -n)");
    }
}

/// Waits until another try is worth it; false where the broker stops.
async fn pause(shared: &Shared) -> bool {
    const PAUSE: Duration = Duration::from_millis(100);
    select! {
        () = sleep(PAUSE) => true,
        () = shared.stopping.cancelled() => false,
    }
}

impl Peer {
    /// `None` where the peer is gone already.
    fn of(stream: &TcpStream, address: SocketAddr, listener: &Arc<str>, stopping: &CancellationToken) -> Option<Peer> {
        match stream.local_addr() {
            Ok(local) => Some(Peer {
                address: SocketAddr::new(address.ip().to_canonical(), address.port()),
                local: SocketAddr::new(local.ip().to_canonical(), local.port()),
                listener: Arc::clone(listener),
                leaving: stopping.child_token(),
            }),
            Err(error) => {
                warn!(%address, "connection lost before its first request: {error}");
                None
            }
        }
    }
}
