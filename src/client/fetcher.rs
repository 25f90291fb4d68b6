//! The core of a consumer: positions in partitions, and the records from there on.

use std::{collections::BTreeMap, time::Duration};
use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::fetch::{AbortedTransaction, FetchPartition, FetchRequest, FetchTopic, PartitionData},
    record::{Batch, BatchError, ControlType, Record},
    schema::Versions,
    wire::Records,
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{BACKOFF_MAX, BACKOFF_MIN, Client, ClientError, Lane};
use crate::model::{NodeId, Offset, PartitionIndex, Timestamp, TopicPartition};

/// What one batch may decompress to, in bytes.
const BATCH_MAX: usize = 256 << 20;

/// Up to 12 topics go by their names.
const BY_NAME: Versions = Versions::new(4, 12);

/// Which records of transactions are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All, also of transactions that are open or were aborted.
    #[default]
    ReadUncommitted,
    /// Those of committed ones.
    ReadCommitted,
}

impl Isolation {
    pub(super) fn on_wire(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// How much is fetched at once, and how long a broker waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetcherSettings {
    pub max_wait: Duration,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
    pub isolation: Isolation,
}

impl Default for FetcherSettings {
    fn default() -> FetcherSettings {
        FetcherSettings {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 32 << 20,
            partition_max_bytes: 1 << 20,
            isolation: Isolation::default(),
        }
    }
}

/// Records of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub partition: TopicPartition,
    /// In order, from the position on. May be empty where all that was there is not for consumers.
    pub records: Vec<Record>,
    /// The position after them.
    pub next: Offset,
}

/// Fetches from where it is to where it is told, from whoever leads. Invariant: a position moves only when what lies before it
/// was handed out, so a [`Fetcher::poll`] that is dropped loses nothing.
pub struct Fetcher {
    client: Arc<Client>,
    settings: FetcherSettings,
    positions: BTreeMap<TopicPartition, Offset>,
    failing_since: Option<Instant>,
}

impl Fetcher {
    pub fn new(client: Arc<Client>, settings: FetcherSettings) -> Fetcher {
        Fetcher { client, settings, positions: BTreeMap::new(), failing_since: None }
    }

    /// Fetches this partition from here on, whether it was fetched before or not.
    pub fn seek(&mut self, partition: TopicPartition, offset: Offset) {
        self.positions.insert(partition, offset);
    }

