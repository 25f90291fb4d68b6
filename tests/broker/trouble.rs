//! A disk in trouble, from outside: it is full, or its flushes fail. Nothing acknowledged is lost, what can go on goes on, and it
//! heals without a restart.
//!
//! These take root, for a small file system, and `strace`, for failures of a system call; where they are missing a line says so.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error, idempotent, produce_request},
    harness::Process,
    http,
};

/// A file system of its own, as large as asked for.
struct SmallDisk {
    mounted: TempDir,
}

impl SmallDisk {
    /// `None`, and a line, where this process may not mount one.
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let mounted = TempDir::new().unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(mounted.path()).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(SmallDisk { mounted });
        }
        eprintln!("skipped: this process may not mount a file system");
        None
    }

    fn folder(&self) -> PathBuf {
        self.mounted.path().join("data")
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.mounted.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.mounted.path()).status();
    }
}

/// System calls of a broker that fail, until this is dropped.
struct Failing {
    strace: Child,
}

impl Failing {
    /// `None`, and a line, where there is no `strace` or it may not trace.
    fn begin(broker: &Process, calls: &str, errno: &str) -> Option<Failing> {
        let inject = [format!("trace={calls}"), format!("inject={calls}:error={errno}")];
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", &inject[0], "-e", &inject[1], "-p"]).arg(broker.id().to_string());
        let attached = strace.stderr(Stdio::piped()).spawn().ok().and_then(|mut strace| {
            let mut lines = BufReader::new(strace.stderr.take()?).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            // The rest tells of threads that come and go.
            thread::spawn(move || lines.for_each(drop));
            let failing = Failing { strace };
            first.contains("attached").then_some(failing)
        });
        if attached.is_none() {
            eprintln!("skipped: no system call can be made to fail without strace");
        }
        attached
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // It lets go of the broker.
        let _ = kill_process(Pid::from_child(&self.strace), Signal::INT);
        let _ = self.strace.wait();
    }
}

/// Produces until the broker refuses; returns how many batches it took.
fn produce_until_refused(client: &mut Client, topic: &str) -> usize {
    let records = batch(&[&[7; 256 << 10]]);
    for taken in 0.. {
        let answer = client.produce(topic, &records);
        match error(answer.error_code) {
            ErrorCode::None => assert!(taken < 1000, "the disk is not that large"),
            refused => {
                assert_eq!(refused, ErrorCode::KafkaStorageError);
                return taken;
            }
        }
    }
    unreachable!()
}

fn alter(client: &mut Client, topic: &str, name: &str, value: &str) -> ErrorCode {
    let configs = vec![AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
        ..AlterableConfig::default()
    }];
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs,
        ..AlterConfigsResource::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    error(client.call(1, &request).responses[0].error_code)
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else_and_heals() {
    let Some(disk) = SmallDisk::mount(64 << 20) else { return };
    let mut broker = Process::start(&disk.folder(), &[]);
    let mut client = broker.client();
    client.create_topic("large", 1, &[]);
    client.create_topic("small", 1, &[]);
    client.must_produce("small", &batch(&[b"a"]));
    let taken = produce_until_refused(&mut client, "large");
    assert!(taken > 100, "a disk of 64 MiB must be of use, and took {taken}");
    broker.wait_for("the disk is full");
    full(&broker, &mut client, taken);

    // Another process takes the rest: not a byte is free.
    disk.fill();
    full(&broker, &mut client, taken);
    assert_eq!(alter(&mut client, "large", "retention.ms", "3600000"), ErrorCode::None);
    // Nor after a kill, in which a start has to be made with what is kept in reserve.
    broker.kill();
    disk.fill();
    drop(broker);
    let broker = Process::start(&disk.folder(), &[]);
    let mut client = broker.client();
    full(&broker, &mut client, taken);

    client.delete_topic("large");
    broker.wait_for("there is space again");
    client.create_topic("large", 1, &[]);
    assert_eq!(client.values("large", 0).len(), 0, "another topic");
    assert_eq!(client.must_produce("large", &batch(&[b"b"])), 0);
    assert_eq!(client.must_produce("small", &batch(&[b"b"])), 1);
    assert_eq!(client.values("small", 0), ["a", "b"]);
    disk.free();
    let again = produce_until_refused(&mut client, "large");
    assert!(again + 4 > taken, "the space of the first one is back: {again} of {taken}");
    assert!(broker.lines_with("panicked").is_empty());
    assert!(broker.stop());
}

