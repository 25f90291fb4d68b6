//! The binary as whoever starts it sees it: what it prints, what it refuses and with which exit code, and that a refused
//! start leaves the disk as it was.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

fn felice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_felice"));
    command.stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
    command
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    felice().args(args).output().expect("felice runs")
}

/// What a run that fails prints, as one line without its timestamp.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    let (_, line) = text.trim_end().split_once(" ERROR ").expect("an error");
    line.to_owned()
}

/// A broker on a free port of localhost.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(data_dir: &Path) -> Running {
        let mut command = felice();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        Running::spawn(command)
    }

    fn spawn(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("felice runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Running { child, stderr }
    }

    /// The lines up to the one that has `text`.
    fn wait_for(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).expect("UTF-8");
            assert_ne!(length, 0, "ended without {text:?}: {lines:?}");
            lines.push(line.trim_end().to_owned());
            if line.contains(text) {
                return lines;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// From now on no file may grow beyond so many bytes.
    fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).expect("it runs");
    }

    fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("a child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY: &str = "acknowledged = ";

#[test]
fn help_and_version_read_well() {
    let output = run::<&str>([]);
    let help = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(help.starts_with("A Kafka-compatible broker in one binary\n\nUsage: felice <COMMAND>"), "{help}");

    let output = run(["serve", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    for part in ["/var/lib/felice", "localhost:9092", "--data-dir <DIR>", "--set <NAME=VALUE>", "Examples:"] {
        assert!(help.contains(part), "{part} is not in {help}");
    }

    let output = run(["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("felice {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn arguments_that_make_no_sense_are_exit_code_2() {
    for args in [
        &["serve", "--unheard-of"][..],
        &["serve", "extra"],
        &["sevre"],
        &["serve", "--log-level", "loud"],
        &["serve", "--log-format", "xml"],
        &["serve", "--data-dir"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_bad_setting_is_one_line_and_no_folder() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let file = root.path().join("server.properties");
    fs::write(&file, "# ours\nnum.partitions=0\n").unwrap();
    let file = file.to_str().unwrap();
    for (args, told) in [
        (&["--set", "num.partitoins=3"][..], "--set: unknown setting num.partitoins; did you mean num.partitions?"),
        (&["--set", "favourite.colour=red"], "--set: unknown setting favourite.colour"),
        (&["--set", "num.partitions"], "--set: num.partitions has no =; write name=value"),
        (
            &["--set", "transaction.max.timeout.ms=1"],
            "--set: transaction.max.timeout.ms is not supported yet: it belongs to transactions",
        ),
        (
            &["--set", "sasl.enabled.mechanisms=PLAIN"],
            "--set: sasl.enabled.mechanisms asks for security that is not supported yet: TLS, SASL and authorization",
        ),
        (&["--set", "listeners=SSL://:9092"], "--set: listeners asks for security that is not supported yet: SSL"),
        (
            &["--set", "security.inter.broker.protocol=SSL"],
            "--set: security.inter.broker.protocol asks for security that is not supported yet: SSL",
        ),
        (
            &["--set", "listener.name.outside.ssl.keystore.location=/x"],
            "--set: listener.name.outside.ssl.keystore.location asks for security that is not supported yet: \
             TLS, SASL and authorization",
        ),
        (&["--listen", "localhost"], "--listen: \"localhost\" is no address: expected host:port"),
        (
            &["--listen", "localhost:65536"],
            "--listen: \"localhost:65536\" is no address: \"65536\" is no port (0 to 65535)",
        ),
        (
            &["--config", file],
            "FILE, line 2: Invalid value 0 for configuration num.partitions: Value must be at least 1",
        ),
        (&["--config", "/nonexistent"], "cannot read /nonexistent: No such file or directory (os error 2)"),
        (&["--config", "/"], "cannot read /: Is a directory (os error 21)"),
    ] {
        let mut all = vec!["serve", "--data-dir", data.to_str().unwrap()];
        all.extend(args);
        assert_eq!(refused(&all).replace(file, "FILE"), told);
        assert!(!data.exists(), "{args:?}");
    }
}

/// With no line changed: only the port and the folder are given, so that it disturbs no other.
#[test]
fn the_server_properties_that_kafka_ships_starts() {
    let root = TempDir::new().unwrap();
    let mut command = felice();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/settings/server.properties");
    command.args(["serve", "--config", file, "--listen", "127.0.0.1:0", "--data-dir"]).arg(root.path().join("data"));
    let mut running = Running::spawn(command);
    let lines = running.wait_for(READY);
    let controller: Vec<&String> = lines.iter().filter(|line| line.contains("CONTROLLER")).collect();
    let told = "CONTROLLER (:9093) is not opened: this node is its own controller, and there are no others yet";
    assert!(matches!(controller[..], [line] if line.ends_with(told)), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains(" ERROR ")), "{lines:#?}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn a_folder_that_is_not_ours_is_refused_and_not_touched() {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::write(path("file"), "").unwrap();
    for (name, meta) in [
        ("other", "cluster.id=c\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\nfelice.format=1\nnode.id=2\nversion=1\n"),
        ("newer", "cluster.id=c\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\nfelice.format=9\nnode.id=1\nversion=1\n"),
    ] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("meta.properties"), meta).unwrap();
    }
    for (name, told) in [
        ("file", "the data folder DIR is not a directory"),
        ("file/data", "the data folder DIR cannot be created: Not a directory (os error 20)"),
        ("other", "the data folder DIR belongs to node 2, and this is node 1 (node.id)"),
        ("newer", "the data folder DIR was written by a newer Felice (format 9); this one cannot read it"),
    ] {
        let dir = path(name);
        let dir = dir.to_str().unwrap();
        let line = refused(&["serve", "--listen", "127.0.0.1:0", "--data-dir", dir]);
        assert_eq!(line.replace(dir, "DIR"), told);
        if let Ok(entries) = fs::read_dir(dir) {
            assert_eq!(entries.count(), 1, "{name}");
        }
    }
}

#[test]
fn a_taken_port_is_one_line_and_no_folder() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(&["serve", "--listen", &address, "--data-dir", data.to_str().unwrap()]);
    assert!(line.contains(&address) && line.contains("in use"), "{line}");
    assert!(!data.exists());
}

#[test]
fn a_folder_serves_one_broker_at_a_time_and_knows_a_clean_stop() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let mark = data.join(".kafka_cleanshutdown");
    let mut broker = Running::start(&data);
    let lines = broker.wait_for(READY);
    let has = |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "{text:?} is not in {lines:?}");
    has(&format!("INFO felice {}, node 1, cluster ", env!("CARGO_PKG_VERSION")));
    has(&format!("data in {}", data.display()));
    has("PLAINTEXT on 127.0.0.1:");
    has("clients are told 127.0.0.1:");

    let line = refused(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(line, format!("the data folder {} is in use by another process", data.display()));

    broker.signal(Signal::HUP);
    broker.wait_for("SIGHUP ignored");
    assert!(!mark.exists());
    broker.signal(Signal::TERM);
    broker.wait_for("SIGTERM: stopping");
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(mark.exists(), "a signal that comes twice, as from timeout(1), is one wish");

    let mut broker = Running::start(&data);
    broker.wait_for(READY);
    assert!(!mark.exists(), "a running broker has not stopped cleanly");
    broker.signal(Signal::INT);
    assert_eq!(broker.wait().code(), Some(0));

    let mut broker = Running::start(&data);
    broker.wait_for(READY);
    broker.signal(Signal::KILL);
    broker.wait();
    assert!(!mark.exists());
    Running::start(&data).wait_for(READY);
}

/// A database that fails is opened again, which here cannot succeed: Kafka, too, halts where its metadata log fails.
#[test]
fn a_broker_whose_metadata_is_lost_stops_with_one_line() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    // Without the signal a write beyond the limit fails with an error.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh", env!("CARGO_BIN_EXE_felice")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    command.stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
    let mut broker = Running::spawn(command);
    let lines = broker.wait_for(READY).join("\n");
    let address = lines.split("PLAINTEXT on ").nth(1).and_then(|rest| rest.split(';').next()).expect("an address");

    broker.limit_files(Some(0));
    fs::write(data.join("metadata/CURRENT"), "garbage").unwrap();
    // Metadata, version 4, of a topic that is to be made.
    let mut client = TcpStream::connect(address).unwrap();
    let request = b"\0\x03\0\x04\0\0\0\x01\xff\xff\0\0\0\x01\0\x01t\x01";
    client.write_all(&(request.len() as u32).to_be_bytes()).unwrap();
    client.write_all(request).unwrap();
    broker.wait_for("changes to topics and settings wait");
    broker.limit_files(None);

    let lines = broker.wait_for("without its metadata");
    let line = lines.last().unwrap();
    assert_eq!(lines.iter().filter(|line| line.contains("ERROR")).count(), 1, "{lines:?}");
    assert!(line.contains(" ERROR stopping, since without its metadata a broker cannot go on: "), "{line}");
    assert!(line.contains(&format!("{}/metadata: damaged: ", data.display())), "{line}");
    let lines = broker.wait_for("stopped");
    assert!(lines.iter().any(|line| line.contains("WARN the next start will recover")), "{lines:?}");
    assert_eq!(broker.wait().code(), Some(1));
    assert!(!data.join(".kafka_cleanshutdown").exists());
}

#[test]
fn a_start_that_is_refused_keeps_the_mark_of_the_clean_stop() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let mut broker = Running::start(&data);
    broker.wait_for(READY);
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));

    let current = data.join("metadata/CURRENT");
    let before = fs::read(&current).unwrap();
    fs::write(&current, "garbage").unwrap();
    let line = refused(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert!(line.starts_with(&format!("{}/metadata: damaged: ", data.display())), "{line}");
    assert!(data.join(".kafka_cleanshutdown").exists());
    fs::write(&current, before).unwrap();
    let lines = Running::start(&data).wait_for(READY).join("\n");
    assert!(!lines.contains("WARN") && !lines.contains("clean"), "{lines}");
}

#[test]
fn of_a_file_that_is_none_not_every_line_is_told() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("letters.txt");
    fs::write(&file, "Dear Felice\n".repeat(3) + &(0..50).map(|n| format!("line{n} of it\n")).collect::<String>())
        .unwrap();
    let output = run(["serve", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text.lines().count(), 21, "{text}");
    assert!(text.lines().last().unwrap().ends_with(" ERROR and 31 more problems"), "{text}");
}

#[test]
fn settings_without_meaning_are_warned_of_once_and_open_listeners_too() {
    let root = TempDir::new().unwrap();
    let mut command = felice();
    command.args(["serve", "--listen", "0.0.0.0:0", "--set", "num.io.threads=8", "--data-dir"]).arg(root.path());
    let mut broker = Running::spawn(command);
    let lines = broker.wait_for("there is no authentication").join("\n");
    assert_eq!(lines.matches("WARN").count(), 2, "{lines}");
    assert!(lines.contains("WARN --set: num.io.threads has no meaning here: "), "{lines}");
    assert!(lines.contains("clients are told the address by which they reached it, port "), "{lines}");
}

#[test]
fn lines_suit_whoever_reads_them() {
    let dir = TempDir::new().unwrap();
    let not_a_folder = dir.path().join("file");
    fs::write(&not_a_folder, "").unwrap();
    let lines = |journal: bool, args: &[&str]| {
        let path = dir.path().join("stderr");
        let file = File::create(&path).unwrap();
        let mut command = felice();
        if journal {
            let metadata = file.metadata().unwrap();
            command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        }
        let status = command.args(args).arg("--data-dir").arg(&not_a_folder).stderr(file).status().unwrap();
        assert_eq!(status.code(), Some(1));
        fs::read_to_string(path).unwrap().replace(not_a_folder.to_str().unwrap(), "F")
    };
    let told = "the data folder F is not a directory";

    let text = lines(false, &["serve"]);
    assert!(text.starts_with("20") && text.ends_with(&format!(" ERROR {told}\n")), "{text}");
    assert!(!text.contains('\x1b'), "colour only on a terminal: {text:?}");

    assert_eq!(lines(true, &["serve"]), format!("<3>{told}\n"), "the journal has times and levels itself");

    let json: serde_json::Value = serde_json::from_str(&lines(true, &["serve", "--log-format", "json"])).unwrap();
    assert_eq!((json["level"].as_str(), json["message"].as_str()), (Some("ERROR"), Some(told)));
}
