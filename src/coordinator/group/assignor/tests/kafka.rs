//! What Kafka's `RangeAssignor` and `UniformAssignor` made of the same groups: `compat/assignors/run` made the data in
//! `kafka.txt.gz`, and `compat/assignors/src/Assign.java` tells its form.

use std::{cmp::Ordering, collections::BTreeSet};

use felice_protocol::record::{Codec, decompress};

use super::*;

const DATA: &[u8] = include_bytes!("kafka.txt.gz");

struct Case {
    name: String,
    topics: Vec<u32>,
    members: Vec<Member>,
}

struct Member {
    id: String,
    instance: Option<String>,
    subscribed: Arc<[TopicId]>,
    had: Vec<TopicPartition>,
    /// What Kafka's assignors give it.
    range: Vec<TopicPartition>,
    uniform: Vec<TopicPartition>,
}

fn cases() -> Vec<Case> {
    let text = decompress(Codec::Gzip, DATA, 10 << 20).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in std::str::from_utf8(&text).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words[0], cases.last_mut()) {
            ("case", _) => cases.push(Case { name: words[1].to_owned(), topics: Vec::new(), members: Vec::new() }),
            ("topics", Some(case)) => case.topics = words[1..].iter().map(|count| count.parse().unwrap()).collect(),
            ("member", Some(case)) => {
                let [_, id, instance, subscribed, had, range, uniform] = words[..] else { panic!("{line}") };
                let listed = |text: &str| if text == "-" { Vec::new() } else { partitions(&text.replace(';', " ")) };
                // The same grammar, of one topic.
                let subscribed: Vec<i32> =
                    listed(&if subscribed == "-" { "-".to_owned() } else { format!("0:{subscribed}") })
                        .into_iter()
                        .flat_map(|one| one.partitions)
                        .collect();
                case.members.push(Member {
                    id: id.to_owned(),
                    instance: (instance != "-").then(|| instance.to_owned()),
                    subscribed: subscribed.into_iter().map(|number| topic(number as u8)).collect(),
                    had: listed(had),
                    range: listed(range),
                    uniform: listed(uniform),
                });
            }
            _ => panic!("{line}"),
        }
    }
    cases
}

impl Case {
    fn assign(&self, assignor: Assignor) -> Vec<Vec<TopicPartition>> {
        let members = self.members.iter().map(|member| MemberSpec {
            member_id: &member.id,
            instance_id: member.instance.as_deref(),
            subscribed: Arc::clone(&member.subscribed),
            assigned: &member.had,
        });
        let topics = (0..).map(topic).zip(self.topics.iter().copied()).collect();
        let assignment = assignor.assign(&GroupSpec { members: members.collect(), topics }).unwrap();
        let had = self.members.iter().map(|member| member.had.clone());
        assignment.members.into_iter().zip(had).map(|(has, had)| has.unwrap_or(had)).collect()
    }

    /// Each partition of what is subscribed to has one owner, who subscribes to it.
    fn check_valid(&self, assignment: &[Vec<TopicPartition>]) {
        let mut given = BTreeSet::new();
        for (member, has) in self.members.iter().zip(assignment) {
            for (topic, partition) in pairs(has) {
                assert!(member.subscribed.contains(&topic), "{}: {} has {topic}", self.name, member.id);
                assert!(given.insert((topic, partition)), "{}: {topic}-{partition} is given twice", self.name);
            }
        }
        let subscribed: BTreeSet<TopicId> =
            self.members.iter().flat_map(|member| member.subscribed.iter().copied()).collect();
        let all = subscribed
            .iter()
            .flat_map(|id| (0..self.topics[usize::from(id.0.0[15])] as i32).map(|partition| (*id, partition)));
        assert!(all.eq(given), "{}: not all is given", self.name);
    }

    /// How good it is, less being better: the sum of the squares of the members' numbers of partitions; how many partitions leave a
    /// member that is still there and subscribes to them.
    fn cost(&self, assignment: &[Vec<TopicPartition>]) -> (usize, usize) {
        let sizes = assignment.iter().map(|has| pairs(has).count());
        let lost = self.members.iter().zip(assignment).map(|(member, has)| {
            let has: BTreeSet<_> = pairs(has).collect();
            pairs(&member.had).filter(|one| member.subscribed.contains(&one.0) && !has.contains(one)).count()
        });
        (sizes.map(|size| size * size).sum(), lost.sum())
    }
}

fn pairs(list: &[TopicPartition]) -> impl Iterator<Item = (TopicId, i32)> + '_ {
    list.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (TopicId(topic.topic_id), *partition)))
}

#[test]
fn range_is_kafkas() {
    for case in cases() {
        for (member, ours) in case.members.iter().zip(case.assign(Assignor::Range)) {
            assert_eq!(ours, member.range, "{}: {}", case.name, member.id);
        }
    }
}

#[test]
fn uniform_is_as_even_and_as_sticky_as_kafkas_or_more() {
    let mut counted = [0; 3];
    for case in cases() {
        let ours = case.assign(Assignor::Uniform);
        case.check_valid(&ours);
        let kafkas: Vec<Vec<TopicPartition>> = case.members.iter().map(|member| member.uniform.clone()).collect();
        case.check_valid(&kafkas);
        let costs = (case.cost(&ours), case.cost(&kafkas));
        assert!(costs.0 <= costs.1, "{}: ours costs {:?} and Kafka's {:?}", case.name, costs.0, costs.1);
        counted[match costs.0.0.cmp(&costs.1.0).then(costs.0.1.cmp(&costs.1.1)) {
            Ordering::Equal => 0,
            _ if costs.0.0 == costs.1.0 => 1,
            _ => 2,
        }] += 1;
    }
    println!("as good in {}, fewer moves in {}, more even in {}", counted[0], counted[1], counted[2]);
    assert!(counted.iter().all(|count| *count > 10), "{counted:?}");
}

#[test]
fn what_is_assigned_is_assigned_again() {
    for mut case in cases() {
        for assignor in Assignor::ALL {
            let first = case.assign(assignor);
            case.members.iter_mut().zip(&first).for_each(|(member, has)| member.had = has.clone());
            assert_eq!(case.assign(assignor), first, "{} by {assignor}", case.name);
        }
    }
}
