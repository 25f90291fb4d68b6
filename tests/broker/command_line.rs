//! `felice topic`, `produce`, `consume` and `group`, as whoever types them sees them, against a broker.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{harness::Local, retention::delete_before};

/// A command line that talks to a broker.
struct Shell {
    address: SocketAddr,
}

impl Shell {
    fn to(broker: &Local) -> Shell {
        Shell { address: broker.address() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_felice"));
        command.args(args).env("FELICE_BOOTSTRAP_SERVER", self.address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("felice runs")
    }

    /// Standard output of what has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        succeeded(args, &self.run(args))
    }

    /// Exit code 1 and the one line on standard error.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{args:?}: {told}");
        told.trim_end().strip_prefix("felice: ").expect("our line").to_owned()
    }

    fn produce(&self, args: &[&str], input: &[u8]) {
        let mut child = self.command(&[&["produce"], args].concat()).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        succeeded(args, &child.wait_with_output().unwrap());
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let told = self.ok(&[args, &["-o", "json"]].concat());
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Started, with its standard output to read.
    fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().map(BufReader::new);
        Running { child, stdout, stderr }
    }
}

struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code and what it says at last.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        let code = self.child.wait().unwrap().code();
        self.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (code, told)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn succeeded(args: &[&str], output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn topics_are_made_shown_and_deleted() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    assert_eq!(shell.ok(&["topic", "list", "--exclude-internal"]), "");
    let made = shell.ok(&["topic", "create", "orders", "--partitions", "3", "--config", "retention.ms=86400000"]);
    assert_eq!(made, "created topic orders with 3 partitions, 1 replica\n");
    assert_eq!(shell.refused(&["topic", "create", "orders"]), "topic orders exists already (TOPIC_ALREADY_EXISTS)");
    assert_eq!(shell.ok(&["topic", "create", "orders", "--if-not-exists"]), "topic orders exists already\n");
    let unknown = shell.refused(&["topic", "create", "x", "--config", "retention=1"]);
    assert!(unknown.contains("retention") && unknown.ends_with("(INVALID_CONFIG)"), "{unknown}");
    assert_eq!(
        shell.ok(&["topic", "create", "tried", "--dry-run", "--partitions", "1"]),
        "would be created topic tried with 1 partition, 1 replica\n"
    );

    let listed = shell.json(&["topic", "list", "--exclude-internal"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["topic"], &listed[0]["partitions"]), (&json!("orders"), &json!(3)));
    let table = shell.ok(&["topic", "list", "--exclude-internal"]);
    assert!(table.starts_with("TOPIC   PARTITIONS  REPLICAS  ID\norders           3         1  "), "{table}");

    shell.produce(&["orders", "-p", "1"], b"a\nb\n");
    let described = &shell.json(&["topic", "describe", "orders"])[0];
    assert_eq!(described["settings"], json!({"retention.ms": "86400000"}));
    let ends: Vec<i64> =
        described["partitions"].as_array().unwrap().iter().map(|it| it["end_offset"].as_i64().unwrap()).collect();
    assert_eq!(ends, [0, 2, 0]);
    let table = shell.ok(&["topic", "describe", "orders"]);
    assert!(
        table.contains("settings  retention.ms=86400000\nPARTITION  LEADER  REPLICAS  IN-SYNC  START  END\n"),
        "{table}"
    );

    assert_eq!(shell.ok(&["topic", "delete", "orders"]), "deleted topic orders\n");
    for args in [&["topic", "delete", "orders"][..], &["topic", "describe", "orders"], &["consume", "orders"]] {
        assert_eq!(shell.refused(args), "topic orders does not exist (UNKNOWN_TOPIC_OR_PARTITION)");
    }
    assert_eq!(shell.ok(&["topic", "delete", "orders", "--if-exists"]), "topic orders does not exist\n");
}

