//! Bytes that Kafka's own classes made: read, written again, and cut off at every byte. Many carry tagged fields from the
//! future, which must be kept.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::{Key, vectors};
use felice_protocol::{
    api::{Message, Request, Visit, visit},
    wire::Writer,
};

/// Does the same with the vectors of every message.
trait Check {
    fn message<T: Message>(&mut self, key: Key, vectors: &[Bytes]);
}

struct Each<C> {
    vectors: BTreeMap<Key, Vec<Bytes>>,
    seen: BTreeSet<Key>,
    check: C,
}

impl<C: Check> Each<C> {
    /// Runs the check, and sees to it that every version of every message that is declared has vectors, and the reverse.
    fn run(check: C) -> C {
        let mut each = Each { vectors: vectors(), seen: BTreeSet::new(), check };
        visit(&mut each);
        let apis: BTreeSet<i16> = each.seen.iter().map(|key| key.0).collect();
        for key in each.vectors.keys().filter(|key| apis.contains(&key.0)) {
            assert!(each.seen.contains(key), "vectors for a version that is not declared: {key:?}");
        }
        each.check
    }

    fn message<T: Message>(&mut self, request: bool) {
        let versions = T::API.versions();
        for version in versions.min..=versions.max {
            let key = (T::API.code(), version, request);
            let vectors = self.vectors.get(&key).unwrap_or_else(|| panic!("{} v{version} has no vectors", T::NAME));
            self.check.message::<T>(key, vectors);
            self.seen.insert(key);
        }
    }
}

impl<C: Check> Visit for Each<C> {
    fn api<R: Request>(&mut self) {
        self.message::<R>(true);
        self.message::<R::Response>(false);
    }
}

#[test]
fn kafkas_bytes_come_back_identical() {
    struct RoundTrip {
        compared: usize,
    }

    impl Check for RoundTrip {
        fn message<T: Message>(&mut self, (_, version, _): Key, vectors: &[Bytes]) {
            for body in vectors {
                let (message, rest) =
                    T::decode_with_rest(body, version).unwrap_or_else(|error| panic!("v{version} {error}\n{body:x}"));
                assert_eq!(rest, 0, "{} v{version} leaves bytes\n{body:x}", T::NAME);
                let mut w = Writer::new();
                message.encode(&mut w, version).unwrap_or_else(|error| panic!("v{version} {error}\n{message:?}"));
                assert_eq!(w.len(), body.len(), "{} v{version}\n{message:?}", T::NAME);
                assert_eq!(w.into_bytes(), body, "{} v{version}\n{message:?}", T::NAME);
                self.compared += 1;
            }
        }
    }

    let check = Each::run(RoundTrip { compared: 0 });
    assert!(check.compared > 1000, "only {} vectors", check.compared);
}

#[test]
fn a_message_cut_anywhere_is_an_error_that_names_the_field() {
    struct Cut;

    impl Check for Cut {
        fn message<T: Message>(&mut self, (_, version, _): Key, vectors: &[Bytes]) {
            for body in vectors {
                for cut in 0..body.len() {
                    let error = match T::decode(&body.slice(..cut), version) {
                        Ok(message) => panic!("{} v{version} cut at {cut} is valid: {message:?}\n{body:x}", T::NAME),
                        Err(error) => error,
                    };
                    let field =
                        error.path().strip_prefix(T::NAME).and_then(|path| path.strip_prefix('.').map(str::len));
                    assert!(field.is_some_and(|len| len > 0), "v{version} cut at {cut} names no field: {error}");
                }
            }
        }
    }

    Each::run(Cut);
}
