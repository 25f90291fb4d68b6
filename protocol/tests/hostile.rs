//! Bytes that no client would send: an error or a valid message, never a panic, never much more memory than the frame.

mod common;
#[path = "common/memory.rs"]
mod memory;

use bytes::Bytes;
use common::{Random, mutate, vectors};
use felice_protocol::{
    api::{Message, Request, Visit, parse_request_header, visit},
    messages::MetadataRequest,
    wire::Writer,
};
use memory::{decoding_limit as limit, peak};

/// Decodes; what is valid must be encodable, or refused with an error.
fn decode<T: Message>(body: &Bytes, version: i16) -> bool {
    let (message, peak) = peak(|| T::decode(body, version));
    assert!(peak <= limit(body.len()), "{} v{version}: {} bytes took {peak}", T::NAME, body.len());
    let Ok(message) = message else { return false };
    let mut w = Writer::new();
    message.encode(&mut w, version).unwrap_or_else(|error| panic!("v{version} {error}\n{message:?}"));
    let again = T::decode(&w.into_bytes(), version).unwrap_or_else(|error| panic!("v{version} {error}\n{message:?}"));
    // NaN is not equal to itself.
    assert!(again == message || format!("{again:?}") == format!("{message:?}"), "{again:?}\n{message:?}");
    true
}

#[test]
fn changed_bytes_are_an_error_or_a_message() {
    struct Mutations {
        vectors: std::collections::BTreeMap<common::Key, Vec<Bytes>>,
        random: Random,
        valid: usize,
        invalid: usize,
    }

    impl Mutations {
        fn message<T: Message>(&mut self, request: bool) {
            let versions = T::API.versions();
            for version in versions.min..=versions.max {
                for body in &self.vectors[&(T::API.code(), version, request)] {
                    for _ in 0..24 {
                        let mut body = body.to_vec();
                        mutate(&mut body, &mut self.random);
                        match decode::<T>(&Bytes::from(body), version) {
                            true => self.valid += 1,
                            false => self.invalid += 1,
                        }
                    }
                }
            }
        }
    }

    impl Visit for Mutations {
        fn api<R: Request>(&mut self) {
            self.message::<R>(true);
            self.message::<R::Response>(false);
        }
    }

    let mut mutations = Mutations { vectors: vectors(), random: Random(1), valid: 0, invalid: 0 };
    visit(&mut mutations);
    assert!(mutations.valid > 1000 && mutations.invalid > 1000, "{} and {}", mutations.valid, mutations.invalid);
}

#[test]
fn large_frames_of_nothing_take_no_more_memory_than_they_may() {
    struct Monotone;

    impl Monotone {
        fn message<T: Message>(&mut self) {
            let versions = T::API.versions();
            for version in versions.min..=versions.max {
                // Rows of empty strings and arrays, nulls, ones, and counts that claim all that is left.
                for byte in [0x00, 0x01, 0x02, 0x7f, 0xff] {
                    let mut body = vec![byte; 64 * 1024];
                    decode::<T>(&Bytes::from(body.clone()), version);
                    for at in (0..24).step_by(2) {
                        body[at..at + 4].copy_from_slice(&[0x00, 0x00, 0xc0, 0x00]);
                        decode_only::<T>(&body, version);
                        body[at..at + 4].copy_from_slice(&[0xff, 0xff, 0x03, byte]);
                        decode_only::<T>(&body, version);
                        body[at..at + 4].fill(byte);
                    }
                }
            }
        }
    }

    fn decode_only<T: Message>(body: &[u8], version: i16) {
        let body = Bytes::copy_from_slice(body);
        let (_, peak) = peak(|| T::decode(&body, version).is_ok());
        assert!(peak <= limit(body.len()), "{} v{version}: {} bytes took {peak}", T::NAME, body.len());
    }

    impl Visit for Monotone {
        fn api<R: Request>(&mut self) {
            self.message::<R>();
            self.message::<R::Response>();
        }
    }

    visit(&mut Monotone);
}

#[test]
fn rows_of_tags_from_the_future_take_no_more_memory_than_they_may() {
    // Metadata 9: a topic with an empty name, and tag 99 of no bytes, once and ten times.
    for tags in [1, 10] {
        let topic = [&[1, tags][..], &[99, 0].repeat(usize::from(tags))].concat();
        for topics in [10_usize, 100, 500, 20_000] {
            let mut body = bytes::BytesMut::new();
            common::uvarint(topics as u32 + 1, &mut body);
            body.extend_from_slice(&topic.repeat(topics));
            body.extend_from_slice(&[0; 8]);
            let body = body.freeze();
            let (request, peak) = peak(|| MetadataRequest::decode(&body, 9));
            assert!(peak <= limit(body.len()), "{topics} topics of {tags} tags, {} bytes, took {peak}", body.len());
            assert!(request.is_ok() || topics > 10, "{request:?}");
            assert!(request.is_err() || topics < 1000, "{topics} topics of {tags} tags fit");
        }
    }
}

#[test]
fn random_bytes_are_no_header_or_one() {
    let mut random = Random(7);
    let mut valid = 0;
    for _ in 0..20_000 {
        let mut frame: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
        if frame.len() > 10 && !random.once_in(4) {
            frame[..4].copy_from_slice(&[0, random.below(100) as u8, 0, random.below(20) as u8]);
            frame[8..10].copy_from_slice(&[0, random.below(20) as u8]);
        }
        let frame = Bytes::from(frame);
        let (header, peak) = peak(|| parse_request_header(&frame));
        assert!(peak <= 1024 + frame.len(), "{} bytes took {peak}", frame.len());
        valid += usize::from(header.is_ok());
    }
    assert!(valid > 100, "only {valid}");
}
