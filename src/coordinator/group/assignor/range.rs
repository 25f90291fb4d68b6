//! Contiguous ranges of each topic, in the members' order.

use std::cmp::Ordering;

use super::{MemberSpec, board::Board};

/// A topic that is being cut.
struct Cut {
    /// The first partition of the next range.
    next: usize,
    /// How many each subscriber has at least.
    quota: usize,
    /// How many subscribers have one more: the first ones.
    extras: usize,
}

/// Exactly Kafka's `RangeAssignor`.
pub(super) fn assign(board: &mut Board<'_>) {
    let members = board.group.members.len();
    let mut subscribers = vec![0; board.topics.len()];
    for member in 0..members {
        for topic in board.topics_of(member) {
            subscribers[*topic as usize] += 1;
        }
    }
    let mut cuts: Vec<Cut> = (board.owners.iter().zip(subscribers))
        .map(|(owners, subscribers)| Cut {
            next: 0,
            quota: owners.len() / subscribers,
            extras: owners.len() % subscribers,
        })
        .collect();
    let mut order: Vec<usize> = (0..members).collect();
    order.sort_by(|a, b| before(&board.group.members[*a], &board.group.members[*b]));
    for member in order {
        for at in 0..board.topics_of(member).len() {
            let topic = board.topics_of(member)[at] as usize;
            let cut = &mut cuts[topic];
            let end = cut.next + cut.quota + usize::from(cut.extras > 0);
            cut.extras = cut.extras.saturating_sub(1);
            board.owners[topic][cut.next..end].fill(member as u32);
            cut.next = end;
        }
    }
}

/// Static members come first, by their instance ids: they have their ranges again after they were restarted.
fn before(a: &MemberSpec<'_>, b: &MemberSpec<'_>) -> Ordering {
    match (a.instance_id, b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.member_id.cmp(b.member_id),
    }
}
