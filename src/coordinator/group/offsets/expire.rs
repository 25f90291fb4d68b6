//! Retention (KIP-211): offsets that nobody has committed anew for `offsets.retention.minutes` go, and groups of which
//! nothing is left.
//!
//! | group | its offsets' time runs from |
//! |---|---|
//! | has no members | when it lost the last one; the commit, where that is not known (simple groups, consumer groups) |
//! | has members that are consumers, and is stable | the commit; offsets of topics that a member reads stay |
//! | other classic groups | they stay |
//!
//! A commit that named its own retention (OffsetCommit 2 to 4) has its own time instead. Offsets of topics that are gone go
//! too: the coordinator may have been down when that happened.

use std::{ops::Bound, sync::Arc};

use felice_protocol::{
    Uuid,
    coordinator::{GroupRecord, offsets::GroupMetadataKey},
};

use super::{Kind, OffsetsSoft};
use crate::{
    coordinator::group::{CommittedOffset, GroupMachine, Timer, machine::Cx},
    metadata::Image,
    model::{Timestamp, TopicId},
};

/// How many groups and offsets one step looks at.
const LOOKED_AT_PER_STEP: usize = 10_000;
/// How many tombstones one step writes: they are one append.
pub(super) const DELETED_PER_STEP: usize = 1_000;

/// Where a pass over all groups is.
#[derive(Debug, Clone)]
pub struct Cursor {
    groups: Bound<Arc<str>>,
    /// Within the group of an inclusive bound: topic and partition that it has come to.
    after: Option<(Arc<str>, i32)>,
}

/// From when on an offset's time runs that does not have its own.
#[derive(Debug, Clone, Copy)]
enum Runs {
    Never,
    FromCommit,
    From(Timestamp),
}

/// What one step may still do.
pub(super) struct Budget {
    pub looks: usize,
    pub deletions: usize,
}

impl Budget {
    pub const FULL: Budget = Budget { looks: LOOKED_AT_PER_STEP, deletions: DELETED_PER_STEP };

    pub fn is_spent(&self) -> bool {
        self.looks == 0 || self.deletions == 0
    }
}

impl OffsetsSoft {
    /// The clock was set by so many milliseconds.
    pub(in crate::coordinator::group) fn shift(&mut self, by_ms: i64) {
        self.next_pass = Timestamp(self.next_pass.0.saturating_add(by_ms));
    }
}

impl GroupMachine {
    pub(in crate::coordinator::group) fn load_offsets(&mut self, now: Timestamp) {
        self.soft.offsets.next_pass = self.pass_after(now);
        self.set_expiry(now);
    }

    /// Removes what has expired, and groups of which nothing is left: a slice of it each time.
    pub(in crate::coordinator::group) fn expire_offsets(&mut self, cx: &mut Cx<'_>) {
        cx.out.is_divisible = true;
        if self.soft.offsets.forgetting.is_some() {
            self.forget_slice(cx);
        } else {
            let begun = self.soft.offsets.pass.take();
            let due = self.soft.offsets.next_pass <= cx.now;
            let start = || Cursor { groups: Bound::Unbounded, after: None };
            if let Some(cursor) = begun.or_else(|| due.then(start)) {
                self.soft.offsets.pass = self.expire_slice(cx, cursor);
                if self.soft.offsets.pass.is_none() {
                    self.soft.offsets.next_pass = self.pass_after(cx.now);
                }
            }
        }
        self.set_expiry(cx.now);
    }

    /// Work that has begun goes on soon, but lets commands in.
    pub(super) fn set_expiry(&mut self, now: Timestamp) {
        let offsets = &self.soft.offsets;
        let begun = offsets.forgetting.is_some() || offsets.pass.is_some();
        let at = if begun { Timestamp(now.0.saturating_add(1)) } else { offsets.next_pass };
        self.soft.timers.set(Timer::Expiry, at);
    }

