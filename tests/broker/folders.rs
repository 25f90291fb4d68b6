//! Data folders of other builds: each that was ever kept opens, whole; one from the future is refused and left as it is.
//!
//! `tests/fixtures/folders/` holds data folders as earlier states wrote them, and beside each `expected.json`, what clients had sent.
//! The groups in them are in `folders/groups.rs`. A state that stores something new adds a folder:
//!
//! ```sh
//! FELICE_FIXTURE=0002-what-is-new cargo test --test broker -- --ignored make_a_folder
//! ```

mod groups;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use felice::{
    broker::Broker,
    config::{self, Given},
    env::{Env, Inspected, SystemEnv},
    model::Timestamp,
    store::{Batch as Writes, KeyRange, Order, RocksStore, Store, Table},
};
use felice_protocol::{
    Uuid,
    error::ErrorCode,
    messages::{
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::{MetadataRequest, MetadataRequestTopic},
    },
    record::{BatchBuilder, Codec},
};
use rocksdb::{DB, Options};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::groups::ExpectedGroups;
use crate::client::{Client, FETCH, batches, error, fetch_partition, fetch_request};

/// What is in a kept folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Expected {
    cluster_id: String,
    /// The time at which the folder was written. It is opened at the same, lest things expire.
    now_ms: i64,
    topics: Vec<ExpectedTopic>,
    producers: Vec<ExpectedProducer>,
    /// From the third folder on.
    #[serde(default)]
    groups: ExpectedGroups,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct ExpectedTopic {
    name: String,
    id: String,
    configs: BTreeMap<String, String>,
    /// The records of each partition, from offset 0 on.
    partitions: Vec<Vec<ExpectedRecord>>,
    /// Segments of each partition, as files.
    segments: Vec<usize>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ExpectedRecord {
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
    codec: String,
}

/// An idempotent producer in partition 0 of a topic.
#[derive(Debug, Serialize, Deserialize)]
struct ExpectedProducer {
    topic: String,
    id: i64,
    epoch: i16,
    /// Its last batch, of one record.
    last_sequence: i32,
    last_offset: i64,
}

/// The moment at which a folder was written, for ever.
struct Moment(i64);

impl Env for Moment {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }

    fn uuid(&self) -> Uuid {
        SystemEnv.uuid()
    }

    fn random_u64(&self) -> u64 {
        SystemEnv.random_u64()
    }
}

/// A broker in this process, at a given time.
struct Running {
    runtime: Runtime,
    broker: Broker,
    address: SocketAddr,
}

impl Running {
    fn start(folder: &Path, now_ms: i64) -> Running {
        Running::start_with(folder, now_ms, &[])
    }

    fn start_with(folder: &Path, now_ms: i64, settings: &[&str]) -> Running {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listen = ["127.0.0.1:0".to_owned()];
        let set: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let given = Given { set: &set, data_dir: Some(folder), listen: &listen, ..Given::default() };
        let (config, _) = config::load(&given).expect("good settings");
        let inspected = Inspected::new(folder, config.node_id).unwrap();
        let broker = runtime.block_on(Broker::start(config, inspected, Arc::new(Moment(now_ms)))).expect("it starts");
        let address = broker.addresses()[0][0];
        Running { runtime, broker, address }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn stop(self) {
        self.runtime.block_on(self.broker.shutdown());
    }
}

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/folders")
}

/// All files below a folder with their contents, by relative path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn write_files(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, contents) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}

/// A copy of a kept folder, and what is in it.
fn copy(name: &str) -> (TempDir, Expected) {
    let from = kept().join(name);
    let folder = TempDir::new().unwrap();
    write_files(folder.path(), &files(&from.join("data")));
    (folder, serde_json::from_slice(&fs::read(from.join("expected.json")).unwrap()).unwrap())
}

