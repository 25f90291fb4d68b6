//! The header of a record batch, a whole batch, and the few header fields that a broker rewrites.
//!
//! ```text
//!  0 base offset i64 | 8 batch length i32 | 12 partition leader epoch i32 | 16 magic i8 | 17 crc u32
//! 21 attributes i16  | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32 | 61 records
//! ```
//! The batch length counts what follows it. The CRC-32C covers everything from the attributes on, so base offset
//! and leader epoch may be patched freely.

use bytes::Bytes;

use super::compression::{CompressionError, decompress};
use super::records::{RecordError, RecordViews, Records};

/// Size of the whole header, base offset and batch length included.
pub const HEADER_LEN: usize = 61;
/// Base offset and batch length: what the batch length does not count.
pub const LOG_OVERHEAD: usize = 12;
/// The only format that is written; 0 and 1 are the legacy message sets.
pub const MAGIC_V2: i8 = 2;

/// The timestamp of a batch or record without one.
pub const NO_TIMESTAMP: i64 = -1;
/// The producer id of a batch whose producer is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// The producer epoch of a batch without producer id.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// The base sequence of a batch without producer id, and of control batches.
pub const NO_SEQUENCE: i32 = -1;
/// The leader epoch of a batch that no leader has appended yet.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

const BATCH_LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// Why bytes are not a record batch of magic 2, or not one that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum BatchError {
    /// It ends before its header or its length does; sizes in bytes.
    #[error("truncated batch: {needed} bytes needed, {available} left")]
    Truncated { needed: usize, available: usize },
    /// The length that it says of itself is too small.
    #[error("batch length {0} is smaller than a batch header")]
    Length(i32),
    /// It has another format.
    #[error("magic {0} is not 2")]
    Magic(i8),
    /// It is compressed in a way that nobody knows.
    #[error("unknown compression codec {0}")]
    Codec(u8),
    /// Its bytes have changed.
    #[error("CRC mismatch: {stored:#010x} stored, {computed:#010x} computed")]
    Crc { stored: u32, computed: u32 },
    /// It cannot be decompressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// `index` counts the batch's records from 0.
    #[error("record {index}: {error}")]
    Record { index: usize, error: RecordError },
    /// It says that it has fewer records than none.
    #[error("record count {0} is negative")]
    RecordCount(i32),
    /// It has more bytes than its records take.
    #[error("{0} bytes after the last record")]
    Leftover(usize),
}

/// A batch's attribute bits: codec (0-2), timestamp type (3), transactional (4), control (5), delete horizon (6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The bits of a batch without delete horizon.
    pub const fn new(codec: Codec, timestamp_type: TimestampType, transactional: bool, control: bool) -> Attributes {
        let mut bits = codec as i16;
        if matches!(timestamp_type, TimestampType::LogAppendTime) {
            bits |= Self::LOG_APPEND_TIME;
        }
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        Attributes(bits)
    }

    /// Codecs 5 to 7 fit the bits but mean nothing.
    pub fn codec(self) -> Result<Codec, BatchError> {
        let id = (self.0 & Self::CODEC) as u8;
        Codec::from_id(id).ok_or(BatchError::Codec(id))
    }

    /// What its timestamps mean.
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether its producer has a transaction open.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether its records are control records.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Set by compaction: the base timestamp is then the time at which tombstones may go (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same with another codec.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Attributes {
        Attributes(self.0 & !Self::CODEC | codec as i16)
    }

    /// The same with or without a delete horizon for its base timestamp.
    #[must_use]
    pub fn with_delete_horizon(self, has_delete_horizon: bool) -> Attributes {
        let bits = self.0 & !Self::DELETE_HORIZON;
        Attributes(if has_delete_horizon { bits | Self::DELETE_HORIZON } else { bits })
    }

    /// The same with another meaning of timestamps.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Self::LOG_APPEND_TIME),
        }
    }
}

/// How the records of a batch are compressed; the discriminant is the id on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in snappy-java's framing.
    Snappy = 2,
    /// LZ4's frame format.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// All of them, by number.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this number in the attributes.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// The name used by `compression.type` and Kafka's tools.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

/// Whose clock a batch's timestamps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's, one for each record.
    CreateTime,
    /// The broker's: every record has the batch's max timestamp.
    LogAppendTime,
}

