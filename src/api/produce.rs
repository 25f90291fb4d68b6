//! Produce (key 0): appends record batches.
//!
//! - v3: transactional id, magic 2, exactly one batch a partition (KIP-98). v5: log start offset in the answer (KIP-107).
//! - v7: zstd allowed (KIP-110). v8: the records at fault and a message (KIP-467). v9: flexible.
//! - v10: where the leader is now (KIP-951). v11: TRANSACTION_ABORTABLE. v12: implicit partition addition (KIP-890).
//! - v13: topic ids instead of names (KIP-516).
//!
//! Versions 0 to 2 are advertised, as Kafka 4 does for librdkafka's sake, and refused.
//!
//! All appends are made before this returns, in the order of the request. What may be waited for afterwards is only that they
//! become safe: replicated for `acks=all`, flushed under `flush.messages`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use felice_protocol::{
    error::ErrorCode,
    messages::produce::{
        BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
        TopicProduceResponse,
    },
    record::{BatchHeader, InvalidBatch},
};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Closing, Context, partitions};
use crate::{
    log::{self, producers::ProducerError},
    metadata::is_internal,
    model::{Timestamp, TopicId},
    replica::{Acks, AppendError, NotSafe, Partition, Pending},
};

/// The client id under which Kafka lets internal topics be written to (`AdminUtils.ADMIN_CLIENT_ID`).
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// From here on topics are named by their ids.
const FIRST_VERSION_BY_ID: i16 = 13;

pub fn handle(cx: &Context<'_>, request: ProduceRequest) -> Answer<ProduceResponse> {
    let Some(acks) = Acks::from_wire(request.acks) else {
        return Answer::Now(all_failed(request, ErrorCode::InvalidRequiredAcks));
    };
    if has_transactional_batch(&request) {
        let error = match request.transactional_id {
            // Whoever names no transactional id has no right to one.
            None => ErrorCode::TransactionalIdAuthorizationFailed,
            // Without a transaction coordinator there is no transaction that these could belong to.
            Some(_) => ErrorCode::InvalidTxnState,
        };
        return finish(acks, all_failed(request, error), Vec::new(), 0);
    }
    // As Kafka, whose own tools write there under this name.
    let internal_allowed = cx.client_id == Some(ADMIN_CLIENT_ID);
    let now = cx.services.env.now();
    let mut laborious = false;
    let mut targets = Vec::with_capacity(request.topic_data.iter().map(|topic| topic.partition_data.len()).sum());
    for topic in &request.topic_data {
        for data in &topic.partition_data {
            let partition = if cx.version >= FIRST_VERSION_BY_ID {
                partitions::by_id(cx.services, TopicId(topic.topic_id), data.index)
            } else {
                partitions::by_name(cx.services, &topic.name, data.index)
            };
            let partition = partition.and_then(|partition| {
                let is_refused = is_internal(&partition.name().topic) && !internal_allowed;
                if is_refused { Err(ErrorCode::InvalidTopicException) } else { Ok(partition) }
            });
            laborious |= match (&partition, &data.records) {
                (Ok(partition), Some(records)) => partition.is_laborious(records, cx.version, now),
                _ => false,
            };
            targets.push(partition);
        }
    }
    let version = cx.version;
    if laborious {
        let env = Arc::clone(&cx.services.env);
        return Answer::Heavy(Box::new(move || append_all(version, env.now(), acks, request, targets)));
    }
    append_all(version, now, acks, request, targets)
}

/// `targets` are the partitions of the request, in its order.
fn append_all(
    version: i16,
    now: Timestamp,
    acks: Acks,
    request: ProduceRequest,
    targets: Vec<Result<Arc<Partition>, ErrorCode>>,
) -> Answer<ProduceResponse> {
    let mut waits = Vec::new();
    let mut seen = HashSet::new();
    let mut targets = targets.into_iter();
    let timeout_ms = request.timeout_ms;
    let mut response = ProduceResponse::default();
    response.responses.reserve_exact(request.topic_data.len());
    for (topic_index, topic) in request.topic_data.into_iter().enumerate() {
        let mut answers = Vec::with_capacity(topic.partition_data.len());
        for (index, (data, target)) in topic.partition_data.into_iter().zip(&mut targets).enumerate() {
            let partition = match target {
                Ok(partition) => partition,
                Err(error) => {
                    answers.push(failed(data.index, error));
                    continue;
                }
            };
            // Kafka keeps the last of several entries for one partition; answering each is what tells the producer.
            if !seen.insert(partition.id()) {
                answers.push(failed(data.index, ErrorCode::InvalidRequest));
                continue;
            }
            match append(&partition, acks, data, version, now) {
                Ok((answer, wait_for)) => {
                    if let Some(pending) = wait_for {
                        waits.push(Wait { topic_index, index, partition, pending });
                    }
                    answers.push(answer);
                }
                Err(answer) => answers.push(*answer),
            }
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: answers,
            ..TopicProduceResponse::default()
        });
    }
    finish(acks, response, waits, timeout_ms)
}

