//! Seeds of disorder: members come, go, stall and lose answers, topics come and go, and the coordinator starts anew from its log.
//! When all is quiet, every partition of what is subscribed to has exactly one owner.

use super::*;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// As a client does that has lost an answer: it says all of it again, and joins anew where it is fenced.
fn beat_again(bench: &mut Bench, member: &mut Member) {
    let answer = bench.heartbeat(member.full());
    match ErrorCode::from(answer.error_code) {
        ErrorCode::None => member.take(&answer),
        ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
            (member.epoch, member.has) = (0, BTreeMap::new());
        }
        ErrorCode::UnreleasedInstanceId | ErrorCode::GroupIdNotFound => {}
        other => panic!("{other:?}"),
    }
}

fn new_member(dice: &mut Dice, number: usize) -> Member {
    let id = format!("m{number}");
    match dice.roll(5) {
        0 => Member::by_regex(&id, "t.*"),
        1 => Member::fixed(&id, &format!("i{}", dice.roll(3)), &["t1", "t2"]),
        2 => Member::new(&id, &["t1"]),
        _ => Member::new(&id, &["t1", "t2", "t3"]),
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut settings = GroupSettings::default();
    settings.consumer.assignment_interval_ms = if dice.roll(2) == 0 { 0 } else { 1_000 };
    let mut bench = Bench::with(settings);
    let mut members: Vec<Member> = Vec::new();
    let mut made = 0;
    let mut gone: Vec<i32> = Vec::new();
    for _ in 0..150 {
        let at = dice.roll(members.len().max(1) as u64) as usize;
        match dice.roll(20) {
            0..=2 if members.len() < 6 => {
                made += 1;
                let mut member = new_member(&mut dice, made);
                beat_again(&mut bench, &mut member);
                members.push(member);
            }
            3 if !members.is_empty() => {
                let member = members.swap_remove(at);
                if member.epoch > 0 {
                    let epoch = if member.instance_id.is_some() && dice.roll(2) == 0 { -2 } else { -1 };
                    bench.heartbeat(ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..member.short(false) });
                }
            }
            // It is killed.
            4 if !members.is_empty() => drop(members.swap_remove(at)),
            5 => {
                let topic = format!("t{}", dice.roll(4));
                let has = bench.topics.get(&topic).map_or(0, |(_, partitions)| *partitions);
                bench.topic(&topic, has + 1 + dice.roll(3) as i32);
            }
            6 => {
                let topic = format!("t{}", dice.roll(4));
                if bench.topics.contains_key(&topic) {
                    bench.delete_topic(&topic);
                }
            }
            7 => bench.restart(),
            8 => bench.pass(dice.roll(30_000) as i64),
            9 => bench.pass(dice.roll(2_000) as i64),
            // Its answer is lost.
            10 if !members.is_empty() => drop(bench.heartbeat(members[at].full())),
            11 if !members.is_empty() => {
                let names =
                    if dice.roll(2) == 0 { vec!["t3".to_owned()] } else { vec!["t1".to_owned(), "t3".to_owned()] };
                members[at].names = Some(names);
                beat_again(&mut bench, &mut members[at]);
            }
            _ if !members.is_empty() => beat_again(&mut bench, &mut members[at]),
            _ => {}
        }
        let group = bench.machine.state().consumer.get("g");
        gone.push(group.map_or(i32::MIN, ConsumerGroup::epoch));
    }
    // An epoch never falls while the group is there.
    assert!(gone.iter().filter(|epoch| **epoch != i32::MIN).is_sorted(), "seed {seed}");

    let mut round = 0;
    loop {
        let written = bench.log.len();
        for member in &mut members {
            beat_again(&mut bench, member);
        }
        bench.pass(HEARTBEAT_MS);
        round += 1;
        // Long enough for those that were killed, for static ones whose place is taken, and for expressions.
        if round > 30 && bench.log.len() == written {
            break;
        }
        assert!(round < 60, "seed {seed}: the group does not come to rest");
    }
    let group = bench.machine.state().consumer.get("g");
    let mut owners = BTreeMap::new();
    for member in members.iter().filter(|member| group.is_some_and(|group| group.members.contains_key(&*member.id))) {
        for (topic, partitions) in &member.has {
            for partition in partitions {
                assert_eq!(owners.insert((*topic, *partition), &member.id), None, "seed {seed}");
            }
        }
    }
    for (name, (topic_id, partitions)) in &bench.topics {
        let wanted = bench.image.topic(name).is_some() && bench.machine.consumer_subscribes("g", name);
        let owned = owners.keys().filter(|(topic, _)| topic == topic_id).count();
        assert_eq!(owned, if wanted { *partitions as usize } else { 0 }, "seed {seed}: {name}");
    }
}

#[test]
fn whatever_happens_a_quiet_group_has_each_partition_once() {
    (0..100).for_each(run);
}
