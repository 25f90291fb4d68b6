//! Reads frames off a socket: four bytes of length, then that many bytes, into one buffer that is never copied again.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    budget::{FrameBudget, OVERDRAFT_TIME, Permit},
    owed::Account,
};

/// A frame with no progress for this long is given up, with its connection.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Length of the size field before every frame.
const PREFIX: usize = 4;

/// Shortest request: api key, version, correlation id (the client id of old versions may be absent).
const SHORTEST_REQUEST: usize = 8;

/// Why no further frame comes from this peer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer closed between two frames: the normal end.
    #[error("closed by the peer")]
    Closed,
    #[error("closed by the peer in the middle of a frame ({have} of {len} bytes)")]
    Torn { have: usize, len: usize },
    /// Neither sent nor took a byte while it was its turn.
    #[error("idle for connections.max.idle.ms")]
    Idle,
    #[error("no byte for 30 s in the middle of a frame ({have} of {len} bytes)")]
    Stalled { have: usize, len: usize },
    #[error("frame of {len} bytes did not arrive within 5 s while memory for requests is short")]
    TooSlow { len: usize },
    #[error("{0}")]
    NotKafka(NotKafka),
    #[error("frame of {len} bytes exceeds {setting}={limit}")]
    TooLarge { len: i32, setting: &'static str, limit: usize },
    #[error("frame of {0} bytes cannot hold a request header")]
    TooSmall(i32),
    #[error("no memory for a frame of {0} bytes")]
    NoMemory(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    /// What kind of peer this is about, for lines that sum up many.
    pub fn kind(&self) -> &'static str {
        match self {
            ReadError::NotKafka(NotKafka::Tls) => "TLS handshakes",
            ReadError::NotKafka(NotKafka::Http) => "HTTP requests",
            ReadError::NotKafka(NotKafka::Ssh) => "SSH clients",
            ReadError::TooLarge { .. } | ReadError::NoMemory(_) => "frames too large",
            ReadError::TooSmall(_) => "frames too small",
            ReadError::Stalled { .. } | ReadError::TooSlow { .. } => "frames that never end",
            ReadError::Closed | ReadError::Torn { .. } | ReadError::Idle | ReadError::Io(_) => "lost connections",
        }
    }
}

/// What four first bytes give away about a peer that does not speak Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKafka {
    #[error("a TLS handshake on a plaintext listener")]
    Tls,
    #[error("an HTTP request on the Kafka port")]
    Http,
    #[error("an SSH client on the Kafka port")]
    Ssh,
}

impl NotKafka {
    fn recognize(prefix: [u8; PREFIX]) -> Option<NotKafka> {
        match &prefix {
            [0x16, 0x03, 0x00..=0x04, _] => Some(NotKafka::Tls),
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PATC" | b"CONN" | b"PRI " => {
                Some(NotKafka::Http)
            }
            b"SSH-" => Some(NotKafka::Ssh),
            _ => None,
        }
    }
}

/// Limits of one connection's frames.
#[derive(Debug, Clone)]
pub struct ReadLimits {
    /// `socket.request.max.bytes`
    pub max_frame: usize,
    /// `connections.max.idle.ms`; `None` is without limit
    pub max_idle: Option<Duration>,
}

/// One whole request, without its length, and what it holds of the frame budget.
#[derive(Debug)]
pub struct Frame {
    pub bytes: Bytes,
    pub permit: Permit,
}

/// The reading half of a connection. It holds a buffer only while a frame is under way, so an idle connection costs
/// next to nothing.
#[derive(Debug)]
pub struct Reader {
    max_frame: usize,
    budget: Arc<FrameBudget>,
    prefix: [u8; PREFIX],
    prefix_len: usize,
    last_progress: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    pub fn new(max_frame: usize, budget: Arc<FrameBudget>) -> Reader {
        Reader { max_frame, budget, prefix: [0; PREFIX], prefix_len: 0, last_progress: Instant::now(), timer: None }
    }

