//! As even as subscriptions allow, where members differ in theirs.
//!
//! Partitions of a topic are alike but for who has them, so what is decided is how *many* of which topic each subscriber has; which
//! ones follows from that, and whoever keeps so many keeps its own. In four steps, the first two as in Kafka's
//! `UniformHeterogeneousAssignmentBuilder`:
//!
//! 1. what has no owner goes to the subscribers that have least, topics with few takers first;
//! 2. each topic by itself moves partitions from the subscribers that have most to those that have least;
//! 3. chains of such moves through several topics, until none is left that makes it more even (`chains.rs`). Then the sum of the squares
//!    of the members' numbers of partitions, and with it any other measure of balance, is as low as it can be;
//! 4. chains that leave it as even and let somebody keep a partition that had moved.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{
    board::{Board, NOBODY},
    chains,
};

/// How often step 2 goes through the topics: each time about halves what is uneven, and step 3 does the rest.
const ROUNDS_MAX: usize = 16;

/// How many partitions of which topic each member has.
///
/// Invariants: `loads` are the sums of `counts` by member; a topic's `counts` add up to its partitions, once all are given.
#[derive(Debug)]
pub(super) struct Counts {
    pub topics: Vec<Topic>,
    /// By member: its topics, and its place among the subscribers of each.
    pub members: Vec<Vec<(usize, usize)>>,
    /// By member: how many partitions it has.
    pub loads: Vec<usize>,
}

/// A topic. The lists are of the same length: one entry for each subscriber.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// Members, ascending.
    pub subscribers: Vec<usize>,
    /// How many partitions it had.
    pub held: Vec<usize>,
    /// How many it shall have.
    pub counts: Vec<usize>,
}

pub(super) fn assign(board: &mut Board<'_>) {
    let mut counts = Counts::of(board);
    let mut order: Vec<usize> = (0..counts.topics.len()).collect();
    order.sort_by(|a, b| {
        scarcest(board.owners[*a].len(), &counts.topics[*a], board.owners[*b].len(), &counts.topics[*b])
    });
    for topic in &order {
        let free = board.owners[*topic].iter().filter(|owner| **owner == NOBODY).count();
        counts.give(*topic, free);
    }
    counts.balance(&order);
    chains::even_out(&mut counts);
    chains::keep_more(&mut counts);
    let mut kept = vec![0; counts.loads.len()];
    for (owners, topic) in board.owners.iter_mut().zip(&counts.topics) {
        topic.settle(owners, &mut kept);
    }
}

/// Most partitions for each subscriber, then fewest subscribers.
fn scarcest(partitions_a: usize, a: &Topic, partitions_b: usize, b: &Topic) -> Ordering {
    let each = |partitions: usize, other: &Topic| partitions as u128 * other.subscribers.len() as u128;
    (each(partitions_b, a).cmp(&each(partitions_a, b))).then(a.subscribers.len().cmp(&b.subscribers.len()))
}

impl Counts {
    /// What the owners on the board have.
    fn of(board: &Board<'_>) -> Counts {
        let mut topics: Vec<Topic> = board.topics.iter().map(|_| Topic::default()).collect();
        let mut members = Vec::with_capacity(board.group.members.len());
        for member in 0..board.group.members.len() {
            let mut places = Vec::with_capacity(board.topics_of(member).len());
            for topic in board.topics_of(member).iter().map(|topic| *topic as usize) {
                places.push((topic, topics[topic].subscribers.len()));
                topics[topic].subscribers.push(member);
            }
            members.push(places);
        }
        let mut loads = vec![0; members.len()];
        let mut held = vec![0; members.len()];
        for (topic, owners) in topics.iter_mut().zip(&board.owners) {
            for owner in owners.iter().filter(|owner| **owner != NOBODY) {
                held[*owner as usize] += 1;
                loads[*owner as usize] += 1;
            }
            topic.held = topic.subscribers.iter().map(|member| std::mem::take(&mut held[*member])).collect();
            topic.counts = topic.held.clone();
        }
        Counts { topics, members, loads }
    }

    /// Gives partitions of a topic to those of its subscribers that have least.
    fn give(&mut self, topic: usize, partitions: usize) {
        if partitions == 0 {
            return;
        }
        let topic = &mut self.topics[topic];
        let mut least: BinaryHeap<Reverse<(usize, usize)>> =
            topic.subscribers.iter().enumerate().map(|(place, member)| Reverse((self.loads[*member], place))).collect();
        for _ in 0..partitions {
            let Some(mut next) = least.peek_mut() else { return };
            next.0.0 += 1;
            topic.counts[next.0.1] += 1;
            self.loads[topic.subscribers[next.0.1]] += 1;
        }
    }

    /// Balances the subscribers of one topic after another until that changes nothing, or not much.
    fn balance(&mut self, order: &[usize]) {
        let mut unchanged = 0;
        for _ in 0..ROUNDS_MAX {
            for topic in order {
                unchanged = if self.balance_topic(*topic) { 0 } else { unchanged + 1 };
                if unchanged >= order.len() {
                    return;
                }
            }
        }
    }

    /// Moves partitions of a topic from the subscribers that have most, of those that have any of it, to those that have least.
    /// Returns whether there was anything to move.
    fn balance_topic(&mut self, topic: usize) -> bool {
        let loads = &mut self.loads;
        let topic = &mut self.topics[topic];
        let of = |place: usize, loads: &[usize]| loads[topic.subscribers[place]];
        let places = 0..topic.subscribers.len();
        let (Some(low), Some(high)) =
            (places.clone().map(|place| of(place, loads)).min(), places.clone().map(|place| of(place, loads)).max())
        else {
            return false;
        };
        if high - low <= 1 {
            return false;
        }
        let mut least: BinaryHeap<Reverse<(usize, usize)>> =
            places.clone().map(|place| Reverse((of(place, loads), place))).collect();
        let mut most: BinaryHeap<(usize, usize)> =
            places.filter(|place| topic.counts[*place] > 0).map(|place| (of(place, loads), place)).collect();
        let mut moved = false;
        // An entry of a member that was on the other side meanwhile tells an old load; but then all loads are within one.
        while let (Some((high, from)), Some(Reverse((low, to)))) = (most.pop(), least.pop())
            && high > low + 1
        {
            topic.counts[from] -= 1;
            topic.counts[to] += 1;
            loads[topic.subscribers[from]] -= 1;
            loads[topic.subscribers[to]] += 1;
            moved = true;
            if topic.counts[from] > 0 {
                most.push((high - 1, from));
            }
            least.push(Reverse((low + 1, to)));
        }
        moved
    }
}

impl Topic {
    /// Makes owners of the counts: who has had as many keeps them all, who has had more keeps the first ones. `kept` is room for all
    /// members, with anything in it.
    fn settle(&self, owners: &mut [u32], kept: &mut [usize]) {
        for (place, member) in self.subscribers.iter().enumerate() {
            kept[*member] = self.counts[place].min(self.held[place]);
        }
        for owner in owners.iter_mut().filter(|owner| **owner != NOBODY) {
            match &mut kept[*owner as usize] {
                0 => *owner = NOBODY,
                left => *left -= 1,
            }
        }
        let more = (self.subscribers.iter().enumerate()).flat_map(|(place, member)| {
            std::iter::repeat_n(*member, self.counts[place].saturating_sub(self.held[place]))
        });
        for (owner, member) in owners.iter_mut().filter(|owner| **owner == NOBODY).zip(more) {
            *owner = member as u32;
        }
    }
}