/// Produces until the broker takes it.
fn produce_until_taken(client: &mut Client, topic: &str) {
    let records = batch(&[b"taken"]);
    while error(client.produce(topic, &records).error_code) != ErrorCode::None {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn lower_retention_and_deleted_records_give_a_full_disk_space_again() {
    let Some(disk) = SmallDisk::mount(64 << 20) else { return };
    let broker = Process::start(&disk.folder(), &["log.retention.check.interval.ms=100"]);
    let mut client = broker.client();
    client.create_topic("large", 1, &[("segment.bytes", "2097152")]);
    produce_until_refused(&mut client, "large");
    disk.fill();
    assert_eq!(alter(&mut client, "large", "retention.bytes", "20971520"), ErrorCode::None);
    produce_until_taken(&mut client, "large");
    let first = client.fetch("large", 0);
    assert_eq!(error(first.error_code), ErrorCode::OffsetOutOfRange);

    assert_eq!(alter(&mut client, "large", "retention.bytes", "-1"), ErrorCode::None);
    let end = client.must_produce("large", &batch(&[b"end"]));
    produce_until_refused(&mut client, "large");
    disk.fill();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: end, ..DeleteRecordsPartition::default() };
    let topic =
        DeleteRecordsTopic { name: "large".to_owned(), partitions: vec![partition], ..DeleteRecordsTopic::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    assert_eq!(error(client.call(2, &request).topics[0].partitions[0].error_code), ErrorCode::None);
    produce_until_taken(&mut client, "large");
    assert_eq!(client.values("large", end)[0], "end");
    assert_eq!(broker.lines_with("there is space again").len(), 2);
    assert!(broker.stop());
}

/// What holds while appends are refused.
fn full(broker: &Process, client: &mut Client, large: usize) {
    for _ in 0..3 {
        assert_eq!(error(client.produce("small", &batch(&[b"x"])).error_code), ErrorCode::KafkaStorageError);
    }
    let mut silent = broker.client();
    silent.send(11, &produce_request("small", 0, &batch(&[b"x"]), 0));
    silent.expect_close();
    assert_eq!(client.values("small", 0), ["a"]);
    assert_eq!(client.values("large", 0).len(), large);
    let created = client.try_create_topic("more", 1, &[]);
    assert_eq!(error(created.error_code), ErrorCode::KafkaStorageError);
    assert_eq!(created.error_message.as_deref(), Some("the disk of the data folder is full"));
    let topic = CreatePartitionsTopic { name: "small".to_owned(), count: 2, ..CreatePartitionsTopic::default() };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    assert_eq!(error(client.call(3, &request).results[0].error_code), ErrorCode::KafkaStorageError);
}

#[test]
fn a_full_disk_is_told_once() {
    let Some(disk) = SmallDisk::mount(64 << 20) else { return };
    let broker = Process::start(&disk.folder(), &["log.dir.min.free.bytes=20971520"]);
    let mut client = broker.client();
    client.create_topic("t", 4, &[]);
    disk.fill();
    for partition in 0..40 {
        let answer = client.produce_acks("t", partition % 4, &batch(&[b"x"]), 1);
        assert_eq!(error(answer.error_code), ErrorCode::KafkaStorageError);
    }
    assert_eq!(broker.lines_with(" WARN ").len() + broker.lines_with(" ERROR ").len(), 1, "{:?}", lines(&broker));
    disk.free();
    broker.wait_for("there is space again");
    assert_eq!(client.must_produce("t", &batch(&[b"a"])), 0);
    assert_eq!(client.values("t", 0), ["a"]);
    assert!(broker.stop());
}

/// What routes clients hears of it, and of its end, and why.
#[test]
fn a_full_disk_is_not_ready() {
    let Some(disk) = SmallDisk::mount(64 << 20) else { return };
    let broker = Process::start(&disk.folder(), &["http.listen=127.0.0.1:0"]);
    let http = http::address(&broker);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(http::get(http, "/readyz"), (200, "ready\n".to_owned()));
    produce_until_refused(&mut client, "t");
    assert_eq!(http::get(http, "/readyz"), (503, "the disk of the data folder is full\n".to_owned()));
    assert_eq!(http::get(http, "/livez").0, 200);
    let (status, page) = http::get(http, "/metrics");
    assert_eq!(status, 200);
    assert!(page.contains("\nfelice_data_folder_troubled{trouble=\"full\"} 1\n"), "{page}");
    client.delete_topic("t");
    broker.wait_for("there is space again");
    assert_eq!(http::get(http, "/readyz").0, 200);
    assert!(broker.stop());
}

fn lines(broker: &Process) -> Vec<String> {
    broker.lines_with("")
}

fn refused(client: &mut Client, topic: &str, acks: i16) {
    let answer = client.produce_acks(topic, 0, &batch(&[b"not acknowledged"]), acks);
    assert_eq!(error(answer.error_code), ErrorCode::KafkaStorageError, "{topic} acks={acks}");
}

/// Without those that were refused and may be there all the same.
fn acknowledged(client: &mut Client, topic: &str) -> Vec<Bytes> {
    let mut values = client.values(topic, 0);
    values.retain(|value| value != "not acknowledged");
    values
}

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_until_the_folder_is_verified() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("safe", 1, &[("flush.messages", "1")]);
    client.create_topic("fast", 1, &[]);
    for topic in ["safe", "fast"] {
        client.must_produce(topic, &batch(&[b"before"]));
    }
    let Some(failing) = Failing::begin(&broker, "fdatasync", "EIO") else { return };
    refused(&mut client, "safe", -1);
    broker.wait_for("nothing is acknowledged until");
    for topic in ["safe", "fast"] {
        refused(&mut client, topic, -1);
        refused(&mut client, topic, 1);
        assert_eq!(client.values(topic, 0)[0], "before", "what could be read can be read");
    }
    let mut silent = broker.client();
    silent.send(11, &produce_request("fast", 0, &batch(&[b"not acknowledged"]), 0));
    silent.expect_close();
    let created = client.try_create_topic("more", 1, &[]);
    assert_eq!(error(created.error_code), ErrorCode::KafkaStorageError);
    broker.wait_for("the disk still fails");
    refused(&mut client, "fast", 1);

    drop(failing);
    broker.wait_for("the data folder is good again after");
    for topic in ["safe", "fast"] {
        client.must_produce(topic, &batch(&[b"after"]));
        assert_eq!(acknowledged(&mut client, topic), ["before", "after"]);
    }
    assert_eq!(broker.lines_with(" ERROR ").len(), 1, "{:#?}", broker.lines_with(""));
    broker.kill();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    for topic in ["safe", "fast"] {
        assert_eq!(acknowledged(&mut client, topic), ["before", "after"]);
        client.must_produce(topic, &batch(&[b"again"]));
    }
    assert!(broker.stop());
}

#[test]
fn a_write_that_fails_is_taken_back_and_where_that_fails_too_the_log_heals() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"before"]));
    let Some(failing) = Failing::begin(&broker, "pwritev", "EIO") else { return };
    for _ in 0..3 {
        refused(&mut client, "t", -1);
    }
    drop(failing);
    client.must_produce("t", &batch(&[b"between"]));
    assert!(broker.lines_with("nothing is acknowledged").is_empty(), "{:#?}", broker.lines_with(""));

    let Some(failing) = Failing::begin(&broker, "pwritev,ftruncate", "EIO") else { return };
    refused(&mut client, "t", -1);
    assert_eq!(client.values("t", 0), ["before", "between"]);
    drop(failing);
    broker.wait_for("the data folder is good again after");
    client.must_produce("t", &batch(&[b"after"]));
    assert_eq!(client.values("t", 0), ["before", "between", "after"], "what was refused was never written");
    assert!(broker.stop());
}

