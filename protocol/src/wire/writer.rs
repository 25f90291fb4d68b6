//! Where encoded bytes go: a buffer for small values, and payloads by reference.

use std::{fs::File, sync::Arc};

use bytes::Bytes;

use super::{Refusal, STRING_MAX, Unencodable, Version, Width};

/// A range of an open file, sent as it is.
#[derive(Debug, Clone)]
pub struct FileRange {
    /// The file, kept open until the range was sent.
    pub file: Arc<File>,
    /// Where the range begins, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub len: usize,
}

/// The same range of the same open file.
impl PartialEq for FileRange {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.offset == other.offset && self.len == other.len
    }
}

/// A piece of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(FileRange),
}

impl Chunk {
    /// The size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::File(range) => range.len,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Payloads from this size on are spliced by reference instead of copied, in bytes.
pub const SPLICE_MIN: usize = 512;

/// Collects what is encoded: one growing buffer, and the payloads that belong at certain positions of it.
///
/// Invariant: splices are in the order of their positions, which lie within the buffer, and none is empty.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<Splice>,
    spliced_len: usize,
}

#[derive(Debug)]
struct Splice {
    /// How many bytes of the buffer come before it.
    at: usize,
    chunk: Chunk,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Writer::default()
    }

    /// An empty writer with room for so many bytes, spliced payloads not counted.
    pub fn with_capacity(bytes: usize) -> Self {
        Writer { buffer: Vec::with_capacity(bytes), ..Writer::default() }
    }

    /// How many bytes were written, payloads included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes as they are.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Copies a number's bytes.
    #[inline]
    pub(super) fn put_array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.buffer.extend_from_slice(&bytes);
    }

    /// Copies the bytes of numbers.
    #[inline]
    pub(super) fn put_arrays<T, const N: usize>(&mut self, items: &[T], bytes: impl Fn(&T) -> [u8; N]) {
        let start = self.buffer.len();
        self.buffer.resize(start + N * items.len(), 0);
        let (chunks, _) = self.buffer[start..].as_chunks_mut();
        for (chunk, item) in chunks.iter_mut().zip(items) {
            *chunk = bytes(item);
        }
    }

    /// Adds bytes as they are, by reference where that is cheaper than a copy.
    pub fn put_payload(&mut self, bytes: &Bytes) {
        if bytes.len() < SPLICE_MIN {
            self.put_slice(bytes);
        } else {
            self.splice(Chunk::Bytes(bytes.clone()));
        }
    }

    /// Writes an unsigned varint.
    #[inline]
    pub fn put_uvarint(&mut self, value: u32) {
        if value < 0x80 {
            // Nearly all of them.
            self.buffer.push(value as u8);
        } else {
            let (bytes, len) = uvarint(value);
            self.put_slice(&bytes[..len]);
        }
    }

    /// The chunks, in order.
    pub fn finish(self) -> Vec<Chunk> {
        let buffer = Bytes::from(self.buffer);
        let mut chunks = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut done = 0;
        for Splice { at, chunk } in self.splices {
            if at > done {
                chunks.push(Chunk::Bytes(buffer.slice(done..at)));
            }
            chunks.push(chunk);
            done = at;
        }
        if buffer.len() > done {
            chunks.push(Chunk::Bytes(buffer.slice(done..)));
        }
        chunks
    }

    /// All bytes in one piece, copied only where payloads were spliced.
    ///
    /// # Panics
    /// When a range of a file was written: for values that are stored, not sent.
    pub fn into_bytes(self) -> Bytes {
        if self.splices.is_empty() {
            return Bytes::from(self.buffer);
        }
        let mut whole = Vec::with_capacity(self.len());
        for chunk in self.finish() {
            match chunk {
                Chunk::Bytes(bytes) => whole.extend_from_slice(&bytes),
                Chunk::File(_) => panic!("a range of a file has no bytes in memory"),
            }
        }
        Bytes::from(whole)
    }

    pub(super) fn splice(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.spliced_len += chunk.len();
            self.splices.push(Splice { at: self.buffer.len(), chunk });
        }
    }

    /// Writes a length, or null.
    #[inline]
    pub(super) fn put_length(
        &mut self,
        length: Option<usize>,
        version: Version,
        width: Width,
    ) -> Result<(), Unencodable> {
        let limit = if width == Width::Short { STRING_MAX } else { i32::MAX as usize };
        if length.is_some_and(|length| length > limit) {
            return Err(Unencodable::new(Refusal::TooLong));
        }
        match (version.flexible, width) {
            (true, _) => self.put_uvarint(length.map_or(0, |length| length as u32 + 1)),
            (false, Width::Short) => self.put_array(length.map_or(-1, |length| length as i16).to_be_bytes()),
            (false, Width::Int) => self.put_array(length.map_or(-1, |length| length as i32).to_be_bytes()),
        }
        Ok(())
    }

    /// Writes the size of what `write` writes as an unsigned varint, then that.
    pub(crate) fn put_sized(
        &mut self,
        write: impl FnOnce(&mut Writer) -> Result<(), Unencodable>,
    ) -> Result<(), Unencodable> {
        let (start, splices, before) = (self.buffer.len(), self.splices.len(), self.len());
        write(self)?;
        let size = u32::try_from(self.len() - before).map_err(|_| Unencodable::new(Refusal::TooLong))?;
        let (bytes, len) = uvarint(size);
        // Make room in front of what was written: it is nearly always a few bytes.
        let end = self.buffer.len();
        self.put_slice(&bytes[..len]);
        self.buffer.copy_within(start..end, start + len);
        self.buffer[start..start + len].copy_from_slice(&bytes[..len]);
        for splice in &mut self.splices[splices..] {
            splice.at += len;
        }
        Ok(())
    }

    /// Overwrites four bytes that were written before.
    pub(crate) fn patch_i32(&mut self, at: usize, value: i32) {
        self.buffer[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
}

fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    const FLEXIBLE: Version = Version { number: 0, flexible: true };

    fn file(len: usize) -> FileRange {
        FileRange { file: Arc::new(File::open("/dev/null").unwrap()), offset: 7, len }
    }

    #[test]
    fn large_payloads_are_spliced_and_small_ones_copied() {
        let large = Bytes::from(vec![1; SPLICE_MIN]);
        let small = Bytes::from(vec![2; SPLICE_MIN - 1]);
        let mut w = Writer::new();
        w.put_payload(&large);
        w.put_payload(&small);
        w.put_slice(b"end");
        w.put_payload(&large);
        w.put_payload(&Bytes::new());
        assert_eq!(w.len(), 3 * SPLICE_MIN + 2);
        let chunks = w.finish();
        let [Chunk::Bytes(first), Chunk::Bytes(second), Chunk::Bytes(third)] = &chunks[..] else {
            panic!("{chunks:?}")
        };
        assert_eq!((first.as_ptr(), third.as_ptr()), (large.as_ptr(), large.as_ptr()));
        assert_eq!(second, &[&small[..], b"end"].concat());
    }

    #[test]
    fn a_sized_value_moves_over_for_its_size_with_what_was_spliced() {
        let large = Bytes::from(vec![1; 600]);
        let mut w = Writer::new();
        w.put_payload(&large);
        w.put_sized(|w| {
            w.put_slice(b"ab");
            w.put_sized(|w| large.write(w, FLEXIBLE))?;
            w.put_slice(b"cd");
            Ok(())
        })
        .unwrap();
        let expected = [&large[..], b"\xe0\x04ab\xda\x04\xd9\x04", &large, b"cd"].concat();
        assert_eq!(w.len(), expected.len());
        assert_eq!(w.into_bytes(), expected);
    }

    #[test]
    fn a_range_of_a_file_is_a_chunk_of_its_own() {
        let range = file(70_000);
        let mut w = Writer::new();
        crate::wire::Records::File(range.clone()).write(&mut w, FLEXIBLE).unwrap();
        w.put_slice(b"after");
        assert_eq!(w.len(), 70_008);
        let expected = [
            Chunk::Bytes(Bytes::from_static(b"\xf1\xa2\x04")),
            Chunk::File(range),
            Chunk::Bytes(Bytes::from_static(b"after")),
        ];
        assert_eq!(w.finish(), expected);
    }
}
