//! A disk in trouble, from outside: it is full, or its flushes fail. Nothing acknowledged is lost, what can go on goes on, and it
//! heals without a restart.
//!
//! These take root, for a small file system, and `strace`, for failures of a system call; where they are missing a line says so.

use std::{fs, io::Write, path::PathBuf, process::Command};

use felice_protocol::{
    error::ErrorCode,
    messages::{
        create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
    },
};
use tempfile::TempDir;

use crate::{
    client::{Client, batch, error},
    harness::Process,
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

/// What holds while appends are refused.
fn full(broker: &Process, client: &mut Client, large: usize) {
    for _ in 0..3 {
        assert_eq!(error(client.produce("small", &batch(&[b"x"])).error_code), ErrorCode::KafkaStorageError);
    }
    let mut silent = broker.client();
    silent.send(11, &crate::client::produce_request("small", 0, &batch(&[b"x"]), 0));
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
    assert_eq!(broker.lines_with(" WARN").len() + broker.lines_with("ERROR").len(), 1, "{:?}", lines(&broker));
    disk.free();
    broker.wait_for("there is space again");
    assert_eq!(client.must_produce("t", &batch(&[b"a"])), 0);
    assert_eq!(client.values("t", 0), ["a"]);
    assert!(broker.stop());
}

fn lines(broker: &Process) -> Vec<String> {
    broker.lines_with("")
}
