//! Making batches: for internal topics, compaction, our own client, and tests.

use bytes::Bytes;

use super::batch::{HEADER_LEN, LOG_OVERHEAD};
use super::compression::{Compression, CompressionError, compress};
use super::{
    Attributes, Batch, BatchError, BatchHeader, Codec, MAGIC_V2, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, Record, RecordView, TimestampType, varint,
};

/// Why a batch could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Its records could not be compressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// It would be larger than its length can say.
    #[error("a batch of {0} bytes exceeds the format's 2 GiB")]
    TooLarge(usize),
    /// What it should be made of is no batch.
    #[error(transparent)]
    Unreadable(#[from] BatchError),
}

/// Collects records and gives the bytes of one batch, CRC included.
///
/// The first record's timestamp is the base; offsets run from the base offset, or are the records' own with
/// [`BatchBuilder::push`]. Offsets must ascend.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    compression: Compression,
    header: BatchHeader,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// A batch at offset 0 of leader epoch -1, without producer, as a plain producer sends it.
    pub fn new(compression: impl Into<Compression>) -> BatchBuilder {
        let compression = compression.into();
        BatchBuilder {
            compression,
            header: BatchHeader {
                base_offset: 0,
                batch_length: 0,
                partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
                magic: MAGIC_V2,
                crc: 0,
                attributes: Attributes::new(compression.codec(), TimestampType::CreateTime, false, false),
                last_offset_delta: -1,
                base_timestamp: NO_TIMESTAMP,
                max_timestamp: NO_TIMESTAMP,
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                base_sequence: NO_SEQUENCE,
                record_count: 0,
            },
            records: Vec::new(),
        }
    }

    /// A batch to take the place of `original`, which lost records to compaction: base offset, producer, leader epoch, codec and
    /// flags are its own. Where there is a `delete_horizon_ms`, that is the base timestamp, and the batch says so (KIP-534).
    /// The records follow with [`BatchBuilder::keep`], and then [`BatchBuilder::last_offset`] has to be the original's, so that the
    /// last sequence is.
    pub fn in_place_of(original: &BatchHeader, delete_horizon_ms: Option<i64>) -> Result<BatchBuilder, BatchError> {
        let max_timestamp = match original.timestamp_type() {
            TimestampType::LogAppendTime => original.max_timestamp,
            TimestampType::CreateTime => NO_TIMESTAMP,
        };
        let header = BatchHeader {
            attributes: original.attributes.with_delete_horizon(delete_horizon_ms.is_some()),
            last_offset_delta: -1,
            base_timestamp: delete_horizon_ms.unwrap_or(NO_TIMESTAMP),
            max_timestamp,
            record_count: 0,
            ..*original
        };
        Ok(BatchBuilder { compression: Compression::new(original.codec()?), header, records: Vec::new() })
    }

    /// Adds a record of `original`, a batch with the same base offset, as it is. Offsets must ascend.
    pub fn keep(&mut self, original: &BatchHeader, record: &RecordView<'_>) {
        debug_assert!(original.base_offset == self.header.base_offset);
        debug_assert!(record.offset_delta > self.header.last_offset_delta);
        let timestamp = match original.timestamp_type() {
            TimestampType::LogAppendTime => original.max_timestamp,
            TimestampType::CreateTime => original.base_timestamp.wrapping_add(record.timestamp_delta),
        };
        let headers = EncodedHeaders { count: record.header_count, size: record.headers.len() };
        self.append_encoded(record.offset_delta, timestamp, record.key, record.value, headers, |out| {
            out.extend_from_slice(record.headers);
        });
    }

    /// To be set before the first record.
    #[must_use]
    pub fn base_offset(mut self, base_offset: i64) -> BatchBuilder {
        debug_assert_eq!(self.header.record_count, 0);
        self.header.base_offset = base_offset;
        self
    }

    /// Sets the leader epoch, else -1.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// Sets producer id, epoch and first sequence, else -1.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.header.attributes = self.attributes(self.header.timestamp_type(), true, self.header.is_control());
        self
    }

    /// Marks the records as control records, which consumers skip.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.header.attributes = self.attributes(self.header.timestamp_type(), self.header.is_transactional(), true);
        self
    }

    /// Stamps the batch with the broker's time: all its records then have it.
    #[must_use]
    pub fn log_append_time(mut self, now_ms: i64) -> BatchBuilder {
        self.header.attributes = self.header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.header.max_timestamp = now_ms;
        self
    }

    fn attributes(&self, timestamp_type: TimestampType, transactional: bool, control: bool) -> Attributes {
        Attributes::new(self.compression.codec(), timestamp_type, transactional, control)
    }

    /// Adds a record at the next offset.
    #[must_use]
    pub fn record(self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> BatchBuilder {
        self.record_with_headers(timestamp, key, value, &[])
    }

    /// Adds a record with headers at the next offset.
    #[must_use]
    pub fn record_with_headers(
        mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> BatchBuilder {
        let headers = headers.iter().map(|(key, value)| (key.as_bytes(), *value));
        self.append(self.header.last_offset_delta + 1, timestamp, key, value, headers);
        self
    }

    /// Adds a record at its own offset, which must be at least the base offset and above the last record's.
    pub fn push(&mut self, record: &Record) {
        let delta = record.offset - self.header.base_offset;
        debug_assert!(delta > i64::from(self.header.last_offset_delta) && delta <= i64::from(i32::MAX));
        let headers = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref()));
        self.append(delta as i32, record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
    }

    /// Where a batch must keep the offset range of one that lost records to compaction: its last offset.
    #[must_use]
    pub fn last_offset(mut self, last_offset: i64) -> BatchBuilder {
        debug_assert!(last_offset >= self.header.last_offset());
        self.header.last_offset_delta = (last_offset - self.header.base_offset) as i32;
        self
    }

    fn append<'a>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    ) {
        let size = headers.clone().map(|(key, value)| sized_len(Some(key)) + sized_len(value)).sum();
        let encoded = EncodedHeaders { count: headers.len(), size };
        self.append_encoded(offset_delta, timestamp, key, value, encoded, |out| {
            for (key, value) in headers {
                put_sized(out, Some(key));
                put_sized(out, value);
            }
        });
    }

    fn append_encoded(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: EncodedHeaders,
        put_headers: impl FnOnce(&mut Vec<u8>),
    ) {
        let header = &mut self.header;
        if header.record_count == 0 && !header.attributes.has_delete_horizon() {
            header.base_timestamp = timestamp;
        }
        if header.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = header.max_timestamp.max(timestamp);
        }
        header.last_offset_delta = offset_delta;
        header.record_count += 1;

        let timestamp_delta = timestamp.wrapping_sub(header.base_timestamp);
        let fields = 1 + varint::len(timestamp_delta) + varint::len(i64::from(offset_delta));
        let len = fields + sized_len(key) + sized_len(value) + varint::len(headers.count as i64) + headers.size;

        let out = &mut self.records;
        out.reserve(len + 5);
        varint::put_i64(out, len as i64);
        let start = out.len();
        out.push(0); // attributes: none are defined
        varint::put_i64(out, timestamp_delta);
        varint::put_i32(out, offset_delta);
        put_sized(out, key);
        put_sized(out, value);
        varint::put_i64(out, headers.count as i64);
        put_headers(out);
        debug_assert_eq!(out.len() - start, len);
    }

    /// How many records have been pushed.
    pub fn record_count(&self) -> usize {
        self.header.record_count as usize
    }

    /// Size of the batch so far, before compression.
    pub fn uncompressed_size(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// The whole batch.
    ///
    /// # Panics
    /// Where [`BatchBuilder::try_build`] fails; for callers whose records are small and their own.
    pub fn build(self) -> Bytes {
        self.try_build().unwrap_or_else(|error| panic!("cannot build a record batch: {error}"))
    }

    /// The bytes of the batch.
    pub fn try_build(self) -> Result<Bytes, BuildError> {
        encode(self.header, self.compression, &self.records)
    }
}