fn names() -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(kept()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

// -- what is in it --

fn records(client: &mut Client, topic: &str, partition: usize) -> Vec<ExpectedRecord> {
    let mut found = Vec::new();
    loop {
        let mut request = fetch_request(topic, 0);
        request.topics[0].partitions = vec![fetch_partition(partition as i32, found.len() as i64)];
        let data = client.call(FETCH, &request).responses.remove(0).partitions.remove(0);
        assert_eq!(error(data.error_code), ErrorCode::None, "{topic}-{partition}");
        let fetched = batches(&data);
        if fetched.is_empty() {
            assert_eq!(data.high_watermark, found.len() as i64, "{topic}-{partition}");
            return found;
        }
        for batch in fetched {
            let codec = format!("{:?}", batch.header().attributes.codec().unwrap());
            for record in batch.records(64 << 20).unwrap().map(Result::unwrap) {
                assert_eq!(record.offset, found.len() as i64, "{topic}-{partition}");
                let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                found.push(ExpectedRecord {
                    timestamp: record.timestamp,
                    key: record.key.as_ref().map(text),
                    value: record.value.as_ref().map(text),
                    headers: record
                        .headers
                        .iter()
                        .map(|header| (text(&header.key), header.value.as_ref().map(text)))
                        .collect(),
                    codec: codec.clone(),
                });
            }
        }
    }
}

/// Own settings of a topic.
fn configs(client: &mut Client, topic: &str) -> BTreeMap<String, String> {
    const OWN: i8 = 1;
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let result = client.call(4, &request).results.remove(0);
    assert_eq!(error(result.error_code), ErrorCode::None, "{topic}");
    let own = result.configs.into_iter().filter(|config| config.config_source == OWN);
    own.map(|config| (config.name, config.value.unwrap())).collect()
}

fn offset_at(client: &mut Client, topic: &str, partition: usize, timestamp: i64) -> i64 {
    let partition =
        ListOffsetsPartition { partition_index: partition as i32, timestamp, ..ListOffsetsPartition::default() };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..ListOffsetsTopic::default()
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = client.call(7, &request).topics.remove(0).partitions.remove(0);
    assert_eq!(error(answer.error_code), ErrorCode::None);
    answer.offset
}

fn check(client: &mut Client, expected: &Expected) {
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let metadata = client.call(12, &request);
    assert_eq!(metadata.cluster_id.as_deref(), Some(&*expected.cluster_id));
    let own = metadata.topics.iter().filter(|topic| !topic.is_internal);
    let mut found: Vec<_> = own.map(|topic| topic.name.clone().unwrap()).collect();
    found.sort();
    let mut topics: Vec<_> = expected.topics.iter().map(|topic| topic.name.clone()).collect();
    topics.sort();
    assert_eq!(found, topics);
    for topic in &expected.topics {
        let name = &*topic.name;
        let metadata = metadata.topics.iter().find(|found| found.name.as_deref() == Some(name)).unwrap();
        assert_eq!(metadata.topic_id.to_string(), topic.id, "{name}");
        assert_eq!(metadata.partitions.len(), topic.partitions.len(), "{name}");
        assert_eq!(configs(client, name), topic.configs, "{name}");
        for (partition, records) in topic.partitions.iter().enumerate() {
            assert_eq!(&self::records(client, name, partition), records, "{name}-{partition}");
            for timestamp in records.iter().map(|record| record.timestamp) {
                let first = records.iter().position(|record| record.timestamp >= timestamp).unwrap();
                assert_eq!(offset_at(client, name, partition, timestamp), first as i64, "{name}-{partition}");
            }
        }
    }
    expected.groups.check(client);
}

/// Idempotent producers are known: the last batch again is a duplicate, one that leaves a gap is refused.
fn check_producers(client: &mut Client, expected: &Expected) {
    for producer in &expected.producers {
        let mut send = |sequence: i32| {
            let batch = BatchBuilder::new(Codec::None).producer(producer.id, producer.epoch, sequence);
            let batch = batch.record(expected.now_ms, None, Some(b"again")).build();
            let response = client.produce(&producer.topic, &batch);
            (error(response.error_code), response.base_offset)
        };
        assert_eq!(send(producer.last_sequence), (ErrorCode::None, producer.last_offset));
        assert_eq!(send(producer.last_sequence + 2), (ErrorCode::OutOfOrderSequenceNumber, -1));
    }
}

/// Their next batch is taken, once.
fn go_on(client: &mut Client, expected: &mut Expected) {
    for producer in &mut expected.producers {
        let batch = BatchBuilder::new(Codec::None).producer(producer.id, producer.epoch, producer.last_sequence + 1);
        let batch = batch.record(expected.now_ms, None, Some(b"next")).build();
        producer.last_offset += 1;
        producer.last_sequence += 1;
        assert_eq!(client.must_produce(&producer.topic, &batch), producer.last_offset);
        assert_eq!(client.must_produce(&producer.topic, &batch), producer.last_offset);
        let topic = expected.topics.iter_mut().find(|topic| topic.name == producer.topic).unwrap();
        topic.partitions[0].push(ExpectedRecord {
            timestamp: expected.now_ms,
            key: None,
            value: Some("next".to_owned()),
            headers: vec![],
            codec: "None".to_owned(),
        });
    }
    expected.groups.go_on(client);
}

/// What becomes of a folder before it is opened.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// It looks as after a kill.
    NoMark,
    /// The groups are in the log only.
    NoViews,
}

