//! How bytes, times and sizes are written for people.

use std::{borrow::Cow, fmt::Write};

/// Characters of a key or value that are shown unless all are asked for.
pub const SHOWN_MAX: usize = 100;

/// Bytes on one line, safe to print: text as it is but for control characters and backslashes, and other bytes as `\xNN`. What is
/// longer than `max` characters is cut, with a note of its size.
pub fn printable(bytes: &[u8], max: usize) -> String {
    let mut shown = String::with_capacity(bytes.len().min(max) + 16);
    let mut left = max;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return cut(shown, bytes.len());
            }
            left -= 1;
            match character {
                '\\' => shown.push_str("\\\\"),
                // What turns the direction of text around or has no width can make a line look like another.
                character if character.is_control() || is_deceptive(character) => {
                    shown.extend(character.escape_default());
                }
                character => shown.push(character),
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return cut(shown, bytes.len());
            }
            left -= 1;
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A text of somebody else's, such as a group's name, safe to print on one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| character.is_control() || is_deceptive(character);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn cut(mut shown: String, size: usize) -> String {
    let _ = write!(shown, "... ({size} bytes)");
    shown
}

fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// `2026-11-22T08:30:00.000Z`; the number where that is no time that anyone can mean, and `-` for none.
pub fn time(timestamp_ms: i64) -> String {
    const DAY: i64 = 86_400_000;
    /// The year 10000.
    const END: i64 = 253_402_300_800_000;
    if timestamp_ms == -1 {
        return "-".to_owned();
    }
    if !(-62_135_596_800_000..END).contains(&timestamp_ms) {
        return timestamp_ms.to_string();
    }
    let (days, ms) = (timestamp_ms.div_euclid(DAY), timestamp_ms.rem_euclid(DAY));
    // Days since 1 March of the year 0, by eras of 400 years: leap days come last in a year then.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// `1 batch`, `1,234 batches`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `12.3 MB`
pub fn size(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1000 => return format!("{bytes} bytes"),
        1000..1_000_000 => (bytes as f64 / 1e3, "KB"),
        1_000_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_cannot_harm_a_terminal() {
        for (bytes, shown) in [
            (&b"plain"[..], "plain"),
            ("Käfer \u{1f41e}".as_bytes(), "Käfer \u{1f41e}"),
            (b"a\tb\nc\x1b[31m", "a\\tb\\nc\\u{1b}[31m"),
            (b"a\\nb", "a\\\\nb"),
            ("a\u{202e}b\u{9b}c".as_bytes(), "a\\u{202e}b\\u{9b}c"),
            (b"\xff\xfe\x00", "\\xff\\xfe\\u{0}"),
            (b"", ""),
        ] {
            assert_eq!(printable(bytes, SHOWN_MAX), shown);
        }
        assert_eq!(printable(b"abcdef", 6), "abcdef");
        assert_eq!(printable(b"abcdefg", 6), "abcdef... (7 bytes)");
        assert_eq!(printable("\u{e4}\u{e4}\u{e4}".as_bytes(), 2), "\u{e4}\u{e4}... (6 bytes)");
        assert_eq!(printable(b"\xff\xff\xff", 2), "\\xff\\xff... (3 bytes)");
    }

    #[test]
    fn names_of_others_stay_on_their_line() {
        for (text, shown) in [("plain \\ text", "plain \\ text"), ("a\nb\x1b[31m\u{202e}", "a\\nb\\u{1b}[31m\\u{202e}")]
        {
            assert_eq!(one_line(text), shown);
        }
    }

    #[test]
    fn times_are_dates() {
        for (timestamp, shown) in [
            (-1, "-"),
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (-2, "1969-12-31T23:59:59.998Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000"),
            (i64::MAX, "9223372036854775807"),
            (i64::MIN, "-9223372036854775808"),
        ] {
            assert_eq!(time(timestamp), shown, "{timestamp}");
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1000, 12_345_678, 2_500_000_000].map(size),
            ["0 bytes", "999 bytes", "1.0 KB", "12.3 MB", "2.5 GB"]
        );
    }
}