/// The header of a batch as numbers.
///
/// Parsed ones have magic 2 and a batch length that covers at least the header; everything else is as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of its first record, or where compaction has removed that, the one it had.
    pub base_offset: i64,
    /// As on the wire: without base offset and the length itself. [`BatchHeader::size`] is the whole batch.
    pub batch_length: i32,
    /// The epoch of the leader that appended it. Not covered by the CRC.
    pub partition_leader_epoch: i32,
    /// The format: 2.
    pub magic: i8,
    /// CRC-32C of all from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Last offset minus base offset. Survives compaction, so it may exceed the record count.
    pub last_offset_delta: i32,
    /// Milliseconds; the delete horizon where [`Attributes::has_delete_horizon`].
    pub base_timestamp: i64,
    /// Milliseconds since 1970: the largest of its records, or when it was appended.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// The sequence of its first record; -1 without idempotence.
    pub base_sequence: i32,
    /// How many records it has.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the first [`HEADER_LEN`] bytes. The rest of the batch need not be there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        // A legacy message can be shorter than our header: name its magic rather than call it truncated.
        if let Some(magic) = peek_magic(bytes)
            && magic != MAGIC_V2
        {
            return Err(BatchError::Magic(magic));
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Truncated { needed: HEADER_LEN, available: bytes.len() });
        };
        let parsed = BatchHeader::from_array(header);
        if parsed.batch_length < (HEADER_LEN - LOG_OVERHEAD) as i32 {
            return Err(BatchError::Length(parsed.batch_length));
        }
        Ok(parsed)
    }

    fn from_array(header: &[u8; HEADER_LEN]) -> BatchHeader {
        BatchHeader {
            base_offset: i64::from_be_bytes(field::<0, 8>(header)),
            batch_length: i32::from_be_bytes(field::<BATCH_LENGTH_AT, 4>(header)),
            partition_leader_epoch: i32::from_be_bytes(field::<LEADER_EPOCH_AT, 4>(header)),
            magic: header[MAGIC_AT] as i8,
            crc: u32::from_be_bytes(field::<CRC_AT, 4>(header)),
            attributes: Attributes(i16::from_be_bytes(field::<ATTRIBUTES_AT, 2>(header))),
            last_offset_delta: i32::from_be_bytes(field::<LAST_OFFSET_DELTA_AT, 4>(header)),
            base_timestamp: i64::from_be_bytes(field::<BASE_TIMESTAMP_AT, 8>(header)),
            max_timestamp: i64::from_be_bytes(field::<MAX_TIMESTAMP_AT, 8>(header)),
            producer_id: i64::from_be_bytes(field::<PRODUCER_ID_AT, 8>(header)),
            producer_epoch: i16::from_be_bytes(field::<PRODUCER_EPOCH_AT, 2>(header)),
            base_sequence: i32::from_be_bytes(field::<BASE_SEQUENCE_AT, 4>(header)),
            record_count: i32::from_be_bytes(field::<RECORD_COUNT_AT, 4>(header)),
        }
    }

    /// The header's bytes, with `self.crc` as it is: see [`BatchHeader::to_bytes_with_crc`].
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        put(&mut header, 0, self.base_offset.to_be_bytes());
        put(&mut header, BATCH_LENGTH_AT, self.batch_length.to_be_bytes());
        put(&mut header, LEADER_EPOCH_AT, self.partition_leader_epoch.to_be_bytes());
        put(&mut header, MAGIC_AT, self.magic.to_be_bytes());
        put(&mut header, CRC_AT, self.crc.to_be_bytes());
        put(&mut header, ATTRIBUTES_AT, self.attributes.0.to_be_bytes());
        put(&mut header, LAST_OFFSET_DELTA_AT, self.last_offset_delta.to_be_bytes());
        put(&mut header, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put(&mut header, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(&mut header, PRODUCER_ID_AT, self.producer_id.to_be_bytes());
        put(&mut header, PRODUCER_EPOCH_AT, self.producer_epoch.to_be_bytes());
        put(&mut header, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put(&mut header, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        header
    }

    /// The header's bytes with the CRC over them and `payload`, what follows the header.
    pub fn to_bytes_with_crc(&self, payload: &[u8]) -> [u8; HEADER_LEN] {
        let mut header = self.to_bytes();
        renew_crc(&mut header, payload);
        header
    }

    /// The header with the CRC over itself and `payload`.
    #[must_use]
    pub fn with_crc(self, payload: &[u8]) -> BatchHeader {
        let header = self.to_bytes_with_crc(payload);
        BatchHeader { crc: u32::from_be_bytes(field::<CRC_AT, 4>(&header)), ..self }
    }

    /// Size in bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        LOG_OVERHEAD + self.batch_length.max(0) as usize
    }

    /// The offset of its last record, or where compaction has removed that, the one it had.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence of the last record, [`NO_SEQUENCE`] where the batch has none; wraps from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            NO_SEQUENCE => NO_SEQUENCE,
            base => increment_sequence(base, self.last_offset_delta),
        }
    }

    /// How it is compressed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.attributes.codec()
    }

    /// What its timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// Whether its producer has a transaction open.
    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// Whether its records are control records.
    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// Whether its producer is idempotent.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When tombstones and markers in this batch may be dropped, in milliseconds (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

