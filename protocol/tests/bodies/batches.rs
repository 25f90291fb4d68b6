//! Record batches, as they come from producers, files and other brokers, and compressed bytes.

use bytes::Bytes;
use felice_protocol::record::{
    Batch, BatchBuilder, BatchHeader, Checked, Codec, Compression, CompressionError, EndTransactionMarker, HEADER_LEN,
    Header, LOG_OVERHEAD, MAGIC_V2, ProduceLimits, Record, TimestampType, check_produced, compress, decompress,
    peek_magic, peek_size, recompress,
};

use super::memory::peak;

/// What a batch may hold when decompressed.
const LIMIT: usize = 1 << 16;
/// What codecs take besides: lz4's block size, twice; everything else is less.
const CODEC_MEMORY: usize = 9 << 20;
/// When it is.
const NOW: i64 = 1_700_000_000_000;

/// A byte that says what the others are: a piece of a log, a produced batch, compressed data, or records to be built.
pub fn batches(input: &[u8]) {
    let Some((&kind, data)) = input.split_first() else { return };
    match kind % 4 {
        0 => log(data),
        1 => produced(data),
        2 => compressed(data),
        _ => built(data),
    }
}

/// Batch after batch, as in a file.
fn log(data: &[u8]) {
    let mut rest = Bytes::copy_from_slice(data);
    loop {
        let (batch, after) = match Batch::split_first(&rest) {
            Ok(split) => split,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let header = *batch.header();
        assert_eq!(batch.bytes().len() + after.len(), rest.len());
        assert_eq!((peek_size(&rest), peek_magic(&rest)), (Some(header.size()), Some(MAGIC_V2)));
        assert_eq!(header.to_bytes(), rest[..HEADER_LEN]);
        assert!(header.next_offset() > header.last_offset() || header.last_offset() == i64::MAX);
        read(&batch);
        rest = after;
    }
}

/// Reads the records in every way there is: all agree, in bounded memory.
fn read(batch: &Batch) {
    let intact = batch.verify_crc().is_ok();
    assert_eq!(intact, batch.header().with_crc(&batch.payload()).crc == batch.header().crc);
    let (record_bytes, taken) = peak(|| batch.record_bytes(LIMIT));
    assert!(taken <= 2 * LIMIT + CODEC_MEMORY, "{} bytes took {taken}", batch.bytes().len());
    let Ok(record_bytes) = record_bytes else {
        assert!(batch.records(LIMIT).is_err());
        return;
    };
    let (shared, borrowed) = (batch.records(LIMIT), batch.record_views(&record_bytes));
    let (Ok(mut shared), Ok(borrowed)) = (shared, borrowed) else {
        return assert!(batch.records(LIMIT).is_err() && batch.record_views(&record_bytes).is_err());
    };
    let mut records = Vec::new();
    let mut whole = true;
    for view in borrowed {
        let record = shared.next().expect("as many as borrowed");
        let (view, record) = match (view, record) {
            (Ok(view), Ok(record)) => (view, record),
            (view, record) => {
                whole = false;
                assert_eq!(view.unwrap_err(), record.unwrap_err());
                continue;
            }
        };
        assert_eq!((view.key, view.value), (record.key.as_deref(), record.value.as_deref()));
        assert_eq!(record.offset, batch.header().base_offset.wrapping_add(i64::from(view.offset_delta)));
        let headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        assert_eq!(view.headers().collect::<Vec<_>>(), headers);
        let marker = EndTransactionMarker::parse(&record);
        assert_eq!(marker, EndTransactionMarker::parse_parts(view.key, view.value));
        records.push(record);
    }
    assert!(shared.next().is_none(), "more than borrowed");
    if whole && record_bytes.len() <= 4096 {
        rebuilt(batch, &records);
    }
}

/// The same records under other codecs, and in a batch of our own.
fn rebuilt(batch: &Batch, records: &[Record]) {
    for codec in Codec::ALL {
        let packed = recompress(batch, Compression::new(codec), LIMIT).expect("what was read can be packed");
        let (packed, rest) = Batch::split_first(&packed).expect("a batch of ours");
        assert!(rest.is_empty() && packed.verify_crc().is_ok());
        assert_eq!(packed.header().codec(), Ok(codec));
        assert_eq!(all(&packed), records);
    }
    let base = batch.header().base_offset;
    let mut last = None;
    for record in records {
        // Only where offsets ascend from the base, as a builder asks.
        match record.offset.checked_sub(base) {
            Some(delta) if (0..=i64::from(i32::MAX)).contains(&delta) && last.is_none_or(|last| last < delta) => {
                last = Some(delta);
            }
            _ => return,
        }
    }
    let mut builder = BatchBuilder::new(Codec::None).base_offset(base);
    records.iter().for_each(|record| builder.push(record));
    let (again, _) = Batch::split_first(&builder.build()).expect("a batch of ours");
    assert_eq!(all(&again), records);
}

fn all(batch: &Batch) -> Vec<Record> {
    batch.records(LIMIT).expect("records").collect::<Result<_, _>>().expect("a record")
}

/// A byte of limits, a byte of what is set right before (a fuzzer makes no CRC), then what a producer sent.
fn produced(data: &[u8]) {
    let Some((&[limits, repairs], data)) = data.split_first_chunk::<2>() else { return };
    let bit = |bit: u8| limits & 1 << bit != 0;
    let limits = ProduceLimits {
        now: NOW,
        produce_version: if bit(0) { 3 } else { 9 },
        timestamp_type: if bit(1) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        before_max_ms: if bit(2) { 3_600_000 } else { i64::MAX },
        after_max_ms: 3_600_000,
        max_message_bytes: LIMIT,
        compacted: bit(3),
        compression: Codec::from_id(limits >> 4).map(Compression::new),
        max_decompressed_bytes: LIMIT,
    };
    let bytes = repaired(data, repairs);
    let (checked, taken) = peak(|| check_produced(&bytes, &limits));
    assert!(taken <= 4 * LIMIT + 2 * CODEC_MEMORY, "{} bytes took {taken}", bytes.len());
    match checked {
        Ok(checked) => accepted(&bytes, checked, &limits),
        Err(error) => assert!(error.to_string().len() < 1000),
    }
}

/// Makes the header right that only a client who means it well gets right.
fn repaired(data: &[u8], repairs: u8) -> Bytes {
    let Some((header, payload)) = data.split_first_chunk::<HEADER_LEN>() else { return Bytes::copy_from_slice(data) };
    let mut header = *header;
    if repairs & 1 == 0 {
        header[..8].fill(0);
        header[8..12].copy_from_slice(&((HEADER_LEN - LOG_OVERHEAD + payload.len()) as u32).to_be_bytes());
        header[16] = MAGIC_V2 as u8;
    }
    if repairs & 2 == 0
        && let Ok(parsed) = BatchHeader::parse(&header)
    {
        let last_offset_delta = match repairs & 4 {
            0 => parsed.record_count.wrapping_sub(1),
            _ => parsed.last_offset_delta,
        };
        header = BatchHeader { last_offset_delta, ..parsed }.to_bytes_with_crc(payload);
    }
    Bytes::from([&header[..], payload].concat())
}

/// What a broker may rely on.
fn accepted(bytes: &Bytes, checked: Checked, limits: &ProduceLimits) {
    let stored = Bytes::from([&checked.header_at(4711, 5)[..], &checked.payload].concat());
    let (batch, rest) = Batch::split_first(&stored).expect("a batch is stored");
    let header = batch.header();
    assert!(rest.is_empty() && batch.verify_crc().is_ok());
    assert_eq!((header.base_offset, header.partition_leader_epoch), (4711, 5));
    assert!(header.record_count > 0 && header.last_offset_delta == header.record_count - 1 && !header.is_control());
    assert!(!header.has_producer_id() || (header.producer_epoch >= 0 && header.base_sequence >= 0));
    assert_eq!(header.timestamp_type(), limits.timestamp_type);
    assert!(stored.len() <= limits.max_message_bytes);
    let came = BatchHeader::parse(bytes).expect("it was accepted");
    let codec = limits.compression.map_or(came.codec(), |compression| Ok(compression.codec()));
    assert_eq!(header.codec(), codec);
    assert_eq!(header.record_count, came.record_count);
    let opened = came.codec() == Ok(Codec::None) || limits.compacted || codec != came.codec();
    if opened {
        let records = all(&batch);
        assert_eq!(records.len(), header.record_count as usize);
        assert!(records.iter().zip(4711..).all(|(record, offset)| record.offset == offset));
        assert!(!limits.compacted || records.iter().all(|record| record.key.is_some()));
        let latest = records.iter().map(|record| record.timestamp).fold(-1, i64::max);
        assert_eq!(header.max_timestamp, latest);
    }
    // What is stored would be accepted as it is, but for a time that only the broker may set.
    if limits.timestamp_type == TimestampType::CreateTime {
        let again = Bytes::from([&checked.header_at(0, -1)[..], &checked.payload].concat());
        let later = ProduceLimits { produce_version: 9, ..*limits };
        let expected =
            Checked { header: BatchHeader { base_offset: 0, partition_leader_epoch: -1, ..*header }, ..checked };
        assert_eq!(check_produced(&again, &later), Ok(expected));
    }
}

/// A byte of the codec, then data under it. (5 is snappy in Java's framing, its first header left out.)
fn compressed(data: &[u8]) {
    let Some((&codec, data)) = data.split_first() else { return };
    let framed = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", data].concat();
    let (codec, data) = match Codec::from_id(codec % 6) {
        Some(codec) => (codec, data),
        None => (Codec::Snappy, &framed[..]),
    };
    let (whole, taken) = peak(|| decompress(codec, data, LIMIT));
    assert!(taken <= 2 * LIMIT + CODEC_MEMORY + data.len(), "{codec:?}: {} bytes took {taken}", data.len());
    let whole = match whole {
        Ok(whole) => whole,
        Err(error) => return assert!(error.to_string().len() < 1000),
    };
    // The limit decides whether there is a result, never which.
    assert!(whole.len() <= LIMIT);
    assert_eq!(decompress(codec, data, whole.len()).as_ref(), Ok(&whole));
    if let Some(limit) = whole.len().checked_sub(1) {
        assert_eq!(decompress(codec, data, limit), Err(CompressionError::TooLarge { limit }));
    }
}

/// A byte of the codec, a byte of attributes, then records to build a batch of; and the same bytes to compress.
fn built(data: &[u8]) {
    let Some((&[codec, attributes], data)) = data.split_first_chunk::<2>() else { return };
    let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
    let mut packed = Vec::new();
    compress(Compression::new(codec), data, &mut packed).expect("anything can be compressed");
    assert_eq!(decompress(codec, &packed, data.len()).as_deref(), Ok(data));

    let mut input = Source(data);
    let base_offset = i64::from(input.byte()) << 32;
    let mut builder = BatchBuilder::new(codec).base_offset(base_offset).leader_epoch(3);
    if attributes & 1 != 0 {
        builder = builder.producer(i64::from(input.byte()), 7, i32::MAX - 1);
    }
    if attributes & 2 != 0 {
        builder = builder.transactional();
    }
    let append_time = (attributes & 4 != 0).then_some(NOW);
    if let Some(now) = append_time {
        builder = builder.log_append_time(now);
    }
    let mut records = Vec::new();
    let mut next = base_offset;
    while !input.0.is_empty() && records.len() < 200 {
        let record = input.record(next);
        next = record.offset + 1;
        builder.push(&record);
        records.push(Record { timestamp: append_time.unwrap_or(record.timestamp), ..record });
    }
    let (batch, rest) = Batch::split_first(&builder.build()).expect("a batch of ours");
    assert!(rest.is_empty() && batch.verify_crc().is_ok());
    assert_eq!(batch.header().record_count as usize, records.len());
    assert_eq!(batch.header().codec(), Ok(codec));
    assert_eq!(batch.header().next_offset(), next);
    let read: Vec<Record> =
        batch.records(1 << 24).expect("records").collect::<Result<_, _>>().expect("as they were built");
    assert_eq!(read, records);
}

/// Values out of a fuzzer's bytes; zero and empty when those are used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// Up to 63 bytes, or null.
    fn bytes(&mut self) -> Option<Bytes> {
        let len = self.byte();
        if len >= 0xc0 {
            return None;
        }
        let (bytes, rest) = self.0.split_at(usize::from(len & 0x3f).min(self.0.len()));
        self.0 = rest;
        Some(Bytes::copy_from_slice(bytes))
    }

    fn record(&mut self, next: i64) -> Record {
        let kind = self.byte();
        // Any time at all, or one like the others.
        let timestamp = match kind & 1 {
            0 => NOW + i64::from(kind),
            _ => i64::from_be_bytes(std::array::from_fn(|_| self.byte())),
        };
        Record {
            offset: next + i64::from(kind >> 6),
            timestamp,
            key: self.bytes(),
            value: self.bytes(),
            headers: (0..kind >> 1 & 3)
                .map(|_| Header { key: self.bytes().unwrap_or_default(), value: self.bytes() })
                .collect(),
        }
    }
}
