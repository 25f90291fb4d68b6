//! What groups tell of themselves: how many there are, how many members they have and how far they are behind.

use std::{collections::BTreeMap, sync::Arc};

use super::{GroupCoordinator, group::State, shard::Shard};
use crate::{
    metadata::Image,
    metrics::{
        Page, Source,
        catalogue::{self as all, OTHERS, SERIES_MAX},
    },
    model::{PartitionIndex, TopicIdPartition},
    replica::Replicas,
};

/// A group with a longer name has no series of its own, or a page could be of any size.
const NAME_MAX: usize = 255;

#[derive(Default)]
struct Group {
    members: usize,
    /// By topic.
    lag: BTreeMap<Arc<str>, i64>,
}

impl Source for GroupCoordinator {
    fn collect(&self, page: &mut Page) {
        let image = self.image();
        let mut states: BTreeMap<String, u64> = BTreeMap::new();
        let mut groups: BTreeMap<Arc<str>, Group> = BTreeMap::new();
        for shard in self.shards() {
            // One that is being loaded has nothing to tell yet.
            let Some((committed, listed)) = Shard::seen(&shard) else { continue };
            for group in listed {
                *states.entry(group.group_state).or_default() += 1;
            }
            count_members(&committed, &mut groups);
            count_lag(&committed, &image, self.replicas(), &mut groups);
        }
        for (state, count) in &states {
            page.put(&all::GROUPS, &[("state", state)], *count);
        }
        let (own, others) = divide(groups);
        for (group, Group { members, lag }) in &own {
            page.put(&all::GROUP_MEMBERS, &[("group", group)], *members);
            for (topic, lag) in lag {
                page.put(&all::GROUP_LAG, &[("group", group), ("topic", topic)], *lag);
            }
        }
        if let Some(Group { members, lag }) = others {
            page.put(&all::GROUP_MEMBERS, &[("group", OTHERS)], members);
            page.put(&all::GROUP_LAG, &[("group", OTHERS), ("topic", OTHERS)], total(&lag));
        }
    }
}

fn count_members(committed: &State, groups: &mut BTreeMap<Arc<str>, Group>) {
    for (group, value) in &committed.classic {
        groups.entry(Arc::clone(group)).or_default().members += value.members.len();
    }
    for (group, state) in &committed.consumer {
        groups.entry(Arc::clone(group)).or_default().members += state.members.size();
    }
}

/// Of partitions that are led elsewhere it is not known here how far they go.
fn count_lag(committed: &State, image: &Image, replicas: &Replicas, groups: &mut BTreeMap<Arc<str>, Group>) {
    for (group, topics) in &committed.offsets {
        let group = groups.entry(Arc::clone(group)).or_default();
        for (topic, partitions) in topics {
            let Some(topic_id) = image.topic(topic).map(|topic| topic.id()) else { continue };
            // A client may commit what is no offset at all.
            for (index, offset) in partitions.iter().filter(|(_, committed)| committed.offset.0 >= 0) {
                let at = TopicIdPartition { topic_id, partition: PartitionIndex(*index) };
                let Some(partition) = replicas.partition(at).filter(|partition| partition.is_leader()) else {
                    continue;
                };
                let lag = partition.high_watermark().0.saturating_sub(offset.offset.0).max(0);
                let sum = group.lag.entry(Arc::clone(topic)).or_default();
                *sum = sum.saturating_add(lag);
            }
        }
    }
}

/// The groups that have series of their own, and the sum of the others where there are any.
fn divide(groups: BTreeMap<Arc<str>, Group>) -> (Vec<(Arc<str>, Group)>, Option<Group>) {
    let (mut own, mut others, mut series) = (Vec::new(), None::<Group>, 0);
    for (name, group) in groups {
        if name.len() <= NAME_MAX && &*name != OTHERS {
            series += group.lag.len().max(1);
            if series <= SERIES_MAX {
                own.push((name, group));
                continue;
            }
        }
        let sum = others.get_or_insert_default();
        sum.members += group.members;
        for (topic, lag) in group.lag {
            let of_topic = sum.lag.entry(topic).or_default();
            *of_topic = of_topic.saturating_add(lag);
        }
    }
    (own, others)
}

/// Up to the largest number, since so much may each of them be.
fn total(lag: &BTreeMap<Arc<str>, i64>) -> i64 {
    lag.values().fold(0, |sum, lag| sum.saturating_add(*lag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(lags: &[i64]) -> Group {
        let lag = lags.iter().enumerate().map(|(at, lag)| (Arc::from(format!("t{at}")), *lag)).collect();
        Group { members: 1, lag }
    }

    #[test]
    fn what_is_beyond_the_bound_is_summed_up() {
        let mut groups: BTreeMap<Arc<str>, Group> =
            (0..SERIES_MAX - 2).map(|at| (Arc::from(format!("g{at:05}")), group(&[7]))).collect();
        groups.insert(Arc::from("h"), group(&[1, 2, 3]));
        groups.insert(Arc::from("i"), group(&[i64::MAX]));
        groups.insert(Arc::from("x".repeat(256)), group(&[]));
        groups.insert(Arc::from(OTHERS), group(&[]));
        let (own, others) = divide(groups);
        assert_eq!(own.len(), SERIES_MAX - 2);
        let others = others.unwrap();
        assert_eq!(others.members, 4);
        assert_eq!(others.lag[&Arc::from("t0")], i64::MAX);
        assert_eq!(others.lag[&Arc::from("t2")], 3);
        assert_eq!(total(&others.lag), i64::MAX);
    }
}
