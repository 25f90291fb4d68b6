//! Record batches and their records.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use felice_protocol::record::{
    Batch, BatchHeader, ControlType, EndTransactionMarker, NO_PRODUCER_ID, Record, TimestampType,
};
use serde_json::{Map, Value, json};

use super::{Dumper, Failure, Output, Stop, text};
use crate::{
    env::Glimpse,
    log::inspect::{Region, Scanner},
    model::Offset,
};

/// Records of a batch that decompresses to more are not shown, in bytes.
const DECOMPRESSED_MAX: usize = 256 << 20;

impl Dumper<'_> {
    pub(super) fn log(&mut self, path: &Path, base: Offset, next_base: Option<Offset>) -> Result<(), Failure> {
        let mut scanner = Scanner::open(self.disk, path, base, next_base)?.sparing_cache();
        self.title(path, scanner.end())?;
        if self.out.format == Output::Text {
            self.out.line(&columns([
                "at byte",
                "offsets",
                "epoch",
                "records",
                "bytes",
                "codec",
                "last timestamp",
                "producer, flags",
            ]))?;
        }
        while let Some(region) = scanner.next_region()? {
            let Some(header) = region.header else {
                self.gap(path, &region)?;
                continue;
            };
            if header.base_offset > self.to && region.damage.is_none() {
                break;
            }
            if header.last_offset() < self.from {
                continue;
            }
            let (line, json) = batch(region.position, &header);
            self.show(path, region.position, &line, json)?;
            if let Some(what) = &region.damage {
                self.damage(path, region.position, Some(region.expected.0), what)?;
            } else if self.deep {
                let bytes = scanner.batch()?.map(Bytes::copy_from_slice);
                self.records(path, region.position, bytes)?;
            }
        }
        Ok(())
    }

    fn gap(&mut self, path: &Path, region: &Region) -> Result<(), Stop> {
        let why = region.damage.as_deref().unwrap_or_default();
        let grows = || {
            let data_dir = path.parent().and_then(Path::parent);
            data_dir.is_some_and(|dir| Glimpse::of(dir).is_ok_and(|glimpse| glimpse.in_use))
        };
        if region.is_torn_tail && grows() {
            let what = format!("{} bytes at the end are no whole batch yet: they are being written", region.size);
            return self.problem("note", path, Some(region.position), Some(region.expected.0), &what);
        }
        let what = format!("{} bytes are no whole batch: {why}", region.size);
        self.damage(path, region.position, Some(region.expected.0), &what)
    }

    fn records(&mut self, path: &Path, position: u64, bytes: Option<Bytes>) -> Result<(), Stop> {
        let Some(bytes) = bytes else {
            return self.problem("note", path, Some(position), None, "the batch is too large to be opened");
        };
        let opened = Batch::split_first(&bytes).and_then(|(batch, _)| {
            let records = batch.records(DECOMPRESSED_MAX)?;
            Ok((batch, records))
        });
        let (batch, records) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.damage(path, position, None, &error.to_string()),
        };
        for record in records {
            match record {
                Ok(record) => {
                    let (line, json) = self.record(batch.header(), &record);
                    self.show(path, position, &line, json)?;
                }
                Err(error) => {
                    self.damage(path, position, Some(batch.header().base_offset), &error.to_string())?;
                    break;
                }
            }
        }
        Ok(())
    }

    fn record(&self, header: &BatchHeader, record: &Record) -> (String, Value) {
        let shown = |bytes: Option<&Bytes>| match bytes {
            Some(bytes) => format!("\"{}\"", text::printable(bytes, self.shown_max)),
            None => "null".to_owned(),
        };
        let control = header.is_control().then(|| control(record));
        let mut line = format!("    {}  {}  ", record.offset, text::time(record.timestamp));
        match &control {
            Some((told, _)) => line.push_str(told),
            None => line.push_str(&format!("{} = {}", shown(record.key.as_ref()), shown(record.value.as_ref()))),
        }
        for header in &record.headers {
            let key = text::printable(&header.key, self.shown_max);
            line.push_str(&format!("  [{key}: {}]", shown(header.value.as_ref())));
        }
        let mut fields = Map::new();
        fields.insert("kind".to_owned(), if control.is_some() { "control_record" } else { "record" }.into());
        fields.insert("offset".to_owned(), record.offset.into());
        fields.insert("timestamp".to_owned(), record.timestamp.into());
        match control {
            Some((_, value)) => {
                fields.insert("control".to_owned(), value);
            }
            None => {
                self.put(&mut fields, "key", record.key.as_deref());
                self.put(&mut fields, "value", record.value.as_deref());
            }
        }
        let headers = record.headers.iter().map(|header| {
            let mut fields = Map::new();
            self.put(&mut fields, "key", Some(&header.key));
            self.put(&mut fields, "value", header.value.as_deref());
            Value::Object(fields)
        });
        fields.insert("headers".to_owned(), headers.collect::<Vec<_>>().into());
        (line, Value::Object(fields))
    }

    /// A text under its name; bytes that are none as base64, under the name with `_base64`. Of what is cut the size is told.
    fn put(&self, fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            fields.insert(name.to_owned(), Value::Null);
            return;
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let end = text.char_indices().nth(self.shown_max).map_or(text.len(), |(at, _)| at);
                fields.insert(name.to_owned(), text.get(..end).unwrap_or_default().into());
                if end < text.len() {
                    fields.insert(format!("{name}_bytes"), bytes.len().into());
                }
            }
            Err(_) => {
                let shown = bytes.get(..bytes.len().min(self.shown_max)).unwrap_or_default();
                fields.insert(format!("{name}_base64"), BASE64_STANDARD.encode(shown).into());
                if shown.len() < bytes.len() {
                    fields.insert(format!("{name}_bytes"), bytes.len().into());
                }
            }
        }
    }
}

