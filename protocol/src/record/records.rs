//! The records inside a batch, borrowed ([`RecordView`]) or shared ([`Record`]).
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! key length varint (< 0: null) | key | value length varint (< 0: null) | value
//! header count varint | { key length varint | key | value length varint (< 0: null) | value } ...
//! ```

use bytes::Bytes;

use super::{BatchError, BatchHeader, TimestampType, varint};

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum RecordError {
    /// It ends before this part of it does.
    #[error("the {0} does not fit what is left")]
    Truncated(&'static str),
    /// It says that it has more headers than fit, or fewer than none.
    #[error("{count} headers do not fit {left} bytes")]
    HeaderCount { count: i32, left: usize },
    /// A header without key.
    #[error("header key length {0} is negative")]
    HeaderKey(i32),
    /// It is shorter than it says.
    #[error("{0} bytes of the record's length are left over")]
    Leftover(usize),
}

/// One record, its bytes shared with the batch (or with what that was decompressed to).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds; the batch's max timestamp where that is a LogAppendTime batch.
    pub timestamp: i64,
    /// What compaction and most partitioners go by.
    pub key: Option<Bytes>,
    /// `None` is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    /// Its headers, in order; keys may repeat.
    pub headers: Vec<Header>,
}

/// A record's header. The key is meant to be UTF-8, which no broker checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub key: Bytes,
    /// What it says.
    pub value: Option<Bytes>,
}

/// One record as it stands in its batch: nothing is copied or allocated, the headers have been walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its offset minus the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp minus the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    pub(super) header_count: usize,
    pub(super) headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Takes the first record off `input`.
    pub fn take(input: &mut &'a [u8]) -> Result<RecordView<'a>, RecordError> {
        let mut body = take_sized(input, "record")?.ok_or(RecordError::Truncated("record"))?;
        let (_attributes, rest) = body.split_first().ok_or(RecordError::Truncated("attributes"))?;
        body = rest;
        let timestamp_delta = varint::take_i64(&mut body).ok_or(RecordError::Truncated("timestamp delta"))?;
        let offset_delta = varint::take_i32(&mut body).ok_or(RecordError::Truncated("offset delta"))?;
        let key = take_sized(&mut body, "key")?;
        let value = take_sized(&mut body, "value")?;
        let count = varint::take_i32(&mut body).ok_or(RecordError::Truncated("header count"))?;
        let header_count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= body.len())
            .ok_or(RecordError::HeaderCount { count, left: body.len() })?;
        let headers = body;
        for _ in 0..header_count {
            take_header(&mut body)?;
        }
        if !body.is_empty() {
            return Err(RecordError::Leftover(body.len()));
        }
        Ok(RecordView { offset_delta, timestamp_delta, key, value, header_count, headers })
    }

    /// The headers' keys and values, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        // `take` walked them, so none fails here.
        (0..self.header_count).map_while(move |_| take_header(&mut rest).ok())
    }
}

fn take_header<'a>(input: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let len = varint::take_i32(input).ok_or(RecordError::Truncated("header key length"))?;
    let len = usize::try_from(len).map_err(|_| RecordError::HeaderKey(len))?;
    let (key, rest) = input.split_at_checked(len).ok_or(RecordError::Truncated("header key"))?;
    *input = rest;
    Ok((key, take_sized(input, "header value")?))
}

/// A length and that many bytes; any negative length is null, as in Kafka.
#[inline]
fn take_sized<'a>(input: &mut &'a [u8], what: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
    let len = varint::take_i32(input).ok_or(RecordError::Truncated(what))?;
    let Ok(len) = usize::try_from(len) else { return Ok(None) };
    let (bytes, rest) = input.split_at_checked(len).ok_or(RecordError::Truncated(what))?;
    *input = rest;
    Ok(Some(bytes))
}

/// Borrows the records of a batch one by one, in as many items as the header counts. Ends after the first error;
/// bytes after the last record are one.
#[derive(Debug, Clone)]
pub struct RecordViews<'a> {
    rest: &'a [u8],
    next: usize,
    count: usize,
}

impl<'a> RecordViews<'a> {
    /// `record_bytes` are decompressed.
    pub fn new(record_count: i32, record_bytes: &'a [u8]) -> Result<RecordViews<'a>, BatchError> {
        let count = usize::try_from(record_count).map_err(|_| BatchError::RecordCount(record_count))?;
        Ok(RecordViews { rest: record_bytes, next: 0, count })
    }
}

impl<'a> Iterator for RecordViews<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let item = RecordView::take(&mut self.rest).map_err(|error| BatchError::Record { index, error });
        let item = match item {
            Ok(_) if self.next == self.count && !self.rest.is_empty() => Err(BatchError::Leftover(self.rest.len())),
            item => item,
        };
        if item.is_err() {
            self.next = self.count;
        }
        Some(item)
    }
}

/// Iterates over the records of a batch with shared bytes; see [`super::Batch::records`].
#[derive(Debug, Clone)]
pub struct Records {
    bytes: Bytes,
    position: usize,
    next: usize,
    count: usize,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl Records {
    pub(super) fn new(header: &BatchHeader, bytes: Bytes) -> Result<Records, BatchError> {
        let count = usize::try_from(header.record_count).map_err(|_| BatchError::RecordCount(header.record_count))?;
        Ok(Records {
            bytes,
            position: 0,
            next: 0,
            count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp),
        })
    }

    fn share(&self, view: RecordView<'_>) -> Record {
        let shared = |bytes| self.bytes.slice_ref(bytes);
        Record {
            offset: self.base_offset.wrapping_add(i64::from(view.offset_delta)),
            timestamp: self.append_time.unwrap_or_else(|| self.base_timestamp.wrapping_add(view.timestamp_delta)),
            key: view.key.map(shared),
            value: view.value.map(shared),
            headers: view.headers().map(|(key, value)| Header { key: shared(key), value: value.map(shared) }).collect(),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut views = RecordViews { rest: &self.bytes[self.position..], next: self.next, count: self.count };
        let item = views.next()?.map(|view| self.share(view));
        (self.position, self.next) = (self.bytes.len() - views.rest.len(), views.next);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count - self.next))
    }
}