#[test]
fn every_folder_that_was_kept_opens_whole() {
    let names = names();
    assert!(!names.is_empty());
    for name in names {
        for before in [Before::Nothing, Before::NoMark, Before::NoViews] {
            let (folder, mut expected) = copy(&name);
            let mark = folder.path().join(".kafka_cleanshutdown");
            assert!(mark.exists(), "{name} was stopped cleanly");
            match before {
                Before::Nothing => {}
                Before::NoMark => fs::remove_file(mark).unwrap(),
                Before::NoViews if expected.groups.live.is_empty() => continue,
                Before::NoViews => in_store(folder.path(), |store, writes| {
                    let views = store.scan(Table::Coordinator, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap();
                    assert!(!views.is_empty(), "{name}");
                    for (key, _) in views {
                        writes.delete(Table::Coordinator, key);
                    }
                }),
            }
            let broker = Running::start(folder.path(), expected.now_ms);
            let mut client = broker.client();
            check(&mut client, &expected);
            check_producers(&mut client, &expected);
            go_on(&mut client, &mut expected);
            broker.stop();

            let broker = Running::start(folder.path(), expected.now_ms);
            let mut client = broker.client();
            check(&mut client, &expected);
            check_producers(&mut client, &expected);
            broker.stop();
        }
    }
}

#[test]
fn a_kept_folder_has_what_it_is_kept_for() {
    for name in names() {
        let (folder, expected) = copy(&name);
        for topic in &expected.topics {
            for (partition, segments) in topic.segments.iter().enumerate() {
                let files = fs::read_dir(folder.path().join(format!("{}-{partition}", topic.name))).unwrap();
                let logs =
                    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ext| ext == "log"));
                assert_eq!(logs.count(), *segments, "{name}: {}-{partition}", topic.name);
            }
        }
        let codecs = expected.topics.iter().flat_map(|topic| topic.partitions.iter().flatten());
        let codecs: std::collections::BTreeSet<_> = codecs.map(|record| record.codec.clone()).collect();
        assert_eq!(codecs, CODECS.iter().map(|codec| format!("{codec:?}")).collect(), "{name}");
        assert!(expected.topics.iter().any(|topic| topic.segments.iter().any(|count| *count > 3)), "{name}");
        assert!(!expected.producers.is_empty(), "{name}");
    }
    let (_, newest) = copy(&names().pop().expect("a kept folder"));
    newest.groups.check_variety();
}

// -- how one is made --

/// Sends one batch and keeps what was in it.
fn send(client: &mut Client, topic: &mut ExpectedTopic, partition: usize, codec: Codec, sent: Vec<ExpectedRecord>) {
    let builder = sent.iter().fold(BatchBuilder::new(codec), |builder, record| {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| (key.as_str(), value.as_ref().map(String::as_bytes))).collect();
        builder.record_with_headers(
            record.timestamp,
            record.key.as_ref().map(String::as_bytes),
            record.value.as_ref().map(String::as_bytes),
            &headers,
        )
    });
    let response = client.produce_acks(&topic.name, partition as i32, &builder.build(), -1);
    assert_eq!(error(response.error_code), ErrorCode::None);
    topic.partitions[partition].extend(sent);
}

fn record(timestamp: i64, key: Option<&str>, value: Option<&str>, codec: Codec) -> ExpectedRecord {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    ExpectedRecord { timestamp, key: owned(key), value: owned(value), headers: vec![], codec: format!("{codec:?}") }
}

fn create(client: &mut Client, name: &str, partitions: usize, configs: &[(&str, &str)]) -> ExpectedTopic {
    ExpectedTopic {
        name: name.to_owned(),
        id: client.create_topic(name, partitions as i32, configs).to_string(),
        configs: configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        partitions: (0..partitions).map(|_| Vec::new()).collect(),
        segments: vec![1; partitions],
    }
}

