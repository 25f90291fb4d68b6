//! ConsumerGroupDescribe (key 69): consumer groups with their members and what these read (KIP-848).
//!
//! - v1: the type of each member (KIP-1099).

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup},
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
        for group_id in request.group_ids {
            let mut group: DescribedGroup = if group_id.is_empty() {
                failed(group_id, ErrorCode::InvalidGroupId)
            } else {
                let query = Query::ConsumerGroupDescribe(group_id.clone());
                groups::query(&services, &group_id, query).await.unwrap_or_else(|error| failed(group_id, error))
            };
            group.authorized_operations =
                operations::group(request.include_authorized_operations && group.error_code == 0);
            described.push(group);
        }
        ConsumerGroupDescribeResponse { groups: described, ..ConsumerGroupDescribeResponse::default() }
    }))
}
