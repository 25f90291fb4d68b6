//! ListGroups (key 16): the groups that this broker coordinates.
//!
//! - v1: throttle time. v3: flexible. v4: states, in the answer and to ask for (KIP-518). v5: types, likewise (KIP-848).

use std::{collections::BTreeSet, sync::Arc};

use felice_protocol::{
    error::ErrorCode,
    messages::list_groups::{ListGroupsRequest, ListGroupsResponse},
};

use super::{Answer, Context};

/// The states and types that groups here can be in and of.
const STATES: &[&str] = &["Assigning", "CompletingRebalance", "Empty", "PreparingRebalance", "Reconciling", "Stable"];
const TYPES: &[&str] = &["classic", "consumer"];

pub fn handle(cx: &Context<'_>, request: ListGroupsRequest) -> Answer<ListGroupsResponse> {
    let services = Arc::clone(cx.services);
    // With states, as in Kafka, space around them does not matter.
    let states = filter(request.states_filter.iter().map(|state| state.trim()), STATES);
    let types = filter(request.types_filter.iter().map(String::as_str), TYPES);
    Answer::Later(Box::pin(async move {
        let (groups, error) = services.groups.list(&states, &types).await;
        // Some of the groups would be taken for all.
        let groups = if error == ErrorCode::None { groups } else { Vec::new() };
        ListGroupsResponse { groups, error_code: error.code(), ..ListGroupsResponse::default() }
    }))
}

/// Each name that is known, once, and one for all others, which no group has: a request may have a great many, and every group is held
/// against them. None where everything is asked for.
fn filter<'a>(asked: impl Iterator<Item = &'a str>, known: &[&'static str]) -> Vec<String> {
    let known = |asked: &str| known.iter().find(|name| name.eq_ignore_ascii_case(asked)).copied();
    let names: BTreeSet<&str> = asked.map(|asked| known(asked).unwrap_or("none")).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_asked_for_little_is_to_be_looked_for() {
        let asked = |names: &[&str]| filter(names.iter().copied(), STATES);
        assert_eq!(asked(&[]), Vec::<String>::new());
        assert_eq!(asked(&["stable", "EMPTY", "Stable"]), ["Empty", "Stable"]);
        assert_eq!(asked(&["", "Dead", "Unknown"]), ["none"]);
        let many: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        assert_eq!(filter(many.iter().map(String::as_str).chain(["stable"]), STATES), ["Stable", "none"]);
    }
}
