//! Why a call of a consumer group's member is refused, and what of a request can be refused without looking at the group.

use felice_protocol::{error::ErrorCode, messages::consumer_group_heartbeat::*};

use super::{
    super::GroupSettings,
    member::{LEFT, LEFT_FOR_NOW},
};

/// An error and what to tell people of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub error: ErrorCode,
    pub message: Option<String>,
}

impl Refusal {
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error, message: Some(message.into()) }
    }

    pub fn heartbeat(self) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            error_code: self.error.code(),
            error_message: self.message,
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    pub fn unknown_member(group_id: &str, member_id: &str) -> Refusal {
        Refusal::new(ErrorCode::UnknownMemberId, format!("Member {member_id} is not a member of group {group_id}."))
    }

    pub fn unknown_instance(instance_id: &str) -> Refusal {
        Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance_id} is unknown."))
    }

    pub fn fenced_instance(instance_id: &str, member_id: &str, owner: &str) -> Refusal {
        Refusal::new(
            ErrorCode::FencedInstanceId,
            format!("Static member {member_id} with instance id {instance_id} was fenced by member {owner}."),
        )
    }
}

/// Checks what needs no group to be looked at, in Kafka's order.
pub(super) fn check(
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    settings: &GroupSettings,
) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if !settings.serves_consumer_protocol {
        return Err(Refusal { error: ErrorCode::UnsupportedVersion, message: None });
    }
    // From version 1 on members name themselves (KIP-1082).
    let has_id = version >= 1 || request.member_epoch > 0 || request.member_epoch == LEFT;
    if has_id && is_blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(is_blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(is_blank) {
        return invalid("RackId can't be empty.");
    }
    match request.member_epoch {
        0 => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        }
        LEFT_FOR_NOW if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        epoch if epoch < LEFT_FOR_NOW => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match &request.server_assignor {
        Some(assignor) if !settings.assignors.contains(assignor) => Err(Refusal::new(
            ErrorCode::UnsupportedAssignor,
            format!(
                "ServerAssignor {assignor} is not supported. Supported assignors: {}.",
                settings.assignors.join(", ")
            ),
        )),
        _ => Ok(()),
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c <= ' ')
}
