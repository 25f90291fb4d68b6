//! The file that producer state is kept in: Kafka's `<offset>.snapshot`, version 1.
//!
//! ```text
//! version i16 | crc u32 | count i32 | per producer: id i64, epoch i16, last sequence i32, last offset i64,
//!     offset delta i32, timestamp i64, coordinator epoch i32, current transaction's first offset i64
//! ```
//! The CRC-32C covers everything after it. Kafka keeps only the last batch of each producer, so a retry of an
//! earlier one right after a restart is out of order there. We append the others behind Kafka's entries, where its
//! readers do not look: a count, and for each earlier batch `id i64, last sequence i32, last offset i64, offset
//! delta i32, timestamp i64`, oldest first. The last batch is among them where a transaction marker came after it: the
//! timestamp in Kafka's entry is the marker's then.

use bytes::{Buf, BufMut};
use felice_protocol::record::NO_SEQUENCE;

use super::producers::{BATCHES_REMEMBERED, Producer, Producers, WrittenBatch};
use crate::model::{Offset, ProducerEpoch, ProducerId, Timestamp};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const ENTRY_SIZE: usize = 46;
const EARLIER_BATCH_SIZE: usize = 32;

/// A snapshot that cannot be used; an earlier one, or the log itself, takes its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("snapshot is truncated")]
    Truncated,
    #[error("snapshot has version {0}, not 1")]
    Version(i16),
    #[error("snapshot's CRC does not match")]
    Crc,
}