#[test]
fn what_is_produced_is_consumed() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    shell.ok(&["topic", "create", "shapes", "--partitions", "2"]);
    let input = b"k:v\n:empty key\nno key\nk2:NULL\nk3:\nk4:\xff\xfe\n";
    shell.produce(&["shapes", "-p", "0", "-k", ":", "--null", "NULL", "-H", "a=1", "-H", "a=", "-H", "n"], input);
    let read = shell.json(&["consume", "shapes", "-e"]);
    let parts: Vec<Value> = read
        .iter()
        .map(|it| {
            json!([it["offset"], it["key"], it["value"], it["value_base64"], it["headers"].as_array().unwrap().len()])
        })
        .collect();
    assert_eq!(
        parts,
        [
            json!([0, "k", "v", null, 3]),
            json!([1, "", "empty key", null, 3]),
            json!([2, null, "no key", null, 3]),
            json!([3, "k2", null, null, 3]),
            json!([4, "k3", "", null, 3]),
            json!([5, "k4", null, "//4=", 3]),
        ]
    );
    let headers = json!([{"key": "a", "value": "1"}, {"key": "a", "value": ""}, {"key": "n", "value": null}]);
    assert_eq!(read[0]["headers"], headers);

    for (args, expected) in [
        (&["--offset", "-2", "-f", "%p@%o "][..], "0@4 0@5 "),
        (&["--offset", "1", "-n", "2", "-k", "="], "=empty key\n=no key\n"),
        (&["--offset", "3", "-n", "1", "-k", "=", "--null", "NULL"], "k2=NULL\n"),
        (&["--from", "2000-01-01", "-n", "1"], "v\n"),
        (&["--from", "1h", "-n", "1", "-f", "%t %k %K %S %h\\n"], "shapes k 1 1 a=1,a=,n=\n"),
        (&["--from", "2100-01-01"], ""),
        (&["-p", "1"], ""),
        (&["--offset", "latest"], ""),
    ] {
        assert_eq!(shell.ok(&[&["consume", "shapes", "-e"], args].concat()), expected, "{args:?}");
    }

    // Beyond the end: goes on with what comes, and says so.
    let mut beyond = shell.start(&["consume", "shapes", "-p", "0", "--offset", "77", "-n", "1"]);
    let mut told = String::new();
    beyond.stderr.as_mut().unwrap().read_line(&mut told).unwrap();
    assert!(told.contains("shapes-0 at offset 77: OFFSET_OUT_OF_RANGE"), "{told}");
    shell.produce(&["shapes", "-p", "0"], b"new\n");
    assert_eq!(beyond.line(), "new");
    assert_eq!(beyond.end().0, Some(0));
}

#[test]
fn many_messages_of_each_codec_come_back_in_order() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    let lines: String = (0..20_000).map(|n| format!("{n}:Liebste Felice, dies ist Brief Nummer {n}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("letters-{codec}");
        shell.ok(&["topic", "create", &topic, "--partitions", "5"]);
        shell.produce(&[&topic, "-k", ":", "-z", codec], lines.as_bytes());
        let read = shell.ok(&["consume", &topic, "-e", "-f", "%p %o %k:%s\\n"]);
        let mut last = [-1_i64; 5];
        let mut values: Vec<(u32, &str)> = Vec::new();
        for line in read.lines() {
            let mut words = line.splitn(3, ' ');
            let partition: usize = words.next().unwrap().parse().unwrap();
            let offset: i64 = words.next().unwrap().parse().unwrap();
            assert_eq!(offset, last[partition] + 1, "{line}");
            last[partition] = offset;
            let message = words.next().unwrap();
            values.push((message.split(':').next().unwrap().parse().unwrap(), message));
        }
        assert!(last.iter().all(|last| *last > 1000), "{codec}: {last:?}");
        values.sort_unstable();
        let sorted: String = values.iter().map(|(_, message)| format!("{message}\n")).collect();
        assert_eq!(sorted, lines, "{codec}");
    }
}

#[test]
fn a_key_is_where_kafkas_producer_puts_it() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    shell.ok(&["topic", "create", "keyed", "--partitions", "10"]);
    shell.produce(&["keyed", "-k", ":"], b"21:\nfoobar:\na-little-bit-long-string:\n");
    // What Kafka's murmur2 makes of them, without its sign, modulo 10.
    let mut read: Vec<String> =
        shell.ok(&["consume", "keyed", "-e", "-f", "%k %p\\n"]).lines().map(str::to_owned).collect();
    read.sort();
    let expected = [("21", -973_932_308_i32), ("a-little-bit-long-string", -985_981_536), ("foobar", -790_332_482)]
        .map(|(key, hash)| format!("{key} {}", (hash & i32::MAX) % 10));
    assert_eq!(read, expected);
}

