//! Calls that are carried out as a whole or not at all.

use std::sync::Arc;

use felice_protocol::{coordinator::GroupRecord, error::ErrorCode};

use super::{
    super::{GroupMachine, Timer, Timers, classic::ClassicGroup, machine::Cx},
    after,
    member::MemberState,
    refusal::Refusal,
};

/// What a batch takes beyond its records, and each of these beyond key and value, rounded up.
const BATCH_OVERHEAD: usize = 256;
const RECORD_OVERHEAD: usize = 64;

/// A classic group that a call has made a consumer group, should the call be refused after all.
#[derive(Debug)]
pub(super) struct Taken {
    group: ClassicGroup,
    timers: Timers,
    /// How many answers there were before those to whoever waited for the group.
    answers: usize,
}

impl GroupMachine {
    /// What a refused call has written was never written. A call that would write more than fits a batch is refused: what it
    /// has written could not be kept.
    pub(super) fn or_undo<T>(
        &mut self,
        cx: &mut Cx<'_>,
        group_id: &str,
        attempt: impl FnOnce(&mut GroupMachine, &mut Cx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (state, written) = (self.state.clone(), cx.out.records.len());
        let mut result = attempt(self, cx);
        if result.is_ok() && !self.fits_batch(cx.out.records.iter().skip(written)) {
            result = Err(Refusal { error: ErrorCode::UnknownServerError, message: None });
        }
        let taken = self.soft.consumer.taken.take();
        if result.is_err() && cx.out.records.len() > written {
            self.state = state;
            cx.out.records.truncate(written);
            self.soft.consumer.reload(&self.state, group_id);
            match taken {
                None => self.watch_revocations(cx, group_id),
                Some(taken) => {
                    self.soft.timers = taken.timers;
                    self.soft.classic.restore(taken.group);
                    cx.out.answers.truncate(taken.answers);
                }
            }
        }
        result
    }

    /// Ends a classic group, so that it is again what it was where the call is refused.
    pub(super) fn take_classic_for_now(&mut self, cx: &mut Cx<'_>, group_id: &str) {
        let Some(group) = self.classic_group(group_id).cloned() else { return };
        let taken = Taken { group, timers: self.soft.timers.clone(), answers: cx.out.answers.len() };
        self.soft.consumer.taken = Some(Box::new(taken));
        self.take_classic(cx, group_id);
    }

    fn fits_batch<'a>(&self, records: impl IntoIterator<Item = &'a GroupRecord>) -> bool {
        let sizes = records.into_iter().map(size_of);
        sizes.fold(BATCH_OVERHEAD, usize::saturating_add) <= self.settings.record_max_bytes
    }

    /// Gives each member that has to give something up its time, where that does not run.
    fn watch_revocations(&mut self, cx: &Cx<'_>, group_id: &str) {
        let Some((group_id, group)) = self.state.consumer.get_key_value(group_id) else { return };
        for (member_id, member) in &group.members {
            let is_revoking = group.member_state(member_id) == MemberState::UnrevokedPartitions;
            let timer = Timer::ConsumerRebalance { group: Arc::clone(group_id), member: Arc::clone(member_id) };
            if is_revoking && member.classic_member_metadata.is_none() && self.soft.timers.deadline(&timer).is_none() {
                self.soft.timers.set(timer, after(cx.now, member.rebalance_timeout_ms));
            }
        }
    }
}

/// Not less than what a record of a consumer group takes in a batch. One that cannot be written at all fits nowhere.
pub(super) fn size_of(record: &GroupRecord) -> usize {
    let key = record.encode_key().map_or(usize::MAX, |key| key.len());
    let value = record.encode_value(record.record_type().versions.max);
    let value = value.map_or(usize::MAX, |value| value.map_or(0, |value| value.len()));
    key.saturating_add(value).saturating_add(RECORD_OVERHEAD)
}