    /// Fetches this partition no more.
    pub fn remove(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    /// The offset that is fetched next, by partition.
    pub fn positions(&self) -> &BTreeMap<TopicPartition, Offset> {
        &self.positions
    }

    /// What comes next; nothing where nothing came within `max_wait`. A position that its partition does not have (any more) is
    /// [`ErrorCode::OffsetOutOfRange`]; `seek` mends it.
    pub async fn poll(&mut self) -> Result<Vec<Fetched>, ClientError> {
        if self.positions.is_empty() {
            sleep(self.settings.max_wait).await;
            return Ok(Vec::new());
        }
        match self.fetch_all().await {
            Ok(fetched) => {
                self.failing_since = None;
                for fetched in &fetched {
                    self.positions.insert(fetched.partition.clone(), fetched.next);
                }
                Ok(fetched)
            }
            Err(error) if error.is_retriable() => {
                let since = *self.failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > self.client.settings().patience {
                    return Err(error);
                }
                sleep(since.elapsed().clamp(BACKOFF_MIN, BACKOFF_MAX)).await;
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// What any leader has; an error only where none has anything.
    async fn fetch_all(&self) -> Result<Vec<Fetched>, ClientError> {
        let positions = self.positions.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
        let shares = self.client.by_leader(positions, |(partition, _)| partition).await?;
        let answers = shares.iter().map(|(node, share)| fetch(&self.client, *node, share, &self.settings));
        let mut fetched = Vec::new();
        let mut failed = None;
        for ((_, share), answer) in shares.iter().zip(join_all(answers).await) {
            match answer {
                Ok(partitions) => {
                    for (partition, data) in partitions {
                        match self.take(&partition, &data) {
                            Ok(records) => fetched.extend(records),
                            Err(error) => {
                                self.client.forget_leaders(std::iter::once(&partition));
                                failed = Some(error);
                            }
                        }
                    }
                }
                Err(error) => {
                    self.client.forget_leaders(share.iter().map(|(partition, _)| partition));
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if fetched.is_empty() => Err(error),
            _ => Ok(fetched),
        }
    }

    fn take(&self, partition: &TopicPartition, data: &PartitionData) -> Result<Option<Fetched>, ClientError> {
        let Some(position) = self.positions.get(partition).copied() else { return Ok(None) };
        ClientError::check(data.error_code, None, || format!("{partition} at offset {position}"))?;
        let aborted = match self.settings.isolation {
            Isolation::ReadCommitted => data.aborted_transactions.as_deref().unwrap_or_default(),
            Isolation::ReadUncommitted => &[],
        };
        let (records, next) = read(bytes_of(data), position, aborted).map_err(|error| ClientError::Batch {
            partition: partition.clone(),
            offset: position.0,
            error,
        })?;
        Ok((next > position).then(|| Fetched { partition: partition.clone(), records, next }))
    }
}

/// Asks one leader once, without a session.
pub(super) async fn fetch(
    client: &Client,
    node: NodeId,
    share: &[(TopicPartition, Offset)],
    settings: &FetcherSettings,
) -> Result<Vec<(TopicPartition, PartitionData)>, ClientError> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (partition, offset) in share {
        if topics.last().is_none_or(|last| last.topic != *partition.topic) {
            topics.push(FetchTopic { topic: partition.topic.to_string(), ..FetchTopic::default() });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(FetchPartition {
                partition: partition.partition.0,
                fetch_offset: offset.0,
                partition_max_bytes: settings.partition_max_bytes,
                ..FetchPartition::default()
            });
        }
    }
    let request = FetchRequest {
        max_wait_ms: super::topics::millis(settings.max_wait),
        min_bytes: settings.min_bytes,
        max_bytes: settings.max_bytes,
        isolation_level: settings.isolation.on_wire(),
        topics,
        ..FetchRequest::default()
    };
    let connection = client.node(node, Lane::Fetches).await?;
    let version = connection.version::<FetchRequest>(BY_NAME, "fetching")?;
    let response = connection.call_for(version, &request, settings.max_wait).await?;
    ClientError::check(response.error_code, None, || "a fetch".to_owned())?;
    let mut answers = Vec::new();
    for topic in response.responses {
        let name: Arc<str> = Arc::from(topic.topic);
        for data in topic.partitions {
            let partition = PartitionIndex(data.partition_index);
            answers.push((TopicPartition { topic: Arc::clone(&name), partition }, data));
        }
    }
    Ok(answers)
}

fn bytes_of(data: &PartitionData) -> Bytes {
    match &data.records {
        Some(Records::Bytes(bytes)) => bytes.clone(),
        _ => Bytes::new(),
    }
}

/// The time of the first record at or after `offset` in an answer.
pub(super) fn first_timestamp(
    partition: &TopicPartition,
    offset: Offset,
    data: &PartitionData,
) -> Result<Option<Timestamp>, ClientError> {
    let (records, _) = read(bytes_of(data), offset, &[]).map_err(|error| ClientError::Batch {
        partition: partition.clone(),
        offset: offset.0,
        error,
    })?;
    Ok(records.first().map(|record| Timestamp(record.timestamp)))
}

/// The records of whole batches from `position` on, without control records and without those of aborted transactions, and the
/// position after them.
fn read(
    mut rest: Bytes,
    position: Offset,
    aborted: &[AbortedTransaction],
) -> Result<(Vec<Record>, Offset), BatchError> {
    let mut aborted: Vec<&AbortedTransaction> = aborted.iter().collect();
    aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut aborting: HashSet<i64> = HashSet::new();
    let mut records = Vec::new();
    let mut next = position;
    while !rest.is_empty() {
        let batch = match Batch::split_first(&rest) {
            Ok((batch, left)) => {
                rest = left;
                batch
            }
            // The last one may be cut where the answer reached its size.
            Err(BatchError::Truncated { .. }) if next > position => break,
            Err(error) => return Err(error),
        };
        batch.verify_crc()?;
        let header = batch.header();
        while let Some(transaction) = aborted.pop_if(|it| it.first_offset <= header.last_offset()) {
            aborting.insert(transaction.producer_id);
        }
        if header.is_control() {
            for record in batch.records(BATCH_MAX)? {
                if ControlType::parse(record?.key.as_deref()) == Ok(ControlType::Abort) {
                    aborting.remove(&header.producer_id);
                }
            }
        } else if !(header.is_transactional() && aborting.contains(&header.producer_id)) {
            for record in batch.records(BATCH_MAX)? {
                let record = record?;
                if record.offset >= position.0 {
                    records.push(record);
                }
            }
        }
        next = next.max(Offset(header.next_offset()));
    }
    Ok((records, next))
}

/// Whether an error says that a position is not in its partition's log.
impl ClientError {
    pub fn is_out_of_range(&self) -> bool {
        self.code() == Some(ErrorCode::OffsetOutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use felice_protocol::record::{BatchBuilder, Codec, EndTransactionMarker};

    use super::*;

    fn batch(base: i64, values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::Lz4).base_offset(base);
        for value in values {
            builder = builder.record(7, None, Some(value.as_bytes()));
        }
        builder.build()
    }

    fn transactional(base: i64, producer: i64, values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None).base_offset(base).producer(producer, 0, 0).transactional();
        for value in values {
            builder = builder.record(7, None, Some(value.as_bytes()));
        }
        builder.build()
    }

    fn marker(base: i64, producer: i64, committed: bool) -> Bytes {
        let mut bytes = EndTransactionMarker { coordinator_epoch: 0, committed }.batch(producer, 0, 7).to_vec();
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        Bytes::from(bytes)
    }

    fn values(bytes: &[Bytes], position: i64, aborted: &[(i64, i64)]) -> (Vec<String>, i64) {
        let aborted: Vec<AbortedTransaction> = aborted
            .iter()
            .map(|(producer_id, first_offset)| AbortedTransaction {
                producer_id: *producer_id,
                first_offset: *first_offset,
                ..AbortedTransaction::default()
            })
            .collect();
        let (records, next) = read(Bytes::from(bytes.concat()), Offset(position), &aborted).unwrap();
        let value = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        (records.into_iter().map(value).collect(), next.0)
    }

    #[test]
    fn records_before_the_position_are_left_out() {
        let log = [batch(10, &["a", "b", "c"]), batch(13, &["d"])];
        assert_eq!(values(&log, 12, &[]), (vec!["c".to_owned(), "d".to_owned()], 14));
        assert_eq!(values(&[], 12, &[]), (vec![], 12));
    }

    #[test]
    fn a_batch_that_is_cut_is_left_for_later() {
        let (whole, other) = (batch(0, &["a"]), batch(1, &["b"]));
        assert_eq!(values(&[whole, other.slice(..other.len() - 1)], 0, &[]), (vec!["a".to_owned()], 1));
        let error = read(other.slice(..other.len() - 1), Offset(1), &[]).unwrap_err();
        assert!(matches!(error, BatchError::Truncated { .. }), "{error}");
    }

    #[test]
    fn a_batch_that_changed_is_an_error() {
        let mut bytes = batch(0, &["a"]).to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(read(Bytes::from(bytes), Offset(0), &[]), Err(BatchError::Crc { .. })));
    }

    #[test]
    fn aborted_transactions_are_not_seen() {
        let log = [
            transactional(0, 1, &["kept"]),
            transactional(1, 2, &["dropped", "too"]),
            batch(3, &["plain"]),
            marker(4, 2, false),
            transactional(5, 2, &["anew"]),
            marker(6, 1, true),
            marker(7, 2, true),
        ];
        let kept = ["kept", "plain", "anew"].map(str::to_owned).to_vec();
        assert_eq!(values(&log, 0, &[(2, 1)]), (kept, 8));
        assert_eq!(values(&log, 0, &[]).0.len(), 5);
    }
}
