//! `felice produce`: each line of standard input becomes a message.

use std::{
    io::{self, BufRead, BufReader, IsTerminal, Read},
    process::ExitCode,
    thread,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use felice_protocol::record::{Codec, Compression};
use tokio::sync::mpsc;

use super::{
    FORCED, SOUND, Stop,
    connect::{Connect, Interrupts, block_on},
    exit, tell, text,
};
use crate::{
    client::{Message, Producer, ProducerSettings},
    model::{PartitionIndex, Timestamp},
};

/// No line is longer than this, in bytes; brokers refuse such messages anyway.
const LINE_MAX: u64 = 64 << 20;

/// Lines that are handed over at once, in bytes, as far as they are there already.
const LINES_AT_ONCE: usize = 256 << 10;

/// What `felice produce` was asked for.
#[derive(Debug, Args)]
#[command(after_help = "\
A message goes to the partition that its key belongs to, as with Kafka's own producer, and without a key to any. It is
sent once, also where its acknowledgement gets lost. Ctrl-C ends after what was read is acknowledged.

Exit codes:
  0  every line is acknowledged
  1  a broker refused, or could not be reached
  2  the arguments make no sense, or standard input cannot be read

Examples:
  echo 'Liebste Felice' | felice produce letters
  felice produce orders -k : -z zstd < orders.txt
  felice produce orders -k : --null NULL -H source=shop <<< '17:NULL'")]
pub struct Produce {
    /// Where to send
    topic: String,

    /// What separates key and value; a line without it has no key
    #[arg(short, long, value_name = "TEXT")]
    key_separator: Option<String>,

    /// A header of every message. May be repeated; without = its value is null
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    header: Vec<String>,

    /// How batches are compressed
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    compression: CodecName,

    /// Send all to this partition
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// Whose acknowledgement to wait for: of all in-sync replicas, or of the leader alone
    #[arg(long, value_name = "ACKS", default_value = "all")]
    acks: Acks,

    /// A key or value that is exactly this text is null
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Acks {
    All,
    #[value(name = "1")]
    One,
}

impl CodecName {
    fn codec(self) -> Codec {
        match self {
            CodecName::None => Codec::None,
            CodecName::Gzip => Codec::Gzip,
            CodecName::Snappy => Codec::Snappy,
            CodecName::Lz4 => Codec::Lz4,
            CodecName::Zstd => Codec::Zstd,
        }
    }
}

/// Sends what it reads, and returns when it is acknowledged.
pub fn produce(args: Produce) -> ExitCode {
    exit(block_on(run(args)))
}

async fn run(args: Produce) -> Result<u8, Stop> {
    let client = args.connect.client()?;
    let mut interrupts = Interrupts::new()?;
    let shape = Shape::new(&args);
    let settings = ProducerSettings {
        compression: Compression::new(args.compression.codec()),
        acks_all: matches!(args.acks, Acks::All),
        ..ProducerSettings::default()
    };
    let opening = async {
        let topic = client.named_topics(&[&args.topic]).await?.into_iter().next();
        let topic = topic.ok_or_else(|| Stop::Failed(format!("topic {} does not exist", args.topic)))?;
        Ok::<Producer, Stop>(Producer::open(client.clone(), &topic, settings).await?)
    };
    let mut producer = tokio::select! {
        producer = opening => producer?,
        () = interrupts.next() => return Ok(SOUND),
    };
    if io::stdin().is_terminal() {
        tell("each line is a message; Ctrl-D ends");
    }
    let mut lines = read_lines();
    let mut sent = 0;
    let mut ending = false;
    while !ending {
        let chunk = tokio::select! {
            chunk = lines.recv() => chunk,
            () = interrupts.next() => None,
        };
        let Some(chunk) = chunk else { break };
        let mut is_due = false;
        for line in chunk? {
            sent += 1;
            is_due = true;
            if producer.push(shape.message(line, client.env().now()))? {
                flush(&mut producer, &mut interrupts, &mut ending).await?;
                is_due = false;
            }
        }
        // What comes slowly is sent at once; what comes quickly is gathered meanwhile.
        if is_due && lines.is_empty() {
            flush(&mut producer, &mut interrupts, &mut ending).await?;
        }
    }
    flush(&mut producer, &mut interrupts, &mut ending).await?;
    if io::stderr().is_terminal() {
        tell(&format!("{} acknowledged", text::counted(sent, "message", "messages")));
    }
    Ok(SOUND)
}

/// Sends what was taken. The first signal ends the reading, and a second one all.
async fn flush(producer: &mut Producer, interrupts: &mut Interrupts, ending: &mut bool) -> Result<(), Stop> {
    let flushing = producer.flush();
    tokio::pin!(flushing);
    loop {
        tokio::select! {
            flushed = &mut flushing => return flushed.map(drop).map_err(Stop::from),
            () = interrupts.next() => {
                if *ending {
                    std::process::exit(FORCED);
                }
                *ending = true;
            }
        }
    }
}

/// How a line becomes a message.
struct Shape {
    key_separator: Option<Bytes>,
    null: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    partition: Option<PartitionIndex>,
}

impl Shape {
    fn new(args: &Produce) -> Shape {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let header = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(bytes(value))),
            None => (text.clone(), None),
        };
        Shape {
            key_separator: args.key_separator.as_deref().filter(|text| !text.is_empty()).map(bytes),
            null: args.null.as_deref().map(bytes),
            headers: args.header.iter().map(header).collect(),
            partition: args.partition.map(PartitionIndex),
        }
    }

    fn message(&self, line: Bytes, now: Timestamp) -> Message {
        let (key, value) = match self.key_separator.as_ref().and_then(|separator| split_once(&line, separator)) {
            Some((key, value)) => (Some(key), value),
            None => (None, line),
        };
        let unless_null = |part: Bytes| Some(part).filter(|part| Some(part) != self.null.as_ref());
        Message {
            partition: self.partition,
            key: key.and_then(unless_null),
            value: unless_null(value),
            headers: self.headers.clone(),
            timestamp: now,
        }
    }
}

