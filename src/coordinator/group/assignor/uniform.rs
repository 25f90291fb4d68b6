//! As many partitions for each as for the others, where all members subscribe to the same.
//!
//! Nothing moves that need not: members above their share release what is too much, and what has no owner is dealt to those
//! below theirs. Both go topic by topic in turns, so that a busy topic does not end up with one member. (Kafka's `UniformAssignor`
//! is as even and as sticky; it gives what is left in one piece.)

use std::collections::{BinaryHeap, VecDeque};

use super::board::{Board, NOBODY};

pub(super) fn assign(board: &mut Board<'_>) {
    let members = board.group.members.len();
    if members == 0 {
        return;
    }
    let held = held(board);
    let sizes: Vec<usize> = held.iter().map(|held| held.iter().map(|(count, _)| count).sum()).collect();
    let shares = shares(&sizes, board.owners.iter().map(Vec::len).sum());
    release(board, held, &sizes, &shares);
    deal(board, &sizes, &shares);
}

/// By member: how many partitions it holds of which topic, ascending by topic.
fn held(board: &Board<'_>) -> Vec<Vec<(usize, usize)>> {
    let mut held: Vec<Vec<(usize, usize)>> = vec![Vec::new(); board.group.members.len()];
    for (topic, owners) in board.owners.iter().enumerate() {
        for owner in owners.iter().filter(|owner| **owner != NOBODY) {
            let held = &mut held[*owner as usize];
            match held.last_mut() {
                Some((count, last)) if *last == topic => *count += 1,
                _ => held.push((1, topic)),
            }
        }
    }
    held
}

/// How many partitions each member shall have. Those that have one more than others are, first of all, members that hold so many:
/// this is all that stickiness asks for.
fn shares(sizes: &[usize], partitions: usize) -> Vec<usize> {
    let share = partitions / sizes.len();
    let mut extras = partitions % sizes.len();
    let mut shares = vec![share; sizes.len()];
    for holds_more in [true, false] {
        for (member, size) in sizes.iter().enumerate() {
            if extras > 0 && (*size > share) == holds_more {
                shares[member] += 1;
                extras -= 1;
            }
        }
    }
    shares
}

/// Takes from members what is above their share, each time of the topic of which they hold most, from its end.
fn release(board: &mut Board<'_>, held: Vec<Vec<(usize, usize)>>, sizes: &[usize], shares: &[usize]) {
    let mut released: Vec<Vec<(usize, usize)>> = vec![Vec::new(); board.topics.len()];
    for (member, held) in held.into_iter().enumerate() {
        let mut above = sizes[member].saturating_sub(shares[member]);
        if above == 0 {
            continue;
        }
        let mut before: Vec<(usize, usize)> = held.clone();
        let mut heap: BinaryHeap<(usize, usize)> = held.into();
        while above > 0
            && let Some((count, topic)) = heap.pop()
        {
            heap.push((count - 1, topic));
            above -= 1;
        }
        let mut after: Vec<(usize, usize)> = heap.into_vec();
        before.sort_unstable_by_key(|(_, topic)| *topic);
        after.sort_unstable_by_key(|(_, topic)| *topic);
        for ((before, topic), (after, _)) in before.into_iter().zip(after) {
            if after < before {
                released[topic].push((member, before - after));
            }
        }
    }
    let mut left = vec![0; board.group.members.len()];
    for (owners, released) in board.owners.iter_mut().zip(released) {
        for (member, count) in &released {
            left[*member] = *count;
        }
        if released.is_empty() {
            continue;
        }
        for owner in owners.iter_mut().rev().filter(|owner| **owner != NOBODY) {
            let left = &mut left[*owner as usize];
            if *left > 0 {
                *left -= 1;
                *owner = NOBODY;
            }
        }
    }
}

/// Deals what has no owner to members below their share, in turns.
fn deal(board: &mut Board<'_>, sizes: &[usize], shares: &[usize]) {
    let mut turns: VecDeque<(usize, usize)> = (sizes.iter().zip(shares).enumerate())
        .filter(|(_, (size, share))| size < share)
        .map(|(member, (size, share))| (member, share - size))
        .collect();
    for owner in board.owners.iter_mut().flatten().filter(|owner| **owner == NOBODY) {
        let Some((member, room)) = turns.pop_front() else { return };
        *owner = member as u32;
        if room > 1 {
            turns.push_back((member, room - 1));
        }
    }
    debug_assert!(turns.is_empty(), "shares add up to all partitions");
}
