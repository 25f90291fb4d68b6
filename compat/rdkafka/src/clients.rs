//! Producers, consumers and admin clients as a user makes them: defaults, but for what a check is about.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use futures_executor::block_on;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};

use crate::{
    broker::Broker,
    check::{LIMIT, on_kafka},
};

/// How long a consumer's fetch may wait for messages; librdkafka's own is 500 ms.
pub const LONG_POLL_MS: u64 = 100;

pub fn config(broker: &Broker, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.address).set("reconnect.backoff.max.ms", "200");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// A message to be sent, and what is known of it after.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    pub topic: String,
    /// `None`: chosen by librdkafka's partitioner.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// Where a message was stored, or why not; by its number.
type OnDelivery = Box<dyn Fn(usize, Result<Delivered, KafkaError>) + Send + Sync>;

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delivered {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
}

/// Calls back for each message that was sent.
pub struct Deliveries(OnDelivery);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        (self.0)(
            number,
            match result {
                Ok(message) => Ok(Delivered {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp: message.timestamp().to_millis(),
                }),
                Err((error, _)) => Err(error.clone()),
            },
        );
    }
}

/// A producer with a thread that polls it.
pub struct Sender(ThreadedProducer<Deliveries>);

impl Sender {
    pub fn new(
        broker: &Broker,
        settings: &[(&str, &str)],
        each: impl Fn(usize, Result<Delivered, KafkaError>) + Send + Sync + 'static,
    ) -> Sender {
        Sender(config(broker, settings).create_with_context(Deliveries(Box::new(each))).expect("a producer"))
    }

    /// Queues a message; waits while the queue is full.
    pub fn send(&self, number: usize, record: &Record) {
        let mut message: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&record.topic, number);
        message.partition = record.partition;
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = record.timestamp;
        if !record.headers.is_empty() {
            message.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(rdkafka::message::Header { key, value: value.as_ref() })
            }));
        }
        loop {
            match self.0.send(message) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    message = again;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("message {number} to {}: {error}", record.topic),
            }
        }
    }

    /// Returns when all have been acknowledged or have failed.
    pub fn flush(&self) {
        self.0.flush(LIMIT).expect("the producer comes to an end");
    }
}

/// Sends all, in order, and returns where each was stored.
pub fn send_all(broker: &Broker, settings: &[(&str, &str)], records: &[Record]) -> Vec<Delivered> {
    let outcomes = Arc::new(Mutex::new(vec![None; records.len()]));
    let sender = Sender::new(broker, settings, {
        let outcomes = outcomes.clone();
        move |number, outcome| outcomes.lock().expect("outcomes")[number] = Some(outcome)
    });
    for (number, record) in records.iter().enumerate() {
        sender.send(number, record);
    }
    sender.flush();
    let outcomes = outcomes.lock().expect("outcomes");
    outcomes
        .iter()
        .enumerate()
        .map(|(number, outcome)| match outcome {
            Some(Ok(delivered)) => *delivered,
            other => panic!("message {number} to {}: {other:?}", records[number].topic),
        })
        .collect()
}

pub fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    config(broker, &[]).create().expect("an admin client")
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

/// Creates topics and waits until the broker serves all their partitions. Kafka answers CreateTopics a little before that, and
/// an idempotent producer whose first batch then fails while its second is taken never gets its first in.
pub fn create(broker: &Broker, topics: &[NewTopic<'_>]) {
    // Kept, as clients take their time to be dropped. There is one broker only.
    static CLIENTS: OnceLock<(AdminClient<DefaultClientContext>, BaseConsumer)> = OnceLock::new();
    let (admin, reader) = CLIENTS.get_or_init(|| (admin(broker), reader(broker, &[])));
    for outcome in block_on(admin.create_topics(topics, &options())).expect("CreateTopics") {
        outcome.expect("a new topic");
    }
    for topic in topics {
        for partition in 0..topic.num_partitions {
            end(reader, topic.name, partition);
        }
    }
}

pub fn topic(name: &str, partitions: i32) -> NewTopic<'_> {
    NewTopic::new(name, partitions, TopicReplication::Fixed(1))
}