    /// When the peer last sent a byte.
    pub fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// The next frame.
    pub async fn frame(&mut self, stream: &TcpStream, account: &Account) -> Result<Frame, ReadError> {
        let len = self.length(stream, account).await?;
        let mut permit = self.budget.permit(len);
        let mut buffer: Vec<u8> = Vec::new();
        // Claimed, not touched: the pages become resident as bytes arrive, and those are paid for.
        buffer.try_reserve_exact(len + PREFIX).map_err(|_| ReadError::NoMemory(len))?;
        let mut deadline = None;
        while buffer.len() < len {
            if !self.readable(stream, Some(STALL_LIMIT)).await? {
                return Err(ReadError::Stalled { have: buffer.len(), len });
            }
            let missing = len - buffer.len();
            let granted = poll_fn(|cx| permit.poll_grow(cx, missing)).await;
            if permit.overdrawn() && *deadline.get_or_insert_with(|| Instant::now() + OVERDRAFT_TIME) < Instant::now() {
                return Err(ReadError::TooSlow { len });
            }
            // The last read also takes the next frame's length, where it is there: one system call less.
            let ahead = if granted == missing { PREFIX } else { 0 };
            let before = buffer.len();
            match stream.try_read_buf(&mut (&mut buffer).limit(granted + ahead)) {
                Ok(0) => return Err(ReadError::Torn { have: before, len }),
                Ok(read) => {
                    permit.shrink(granted.saturating_sub(read));
                    self.last_progress = Instant::now();
                    account.touch_at(self.last_progress);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => permit.shrink(granted),
                Err(error) => return Err(error.into()),
            }
        }
        self.prefix_len = buffer.len() - len;
        self.prefix[..self.prefix_len].copy_from_slice(&buffer[len..]);
        buffer.truncate(len);
        Ok(Frame { bytes: Bytes::from(buffer), permit })
    }

    async fn length(&mut self, stream: &TcpStream, account: &Account) -> Result<usize, ReadError> {
        while self.prefix_len < PREFIX {
            match stream.try_read(&mut self.prefix[self.prefix_len..]) {
                Ok(0) if self.prefix_len == 0 => return Err(ReadError::Closed),
                Ok(0) => return Err(ReadError::Torn { have: self.prefix_len, len: PREFIX }),
                Ok(read) => {
                    self.prefix_len += read;
                    self.last_progress = Instant::now();
                    account.touch_at(self.last_progress);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Between two frames a peer may take its time: that is for `connections.max.idle.ms`.
                    let limit = (self.prefix_len > 0).then_some(STALL_LIMIT);
                    if !self.readable(stream, limit).await? {
                        return Err(ReadError::Stalled { have: self.prefix_len, len: PREFIX });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.prefix_len = 0;
        let len = i32::from_be_bytes(self.prefix);
        if let Some(not_kafka) = NotKafka::recognize(self.prefix) {
            return Err(ReadError::NotKafka(not_kafka));
        }
        let too_large = |setting, limit| ReadError::TooLarge { len, setting, limit };
        match usize::try_from(len) {
            Err(_) => Err(ReadError::TooSmall(len)),
            Ok(size) if size < SHORTEST_REQUEST => Err(ReadError::TooSmall(len)),
            Ok(size) if size > self.max_frame => Err(too_large("socket.request.max.bytes", self.max_frame)),
            Ok(size) if size > self.budget.total() => Err(too_large("queued.max.request.bytes", self.budget.total())),
            Ok(size) => Ok(size),
        }
    }

    /// Waits until the socket can be read; false where `limit` has passed since the last progress.
    async fn readable(&mut self, stream: &TcpStream, limit: Option<Duration>) -> Result<bool, ReadError> {
        poll_fn(|cx| {
            if let Poll::Ready(result) = stream.poll_read_ready(cx) {
                return Poll::Ready(result.map(|()| true).map_err(ReadError::Io));
            }
            let Some(limit) = limit else { return Poll::Pending };
            ready!(self.poll_timer(cx, self.last_progress + limit));
            Poll::Ready(Ok(false))
        })
        .await
    }

    /// One timer serves all waits: it is armed when first needed and moved only when it fires too early or would fire too late, so a
    /// busy connection never touches the timer wheel.
    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
