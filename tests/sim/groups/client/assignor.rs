//! What a leader of the classic protocol computes: Kafka's range assignor, and one that keeps to what a cooperative one must.

use std::collections::{BTreeMap, BTreeSet};

use crate::{model::TopicId, sim::groups::world::Held};

/// What a member says when it joins.
#[derive(Debug)]
pub struct Claim {
    pub topics: BTreeSet<TopicId>,
    pub owned: BTreeSet<Held>,
    /// In which it had got that.
    pub generation: i32,
}

type Assignments = BTreeMap<String, BTreeSet<Held>>;

/// Of each topic, ranges of partitions in the order of the members.
pub fn range(members: &BTreeMap<String, Claim>, partitions: impl Fn(TopicId) -> i32) -> Assignments {
    let mut assigned: Assignments = members.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
    for topic in topics(members) {
        let wanting: Vec<&String> =
            members.iter().filter(|(_, claim)| claim.topics.contains(&topic)).map(|(id, _)| id).collect();
        let (count, among) = (partitions(topic), wanting.len() as i32);
        let mut next = 0;
        for (at, member) in wanting.into_iter().enumerate() {
            let share = count / among + i32::from((at as i32) < count % among);
            let to = assigned.get_mut(member).expect("each member has an entry");
            to.extend((next..next + share).map(|partition| (topic, partition)));
            next += share;
        }
    }
    assigned
}

/// Everyone keeps what it has as far as that is fair; what is to move is nobody's until its owner has joined without it.
pub fn cooperative(members: &BTreeMap<String, Claim>, partitions: impl Fn(TopicId) -> i32) -> Assignments {
    let all: Vec<Held> = topics(members)
        .into_iter()
        .flat_map(|topic| (0..partitions(topic)).map(move |partition| (topic, partition)))
        .collect();
    // Whose it is: who has got it last. Where nobody knows, nobody's.
    let owner = |held: Held| {
        let claims = members.iter().filter(|(_, claim)| claim.owned.contains(&held));
        let latest = claims.clone().map(|(_, claim)| claim.generation).max()?;
        let mut owners = claims.filter(|(_, claim)| claim.generation == latest).map(|(id, _)| id);
        owners.next().filter(|_| owners.next().is_none())
    };
    let wants = |member: &str, held: Held| members[member].topics.contains(&held.0);
    let mut assigned: Assignments = members.keys().map(|id| (id.clone(), BTreeSet::new())).collect();
    let mut free = Vec::new();
    for held in &all {
        match owner(*held).filter(|owner| wants(owner, *held)) {
            Some(owner) => assigned.get_mut(owner).expect("each member has an entry").insert(*held),
            None => {
                free.push(*held);
                false
            }
        };
    }
    let least = |assigned: &Assignments, held: Held| {
        let wanting = assigned.iter().filter(|(id, _)| wants(id, held));
        wanting.min_by_key(|(_, has)| has.len()).map(|(id, has)| (id.clone(), has.len()))
    };
    // Those that few want go first: else what is free can go round and round between who has to take it and who may.
    free.sort_by_key(|held| members.keys().filter(|id| wants(id, *held)).count());
    for held in free {
        if let Some((member, _)) = least(&assigned, held) {
            assigned.get_mut(&member).expect("each member has an entry").insert(held);
        }
    }
    // From who has most to who has least, while that makes it more even.
    loop {
        let moves = assigned.iter().flat_map(|(from, has)| has.iter().map(move |held| (from, has.len(), *held)));
        let better = moves.filter_map(|(from, has, held)| {
            let (to, least) = least(&assigned, held)?;
            (least + 1 < has).then(|| (from.clone(), to, held))
        });
        let Some((from, to, held)) = better.into_iter().next() else { break };
        assigned.get_mut(&from).expect("it has it").remove(&held);
        assigned.get_mut(&to).expect("each member has an entry").insert(held);
    }
    for (member, has) in &mut assigned {
        let is_others =
            |held: Held| members.iter().any(|(other, claim)| other != member && claim.owned.contains(&held));
        has.retain(|held| !is_others(*held));
    }
    assigned
}

fn topics(members: &BTreeMap<String, Claim>) -> BTreeSet<TopicId> {
    members.values().flat_map(|claim| claim.topics.iter().copied()).collect()
}