/// Whether any batch says that it belongs to a transaction. A transactional id alone makes none, and does no harm.
fn has_transactional_batch(request: &ProduceRequest) -> bool {
    request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
        .filter_map(|data| data.records.as_deref())
        .any(|records| BatchHeader::parse(records).is_ok_and(|header| header.is_transactional()))
}

/// A partition whose batch is appended and not yet as safe as was asked for.
struct Wait {
    topic_index: usize,
    index: usize,
    partition: Arc<Partition>,
    pending: Pending,
}

type Appended = (PartitionProduceResponse, Option<Pending>);

fn append(
    partition: &Arc<Partition>,
    acks: Acks,
    data: PartitionProduceData,
    version: i16,
    now: Timestamp,
) -> Result<Appended, Box<PartitionProduceResponse>> {
    let index = data.index;
    let records = data.records.unwrap_or_default();
    match partition.append(&records, acks, version, now) {
        Ok(appended) => {
            let answer = PartitionProduceResponse {
                index,
                error_code: ErrorCode::None.code(),
                base_offset: appended.base_offset.0,
                log_append_time_ms: appended.log_append_time.0,
                log_start_offset: appended.log_start.0,
                ..PartitionProduceResponse::default()
            };
            let wait = appended.wait_for.filter(|_| acks != Acks::None);
            Ok((answer, wait))
        }
        Err(error) => Err(Box::new(refused(partition, index, &error))),
    }
}

fn finish(acks: Acks, response: ProduceResponse, waits: Vec<Wait>, timeout_ms: i32) -> Answer<ProduceResponse> {
    if acks == Acks::None {
        let error = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .find(|partition| partition.error_code != ErrorCode::None.code());
        return match error {
            // The only way to tell a producer that wants no answers.
            Some(failed) => {
                let name = ErrorCode::from_code(failed.error_code).map_or("an error", ErrorCode::name);
                let reason = format!("produce with acks=0 to partition {} failed: {name}", failed.index);
                Answer::Close(Closing { kind: "failed produce requests with acks=0", reason })
            }
            None => Answer::Silent,
        };
    }
    if waits.is_empty() {
        return Answer::Now(response);
    }
    Answer::Later(Box::pin(wait_until_safe(response, waits, timeout_ms)))
}

async fn wait_until_safe(mut response: ProduceResponse, waits: Vec<Wait>, timeout_ms: i32) -> ProduceResponse {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    for wait in waits {
        let safe = timeout_at(deadline, wait.partition.reached(wait.pending)).await;
        let error = match safe {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => not_safe_code(error),
            Err(_) => ErrorCode::RequestTimedOut,
        };
        let answer = response
            .responses
            .get_mut(wait.topic_index)
            .and_then(|topic| topic.partition_responses.get_mut(wait.index));
        if let Some(answer) = answer {
            *answer = failed(answer.index, error);
        }
    }
    response
}

fn all_failed(request: ProduceRequest, error: ErrorCode) -> ProduceResponse {
    let responses = request
        .topic_data
        .into_iter()
        .map(|topic| TopicProduceResponse {
            partition_responses: topic.partition_data.iter().map(|data| failed(data.index, error)).collect(),
            name: topic.name,
            topic_id: topic.topic_id,
            ..TopicProduceResponse::default()
        })
        .collect();
    ProduceResponse { responses, ..ProduceResponse::default() }
}

fn failed(index: i32, error: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { index, error_code: error.code(), base_offset: -1, ..PartitionProduceResponse::default() }
}

/// Code and message for a batch that was not appended, as Kafka chooses them.
fn refused(partition: &Partition, index: i32, error: &AppendError) -> PartitionProduceResponse {
    let mut answer = failed(index, append_code(error));
    if answer.error_code == ErrorCode::KafkaStorageError.code() {
        return answer;
    }
    if let AppendError::Invalid(InvalidBatch::Records(rejections)) = error {
        answer.record_errors = rejections
            .iter()
            .map(|rejection| BatchIndexAndErrorMessage {
                batch_index: i32::try_from(rejection.index).unwrap_or(i32::MAX),
                batch_index_error_message: Some(rejection.reason.to_string()),
                ..BatchIndexAndErrorMessage::default()
            })
            .collect();
    }
    answer.error_message = Some(error.to_string());
    if tells_log_start(error) {
        answer.log_start_offset = partition.log_start().0;
    }
    answer
}

/// Kafka tells the log start offset with what its log refuses after it has split the request into batches and read their
/// headers; what is found before, and what a client may only send again, goes without.
fn tells_log_start(error: &AppendError) -> bool {
    match error {
        AppendError::NotLeader | AppendError::NotEnoughReplicas(_) | AppendError::Folder(_) => false,
        AppendError::Invalid(invalid) => !matches!(
            invalid,
            InvalidBatch::Empty
                | InvalidBatch::Truncated { .. }
                | InvalidBatch::TrailingBytes(_)
                | InvalidBatch::LegacyMagic(_)
                | InvalidBatch::UnknownMagic(_)
                | InvalidBatch::Length(_)
                | InvalidBatch::ZstdTooEarly(_)
                | InvalidBatch::TooLarge { .. }
                | InvalidBatch::Crc { .. }
        ),
        AppendError::Log(error) => !matches!(
            error,
            log::AppendError::FencedLeaderEpoch { .. }
                | log::AppendError::LargerThanSegment { .. }
                | log::AppendError::Log(_)
        ),
    }
}

