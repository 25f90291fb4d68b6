//! From the controller's reasons to Kafka's error codes.

use felice_protocol::error::ErrorCode;

use crate::{
    controller::{Reason, Refusal},
    quorum::SubmitError,
    replica::Trouble,
};

pub fn code(reason: Reason) -> ErrorCode {
    match reason {
        Reason::UnknownServerError => ErrorCode::UnknownServerError,
        Reason::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        Reason::InvalidTopic => ErrorCode::InvalidTopicException,
        Reason::TopicAlreadyExists => ErrorCode::TopicAlreadyExists,
        Reason::InvalidPartitions => ErrorCode::InvalidPartitions,
        Reason::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        Reason::InvalidReplicaAssignment => ErrorCode::InvalidReplicaAssignment,
        Reason::InvalidConfig => ErrorCode::InvalidConfig,
        Reason::InvalidRequest => ErrorCode::InvalidRequest,
        Reason::PolicyViolation => ErrorCode::PolicyViolation,
        Reason::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
        Reason::UnknownTopicId => ErrorCode::UnknownTopicId,
        Reason::InconsistentClusterId => ErrorCode::InconsistentClusterId,
        Reason::InvalidRegistration => ErrorCode::InvalidRegistration,
    }
}

/// Code and message of a result.
pub fn of<T>(result: &Result<T, Refusal>) -> (i16, Option<String>) {
    match result {
        Ok(_) => (ErrorCode::None.code(), None),
        Err(refusal) => (code(refusal.reason).code(), refusal.message.clone().map(short)),
    }
}

/// A message that repeats what a client said, at a length that an answer can carry: strings end at 32767 bytes.
pub fn short(mut message: String) -> String {
    const BYTES_MAX: usize = 1000;
    if message.len() > BYTES_MAX {
        message.truncate(message.floor_char_boundary(BYTES_MAX));
        message.push_str("...");
    }
    message
}

/// What a client is told where the quorum could not commit: all of these are worth a retry.
pub fn of_submit(error: &SubmitError) -> (i16, Option<String>) {
    (ErrorCode::NotController.code(), Some(error.to_string()))
}

/// What a client is told that wants something new put on a disk that takes nothing. Kafka's controller knows nothing of the
/// disks: there such a topic exists and has no leader.
pub fn of_trouble(trouble: Trouble) -> (i16, Option<String>) {
    (ErrorCode::KafkaStorageError.code(), Some(trouble.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(short("as it is".to_owned()), "as it is");
        assert_eq!(short("ü".repeat(500)), "ü".repeat(500));
        assert_eq!(short("x".to_owned() + &"ü".repeat(20_000)), "x".to_owned() + &"ü".repeat(499) + "...");
    }
}