pub fn reader(broker: &Broker, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(broker, &[("check.crcs", "true"), ("auto.offset.reset", "error"), ("group.id", "none")]);
    config.set("enable.auto.commit", "false").set("fetch.wait.max.ms", LONG_POLL_MS.to_string());
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().expect("a consumer")
}

/// A consumer that reads these partitions of a topic, each from its place.
pub fn reader_from(broker: &Broker, settings: &[(&str, &str)], topic: &str, from: &[(i32, Offset)]) -> BaseConsumer {
    let reader = reader(broker, settings);
    reader.assign(&places(topic, from)).expect("an assignment");
    reader
}

/// A consumer that waits for what will be sent to these partitions from now on.
pub fn reader_at_end(broker: &Broker, settings: &[(&str, &str)], topic: &str, partitions: &[i32]) -> BaseConsumer {
    let settings: Vec<_> = settings.iter().copied().chain([("enable.partition.eof", "true")]).collect();
    let from: Vec<_> = partitions.iter().map(|partition| (*partition, Offset::End)).collect();
    let reader = reader_from(broker, &settings, topic, &from);
    let deadline = Instant::now() + LIMIT;
    let mut waiting = partitions.to_vec();
    while !waiting.is_empty() {
        match reader.poll(Duration::from_secs(1)) {
            Some(Err(KafkaError::PartitionEOF(partition))) => waiting.retain(|each| *each != partition),
            Some(Err(error)) => assert!(is_passing(&error), "{error}"),
            Some(Ok(message)) => {
                panic!("a consumer at the end has message {} of {}", message.offset(), message.partition())
            }
            None => assert!(Instant::now() < deadline, "a consumer does not reach the end of {topic}-{waiting:?}"),
        }
    }
    reader
}

pub fn places(topic: &str, from: &[(i32, Offset)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(topic, *partition, *offset).expect("an offset");
    }
    list
}

/// The next message; what is told of connections that break is passed over, as the client tries again.
pub fn next(reader: &BaseConsumer, within: Duration) -> Option<BorrowedMessage<'_>> {
    let deadline = Instant::now() + within;
    loop {
        match reader.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => return Some(message),
            Some(Err(error)) => assert!(is_passing(&error), "{error}"),
            None if Instant::now() >= deadline => return None,
            None => {}
        }
    }
}

/// Connections that break, and the end of a partition.
fn is_passing(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::PartitionEOF(_))
        || matches!(
            code,
            Some(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve
            )
        )
}

/// Hands over each message of a topic, from the beginning to `wanted` messages, or to the end offsets of now. A gap in a
/// partition's offsets is an error.
pub fn consume(
    broker: &Broker,
    settings: &[(&str, &str)],
    topic: &str,
    partitions: i32,
    wanted: Option<usize>,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) {
    let from: Vec<_> = (0..partitions).map(|partition| (partition, Offset::Beginning)).collect();
    let reader = reader_from(broker, settings, topic, &from);
    let wanted = wanted.unwrap_or_else(|| (0..partitions).map(|n| end(&reader, topic, n) as usize).sum());
    let mut following = vec![0; partitions as usize];
    let deadline = Instant::now() + LIMIT;
    for seen in 0..wanted {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = next(&reader, left).unwrap_or_else(|| panic!("{topic}: only {seen} of {wanted} messages came"));
        let at = &mut following[message.partition() as usize];
        assert_eq!(message.offset(), *at, "{topic}-{}", message.partition());
        *at += 1;
        each(&message);
    }
}

/// The end offset of a partition.
pub fn end(reader: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match reader.fetch_watermarks(topic, partition, LIMIT) {
            Ok((_, high)) => return high,
            Err(error) => assert!(on_kafka() && Instant::now() < deadline, "the end of {topic}-{partition}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The offset that was found for a time, `None` where there is nothing at or after it.
pub fn offset_at(reader: &BaseConsumer, topic: &str, partition: i32, timestamp: i64) -> KafkaResult<Option<i64>> {
    let found = reader.offsets_for_times(places(topic, &[(partition, Offset::Offset(timestamp))]), LIMIT)?;
    let found = found.elements().first().map(|each| each.offset());
    Ok(match found {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    })
}
