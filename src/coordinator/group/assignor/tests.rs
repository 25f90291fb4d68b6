//! By table; and held to Kafka's own assignors in `tests/kafka.rs`, and to all that is possible in `tests/exact.rs`.

mod exact;
mod kafka;

use felice_protocol::Uuid;

use super::*;

fn topic(number: u8) -> TopicId {
    let mut id = [0; 16];
    id[15] = number;
    TopicId(Uuid(id))
}

/// A member: its id, instance id, subscription and what it has, as [`partitions`] takes it.
struct Member(&'static str, Option<&'static str>, &'static [u8], &'static str);

/// `1:0-2,5 2:0`, topic by topic. A single number is a partition, two are the first and the last.
fn partitions(text: &str) -> Vec<TopicPartition> {
    let number = |text: &str| text.parse().unwrap();
    let of_topic = |text: &str| {
        let (number_of, list) = text.split_once(':').unwrap();
        let ranges = list.split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
        let partitions = ranges.flat_map(|(first, last)| number(first)..=number(last)).collect();
        TopicPartition { topic_id: topic(number_of.parse().unwrap()).0, partitions, ..TopicPartition::default() }
    };
    text.split(' ').filter(|text| !text.is_empty()).map(of_topic).collect()
}

fn assign(
    assignor: Assignor,
    topics: &[(u8, u32)],
    members: &[Member],
) -> Result<Vec<Vec<TopicPartition>>, AssignError> {
    let had: Vec<Vec<TopicPartition>> = members.iter().map(|member| partitions(member.3)).collect();
    let members = members.iter().zip(&had).map(|(member, had)| MemberSpec {
        member_id: member.0,
        instance_id: member.1,
        subscribed: member.2.iter().copied().map(topic).collect(),
        assigned: had,
    });
    let topics = topics.iter().map(|(number, count)| (topic(*number), *count)).collect();
    let assignment = assignor.assign(&GroupSpec { members: members.collect(), topics })?;
    Ok(assignment.members.into_iter().zip(had).map(|(has, had)| has.unwrap_or(had)).collect())
}

fn check(assignor: Assignor, topics: &[(u8, u32)], members: &[Member], expected: &[&str]) {
    let expected: Vec<Vec<TopicPartition>> = expected.iter().map(|text| partitions(text)).collect();
    assert_eq!(assign(assignor, topics, members).unwrap(), expected, "{assignor}");
}

#[test]
fn range_cuts_each_topic_and_co_partitions_what_is_alike() {
    let both: &[u8] = &[1, 2];
    let two = || [Member("a", None, both, ""), Member("b", None, both, "")];
    check(Assignor::Range, &[(1, 3), (2, 3)], &two(), &["1:0-1 2:0-1", "1:2 2:2"]);
    let mixed = [Member("a", None, &[1], ""), Member("b", None, both, ""), Member("c", None, &[2], "")];
    check(Assignor::Range, &[(1, 3), (2, 1)], &mixed, &["1:0-1", "1:2 2:0", ""]);
}

#[test]
fn range_has_static_members_first_whatever_their_member_ids() {
    let members =
        [Member("a", None, &[1], ""), Member("b", Some("z"), &[1], ""), Member("c", Some("y"), &[1], "1:0-6")];
    check(Assignor::Range, &[(1, 7)], &members, &["1:5-6", "1:3-4", "1:0-2"]);
}

#[test]
fn uniform_deals_topic_by_topic() {
    let both: &[u8] = &[1, 2];
    let members = [Member("a", None, both, ""), Member("b", None, both, ""), Member("c", None, both, "")];
    check(Assignor::Uniform, &[(1, 3), (2, 3)], &members, &["1:0 2:0", "1:1 2:1", "1:2 2:2"]);
}

#[test]
fn uniform_takes_no_more_than_a_newcomer_needs_and_of_each_topic() {
    let both: &[u8] = &[1, 2];
    let members = [Member("a", None, both, "1:0-2 2:0-2"), Member("b", None, both, "")];
    check(Assignor::Uniform, &[(1, 3), (2, 3)], &members, &["1:0-1 2:0", "1:2 2:1-2"]);
    // The one with more keeps it; the last in the list is no worse off for that.
    let members = [Member("a", None, &[1], "1:0"), Member("b", None, &[1], "1:1-2")];
    check(Assignor::Uniform, &[(1, 3)], &members, &["1:0", "1:1-2"]);
}

#[test]
fn uniform_does_no_harm_by_what_is_stale() {
    // Owned twice, of a topic that is gone, beyond the topic's end, negative, listed twice.
    let members =
        [Member("a", None, &[1], "1:0-1 9:0-3"), Member("b", None, &[1], "1:1,3,7,3"), Member("c", None, &[1], "")];
    check(Assignor::Uniform, &[(1, 5)], &members, &["1:0-1", "1:2-3", "1:4"]);
    let had = [TopicPartition { topic_id: topic(1).0, partitions: vec![-1, i32::MAX], ..TopicPartition::default() }];
    let member = MemberSpec { member_id: "a", subscribed: [topic(1)].into(), assigned: &had, ..MemberSpec::default() };
    let group = GroupSpec { members: vec![member], topics: [(topic(1), 2)].into() };
    assert_eq!(Assignor::Uniform.assign(&group).unwrap().members, [Some(partitions("1:0-1"))]);
}

#[test]
fn uniform_balances_through_chains_of_topics_where_kafka_does_not() {
    // The group of the comment in Kafka's UniformHeterogeneousAssignmentBuilder, which stays at 9, 10 and 11 there.
    let members = [
        Member("a", None, &[1], "1:0-8"),
        Member("b", None, &[1, 2], "1:9-14 2:0-3"),
        Member("c", None, &[2], "2:4-14"),
    ];
    let assignment = assign(Assignor::Uniform, &[(1, 15), (2, 15)], &members).unwrap();
    let sizes: Vec<usize> = assignment.iter().map(|has| has.iter().map(|topic| topic.partitions.len()).sum()).collect();
    assert_eq!(sizes, [10, 10, 10]);
    let kept: Vec<bool> = assignment
        .iter()
        .zip(["1:0-8", "", "2:4-13"])
        .map(|(has, kept)| {
            partitions(kept).iter().all(|kept| {
                has.iter().any(|has| {
                    has.topic_id == kept.topic_id && kept.partitions.iter().all(|one| has.partitions.contains(one))
                })
            })
        })
        .collect();
    assert_eq!(kept, [true; 3], "{assignment:?}");
}

#[test]
fn nobody_and_nothing_are_no_trouble() {
    for assignor in Assignor::ALL {
        check(assignor, &[(1, 3)], &[], &[]);
        check(assignor, &[(1, 3)], &[Member("a", None, &[], ""), Member("b", None, &[], "1:0")], &["", ""]);
        check(assignor, &[(1, 0)], &[Member("a", None, &[1], "")], &[""]);
        check(assignor, &[(1, 1)], &[Member("a", None, &[], ""), Member("b", None, &[1], "")], &["", "1:0"]);
        let missing = assign(assignor, &[], &[Member("a", None, &[1], "")]);
        assert_eq!(missing, Err(AssignError::UnknownTopic(topic(1))));
    }
}

#[test]
fn names_are_kafkas() {
    assert_eq!(Assignor::ALL.map(Assignor::name), ["uniform", "range"]);
    assert_eq!("range".parse(), Ok(Assignor::Range));
    assert_eq!("Range".parse::<Assignor>(), Err(UnknownAssignor));
}
