//! Subscriptions by regular expressions.

use super::*;

#[test]
fn topics_that_match_are_assigned_once_they_are_found() {
    let mut bench = Bench::new();
    let (foo, _) = (bench.topic("foo1", 2), bench.topic("bar", 1));
    let mut a = Member::by_regex("a", "foo.*");
    a.join(&mut bench);
    assert_eq!((a.epoch, a.count()), (1, 0));
    bench.pass(0);
    assert_eq!(bench.kinds(), ["ConsumerGroupRegularExpression", "ConsumerGroupMetadata"]);
    a.beat(&mut bench);
    assert_eq!((a.epoch, &a.has), (2, &BTreeMap::from([(foo, vec![0, 1])])));
    settle(&mut bench, &mut [&mut a]);

    // A topic that is made later is found with the next heartbeat, but not more than every ten seconds.
    bench.pass(10_000);
    bench.topic("foo2", 1);
    settle(&mut bench, &mut [&mut a]);
    assert_eq!((a.epoch, a.count()), (3, 3));
    bench.topic("nofoo", 1);
    bench.pass(20_000);
    a.beat(&mut bench);
    bench.pass(0);
    assert_eq!(bench.kinds(), ["ConsumerGroupRegularExpression"]);
    bench.delete_topic("foo2");
    settle(&mut bench, &mut [&mut a]);
    assert_eq!((a.epoch, a.count()), (4, 2));
}

#[test]
fn an_expression_goes_with_the_last_who_subscribes_by_it() {
    let mut bench = Bench::new();
    bench.topic("foo", 2);
    bench.topic("bar", 1);
    let (mut a, mut b) = (Member::by_regex("a", "foo"), Member::by_regex("b", "foo"));
    a.join(&mut bench);
    bench.pass(0);
    // The expression is known: this member is served at once.
    b.join(&mut bench);
    assert_eq!(bench.epochs().0, 3);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [1, 1]);
    a.regex = Some("bar".to_owned());
    bench.pass(10_000);
    let answer = bench.heartbeat(a.full());
    a.take(&answer);
    assert_eq!(a.count(), 0);
    settle(&mut bench, &mut [&mut a, &mut b]);
    assert_eq!([a.count(), b.count()], [1, 2]);
    b.leave(&mut bench);
    assert!(bench.kinds().contains(&"ConsumerGroupRegularExpression"));
    assert!(!bench.machine.consumer_subscribes("g", "foo") && bench.machine.consumer_subscribes("g", "bar"));
    // From an expression to names.
    (a.regex, a.names) = (Some(String::new()), Some(vec!["foo".to_owned()]));
    let answer = bench.heartbeat(a.full());
    a.take(&answer);
    settle(&mut bench, &mut [&mut a]);
    assert_eq!(a.count(), 2);
    assert!(bench.machine.state().consumer["g"].regexes.is_empty());
}

#[test]
fn an_expression_that_is_none_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    let a = Member::by_regex("a", "(");
    assert_eq!(a.error(&mut bench, a.full()), ErrorCode::InvalidRegularExpression);
    assert!(bench.machine.state().consumer.is_empty());
    let mut b = Member::fixed("b", "i", &["t"]);
    b.join(&mut bench);
    let mut bad = b.full();
    bad.subscribed_topic_regex = Some("[".to_owned());
    assert_eq!(b.error(&mut bench, bad), ErrorCode::InvalidRegularExpression);
}

#[test]
fn names_and_an_expression_add_up() {
    let mut bench = Bench::new();
    bench.topic("foo", 1);
    bench.topic("bar", 1);
    let mut a = Member { regex: Some("f.o".to_owned()), ..Member::new("a", &["bar", "foo"]) };
    a.join(&mut bench);
    settle(&mut bench, &mut [&mut a]);
    assert_eq!(a.count(), 2);
}

#[test]
fn expressions_are_matched_one_at_a_time_so_that_others_have_their_turn() {
    let mut bench = Bench::new();
    bench.topic("t1", 1);
    let mut members: Vec<Member> = (0..50).map(|n| Member::by_regex(&format!("m{n:02}"), &format!("t{n}"))).collect();
    for member in &mut members {
        member.join(&mut bench);
    }
    let mut turns = 0;
    while bench.machine.state().consumer["g"].regexes.size() < members.len() {
        let before = bench.machine.state().consumer["g"].regexes.size();
        bench.pass(1);
        assert!(bench.machine.state().consumer["g"].regexes.size() <= before + 1);
        turns += 1;
        if turns % 100 == 0 {
            // The first ones were matched before the others came: these wait for the next time.
            bench.pass(10_000);
            members.iter_mut().for_each(|member| member.beat(&mut bench));
        }
        assert!(turns < 1_000);
    }
}

#[test]
fn many_expressions_are_matched_bit_by_bit_and_one_that_matches_too_much_not_at_all() {
    let mut settings = GroupSettings { record_max_bytes: 2_000, ..GroupSettings::default() };
    settings.consumer.assignment_interval_ms = 0;
    let mut bench = Bench::with(settings);
    for n in 0..30 {
        bench.topic(&format!("topic-with-a-rather-long-name-for-its-kind-{n:02}"), 1);
    }
    let mut members: Vec<Member> = (0..3).map(|n| Member::by_regex(&format!("m{n}"), &format!(".*{n}"))).collect();
    members.push(Member::by_regex("all", ".*"));
    for member in &mut members {
        member.join(&mut bench);
    }
    settle(&mut bench, &mut members.iter_mut().collect::<Vec<_>>());
    bench.pass(10_000);
    settle(&mut bench, &mut members.iter_mut().collect::<Vec<_>>());
    assert_eq!(members.iter().map(Member::count).collect::<Vec<_>>(), [3, 3, 3, 0]);
    assert_eq!(bench.machine.state().consumer["g"].regexes.size(), 3);
}
