//! Bytes that no client would send: an error or a valid message, never a panic, never much more memory than the frame.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use common::{Random, vectors};
use felice_protocol::{
    api::{Message, Request, Visit, parse_request_header, visit},
    wire::Writer,
};

/// Counts what the current thread has allocated.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn grow(bytes: usize) {
    let live = LIVE.get().wrapping_add(bytes);
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn shrink(bytes: usize) {
    LIVE.set(LIVE.get().wrapping_sub(bytes));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new live side by side until the bytes are copied.
        grow(size);
        // SAFETY: as the caller promised.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        shrink(layout.size());
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes more than before were live at the worst moment.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get().saturating_sub(before))
}

/// The memory that decoding a frame may take: what arrays are allowed (16 bytes for each of the frame's, and 32 KiB), that
/// again while one grows and moves, the copied strings, and an error.
fn limit(frame: usize) -> usize {
    (16 * frame + 32 * 1024) * 2 + frame + 1024
}

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

/// Changes a few bytes, with a liking for those that make lengths wrong.
fn mutate(body: &mut Vec<u8>, random: &mut Random) {
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
