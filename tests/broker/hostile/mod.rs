//! Hostile peers. Each attack is a function of the broker's address; the tests here run it small, beside a bystander who
//! must be served and against a bound on memory, and `scripts/soak hostile` mixes all of them, large and for long.

mod arrays;
mod bombs;
mod connections;
mod duplicates;
mod responses;
mod soak;
mod strings;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::client::{Client, idempotent};

const MIB: u64 = 1 << 20;

/// No request of a bystander takes longer while others attack, in a debug build on a machine that does other things too.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// A client who means no harm: produces idempotently to a topic of its own, and reads everything back. Any difference fails the
/// test.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Duration)>,
}

impl Bystander {
    fn start(address: SocketAddr) -> Bystander {
        let mut client = Client::connect(address);
        client.create_topic("bystander", 1, &[]);
        let producer = (client.producer_id(), 0);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut next, mut slowest) = (0, Duration::ZERO);
                loop {
                    let values: Vec<String> = (next..next + 10).map(|number| format!("value {number}")).collect();
                    let bytes: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
                    let began = Instant::now();
                    let sequence = i32::try_from(next).unwrap();
                    assert_eq!(client.must_produce("bystander", &idempotent(producer, sequence, &bytes)), next);
                    assert_eq!(client.values("bystander", next), values);
                    slowest = slowest.max(began.elapsed());
                    next += 10;
                    if stop.load(Ordering::Relaxed) && next >= 300 {
                        assert_eq!(client.values("bystander", 0).len(), usize::try_from(next).unwrap());
                        return (usize::try_from(next / 10).unwrap(), slowest);
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Bystander { stop, thread }
    }

    /// Ends; it must have been served all the time.
    fn was_served(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (rounds, slowest) = self.thread.join().expect("the bystander is served");
        println!("the bystander made {rounds} rounds, the slowest in {slowest:?}");
        assert!(slowest < SERVED_WITHIN, "the slowest of {rounds} rounds took {slowest:?}");
    }
}

/// The frame of a request with this body: length, header without a client id.
fn raw(api_key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&api_key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&7_i32.to_be_bytes());
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    if flexible {
        bytes.push(0);
    }
    bytes.extend_from_slice(body);
    let length = i32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Leaves with a reset instead of a goodbye.
fn reset(client: Client) {
    SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Runs `attack` in so many threads at once.
fn crowd(size: usize, attack: impl Fn(usize) + Sync) {
    let attack = &attack;
    thread::scope(|scope| {
        for index in 0..size {
            scope.spawn(move || attack(index));
        }
    });
}
