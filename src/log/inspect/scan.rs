//! A `.log` file from its beginning to its end, batch by batch, with all that is wrong with it.
//!
//! Where a header makes no sense nobody knows where the next batch begins. It is looked for byte by byte: a batch is what
//! has a header that fits in and a CRC that is right, which no other bytes have but by design.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use felice_protocol::record::{BatchHeader, HEADER_LEN, MAGIC_V2};

use super::super::files::{self, LogError};
use crate::{
    env::{Disk, DiskFile},
    model::Offset,
};

/// Read at once.
const READ_SIZE: usize = 256 * 1024;

/// A larger batch is checked, and its records are not looked at.
const HELD_MAX: usize = 64 << 20;

/// Where the CRC of a batch begins to count.
const CRC_FROM: usize = 21;

/// Where a header has its magic.
const MAGIC_AT: usize = 16;

/// A part of the file: a batch, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub position: u64,
    pub size: u64,
    /// Where a batch could be made out, however damaged.
    pub header: Option<BatchHeader>,
    /// The offset that is next in the log here.
    pub expected: Offset,
    /// What is wrong.
    pub damage: Option<String>,
    /// It reaches the end of the file, and is what an append leaves that is under way or was interrupted.
    pub is_torn_tail: bool,
}

/// Walks over a file. Memory is bounded by the largest batch up to 64 MiB.
pub struct Scanner {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    base: Offset,
    /// Where the next segment begins: no batch of this one reaches it.
    next_base: Option<Offset>,
    end: u64,
    position: u64,
    expected: i64,
    buffer: Vec<u8>,
    buffer_at: u64,
    /// What the buffer need not keep any more is dropped from the page cache.
    spares_cache: bool,
    dropped: u64,
    /// Of the region that was returned last.
    current: Option<(u64, BatchHeader)>,
}

impl Scanner {
    /// Of the segment that begins at `base`; up to where the file ends now.
    ///
    /// # Errors
    /// The disk's; that there is no such file among them.
    pub fn open(disk: &dyn Disk, path: &Path, base: Offset, next_base: Option<Offset>) -> Result<Scanner, LogError> {
        let file = super::open(disk, path)?;
        let end = files::size(&*file, path)?;
        Ok(Scanner::new(file, path, base, next_base, end))
    }

    pub fn new(file: Arc<dyn DiskFile>, path: &Path, base: Offset, next_base: Option<Offset>, end: u64) -> Scanner {
        Scanner {
            file,
            path: path.to_owned(),
            base,
            next_base,
            end,
            position: 0,
            expected: base.0,
            buffer: Vec::new(),
            buffer_at: 0,
            spares_cache: false,
            dropped: 0,
            current: None,
        }
    }

    /// Leaves the page cache as it was, about: for who reads much that nobody else reads soon.
    #[must_use]
    pub fn sparing_cache(mut self) -> Scanner {
        self.spares_cache = true;
        self
    }

    /// Where the file ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How far this came.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The offset after the last batch so far.
    pub fn next_offset(&self) -> Offset {
        Offset(self.expected)
    }

    /// The bytes of the batch that was returned last; `None` where it was none, or is too large to be held.
    pub fn batch(&mut self) -> Result<Option<&[u8]>, LogError> {
        let Some((position, header)) = self.current.filter(|(_, header)| header.size() <= HELD_MAX) else {
            return Ok(None);
        };
        let size = header.size();
        Ok(Some(self.fill(position, size)?).filter(|bytes| bytes.len() == size))
    }

    /// The next part of the file; `None` at its end.
    ///
    /// # Errors
    /// The disk's. A file that ends earlier than it did at first (its log is being cut) is none: the walk ends there.
    pub fn next_region(&mut self) -> Result<Option<Region>, LogError> {
        self.current = None;
        if self.position >= self.end {
            self.spare(self.end);
            return Ok(None);
        }
        self.spare(self.position);
        let (position, expected) = (self.position, Offset(self.expected));
        let whole = |header: BatchHeader, damage| Region {
            position,
            size: header.size() as u64,
            header: Some(header),
            expected,
            damage,
            is_torn_tail: false,
        };
        let header = match self.header_at(position)? {
            Ok(header) => header,
            Err(why) => return self.skip(position, why).map(Some),
        };
        let after = position + header.size() as u64;
        if !self.crc_matches(position, &header)? {
            // The length may be what is wrong.
            let frame_is_good = after == self.end || self.header_at(after)?.is_ok();
            if !frame_is_good {
                return self.skip(position, "the CRC does not match".to_owned()).map(Some);
            }
            self.position = after;
            if header.last_offset_delta >= 0 && (self.expected..self.limit()).contains(&header.last_offset()) {
                self.expected = header.next_offset();
            }
            self.current = Some((position, header));
            return Ok(Some(whole(header, Some("the CRC does not match".to_owned()))));
        }
        self.position = after;
        self.current = Some((position, header));
        let damage = self.misplaced(&header);
        if damage.is_none() || (self.base.0..self.limit()).contains(&header.last_offset()) {
            self.expected = header.next_offset();
        }
        Ok(Some(whole(header, damage)))
    }

    /// Offsets of batches in here are below.
    fn limit(&self) -> i64 {
        let reachable = self.base.0.saturating_add(i64::from(i32::MAX)).saturating_add(1);
        self.next_base.map_or(reachable, |next| next.0.min(reachable))
    }

