//! The entries of an index file, one after the other.

use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{
    files::{self, LogError},
    index::Entry,
};
use crate::{
    env::{Disk, DiskFile},
    model::{Offset, ProducerId},
};

/// Read at once, in entries.
const READ_ENTRIES: usize = 1024;

/// One entry of a `.txnindex`: a transaction that was aborted (Kafka's `AbortedTxn`, version 0).
///
/// ```text
/// version i16 | producer id i64 | first offset i64 | last offset i64 | last stable offset i64
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub version: i16,
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// That of its abort marker.
    pub last_offset: Offset,
    /// The log's, once this transaction was over.
    pub last_stable_offset: Offset,
}

impl Entry for AbortedTransaction {
    type Key = i64;
    const SIZE: usize = 34;

    fn key(&self) -> i64 {
        self.last_offset.0
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_be_bytes());
        for number in [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<AbortedTransaction> {
        let (version, mut rest) = bytes.split_first_chunk()?;
        let mut number = || {
            let (number, after) = rest.split_first_chunk()?;
            rest = after;
            Some(i64::from_be_bytes(*number))
        };
        Some(AbortedTransaction {
            version: i16::from_be_bytes(*version),
            producer_id: ProducerId(number()?),
            first_offset: Offset(number()?),
            last_offset: Offset(number()?),
            last_stable_offset: Offset(number()?),
        })
    }
}

/// Reads an index file in blocks.
pub struct Entries<E> {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Whole entries end here.
    end: u64,
    /// Bytes behind the last whole entry.
    odd: u64,
    position: u64,
    block: Vec<u8>,
    block_at: u64,
    entry: PhantomData<E>,
}

impl<E: Entry> Entries<E> {
    /// # Errors
    /// The disk's; that there is no such file among them.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Entries<E>, LogError> {
        let file = super::open(disk, path)?;
        let size = files::size(&*file, path)?;
        let odd = size % E::SIZE as u64;
        Ok(Entries {
            file,
            path: path.to_owned(),
            end: size - odd,
            odd,
            position: 0,
            block: Vec::new(),
            block_at: 0,
            entry: PhantomData,
        })
    }

    /// Bytes behind the last whole entry: a sound index has none.
    pub fn odd_bytes(&self) -> u64 {
        self.odd
    }

    pub fn bytes(&self) -> u64 {
        self.end + self.odd
    }

    /// The next entry and where it lies, without going on.
    pub fn peek(&mut self) -> Result<Option<(u64, E)>, LogError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let at = usize::try_from(self.position - self.block_at).unwrap_or(usize::MAX);
        if let Some(entry) = self.block.get(at..).and_then(E::decode) {
            return Ok(Some((self.position, entry)));
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        self.block.resize(left.min(READ_ENTRIES * E::SIZE), 0);
        let read = files::read_at(&*self.file, &self.path, &mut self.block, self.position)?;
        self.block.truncate(read);
        self.block_at = self.position;
        // Shorter than it was: cut while it is read.
        Ok(E::decode(&self.block).map(|entry| (self.position, entry)))
    }

    /// The next entry and where it lies.
    pub fn take(&mut self) -> Result<Option<(u64, E)>, LogError> {
        let found = self.peek()?;
        if found.is_some() {
            self.position += E::SIZE as u64;
        }
        Ok(found)
    }
}