/// One row; a field that is too wide moves the rest.
fn columns([position, offsets, epoch, records, size, codec, timestamp, about]: [&str; 8]) -> String {
    format!("{position:>10}  {offsets:<21}  {epoch:>5}  {records:>7}  {size:>9}  {codec:<6}  {timestamp:<24}  {about}")
}

fn batch(position: u64, header: &BatchHeader) -> (String, Value) {
    let codec = header.codec().map_or_else(|error| error.to_string(), |codec| codec.name().to_owned());
    let producer = (header.producer_id != NO_PRODUCER_ID).then(|| {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        format!("producer {id} epoch {epoch} sequences {}..{}", header.base_sequence, header.last_sequence())
    });
    let flags = [
        (header.timestamp_type() == TimestampType::LogAppendTime, "log append time"),
        (header.is_transactional(), "transactional"),
        (header.is_control(), "control"),
    ];
    let mut told: Vec<String> = producer.into_iter().collect();
    told.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| (*name).to_owned()));
    told.extend(header.delete_horizon_ms().map(|horizon| format!("delete horizon {}", text::time(horizon))));
    let line = columns([
        &position.to_string(),
        &format!("{}..{}", header.base_offset, header.last_offset()),
        &header.partition_leader_epoch.to_string(),
        &header.record_count.to_string(),
        &header.size().to_string(),
        &codec,
        &text::time(header.max_timestamp),
        &if told.is_empty() { "-".to_owned() } else { told.join(", ") },
    ]);
    let json = json!({
        "kind": "batch",
        "base_offset": header.base_offset,
        "last_offset": header.last_offset(),
        "leader_epoch": header.partition_leader_epoch,
        "record_count": header.record_count,
        "size": header.size(),
        "crc": header.crc,
        "codec": codec,
        "timestamp_type": match header.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        },
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "last_sequence": header.last_sequence(),
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "delete_horizon": header.delete_horizon_ms(),
    });
    (line, json)
}

/// What a control record says.
fn control(record: &Record) -> (String, Value) {
    match EndTransactionMarker::parse(record) {
        Ok(Some(marker)) => {
            let (epoch, end) = (marker.coordinator_epoch, if marker.committed { "commit" } else { "abort" });
            (format!("{end}, coordinator epoch {epoch}"), json!({ "type": end, "coordinator_epoch": epoch }))
        }
        Ok(None) => {
            let kind = ControlType::parse(record.key.as_deref());
            let kind = kind.map_or_else(|error| error.to_string(), |kind| format!("{kind:?}"));
            (format!("control: {kind}"), json!({ "type": kind }))
        }
        Err(error) => (format!("control: {error}"), json!({ "type": "unknown", "why": error.to_string() })),
    }
}
