//! The core of a producer: messages of one topic, gathered into batches, sent to their leaders once and in order.
//!
//! Idempotent where the broker has producer ids, so that a batch that is sent again because its acknowledgement was lost is stored
//! once. One batch a partition is on its way at a time, which keeps the order without further ado.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        init_producer_id::InitProducerIdRequest,
        produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData},
    },
    record::{BatchBuilder, Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, increment_sequence},
    schema::Versions,
};
use futures_util::future::join_all;

use super::{Client, ClientError, Lane, Topic};
use crate::model::{NodeId, Offset, PartitionIndex, Timestamp, TopicPartition};

/// Up to 12 topics go by their names.
const BY_NAME: Versions = Versions::new(3, 12);

/// How a producer sends.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    pub compression: Compression,
    /// Whether all in-sync replicas have to have a batch (acks=all), or its leader alone (acks=1).
    pub acks_all: bool,
    /// For how long a leader may wait for its replicas.
    pub timeout: Duration,
    /// A batch grows up to this size, in bytes before compression; a larger message goes alone.
    pub batch_bytes: usize,
}

impl Default for ProducerSettings {
    fn default() -> ProducerSettings {
        ProducerSettings {
            compression: Compression::NONE,
            acks_all: true,
            timeout: Duration::from_secs(30),
            batch_bytes: 256 << 10,
        }
    }
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Else by its key, and without one wherever there is room.
    pub partition: Option<PartitionIndex>,
    pub key: Option<Bytes>,
    /// `None` is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    pub timestamp: Timestamp,
}

/// A batch that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    pub partition: TopicPartition,
    /// Of the first message.
    pub offset: Offset,
    pub count: usize,
}

/// Which partition a message belongs to, as Kafka's own producer has it, so that both agree about where a key is.
#[derive(Debug, Clone, Copy)]
pub struct Partitioner {
    partitions: u32,
}

impl Partitioner {
    /// `partitions` is not 0.
    pub fn new(partitions: u32) -> Partitioner {
        debug_assert!(partitions > 0);
        Partitioner { partitions: partitions.max(1) }
    }

    /// Where messages with this key go.
    pub fn of_key(self, key: &[u8]) -> PartitionIndex {
        let positive = murmur2(key) & 0x7fff_ffff;
        PartitionIndex((positive % self.partitions) as i32)
    }
}

/// MurmurHash2 of 32 bits, with the seed that Kafka's `Utils.murmur2` has.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let mut h = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        h = h.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// Gathers messages with [`Producer::push`] and sends them with [`Producer::flush`].
pub struct Producer {
    client: Arc<Client>,
    settings: ProducerSettings,
    topic: Arc<str>,
    partitioner: Partitioner,
    /// By index.
    partitions: Vec<Waiting>,
    identity: Identity,
    /// Where messages without key go until the next flush.
    sticky: usize,
    buffered: usize,
}

/// What a partition has to get.
#[derive(Default)]
struct Waiting {
    messages: Vec<Message>,
    next_sequence: i32,
}

#[derive(Clone, Copy)]
struct Identity {
    producer_id: i64,
    producer_epoch: i16,
}

/// A batch on its way.
struct Sending {
    bytes: Bytes,
    count: usize,
}

/// What is on its way, one batch a partition.
type Lots = BTreeMap<TopicPartition, Sending>;