#[test]
fn a_read_that_fails_is_told_once_and_only_to_who_reads() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"a"]));
    let Some(failing) = Failing::begin(&broker, "pread64", "EIO") else { return };
    for _ in 0..10 {
        assert_eq!(error(client.fetch("t", 0).error_code), ErrorCode::KafkaStorageError);
    }
    client.must_produce("t", &batch(&[b"b"]));
    assert_eq!(broker.lines_with("cannot be read").len(), 1, "{:#?}", broker.lines_with(""));
    drop(failing);
    assert_eq!(client.values("t", 0), ["a", "b"]);
    assert!(broker.stop());
}

/// What one idempotent producer sends, each batch again and again until it is acknowledged.
fn send_until(client: &mut Client, topic: &str, stop: &AtomicBool) -> Vec<String> {
    let producer = (client.producer_id(), 0);
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let value = format!("{topic} {}", sent.len());
        let records = idempotent(producer, i32::try_from(sent.len()).unwrap(), &[value.as_bytes()]);
        loop {
            match error(client.produce(topic, &records).error_code) {
                ErrorCode::None => break,
                ErrorCode::KafkaStorageError => thread::sleep(Duration::from_millis(5)),
                other => panic!("{topic} {}: {other:?}", sent.len()),
            }
        }
        sent.push(value);
    }
    sent
}

