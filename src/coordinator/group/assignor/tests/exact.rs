//! In groups so small that all assignments can be looked at, `uniform` finds one that is as even as any, and none that is as even
//! moves less.

use super::*;

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A group: what each member subscribes to, by topic; and who had each partition, by topic, if anybody.
#[derive(Debug)]
struct Group {
    subscribes: Vec<Vec<bool>>,
    owners: Vec<Vec<Option<usize>>>,
}

impl Group {
    fn random(random: &mut Random) -> Group {
        let topics = 1 + random.below(3);
        let partitions = [3, 3, 2];
        match random.below(4) {
            // Topics in a row, with each member between two of them: here only chains help.
            0 => {
                let subscribes =
                    (0..=topics).map(|member| (0..topics).map(|t| t == member || t + 1 == member).collect());
                let mut owners = |number| (0..partitions[number]).map(|_| Some(number + random.below(2))).collect();
                Group { subscribes: subscribes.collect(), owners: (0..topics).map(&mut owners).collect() }
            }
            kind => {
                let members = 1 + random.below(4);
                let mut does = || kind == 1 || random.below(3) > 0;
                let subscribes = (0..members).map(|_| (0..topics).map(|_| does()).collect()).collect();
                // Some have their partitions evenly spread, some all with one member.
                let skew = 1 + random.below(members);
                let mut owner = || (random.below(4) > 0).then(|| random.below(skew));
                let owners = (0..topics).map(|number| (0..partitions[number]).map(|_| owner()).collect()).collect();
                Group { subscribes, owners }
            }
        }
    }

    fn assign(&self) -> Vec<Vec<Option<usize>>> {
        let ids: Vec<String> = (0..self.subscribes.len()).map(|member| member.to_string()).collect();
        let had: Vec<Vec<TopicPartition>> = (0..ids.len()).map(|member| self.had(member)).collect();
        let members = ids.iter().zip(&self.subscribes).zip(&had).map(|((member_id, subscribes), had)| MemberSpec {
            member_id,
            subscribed: (0..).zip(subscribes).filter(|(_, does)| **does).map(|(number, _)| topic(number)).collect(),
            assigned: had,
            ..MemberSpec::default()
        });
        let topics = (0..).zip(&self.owners).map(|(number, owners)| (topic(number), owners.len() as u32)).collect();
        let assignment = Assignor::Uniform.assign(&GroupSpec { members: members.collect(), topics }).unwrap();
        let mut owners: Vec<Vec<Option<usize>>> = self.owners.iter().map(|owners| vec![None; owners.len()]).collect();
        for (member, has) in assignment.members.into_iter().enumerate() {
            for of in has.unwrap_or_else(|| had[member].clone()) {
                for partition in of.partitions {
                    let before = owners[usize::from(of.topic_id.0[15])][partition as usize].replace(member);
                    assert_eq!(before, None, "given twice");
                }
            }
        }
        owners
    }

    fn had(&self, member: usize) -> Vec<TopicPartition> {
        let of_topic = |(number, owners): (u8, &Vec<Option<usize>>)| {
            let partitions: Vec<i32> =
                (0..).zip(owners).filter(|(_, owner)| **owner == Some(member)).map(|(index, _)| index).collect();
            (!partitions.is_empty()).then(|| TopicPartition {
                topic_id: topic(number).0,
                partitions,
                ..TopicPartition::default()
            })
        };
        (0..).zip(&self.owners).filter_map(of_topic).collect()
    }

    /// The sum of the squares of the members' loads, then how many partitions leave a member that could keep them.
    fn cost(&self, assignment: &[Vec<Option<usize>>]) -> (usize, usize) {
        let mut loads = vec![0; self.subscribes.len()];
        let mut moved = 0;
        for (number, (owners, had)) in assignment.iter().zip(&self.owners).enumerate() {
            for (owner, had) in owners.iter().zip(had) {
                owner.iter().for_each(|owner| loads[*owner] += 1);
                moved += usize::from(had.is_some_and(|had| self.subscribes[had][number]) && owner != had);
            }
        }
        (loads.iter().map(|load| load * load).sum(), moved)
    }

    /// The lowest cost of all assignments in which each partition has a subscriber, if there is one.
    fn lowest(&self) -> (usize, usize) {
        let places: Vec<(usize, usize)> = (0..self.owners.len())
            .flat_map(|number| (0..self.owners[number].len()).map(move |index| (number, index)))
            .collect();
        let mut assignment = self.owners.clone();
        let mut lowest = (usize::MAX, usize::MAX);
        self.try_all(&places, &mut assignment, &mut lowest);
        lowest
    }

    fn try_all(
        &self,
        places: &[(usize, usize)],
        assignment: &mut Vec<Vec<Option<usize>>>,
        lowest: &mut (usize, usize),
    ) {
        let Some(((number, index), rest)) = places.split_first() else {
            *lowest = self.cost(assignment).min(*lowest);
            return;
        };
        let subscribers: Vec<usize> =
            (0..self.subscribes.len()).filter(|member| self.subscribes[*member][*number]).collect();
        for owner in subscribers.iter().copied().map(Some).chain(subscribers.is_empty().then_some(None)) {
            assignment[*number][*index] = owner;
            self.try_all(rest, assignment, lowest);
        }
    }
}

#[test]
fn nothing_is_more_even_and_nothing_as_even_moves_less() {
    let mut random = Random(1);
    for round in 0..600 {
        let group = Group::random(&mut random);
        let assignment = group.assign();
        for (number, owners) in assignment.iter().enumerate() {
            let has_subscribers = group.subscribes.iter().any(|subscribes| subscribes[number]);
            assert!(owners.iter().all(|owner| owner.is_some() == has_subscribers), "round {round}: {group:?}");
            assert!(owners.iter().flatten().all(|owner| group.subscribes[*owner][number]), "round {round}: {group:?}");
        }
        assert_eq!(group.cost(&assignment), group.lowest(), "round {round}: {group:?} is given {assignment:?}");
    }
}
