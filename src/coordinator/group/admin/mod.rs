//! What operators ask: which groups there are, what they are like, and to delete them.
//!
//! What is asked is answered of groups whose records are committed; the states of classic groups are those of the moment,
//! since the log does not tell them.

#[cfg(test)]
mod tests;

use std::ops::Bound;

use felice_protocol::{
    coordinator::{GroupRecord, offsets::GroupMetadataKey},
    error::ErrorCode,
    messages::{
        consumer_group_describe, delete_groups::DeletableGroupResult, describe_groups, list_groups::ListedGroup,
    },
};

use super::{Answer, Caller, GroupMachine, State, machine::Cx, offsets::Kind};
use crate::{metadata::Image, model::Timestamp};

impl GroupMachine {
    /// Deletes a group that has no members, with its offsets.
    pub(super) fn delete_group(&mut self, cx: &mut Cx<'_>, caller: &Caller, group_id: String) {
        let error = match self.check_deletion(&group_id) {
            Ok(kind) => {
                // The group goes last: as long as something of it is left, it can be deleted again.
                cx.out.is_divisible = true;
                self.forget_all(cx, &group_id);
                match kind {
                    Kind::Consumer => self.delete_consumer(cx, &group_id),
                    Kind::Classic => self.delete_classic(cx, &group_id),
                    Kind::Simple => {
                        let key = GroupMetadataKey { group: group_id.clone(), ..GroupMetadataKey::default() };
                        self.write(cx, GroupRecord::GroupMetadata(key, None));
                    }
                }
                ErrorCode::None
            }
            Err(error) => error,
        };
        let answer = DeletableGroupResult { group_id, error_code: error.code(), ..DeletableGroupResult::default() };
        cx.out.answer(caller.call, Answer::DeleteGroup(answer));
    }

    fn check_deletion(&self, group_id: &str) -> Result<Kind, ErrorCode> {
        let kind = self.kind(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        match self.state_name(kind, &self.state, group_id) {
            "Empty" => Ok(kind),
            "Dead" => Err(ErrorCode::GroupIdNotFound),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// Kafka's name for the state that a group is in.
    fn state_name(&self, kind: Kind, of: &State, group_id: &str) -> &'static str {
        match kind {
            Kind::Consumer => self.consumer_state(of, group_id).unwrap_or("Empty"),
            Kind::Classic | Kind::Simple => self.classic_state(group_id).unwrap_or("Empty"),
        }
    }

    /// The groups in one of the states and of one of the types, or in any where none is named. Case does not matter, and
    /// with states, as in Kafka, neither does space around them; a name that is none finds nothing.
    pub(super) fn list_groups(
        &self,
        _now: Timestamp,
        committed: &State,
        states: &[String],
        types: &[String],
    ) -> Vec<ListedGroup> {
        let has_type = |name: &str| types.is_empty() || types.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        let has_state =
            |name: &str| states.is_empty() || states.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name));
        let listed = committed.group_ids(Bound::Unbounded).filter_map(|group_id| {
            let kind = committed.kind(group_id)?;
            let (group_type, protocol_type) = match kind {
                Kind::Consumer => ("consumer", "consumer"),
                Kind::Classic | Kind::Simple => {
                    let stored = || committed.classic.get(group_id).map(|value| value.protocol_type.as_str());
                    ("classic", self.classic_protocol_type(group_id).or_else(stored).unwrap_or_default())
                }
            };
            let state = self.state_name(kind, committed, group_id);
            let wanted = has_type(group_type) && has_state(state);
            wanted.then(|| ListedGroup {
                group_id: group_id.to_string(),
                protocol_type: protocol_type.to_owned(),
                group_state: state.to_owned(),
                group_type: group_type.to_owned(),
                ..ListedGroup::default()
            })
        });
        listed.collect()
    }

    /// A classic group. One that is not there is `Dead` *and* GROUP_ID_NOT_FOUND: the versions of the request that know no
    /// such error leave it out.
    pub(super) fn describe_group(&self, committed: &State, group_id: &str) -> describe_groups::DescribedGroup {
        let dead = |message: String| describe_groups::DescribedGroup {
            group_id: group_id.to_owned(),
            group_state: "Dead".to_owned(),
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(message),
            ..describe_groups::DescribedGroup::default()
        };
        match committed.kind(group_id) {
            None => dead(format!("Group {group_id} not found.")),
            Some(Kind::Consumer) => dead(format!("Group {group_id} is not a classic group.")),
            Some(Kind::Classic | Kind::Simple) => {
                self.describe_classic(group_id).unwrap_or_else(|| describe_groups::DescribedGroup {
                    group_id: group_id.to_owned(),
                    group_state: "Empty".to_owned(),
                    ..describe_groups::DescribedGroup::default()
                })
            }
        }
    }

    pub(super) fn describe_consumer_group(
        &self,
        committed: &State,
        image: &Image,
        group_id: &str,
    ) -> consumer_group_describe::DescribedGroup {
        let not_found = |message: String| consumer_group_describe::DescribedGroup {
            group_id: group_id.to_owned(),
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(message),
            ..consumer_group_describe::DescribedGroup::default()
        };
        match committed.kind(group_id) {
            None => not_found(format!("Group {group_id} not found.")),
            Some(Kind::Classic | Kind::Simple) => not_found(format!("Group {group_id} is not a consumer group.")),
            Some(Kind::Consumer) => self
                .describe_consumer(committed, image, group_id)
                .unwrap_or_else(|| not_found(format!("Group {group_id} not found."))),
        }
    }
}
