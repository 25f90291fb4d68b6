//! Control characters, terminal escapes and all of Unicode, wherever a client may put a string.

use std::net::SocketAddr;

use bytes::Bytes;
use felice_protocol::{
    api::{Request, write_request},
    error::ErrorCode,
    messages::{
        api_versions::ApiVersionsRequest,
        create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        find_coordinator::FindCoordinatorRequest,
        incremental_alter_configs::{AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest},
        init_producer_id::InitProducerIdRequest,
        metadata::{MetadataRequest, MetadataRequestTopic},
    },
};
use tempfile::TempDir;

use super::Bystander;
use crate::{
    client::{Client, FETCH, PRODUCE, batch, error, fetch_request, produce_request},
    harness::Process,
};

/// What no line, file or terminal should ever see as it is.
const STRINGS: [&str; 9] = [
    "two\nlines",
    "2026-11-22T00:00:00Z  INFO a line that was never written\r\n",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "\0nul",
    "\u{9b}31m",
    "\u{202e}drawkcab\u{2066}",
    "../../../etc/passwd",
    "{\"json\": \"}{\"}",
    "%s%n${jndi:ldap://example}",
];

/// Puts the string wherever there is one in a request; the broker may answer or close, and go on.
pub fn say(address: SocketAddr, text: &str) {
    fn ask<Q: Request>(address: SocketAddr, client_id: &str, version: i16, request: &Q) -> Option<Bytes> {
        let mut client = Client::connect(address);
        let frame = write_request(1, version, Some(client_id), request).unwrap();
        assert!(client.send_raw(&frame.to_bytes()));
        client.receive_raw()
    }

    let text = text.to_owned();
    let hello = ApiVersionsRequest {
        client_software_name: text.clone(),
        client_software_version: text.clone(),
        ..ApiVersionsRequest::default()
    };
    let answer = ask(address, &text, 3, &hello).expect("an answer");
    let code = i16::from_be_bytes([answer[4], answer[5]]);
    assert_eq!(error(code), ErrorCode::InvalidRequest, "as Kafka refuses names that are no words");

    let topic = MetadataRequestTopic { name: Some(text.clone()), ..MetadataRequestTopic::default() };
    let metadata = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    ask(address, &text, 12, &metadata).expect("an answer");
    ask(address, &text, PRODUCE, &produce_request(&text, 0, &batch(&[text.as_bytes()]), 1)).expect("an answer");
    assert!(ask(address, &text, PRODUCE, &produce_request(&text, 0, &batch(&[b"v"]), 0)).is_none(), "closed");
    ask(address, &text, FETCH, &fetch_request(&text, 0)).expect("an answer");
    let id = InitProducerIdRequest { transactional_id: Some(text.clone()), ..InitProducerIdRequest::default() };
    ask(address, &text, 2, &id).expect("an answer");
    let keys = FindCoordinatorRequest { coordinator_keys: vec![text.clone()], ..FindCoordinatorRequest::default() };
    ask(address, &text, 4, &keys).expect("an answer");
    for (name, config, value) in
        [(&text[..], "retention.ms", "1"), ("strings", &text, "1"), ("strings", "cleanup.policy", &text)]
    {
        let config =
            CreatableTopicConfig { name: config.to_owned(), value: Some(value.to_owned()), ..Default::default() };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
        ask(address, &text, 7, &request).expect("an answer");
    }
    let config = AlterableConfig { name: text.clone(), value: Some(text.clone()), ..AlterableConfig::default() };
    for (resource_type, name) in [(2, &text[..]), (2, "bystander"), (4, &text), (99, &text)] {
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![config.clone()],
            ..AlterConfigsResource::default()
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        ask(address, &text, 1, &request).expect("an answer");
        let resource = DescribeConfigsResource { resource_type, resource_name: name.to_owned(), ..Default::default() };
        let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
        ask(address, &text, 4, &request).expect("an answer");
    }
    let topic = DeleteTopicState { name: Some(text.clone()), ..DeleteTopicState::default() };
    ask(address, &text, 6, &DeleteTopicsRequest { topics: vec![topic], ..Default::default() }).expect("an answer");
}

pub fn say_all(address: SocketAddr) {
    for text in STRINGS {
        say(address, text);
    }
    say(address, &format!("{} ", "x".repeat(32_766)));
    say(address, &"\u{1f4a9}\n".repeat(6_000));
}

#[test]
fn whatever_clients_say_the_log_stays_readable() {
    let folder = TempDir::new().unwrap();
    let broker = Process::start_logging(folder.path(), &[], "trace");
    let bystander = Bystander::start(broker.address());
    say_all(broker.address());
    bystander.was_served();
    let lines = broker.lines_with("");
    assert!(lines.len() > 20, "something is told at this level");
    for line in &lines {
        assert!(!line.chars().any(|char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char)), "{line:?}");
        // A line that someone else wrote would begin otherwise, or tell what no line of ours does.
        let (time, rest) = line.split_once(' ').unwrap_or_default();
        assert!(time.ends_with('Z') && time.contains('T'), "{line:?}");
        assert!(!rest.trim_start().starts_with("INFO a line that was never written"), "{line:?}");
        assert!(line.len() < 10_000, "{} bytes: {}...", line.len(), &line[..200]);
    }
    assert!(broker.lines_with("panicked").is_empty());
    // Nothing was made outside of the folder, nor a folder with such a name.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.chars().all(|char| char.is_ascii_graphic()), "{name:?}");
    }
}
