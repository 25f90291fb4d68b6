//! One connection, from accept to close.
//!
//! A connection is one task with two sides. The reading side takes frames and dispatches them in the order of their
//! arrival, which fixes the order of appends; the writing side sends the responses in that order. While an earlier
//! request is parked (for replication, a long poll), the reading side goes on, bounded by the [`Pipeline`]. No request hops
//! to another task or thread.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpStream, select, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    budget::FrameBudget,
    pipeline::{Pipeline, Slot},
    reader::{ReadError, ReadLimits, Reader},
    refusals::Refusals,
    writer,
};
use crate::api::{self, Closing, Outcome, Peer, Services};

/// How long a connection from which no further request comes may take to be given its last responses.
const FAREWELL: Duration = Duration::from_secs(30);

/// What every connection of a broker shares.
pub struct Shared {
    pub services: Arc<Services>,
    pub budget: Arc<FrameBudget>,
    pub limits: ReadLimits,
    pub refusals: Refusals,
    /// Cancelled when the broker stops: requests already read are answered, no further one is read.
    pub stopping: CancellationToken,
}

/// Serves one peer until it leaves, misbehaves, or the broker stops.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: Peer) {
    // Responses are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let pipeline = Pipeline::default();
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
                    select! {
                        () = pipeline.emptied() => {}
                        _ = &mut writing => {}
                        () = sleep(FAREWELL) => {}
                    }
                    end
                }
            },
            end = &mut writing => end,
        }
    };
    let address = peer.address;
    match end {
        End::Read(ReadError::Closed) => debug!(%address, "closed by the peer"),
        End::Read(error @ (ReadError::Torn { .. } | ReadError::Idle)) => debug!(%address, "{error}"),
        End::Read(ReadError::Io(error)) | End::Write(error) => debug!(%address, "connection lost: {error}"),
        End::Read(error) => shared.refusals.closed(address, error.kind(), &error.to_string()),
        End::Refused(closing) => shared.refusals.closed(address, closing.kind, &closing.reason),
        End::Dropped => debug!(%address, "closed after a failed request that wanted no answer"),
        End::Stopping => {}
    }
}

enum End {
    Read(ReadError),
    Write(std::io::Error),
    Refused(Closing),
    /// A parked request asked for the connection to be closed.
    Dropped,
    Stopping,
}

async fn read_side(shared: &Arc<Shared>, stream: &TcpStream, peer: &Peer, pipeline: &Pipeline) -> End {
    let mut reader = Reader::new(shared.limits.clone(), Arc::clone(&shared.budget));
    loop {
        let frame = select! {
            biased;
            () = shared.stopping.cancelled() => return End::Stopping,
            frame = async {
                pipeline.room().await;
                reader.frame(stream, || pipeline.is_working()).await
            } => frame,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return End::Read(error),
        };
        let outcome = api::dispatch(&shared.services, peer, frame.bytes, pipeline.is_waiting());
        // By now a produced batch is in its file, and everything else has been decoded.
        drop(frame.permit);
        match outcome {
            Outcome::Ready(frame) => pipeline.push(Slot::Ready(frame)),
            Outcome::Parked(parked) => pipeline.push(Slot::Parked(parked)),
            Outcome::Silent => {}
            Outcome::Close(closing) => return End::Refused(closing),
        }
    }
}

async fn write_side(stream: &TcpStream, pipeline: &Pipeline) -> End {
    let mut frames = Vec::new();
    loop {
        match pipeline.next().await {
            Slot::Ready(frame) => frames.push(frame),
            Slot::Parked(parked) => match parked.await {
                Some(frame) => {
                    pipeline.became_ready(&frame);
                    frames.push(frame);
                }
                None => return End::Dropped,
            },
        }
        while let Some(frame) = pipeline.next_ready() {
            frames.push(frame);
        }
        pipeline.set_writing(true);
        let written = writer::write_frames(stream, &frames).await;
        pipeline.set_writing(false);
        if let Err(error) = written {
            return End::Write(error);
        }
        for frame in frames.drain(..) {
            pipeline.written(frame.len);
        }
    }
}
