//! How fast the cleaner may read and write, all its threads together: `log.cleaner.io.max.bytes.per.second`.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What is saved up while nothing is read: so much may be read at once afterwards.
const BURST: Duration = Duration::from_millis(300);

/// Hands out bytes at an even rate. Whoever took more than there was waits until it would have been there.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: f64,
    /// The moment up to which bytes were handed out.
    taken_until: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Without limit where the rate is no positive number, or more than can be told.
    pub fn new(bytes_per_second: f64) -> Throttle {
        Throttle { bytes_per_second, taken_until: Mutex::new(None) }
    }

    /// Takes bytes that were read or written at `now`; returns how long to wait before the next ones.
    pub fn take(&self, bytes: u64, now: Instant) -> Duration {
        let seconds = bytes as f64 / self.bytes_per_second;
        let Some(takes) = Duration::try_from_secs_f64(seconds).ok().filter(|takes| !takes.is_zero()) else {
            return Duration::ZERO;
        };
        let mut taken_until = self.taken_until.lock();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = taken_until.map_or(earliest, |until| until.max(earliest));
        let until = from.checked_add(takes).unwrap_or(from);
        *taken_until = Some(until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_by_all_together_and_a_pause_saves_up_little() {
        let throttle = Throttle::new(1000.0);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let wait = |bytes, ms| throttle.take(bytes, at(ms)).as_millis();
        assert_eq!(wait(300, 0), 0, "what is saved up");
        assert_eq!(wait(100, 0), 100);
        assert_eq!(wait(100, 0), 200, "another thread waits for both");
        assert_eq!(wait(100, 200), 100);
        assert_eq!(wait(0, 200), 0);
        assert_eq!(wait(400, 10_000), 100, "an hour of rest is worth no more than a moment");
        // A whole day at once, and then the rate holds again.
        assert_eq!(wait(86_400_000, 20_000), 86_399_700);
        assert_eq!(wait(1, 20_000), 86_399_701);
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        for rate in [f64::MAX, f64::INFINITY, 0.0, -1.0, f64::NAN] {
            let throttle = Throttle::new(rate);
            assert_eq!(throttle.take(1 << 40, Instant::now()), Duration::ZERO, "{rate}");
        }
    }
}
