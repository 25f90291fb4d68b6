//! Bits that flip while a broker is stopped: the next start says what it found, serves what is sound, and never something else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bytes::Bytes;
use felice_protocol::{error::ErrorCode, record::Batch};
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error},
    harness::{Local, Process},
};

const BATCHES: i64 = 40;

/// A topic with some segments, stopped cleanly, and the values of its records.
fn folder() -> (TempDir, Vec<Vec<u8>>) {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("orders", 1, &[("segment.bytes", "1048576"), ("index.interval.bytes", "4096")]);
    client.create_topic("other", 1, &[]);
    client.must_produce("other", &batch(&[b"sound"]));
    let values: Vec<Vec<u8>> = (0..BATCHES).map(|at| vec![b'a' + (at % 26) as u8; 60_000 + at as usize]).collect();
    for (at, value) in values.iter().enumerate() {
        assert_eq!(client.must_produce("orders", &batch(&[value])), at as i64);
    }
    (broker.stop(), values)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(folder.join("orders-0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|suffix| suffix == "log"));
    logs.sort();
    logs
}

fn flip(path: &Path, byte: usize, mask: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= mask;
    fs::write(path, bytes).unwrap();
}

/// Where the batches of a log begin.
fn starts(log: &Path) -> Vec<usize> {
    let (mut rest, mut at, mut starts) = (Bytes::from(fs::read(log).unwrap()), 0, Vec::new());
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(&rest).expect("whole batches");
        starts.push(at);
        at += batch.header().size();
        rest = after;
    }
    starts
}

/// Reads each offset: how many were as written, damaged by their CRC, or refused.
fn read_all(client: &mut Client, values: &[Vec<u8>]) -> (usize, usize, usize) {
    let (mut sound, mut damaged, mut refused) = (0, 0, 0);
    for (offset, value) in values.iter().enumerate() {
        let data = client.fetch("orders", offset as i64);
        match error(data.error_code) {
            ErrorCode::None => {}
            ErrorCode::CorruptMessage => {
                refused += 1;
                continue;
            }
            other => panic!("{other:?} at {offset}"),
        }
        let bytes = data.records.unwrap().bytes().expect("in memory").clone();
        let (batch, _) = Batch::split_first(&bytes).expect("whole batches");
        assert_eq!(batch.header().base_offset, offset as i64);
        if batch.verify_crc().is_err() {
            damaged += 1;
            continue;
        }
        let record = batch.records(1 << 20).unwrap().next().unwrap().unwrap();
        assert!(record.value.as_deref() == Some(value), "offset {offset} is another");
        sound += 1;
    }
    (sound, damaged, refused)
}

#[test]
fn a_damaged_batch_is_an_error_and_the_others_are_served() {
    let (folder, values) = folder();
    let log = segments(folder.path()).remove(1);
    let size = starts(&log)[1];
    // Its payload, its length, its offset, its magic, its last offset delta.
    for (byte, mask, payload) in [
        (size + 5000, 1, true),
        (size + 10, 1, false),
        (size + 6, 4, false),
        (size + 16, 8, false),
        (size + 26, 2, false),
    ] {
        flip(&log, byte, mask);
        let broker = Local::start_in(folder_of(&folder), &[]);
        let mut client = broker.client();
        let (sound, damaged, refused) = read_all(&mut client, &values);
        match payload {
            true => assert_eq!((sound, damaged, refused), (values.len() - 1, 1, 0), "byte {byte}"),
            false => assert!(damaged == 0 && (1..=2).contains(&refused), "byte {byte}: {sound} {damaged} {refused}"),
        }
        assert_eq!(sound + damaged + refused, values.len());
        assert_eq!(client.values("other", 0), [&b"sound"[..]]);
        assert_eq!(client.must_produce("orders", &batch(&[b"next"])), BATCHES, "byte {byte}");
        drop(broker);
        flip(&log, byte, mask);
    }
}

/// The same data again: a broker takes the folder and leaves it changed.
fn folder_of(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_all(folder.path(), copy.path());
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// At the end of the newest segment a start looks: what was durable is not cut off there, and no offset is given away twice.
#[test]
fn damage_in_the_newest_segment_costs_no_other_record() {
    let (folder, values) = folder();
    let log = segments(folder.path()).pop().unwrap();
    let last = *starts(&log).last().unwrap();
    for byte in [last + 16, last + 9, 16, 9] {
        flip(&log, byte, 0x20);
        let copy = folder_of(&folder);
        let mut broker = Process::start(copy.path(), &[]);
        let mut client = broker.client();
        let (sound, _, refused) = read_all(&mut client, &values);
        assert!(sound >= values.len() - 2 && refused <= 2, "byte {byte}: {sound} sound, {refused} refused");
        assert_eq!(client.must_produce("orders", &batch(&[b"next"])), BATCHES);
        broker.kill();
        flip(&log, byte, 0x20);
    }
}

/// A bit in any other file of the partition costs nothing at all.
#[test]
fn small_files_are_made_anew_or_told() {
    let (folder, values) = folder();
    let files: Vec<_> =
        fs::read_dir(folder.path().join("orders-0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in files.iter().filter(|path| path.extension().is_none_or(|suffix| suffix != "log")) {
        let length = fs::metadata(path).unwrap().len() as usize;
        if length == 0 {
            continue;
        }
        let (byte, mask) = (length * 2 / 3, 0x04);
        flip(path, byte, mask);
        let broker = Local::start_in(folder_of(&folder), &[]);
        let mut client = broker.client();
        let name = path.file_name().unwrap().to_owned();
        assert_eq!(read_all(&mut client, &values), (values.len(), 0, 0), "{name:?}");
        drop(broker);
        flip(path, byte, mask);
    }
}

#[test]
fn a_damaged_topic_id_deletes_nothing() {
    let (folder, values) = folder();
    for (byte, clean) in [(2, true), (30, true), (30, false)] {
        let copy = folder_of(&folder);
        if !clean {
            fs::remove_file(copy.path().join(".kafka_cleanshutdown")).unwrap();
        }
        flip(&copy.path().join("orders-0/partition.metadata"), byte, 1);
        let broker = Process::start(copy.path(), &[]);
        assert_eq!(read_all(&mut broker.client(), &values), (values.len(), 0, 0), "byte {byte}");
        assert_eq!(broker.lines_with("partition.metadata is damaged").len(), 1);
        assert!(broker.stop());
    }
    // Beyond recognition: nobody knows whose it is, so it stays, and the others are served.
    let copy = folder_of(&folder);
    fs::remove_file(copy.path().join(".kafka_cleanshutdown")).unwrap();
    fs::write(copy.path().join("orders-0/partition.metadata"), "nonsense").unwrap();
    let broker = Process::start(copy.path(), &[]);
    let mut client = broker.client();
    assert_eq!(error(client.fetch("orders", 0).error_code), ErrorCode::KafkaStorageError);
    assert_eq!(client.values("other", 0), [&b"sound"[..]]);
    assert_eq!(segments(copy.path()).len(), segments(folder.path()).len());
}

#[test]
fn a_damaged_mark_of_a_clean_stop_is_told_and_not_believed() {
    let (folder, values) = folder();
    flip(&folder.path().join(".kafka_cleanshutdown"), 0, 1);
    let broker = Process::start(folder.path(), &[]);
    assert_eq!(broker.lines_with(".kafka_cleanshutdown is damaged").len(), 1);
    broker.wait_for("recovered after an unclean stop");
    assert_eq!(read_all(&mut broker.client(), &values), (values.len(), 0, 0));
}

/// Without its metadata a broker cannot know what it has: it says so in one line, or what is damaged does not matter.
#[test]
fn a_damaged_store_is_one_line_or_no_harm() {
    let (folder, values) = folder();
    let store: Vec<_> =
        fs::read_dir(folder.path().join("metadata")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (mut refused, mut started) = (0, 0);
    for path in &store {
        let length = fs::metadata(path).map_or(0, |metadata| metadata.len() as usize);
        let name = path.file_name().unwrap().to_str().unwrap();
        if length == 0 || !path.is_file() || name.starts_with("LOG") || name == "reserve" {
            continue;
        }
        for byte in [length / 3, length * 3 / 4] {
            let copy = folder_of(&folder);
            flip(&copy.path().join("metadata").join(name), byte, 0x10);
            match Process::try_start(copy.path(), &[]) {
                Ok(broker) => {
                    started += 1;
                    assert_eq!(read_all(&mut broker.client(), &values), (values.len(), 0, 0), "{name} at {byte}");
                    assert!(broker.stop());
                }
                Err((code, lines)) => {
                    refused += 1;
                    let errors: Vec<_> = lines.iter().filter(|line| line.contains("ERROR")).collect();
                    assert_eq!((code, errors.len()), (Some(1), 1), "{name} at {byte}: {lines:?}");
                    assert!(errors[0].contains("metadata"), "{errors:?}");
                    assert!(!lines.iter().any(|line| line.contains("panicked")), "{lines:?}");
                    // What is there stays for whoever can do better.
                    assert_eq!(segments(copy.path()).len(), segments(folder.path()).len());
                }
            }
        }
    }
    println!("{refused} refused, {started} started");
    assert!(refused > 0);
}

#[test]
fn the_scrub_finds_what_nobody_reads() {
    let (folder, _) = folder();
    let log = segments(folder.path()).remove(0);
    flip(&log, 70_000, 1);
    let broker =
        Process::start(folder.path(), &["log.scrub.interval.ms=1000", "log.scrub.io.max.bytes.per.second=100000000"]);
    let line = broker.wait_for("damage on the disk");
    assert!(
        line.contains(log.file_name().unwrap().to_str().unwrap())
            && line.contains("(offset 1): the CRC does not match"),
        "{line}"
    );
    broker.wait_for("1 damaged");
    // Each finding is told once.
    while broker.lines_with("scrubbed ").len() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(broker.lines_with("damage on the disk").len(), 1);
    assert!(broker.stop());
    let output = Command::new(env!("CARGO_BIN_EXE_felice"))
        .args(["verify", "orders", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}
