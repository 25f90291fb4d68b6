//! Moves through several topics: a member gives one partition of a topic to the next member, that one gives one of another topic to
//! a third, and so on; only the first ends with fewer and only the last with more.
//!
//! ```text
//!   most ──orders──> a ──bills──> b ──orders──> least
//! ```
//!
//! Each search has a bound on its work, so that no shape of subscriptions holds up the coordinator; what was found until then is as
//! valid, and less good.

use super::heterogeneous::Counts;

/// Looks at so many edges between members and topics: some twenty milliseconds at most.
const WORK_MAX: usize = 2_000_000;

/// One partition of `topic`.
struct Move {
    topic: usize,
    from: usize,
    to: usize,
}

/// Takes chains to members that have at least two less than the first, until there are none.
///
/// From the highest load down: where no chain helps those of a load, none helps whoever is reached from them either (who has that
/// load or one less, and reaches nobody else), so all of these are done with.
pub(super) fn even_out(counts: &mut Counts) {
    let mut done = vec![false; counts.loads.len()];
    let mut work = 0;
    while work < WORK_MAX
        && let Some(high) = (0..done.len()).filter(|member| !done[*member]).map(|member| counts.loads[member]).max()
    {
        match shortest(counts, high, &done, &mut work) {
            Ok(chain) => chain.into_iter().for_each(|one| counts.take(&one)),
            Err(reached) => reached.into_iter().for_each(|member| done[member] = true),
        }
    }
}

/// A shortest chain that makes it more even and begins with a member of that load; or else everyone who is reached.
fn shortest(counts: &Counts, high: usize, done: &[bool], work: &mut usize) -> Result<Vec<Move>, Vec<usize>> {
    let mut reached: Vec<usize> =
        (0..done.len()).filter(|member| !done[*member] && counts.loads[*member] == high).collect();
    // By member: the topic and who gives of it. The first ones count as reached by themselves.
    let mut reached_by: Vec<Option<(usize, usize)>> = vec![None; done.len()];
    for member in &reached {
        reached_by[*member] = Some((usize::MAX, *member));
    }
    *work += done.len();
    let mut seen = vec![false; counts.topics.len()];
    let mut next = 0;
    while let Some(from) = reached.get(next).copied() {
        next += 1;
        *work += counts.members[from].len();
        for (topic, place) in &counts.members[from] {
            if counts.topics[*topic].counts[*place] == 0 || std::mem::replace(&mut seen[*topic], true) {
                continue;
            }
            *work += counts.topics[*topic].subscribers.len();
            for to in counts.topics[*topic].subscribers.iter().copied() {
                if done[to] || reached_by[to].is_some() {
                    continue;
                }
                reached_by[to] = Some((*topic, from));
                if counts.loads[to] + 2 <= high {
                    return Ok(chain(&reached_by, to));
                }
                reached.push(to);
            }
        }
    }
    Err(reached)
}

fn chain(reached_by: &[Option<(usize, usize)>], last: usize) -> Vec<Move> {
    let mut chain = Vec::new();
    let mut to = last;
    while let Some((topic, from)) = reached_by[to].filter(|(_, from)| *from != to) {
        chain.push(Move { topic, from, to });
        to = from;
    }
    chain
}

/// Takes chains after which it is as even and fewer partitions have moved, until there are none.
///
/// Such chains are the cycles of negative cost in a graph of members and topics, an edge costing what it does to the number of moved
/// partitions; one that ends with somebody who has one less than its first has an edge back there, through the load of the two. They
/// are found by Bellman and Ford's rounds.
pub(super) fn keep_more(counts: &mut Counts) {
    let free: usize =
        counts.topics.iter().map(|topic| topic.counts.iter().sum::<usize>() - topic.held.iter().sum::<usize>()).sum();
    let mut work = 0;
    // What was free has to move; where nothing else does, there is nothing to find.
    while work < WORK_MAX && counts.moved() > free {
        let cycles = cheaper(counts, &mut work);
        if cycles.is_empty() {
            return;
        }
        cycles.iter().for_each(|one| counts.take(one));
    }
}

