//! All attacks at once, for long: what `scripts/soak hostile` runs against a broker that it has started, beside real clients.

use std::{
    env,
    net::SocketAddr,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use felice_protocol::api::write_request;
use felice_protocol::messages::metadata::MetadataRequest;

use super::{arrays, bombs, connections, raw, responses, strings};
use crate::client::Client;

const TOPIC: &str = "hostile";
const EMPTY: &str = "hostile-empty";

type Attack = (&'static str, fn(SocketAddr));

const ATTACKS: [Attack; 14] = [
    ("bombs", |address| bombs::drop_bombs(address, &["gzip", "uncompressed"], &[40, 80])),
    ("looks into bombs", bombs::look_into_bombs),
    ("millions of nothing", |address| arrays::millions_of_nothing(address, 4_000_000)),
    ("long lists", |address| arrays::ask_about_nothing(address, 50_000, |_| true)),
    ("connections dropped", |address| connections::come_and_go(address, 10_000)),
    ("sessions abandoned", |address| connections::abandon_sessions(address, EMPTY, 5_000)),
    ("long polls abandoned", |address| connections::abandon_long_polls(address, EMPTY, 100, 300)),
    ("other protocols", |address| connections::speak_otherwise(address, 1_000)),
    ("resets in mid-response", |address| responses::reset_in_mid_response(address, TOPIC, 300)),
    ("metadata storm", |address| responses::metadata_storm(address, 100)),
    ("nothing taken", take_nothing),
    ("idle connections", hold_idle),
    ("slow frames", slow_frames),
    ("strings", strings::say_all),
];

/// A hundred thousand requests from each of a few connections that take no answer, for a while.
fn take_nothing(address: SocketAddr) {
    let everything = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let metadata = write_request(1, 12, None, &everything).unwrap().to_bytes();
    let held: Vec<_> = (0..50).map(|_| responses::ask_and_take_nothing(address, &metadata, 100_000)).collect();
    thread::sleep(Duration::from_secs(5));
    drop(held);
}

/// Many connections that say nothing, for a while.
fn hold_idle(address: SocketAddr) {
    let mut held: Vec<Client> =
        (0..5_000).map(|index| Client::connect_from([127, 0, 2, (index % 250 + 1) as u8], address)).collect();
    for client in &mut held {
        client.send_raw(&raw(18, 0, false, b""));
    }
    thread::sleep(Duration::from_secs(3));
    drop(held);
}

/// Frames that arrive byte by byte, in their length, header and body.
fn slow_frames(address: SocketAddr) {
    let mut held: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    let frame = raw(3, 1, false, &[0xff; 4]);
    for byte in &frame {
        for client in &mut held {
            assert!(client.send_raw(&[*byte]));
        }
        thread::sleep(Duration::from_millis(100));
    }
    for client in &mut held {
        client.receive_raw().expect("an answer");
    }
}

#[test]
#[ignore = "takes minutes and a broker of its own: scripts/soak hostile"]
fn soak() {
    let setting = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is set by scripts/soak"));
    let address: SocketAddr = setting("FELICE_HOSTILE_ADDRESS").parse().unwrap();
    let until = Instant::now() + Duration::from_secs(setting("FELICE_HOSTILE_SECONDS").parse().unwrap());
    let threads: usize = setting("FELICE_HOSTILE_THREADS").parse().unwrap();
    let mut client = Client::connect(address);
    bombs::make_topics(&mut client);
    client.create_topic(TOPIC, 50, &[]);
    client.create_topic(EMPTY, 1, &[]);
    responses::fill(&mut client, TOPIC, 8, 200_000);
    let rounds = Mutex::new([0_u32; ATTACKS.len()]);
    thread::scope(|scope| {
        for thread in 0..threads {
            let rounds = &rounds;
            scope.spawn(move || {
                // Each begins elsewhere, with strides that differ, so that all meet all.
                let mut at = thread * 5;
                while Instant::now() < until {
                    let (name, attack) = ATTACKS[at % ATTACKS.len()];
                    let began = Instant::now();
                    attack(address);
                    println!("attack: {name} in {:.1} s", began.elapsed().as_secs_f64());
                    rounds.lock().unwrap()[at % ATTACKS.len()] += 1;
                    at += [1, 3, 5, 9, 11, 13][thread % 6];
                }
            });
        }
    });
    for ((name, _), count) in ATTACKS.iter().zip(rounds.into_inner().unwrap()) {
        println!("attack total: {count:5} x {name}");
    }
}
