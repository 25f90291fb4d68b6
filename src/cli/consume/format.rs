//! How a message is shown.

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use felice_protocol::record::Record;
use serde_json::{Map, Value};

use super::{
    super::{Output, Stop, text},
    Consume,
};
use crate::model::TopicPartition;

/// What a message is made into.
pub(super) enum Format {
    Pieces { pieces: Vec<Piece>, null: Vec<u8> },
    Json,
}

/// A part of a text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Time,
    Key,
    Value,
    Headers,
    KeySize,
    ValueSize,
}

impl Format {
    pub(super) fn new(args: &Consume) -> Result<Format, Stop> {
        if args.output == Output::Json {
            return Ok(Format::Json);
        }
        let pieces = match (&args.format, &args.key_separator) {
            (Some(format), _) => pieces(format).map_err(|wrong| Stop::Cannot(format!("--format: {wrong}")))?,
            (None, Some(separator)) => {
                vec![Piece::Key, Piece::Literal(separator.clone().into_bytes()), Piece::Value, newline()]
            }
            (None, None) => vec![Piece::Value, newline()],
        };
        Ok(Format::Pieces { pieces, null: args.null.clone().into_bytes() })
    }

    /// Appends a message to `out`.
    pub(super) fn write(&self, partition: &TopicPartition, record: &Record, out: &mut Vec<u8>) {
        match self {
            Format::Pieces { pieces, null } => {
                for piece in pieces {
                    piece.write(partition, record, null, out);
                }
            }
            Format::Json => {
                out.extend_from_slice(json(partition, record).to_string().as_bytes());
                out.push(b'\n');
            }
        }
    }
}

fn newline() -> Piece {
    Piece::Literal(b"\n".to_vec())
}

impl Piece {
    fn write(&self, partition: &TopicPartition, record: &Record, null: &[u8], out: &mut Vec<u8>) {
        let size = |bytes: Option<&[u8]>| bytes.map_or("-1".to_owned(), |bytes| bytes.len().to_string());
        // A Vec takes all that is written.
        let _ = match self {
            Piece::Literal(bytes) => out.write_all(bytes),
            Piece::Topic => out.write_all(partition.topic.as_bytes()),
            Piece::Partition => write!(out, "{}", partition.partition),
            Piece::Offset => write!(out, "{}", record.offset),
            Piece::Timestamp => write!(out, "{}", record.timestamp),
            Piece::Time => write!(out, "{}", text::time(record.timestamp)),
            Piece::Key => out.write_all(record.key.as_deref().unwrap_or(null)),
            Piece::Value => out.write_all(record.value.as_deref().unwrap_or(null)),
            Piece::KeySize => out.write_all(size(record.key.as_deref()).as_bytes()),
            Piece::ValueSize => out.write_all(size(record.value.as_deref()).as_bytes()),
            Piece::Headers => {
                for (at, header) in record.headers.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&header.key);
                    out.push(b'=');
                    out.extend_from_slice(header.value.as_deref().unwrap_or(null));
                }
                Ok(())
            }
        };
    }
}

/// Reads a format as kcat has them.
fn pieces(format: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        let piece = match character {
            '%' => match rest.next() {
                Some('%') => {
                    literal.push(b'%');
                    continue;
                }
                Some('t') => Piece::Topic,
                Some('p') => Piece::Partition,
                Some('o') => Piece::Offset,
                Some('T') => Piece::Timestamp,
                Some('D') => Piece::Time,
                Some('k') => Piece::Key,
                Some('s') => Piece::Value,
                Some('h') => Piece::Headers,
                Some('K') => Piece::KeySize,
                Some('S') => Piece::ValueSize,
                Some(other) => return Err(format!("%{other} means nothing; --help has what there is")),
                None => return Err("it ends with %; a percent sign is %%".to_owned()),
            },
            '\\' => {
                literal.push(match rest.next() {
                    Some('n') => b'\n',
                    Some('t') => b'\t',
                    Some('r') => b'\r',
                    Some('0') => 0,
                    Some('\\') => b'\\',
                    Some(other) => return Err(format!("\\{other} means nothing; --help has what there is")),
                    None => return Err("it ends with \\; a backslash is \\\\".to_owned()),
                });
                continue;
            }
            other => {
                literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn json(partition: &TopicPartition, record: &Record) -> Value {
    let mut fields = Map::new();
    fields.insert("topic".to_owned(), (*partition.topic).into());
    fields.insert("partition".to_owned(), partition.partition.0.into());
    fields.insert("offset".to_owned(), record.offset.into());
    fields.insert("timestamp".to_owned(), record.timestamp.into());
    put(&mut fields, "key", record.key.as_deref());
    put(&mut fields, "value", record.value.as_deref());
    let header = |header: &felice_protocol::record::Header| {
        let mut fields = Map::new();
        put(&mut fields, "key", Some(&header.key));
        put(&mut fields, "value", header.value.as_deref());
        Value::Object(fields)
    };
    fields.insert("headers".to_owned(), record.headers.iter().map(header).collect());
    Value::Object(fields)
}

/// A text under its name; bytes that are none as base64, under the name with `_base64`.
fn put(fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(std::str::from_utf8) {
        None => fields.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => fields.insert(name.to_owned(), text.into()),
        Some(Err(_)) => {
            fields.insert(format!("{name}_base64"), BASE64_STANDARD.encode(bytes.unwrap_or_default()).into())
        }
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use felice_protocol::record::Header;

    use super::*;
    use crate::model::PartitionIndex;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Record {
        Record {
            offset: 42,
            timestamp: 1_700_000_000_123,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![
                Header { key: Bytes::from_static(b"a"), value: Some(Bytes::from_static(b"1")) },
                Header { key: Bytes::from_static(b"b"), value: None },
            ],
        }
    }

    fn shown(format: &Format, record: &Record) -> Vec<u8> {
        let partition = TopicPartition { topic: Arc::from("orders"), partition: PartitionIndex(3) };
        let mut out = Vec::new();
        format.write(&partition, record, &mut out);
        out
    }

    #[test]
    fn formats_show_what_they_say() {
        for (format, key, value, expected) in [
            ("%s\\n", None, Some(&b"v"[..]), &b"v\n"[..]),
            ("%t-%p@%o %T %k=%s", Some(&b"k"[..]), Some(b"\xff"), b"orders-3@42 1700000000123 k=\xff"),
            ("%D", None, None, b"2023-11-14T22:13:20.123Z"),
            ("%k|%K|%s|%S", None, Some(b""), b"NULL|-1||0"),
            ("%h%%\\t\\0\\\\\u{e4}", None, None, "a=1,b=NULL%\t\0\\\u{e4}".as_bytes()),
            ("", None, None, b""),
        ] {
            let format = Format::Pieces { pieces: pieces(format).unwrap(), null: b"NULL".to_vec() };
            assert_eq!(shown(&format, &record(key, value)), expected);
        }
        for format in ["%", "%x", "\\", "\\x"] {
            assert!(pieces(format).is_err(), "{format}");
        }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = String::from_utf8(shown(&Format::Json, &record(Some(b"\xff\x00"), None))).unwrap();
        assert_eq!(text.lines().count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "topic": "orders", "partition": 3, "offset": 42, "timestamp": 1_700_000_000_123_i64,
            "key_base64": "/wA=", "value": null,
            "headers": [{"key": "a", "value": "1"}, {"key": "b", "value": null}],
        });
        assert_eq!(value, expected);
    }
}