/// One whole batch: `bytes` is exactly as long as its header says. The CRC is checked only on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes the first batch off `bytes` and returns it with what follows. Both share the memory of `bytes`.
    pub fn split_first(bytes: &Bytes) -> Result<(Batch, Bytes), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let size = header.size();
        if bytes.len() < size {
            return Err(BatchError::Truncated { needed: size, available: bytes.len() });
        }
        Ok((Batch { header, bytes: bytes.slice(..size) }, bytes.slice(size..)))
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header's bytes, as a copy to patch.
    pub fn header_bytes(&self) -> [u8; HEADER_LEN] {
        field::<0, HEADER_LEN>(&self.bytes)
    }

    /// What follows the header: the records, compressed as the header's codec says.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LEN..)
    }

    /// The records' bytes: the payload itself, or what it decompresses to, at most `limit` bytes.
    pub fn record_bytes(&self, limit: usize) -> Result<Bytes, BatchError> {
        match self.header.codec()? {
            Codec::None => Ok(self.payload()),
            codec => Ok(Bytes::from(decompress(codec, &self.bytes[HEADER_LEN..], limit)?)),
        }
    }

    /// Iterates over the records. Where they are compressed, they are decompressed now, into at most `limit` bytes;
    /// keys and values then keep that whole memory alive, else that of the batch.
    pub fn records(&self, limit: usize) -> Result<Records, BatchError> {
        Records::new(&self.header, self.record_bytes(limit)?)
    }

    /// As [`Batch::records`], without sharing: `record_bytes` is what [`Batch::record_bytes`] gave.
    pub fn record_views<'a>(&self, record_bytes: &'a [u8]) -> Result<RecordViews<'a>, BatchError> {
        RecordViews::new(self.header.record_count, record_bytes)
    }

    /// Whether its bytes are those that its CRC was made of.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed == self.header.crc { Ok(()) } else { Err(BatchError::Crc { stored: self.header.crc, computed }) }
    }
}

/// The magic of the batch or legacy message that starts here; they share its place.
pub fn peek_magic(bytes: &[u8]) -> Option<i8> {
    bytes.get(MAGIC_AT).map(|magic| *magic as i8)
}

/// The size in bytes that the batch or legacy message starting here claims, whole; `None` where the length is not
/// there or negative.
pub fn peek_size(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(*bytes.get(BATCH_LENGTH_AT..)?.first_chunk::<4>()?);
    usize::try_from(length).ok().map(|length| LOG_OVERHEAD + length)
}

/// The sequence `increment` after `sequence`: sequences run from 0 to `i32::MAX` and around.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    (i64::from(sequence) + i64::from(increment)).rem_euclid(1 << 31) as i32
}

/// Gives a batch its place in the log. Neither field is covered by the CRC.
pub fn patch_header(header: &mut [u8; HEADER_LEN], base_offset: i64, leader_epoch: i32) {
    put(header, 0, base_offset.to_be_bytes());
    put(header, LEADER_EPOCH_AT, leader_epoch.to_be_bytes());
}

/// Stamps a batch with the broker's time, as `message.timestamp.type=LogAppendTime` asks: the attribute, the max
/// timestamp, and a new CRC over the header's tail and `payload` (what follows the header), which is only read.
pub fn patch_log_append_time(header: &mut [u8; HEADER_LEN], now_ms: i64, payload: &[u8]) {
    patch_timestamps(header, TimestampType::LogAppendTime, now_ms, payload);
}

/// Corrects the max timestamp of a batch whose records say otherwise, and the CRC with it. The timestamp type
/// becomes CreateTime, as a producer's batch has it.
pub fn patch_max_timestamp(header: &mut [u8; HEADER_LEN], max_timestamp: i64, payload: &[u8]) {
    patch_timestamps(header, TimestampType::CreateTime, max_timestamp, payload);
}

fn patch_timestamps(header: &mut [u8; HEADER_LEN], timestamp_type: TimestampType, max_timestamp: i64, payload: &[u8]) {
    let attributes = Attributes(i16::from_be_bytes(field::<ATTRIBUTES_AT, 2>(header)));
    put(header, ATTRIBUTES_AT, attributes.with_timestamp_type(timestamp_type).0.to_be_bytes());
    put(header, MAX_TIMESTAMP_AT, max_timestamp.to_be_bytes());
    renew_crc(header, payload);
}

fn renew_crc(header: &mut [u8; HEADER_LEN], payload: &[u8]) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[ATTRIBUTES_AT..]), payload);
    put(header, CRC_AT, crc.to_be_bytes());
}

