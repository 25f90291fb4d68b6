//! Groups change their kind while they live (`group.consumer.migration.policy`).

use std::sync::Arc;

use felice_protocol::{error::ErrorCode, messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest};

use super::{
    super::{GroupMachine, machine::Cx},
    refusal::Refusal,
};

impl GroupMachine {
    /// Who joins a group of which there is nothing makes it.
    pub(super) fn enter_consumer_group(
        &mut self,
        _cx: &mut Cx<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        joins: bool,
    ) -> Result<(), Refusal> {
        let group_id = request.group_id.as_str();
        let not_found = |message| Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
        if self.state.consumer.contains_key(group_id) {
            Ok(())
        } else if self.state.classic.contains_key(group_id) {
            not_found(format!("Group {group_id} is not a consumer group."))
        } else if joins {
            Ok(())
        } else {
            not_found(format!("Consumer group {group_id} not found."))
        }
    }

    /// Whether the group has become a classic one, because without these members it speaks the classic protocol only.
    pub(super) fn downgrade_without(&mut self, _cx: &mut Cx<'_>, _group_id: &str, _leaving: &[Arc<str>]) -> bool {
        false
    }
}
