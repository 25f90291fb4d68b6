//! From the controller's reasons to Kafka's error codes.

use felice_protocol::error::ErrorCode;

use crate::{
    controller::{Reason, Refusal},
    quorum::SubmitError,
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
        Err(refusal) => (code(refusal.reason).code(), refusal.message.clone()),
    }
}

/// What a client is told where the quorum could not commit: all of these are worth a retry.
pub fn of_submit(error: &SubmitError) -> (i16, Option<String>) {
    (ErrorCode::NotController.code(), Some(error.to_string()))
}