/// Nodes are members, then topics, then loads. Cycles that have no node in common: all of them may be taken.
fn cheaper(counts: &Counts, work: &mut usize) -> Vec<Move> {
    let (members, topics) = (counts.members.len(), counts.topics.len());
    let highest = counts.loads.iter().copied().max().unwrap_or(0);
    let mut paths = Paths::new(members + topics + highest + 1);
    while *work < WORK_MAX {
        let mut changed = false;
        for (member, places) in counts.members.iter().enumerate() {
            for (index, place) in places {
                let topic = &counts.topics[*index];
                let (count, held) = (topic.counts[*place], topic.held[*place]);
                if count > 0 {
                    changed |= paths.relax(member, members + index, -i32::from(count > held));
                }
                changed |= paths.relax(members + index, member, i32::from(count >= held));
            }
            // Who has gained one may stand for who has given one: from there to all that have one more than it.
            let load = counts.loads[member];
            changed |= paths.relax(member, members + topics + load, 0);
            if load > 0 {
                changed |= paths.relax(members + topics + load - 1, member, 0);
            }
            *work += 1 + places.len();
        }
        let cycles = paths.cycles();
        if !changed || !cycles.is_empty() {
            return cycles.iter().flat_map(|cycle| moves(cycle, members, topics)).collect();
        }
    }
    Vec::new()
}

/// The moves along a cycle of nodes: from a member to a topic, and on to a member.
fn moves(cycle: &[usize], members: usize, topics: usize) -> Vec<Move> {
    let at = |index: usize| cycle[index % cycle.len()];
    (0..cycle.len())
        .filter(|index| (members..members + topics).contains(&at(index + 1)))
        .map(|index| Move { topic: at(index + 1) - members, from: at(index), to: at(index + 2) })
        .collect()
}

/// Shortest paths from anywhere, as far as they are known.
struct Paths {
    costs: Vec<i32>,
    /// By node, the node before it.
    before: Vec<Option<usize>>,
}

impl Paths {
    fn new(nodes: usize) -> Paths {
        Paths { costs: vec![0; nodes], before: vec![None; nodes] }
    }

    fn relax(&mut self, from: usize, to: usize, cost: i32) -> bool {
        let shorter = self.costs[from] + cost < self.costs[to];
        if shorter {
            self.costs[to] = self.costs[from] + cost;
            self.before[to] = Some(from);
        }
        shorter
    }

    /// The cycles of `before`, which are of negative cost, each in the direction of its edges.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        // By node, the walk that came by first.
        let mut walks = vec![usize::MAX; self.before.len()];
        for start in 0..self.before.len() {
            let mut node = start;
            while walks[node] == usize::MAX {
                walks[node] = start;
                let Some(before) = self.before[node] else { break };
                node = before;
            }
            if walks[node] != start || self.before[node].is_none() {
                continue;
            }
            // The walk met itself.
            let mut cycle = vec![node];
            let mut at = self.before[node];
            while let Some(next) = at.filter(|next| *next != node) {
                cycle.push(next);
                at = self.before[next];
            }
            cycle.reverse();
            cycles.push(cycle);
        }
        cycles
    }
}

impl Counts {
    fn take(&mut self, one: &Move) {
        let topic = &mut self.topics[one.topic];
        let (Ok(from), Ok(to)) = (topic.subscribers.binary_search(&one.from), topic.subscribers.binary_search(&one.to))
        else {
            debug_assert!(false, "only subscribers give and take");
            return;
        };
        topic.counts[from] -= 1;
        topic.counts[to] += 1;
        self.loads[one.from] -= 1;
        self.loads[one.to] += 1;
    }

    /// How many partitions have another owner than before, or their first one.
    fn moved(&self) -> usize {
        let of = |counts: &[usize], held: &[usize]| {
            counts.iter().zip(held).map(|(count, held)| count.saturating_sub(*held)).sum::<usize>()
        };
        self.topics.iter().map(|topic| of(&topic.counts, &topic.held)).sum()
    }
}
