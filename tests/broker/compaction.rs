//! Compacted topics keep the last record of each key, whatever comes in between, and nobody waits for it.

use std::{fs, path::Path};

use bytes::Bytes;
use felice_protocol::record::{BatchBuilder, Codec};
use tempfile::TempDir;

use crate::{
    client::{Client, batches, now_ms},
    harness::Process,
};

/// A segment holds one of the batches below, and any dirt is too much.
const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("file.delete.delay.ms", "0"),
];
const OFTEN: &str = "log.cleaner.backoff.ms=20";
const OFF: &str = "log.cleaner.enable=false";

/// One record of 700 KB whose value begins with `value`.
fn large(key: &str, value: &str) -> Bytes {
    let mut long = value.as_bytes().to_vec();
    long.resize(700_000, b'.');
    BatchBuilder::new(Codec::None).record(now_ms(), Some(key.as_bytes()), Some(&long)).build()
}

fn contents(client: &mut Client, topic: &str) -> Vec<(i64, String, String)> {
    contents_from(client, topic, 0)
}

/// Offset, key and the beginning of the value of each record that is there.
fn contents_from(client: &mut Client, topic: &str, mut offset: i64) -> Vec<(i64, String, String)> {
    let mut found = Vec::new();
    loop {
        let data = client.fetch(topic, offset);
        assert_eq!(data.error_code, 0);
        let fetched = batches(&data);
        let Some(last) = fetched.last() else { return found };
        for batch in &fetched {
            for record in batch.records(64 << 20).unwrap().map(Result::unwrap).filter(|record| record.offset >= offset)
            {
                let text = |bytes: Option<Bytes>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                let value = text(record.value).trim_end_matches('.').to_owned();
                found.push((record.offset, text(record.key), value));
            }
        }
        offset = last.header().next_offset();
    }
}

fn told(records: &[(i64, &str, &str)]) -> Vec<(i64, String, String)> {
    records.iter().map(|(offset, key, value)| (*offset, (*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_last_record_of_each_key_stays_and_work_goes_on_where_it_ended() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[OFTEN]);
    let mut client = broker.client();
    client.create_topic("t", 1, &COMPACTED);
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("c", "1")] {
        client.must_produce("t", &large(key, value));
    }
    // The last one is in the active segment.
    broker.wait_for(" to 4: ");
    let expected = told(&[(1, "b", "1"), (3, "a", "3"), (4, "c", "1")]);
    assert_eq!(contents(&mut client, "t"), expected);
    broker.kill();

    let broker = Process::start(folder.path(), &[OFTEN]);
    let mut client = broker.client();
    assert_eq!(contents(&mut client, "t"), expected);
    client.must_produce("t", &large("b", "2"));
    client.must_produce("t", &large("d", "1"));
    let line = broker.wait_for(" to 6: ");
    assert!(!line.contains("offsets 0 to"), "it knows how far it has come: {line}");
    let expected = told(&[(3, "a", "3"), (4, "c", "1"), (5, "b", "2"), (6, "d", "1")]);
    assert_eq!(contents(&mut client, "t"), expected);
    assert!(broker.stop());
}

#[test]
fn a_damaged_partition_is_left_alone_and_the_others_are_compacted() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[OFF]);
    let mut client = broker.client();
    for topic in ["bad", "good"] {
        client.create_topic(topic, 1, &COMPACTED);
        for (key, value) in [("a", "1"), ("a", "2"), ("b", "1")] {
            client.must_produce(topic, &large(key, value));
        }
    }
    assert_eq!(contents(&mut client, "good").len(), 3, "nobody cleans");
    assert!(broker.stop());
    damage(&folder.path().join("bad-0/00000000000000000001.log"));

    let broker = Process::start(folder.path(), &[OFTEN]);
    let mut client = broker.client();
    client.must_produce("bad", &large("c", "1"));
    client.must_produce("good", &large("c", "1"));
    let why = broker.wait_for("not compacted any more");
    assert!(why.contains("bad-0") && why.contains("00000000000000000001.log"), "{why}");
    broker.wait_for("good-0");
    broker.wait_for(" to 3: ");
    assert_eq!(contents(&mut client, "good"), told(&[(1, "a", "2"), (2, "b", "1"), (3, "c", "1")]));
    assert_eq!(broker.lines_with("not compacted any more").len(), 1, "it is said once");
    client.must_produce("bad", &large("d", "1"));
}

/// Another byte in the middle of the file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_compacted_and_deleted_obeys_both() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[OFTEN]);
    let mut client = broker.client();
    let settings = [&COMPACTED[1..], &[("cleanup.policy", "compact,delete"), ("retention.bytes", "1400000")]].concat();
    client.create_topic("t", 1, &settings);
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("d", "1")] {
        client.must_produce("t", &large(key, value));
    }
    broker.wait_for("the log starts at 3 now");
    assert_eq!(contents_from(&mut client, "t", 3), told(&[(3, "c", "1"), (4, "d", "1")]));
}