impl Producer {
    /// A producer for one topic.
    pub async fn open(client: Arc<Client>, topic: &Topic, settings: ProducerSettings) -> Result<Producer, ClientError> {
        let count = u32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0).ok_or_else(|| {
            ClientError::refused(
                ErrorCode::LeaderNotAvailable.code(),
                Some("it has no partitions"),
                format!("topic {}", topic.name),
            )
        })?;
        let identity = Producer::identity(&client).await?;
        Ok(Producer {
            sticky: (client.env().random_u64() % u64::from(count)) as usize,
            client,
            settings,
            topic: Arc::clone(&topic.name),
            partitioner: Partitioner::new(count),
            partitions: (0..count).map(|_| Waiting::default()).collect(),
            identity,
            buffered: 0,
        })
    }

    async fn identity(client: &Client) -> Result<Identity, ClientError> {
        let none = Identity { producer_id: NO_PRODUCER_ID, producer_epoch: NO_PRODUCER_EPOCH };
        client
            .retrying(async || {
                let connection = client.any().await?;
                let request = InitProducerIdRequest {
                    transaction_timeout_ms: i32::MAX,
                    producer_epoch: NO_PRODUCER_EPOCH,
                    producer_id: NO_PRODUCER_ID,
                    ..InitProducerIdRequest::default()
                };
                let version =
                    match connection.version::<InitProducerIdRequest>(Versions::from(0), "an idempotent producer") {
                        Ok(version) => version,
                        Err(_) => return Ok(none),
                    };
                let response = connection.call(version, &request).await?;
                if response.error_code == ErrorCode::ClusterAuthorizationFailed.code() {
                    return Ok(none);
                }
                ClientError::check(response.error_code, None, || "a producer id".to_owned())?;
                Ok(Identity { producer_id: response.producer_id, producer_epoch: response.producer_epoch })
            })
            .await
    }

    /// Takes a message. Returns whether it is time to flush: until then, what is taken only takes up memory.
    pub fn push(&mut self, message: Message) -> Result<bool, ClientError> {
        let index = match (message.partition, &message.key) {
            (Some(partition), _) => usize::try_from(partition.0).unwrap_or(usize::MAX),
            (None, Some(key)) => self.partitioner.of_key(key).0 as usize,
            (None, None) => self.sticky,
        };
        let size = size_of(&message);
        let count = self.partitions.len();
        let Some(lot) = self.partitions.get_mut(index) else {
            let what = format!("topic {} has {count} partitions", self.topic);
            return Err(ClientError::refused(ErrorCode::UnknownTopicOrPartition.code(), None, what));
        };
        lot.messages.push(message);
        self.buffered += size;
        Ok(self.buffered >= self.settings.batch_bytes)
    }

    /// Sends what was taken, and returns once all of it is acknowledged.
    pub async fn flush(&mut self) -> Result<Vec<Produced>, ClientError> {
        self.buffered = 0;
        self.sticky = (self.sticky + 1) % self.partitions.len();
        let mut produced = Vec::new();
        loop {
            let sending = self.next_batches()?;
            if sending.is_empty() {
                return Ok(produced);
            }
            self.send(sending, &mut produced).await?;
        }
    }

    /// The next batch of each partition that has messages.
    fn next_batches(&mut self) -> Result<Lots, ClientError> {
        let mut sending = Lots::new();
        for (index, lot) in self.partitions.iter_mut().enumerate() {
            let mut size = 0;
            let count = lot
                .messages
                .iter()
                .take_while(|message| {
                    size += size_of(message);
                    size <= self.settings.batch_bytes
                })
                .count()
                .max(1)
                .min(lot.messages.len());
            if count == 0 {
                continue;
            }
            let mut builder = BatchBuilder::new(self.settings.compression);
            if self.identity.producer_id == NO_PRODUCER_ID {
                builder = builder.producer(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE);
            } else {
                builder = builder.producer(self.identity.producer_id, self.identity.producer_epoch, lot.next_sequence);
            }
            for message in lot.messages.drain(..count) {
                let headers: Vec<(&str, Option<&[u8]>)> =
                    message.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
                builder = builder.record_with_headers(
                    message.timestamp.0,
                    message.key.as_deref(),
                    message.value.as_deref(),
                    &headers,
                );
            }
            lot.next_sequence = increment_sequence(lot.next_sequence, i32::try_from(count).unwrap_or(i32::MAX));
            let partition = TopicPartition { topic: Arc::clone(&self.topic), partition: PartitionIndex(index as i32) };
            sending.insert(partition, Sending { bytes: builder.try_build()?, count });
        }
        Ok(sending)
    }

    async fn send(&self, mut left: Lots, produced: &mut Vec<Produced>) -> Result<(), ClientError> {
        let client = &self.client;
        client
            .retrying(async || {
                let shares = client.by_leader(left.keys().cloned().collect(), |partition| partition).await?;
                let answers = shares.iter().map(|(node, share)| self.send_to(*node, share, &left));
                let answers = join_all(answers).await;
                let mut failed = Ok(());
                for ((_, share), answer) in shares.iter().zip(answers) {
                    for partition in share {
                        let outcome = match &answer {
                            Ok(answers) => outcome(partition, answers),
                            Err(error) => Err(error.clone()),
                        };
                        match outcome {
                            Ok(offset) => {
                                let count = left.remove(partition).map_or(0, |batch| batch.count);
                                produced.push(Produced { partition: partition.clone(), offset, count });
                            }
                            Err(error) => {
                                client.forget_leaders(std::iter::once(partition));
                                // What cannot be mended goes before what can.
                                if failed.is_ok() || !error.is_retriable() {
                                    failed = Err(error);
                                }
                            }
                        }
                    }
                }
                failed
            })
            .await
    }

    async fn send_to(
        &self,
        node: NodeId,
        share: &[TopicPartition],
        lots: &Lots,
    ) -> Result<BTreeMap<i32, PartitionProduceResponse>, ClientError> {
        let partition_data = share
            .iter()
            .map(|partition| PartitionProduceData {
                index: partition.partition.0,
                records: lots.get(partition).map(|batch| batch.bytes.clone()),
                ..PartitionProduceData::default()
            })
            .collect();
        let request = ProduceRequest {
            acks: if self.settings.acks_all { -1 } else { 1 },
            timeout_ms: super::topics::millis(self.settings.timeout),
            topic_data: vec![TopicProduceData {
                name: self.topic.to_string(),
                partition_data,
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let connection = self.client.node(node, Lane::Requests).await?;
        let version = connection.version::<ProduceRequest>(BY_NAME, "producing")?;
        let response = connection.call_for(version, &request, self.settings.timeout).await?;
        let partitions = response.responses.into_iter().flat_map(|topic| topic.partition_responses);
        Ok(partitions.map(|partition| (partition.index, partition)).collect())
    }
}

fn outcome(
    partition: &TopicPartition,
    answers: &BTreeMap<i32, PartitionProduceResponse>,
) -> Result<Offset, ClientError> {
    let Some(answer) = answers.get(&partition.partition.0) else {
        return Err(ClientError::refused(ErrorCode::UnknownServerError.code(), None, partition.to_string()));
    };
    // Stored already, by the same batch whose acknowledgement was lost.
    if answer.error_code == ErrorCode::DuplicateSequenceNumber.code() {
        return Ok(Offset(answer.base_offset));
    }
    let of_record = answer.record_errors.first().and_then(|error| error.batch_index_error_message.as_deref());
    let message = of_record.or(answer.error_message.as_deref());
    ClientError::check(answer.error_code, message, || partition.to_string())?;
    Ok(Offset(answer.base_offset))
}

/// About what a message takes in a batch.
fn size_of(message: &Message) -> usize {
    const OVERHEAD: usize = 24;
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + length(value) + 10).sum();
    OVERHEAD + length(&message.key) + length(&message.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Kafka's `UtilsTest.testMurmur2`.
    #[test]
    fn keys_hash_as_kafkas_do() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_stays_within_the_partitions() {
        let partitioner = Partitioner::new(7);
        for key in 0..1000_u32 {
            assert!((0..7).contains(&partitioner.of_key(&key.to_le_bytes()).0));
        }
        assert_eq!(Partitioner::new(10).of_key(b"foobar"), PartitionIndex((-790_332_482_i32 & i32::MAX) % 10));
    }
}
