//! DeleteGroups (key 42): deletes groups without members, with their offsets.
//!
//! - v1: throttling is told after the response. v2: flexible.

use std::collections::HashSet;

use felice_protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Answer, Context, groups};
use crate::coordinator::{Answered, group::Command};

pub fn handle(cx: &Context<'_>, request: DeleteGroupsRequest) -> Answer<DeleteGroupsResponse> {
    let mut seen = HashSet::new();
    // As Kafka, one answer for each group, however often it was named.
    let named = request.groups_names.into_iter().filter(|group_id| seen.insert(group_id.clone()));
    let answers: Vec<Answered> =
        named.map(|group_id| cx.services.groups.submit(groups::caller(cx), Command::DeleteGroup(group_id))).collect();
    Answer::LaterOrClose(Box::pin(async move {
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            let answer = match answer {
                Answered::Now(answer) => answer,
                Answered::Later(answer) => answer.await.ok()?,
            };
            results.push(<DeletableGroupResult as groups::Told>::of(answer)?);
        }
        Some(DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
    }))
}