    fn pass_after(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.settings.offsets_retention_check_interval_ms.max(1)))
    }

    /// Goes on with a pass; `None` where it is through.
    fn expire_slice(&mut self, cx: &mut Cx<'_>, mut at: Cursor) -> Option<Cursor> {
        let mut budget = Budget::FULL;
        loop {
            let group = self.state.group_ids(at.groups.as_ref().map(|id| &**id)).next()?.clone();
            let after = at.after.take().filter(|_| at.groups == Bound::Included(group.clone()));
            if budget.is_spent() {
                return Some(Cursor { groups: Bound::Included(group), after });
            }
            budget.looks -= 1;
            let stopped = self.expire_group(cx, &group, after, &mut budget);
            if stopped.is_some() {
                return Some(Cursor { groups: Bound::Included(group), after: stopped });
            }
            let written = cx.out.records.len();
            self.delete_if_nothing_is_left(cx, &group);
            budget.deletions = budget.deletions.saturating_sub(cx.out.records.len() - written);
            at = Cursor { groups: Bound::Excluded(group), after: None };
        }
    }

    /// Removes expired offsets of a group behind a place, and tells the place that it has come to if it has to stop.
    fn expire_group(
        &mut self,
        cx: &mut Cx<'_>,
        group: &Arc<str>,
        after: Option<(Arc<str>, i32)>,
        budget: &mut Budget,
    ) -> Option<(Arc<str>, i32)> {
        let kind = self.kind(group)?;
        let runs = self.runs(kind, group);
        let retention_ms = i64::from(self.settings.offsets_retention_minutes) * 60_000;
        let mut expired = Vec::new();
        let mut at = after;
        let mut stopped = false;
        if let Some(topics) = self.state.offsets.get(group) {
            let from = at.as_ref().map_or(Bound::Unbounded, |(topic, _)| Bound::Included(topic.clone()));
            'topics: for (topic, offsets) in topics.range((from, Bound::Unbounded)) {
                let is_read = self.subscribes(kind, group, topic);
                let behind = at.as_ref().filter(|(name, _)| name == topic);
                let from = behind.map_or(Bound::Unbounded, |(_, partition)| Bound::Excluded(*partition));
                for (partition, offset) in offsets.range((from, Bound::Unbounded)) {
                    if budget.is_spent() {
                        stopped = true;
                        break 'topics;
                    }
                    budget.looks -= 1;
                    at = Some((topic.clone(), *partition));
                    let goes =
                        topic_is_gone(offset, topic, cx.image) || (!is_read && runs.out(offset, cx.now, retention_ms));
                    if goes && !self.state.is_pending(group, topic, *partition) {
                        budget.deletions -= 1;
                        expired.push((topic.clone(), *partition));
                    }
                }
            }
        }
        for (topic, partition) in expired {
            self.forget(cx, group, &topic, partition);
        }
        at.filter(|_| stopped)
    }

    /// When offsets of the group expire.
    fn runs(&self, kind: Kind, group: &str) -> Runs {
        let Some(classic) = self.classic_group(group).filter(|_| kind == Kind::Classic) else {
            return Runs::FromCommit;
        };
        match self.classic_state(group) {
            // It was never joined.
            _ if classic.protocol_type().is_none() => Runs::FromCommit,
            Some("Empty") => classic.since().map_or(Runs::FromCommit, Runs::From),
            Some("Stable") if classic.is_of_consumers() && classic.knows_topics() => Runs::FromCommit,
            _ => Runs::Never,
        }
    }

    fn delete_if_nothing_is_left(&mut self, cx: &mut Cx<'_>, group: &str) {
        let has_offsets = self.state.offsets.contains_key(group) || self.state.pending_of(group).next().is_some();
        if has_offsets {
            return;
        }
        match self.kind(group) {
            Some(Kind::Consumer) if self.consumer_state(&self.state, group) == Some("Empty") => {
                self.delete_consumer(cx, group);
            }
            Some(Kind::Classic) if self.classic_state(group) == Some("Empty") => self.delete_classic(cx, group),
            Some(_) => {}
            // It was made of the offsets that have just gone. Kafka ends it like any other.
            None => {
                let key = GroupMetadataKey { group: group.to_owned(), ..GroupMetadataKey::default() };
                self.write(cx, GroupRecord::GroupMetadata(key, None));
            }
        }
    }
}

impl Runs {
    /// Whether an offset's time has run out.
    fn out(self, offset: &CommittedOffset, now: Timestamp, retention_ms: i64) -> bool {
        let from = match self {
            Runs::Never => return false,
            Runs::FromCommit => offset.committed_at,
            Runs::From(empty_since) => empty_since,
        };
        match offset.expires_at {
            Some(at) => now >= at,
            None => now.0.saturating_sub(from.0) >= retention_ms,
        }
    }
}

/// Neither its id nor its name is known. One of another id that has the name may be the same in a log that came from elsewhere.
fn topic_is_gone(offset: &CommittedOffset, name: &str, image: &Image) -> bool {
    offset.topic_id != Uuid::default()
        && image.topic_by_id(TopicId(offset.topic_id)).is_none()
        && image.topic(name).is_none()
}