pub fn encode(producers: &Producers) -> Vec<u8> {
    let sorted = producers.sorted();
    let mut out = Vec::with_capacity(ENTRIES_AT + 8 + sorted.len() * ENTRY_SIZE);
    out.put_i16(VERSION);
    out.put_u32(0);
    out.put_i32(sorted.len() as i32);
    let mut earlier = 0;
    for (id, producer) in &sorted {
        let last = producer.batches.last();
        earlier += behind(producer).len();
        out.put_i64(id.0);
        out.put_i16(producer.epoch.0);
        out.put_i32(last.map_or(NO_SEQUENCE, |batch| batch.last_sequence));
        out.put_i64(last.map_or(-1, |batch| batch.last_offset.0));
        out.put_i32(last.map_or(0, |batch| batch.offset_delta));
        out.put_i64(producer.timestamp.0);
        out.put_i32(producer.coordinator_epoch);
        out.put_i64(producer.transaction_start.map_or(-1, |offset| offset.0));
    }
    out.put_i32(earlier as i32);
    for (id, producer) in &sorted {
        for batch in behind(producer) {
            out.put_i64(id.0);
            out.put_i32(batch.last_sequence);
            out.put_i64(batch.last_offset.0);
            out.put_i32(batch.offset_delta);
            out.put_i64(batch.timestamp.0);
        }
    }
    let crc = crc32c::crc32c(&out[ENTRIES_AT..]);
    out[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The batches that Kafka's entry does not tell all of.
fn behind(producer: &Producer) -> &[WrittenBatch] {
    match producer.batches.split_last() {
        Some((last, earlier)) if last.timestamp == producer.timestamp => earlier,
        _ => &producer.batches,
    }
}

/// Reads a snapshot, ours or Kafka's. Every producer counts as heard of at `now`.
pub fn decode(content: &[u8], now: Timestamp) -> Result<Producers, SnapshotError> {
    let mut input = content;
    if input.remaining() < ENTRIES_AT + 4 {
        return Err(SnapshotError::Truncated);
    }
    let version = input.get_i16();
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let crc = input.get_u32();
    if crc != crc32c::crc32c(input) {
        return Err(SnapshotError::Crc);
    }
    let entries = entries(&mut input, ENTRY_SIZE)?;
    let earlier = if input.remaining() < 4 { &[][..] } else { self::entries(&mut input, EARLIER_BATCH_SIZE)? };
    let mut earlier = earlier.chunks_exact(EARLIER_BATCH_SIZE).map(|mut entry| {
        let id = ProducerId(entry.get_i64());
        let (last_sequence, last_offset) = (entry.get_i32(), Offset(entry.get_i64()));
        let (offset_delta, timestamp) = (entry.get_i32(), Timestamp(entry.get_i64()));
        (id, WrittenBatch { last_sequence, last_offset, offset_delta, timestamp })
    });
    let mut next_earlier = earlier.next();
    let mut producers = Producers::default();
    for mut entry in entries.chunks_exact(ENTRY_SIZE) {
        let id = ProducerId(entry.get_i64());
        let mut producer = Producer::new(ProducerEpoch(entry.get_i16()));
        let (last_sequence, last_offset, offset_delta) = (entry.get_i32(), entry.get_i64(), entry.get_i32());
        producer.timestamp = Timestamp(entry.get_i64());
        producer.coordinator_epoch = entry.get_i32();
        producer.transaction_start = Some(Offset(entry.get_i64())).filter(|offset| offset.0 >= 0);
        producer.last_seen = now;
        let mut timestamp = producer.timestamp;
        while let Some((_, batch)) = next_earlier.filter(|(of, _)| *of == id) {
            if batch.last_offset.0 == last_offset {
                timestamp = batch.timestamp;
            } else if producer.batches.len() < BATCHES_REMEMBERED - 1 {
                producer.batches.push(batch);
            }
            next_earlier = earlier.next();
        }
        if last_offset >= 0 {
            let last_offset = Offset(last_offset);
            producer.batches.push(WrittenBatch { last_sequence, last_offset, offset_delta, timestamp });
        }
        producers.insert(id, producer);
    }
    Ok(producers)
}

/// The bytes of a counted array of fixed-size entries; its count is checked against what is there.
fn entries<'a>(input: &mut &'a [u8], size: usize) -> Result<&'a [u8], SnapshotError> {
    let length = usize::try_from(input.get_i32()).ok().and_then(|count| count.checked_mul(size));
    let (entries, rest) = length.and_then(|length| input.split_at_checked(length)).ok_or(SnapshotError::Truncated)?;
    *input = rest;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use felice_protocol::record::{EndTransactionMarker, increment_sequence};

    use super::{super::producers::ProducerBatch, *};

    fn sample() -> Producers {
        let mut producers = Producers::default();
        for id in [9, 3, 700] {
            for sequence in 0..id as i32 {
                let batch = ProducerBatch {
                    producer_id: ProducerId(id),
                    epoch: ProducerEpoch(id as i16),
                    first_sequence: sequence * 2,
                    last_sequence: increment_sequence(sequence * 2, 1),
                    last_offset_delta: 1,
                    max_timestamp: Timestamp(1000 + i64::from(sequence)),
                    transactional: id == 3,
                    control: false,
                    marker: None,
                };
                producers.appended(&batch, Offset(i64::from(sequence) * 10), Timestamp(5));
            }
        }
        let marker = Some(EndTransactionMarker { committed: true, coordinator_epoch: 9 });
        let batch = ProducerBatch {
            producer_id: ProducerId(3),
            epoch: ProducerEpoch(3),
            first_sequence: NO_SEQUENCE,
            last_sequence: NO_SEQUENCE,
            last_offset_delta: 0,
            max_timestamp: Timestamp(2000),
            transactional: true,
            control: true,
            marker,
        };
        producers.appended(&batch, Offset(8000), Timestamp(5));
        producers
    }

    #[test]
    fn round_trips_with_all_batches() {
        let producers = sample();
        let decoded = decode(&encode(&producers), Timestamp(5)).unwrap();
        assert_eq!(decoded.sorted(), producers.sorted());
        assert_eq!(decoded.producer(ProducerId(700)).unwrap().batches.len(), BATCHES_REMEMBERED);
        let marked = decoded.producer(ProducerId(3)).unwrap();
        assert_eq!((marked.timestamp.0, marked.batches.last().unwrap().timestamp.0), (2000, 1002));
        assert_eq!(decode(&encode(&Producers::default()), Timestamp(5)).unwrap().len(), 0);
    }

    #[test]
    fn kafkas_own_is_read() {
        // Version 1, one producer: id 4711, epoch 2, last sequence 9, last offset 41, delta 3, timestamp 1000,
        // coordinator epoch -1, no transaction.
        let mut snapshot = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        snapshot.put_i64(4711);
        snapshot.put_i16(2);
        snapshot.put_i32(9);
        snapshot.put_i64(41);
        snapshot.put_i32(3);
        snapshot.put_i64(1000);
        snapshot.put_i32(-1);
        snapshot.put_i64(-1);
        let crc = crc32c::crc32c(&snapshot[6..]);
        snapshot[2..6].copy_from_slice(&crc.to_be_bytes());
        let producers = decode(&snapshot, Timestamp(5)).unwrap();
        let producer = producers.producer(ProducerId(4711)).unwrap();
        assert_eq!((producer.epoch.0, producer.batches[0].base_offset().0), (2, 38));
        assert_eq!(producer.batches[0].first_sequence(), 6);
        assert_eq!(encode(&producers)[10..56], snapshot[10..56], "entries are written as Kafka writes them");
    }

    #[test]
    fn damage_is_an_error_at_every_byte() {
        let good = encode(&sample());
        for length in 0..good.len() {
            assert!(decode(&good[..length], Timestamp(5)).is_err(), "cut to {length}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(&bad, Timestamp(5)).is_err(), "byte {at}");
        }
    }
}