fn fill(client: &mut Client, now_ms: i64) -> Expected {
    // Every codec; null keys and values; headers, also without a value and empty.
    let mut codecs = create(client, "codecs", 1, &[]);
    for (index, codec) in CODECS.into_iter().enumerate() {
        let at = now_ms - 60_000 + index as i64 * 1000;
        let long = "letters to Felice, ".repeat(20);
        let mut sent = vec![
            record(at, Some("key"), Some(&long), codec),
            record(at + 1, None, Some("no key"), codec),
            record(at + 2, Some("no value"), None, codec),
            record(at + 3, Some(""), Some(""), codec),
        ];
        sent[3].headers =
            vec![("a".to_owned(), Some("1".to_owned())), ("a".to_owned(), None), (String::new(), Some(String::new()))];
        send(client, &mut codecs, 0, codec, sent);
    }

    // Many segments, for each round is later than the one before by more than segment.ms, and an index entry a batch.
    let mut segments = create(client, "segments", 3, &[("segment.ms", "500"), ("index.interval.bytes", "0")]);
    for batch in 0..18 {
        for partition in 0..3 {
            let at = now_ms - 30_000 + batch / 3 * 1000 + batch % 3 * 100;
            let sent = (0..4).map(|n| record(at + n, None, Some(&format!("{partition}/{batch}/{n}")), Codec::None));
            send(client, &mut segments, partition, Codec::None, sent.collect());
        }
    }
    segments.segments = vec![6; 3];

    // Settings of a topic's own, one of which the broker acts on with each batch.
    let settings = [
        ("max.message.bytes", "2048"),
        ("message.timestamp.type", "LogAppendTime"),
        ("flush.messages", "1"),
        ("compression.type", "zstd"),
    ];
    let mut configured = create(client, "configured", 1, &settings);
    // The broker writes its own time, and in its own codec.
    let own_time = |n: i32| record(now_ms, Some("k"), Some(&format!("n{n}")), Codec::Zstd);
    for n in 0..3 {
        send(client, &mut configured, 0, Codec::None, vec![own_time(n)]);
    }

    // A name that was used before.
    client.create_topic("again", 2, &[]);
    client.delete_topic("again");
    let mut again = create(client, "again", 1, &[]);
    send(client, &mut again, 0, Codec::None, vec![record(now_ms, None, Some("the second"), Codec::None)]);

    // An idempotent producer beyond the five batches that are remembered, and one of a later epoch.
    let mut idempotent = create(client, "idempotent", 1, &[]);
    let (first, second) = (client.producer_id(), client.producer_id());
    let mut producers = Vec::new();
    for (id, epoch, count) in [(first, 0, 8), (second, 3, 2)] {
        for sequence in 0..count {
            let text = format!("{id}/{sequence}");
            let batch = BatchBuilder::new(Codec::None).producer(id, epoch, sequence);
            client.must_produce("idempotent", &batch.record(now_ms, None, Some(text.as_bytes())).build());
            idempotent.partitions[0].push(record(now_ms, None, Some(&text), Codec::None));
        }
        if id == first {
            continue; // The next one's batches are the last of the log.
        }
        let last_offset = idempotent.partitions[0].len() as i64 - 1;
        producers.push(ExpectedProducer {
            topic: "idempotent".to_owned(),
            id,
            epoch,
            last_sequence: count - 1,
            last_offset,
        });
    }
    let empty = create(client, "empty", 2, &[]);
    let topic = MetadataRequestTopic { name: Some("codecs".to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    let cluster_id = client.call(12, &request).cluster_id.unwrap();
    let topics = vec![codecs, segments, configured, again, idempotent, empty];
    Expected { cluster_id, now_ms, topics, producers, groups: ExpectedGroups::default() }
}

/// Keeps a data folder as this state writes it, under the name in `FELICE_FIXTURE`.
#[test]
#[ignore = "makes a fixture"]
fn make_a_folder() {
    let name = std::env::var("FELICE_FIXTURE").expect("FELICE_FIXTURE: a name such as 0002-what-is-new");
    let to = kept().join(name);
    assert!(!to.exists(), "{} is there already", to.display());
    let folder = TempDir::new().unwrap();
    let now_ms = SystemEnv.now().0;
    let broker = Running::start_with(folder.path(), now_ms, groups::SETTINGS);
    let mut expected = fill(&mut broker.client(), now_ms);
    expected.groups = groups::fill(&mut broker.client(), &mut broker.client());
    check(&mut broker.client(), &expected);
    broker.stop();
    let mut files = files(folder.path());
    // Diaries, locks and what is only there to take space.
    files.retain(|path, _| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !(name.starts_with("LOG") || name.starts_with("OPTIONS") || ["LOCK", ".lock", "reserve"].contains(&name))
    });
    write_files(&to.join("data"), &files);
    fs::write(to.join("expected.json"), serde_json::to_vec_pretty(&expected).unwrap()).unwrap();
}

// -- from the future --

type Change = fn(&Path);

fn in_store(folder: &Path, change: impl FnOnce(&RocksStore, &mut Writes)) {
    let store = RocksStore::open(&folder.join("metadata")).unwrap();
    let mut writes = Writes::new();
    change(&store, &mut writes);
    store.write_synced(&writes).unwrap();
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

const FROM_THE_FUTURE: &[(&str, Change)] = &[
    (
        "the data folder DIR was written by a newer Felice (version 2 of meta.properties); this one cannot read it",
        |folder| {
            replace(&folder.join("meta.properties"), "\nversion=1", "\nversion=2");
        },
    ),
    ("the data folder DIR was written by a newer Felice (format 2); this one cannot read it", |folder| {
        replace(&folder.join("meta.properties"), "felice.format=1", "felice.format=2");
    }),
    ("DIR/metadata: written by a newer version of Felice (unknown: from-the-future)", |folder| {
        let path = folder.join("metadata");
        let tables = DB::list_cf(&Options::default(), &path).unwrap();
        let mut db = DB::open_cf(&Options::default(), &path, tables).unwrap();
        db.create_cf("from-the-future", &Options::default()).unwrap();
    }),
    ("DIR/metadata: metadata record 77 (version 0) is not known; a newer version of Felice wrote it", |folder| {
        in_store(folder, |store, writes| {
            let last = store.scan(Table::RaftLog, &KeyRange::all(), Order::Descending, 1).unwrap().remove(0);
            // An entry (version 0, term 1; tag 0: 13 bytes, the records) with one record of four bytes, its key and version.
            let records = [0, 0, 0, 1, 0, 0, 0, 4, 0, 77, 0, 0];
            let entry = [&[0, 0][..], &1_i64.to_be_bytes(), &[1, 0, 13, 13], &records].concat();
            writes.put(Table::RaftLog, last.0, entry);
        });
    }),
    (
        "DIR/metadata: the metadata log cannot be read: version 9 of StoredEntry is not known; a newer version of Felice wrote it",
        |folder| {
            in_store(folder, |store, writes| {
                let (key, mut entry) =
                    store.scan(Table::RaftLog, &KeyRange::all(), Order::Descending, 1).unwrap().remove(0);
                entry[1] = 9;
                writes.put(Table::RaftLog, key, entry);
            });
        },
    ),
    (
        "DIR/metadata: the metadata log cannot be read: version 9 of StoredVote is not known; a newer version of Felice wrote it",
        |folder| {
            in_store(folder, |store, writes| {
                let mut vote = store.get(Table::RaftState, b"vote").unwrap().unwrap();
                vote[1] = 9;
                writes.put(Table::RaftState, "vote", vote);
            });
        },
    ),
    (
        "DIR/metadata: the metadata log cannot be read: version 9 of StoredSnapshot is not known; a newer version of Felice wrote it",
        |folder| {
            in_store(folder, |_, writes| {
                writes.put(Table::RaftState, "snapshot", [0, 9]);
            });
        },
    ),
];

/// What a refused start may not change: all but RocksDB's own files, which it reads by opening them.
fn kept_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(folder);
    files.retain(|path, _| !path.starts_with("metadata") && path != Path::new(".lock"));
    files
}

fn stored(folder: &Path) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    let store = RocksStore::open(&folder.join("metadata")).unwrap();
    Table::ALL.iter().map(|table| store.scan(*table, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap()).collect()
}

#[test]
fn a_folder_from_the_future_is_refused_in_one_line_and_left_as_it_is() {
    let newest = names().pop().expect("a kept folder");
    for (told, change) in FROM_THE_FUTURE {
        let (folder, _) = copy(&newest);
        let path = folder.path();
        change(path);
        let has_unknown_table = told.contains("from-the-future");
        let (before, stored_before) = (kept_files(path), (!has_unknown_table).then(|| stored(path)));
        for _ in 0..2 {
            let mut command = Command::new(env!("CARGO_BIN_EXE_felice"));
            command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(path);
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text}");
            let line =
                text.trim_end().split_once(" ERROR ").map(|(_, line)| line.replace(path.to_str().unwrap(), "DIR"));
            assert_eq!(line.as_deref(), Some(*told), "{text}");
            assert!(path.join(".kafka_cleanshutdown").exists(), "{told}");
            assert_eq!(kept_files(path), before, "{told}");
        }
        assert_eq!((!has_unknown_table).then(|| stored(path)), stored_before, "{told}");
    }
}
