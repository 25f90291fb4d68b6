//! Topics that are made, grow and vanish under a group.

use super::*;

#[test]
fn topics_that_come_and_grow_and_go_are_followed() {
    let mut bench = Bench::new();
    let mut a = Member::new("a", &["t", "later"]);
    a.join(&mut bench);
    assert_eq!((a.epoch, a.count()), (2, 0));
    bench.topic("t", 1);
    a.beat(&mut bench);
    assert_eq!((a.epoch, a.count()), (3, 1));
    bench.topic("t", 2);
    a.beat(&mut bench);
    assert_eq!((a.epoch, a.count()), (4, 2));
    bench.topic("other", 2);
    a.beat(&mut bench);
    assert_eq!((a.epoch, bench.records.len()), (4, 0));
    bench.delete_topic("t");
    settle(&mut bench, &mut [&mut a]);
    assert_eq!((a.epoch, a.count()), (5, 0));
    let again = bench.topic("t", 1);
    a.beat(&mut bench);
    assert_eq!((a.epoch, &a.has), (6, &BTreeMap::from([(again, vec![0])])));
}

#[test]
fn what_changed_while_the_coordinator_was_away_is_seen() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let mut a = Member::new("a", &["t"]);
    a.join(&mut bench);
    bench.restart();
    a.beat(&mut bench);
    assert_eq!((a.epoch, bench.records.len()), (2, 0));
    bench.topic("t", 2);
    bench.restart();
    a.beat(&mut bench);
    assert_eq!((a.epoch, a.count()), (3, 2));
}

#[test]
fn a_change_of_subscription_takes_away_at_once_what_is_not_wanted() {
    let mut bench = Bench::with(GroupSettings::default());
    let (t, u) = (bench.topic("t", 2), bench.topic("u", 1));
    let mut a = Member::new("a", &["t", "u"]);
    a.join(&mut bench);
    a.names = Some(vec!["u".to_owned()]);
    let answer = bench.heartbeat(a.full());
    // There is no new target yet, and it is told already.
    assert_eq!(bench.epochs(), (3, 2));
    a.take(&answer);
    assert!(!a.has.contains_key(&t) && a.has.contains_key(&u));
    bench.pass(HEARTBEAT_MS);
    settle(&mut bench, &mut [&mut a]);
    assert_eq!((bench.epochs(), a.epoch, a.count()), ((3, 3), 3, 1));
}

#[test]
fn names_that_nobody_subscribes_to_any_more_are_not_kept() {
    let mut bench = Bench::new();
    bench.topic("t", 1);
    let mut a = Member::new("a", &["t"]);
    a.join(&mut bench);
    for round in 0..100 {
        let mut names: Vec<String> = (0..100).map(|n| format!("{round}-{n}")).collect();
        names.push("t".to_owned());
        a.names = Some(names);
        let answer = bench.heartbeat(a.full());
        a.take(&answer);
    }
    let known = &bench.machine.soft.consumer.topic_hashes;
    assert!(known.len() < 2_500, "{} of 101 names", known.len());
    let epoch = a.epoch;
    bench.topic("t", 2);
    a.beat(&mut bench);
    assert_eq!((a.epoch, a.count()), (epoch + 1, 2), "a topic that is subscribed to is still watched");
}
