//! Saying what is expected. A check that holds prints one line; one that does not panics, which ends the suite.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long anything may take that has to happen.
pub const LIMIT: Duration = Duration::from_secs(100);

pub fn passed(check: impl AsRef<str>) {
    println!("  ok   {}", check.as_ref());
}

/// Compares, and prints the check where both are equal.
#[track_caller]
pub fn same<T: PartialEq + Debug>(check: impl AsRef<str>, expected: T, actual: T) {
    let check = check.as_ref();
    assert!(expected == actual, "{check}: expected <{}>, got <{}>", shorten(&expected), shorten(&actual));
    passed(check);
}

/// [`same`] for what an admin call changed. That is there when the call is answered; but Kafka answers from the controller, a
/// little before its broker has heard of the change, so that there it may take up to 10 s.
#[track_caller]
pub fn settled<T: PartialEq + Debug>(check: impl AsRef<str>, expected: T, mut read: impl FnMut() -> T) {
    let deadline = Instant::now() + Duration::from_secs(if on_kafka() { 10 } else { 0 });
    let mut actual = read();
    while actual != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        actual = read();
    }
    same(check, expected, actual);
}

/// Runs a part of the suite and prints its seconds.
pub fn part(name: &str, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    println!("  {name}: {:.1} s", started.elapsed().as_secs_f64());
}

/// Whether the broker is the real Kafka.
pub fn on_kafka() -> bool {
    std::env::var("BROKER").is_ok_and(|broker| broker == "kafka")
}

/// How many times as much is sent.
pub fn scale() -> usize {
    std::env::var("COMPAT_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

fn shorten(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
