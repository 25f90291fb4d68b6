//! `felice dump` and `felice verify`, as whoever uses them sees them: beside a broker that runs, and on a folder at rest.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{batch, idempotent},
    harness::{Local, Process},
};

fn felice<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_felice")).args(args).stdin(Stdio::null()).output().expect("felice runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Exit code and standard output.
fn run(data_dir: &Path, args: &[&str]) -> (i32, String) {
    let output = felice(args.iter().map(OsStr::new).chain([OsStr::new("--data-dir"), data_dir.as_os_str()]));
    (output.status.code().expect("an exit code"), text(&output.stdout))
}

fn json(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A topic with two partitions, stopped cleanly.
fn folder() -> TempDir {
    let broker = Local::start(&[]);
    let mut client = broker.client();
    client.create_topic("orders", 2, &[]);
    let producer = (client.producer_id(), 0);
    client.must_produce("orders", &idempotent(producer, 0, &[b"first", b"sec\x1bond"]));
    client.must_produce("orders", &batch(&[&[b'x'; 300]]));
    broker.stop()
}

#[test]
fn a_sound_folder_is_verified_with_exit_code_0() {
    let folder = folder();
    let (code, told) = run(folder.path(), &["verify"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("2 partitions; the last stop was clean"), "{told}");
    assert!(told.contains("\nsound: 2 partitions, 2 segments, 2 batches, 3 records"), "{told}");
    let (code, told) = run(folder.path(), &["verify", "orders-0", "-o", "json"]);
    let lines = json(&told);
    assert_eq!((code, lines.len()), (0, 1), "{told}");
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["sound"], &lines[0]["records"]),
        (&"summary".into(), &true.into(), &3.into())
    );
    assert_eq!(run(folder.path(), &["verify", "orders"]).0, 0);
}

#[test]
fn damage_is_told_with_file_byte_and_offset() {
    let folder = folder();
    let log = folder.path().join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs::write(&log, bytes).unwrap();
    let (code, told) = run(folder.path(), &["verify"]);
    assert_eq!(code, 1, "{told}");
    let line = told.lines().find(|line| line.starts_with("damage: ")).expect("a finding");
    let place = format!("{} at byte ", log.display());
    assert!(line.contains(&place) && line.contains("(offset 2): the CRC does not match"), "{line}");
    assert!(told.contains("\n1 DAMAGED: "), "{told}");
    let (code, told) = run(folder.path(), &["verify", "-o", "json"]);
    let lines = json(&told);
    assert_eq!((code, &lines[0]["kind"], &lines[0]["offset"]), (1, &"damage".into(), &2.into()), "{told}");
    assert_eq!(lines[1]["sound"], false);
    let (code, told) = run(folder.path(), &["dump", "orders-0"]);
    assert_eq!(code, 1);
    assert!(told.contains("!! damage: ") && told.contains("(offset 2): the CRC does not match"), "{told}");
    assert_eq!(run(folder.path(), &["verify", "orders-1"]).0, 0, "the other partition is sound");
}

#[test]
fn what_makes_no_sense_is_exit_code_2() {
    let folder = folder();
    for args in [&["verify", "order"][..], &["verify", "orders-7"], &["dump", "orders-7"], &["dump", "nothing"]] {
        let (code, told) = run(folder.path(), args);
        assert_eq!((code, told.as_str()), (2, ""), "{args:?}");
    }
    let empty = TempDir::new().unwrap();
    assert_eq!(run(empty.path(), &["verify"]).0, 2);
    assert_eq!(run(&empty.path().join("none"), &["verify"]).0, 2);
    assert_eq!(felice(["verify", "--unheard-of"]).status.code(), Some(2));
}

#[test]
fn a_partition_is_dumped_with_its_records() {
    let folder = folder();
    let (code, told) = run(folder.path(), &["dump", "orders-0", "--deep"]);
    assert_eq!(code, 0, "{told}");
    for part in
        ["topic id ", "leader epoch  from offset\n0  0\n", "0..1", "\"sec\\u{1b}ond\"", "... (300 bytes)", "producer"]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains('\x1b'), "{told}");
    let (_, told) = run(folder.path(), &["dump", "orders-0", "--deep", "--full", "--from", "2"]);
    assert!(told.contains(&"x".repeat(300)) && !told.contains("first"), "{told}");
    let (_, told) = run(folder.path(), &["dump", "orders-0", "--deep", "--to", "1", "-o", "json"]);
    let lines = json(&told);
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!((of("batch").len(), of("record").len(), of("partition_metadata").len()), (1, 2, 1), "{told}");
    assert_eq!((&of("batch")[0]["base_sequence"], &of("record")[1]["value"]), (&0.into(), &"sec\x1bond".into()));
    assert_eq!(of("leader_epoch")[0]["start_offset"], 0);
    let snapshot = folder.path().join("orders-0/00000000000000000003.snapshot");
    let lines = json(&text(&felice([OsStr::new("dump"), snapshot.as_os_str(), OsStr::new("-ojson")]).stdout));
    assert_eq!((&lines[0]["kind"], &lines[0]["batches"][0]["last_sequence"]), (&"producer".into(), &1.into()));
    let output = felice([OsStr::new("dump"), folder.path().join("meta.properties").as_os_str()]);
    assert!(text(&output.stdout).contains("node 1 of cluster"), "{output:?}");
}

#[test]
fn whoever_has_read_enough_may_leave() {
    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_felice"))
        .args(["dump", "orders-0", "--deep", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

/// The tail grows, and the indexes are behind: that is no damage. Nor is what a kill leaves.
#[test]
fn a_folder_in_use_can_be_looked_at() {
    let folder = TempDir::new().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut client = broker.client();
    client.create_topic("orders", 1, &[]);
    for round in 0..20 {
        for _ in 0..20 {
            client.must_produce("orders", &batch(&[&[b'y'; 2000]]));
        }
        let (code, told) = run(folder.path(), &["verify"]);
        assert_eq!(code, 0, "round {round}: {told}");
        assert!(told.contains("a broker runs on it"), "{told}");
        assert_eq!(run(folder.path(), &["dump", "orders-0"]).0, 0);
    }
    broker.kill();
    let (code, told) = run(folder.path(), &["verify"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("the last stop was not clean"), "{told}");
}