#[test]
fn a_consumer_follows_and_stops_cleanly() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    shell.ok(&["topic", "create", "news", "--partitions", "1"]);
    shell.produce(&["news"], b"old\n");
    let mut all = shell.start(&["consume", "news", "--from-beginning"]);
    assert_eq!(all.line(), "old");
    for n in 0..3 {
        shell.produce(&["news"], format!("{n}\n").as_bytes());
        assert_eq!(all.line(), n.to_string());
    }
    all.signal(Signal::INT);
    assert_eq!(all.end(), (Some(0), String::new()));

    // Nobody reads on, and nothing more comes: noticed all the same.
    let mut other = shell.start(&["consume", "news", "--from-beginning"]);
    assert_eq!(other.line(), "old");
    other.stdout = None;
    assert_eq!(other.end(), (Some(0), String::new()));
}

#[test]
fn errors_are_one_line_that_helps() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let told = shell.refused(&["topic", "list", "-b", &closed, "--timeout", "1"]);
    let expected = format!(
        "cannot connect to {closed}: connection refused; is a broker running there? (-b HOST:PORT names another one)"
    );
    assert_eq!(told, expected);

    // Something that listens and speaks another protocol.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 64]);
    });
    let told = shell.refused(&["consume", "x", "-b", &address]);
    let expected = format!("{address} does not answer as a Kafka broker does: ");
    assert!(
        told.starts_with(&expected) && told.ends_with("is that a Kafka listener, one without TLS and SASL?"),
        "{told}"
    );
    server.join().unwrap();

    for (args, wrong) in [
        (&["topic", "list", "-b", "nowhere:x"][..], "--bootstrap-server: \"nowhere:x\" is no address"),
        (&["consume", "x", "--offset", "soon"], "write earliest, latest, N"),
        (&["consume", "x", "--from", "soon"], "--from: \"soon\" is no time"),
        (&["consume", "x", "-f", "%q"], "--format: %q means nothing"),
        (&["consume", "x", "--group", "g", "-p", "1"], "cannot be used with"),
        (&["group", "list", "--state", "stabel"], "possible values: Empty, Assigning"),
        (&["group", "list", "--type", "old"], "possible values: classic, consumer"),
        (&["group", "reset-offsets", "g"], "<WHERE>"),
        (&["group", "reset-offsets", "g", "--to-earliest", "--to-latest"], "cannot be used with"),
        (&["group", "reset-offsets", "g", "--to-earliest"], "say of which topics"),
        (&["group", "reset-offsets", "g", "--to-datetime", "x", "--topic", "t"], "--to-datetime: \"x\" is no time"),
        (&["group", "reset-offsets", "g", "--from-file", "/nonexistent"], "/nonexistent: No such file"),
    ] {
        let output = shell.run(args);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(wrong), "{args:?}: {told}");
    }
}

/// Who is so far behind that messages are gone wants to know the age of what is left.
#[test]
fn a_group_behind_the_first_message_is_behind_by_its_age() {
    let broker = Local::start(&[]);
    let shell = Shell::to(&broker);
    shell.ok(&["topic", "create", "orders"]);
    shell.ok(&["group", "reset-offsets", "late", "--topic", "orders", "--to-earliest", "--execute"]);
    shell.produce(&["orders"], b"a\nb\nc\n");
    assert_eq!(delete_before(&mut broker.client(), "orders", 2).1, 2);
    let described = &shell.json(&["group", "describe", "late"])[0]["offsets"][0];
    let told = ["committed_offset", "lag"].map(|field| described[field].as_i64());
    assert_eq!(told, [Some(0), Some(3)], "as Kafka's tool counts them");
    assert!(described["waiting_since"].as_i64().is_some_and(|since| since > 1_700_000_000_000), "{described}");
    assert!(described["behind_ms"].as_i64().is_some(), "{described}");
}

/// Whoever waits for a broker that is away wants to know it.
#[test]
fn what_is_tried_again_for_long_is_told_once() {
    let broker = Local::start(&[]);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut waiting = Shell { address }.start(&["group", "list", "--timeout", "60"]);
    let mut line = String::new();
    waiting.stderr.as_mut().unwrap().read_line(&mut line).unwrap();
    let told = format!("felice: cannot connect to {address}: connection refused; trying again, for 60 s in all\n");
    assert_eq!(line, told);

    // The broker is there now, behind a door of another number.
    let door = TcpListener::bind(address).unwrap();
    let behind = broker.address();
    let through = thread::spawn(move || {
        let (inner, outer) = (TcpStream::connect(behind).unwrap(), door.accept().unwrap().0);
        let (mut from, mut to) = (outer.try_clone().unwrap(), inner.try_clone().unwrap());
        let forth = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let _ = io::copy(&mut &inner, &mut &outer);
        forth.join().unwrap();
    });
    assert_eq!(waiting.end(), (Some(0), String::new()));
    through.join().unwrap();
}

