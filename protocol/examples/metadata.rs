//! A Kafka client in a hundred lines: asks a broker for the versions that it serves, and then, in the newest that both
//! know, for its brokers and topics.
//!
//! ```sh
//! cargo run -p felice-protocol --example metadata localhost:9092
//! ```

use std::{
    env,
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use felice_protocol::{
    api::{ApiKey, Frame, Message, parse_api_versions_response, parse_response, write_request},
    error::ErrorCode,
    messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse},
};

/// A longer answer is not asked for here, in bytes.
const ANSWER_MAX: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let mut broker = TcpStream::connect(&address)?;
    broker.set_read_timeout(Some(Duration::from_secs(10)))?;

    let served = ask_versions(&mut broker)?;
    println!("{address} serves {} APIs", served.api_keys.len());

    let version =
        newest(&served, ApiKey::Metadata).ok_or("the broker serves no version of Metadata that is known here")?;
    // Null asks for all topics, from version 1 on; before, an empty list does.
    let topics = if version == 0 { Some(Vec::new()) } else { None };
    let request = MetadataRequest { topics, ..MetadataRequest::default() };
    let answer = ask(&mut broker, &write_request(2, version, Some("example"), &request)?)?;
    let (correlation_id, metadata) = parse_response::<MetadataResponse>(&answer, version)?;
    assert_eq!(correlation_id, 2, "a broker answers in order");

    println!("Metadata version {version}, cluster {}", metadata.cluster_id.as_deref().unwrap_or("without id"));
    for broker in &metadata.brokers {
        println!("  broker {} at {}:{}", broker.node_id, broker.host, broker.port);
    }
    for topic in &metadata.topics {
        println!("  topic {} with {} partitions", topic.name.as_deref().unwrap_or("?"), topic.partitions.len());
    }
    Ok(())
}

/// Asks in the newest version known here, and where the broker does not know that, in the newest that it says it knows.
fn ask_versions(broker: &mut TcpStream) -> Result<ApiVersionsResponse, Box<dyn Error>> {
    let mut version = ApiVersionsRequest::API.versions().max;
    loop {
        let request = ApiVersionsRequest {
            client_software_name: "felice-protocol-example".to_owned(),
            client_software_version: "1".to_owned(),
            ..ApiVersionsRequest::default()
        };
        let answer = ask(broker, &write_request(1, version, Some("example"), &request)?)?;
        let (_, served) = parse_api_versions_response(&answer, version)?;
        match ErrorCode::from_code(served.error_code) {
            Some(ErrorCode::None) => return Ok(served),
            Some(ErrorCode::UnsupportedVersion) if version > 0 => {
                version = newest(&served, ApiKey::ApiVersions).unwrap_or(0).min(version - 1);
            }
            error => return Err(format!("the broker answers {error:?}").into()),
        }
    }
}

/// The newest version of an API that both sides know.
fn newest(served: &ApiVersionsResponse, api: ApiKey) -> Option<i16> {
    let theirs = served.api_keys.iter().find(|served| served.api_key == api.code())?;
    let version = theirs.max_version.min(api.versions().max);
    (version >= theirs.min_version.max(api.versions().min)).then_some(version)
}

/// Sends a request and returns the answer's frame, without its length.
fn ask(broker: &mut TcpStream, request: &Frame) -> Result<Bytes, Box<dyn Error>> {
    broker.write_all(&request.to_bytes())?;
    let mut length = [0; 4];
    broker.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    if length > ANSWER_MAX {
        return Err(format!("an answer of {length} bytes").into());
    }
    let mut answer = vec![0; length];
    broker.read_exact(&mut answer)?;
    Ok(Bytes::from(answer))
}
