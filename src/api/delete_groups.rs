//! DeleteGroups (key 42): deletes groups without members, with their offsets.
//!
//! - v1: throttling is told after the response. v2: flexible.

use std::collections::HashSet;

use felice_protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use tokio::sync::oneshot;

use super::{
    Answer, Context,
    groups::{self, Told},
};
use crate::coordinator::{
    Answered,
    group::{self, Command},
};

pub fn handle(cx: &Context<'_>, request: DeleteGroupsRequest) -> Answer<DeleteGroupsResponse> {
    let mut seen = HashSet::new();
    // As Kafka, one answer for each group, however often it was named.
    let named = request.groups_names.into_iter().filter(|group_id| seen.insert(group_id.clone()));
    let submit = |group_id| match cx.services.groups.submit(groups::caller(cx), Command::DeleteGroup(group_id)) {
        Answered::Now(answer) => Deletion::Done(DeletableGroupResult::of(answer)),
        Answered::Later(answer) => Deletion::Waits(answer),
    };
    let deletions: Vec<Deletion> = named.map(submit).collect();
    Answer::LaterOrClose(Box::pin(async move {
        let mut results = Vec::with_capacity(deletions.len());
        for deletion in deletions {
            results.push(match deletion {
                Deletion::Done(result) => result?,
                Deletion::Waits(answer) => DeletableGroupResult::of(answer.await.ok()?)?,
            });
        }
        Some(DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
    }))
}

enum Deletion {
    Done(Option<DeletableGroupResult>),
    Waits(oneshot::Receiver<group::Answer>),
}