/// `N` bytes at `AT`, which the caller knows to be there.
fn field<const AT: usize, const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[AT..AT + N]);
    field
}

fn put<const N: usize>(header: &mut [u8; HEADER_LEN], at: usize, field: [u8; N]) {
    header[at..at + N].copy_from_slice(&field);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            base_offset: 0x0102_0304_0506_0708,
            batch_length: 52,
            partition_leader_epoch: 7,
            magic: 2,
            crc: 0,
            attributes: Attributes::new(Codec::Zstd, TimestampType::CreateTime, true, false),
            last_offset_delta: 2,
            base_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_009,
            producer_id: 4711,
            producer_epoch: 3,
            base_sequence: i32::MAX - 1,
            record_count: 3,
        }
    }

    fn sample_bytes() -> Bytes {
        let mut bytes = sample().to_bytes_with_crc(b"abc").to_vec();
        bytes.extend_from_slice(b"abc");
        Bytes::from(bytes)
    }

    #[test]
    fn header_survives_a_round_trip() {
        let bytes = sample_bytes();
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(BatchHeader { crc: 0, ..header }, sample());
        assert_eq!(header.size(), bytes.len());
        assert_eq!(header.last_offset(), sample().base_offset + 2);
        assert_eq!(header.last_sequence(), 0);
        assert_eq!(header.codec(), Ok(Codec::Zstd));
        assert!(header.is_transactional() && !header.is_control() && header.has_producer_id());
        assert_eq!(header.to_bytes(), bytes[..HEADER_LEN]);
    }

    #[test]
    fn batches_are_split_where_their_length_says() {
        let mut two = sample_bytes().to_vec();
        two.extend_from_slice(&sample_bytes());
        let two = Bytes::from(two);
        let (first, rest) = Batch::split_first(&two).unwrap();
        let (second, rest) = Batch::split_first(&rest).unwrap();
        assert_eq!(first, second);
        assert!(rest.is_empty());
        assert_eq!(first.payload(), &b"abc"[..]);
        first.verify_crc().unwrap();
        for cut in 0..first.bytes().len() {
            let part = first.bytes().slice(..cut);
            assert!(matches!(Batch::split_first(&part), Err(BatchError::Truncated { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_a_batch_is_named() {
        let good = sample_bytes();
        let changed = |at: usize, to: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = to;
            Bytes::from(bytes)
        };
        assert_eq!(BatchHeader::parse(&changed(MAGIC_AT, 1)), Err(BatchError::Magic(1)));
        assert_eq!(BatchHeader::parse(&changed(MAGIC_AT, 1)[..20]), Err(BatchError::Magic(1)));
        assert_eq!(BatchHeader::parse(&changed(11, 48)), Err(BatchError::Length(48)));
        assert_eq!(BatchHeader::parse(&changed(8, 0xff)), Err(BatchError::Length(-0x00ff_ffcc)));
        let codec = BatchHeader::parse(&changed(22, 7)).unwrap().codec();
        assert_eq!(codec, Err(BatchError::Codec(7)));
        for at in ATTRIBUTES_AT..good.len() {
            let (batch, _) = Batch::split_first(&changed(at, !good[at])).unwrap();
            assert!(matches!(batch.verify_crc(), Err(BatchError::Crc { .. })), "byte {at}");
        }
    }

    #[test]
    fn patching_a_place_keeps_the_crc_and_patching_time_renews_it() {
        let (batch, _) = Batch::split_first(&sample_bytes()).unwrap();
        let whole = |header: &[u8]| Batch::split_first(&Bytes::from([header, b"abc"].concat())).unwrap().0;

        let mut header = batch.header_bytes();
        patch_header(&mut header, 99, 8);
        let placed = whole(&header);
        placed.verify_crc().unwrap();
        assert_eq!(*placed.header(), BatchHeader { base_offset: 99, partition_leader_epoch: 8, ..*batch.header() });

        patch_log_append_time(&mut header, 12345, &batch.payload());
        let stamped = whole(&header);
        stamped.verify_crc().unwrap();
        assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(stamped.header().max_timestamp, 12345);
        assert_eq!(stamped.header().codec(), Ok(Codec::Zstd));

        patch_max_timestamp(&mut header, 12346, &batch.payload());
        let corrected = whole(&header);
        corrected.verify_crc().unwrap();
        assert_eq!(corrected.header().timestamp_type(), TimestampType::CreateTime);
        assert_eq!(corrected.header().max_timestamp, 12346);
    }

    #[test]
    fn sequences_wrap() {
        assert_eq!(increment_sequence(0, 4), 4);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 4), 2);
        assert_eq!(BatchHeader { base_sequence: NO_SEQUENCE, ..sample() }.last_sequence(), NO_SEQUENCE);
    }
}
