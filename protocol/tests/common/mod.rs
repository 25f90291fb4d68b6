//! What the test binaries share; each uses its part of it.

#![allow(dead_code)]

use std::{collections::BTreeMap, io::Read};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;

/// Which message: API key, version, and whether it is the request.
pub type Key = (i16, i16, bool);

/// Bodies of messages with random content that Kafka's own classes serialized, four for each message and version: those of
/// Kafka 4.4, and those of Kafka 3.9 for what it was the last to have.
pub fn vectors() -> BTreeMap<Key, Vec<Bytes>> {
    let mut text = String::new();
    let files = [
        &include_bytes!("../data/vectors.tsv.gz")[..],
        include_bytes!("../data/vectors-3.9.tsv.gz"),
        include_bytes!("../data/vectors-3.9-rest.tsv.gz"),
    ];
    for file in files {
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    let mut vectors = BTreeMap::<Key, Vec<Bytes>>::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [key, version, direction, hex] = columns[..] else { panic!("not a vector: {line}") };
        let key = (key.parse().unwrap(), version.parse().unwrap(), direction == "request");
        vectors.entry(key).or_default().push(unhex(hex));
    }
    vectors
}

/// Values that Kafka keeps in logs and within other messages, made by the classes of Kafka 4.3, by class and version.
pub fn stored_vectors() -> BTreeMap<(String, i16), Vec<Bytes>> {
    let mut text = String::new();
    GzDecoder::new(&include_bytes!("../data/stored.tsv.gz")[..]).read_to_string(&mut text).unwrap();
    let mut vectors = BTreeMap::<_, Vec<Bytes>>::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, version, hex] = columns[..] else { panic!("not a vector: {line}") };
        vectors.entry((name.to_owned(), version.parse().unwrap())).or_default().push(unhex(hex));
    }
    vectors
}

pub fn unhex(hex: &str) -> Bytes {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Writes an unsigned varint.
pub fn uvarint(mut value: u32, out: &mut BytesMut) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// SplitMix64: the same seed gives the same sequence.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// Changes a few bytes, with a liking for those that make lengths wrong.
pub fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        if body.is_empty() {
            return;
        }
        let at = random.below(body.len());
        match random.below(8) {
            0 => body[at] ^= 1 << random.below(8),
            1 => body[at] = random.next() as u8,
            2 => body[at] = [0x00, 0x01, 0x7f, 0x80, 0xff][random.below(5)],
            3 => body.truncate(at),
            4 => body.insert(at, random.next() as u8),
            5 => drop(body.remove(at)),
            6 => {
                let huge: [u8; 4] = [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f], [0, 1, 0, 0]][random.below(3)];
                let end = body.len().min(at + 4);
                body[at..end].copy_from_slice(&huge[..end - at]);
            }
            _ => {
                let copy = body[at..body.len().min(at + 16)].to_vec();
                body.extend(copy);
            }
        }
    }
}
