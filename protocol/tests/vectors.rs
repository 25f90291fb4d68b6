//! Bytes that Kafka's own classes made: read, written again, and cut off at every byte. Many carry tagged fields from the
//! future, which must be kept.

mod common;

use std::collections::BTreeMap;

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
    missing: Vec<String>,
    check: C,
}

impl<C: Check> Each<C> {
    /// Runs the check. Each version of each message must have vectors, and each vector a message.
    fn run(check: C) -> C {
        let mut each = Each { vectors: vectors(), missing: Vec::new(), check };
        visit(&mut each);
        assert!(each.missing.is_empty(), "no vectors for {:?}", each.missing);
        let left: Vec<&Key> = each.vectors.keys().collect();
        assert!(left.is_empty(), "no messages for {left:?} (API key, version, is a request)");
        each.check
    }

    fn message<T: Message>(&mut self, request: bool) {
        let versions = T::API.versions();
        for version in versions.min..=versions.max {
            let key = (T::API.code(), version, request);
            match self.vectors.remove(&key) {
                Some(vectors) => self.check.message::<T>(key, &vectors),
                None => self.missing.push(format!("{} v{version}", T::NAME)),
            }
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
    assert_eq!(check.compared, vectors().values().map(Vec::len).sum::<usize>());
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
