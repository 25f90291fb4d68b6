//! Metrics and health by HTTP: what a scrape tells, when a broker is ready, and that nobody is hurt by who asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use felice::metrics::{Kind, catalogue};
use felice_protocol::messages::{
    find_coordinator::FindCoordinatorRequest,
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
};

use crate::{
    client::{PATIENCE, batch, produce_request},
    harness::{Local, Process},
};

const HTTP: &str = "http.listen=127.0.0.1:0";

/// Status and body of the answer to a GET.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// What is answered to these bytes until the connection closes.
fn ask(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

/// Where a broker that was started with `http.listen` serves HTTP.
pub fn address(broker: &Process) -> SocketAddr {
    let line = broker.wait_for("HTTP on ");
    let address = line.split("HTTP on ").nth(1).and_then(|rest| rest.split(": ").next());
    address.and_then(|address| address.parse().ok()).expect("an address")
}

/// Every sample of a page by name and labels. Holds that the page is one that Prometheus can read, and the metrics documented.
fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200, "{page}");
    let known: BTreeMap<&str, Kind> = catalogue::ALL.iter().map(|metric| (metric.name, metric.kind)).collect();
    let mut samples = BTreeMap::new();
    let (mut current, mut seen) = ("", BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap();
            assert!(seen.insert(current), "{current} stands in two places");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!((name, Some(kind)), (current, known.get(name).map(|kind| kind.name())));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let suffixes = ["_bucket", "_sum", "_count"].map(|suffix| format!("{current}{suffix}"));
            let is_histogram = known[current] == Kind::Histogram;
            let is_of = if is_histogram { suffixes.iter().any(|suffix| suffix == name) } else { name == current };
            assert!(is_of, "{line} below {current}");
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    samples
}

/// Scrapes until `holds`: a page is a moment old.
fn scrape_until(address: SocketAddr, holds: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    let begun = std::time::Instant::now();
    loop {
        let samples = scrape(address);
        if holds(&samples) {
            return samples;
        }
        assert!(begun.elapsed() < PATIENCE, "{samples:#?}");
    }
}

