//! ListGroups (key 16): the groups that this broker coordinates.
//!
//! - v1: throttle time. v3: flexible. v4: states, in the answer and to ask for (KIP-518). v5: types, likewise (KIP-848).

use std::sync::Arc;

use felice_protocol::{
    error::ErrorCode,
    messages::list_groups::{ListGroupsRequest, ListGroupsResponse},
};

use super::{Answer, Context};

pub fn handle(cx: &Context<'_>, request: ListGroupsRequest) -> Answer<ListGroupsResponse> {
    let services = Arc::clone(cx.services);
    Answer::Later(Box::pin(async move {
        let (groups, error) = services.groups.list(&request.states_filter, &request.types_filter).await;
        // Some of the groups would be taken for all.
        let groups = if error == ErrorCode::None { groups } else { Vec::new() };
        ListGroupsResponse { groups, error_code: error.code(), ..ListGroupsResponse::default() }
    }))
}