fn append_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::NotLeader => ErrorCode::NotLeaderOrFollower,
        AppendError::NotEnoughReplicas(_) => ErrorCode::NotEnoughReplicas,
        AppendError::Folder(_) => ErrorCode::KafkaStorageError,
        AppendError::Invalid(invalid) => invalid_code(invalid),
        AppendError::Log(error) => log_code(error),
    }
}

fn invalid_code(invalid: &InvalidBatch) -> ErrorCode {
    match invalid {
        InvalidBatch::UnknownMagic(_) | InvalidBatch::Length(_) | InvalidBatch::Crc { .. } => ErrorCode::CorruptMessage,
        InvalidBatch::ZstdTooEarly(_) => ErrorCode::UnsupportedCompressionType,
        InvalidBatch::TooLarge { .. } => ErrorCode::MessageTooLarge,
        // As Kafka fails on them. CORRUPT_MESSAGE would have clients send the same batch again and again.
        InvalidBatch::UnknownCodec(_) | InvalidBatch::Compression(_) => ErrorCode::UnknownServerError,
        InvalidBatch::Records(_) if invalid.concerns_timestamps() => ErrorCode::InvalidTimestamp,
        _ => ErrorCode::InvalidRecord,
    }
}

fn log_code(error: &log::AppendError) -> ErrorCode {
    match error {
        log::AppendError::FencedLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        log::AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => ErrorCode::OutOfOrderSequenceNumber,
        log::AppendError::Producer(ProducerError::InvalidEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        log::AppendError::Producer(ProducerError::OutsideTransaction { .. }) => ErrorCode::InvalidTxnState,
        log::AppendError::Producer(ProducerError::CoordinatorFenced { .. }) => ErrorCode::TransactionCoordinatorFenced,
        log::AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        log::AppendError::InvalidCount(_) => ErrorCode::InvalidRecord,
        log::AppendError::Log(_) => ErrorCode::KafkaStorageError,
    }
}

fn not_safe_code(error: NotSafe) -> ErrorCode {
    match error {
        NotSafe::NotLeader => ErrorCode::NotLeaderOrFollower,
        NotSafe::Storage => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use felice_protocol::{
        messages::produce::TopicProduceData,
        record::{BatchBuilder, Codec, CompressionError},
    };

    use super::*;

    fn request(records: Option<Bytes>) -> ProduceRequest {
        let partition_data = vec![PartitionProduceData { index: 0, records, ..PartitionProduceData::default() }];
        let topic_data = vec![TopicProduceData { partition_data, ..TopicProduceData::default() }];
        ProduceRequest { topic_data, ..ProduceRequest::default() }
    }

    #[test]
    fn a_transactional_batch_is_known_by_its_header() {
        let plain = BatchBuilder::new(Codec::None).record(0, None, Some(b"v"));
        let transactional =
            BatchBuilder::new(Codec::None).record(0, None, Some(b"v")).producer(1, 0, 0).transactional();
        assert!(has_transactional_batch(&request(Some(transactional.build()))));
        for records in [Some(plain.build()), Some(Bytes::new()), Some(Bytes::from_static(b"short")), None] {
            assert!(!has_transactional_batch(&request(records)));
        }
    }

    #[test]
    fn codes_and_log_start_are_kafkas() {
        for (error, code, tells) in [
            (InvalidBatch::Empty, ErrorCode::InvalidRecord, false),
            (InvalidBatch::TrailingBytes(3), ErrorCode::InvalidRecord, false),
            (InvalidBatch::LegacyMagic(1), ErrorCode::InvalidRecord, false),
            (InvalidBatch::UnknownMagic(3), ErrorCode::CorruptMessage, false),
            (InvalidBatch::Crc { stored: 1, computed: 2 }, ErrorCode::CorruptMessage, false),
            (InvalidBatch::TooLarge { size: 2, limit: 1 }, ErrorCode::MessageTooLarge, false),
            (InvalidBatch::ZstdTooEarly(3), ErrorCode::UnsupportedCompressionType, false),
            (InvalidBatch::BaseOffset(77), ErrorCode::InvalidRecord, true),
            (InvalidBatch::Control, ErrorCode::InvalidRecord, true),
            (InvalidBatch::UnknownCodec(5), ErrorCode::UnknownServerError, true),
            (InvalidBatch::Compression(CompressionError::TooLarge { limit: 1 }), ErrorCode::UnknownServerError, true),
            (InvalidBatch::Leftover(3), ErrorCode::InvalidRecord, true),
        ] {
            assert_eq!(invalid_code(&error), code, "{error}");
            assert_eq!(tells_log_start(&AppendError::Invalid(error.clone())), tells, "{error}");
        }
        assert!(!tells_log_start(&AppendError::NotLeader));
    }
}