#[test]
fn a_scrape_tells_what_was_done() {
    let broker = Local::start(&[HTTP, "log.flush.interval.messages=1"]);
    let http = broker.http();
    let before = scrape(http);
    assert_eq!(before["felice_connections"], 0.0);
    assert_eq!(before.get("felice_requests_total{api=\"Produce\"}"), None, "what nobody used is not shown");
    assert_eq!(before[&format!("felice_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);

    let mut client = broker.client();
    client.create_topic("orders", 2, &[]);
    let records = batch(&[&[b'x'; 1000], b"y"]);
    for _ in 0..5 {
        client.must_produce("orders", &records);
    }
    client.produce("missing-and-bad/name", &records);
    let produce = |name: &str| format!("felice_{name}{{api=\"Produce\"}}");
    let samples = scrape_until(http, |samples| samples.get(&produce("requests_total")) == Some(&6.0));
    assert_eq!(samples["felice_connections"], 1.0);
    assert_eq!(samples["felice_connections_accepted_total"], 1.0);
    let sent = produce_request("orders", 0, &records, -1);
    assert!(
        samples[&produce("request_bytes_total")]
            > 6.0 * sent.topic_data[0].partition_data[0].records.as_ref().unwrap().len() as f64
    );
    assert!(samples[&produce("response_bytes_total")] > 6.0 * 20.0);
    assert_eq!(samples[&produce("request_seconds_count")], 6.0);
    assert_eq!(samples["felice_request_seconds_bucket{api=\"Produce\",le=\"+Inf\"}"], 6.0);
    let seconds = samples[&produce("request_seconds_sum")];
    assert!(seconds > 0.0 && seconds < PATIENCE.as_secs_f64(), "{seconds}");
    let errors: Vec<&String> = samples.keys().filter(|series| series.starts_with("felice_errors_total")).collect();
    assert!(matches!(errors[..], [one] if one.contains("api=\"Produce\"")), "{errors:?}");
    assert_eq!(samples["felice_topics"], 1.0);
    assert_eq!(samples["felice_partitions"], 2.0);
    assert_eq!(samples["felice_topic_partitions{topic=\"orders\"}"], 2.0);
    assert_eq!(samples["felice_topic_log_offsets{topic=\"orders\"}"], 10.0);
    assert_eq!(samples["felice_topic_offsets_appended_total{topic=\"orders\"}"], 10.0);
    assert_eq!(samples["felice_topic_log_bytes{topic=\"orders\"}"], 5.0 * records.len() as f64);
    assert!(samples["felice_flush_seconds_count"] >= 1.0 && samples["felice_flush_requests_total"] >= 5.0);
    assert_eq!(samples["felice_data_folder_troubled{trouble=\"full\"}"], 0.0);
    assert!(samples["felice_data_folder_free_bytes"] <= samples["felice_data_folder_size_bytes"]);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["felice_frame_budget_limit_bytes"] > 1e6);

    // What is at rest after a clean stop is told as it was, and not opened for that.
    drop(client);
    let broker = broker.restart(&[HTTP]);
    let samples = scrape(broker.http());
    assert_eq!(samples["felice_topic_log_bytes{topic=\"orders\"}"], 5.0 * records.len() as f64);
    assert_eq!(samples["felice_topic_log_offsets{topic=\"orders\"}"], 10.0);
}

#[test]
fn groups_tell_how_far_they_are_behind() {
    let broker = Local::start(&[HTTP, "offsets.topic.num.partitions=3"]);
    let mut client = broker.client();
    client.create_topic("orders", 1, &[]);
    for _ in 0..5 {
        client.must_produce("orders", &batch(&[b"x", b"y"]));
    }
    let find =
        FindCoordinatorRequest { coordinator_keys: vec!["billing".to_owned()], ..FindCoordinatorRequest::default() };
    assert_eq!(client.call(4, &find).coordinators[0].error_code, 0);
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: 4,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "orders".to_owned(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let mut commit =
        OffsetCommitRequest { group_id: "billing".to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() };
    // The coordinator may have to load first.
    while client.call(8, &commit).topics[0].partitions[0].error_code != 0 {}
    // Not behind by more than there ever was: these are no places in a log.
    for (group, nowhere) in [("odd", -1), ("evil", i64::MIN)] {
        commit.group_id = group.to_owned();
        commit.topics[0].partitions[0].committed_offset = nowhere;
        while client.call(8, &commit).topics[0].partitions[0].error_code != 0 {}
    }
    let lag = "felice_group_lag{group=\"billing\",topic=\"orders\"}";
    scrape_until(broker.http(), |samples| samples.get(lag) == Some(&6.0));
    client.must_produce("orders", &batch(&[b"z"]));
    let samples = scrape_until(broker.http(), |samples| samples.get(lag) == Some(&7.0));
    assert_eq!(samples["felice_groups{state=\"Empty\"}"], 3.0);
    assert_eq!(samples["felice_group_members{group=\"billing\"}"], 0.0);
    assert_eq!(samples["felice_topic_partitions{topic=\"__consumer_offsets\"}"], 3.0);
    let behind: Vec<&String> = samples.keys().filter(|series| series.starts_with("felice_group_lag{")).collect();
    assert_eq!(behind, [lag]);
    client.delete_topic("orders");
    scrape_until(broker.http(), |samples| !samples.contains_key(lag));
}

#[test]
fn many_topics_share_what_is_beyond_the_bound() {
    let broker = Local::start(&[HTTP]);
    let mut client = broker.client();
    for number in 0..catalogue::SERIES_MAX + 3 {
        client.create_topic(&format!("t{number:05}"), 1, &[]);
    }
    let samples =
        scrape_until(broker.http(), |samples| samples["felice_partitions"] as usize == catalogue::SERIES_MAX + 3);
    let series = samples.keys().filter(|series| series.starts_with("felice_topic_partitions{")).count();
    assert_eq!(series, catalogue::SERIES_MAX + 1);
    assert_eq!(samples["felice_topic_partitions{topic=\"(others)\"}"], 3.0);
}

#[test]
fn only_what_there_is_is_answered() {
    let broker = Local::start(&[HTTP]);
    let http = broker.http();
    assert_eq!(get(http, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(http, "/livez"), (200, "alive\n".to_owned()));
    for path in ["/", "/metrics/x", "/../metrics", "/METRICS", "/%00"] {
        assert_eq!(get(http, path).0, 404, "{path}");
    }
    let status = |request: &[u8]| ask(http, request).split(' ').nth(1).map(str::to_owned);
    let closing = "Host: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(format!("POST /metrics HTTP/1.1\r\n{closing}").as_bytes()).as_deref(), Some("405"));
    assert_eq!(status(format!("DELETE /readyz HTTP/1.1\r\n{closing}").as_bytes()).as_deref(), Some("405"));
    let body = format!("POST /readyz HTTP/1.1\r\nContent-Length: 99999999999\r\n{closing}");
    assert_eq!(status(body.as_bytes()).as_deref(), Some("405"), "a body is not waited for");
    assert_eq!(status(b"nonsense\r\n\r\n").as_deref(), Some("400"));
    let endless = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 1 << 20]].concat();
    assert!(matches!(status(&endless).as_deref(), Some("431") | None), "a head has a bound");
}

/// Who holds connections open without asking takes no more than their number.
#[test]
fn silent_peers_cost_the_broker_nothing() {
    let broker = Local::start(&[HTTP]);
    let http = broker.http();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(http).expect("it listens")).collect();
    // The first of them is closed at once: it is one too many.
    let mut first = silent.first().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(matches!(first.read(&mut [0]), Ok(0)), "before its time for a head is over");
    assert_eq!(get(http, "/readyz").0, 200, "a probe is not kept out");
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.must_produce("t", &batch(&[b"a"]));
    drop(silent);
    scrape_until_served(http);
}

/// Until a place is free again.
fn scrape_until_served(http: SocketAddr) {
    let begun = std::time::Instant::now();
    while !ask(http, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200 ") {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn the_flag_goes_before_the_setting_and_off_is_the_default() {
    let folder = tempfile::TempDir::new().unwrap();
    let broker = Process::start(folder.path(), &[]);
    assert!(broker.lines_with("HTTP on ").is_empty());
    assert!(broker.stop());
    let broker = Process::start(folder.path(), &[HTTP]);
    let http = address(&broker);
    assert_eq!(get(http, "/readyz").0, 200);
    assert!(broker.stop());
    assert!(TcpStream::connect(http).is_err(), "it ends with the broker");
}
