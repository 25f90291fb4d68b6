//! One connection, from accept to close.
//!
//! A connection is one task with two sides. The reading side takes frames and dispatches them in the order of their
//! arrival, which fixes the order of appends; the writing side sends the responses in that order. While an earlier
//! request is parked (for replication, a long poll), the reading side goes on, bounded by the [`Pipeline`]. No request hops
//! to another task or thread.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    select,
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    budget::FrameBudget,
    lane::Lane,
    owed::{Account, Owed},
    pipeline::{Pipeline, Slot},
    reader::{ReadError, ReadLimits, Reader},
    refusals::Refusals,
    writer,
};
use crate::api::{self, Closing, Outcome, Peer, Services};

/// How long a connection from which no further request comes may go without taking a byte of its last responses.
const FAREWELL: Duration = Duration::from_secs(30);
/// While no further request is read, how often it is looked whether the peer is still there.
const PRESENCE_CHECK: Duration = Duration::from_secs(1);
/// Bytes that the kernel takes from us for a peer whose window is closed. By itself it takes megabytes for each, and with a few
/// hundred such peers all memory that it has for TCP, after which every connection of the machine stalls. What is on its way is not
/// counted: a fast peer far away is sent as much as ever.
const UNSENT_MAX: u32 = 128 << 10;
/// A connection whose request took this long lets the others of its thread go first.
const LONG: Duration = Duration::from_micros(500);

/// What every connection of a broker shares.
pub struct Shared {
    pub services: Arc<Services>,
    pub budget: Arc<FrameBudget>,
    pub owed: Arc<Owed>,
    pub lane: Lane,
    pub limits: ReadLimits,
    pub refusals: Refusals,
    /// Cancelled when the broker stops: requests already read are answered, no further one is read.
    pub stopping: CancellationToken,
}

/// Serves one peer until it leaves, misbehaves, or the broker stops.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: Peer) {
    // Responses are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_MAX);
    let pipeline = Pipeline::new(shared.owed.open());
    let account = pipeline.account();
    let end = {
        let reading = read_side(&shared, &stream, &peer, &pipeline);
        let writing = write_side(&stream, &pipeline);
        tokio::pin!(reading, writing);
        select! {
            // Reading first: requests that are already there are dispatched before their responses leave together.
            biased;
            end = &mut reading => match end {
                End::Read(ReadError::Io(_)) => end,
                // No request follows, but what was asked for before is answered: a peer may close its sending half
                // only. Whether it is gone altogether cannot be seen from here, so long polls end now.
                end => {
                    peer.leaving.cancel();
                    account.touch();
                    select! {
                        () = pipeline.emptied() => {}
                        _ = &mut writing => {}
                        () = quiet(account, FAREWELL, || false) => {}
                        () = account.revoked() => {}
                    }
                    end
                }
            },
            end = &mut writing => end,
            () = idle(&shared, &pipeline) => End::Read(ReadError::Idle),
            () = account.revoked() => End::Revoked,
        }
    };
    let address = peer.address;
    match end {
        End::Read(ReadError::Closed) => debug!(%address, "closed by the peer"),
        End::Read(error @ (ReadError::Torn { .. } | ReadError::Idle)) => debug!(%address, "{error}"),
        End::Read(ReadError::Io(error)) | End::Write(error) => debug!(%address, "connection lost: {error}"),
        End::Read(error) => shared.refusals.closed(address, error.kind(), &error.to_string()),
        End::Refused(closing) => shared.refusals.closed(address, closing.kind, &closing.reason),
        End::Revoked => {
            let reason =
                "memory for responses is short, and this peer is owed the most or took nothing for the longest";
            shared.refusals.closed(address, "responses not taken", reason);
        }
        End::Dropped => debug!(%address, "closed after a failed request that wanted no answer"),
        End::Stopping => {}
    }
}

enum End {
    Read(ReadError),
    Write(std::io::Error),
    Refused(Closing),
    /// What it is owed takes too much memory.
    Revoked,
    /// A parked request asked for the connection to be closed.
    Dropped,
    Stopping,
}

