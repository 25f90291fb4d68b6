//! Writes responses: chunks in memory gathered into one system call, ranges of files sent without copying.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
};

use bytes::Bytes;
use felice_protocol::{
    api::Frame,
    wire::{Chunk, FileRange},
};
use tokio::{io::Interest, net::TcpStream};

use super::owed::Account;

/// Chunks for one `writev`.
const MAX_SLICES: usize = 64;

/// Writes all of these frames, in order, and says so to the account whenever the peer's side has taken something and must take
/// more.
pub async fn write_frames(stream: &TcpStream, frames: &[Frame], account: &Account) -> io::Result<()> {
    let mut gathered: Vec<Bytes> = Vec::with_capacity(frames.len() + 2);
    for chunk in frames.iter().flat_map(|frame| &frame.chunks) {
        match chunk {
            Chunk::Bytes(bytes) => gathered.push(bytes.clone()),
            Chunk::File(range) => {
                write_chunks(stream, &gathered, account).await?;
                gathered.clear();
                send_file(stream, range, account).await?;
            }
        }
    }
    write_chunks(stream, &gathered, account).await
}

async fn write_chunks(stream: &TcpStream, chunks: &[Bytes], account: &Account) -> io::Result<()> {
    let (mut first, mut skip) = (0, 0);
    while let Some(chunk) = chunks.get(first) {
        if chunk.len() == skip {
            (first, skip) = (first + 1, 0);
            continue;
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slot, chunk) in slices.iter_mut().zip(&chunks[first..]) {
            *slot = IoSlice::new(if count == 0 { &chunk[skip..] } else { chunk });
            count += 1;
        }
        match stream.try_write_vectored(&slices[..count]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(mut written) => {
                while let Some(chunk) = chunks.get(first) {
                    let left = chunk.len() - skip;
                    if written < left {
                        skip += written;
                        break;
                    }
                    written -= left;
                    (first, skip) = (first + 1, 0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                account.touch();
                stream.writable().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `sendfile`, in bounded steps, so that a fast peer does not keep a worker thread to itself.
async fn send_file(stream: &TcpStream, range: &FileRange, account: &Account) -> io::Result<()> {
    const STEP: usize = 256 * 1024;
    let mut offset = range.offset;
    let end = range.offset + range.len as u64;
    while offset < end {
        let want = usize::try_from(end - offset).map_or(STEP, |left| left.min(STEP));
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let mut at = offset;
                rustix::fs::sendfile(stream.as_fd(), range.file.as_fd(), Some(&mut at), want).map_err(io::Error::from)
            })
            .await?;
        if sent == 0 {
            // The file is shorter than what was promised in the response's length: this connection cannot go on.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        account.touch();
        offset += sent as u64;
    }
    Ok(())
}