#[test]
fn a_group_goes_on_where_it_was_and_is_reset_and_deleted() {
    let broker = Local::start(&["group.initial.rebalance.delay.ms=0"]);
    let shell = Shell::to(&broker);
    for protocol in ["classic", "consumer"] {
        let (topic, group) = (format!("orders-{protocol}"), format!("billing-{protocol}"));
        let (topic, group) = (topic.as_str(), group.as_str());
        let numbers = |range: std::ops::Range<u32>| range.map(|n| format!("{n}:{n}\n")).collect::<String>();
        let read = || {
            let args = ["consume", topic, "--group", group, "--group-protocol", protocol, "--from-beginning", "-e"];
            let mut read: Vec<u32> = shell.ok(&args).lines().map(|line| line.parse().unwrap()).collect();
            read.sort_unstable();
            read
        };
        let sum = |field: &str| {
            let group = &shell.json(&["group", "describe", group])[0];
            group["offsets"].as_array().unwrap().iter().map(|row| row[field].as_i64().unwrap()).sum::<i64>()
        };
        let reset = |args: &[&str]| shell.ok(&[&["group", "reset-offsets", group], args].concat());

        shell.ok(&["topic", "create", topic, "--partitions", "2"]);
        shell.produce(&[topic, "-k", ":"], numbers(0..100).as_bytes());
        assert_eq!(read(), (0..100).collect::<Vec<u32>>());
        shell.produce(&[topic, "-k", ":"], numbers(100..120).as_bytes());
        let described = &shell.json(&["group", "describe", group])[0];
        assert_eq!((&described["state"], &described["type"]), (&json!("Empty"), &json!(protocol)));
        assert_eq!((sum("committed_offset"), sum("lag")), (100, 20));
        assert!(described["offsets"][0]["waiting_since"].as_i64().unwrap() > 1_700_000_000_000, "{described}");
        assert_eq!(read(), (100..120).collect::<Vec<u32>>());
        assert_eq!(sum("behind_ms"), 0);

        reset(&["--topic", topic, "--shift-by", "-5"]);
        assert_eq!(sum("lag"), 0, "a dry run changes nothing");
        reset(&["--topic", topic, "--shift-by", "-5", "--execute"]);
        assert_eq!(sum("lag"), 10);
        let exported = reset(&["--all-topics", "--to-current", "--export"]);
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("offsets.csv");
        std::fs::write(&file, exported).unwrap();
        reset(&["--all-topics", "--to-earliest", "--execute"]);
        assert_eq!(sum("lag"), 120);
        reset(&["--from-file", file.to_str().unwrap(), "--execute"]);
        assert_eq!((sum("lag"), read().len()), (10, 10));

        let mut member =
            shell.start(&["consume", topic, "--group", group, "--group-protocol", protocol, "-f", "%s\\n"]);
        shell.produce(&[topic, "-p", "0"], b"120\n");
        assert_eq!(member.line(), "120");
        let described = &shell.json(&["group", "describe", group])[0];
        let members = described["members"].as_array().unwrap();
        assert_eq!((members.len(), &members[0]["assigned"]), (1, &json!({ topic: [0, 1] })), "{described}");
        let told = shell.refused(&["group", "reset-offsets", group, "--all-topics", "--to-latest", "--execute"]);
        assert!(told.contains("is in use") && told.contains("1 member)"), "{told}");
        let told = shell.refused(&["group", "delete", group]);
        assert_eq!(told, format!("group {group} still has members: stop them first (NON_EMPTY_GROUP)"));
        member.signal(Signal::TERM);
        assert_eq!(member.end(), (Some(0), String::new()));
        assert_eq!((sum("lag"), sum("committed_offset")), (0, 121));

        let listed = shell.json(&["group", "list"]);
        let ours = listed.iter().find(|it| it["group"] == group).unwrap();
        assert_eq!((&ours["type"], &ours["state"]), (&json!(protocol), &json!("Empty")));
        assert_eq!(shell.ok(&["group", "delete", group]), format!("deleted group {group}\n"));
        let gone = format!("group {group} does not exist (GROUP_ID_NOT_FOUND)");
        assert_eq!(shell.refused(&["group", "describe", group]), gone);
    }
}