async fn read_side(shared: &Arc<Shared>, stream: &TcpStream, peer: &Peer, pipeline: &Pipeline) -> End {
    let mut reader = Reader::new(shared.limits.max_frame, Arc::clone(&shared.budget));
    loop {
        let frame = select! {
            biased;
            () = shared.stopping.cancelled() => return End::Stopping,
            frame = async {
                if !pipeline.has_room() {
                    room(stream, peer, pipeline).await;
                }
                reader.frame(stream, pipeline.account()).await
            } => frame,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return End::Read(error),
        };
        let outcome = outcome(shared, peer, frame.bytes, pipeline.is_waiting()).await;
        // By now a produced batch is in its file, and everything else has been decoded.
        drop(frame.permit);
        match outcome {
            Outcome::Ready(frame) => pipeline.push(Slot::Ready(frame)),
            Outcome::Parked { response, memory } => pipeline.push(Slot::Parked { response, memory }),
            Outcome::Silent => {}
            Outcome::Close(closing) => return End::Refused(closing),
            Outcome::Heavy(_) => return End::Refused(Closing::failed()),
        }
        if reader.last_progress().elapsed() >= LONG {
            yield_now().await;
        }
    }
}

/// What comes of a request. The next one of its connection is not read before.
async fn outcome(shared: &Arc<Shared>, peer: &Peer, frame: Bytes, is_behind: bool) -> Outcome {
    let outcome = if api::is_heavy(&frame) {
        let (services, peer) = (Arc::clone(&shared.services), peer.clone());
        shared.lane.work(move || api::dispatch(&services, &peer, frame, is_behind)).await
    } else {
        Some(api::dispatch(&shared.services, peer, frame, is_behind))
    };
    let outcome = match outcome {
        Some(Outcome::Heavy(work)) => shared.lane.work(work).await,
        outcome => outcome,
    };
    outcome.unwrap_or_else(|| Outcome::Close(Closing::failed()))
}

/// Waits until another request may be read. Meanwhile nothing tells that the peer has left: once it has, nobody waits for
/// its long polls.
async fn room(stream: &TcpStream, peer: &Peer, pipeline: &Pipeline) {
    let present = async {
        loop {
            sleep(PRESENCE_CHECK).await;
            let is_gone = match stream.ready(Interest::READABLE).now_or_never() {
                Some(Ok(ready)) => ready.is_read_closed(),
                Some(Err(_)) => true,
                None => false,
            };
            if is_gone {
                peer.leaving.cancel();
            }
        }
    };
    select! {
        biased;
        () = pipeline.room() => {}
        () = present => {}
    }
}

/// Resolves when the peer has neither sent nor taken anything for `connections.max.idle.ms` although it could have.
async fn idle(shared: &Shared, pipeline: &Pipeline) {
    match shared.limits.max_idle {
        Some(limit) => quiet(pipeline.account(), limit, || pipeline.is_working()).await,
        None => pending().await,
    }
}

/// Resolves when nothing was sent or taken for `limit`; time during which we are `busy` does not count. The timer is set once a
/// limit, not with each byte.
async fn quiet(account: &Account, limit: Duration, busy: impl Fn() -> bool) {
    loop {
        sleep_until(account.last_active() + limit).await;
        if busy() {
            account.touch();
        } else if account.last_active() + limit <= Instant::now() {
            return;
        }
    }
}

async fn write_side(stream: &TcpStream, pipeline: &Pipeline) -> End {
    let account = pipeline.account();
    let mut frames = Vec::new();
    loop {
        match pipeline.next().await {
            Slot::Ready(frame) => frames.push(frame),
            Slot::Parked { response, memory } => match response.await {
                Some(frame) => {
                    // However long it was waited for, the peer's time begins now.
                    account.touch();
                    pipeline.became_ready(&frame, memory);
                    frames.push(frame);
                }
                None => return End::Dropped,
            },
        }
        while let Some(frame) = pipeline.next_ready() {
            frames.push(frame);
        }
        account.set_blocked(true);
        let written = writer::write_frames(stream, &frames, account).await;
        account.set_blocked(false);
        if let Err(error) = written {
            return End::Write(error);
        }
        for frame in frames.drain(..) {
            pipeline.written(&frame);
        }
    }
}