/// A record's headers, whose encoding takes `size` bytes.
struct EncodedHeaders {
    count: usize,
    size: usize,
}

fn sized_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len(bytes.len() as i64) + bytes.len())
}

fn put_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put_i32(out, -1),
        Some(bytes) => {
            varint::put_i64(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// The batch of `header` with these records, given uncompressed; length and CRC are made anew.
fn encode(mut header: BatchHeader, compression: Compression, records: &[u8]) -> Result<Bytes, BuildError> {
    let mut batch = Vec::with_capacity(HEADER_LEN + if compression.codec() == Codec::None { records.len() } else { 0 });
    batch.resize(HEADER_LEN, 0);
    compress(compression, records, &mut batch)?;
    header.batch_length = i32::try_from(batch.len() - LOG_OVERHEAD).map_err(|_| BuildError::TooLarge(batch.len()))?;
    let (header_bytes, payload) = batch.split_at_mut(HEADER_LEN);
    header_bytes.copy_from_slice(&header.to_bytes_with_crc(payload));
    Ok(Bytes::from(batch))
}

/// The batch without records that stands for `original`, all of whose records compaction has removed: it keeps its offsets, and its
/// producer's epoch and last sequence. Kafka's `DefaultRecordBatch.writeEmptyHeader`.
pub fn emptied(original: &BatchHeader) -> BatchHeader {
    let attributes = original.attributes.with_codec(Codec::None).with_delete_horizon(false);
    let batch_length = (HEADER_LEN - LOG_OVERHEAD) as i32;
    BatchHeader { attributes, base_timestamp: NO_TIMESTAMP, record_count: 0, batch_length, ..*original }.with_crc(&[])
}

/// The same batch under another codec: same header fields, same records byte for byte, new length and CRC. The
/// records may decompress to at most `limit` bytes; they are not looked at.
pub fn recompress(batch: &Batch, compression: Compression, limit: usize) -> Result<Bytes, BuildError> {
    recompress_records(batch.header(), compression, &batch.record_bytes(limit)?)
}

/// As [`recompress`], for records that were decompressed already.
pub(super) fn recompress_records(
    header: &BatchHeader,
    compression: Compression,
    records: &[u8],
) -> Result<Bytes, BuildError> {
    let header = BatchHeader { attributes: header.attributes.with_codec(compression.codec()), ..*header };
    encode(header, compression, records)
}
