//! Moments and spans of time as people write them: `2026-11-22T08:30:00Z`, `PT1H30M`, `90m`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, civil::DateTime, tz::TimeZone};

use crate::model::Timestamp;

/// Milliseconds since 1970 have so many digits since 1973, and shorter numbers are dates or mistakes.
const MILLIS_DIGITS_MIN: usize = 12;

/// A moment: with an offset or `Z`, or else in UTC, as Kafka's tools have it; a date alone is its midnight; or milliseconds since
/// 1970.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    if text.len() >= MILLIS_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Timestamp).map_err(|_| format!("{text:?} is too large for a time"));
    }
    let parsed = text.parse::<jiff::Timestamp>().or_else(|_| {
        let local: DateTime = text.parse()?;
        local.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    parsed
        .map(|timestamp| Timestamp(timestamp.as_millisecond()))
        .map_err(|_| format!("{text:?} is no time: write 2026-11-22T08:30:00Z, with Z or +01:00 (without: UTC)"))
}

/// A span of time: `PT1H30M` and `P2DT4H` as ISO 8601 and Kafka's tools have it, or `1h30m`, `2d 4h`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no span of time: write PT1H30M or 1h30m, at most with days");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let exact: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(exact).map_err(|_| wrong())
}

/// A moment, or how long ago it was.
pub(super) fn moment_or_span_ago(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    moment(text).or_else(|wrong| span(text).map(|span| ago(now, span)).map_err(|_| wrong))
}

pub(super) fn ago(now: Timestamp, span: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}

/// How long something lasted, in the two units that matter: `350ms`, `12.3s`, `5m12s`, `3h05m`, `2d04h`.
pub(super) fn length(ms: i64) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{}.{}s", seconds, ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20.123+01:00", 1_700_000_000_123),
            ("2023-11-14T22:13:20.123", 1_700_000_000_123),
            ("2023-11-14 22:13:20", 1_700_000_000_000),
            ("2023-11-14T22:13", 1_699_999_980_000),
            ("2023-11-14", 1_699_920_000_000),
            ("1700000000123", 1_700_000_000_123),
        ] {
            assert_eq!(moment(text), Ok(Timestamp(millis)), "{text}");
        }
        for text in ["", "yesterday", "1700", "2023-13-14", "99999999999999999999"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read() {
        for (text, seconds) in
            [("PT1H30M", 5400), ("P2DT4H", 187_200), ("P1W", 604_800), ("90m", 5400), ("1d 2h", 93_600), ("PT0S", 0)]
        {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1", "P1M", "P1Y", "-PT1H", "soon"] {
            assert!(span(text).is_err(), "{text}");
        }
        let now = Timestamp(1_700_000_000_000);
        assert_eq!(moment_or_span_ago("1h", now), Ok(Timestamp(1_699_996_400_000)));
        assert_eq!(moment_or_span_ago("2023-11-14", now), Ok(Timestamp(1_699_920_000_000)));
        assert!(moment_or_span_ago("x", now).unwrap_err().contains("\"x\" is no time"));
    }

    #[test]
    fn lengths_are_short() {
        for (ms, shown) in [
            (-5, "0ms"),
            (0, "0ms"),
            (350, "350ms"),
            (12_345, "12.3s"),
            (312_000, "5m12s"),
            (11_100_000, "3h05m"),
            (187_200_000, "2d04h"),
        ] {
            assert_eq!(length(ms), shown);
        }
    }
}
