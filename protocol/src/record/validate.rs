//! What a produced batch must be before a log takes it: Kafka's `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`, as far as magic 2 goes, in their order.
//!
//! The records of an uncompressed batch are walked. A compressed batch is opened only where its header cannot
//! answer: keys on compacted topics, a lower timestamp limit, a timestamp that the header already shows to be bad (to
//! name the records), a max timestamp that is none of the records' because the batch pretends to have the broker's
//! time, or recompression. Otherwise its header is believed, where Kafka opens every batch.
//!
//! Stricter than Kafka in two places. Bytes after the batch are refused even where they are no whole batch (Kafka
//! drops them). Offset deltas must count from 0 (Kafka renumbers compressed batches and stores the others as they
//! are).

use bytes::Bytes;

use super::batch::HEADER_LEN;
use super::builder::recompress_records;
use super::{
    Batch, BatchError, BatchHeader, BuildError, Codec, Compression, CompressionError, MAGIC_V2, NO_TIMESTAMP,
    RecordError, RecordViews, TimestampType, check_beginning, peek_magic,
};

/// Rejections beyond these are not listed: the answer to a bad batch stays small.
const MAX_REJECTIONS: usize = 100;
/// Produce versions below this one know no zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

/// What the topic and the request allow. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct ProduceLimits {
    /// The broker's time.
    pub now: i64,
    /// Version of the Produce request, at least 3.
    pub produce_version: i16,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`; `i64::MAX` is no limit.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub after_max_ms: i64,
    /// `max.message.bytes`, for the whole batch as it came and, recompressed, as it is stored.
    pub max_message_bytes: usize,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// `compression.type`; `None` is `producer`.
    pub compression: Option<Compression>,
    /// A compressed batch that is opened may hold this much.
    pub max_decompressed_bytes: usize,
}

/// A batch that may be appended: write `header`, given its base offset and leader epoch, then `payload`.
///
/// The header's CRC is right, its timestamp type is the topic's, and its max timestamp is the records' (or now, for
/// LogAppendTime).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The header, in which base offset and leader epoch are still to be set.
    pub header: BatchHeader,
    /// All after the header.
    pub payload: Bytes,
}

impl Checked {
    /// The header's bytes at this place in the log.
    pub fn header_at(&self, base_offset: i64, leader_epoch: i32) -> [u8; HEADER_LEN] {
        BatchHeader { base_offset, partition_leader_epoch: leader_epoch, ..self.header }.to_bytes()
    }
}

/// Why a batch is refused, with the error that Kafka answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum InvalidBatch {
    /// INVALID_RECORD
    #[error("no record batch")]
    Empty,
    /// INVALID_RECORD: to Kafka, half a batch is none.
    #[error("truncated batch: {needed} bytes needed, {available} left")]
    Truncated { needed: usize, available: usize },
    /// INVALID_RECORD
    #[error("{0} bytes after the batch: a partition takes one batch at a time")]
    TrailingBytes(usize),
    /// INVALID_RECORD: a legacy message set, in a Produce version for magic 2.
    #[error("magic {0} where only magic 2 is allowed")]
    LegacyMagic(i8),
    /// CORRUPT_MESSAGE
    #[error("unknown magic {0}")]
    UnknownMagic(i8),
    /// CORRUPT_MESSAGE
    #[error("batch length {0} is smaller than a batch header")]
    Length(i32),
    /// UNSUPPORTED_COMPRESSION_TYPE
    #[error("zstd is not allowed in Produce version {0}")]
    ZstdTooEarly(i16),
    /// INVALID_RECORD
    #[error("base offset {0} is not 0")]
    BaseOffset(i64),
    /// MESSAGE_TOO_LARGE
    #[error("batch of {size} bytes exceeds the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    /// CORRUPT_MESSAGE
    #[error("CRC mismatch: {stored:#010x} stored, {computed:#010x} computed")]
    Crc { stored: u32, computed: u32 },
    /// Kafka fails on it with UNKNOWN_SERVER_ERROR.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    /// INVALID_RECORD
    #[error("record count {count} with a last offset delta of {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    /// INVALID_RECORD
    #[error("clients may not write control records")]
    Control,
    /// INVALID_RECORD
    #[error("base sequence {base_sequence} with producer id {producer_id}")]
    Sequence { producer_id: i64, base_sequence: i32 },
    /// INVALID_RECORD (Kafka lets some of these pass).
    #[error("producer epoch {producer_epoch} with producer id {producer_id}")]
    ProducerEpoch { producer_id: i64, producer_epoch: i16 },
    /// Kafka fails on it with UNKNOWN_SERVER_ERROR, or INVALID_RECORD where it meets the end of data.
    #[error("records cannot be decompressed: {0}")]
    Compression(CompressionError),
    /// INVALID_RECORD
    #[error("record {index}: {error}")]
    Record { index: usize, error: RecordError },
    /// INVALID_RECORD
    #[error("record {index} has offset delta {offset_delta}")]
    OffsetDelta { index: usize, offset_delta: i32 },
    /// INVALID_RECORD
    #[error("{0} bytes after the last record")]
    Leftover(usize),
    /// INVALID_TIMESTAMP where one of them is about a timestamp, else INVALID_RECORD; listed in the response
    /// (KIP-467). Never empty, in order of index, at most 100.
    #[error("{} or more records rejected, first {}", .0.len(), .0[0])]
    Records(Vec<RecordRejection>),
}

impl InvalidBatch {
    /// Whether a [`InvalidBatch::Records`] is about timestamps, and so INVALID_TIMESTAMP.
    pub fn concerns_timestamps(&self) -> bool {
        match self {
            InvalidBatch::Records(rejections) => {
                rejections.iter().any(|rejection| rejection.reason != Rejection::NoKey)
            }
            _ => false,
        }
    }

    fn from_batch(error: BatchError) -> InvalidBatch {
        match error {
            BatchError::Truncated { needed, available } => InvalidBatch::Truncated { needed, available },
            BatchError::Length(length) => InvalidBatch::Length(length),
            BatchError::Magic(magic) if (0..MAGIC_V2).contains(&magic) => InvalidBatch::LegacyMagic(magic),
            BatchError::Magic(magic) => InvalidBatch::UnknownMagic(magic),
            BatchError::Codec(codec) => InvalidBatch::UnknownCodec(codec),
            BatchError::Crc { stored, computed } => InvalidBatch::Crc { stored, computed },
            BatchError::Compression(error) => InvalidBatch::Compression(error),
            BatchError::Record { index, error } => InvalidBatch::Record { index, error },
            BatchError::RecordCount(count) => InvalidBatch::Count { count, last_offset_delta: -1 },
            BatchError::Leftover(bytes) => InvalidBatch::Leftover(bytes),
        }
    }
}

/// One record that may not be appended, by its index in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at index {index}: {reason}")]
pub struct RecordRejection {
    /// Its number in the batch, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: Rejection,
}

/// Why a record may not be appended; displayed as Kafka says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum Rejection {
    /// It could never be compacted away.
    #[error("Compacted topic cannot accept message without key")]
    NoKey,
    /// It is too old or too new.
    #[error("Timestamp {timestamp} is out of range. The timestamp should be within [{earliest}, {latest}]")]
    Timestamp { timestamp: i64, earliest: i64, latest: i64 },
    /// Only the broker may say when it appended.
    #[error("Producer should not set timestamp type to LogAppendTime")]
    LogAppendTime,
}

/// Uncompressed records up to this size are compressed in no time, in bytes.
const SMALL: usize = 16 << 10;

/// Whether [`check_produced`] will decompress or compress these records, and so take much longer than it does to look at them.
pub fn is_laborious(records: &[u8], limits: &ProduceLimits) -> bool {
    let Ok(header) = BatchHeader::parse(records) else { return false };
    match header.codec() {
        Ok(Codec::None) => records.len() > SMALL && limits.target(Codec::None).is_some(),
        Ok(codec) => limits.target(codec).is_some() || !header_suffices(&header, limits),
        Err(_) => false,
    }
}

impl ProduceLimits {
    /// What records of this codec are to be compressed with instead.
    fn target(&self, codec: Codec) -> Option<Compression> {
        self.compression.filter(|compression| compression.codec() != codec)
    }
}

/// Checks the records of one partition in a Produce request (version 3 and later), and gives the batch as it is to
/// be stored. Takes no lock and no clock; reads the payload once for the CRC and, uncompressed, once more.
pub fn check_produced(records: &Bytes, limits: &ProduceLimits) -> Result<Checked, InvalidBatch> {
    let batch = one_batch(records, limits)?;
    let header = batch.header();
    let codec = check_header(header)?;

    let target = limits.target(codec);
    if codec != Codec::None && target.is_none() && header_suffices(header, limits) {
        check_beginning(codec, &batch.payload()).map_err(InvalidBatch::Compression)?;
        return Ok(stamped(*header, batch.payload(), header.max_timestamp, limits));
    }
    let record_bytes = batch.record_bytes(limits.max_decompressed_bytes).map_err(InvalidBatch::from_batch)?;
    let max_timestamp = check_records(header, &record_bytes, limits)?;
    let Some(compression) = target else {
        return Ok(stamped(*header, batch.payload(), max_timestamp, limits));
    };
    recompressed(stamped_header(*header, max_timestamp, limits), compression, &record_bytes, limits)
}

fn one_batch(records: &Bytes, limits: &ProduceLimits) -> Result<Batch, InvalidBatch> {
    if records.is_empty() {
        return Err(InvalidBatch::Empty);
    }
    let (batch, trailing) = Batch::split_first(records).map_err(InvalidBatch::from_batch)?;
    let header = batch.header();
    if header.codec() == Ok(Codec::Zstd) && limits.produce_version < FIRST_VERSION_WITH_ZSTD {
        return Err(InvalidBatch::ZstdTooEarly(limits.produce_version));
    }
    if !trailing.is_empty() {
        // A second thing with a magic of its own is judged by it, as the first was.
        return Err(match peek_magic(&trailing) {
            Some(magic) if !(0..=MAGIC_V2).contains(&magic) => InvalidBatch::UnknownMagic(magic),
            _ => InvalidBatch::TrailingBytes(trailing.len()),
        });
    }
    if header.base_offset != 0 {
        return Err(InvalidBatch::BaseOffset(header.base_offset));
    }
    check_size(header.size(), limits)?;
    batch.verify_crc().map_err(InvalidBatch::from_batch)?;
    Ok(batch)
}

fn check_size(size: usize, limits: &ProduceLimits) -> Result<(), InvalidBatch> {
    if size > limits.max_message_bytes {
        return Err(InvalidBatch::TooLarge { size, limit: limits.max_message_bytes });
    }
    Ok(())
}

fn check_header(header: &BatchHeader) -> Result<Codec, InvalidBatch> {
    let codec = header.codec().map_err(InvalidBatch::from_batch)?;
    let BatchHeader { record_count: count, last_offset_delta, producer_id, producer_epoch, base_sequence, .. } =
        *header;
    if count <= 0 || last_offset_delta != count - 1 {
        return Err(InvalidBatch::Count { count, last_offset_delta });
    }
    if header.is_control() {
        return Err(InvalidBatch::Control);
    }
    if header.has_producer_id() {
        if base_sequence < 0 {
            return Err(InvalidBatch::Sequence { producer_id, base_sequence });
        }
        if producer_epoch < 0 {
            return Err(InvalidBatch::ProducerEpoch { producer_id, producer_epoch });
        }
    }
    Ok(codec)
}

/// Whether the header of a compressed batch answers every question that the topic asks.
fn header_suffices(header: &BatchHeader, limits: &ProduceLimits) -> bool {
    let bounded_below = limits.timestamp_type == TimestampType::CreateTime && limits.before_max_ms != i64::MAX;
    let pretender = header.timestamp_type() == TimestampType::LogAppendTime;
    !limits.compacted && !bounded_below && !pretender && judge_timestamp(header, header.max_timestamp, limits).is_none()
}

/// Walks the records and returns their largest timestamp.
fn check_records(header: &BatchHeader, record_bytes: &[u8], limits: &ProduceLimits) -> Result<i64, InvalidBatch> {
    let mut max_timestamp = NO_TIMESTAMP;
    let mut rejections = Vec::new();
    let views = RecordViews::new(header.record_count, record_bytes).map_err(InvalidBatch::from_batch)?;
    for (index, view) in views.enumerate() {
        let view = view.map_err(InvalidBatch::from_batch)?;
        if usize::try_from(view.offset_delta) != Ok(index) {
            return Err(InvalidBatch::OffsetDelta { index, offset_delta: view.offset_delta });
        }
        // Its own, even where the batch pretends to have the broker's: it is stored as CreateTime.
        let timestamp = header.base_timestamp.wrapping_add(view.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        let rejection = match limits.compacted && view.key.is_none() {
            true => Some(Rejection::NoKey),
            false => judge_timestamp(header, timestamp, limits),
        };
        if let Some(reason) = rejection
            && rejections.len() < MAX_REJECTIONS
        {
            rejections.push(RecordRejection { index, reason });
        }
    }
    if rejections.is_empty() { Ok(max_timestamp) } else { Err(InvalidBatch::Records(rejections)) }
}

fn judge_timestamp(header: &BatchHeader, timestamp: i64, limits: &ProduceLimits) -> Option<Rejection> {
    if limits.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
        let age = limits.now.saturating_sub(timestamp);
        let too_old = age > limits.before_max_ms;
        let too_new = age.saturating_neg() > limits.after_max_ms;
        return (too_old || too_new).then(|| Rejection::Timestamp {
            timestamp,
            earliest: limits.now.saturating_sub(limits.before_max_ms),
            latest: limits.now.saturating_add(limits.after_max_ms),
        });
    }
    (header.timestamp_type() == TimestampType::LogAppendTime).then_some(Rejection::LogAppendTime)
}

/// The header with the timestamps that are to be stored.
fn stamped_header(header: BatchHeader, max_timestamp: i64, limits: &ProduceLimits) -> BatchHeader {
    let max_timestamp = match limits.timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => limits.now,
    };
    BatchHeader { attributes: header.attributes.with_timestamp_type(limits.timestamp_type), max_timestamp, ..header }
}

fn stamped(header: BatchHeader, payload: Bytes, max_timestamp: i64, limits: &ProduceLimits) -> Checked {
    let stamped = stamped_header(header, max_timestamp, limits);
    // The CRC came right, so it is made anew only where it must be.
    let header = if stamped == header { header } else { stamped.with_crc(&payload) };
    Checked { header, payload }
}

fn recompressed(
    header: BatchHeader,
    compression: Compression,
    record_bytes: &[u8],
    limits: &ProduceLimits,
) -> Result<Checked, InvalidBatch> {
    let bytes = recompress_records(&header, compression, record_bytes).map_err(|error| match error {
        BuildError::Compression(error) => InvalidBatch::Compression(error),
        BuildError::TooLarge(size) => InvalidBatch::TooLarge { size, limit: limits.max_message_bytes },
        BuildError::Unreadable(error) => InvalidBatch::from_batch(error),
    })?;
    check_size(bytes.len(), limits)?;
    let header = BatchHeader::parse(&bytes).map_err(InvalidBatch::from_batch)?;
    Ok(Checked { header, payload: bytes.slice(HEADER_LEN..) })
}

#[cfg(test)]
mod tests {
    use super::super::{BatchBuilder, patch_header};
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn limits() -> ProduceLimits {
        ProduceLimits {
            now: NOW,
            produce_version: 11,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            max_message_bytes: 1_048_588,
            compacted: false,
            compression: None,
            max_decompressed_bytes: 1 << 20,
        }
    }

    fn three(codec: Codec) -> BatchBuilder {
        BatchBuilder::new(codec).record(NOW - 2, Some(b"a"), Some(b"1")).record(NOW + 5, Some(b"b"), None).record(
            NOW,
            Some(b"c"),
            Some(b"3"),
        )
    }

    /// The batch with some header fields changed and its CRC made anew.
    fn altered(bytes: Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
        let mut header = BatchHeader::parse(&bytes).unwrap();
        change(&mut header);
        Bytes::from([&header.to_bytes_with_crc(&bytes[HEADER_LEN..])[..], &bytes[HEADER_LEN..]].concat())
    }

    fn whole(checked: &Checked) -> Batch {
        let bytes = Bytes::from([&checked.header_at(42, 6)[..], &checked.payload].concat());
        let (batch, rest) = Batch::split_first(&bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify_crc().unwrap();
        assert_eq!((batch.header().base_offset, batch.header().partition_leader_epoch), (42, 6));
        batch
    }

    #[test]
    fn good_batches_pass_unchanged() {
        for codec in Codec::ALL {
            let bytes = three(codec).producer(5, 0, i32::MAX).transactional().build();
            let checked = check_produced(&bytes, &limits()).unwrap();
            assert_eq!(checked.header, BatchHeader::parse(&bytes).unwrap());
            assert_eq!(checked.payload.as_ptr(), bytes[HEADER_LEN..].as_ptr(), "{codec:?} payload was copied");
            let records = whole(&checked).records(1000).unwrap();
            assert_eq!(records.map(|record| record.unwrap().offset).collect::<Vec<_>>(), [42, 43, 44]);
        }
    }

    #[test]
    fn compressed_data_that_java_cannot_begin_to_read_is_refused() {
        for (codec, frame) in [
            (Codec::Gzip, &b"garbage"[..]),
            (Codec::Zstd, b"garbage"),
            (Codec::Lz4, b"garbage"),
            (Codec::Lz4, b"\x04\x22\x4d\x18\x40\x40\xc0 linked blocks"),
            (Codec::Gzip, b""),
            (Codec::Lz4, b""),
        ] {
            let mut bytes = three(codec).build()[..HEADER_LEN].to_vec();
            bytes.extend_from_slice(frame);
            let length = i32::try_from(bytes.len() - 12).unwrap();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            let checked = check_produced(&Bytes::from(bytes), &limits());
            assert!(matches!(checked, Err(InvalidBatch::Compression(_))), "{codec:?} {frame:?}");
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let good = || three(Codec::None).build();
        let cases = [
            (altered(good(), |h| h.record_count = 0), InvalidBatch::Count { count: 0, last_offset_delta: 2 }),
            (altered(good(), |h| h.record_count = -1), InvalidBatch::Count { count: -1, last_offset_delta: 2 }),
            (
                altered(good(), |h| h.record_count = i32::MIN),
                InvalidBatch::Count { count: i32::MIN, last_offset_delta: 2 },
            ),
            (altered(good(), |h| h.last_offset_delta = 3), InvalidBatch::Count { count: 3, last_offset_delta: 3 }),
            (altered(good(), |h| h.base_offset = 1), InvalidBatch::BaseOffset(1)),
            (altered(good(), |h| h.attributes.0 |= 0x20), InvalidBatch::Control),
            (altered(good(), |h| h.attributes.0 |= 6), InvalidBatch::UnknownCodec(6)),
            (altered(good(), |h| h.magic = 1), InvalidBatch::LegacyMagic(1)),
            (altered(good(), |h| h.magic = 3), InvalidBatch::UnknownMagic(3)),
            (altered(good(), |h| h.magic = -1), InvalidBatch::UnknownMagic(-1)),
            (altered(good(), |h| h.batch_length = 48), InvalidBatch::Length(48)),
            (altered(good(), |h| h.producer_id = 0), InvalidBatch::Sequence { producer_id: 0, base_sequence: -1 }),
            (
                altered(good(), |h| (h.producer_id, h.base_sequence) = (0, 0)),
                InvalidBatch::ProducerEpoch { producer_id: 0, producer_epoch: -1 },
            ),
            (altered(good(), |h| (h.record_count, h.last_offset_delta) = (2, 1)), InvalidBatch::Leftover(9)),
            (
                altered(good(), |h| (h.record_count, h.last_offset_delta) = (4, 3)),
                InvalidBatch::Record { index: 3, error: RecordError::Truncated("record") },
            ),
            (Bytes::new(), InvalidBatch::Empty),
            (good().slice(..70), InvalidBatch::Truncated { needed: good().len(), available: 70 }),
            (Bytes::from([good(), good()].concat()), InvalidBatch::TrailingBytes(good().len())),
            (Bytes::from([&good()[..], b"x"].concat()), InvalidBatch::TrailingBytes(1)),
        ];
        for (bytes, error) in cases {
            assert_eq!(check_produced(&bytes, &limits()), Err(error));
        }
        let zstd = three(Codec::Zstd).build();
        let old = ProduceLimits { produce_version: 6, ..limits() };
        assert_eq!(check_produced(&zstd, &old), Err(InvalidBatch::ZstdTooEarly(6)));
        let small = ProduceLimits { max_message_bytes: good().len() - 1, ..limits() };
        assert!(matches!(check_produced(&good(), &small), Err(InvalidBatch::TooLarge { .. })));
        let exact = ProduceLimits { max_message_bytes: good().len(), ..limits() };
        assert!(check_produced(&good(), &exact).is_ok());
    }

    #[test]
    fn every_changed_bit_under_the_crc_is_noticed() {
        let good = three(Codec::Lz4).build();
        for at in 17..good.len() {
            let mut bytes = good.to_vec();
            bytes[at] ^= 0x10;
            assert!(matches!(check_produced(&Bytes::from(bytes), &limits()), Err(InvalidBatch::Crc { .. })), "{at}");
        }
    }

    #[test]
    fn offset_deltas_count_from_zero() {
        let mut record = super::super::Record { timestamp: NOW, ..Default::default() };
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(&record);
        record.offset = 2;
        builder.push(&record);
        let bytes = altered(builder.build(), |h| h.last_offset_delta = 1);
        let error = InvalidBatch::OffsetDelta { index: 1, offset_delta: 2 };
        assert_eq!(check_produced(&bytes, &limits()), Err(error));
    }

    #[test]
    fn compacted_topics_take_no_record_without_a_key() {
        for codec in Codec::ALL {
            let bytes = BatchBuilder::new(codec)
                .record(NOW, Some(b""), Some(b"kept"))
                .record(NOW, None, Some(b"refused"))
                .record(NOW, Some(b"k"), None)
                .record(NOW, None, None)
                .build();
            check_produced(&bytes, &limits()).unwrap();
            let error = check_produced(&bytes, &ProduceLimits { compacted: true, ..limits() }).unwrap_err();
            assert!(!error.concerns_timestamps());
            let expected = [1, 3].map(|index| RecordRejection { index, reason: Rejection::NoKey });
            assert_eq!(error, InvalidBatch::Records(expected.to_vec()));
        }
    }

    #[test]
    fn timestamps_are_held_to_their_limits() {
        for codec in Codec::ALL {
            let at = |timestamp| BatchBuilder::new(codec).record(NOW, None, None).record(timestamp, None, None).build();
            let bounded = ProduceLimits { before_max_ms: 1000, after_max_ms: 500, ..limits() };
            for (timestamp, good) in [
                (NOW + 500, true),
                (NOW + 501, false),
                (NOW - 1000, true),
                (NOW - 1001, false),
                (NO_TIMESTAMP, true),
                (i64::MAX, false),
                (i64::MIN, false),
            ] {
                let reason = Rejection::Timestamp { timestamp, earliest: NOW - 1000, latest: NOW + 500 };
                let expected = InvalidBatch::Records(vec![RecordRejection { index: 1, reason }]);
                let result = check_produced(&at(timestamp), &bounded);
                assert_eq!(result.as_ref().err(), (!good).then_some(&expected), "{codec:?} {timestamp}");
                assert!(good || expected.concerns_timestamps());
            }
            // LogAppendTime topics do not look at the producer's clock ...
            let stamped = ProduceLimits { timestamp_type: TimestampType::LogAppendTime, ..bounded };
            let batch = whole(&check_produced(&at(0), &stamped).unwrap());
            assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
            assert_eq!(batch.header().max_timestamp, NOW);
            assert!(batch.records(1000).unwrap().all(|record| record.unwrap().timestamp == NOW));
            // ... but do not let it pretend to be the broker's.
            let pretender = BatchBuilder::new(codec).log_append_time(NOW).record(NOW, None, None).build();
            let reason = Rejection::LogAppendTime;
            let expected = InvalidBatch::Records(vec![RecordRejection { index: 0, reason }]);
            assert_eq!(check_produced(&pretender, &stamped), Err(expected));
        }
    }

    #[test]
    fn max_timestamp_is_made_right() {
        let lying = altered(three(Codec::None).build(), |h| h.max_timestamp = NOW + 999_999_999);
        let batch = whole(&check_produced(&lying, &limits()).unwrap());
        assert_eq!(batch.header().max_timestamp, NOW + 5);
    }

    #[test]
    fn a_batch_that_pretends_to_have_the_brokers_time_gets_back_its_own() {
        for codec in Codec::ALL {
            let limits = limits();
            let pretender = three(codec).log_append_time(NOW + 77).build();
            let batch = whole(&check_produced(&pretender, &limits).unwrap());
            assert_eq!(batch.header().timestamp_type(), TimestampType::CreateTime);
            let latest = batch.records(1000).unwrap().map(|record| record.unwrap().timestamp).max();
            assert_eq!(Some(batch.header().max_timestamp), latest, "{codec:?}");
        }
    }

    #[test]
    fn rejections_are_bounded() {
        let mut builder = BatchBuilder::new(Codec::Gzip);
        for _ in 0..1000 {
            builder = builder.record(NOW, None, Some(b"v"));
        }
        let result = check_produced(&builder.build(), &ProduceLimits { compacted: true, ..limits() });
        assert!(matches!(result, Err(InvalidBatch::Records(rejections)) if rejections.len() == MAX_REJECTIONS));
    }

    #[test]
    fn batches_are_recompressed_where_the_topic_asks() {
        for source in Codec::ALL {
            for target in Codec::ALL {
                let bytes = three(source).producer(9, 1, 7).transactional().build();
                let limits = ProduceLimits { compression: Some(Compression::new(target)), ..limits() };
                let checked = check_produced(&bytes, &limits).unwrap();
                let batch = whole(&checked);
                assert_eq!(batch.header().codec(), Ok(target));
                let original = Batch::split_first(&{
                    let mut bytes = bytes.to_vec();
                    patch_header(bytes.first_chunk_mut().unwrap(), 42, 6);
                    Bytes::from(bytes)
                });
                let original = original.unwrap().0;
                let same = BatchHeader {
                    batch_length: batch.header().batch_length,
                    crc: batch.header().crc,
                    attributes: original.header().attributes.with_codec(target),
                    ..*original.header()
                };
                assert_eq!(*batch.header(), same);
                let records = |batch: &Batch| batch.records(1000).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
                assert_eq!(records(&batch), records(&original));
            }
        }
    }

    #[test]
    fn opened_batches_are_bounded() {
        let zeros = vec![0; 500_000];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bytes = BatchBuilder::new(codec).record(NOW, Some(b"k"), Some(&zeros)).build();
            let compacted = ProduceLimits { compacted: true, max_decompressed_bytes: 400_000, ..limits() };
            let error = InvalidBatch::Compression(CompressionError::TooLarge { limit: 400_000 });
            assert_eq!(check_produced(&bytes, &compacted), Err(error));
        }
    }
    #[test]
    fn what_takes_long_is_known_before() {
        let large = |codec| BatchBuilder::new(codec).record(NOW, None, Some(&[b'v'; 20_000])).build();
        let to = |codec| ProduceLimits { compression: Some(Compression::new(codec)), ..limits() };
        let bounded = ProduceLimits { before_max_ms: 1, ..limits() };
        for (records, limits, expected) in [
            (large(Codec::None), limits(), false),
            (large(Codec::Zstd), limits(), false),
            (large(Codec::Zstd), to(Codec::Zstd), false),
            (large(Codec::Zstd), to(Codec::Gzip), true),
            (three(Codec::Gzip).build(), to(Codec::None), true),
            (three(Codec::None).build(), to(Codec::Gzip), false),
            (large(Codec::None), to(Codec::Gzip), true),
            (three(Codec::Gzip).build(), bounded, true),
            (three(Codec::None).build(), bounded, false),
            (Bytes::from_static(b"short"), to(Codec::Gzip), false),
        ] {
            assert_eq!(is_laborious(&records, &limits), expected, "{limits:?}");
        }
    }
}
