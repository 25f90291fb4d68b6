//! A Kafka client as small as can be: one blocking connection, requests out, responses in.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use felice_protocol::{
    Uuid,
    api::{Message, Request, parse_response, write_request},
    error::ErrorCode,
    messages::{
        create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData},
        init_producer_id::InitProducerIdRequest,
        produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData},
    },
    record::{Batch, BatchBuilder, Codec},
};
use socket2::{Domain, Socket, Type};

/// No answer takes this long, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than [`PATIENCE`]: a test that waits for this to pass fails.
pub const LONG_POLL_MS: i32 = 120_000;

pub const PRODUCE: i16 = 11;
pub const PRODUCE_BY_ID: i16 = 13;
pub const FETCH: i16 = 12;
pub const FETCH_BY_ID: i16 = 17;

pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, correlation_id: 0 }
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::from(TcpStream::connect(address).expect("the broker accepts"))
    }

    /// As [`Client::connect`], from this address.
    pub fn connect_from(from: [u8; 4], address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&address.into()).expect("the broker accepts");
        Client::from(TcpStream::from(socket))
    }

    /// Sends bytes as they are; false where the broker has closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request and returns its correlation id.
    pub fn send<Q: Request>(&mut self, version: i16, request: &Q) -> i32 {
        self.correlation_id += 1;
        let frame = write_request(self.correlation_id, version, Some("tests"), request).unwrap();
        self.stream.write_all(&frame.to_bytes()).expect("the broker takes the request");
        self.correlation_id
    }

    /// The next response without its length; `None` where the broker has closed.
    pub fn receive_raw(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        if !self.fill(&mut length) {
            return None;
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        assert!(self.fill(&mut frame), "closed in the middle of a response");
        Some(Bytes::from(frame))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if is_closed(error.kind()) => false,
            Err(error) => panic!("no response: {error}"),
        }
    }

    pub fn receive<R: Message>(&mut self, version: i16) -> (i32, R) {
        let frame = self.receive_raw().expect("a response");
        parse_response(&frame, version).expect("a response of this API")
    }

    pub fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        let sent = self.send(version, request);
        let (correlation_id, response) = self.receive(version);
        assert_eq!(correlation_id, sent);
        response
    }

    /// Waits until the broker closes; what it still sends is thrown away.
    pub fn expect_close(&mut self) {
        let mut sink = [0; 4096];
        loop {
            match self.stream.read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_closed(error.kind()) => return,
                Err(error) => panic!("still open: {error}"),
            }
        }
    }

    /// Says that no further request follows; responses can still come.
    pub fn half_close(&self) {
        // Fails where the broker has closed first.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let result = self.try_create_topic(name, partitions, configs);
        assert_eq!(result.error_code, 0, "{name}: {:?}", result.error_message);
        result.topic_id
    }

    pub fn try_create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopicResult {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
                ..CreatableTopicConfig::default()
            })
            .collect();
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 60_000,
            validate_only: false,
            ..CreateTopicsRequest::default()
        };
        self.call(7, &request).topics.remove(0)
    }

    pub fn delete_topic(&mut self, name: &str) {
        let topics =
            vec![DeleteTopicState { name: Some(name.to_owned()), topic_id: Uuid::ZERO, ..DeleteTopicState::default() }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 60_000, ..DeleteTopicsRequest::default() };
        let result = self.call(6, &request).responses.remove(0);
        assert_eq!(result.error_code, 0, "{name}: {:?}", result.error_message);
    }

    pub fn producer_id(&mut self) -> i64 {
        let request = InitProducerIdRequest { producer_epoch: -1, ..InitProducerIdRequest::default() };
        let response = self.call(4, &request);
        assert_eq!(response.error_code, 0);
        response.producer_id
    }

    pub fn produce(&mut self, topic: &str, records: &Bytes) -> PartitionProduceResponse {
        self.produce_acks(topic, 0, records, -1)
    }

    pub fn produce_acks(
        &mut self,
        topic: &str,
        partition: i32,
        records: &Bytes,
        acks: i16,
    ) -> PartitionProduceResponse {
        let mut response = self.call(PRODUCE, &produce_request(topic, partition, records, acks));
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Produces, and fails the test where that fails. Returns the base offset.
    pub fn must_produce(&mut self, topic: &str, records: &Bytes) -> i64 {
        let response = self.produce(topic, records);
        assert_eq!(error(response.error_code), ErrorCode::None, "{:?}", response.error_message);
        response.base_offset
    }

    /// Partition 0 from `offset`, without waiting.
    pub fn fetch(&mut self, topic: &str, offset: i64) -> PartitionData {
        only_partition(self.call(FETCH, &fetch_request(topic, offset)))
    }

    /// Values of all records from `offset`, in order.
    pub fn values(&mut self, topic: &str, mut offset: i64) -> Vec<Bytes> {
        let mut values = Vec::new();
        loop {
            let data = self.fetch(topic, offset);
            assert_eq!(error(data.error_code), ErrorCode::None);
            let fetched = batches(&data);
            let Some(last) = fetched.last() else { return values };
            for batch in &fetched {
                let records = batch.records(64 << 20).unwrap();
                let wanted = records.map(Result::unwrap).filter(|record| record.offset >= offset);
                values.extend(wanted.map(|record| record.value.unwrap_or_default()));
            }
            offset = last.header().next_offset();
        }
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

pub fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("one of Kafka's codes")
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One batch with a record for each value.
pub fn batch(values: &[&[u8]]) -> Bytes {
    compressed(Codec::None, values)
}

pub fn compressed(codec: Codec, values: &[&[u8]]) -> Bytes {
    values.iter().fold(BatchBuilder::new(codec), |batch, value| batch.record(now_ms(), Some(b"k"), Some(value))).build()
}

/// One batch of an idempotent producer.
pub fn idempotent(producer: (i64, i16), sequence: i32, values: &[&[u8]]) -> Bytes {
    let builder = BatchBuilder::new(Codec::None).producer(producer.0, producer.1, sequence);
    values.iter().fold(builder, |batch, value| batch.record(now_ms(), None, Some(value))).build()
}

pub fn produce_request(topic: &str, partition: i32, records: &Bytes, acks: i16) -> ProduceRequest {
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 60_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records.clone()),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// Partition 0 from `offset`, no session, no waiting.
pub fn fetch_request(topic: &str, offset: i64) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![fetch_partition(0, offset)],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

pub fn fetch_by_id(topic_id: Uuid, offset: i64) -> FetchRequest {
    let mut request = fetch_request("", offset);
    request.topics[0].topic_id = topic_id;
    request
}

/// As `request`, waiting longer than any test does.
pub fn waiting(request: FetchRequest) -> FetchRequest {
    FetchRequest { max_wait_ms: LONG_POLL_MS, ..request }
}

pub fn fetch_partition(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition { partition, fetch_offset, partition_max_bytes: 8 << 20, ..FetchPartition::default() }
}

pub fn only_partition(mut response: FetchResponse) -> PartitionData {
    assert_eq!(error(response.error_code), ErrorCode::None);
    assert_eq!(response.responses.len(), 1, "{response:?}");
    response.responses.remove(0).partitions.remove(0)
}

/// The batches of an answer, whose CRCs must hold.
pub fn batches(data: &PartitionData) -> Vec<Batch> {
    let mut rest = data.records.as_ref().expect("never null").bytes().expect("in memory").clone();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(&rest).expect("whole batches");
        batch.verify_crc().unwrap();
        batches.push(batch);
        rest = after;
    }
    batches
}
