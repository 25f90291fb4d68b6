//! One step of a member towards its target: first it gives up what it shall not have, then it gets what others have given up.
//! (KIP-848, "Reconciliation of the Group")

use std::collections::BTreeSet;

use felice_protocol::{
    Uuid, coordinator::consumer_group::TopicPartition,
    messages::consumer_group_heartbeat::TopicPartitions as OwnedPartitions,
};

use super::member::{MemberState, Partitions, Standing};
use crate::env::faults::{Fault, planted};

/// What a step depends on.
pub(super) struct Step<'a, F: Fn(Uuid, i32) -> bool> {
    pub target_epoch: i32,
    pub target: &'a [TopicPartition],
    /// The topics that the member subscribes to and that exist.
    pub subscribed: &'a BTreeSet<Uuid>,
    pub subscription_changed: bool,
    /// What the member says it has, where it says so.
    pub owned: Option<&'a [OwnedPartitions]>,
    /// Whether nobody else has a partition.
    pub is_free: F,
}

/// A later version has put the member into a state that is not known: it must join anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownState;

impl<F: Fn(Uuid, i32) -> bool> Step<'_, F> {
    /// Where the member stands afterwards; the same where nothing moves.
    pub fn take(&self, member: &Standing) -> Result<Standing, UnknownState> {
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => self.go_on(member, member.epoch),
            MemberState::Stable if self.subscription_changed => self.drop_unsubscribed(member),
            MemberState::Stable => member.clone(),
            MemberState::UnrevokedPartitions if !self.owns_any_of(&member.revoking) => self.go_on(member, member.epoch),
            MemberState::UnrevokedPartitions if self.subscription_changed => self.drop_unsubscribed(member),
            MemberState::UnrevokedPartitions => member.clone(),
            MemberState::UnreleasedPartitions => self.go_on(member, member.epoch),
            MemberState::Unknown if self.owned.is_some_and(<[_]>::is_empty) => self.go_on(member, self.target_epoch),
            MemberState::Unknown => return Err(UnknownState),
        })
    }

    /// Goes as far towards the target as is possible now.
    fn go_on(&self, member: &Standing, epoch: i32) -> Standing {
        let mut assigned = Partitions::new();
        let mut revoking = member.assigned.clone();
        let mut waits = false;
        let mut gets = Vec::new();
        for topic in self.target.iter().filter(|topic| self.subscribed.contains(&topic.topic_id)) {
            for partition in &topic.partitions {
                let kept = revoking.get_mut(&topic.topic_id).and_then(|partitions| partitions.remove(partition));
                if let Some(since) = kept {
                    assigned.entry(topic.topic_id).or_default().insert(*partition, since);
                } else if (self.is_free)(topic.topic_id, *partition) || planted(Fault::AssignUnreleased) {
                    gets.push((topic.topic_id, *partition));
                } else {
                    waits = true;
                }
            }
        }
        revoking.retain(|_, partitions| !partitions.is_empty());
        let next = Standing { assigned, revoking, ..member.clone() };
        if !next.revoking.is_empty() && self.owns_any_of(&next.revoking) {
            return Standing { state: MemberState::UnrevokedPartitions, ..next }.at_epoch(epoch);
        }
        let mut next = Standing { revoking: Partitions::new(), ..next }.at_epoch(self.target_epoch);
        for (topic, partition) in gets {
            next.assigned.entry(topic).or_default().insert(partition, self.target_epoch);
        }
        next.state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next
    }

    /// Takes away what the member no longer subscribes to, whatever the target says.
    fn drop_unsubscribed(&self, member: &Standing) -> Standing {
        let mut next = member.clone();
        next.assigned.retain(|topic, _| self.subscribed.contains(topic));
        if next.assigned.len() == member.assigned.len() {
            return next;
        }
        for (topic, partitions) in member.assigned.iter().filter(|(topic, _)| !self.subscribed.contains(topic)) {
            next.revoking.entry(*topic).or_default().extend(partitions);
        }
        let next = next.at_epoch(member.epoch);
        if self.owns_any_of(&next.revoking) {
            Standing { state: MemberState::UnrevokedPartitions, ..next }
        } else {
            // It has given them up already.
            Standing { revoking: member.revoking.clone(), ..next }
        }
    }

    /// Who does not say what it has may have anything.
    fn owns_any_of(&self, partitions: &Partitions) -> bool {
        self.owned.is_none_or(|owned| {
            owned.iter().any(|topic| {
                partitions
                    .get(&topic.topic_id)
                    .is_some_and(|revoked| topic.partitions.iter().any(|partition| revoked.contains_key(partition)))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid([1; 16]);
    const B: Uuid = Uuid([2; 16]);

    fn partitions(of: &[(Uuid, &[(i32, i32)])]) -> Partitions {
        of.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect())).collect()
    }

    fn target(of: &[(Uuid, &[i32])]) -> Vec<TopicPartition> {
        let topic = |(topic_id, partitions): &(Uuid, &[i32])| TopicPartition {
            topic_id: *topic_id,
            partitions: partitions.to_vec(),
            ..TopicPartition::default()
        };
        of.iter().map(topic).collect()
    }

    fn owned(of: &[(Uuid, &[i32])]) -> Vec<OwnedPartitions> {
        let topic = |(topic_id, partitions): &(Uuid, &[i32])| OwnedPartitions {
            topic_id: *topic_id,
            partitions: partitions.to_vec(),
            ..OwnedPartitions::default()
        };
        of.iter().map(topic).collect()
    }

    fn standing(epoch: i32, state: MemberState, assigned: Partitions, revoking: Partitions) -> Standing {
        Standing { epoch, previous_epoch: epoch - 1, state, assigned, revoking }
    }

    struct Case<'a> {
        member: Standing,
        epoch: i32,
        target: &'a [(Uuid, &'a [i32])],
        owned: Option<&'a [(Uuid, &'a [i32])]>,
        taken: &'a [(Uuid, i32)],
        subscribed: &'a [Uuid],
        changed: bool,
    }

    impl Default for Case<'_> {
        fn default() -> Self {
            Case {
                member: Standing::default(),
                epoch: 5,
                target: &[(A, &[0, 1])],
                owned: None,
                taken: &[],
                subscribed: &[A, B],
                changed: false,
            }
        }
    }

    impl Case<'_> {
        fn take(&self) -> Standing {
            let owned = self.owned.map(owned);
            let step = Step {
                target_epoch: self.epoch,
                target: &target(self.target),
                subscribed: &self.subscribed.iter().copied().collect(),
                subscription_changed: self.changed,
                owned: owned.as_deref(),
                is_free: |topic, partition| !self.taken.contains(&(topic, partition)),
            };
            step.take(&self.member).unwrap()
        }
    }

    use MemberState::*;

    #[test]
    fn who_joins_gets_what_is_free_and_waits_for_the_rest() {
        let all = Case::default().take();
        assert_eq!(
            all,
            Standing {
                previous_epoch: 0,
                ..standing(5, Stable, partitions(&[(A, &[(0, 5), (1, 5)])]), partitions(&[]))
            }
        );
        let one = Case { taken: &[(A, 1)], ..Case::default() }.take();
        assert_eq!((one.epoch, one.state), (5, UnreleasedPartitions));
        assert_eq!(one.assigned, partitions(&[(A, &[(0, 5)])]));
        let later = Case { member: one, owned: Some(&[]), ..Case::default() }.take();
        assert_eq!((later.epoch, later.previous_epoch, later.state), (5, 5, Stable));
        assert_eq!(later.assigned, partitions(&[(A, &[(0, 5), (1, 5)])]));
    }

    #[test]
    fn a_member_keeps_its_epoch_until_it_has_given_up_what_it_shall_not_have() {
        let has = partitions(&[(A, &[(0, 3), (1, 4), (2, 4)])]);
        let member = standing(4, Stable, has, partitions(&[]));
        let told = Case { member, target: &[(A, &[0]), (B, &[7])], ..Case::default() }.take();
        let expected =
            standing(4, UnrevokedPartitions, partitions(&[(A, &[(0, 3)])]), partitions(&[(A, &[(1, 4), (2, 4)])]));
        assert_eq!(told, Standing { previous_epoch: 4, ..expected });
        for owned in [None, Some(&[(A, [0, 2].as_slice())][..])] {
            let still = Case { member: told.clone(), target: &[(A, &[0])], owned, ..Case::default() }.take();
            assert_eq!(still, told);
        }
        let done =
            Case { member: told, target: &[(A, &[0]), (B, &[7])], owned: Some(&[(A, &[0])]), ..Case::default() }.take();
        assert_eq!((done.epoch, done.previous_epoch, done.state), (5, 4, Stable));
        assert_eq!((done.assigned, done.revoking), (partitions(&[(A, &[(0, 3)]), (B, &[(7, 5)])]), partitions(&[])));
    }

    #[test]
    fn what_is_given_back_before_it_was_asked_for_is_not_waited_for() {
        let member = standing(4, Stable, partitions(&[(A, &[(0, 3), (1, 3)])]), partitions(&[]));
        let next = Case { member, target: &[(A, &[0])], owned: Some(&[(A, &[0])]), ..Case::default() }.take();
        assert_eq!((next.epoch, next.state), (5, Stable));
    }

    #[test]
    fn who_subscribes_to_less_loses_it_before_the_target_follows() {
        let has = partitions(&[(A, &[(0, 3)]), (B, &[(1, 3)])]);
        let member = standing(5, Stable, has, partitions(&[]));
        let case = Case { member, target: &[(A, &[0]), (B, &[1])], subscribed: &[A], changed: true, ..Case::default() };
        let next = case.take();
        assert_eq!((next.epoch, next.state), (5, UnrevokedPartitions));
        assert_eq!((next.assigned, next.revoking), (partitions(&[(A, &[(0, 3)])]), partitions(&[(B, &[(1, 3)])])));
        let gone = Case { owned: Some(&[(A, &[0])]), ..case }.take();
        assert_eq!((gone.state, gone.assigned), (Stable, partitions(&[(A, &[(0, 3)])])));
        assert!(gone.revoking.is_empty());
    }

    #[test]
    fn a_state_that_is_not_known_ends_with_a_member_that_has_nothing() {
        let member = standing(4, Unknown, partitions(&[]), partitions(&[]));
        let step = |owned| {
            Step {
                target_epoch: 5,
                target: &[],
                subscribed: &BTreeSet::new(),
                subscription_changed: false,
                owned,
                is_free: |_, _| true,
            }
            .take(&member)
        };
        assert_eq!(step(None), Err(UnknownState));
        assert_eq!(step(Some(&[])).map(|next| (next.epoch, next.state)), Ok((5, Stable)));
    }
}