#[test]
fn nothing_acknowledged_is_lost_or_there_twice_while_a_disk_fails_now_and_then() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let topics = [("safe", "1"), ("often", "20"), ("fast", "9223372036854775807")];
    for (topic, flush_messages) in topics {
        let configs = [("flush.messages", flush_messages), ("segment.bytes", "1048576"), ("flush.ms", "50")];
        broker.client().create_topic(topic, 1, &configs);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let producers = topics.map(|(topic, _)| {
        let (mut client, stop) = (broker.client(), Arc::clone(&stop));
        thread::spawn(move || (topic, send_until(&mut client, topic, &stop)))
    });
    let calls = ["fdatasync", "pwritev", "pwritev,ftruncate", "fdatasync,fsync", "pwrite64,fdatasync,openat"];
    for round in 0..5 {
        let Some(failing) = Failing::begin(&broker, calls[round % calls.len()], "EIO") else { break };
        thread::sleep(Duration::from_millis(300));
        drop(failing);
        // All heal, and some more is sent.
        for (topic, _) in topics {
            let mut client = broker.client();
            while client.produce(topic, &batch(&[b"not acknowledged"])).error_code != 0 {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = producers.map(|producer| producer.join().unwrap());
    for (topic, values) in &sent {
        assert!(acknowledged(&mut broker.client(), topic) == *values, "{topic} before the kill");
    }
    assert!(broker.lines_with("panicked").is_empty());
    broker.kill();
    let broker = Process::start(folder.path(), &[]);
    for (topic, values) in &sent {
        assert!(acknowledged(&mut broker.client(), topic) == *values, "{topic} after the kill");
    }
    assert!(broker.stop());
}

#[test]
fn changes_of_the_metadata_wait_for_a_disk_that_fails() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let Some(failing) = Failing::begin(&broker, "fdatasync", "EIO") else { return };
    let waiting = thread::spawn({
        let mut client = broker.client();
        move || client.create_topic("late", 1, &[])
    });
    broker.wait_for("the metadata log cannot be written");
    // The page cache is what this topic is acknowledged from, and no flush of it has failed.
    client.must_produce("t", &batch(&[b"a"]));
    assert_eq!(client.values("t", 0), ["a"]);
    drop(failing);
    waiting.join().unwrap();
    broker.wait_for("the metadata log can be written again");
    client.must_produce("late", &batch(&[b"a"]));
    assert!(broker.stop());
}
