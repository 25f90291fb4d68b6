//! ConsumerGroupDescribe (key 69): consumer groups with their members and what these read (KIP-848).
//!
//! - v1: the type of each member (KIP-1099).

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::consumer_group_describe::{
        Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    },
};

use super::{Answer, Context, groups, operations};
use crate::coordinator::group::Query;

pub fn handle(cx: &Context<'_>, request: ConsumerGroupDescribeRequest) -> Answer<ConsumerGroupDescribeResponse> {
    let failed = |group_id: String, error: ErrorCode| DescribedGroup {
        group_id,
        error_code: error.code(),
        ..DescribedGroup::default()
    };
    if !groups::serves_consumer_protocol(cx.services) {
        let refused = |group_id| failed(group_id, ErrorCode::UnsupportedVersion);
        return Answer::Now(ConsumerGroupDescribeResponse {
            groups: request.group_ids.into_iter().map(refused).collect(),
            ..ConsumerGroupDescribeResponse::default()
        });
    }
    let services = Arc::clone(cx.services);
    Answer::Later(Box::pin(async move {
        let mut described = Vec::with_capacity(request.group_ids.len());
        let mut left = groups::ANSWER_MAX;
        for group_id in request.group_ids {
            let mut group: DescribedGroup = if group_id.is_empty() {
                failed(group_id, ErrorCode::InvalidGroupId)
            } else if left == 0 {
                failed(group_id, ErrorCode::PolicyViolation)
            } else {
                let query = Query::ConsumerGroupDescribe(group_id.clone());
                groups::query(&services, &group_id, query).await.unwrap_or_else(|error| failed(group_id, error))
            };
            group.authorized_operations =
                operations::group(request.include_authorized_operations && group.error_code == 0);
            left = left.saturating_sub(size(&group));
            described.push(group);
        }
        ConsumerGroupDescribeResponse { groups: described, ..ConsumerGroupDescribeResponse::default() }
    }))
}

/// About what an answer takes, in bytes.
fn size(group: &DescribedGroup) -> usize {
    let assignment = |assignment: &Assignment| {
        let topics = assignment.topic_partitions.iter();
        topics.map(|topic| size_of_val(topic) + topic.topic_name.len() + 4 * topic.partitions.len()).sum::<usize>()
    };
    let member = |member: &Member| {
        let topics = member.subscribed_topic_names.iter().map(|name| size_of_val(name) + name.len()).sum::<usize>();
        let names = member.member_id.len() + member.client_id.len() + member.client_host.len() + topics;
        size_of_val(member) + names + assignment(&member.assignment) + assignment(&member.target_assignment)
    };
    size_of_val(group) + group.group_id.len() + group.members.iter().map(member).sum::<usize>()
}