    /// What is wrong with a batch's offsets, which its CRC does not cover.
    fn misplaced(&self, header: &BatchHeader) -> Option<String> {
        let (first, last) = (header.base_offset, header.last_offset());
        if header.last_offset_delta < 0 {
            return Some(format!("its last offset delta is {}", header.last_offset_delta));
        }
        if first < self.base.0 {
            return Some(format!("it begins at offset {first}, before the segment does"));
        }
        if last >= self.limit() {
            return Some(format!("it ends at offset {last}, and the segment before {}", self.limit()));
        }
        (first < self.expected).then(|| {
            format!("it begins at offset {first} where the batch before ends at {}: one is wrong", self.expected - 1)
        })
    }

    /// The header of a batch that could begin at `position` and end within the file, or why none does.
    fn header_at(&mut self, position: u64) -> Result<Result<BatchHeader, String>, LogError> {
        let left = self.end.saturating_sub(position);
        let bytes = self.fill(position, HEADER_LEN.min(usize::try_from(left).unwrap_or(usize::MAX)))?;
        let header = match BatchHeader::parse(bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if header.size() as u64 > left {
            return Ok(Err(format!("a batch of {} bytes where {left} are left", header.size())));
        }
        Ok(Ok(header))
    }

    fn crc_matches(&mut self, position: u64, header: &BatchHeader) -> Result<bool, LogError> {
        let (mut at, end) = (position + CRC_FROM as u64, position + header.size() as u64);
        if header.size() <= HELD_MAX {
            // It is held whole, for who looks at its records next.
            let bytes = self.fill(position, header.size())?;
            let covered = bytes.get(CRC_FROM..).filter(|_| bytes.len() == header.size());
            return Ok(covered.is_some_and(|covered| crc32c::crc32c(covered) == header.crc));
        }
        let mut crc = 0;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_SIZE);
            let bytes = self.fill(at, wanted)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, bytes);
            at += bytes.len() as u64;
        }
        Ok(crc == header.crc)
    }

    /// Where the first batch begins behind damage at `position`, with offsets from `expected` on; `None` where none does.
    ///
    /// # Errors
    /// The disk's.
    pub fn find_batch_behind(&mut self, position: u64, expected: Offset) -> Result<Option<u64>, LogError> {
        self.expected = expected.0;
        self.find_batch(position + 1)
    }

    /// Goes on to the next batch that is one, or to the end of the file.
    fn skip(&mut self, position: u64, why: String) -> Result<Region, LogError> {
        let found = self.find_batch(position + 1)?;
        let next = found.unwrap_or(self.end);
        let is_torn_tail = found.is_none();
        self.position = next;
        let damage = Some(why);
        Ok(Region {
            position,
            size: next - position,
            header: None,
            expected: Offset(self.expected),
            damage,
            is_torn_tail,
        })
    }

    /// Where the first batch begins, from `from` on, that has its place here and a CRC that is right.
    fn find_batch(&mut self, from: u64) -> Result<Option<u64>, LogError> {
        let mut at = from;
        while at + HEADER_LEN as u64 <= self.end {
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let bytes = self.fill(at, left.min(READ_SIZE))?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            let starts = bytes.len() - HEADER_LEN + 1;
            // Nothing but the magic is looked at for most bytes.
            let candidates = bytes.get(MAGIC_AT..MAGIC_AT + starts).unwrap_or_default().iter();
            let magics: Vec<u64> = candidates
                .enumerate()
                .filter(|(_, byte)| **byte == MAGIC_V2 as u8)
                .map(|(index, _)| at + index as u64)
                .collect();
            for position in magics {
                if let Ok(header) = self.header_at(position)?
                    && (self.expected..self.limit()).contains(&header.base_offset)
                    && header.last_offset_delta >= 0
                    && header.last_offset() < self.limit()
                    && self.crc_matches(position, &header)?
                {
                    return Ok(Some(position));
                }
            }
            at += starts as u64;
        }
        Ok(None)
    }

    /// `length` bytes at `position`, fewer only where the file ends; `length` is at most [`HELD_MAX`].
    fn fill(&mut self, position: u64, length: usize) -> Result<&[u8], LogError> {
        let within = position.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        let at = match within.filter(|at| at.saturating_add(length) <= self.buffer.len()) {
            Some(at) => at,
            None => {
                let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
                let wanted = length.max(READ_SIZE).min(left);
                if self.buffer.capacity() > 4 * READ_SIZE && wanted <= READ_SIZE {
                    self.buffer = Vec::new();
                }
                self.buffer.resize(wanted, 0);
                let read = files::read_at(&*self.file, &self.path, &mut self.buffer, position)?;
                self.buffer.truncate(read);
                self.buffer_at = position;
                0
            }
        };
        Ok(self.buffer.get(at..self.buffer.len().min(at + length)).unwrap_or_default())
    }

    fn spare(&mut self, until: u64) {
        // Not for every batch: the call looks at each page.
        let is_worth_it = until >= self.end || until >= self.dropped + 4 * READ_SIZE as u64;
        if self.spares_cache && is_worth_it && until > self.dropped {
            self.file.drop_cached(self.dropped, until - self.dropped);
            self.dropped = until;
        }
    }
}
