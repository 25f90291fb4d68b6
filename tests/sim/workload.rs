//! Producers as clients are: plain ones, which send a batch again until it is answered, and idempotent ones, which have up
//! to five in flight and number them.

use std::collections::VecDeque;

use bytes::Bytes;
use felice_protocol::record::{BatchBuilder, Codec};

use super::random::Random;
use crate::{
    model::{LeaderEpoch, NodeId, Offset, Timestamp},
    replica::{Acks, Awaited},
};

/// Keys there are.
pub const KEYS: u8 = 6;
/// The header of a tombstone that has its id.
pub const ID: &str = "id";
const IN_FLIGHT_MAX: usize = 5;
const CODECS: [Codec; 8] =
    [Codec::None, Codec::None, Codec::None, Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A record of one producer, which numbers all that it ever sends. Its value begins with it, or a header of a tombstone has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    pub producer: u8,
    pub number: u32,
}

impl RecordId {
    fn to_value(self) -> [u8; 5] {
        let mut value = [self.producer; 5];
        value[1..].copy_from_slice(&self.number.to_be_bytes());
        value
    }

    /// The key that it is written under.
    pub fn key(self) -> u8 {
        (self.mixed() % u32::from(KEYS)) as u8
    }

    /// Whether its key may have tombstones, on a topic that is compacted.
    pub fn may_be_deleted(self) -> bool {
        self.key() >= KEYS / 2
    }

    fn is_tombstone(self) -> bool {
        self.may_be_deleted() && self.mixed() >> 24 < 80
    }

    fn mixed(self) -> u32 {
        let mixed = (u32::from(self.producer) << 24 ^ self.number).wrapping_mul(0x9e37_79b9);
        (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b) ^ mixed >> 13
    }

    pub fn of_value(value: &[u8]) -> Option<RecordId> {
        let (producer, rest) = value.split_first()?;
        Some(RecordId { producer: *producer, number: u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) })
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{}#{}", self.producer, self.number)
    }
}

/// Where a batch is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not sent, or sent and the answer was lost, or an error that says to send it again.
    ToSend,
    /// Appended at `base` by a leader, which answers once what is awaited has happened.
    Waits { node: NodeId, incarnation: u32, epoch: LeaderEpoch, base: Offset, awaited: Option<Awaited> },
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub records: Vec<RecordId>,
    pub bytes: Bytes,
    pub fate: Fate,
}

#[derive(Debug)]
pub struct Producer {
    pub index: u8,
    pub acks: Acks,
    /// One in so many records is large.
    large: u64,
    /// Some records are tombstones.
    deletes_keys: bool,
    idempotent: Option<Session>,
    pub in_flight: VecDeque<Sent>,
    next_number: u32,
}

/// What an idempotent producer numbers its batches by.
#[derive(Debug)]
struct Session {
    epoch: i16,
    next_sequence: i32,
}

impl Producer {
    pub fn new(index: u8, deletes_keys: bool, random: &mut Random) -> Producer {
        let idempotent = !random.one_in(3);
        // Now and then one whose sequences are about to wrap.
        let next_sequence = if random.one_in(4) { i32::MAX - random.below(40) as i32 } else { 0 };
        Producer {
            index,
            acks: if random.one_in(4) { Acks::Leader } else { Acks::All },
            large: random.pick(&[2, 8, 8]),
            deletes_keys,
            idempotent: idempotent.then_some(Session { epoch: 0, next_sequence }),
            in_flight: VecDeque::new(),
            next_number: 0,
        }
    }

    pub fn is_idempotent(&self) -> bool {
        self.idempotent.is_some()
    }

    /// The batch to send now: the oldest one that has to be sent again, or a new one. `None` where it has to wait.
    pub fn next(&mut self, now: Timestamp, random: &mut Random) -> Option<usize> {
        if let Some(at) = self.in_flight.iter().position(|sent| sent.fate == Fate::ToSend) {
            return Some(at);
        }
        let room = if self.is_idempotent() { IN_FLIGHT_MAX } else { 1 };
        if self.in_flight.len() >= room {
            return None;
        }
        let sent = self.batch(now, random);
        self.in_flight.push_back(sent);
        Some(self.in_flight.len() - 1)
    }

    fn batch(&mut self, now: Timestamp, random: &mut Random) -> Sent {
        let count = if random.one_in(5) { random.between(6, 20) } else { random.between(1, 5) };
        let mut builder = BatchBuilder::new(random.pick(&CODECS));
        if let Some(session) = &mut self.idempotent {
            builder = builder.producer(1000 + i64::from(self.index), session.epoch, session.next_sequence);
            let next = (i64::from(session.next_sequence) + count as i64) % (i64::from(i32::MAX) + 1);
            session.next_sequence = next as i32;
        }
        let mut records = Vec::new();
        for at in 0..count {
            let id = RecordId { producer: self.index, number: self.next_number };
            self.next_number += 1;
            let mut value = id.to_value().to_vec();
            let size = if random.one_in(self.large) { random.between(200, 900) } else { random.below(60) };
            value.extend((0..size).map(|_| random.next() as u8));
            let value = (!self.deletes_keys || !id.is_tombstone()).then_some(&value[..]);
            let headers = [(ID, Some(&id.to_value()[..]))];
            let headers = if value.is_none() { &headers[..] } else { &[] };
            builder = builder.record_with_headers(now.0 + at as i64, Some(&[id.key()]), value, headers);
            records.push(id);
        }
        Sent { records, bytes: builder.build(), fate: Fate::ToSend }
    }

    /// The broker lost count of this producer: it begins anew with a higher epoch and tells its user that what was in flight
    /// has an unknown end. Sending that again could duplicate it.
    pub fn begin_anew(&mut self) {
        self.in_flight.clear();
        if let Some(session) = &mut self.idempotent {
            session.epoch += 1;
            session.next_sequence = 0;
        }
    }
}
