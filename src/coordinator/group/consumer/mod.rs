//! Consumer groups (KIP-848): members heartbeat, the coordinator assigns, and each member moves to its target by itself.
//!
//! ```text
//!  ConsumerGroupHeartbeat ──> member: what it says      changes ──> group epoch       heartbeat.rs, regex.rs
//!                             topics: hash (KIP-1101)   changes ──> group epoch       topics.rs
//!                             group epoch > assignment epoch    ──> target assignment target.rs
//!                             member epoch < assignment epoch   ──> current assignment reconcile.rs
//!  LEAVE, session, rebalance timeout ─────────────────────────────> group epoch       leave.rs
//! ```
//!
//! All of it is records; what is counted of them is an [`Index`](live::Index) that each record updates, so that a heartbeat
//! that changes nothing costs a few look-ups and writes nothing.

mod attempt;
mod commit;
mod describe;
mod heartbeat;
mod leave;
mod live;
mod member;
mod membership;
mod migration;
mod reconcile;
mod records;
mod refusal;
mod regex;
mod target;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use live::ConsumerGroups;

use felice_protocol::error::ErrorCode;

use self::{
    member::{LEFT_FOR_NOW, MemberState},
    refusal::Refusal,
};
use super::{ConsumerGroup, GroupMachine, Timer, machine::Cx};
use crate::{metadata::Image, model::Timestamp};

impl GroupMachine {
    /// Indexes what the log says. Sessions begin now.
    pub(super) fn load_consumer(&mut self, now: Timestamp, image: &Image) {
        self.soft.consumer.image = image.clone();
        let groups: Vec<(Arc<str>, ConsumerGroup)> =
            self.state.consumer.iter().map(|(group_id, group)| (Arc::clone(group_id), group.clone())).collect();
        for (group_id, group) in groups {
            self.soft.consumer.reload(&self.state, &group_id);
            for (member_id, member) in &group.members {
                let session_ms = member.classic_member_metadata.as_ref().map_or_else(
                    || self.settings.consumer_group(image, &group_id).session_timeout_ms,
                    |classic| classic.session_timeout_ms,
                );
                let (group, member_id) = (Arc::clone(&group_id), Arc::clone(member_id));
                let session = Timer::ConsumerSession { group: Arc::clone(&group), member: Arc::clone(&member_id) };
                self.soft.timers.set(session, after(now, session_ms));
                let current = self.state.consumer.get(&group_id).and_then(|group| group.currents.get(&member_id));
                let is_revoking = current.is_some_and(|current| {
                    MemberState::of(current.state) == MemberState::UnrevokedPartitions
                        && current.member_epoch != LEFT_FOR_NOW
                });
                if is_revoking && member.classic_member_metadata.is_none() {
                    let rebalance = Timer::ConsumerRebalance { group, member: member_id };
                    self.soft.timers.set(rebalance, after(now, member.rebalance_timeout_ms));
                }
            }
        }
    }

    /// Topics were made, grew or are gone, or groups' settings have changed. Groups learn of it by their members' heartbeats.
    pub(super) fn consumer_topics_changed(&mut self, cx: &mut Cx<'_>) {
        self.soft.consumer.look_at_topics(cx.image);
    }

    fn consumer_group(&self, group_id: &str) -> Result<&ConsumerGroup, Refusal> {
        self.state.consumer.get(group_id).ok_or_else(|| {
            let why = if self.state.classic.contains_key(group_id) { "is not a consumer group" } else { "not found" };
            Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {group_id} {why}."))
        })
    }

    /// A member of the consumer protocol was heard of.
    fn renew_consumer_session(&mut self, cx: &Cx<'_>, group_id: &str, member_id: &Arc<str>) {
        let timeout_ms = self.settings.consumer_group(cx.image, group_id).session_timeout_ms;
        self.renew_session_for(cx, group_id, member_id, timeout_ms);
    }

    fn renew_session_for(&mut self, cx: &Cx<'_>, group_id: &str, member_id: &Arc<str>, timeout_ms: i32) {
        let timer = Timer::ConsumerSession { group: group_id.into(), member: Arc::clone(member_id) };
        self.soft.timers.set(timer, after(cx.now, timeout_ms));
    }

    fn cancel_consumer_timers(&mut self, group_id: &str, member_id: &str) {
        let (group, member): (Arc<str>, Arc<str>) = (group_id.into(), member_id.into());
        self.soft.timers.cancel(&Timer::ConsumerSession { group: Arc::clone(&group), member: Arc::clone(&member) });
        self.soft.timers.cancel(&Timer::ConsumerRebalance { group, member });
        self.cancel_classic_timers(group_id, member_id);
    }

    /// Those of a member that speaks the classic protocol, besides its session.
    fn cancel_classic_timers(&mut self, group_id: &str, member_id: &str) {
        let (group, member): (Arc<str>, Arc<str>) = (group_id.into(), member_id.into());
        self.soft.timers.cancel(&Timer::ConsumerJoin { group: Arc::clone(&group), member: Arc::clone(&member) });
        self.soft.timers.cancel(&Timer::ConsumerSync { group, member });
    }
}

/// Whatever a client has sent as a timeout, there is such a time.
fn after(now: Timestamp, ms: i32) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::from(ms.max(0))))
}