fn split_once(line: &Bytes, separator: &[u8]) -> Option<(Bytes, Bytes)> {
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((line.slice(..at), line.slice(at + separator.len()..)))
}

/// Lines of standard input, some at a time, as they come: a read cannot be given up, so it has a thread of its own.
fn read_lines() -> mpsc::Receiver<Result<Vec<Bytes>, Stop>> {
    let (sender, receiver) = mpsc::channel(4);
    thread::spawn(move || {
        let mut stdin = BufReader::with_capacity(LINES_AT_ONCE, io::stdin().lock());
        loop {
            let lines = some_lines(&mut stdin, LINE_MAX, LINES_AT_ONCE)
                .map_err(|error| Stop::Cannot(format!("cannot read standard input: {error}")));
            let failed = lines.is_err();
            let ended = lines.as_ref().is_ok_and(Vec::is_empty);
            if ended || sender.blocking_send(lines).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// At least one line, and those after it that are there already, up to `size` bytes; none at the end.
fn some_lines(input: &mut BufReader<impl Read>, line_max: u64, size: usize) -> io::Result<Vec<Bytes>> {
    let mut lines = Vec::new();
    let mut taken = 0;
    loop {
        let mut line = Vec::new();
        let length = input.by_ref().take(line_max + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(lines);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if length as u64 > line_max {
            return Err(io::Error::other(format!("a line is longer than {line_max} bytes")));
        }
        taken += line.len() + 1;
        lines.push(Bytes::from(line));
        if taken >= size || !input.buffer().contains(&b'\n') {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(key_separator: Option<&str>, null: Option<&str>) -> Shape {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Shape {
            key_separator: key_separator.map(bytes),
            null: null.map(bytes),
            headers: vec![("h".to_owned(), None)],
            partition: None,
        }
    }

    #[test]
    fn lines_become_messages() {
        for (separator, null, line, key, value) in [
            (None, None, "a:b", None, Some("a:b")),
            (Some(":"), None, "a:b:c", Some("a"), Some("b:c")),
            (Some("::"), None, "a:b::c", Some("a:b"), Some("c")),
            (Some(":"), None, "no key", None, Some("no key")),
            (Some(":"), None, ":empty key", Some(""), Some("empty key")),
            (Some(":"), None, "k:", Some("k"), Some("")),
            (Some(":"), Some("NULL"), "k:NULL", Some("k"), None),
            (Some(":"), Some("NULL"), "NULL:v", None, Some("v")),
            (Some(":"), Some(""), "k:", Some("k"), None),
            (None, Some("NULL"), "NULL!", None, Some("NULL!")),
        ] {
            let message = shape(separator, null).message(Bytes::copy_from_slice(line.as_bytes()), Timestamp(7));
            assert_eq!(
                (message.key.as_deref(), message.value.as_deref()),
                (key.map(str::as_bytes), value.map(str::as_bytes))
            );
            assert_eq!((message.timestamp, message.headers), (Timestamp(7), vec![("h".to_owned(), None)]));
        }
    }

    #[test]
    fn lines_are_whole_and_bounded() {
        let all = |input: &[u8]| {
            let mut input = BufReader::new(input);
            let mut all = Vec::new();
            loop {
                let lines = some_lines(&mut input, 5, 8)?;
                if lines.is_empty() {
                    return Ok::<_, io::Error>(all);
                }
                all.extend(lines);
            }
        };
        assert_eq!(all(b"").unwrap(), Vec::<Bytes>::new());
        assert_eq!(all(b"a\n\nbc\xff\nlast").unwrap(), [&b"a"[..], b"", b"bc\xff", b"last"]);
        assert_eq!(all(b"12345\n12345").unwrap(), [&b"12345"[..], b"12345"]);
        assert!(all(b"ok\n123456\n").unwrap_err().to_string().contains("longer than 5 bytes"));
    }
}
