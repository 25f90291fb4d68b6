//! Log lines: to stderr, for a person at a terminal, for the journal, or as JSON.

use std::{
    fmt::{self, Write},
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    field::MakeExt,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Writer, debug_fn},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One object a line.
    Json,
}

/// Which lines are told: a level (`info`), or levels by module as well (`info,felice::net=debug`).
#[derive(Debug, Clone)]
pub struct Filter(Targets);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Filter, String> {
        let wrong = |part: &str| format!("{part:?} is none of error, warn, info, debug, trace");
        let level = |text: &str| {
            let known = ["error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
            text.parse::<LevelFilter>().ok().filter(|_| known).ok_or_else(|| wrong(text))
        };
        let mut general = LevelFilter::INFO;
        let mut by_module = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                Some((target, text)) => by_module.push((target.trim(), level(text.trim())?)),
                None => general = level(part)?,
            }
        }
        // What libraries tell below a warning is for their authors. Openraft warns of what every first start does, and an error
        // that ends it is told by the broker that then stops.
        let openraft = if general >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
        let targets = Targets::new()
            .with_default(general.min(LevelFilter::WARN))
            .with_target("openraft", openraft)
            .with_target("felice", general);
        Ok(Filter(by_module.into_iter().fold(targets, |targets, (target, level)| targets.with_target(target, level))))
    }
}

/// Sends all log lines of this process to stderr. Call it once, first.
pub fn init(filter: Filter, format: Format) {
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let colour = !journal && format == Format::Text && wants_colour();
    // Where stderr is gone, telling so on stderr would panic.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .log_internal_errors(false)
        .fmt_fields(debug_fn(write_field).delimited(" "));
    let registry = tracing_subscriber::registry().with(filter.0);
    match format {
        Format::Text => registry.with(layer.event_format(Text { journal })).init(),
        Format::Json => {
            registry.with(layer.json().flatten_event(true).with_current_span(false).with_span_list(false)).init();
        }
    }
}

/// Whether stderr is a stream to systemd's journal: as systemd.exec(5) documents, `JOURNAL_STREAM` then has its device
/// and inode. (The variable alone may be inherited from a service that redirects our stderr.)
fn is_journal(variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

/// See no-color.org.
fn wants_colour() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stderr().is_terminal() && !set("NO_COLOR") && !dumb
}

/// The most that is told of one value, in bytes.
const VALUE_MAX: usize = 4096;

/// `message`, or `field=value`, on one line whatever the value holds: it may come from a peer.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{field}=")?;
    }
    write!(OneLine::new(out), "{value:?}")
}

/// Writes control characters, and those that change the direction of text, as escapes: no new lines, nothing that a terminal
/// would obey, nothing that reads otherwise than it is. What is too long for a line is cut.
struct OneLine<'a, 'b> {
    out: &'a mut Writer<'b>,
    left: usize,
}

impl<'a, 'b> OneLine<'a, 'b> {
    fn new(out: &'a mut Writer<'b>) -> OneLine<'a, 'b> {
        OneLine { out, left: VALUE_MAX }
    }
}

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.left == 0 {
            return Ok(());
        }
        let told = text.get(..text.floor_char_boundary(self.left)).unwrap_or_default();
        let mut plain = 0;
        for (at, char) in told.char_indices().filter(|(_, char)| is_deceptive(*char)) {
            self.out.write_str(told.get(plain..at).unwrap_or_default())?;
            write!(self.out, "{}", char.escape_default())?;
            plain = at + char.len_utf8();
        }
        self.out.write_str(told.get(plain..).unwrap_or_default())?;
        self.left -= told.len();
        if told.len() < text.len() {
            self.left = 0;
            self.out.write_str("...")?;
        }
        Ok(())
    }
}

fn is_deceptive(char: char) -> bool {
    let directs = matches!(
        char,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    char.is_control() || directs
}

/// `time level message field=value`; the journal has the time itself, and takes the level as a prefix (sd-daemon(3)).
struct Text {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        let (priority, colour) = match level {
            Level::ERROR => (3, 31),
            Level::WARN => (4, 33),
            Level::INFO => (6, 32),
            Level::DEBUG => (7, 34),
            Level::TRACE => (7, 35),
        };
        if self.journal {
            write!(out, "<{priority}>")?;
        } else if out.has_ansi_escapes() {
            out.write_str("\x1b[2m")?;
            SystemTime.format_time(&mut out)?;
            write!(out, "\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m ")?;
        } else {
            SystemTime.format_time(&mut out)?;
            write!(out, " {level:>5} ")?;
        }
        if level >= Level::DEBUG {
            write!(out, "{}: ", event.metadata().target())?;
        }
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_levels_by_module() {
        let told = |filter: &str, target: &str, level: Level| {
            filter.parse::<Filter>().expect(filter).0.would_enable(target, &level)
        };
        for (filter, target, level, expected) in [
            ("info", "felice::net", Level::INFO, true),
            ("info", "felice::net", Level::DEBUG, false),
            ("INFO", "openraft::core", Level::INFO, false),
            ("trace", "felice", Level::TRACE, true),
            ("trace", "openraft", Level::INFO, false),
            ("error", "openraft", Level::WARN, false),
            ("info", "openraft::engine", Level::WARN, false),
            ("info", "openraft::engine", Level::ERROR, false),
            ("debug", "openraft::engine", Level::ERROR, true),
            ("debug", "openraft::engine", Level::WARN, true),
            ("info", "rocksdb", Level::WARN, true),
            ("error", "rocksdb", Level::WARN, false),
            ("openraft=debug,info", "openraft", Level::DEBUG, true),
            ("warn,felice::net=debug", "felice::net", Level::DEBUG, true),
            ("warn,felice::net=debug", "felice::log", Level::INFO, false),
            ("openraft=debug", "openraft", Level::DEBUG, true),
            ("openraft=debug", "felice", Level::INFO, true),
        ] {
            assert_eq!(told(filter, target, level), expected, "{filter}: {target} {level}");
        }
        for wrong in ["", "loud", "info,", "felice=loud", "off", "3"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_journal_is_known_by_its_stream() {
        let stat = rustix::fs::fstat(io::stderr()).unwrap();
        let (device, inode) = (stat.st_dev, stat.st_ino);
        assert!(is_journal(Some(&format!("{device}:{inode}"))));
        for other in [None, Some(""), Some("1"), Some("a:b"), Some(&*format!("{device}:{}", inode + 1))] {
            assert!(!is_journal(other), "{other:?}");
        }
    }
    #[test]
    fn a_line_stays_one_line_whatever_it_tells() {
        for (told, expected) in [
            ("plain, ünicode, 日本", "plain, ünicode, 日本"),
            ("two\nlines\r\n", "two\\nlines\\r\\n"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\0\t\x7f\u{9b}31m", "\\u{0}\\t\\u{7f}\\u{9b}31m"),
            ("a\u{202e}b\u{2028}c\u{2066}", "a\\u{202e}b\\u{2028}c\\u{2066}"),
        ] {
            let mut line = String::new();
            write!(OneLine::new(&mut Writer::new(&mut line)), "{told}").unwrap();
            assert_eq!(line, expected);
        }
        let mut line = String::new();
        write!(OneLine::new(&mut Writer::new(&mut line)), "x{}and more", "ü".repeat(5000)).unwrap();
        assert_eq!(line, format!("x{}...", "ü".repeat(VALUE_MAX / 2 - 1)));
    }
}
