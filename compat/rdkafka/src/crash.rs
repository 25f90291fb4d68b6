//! A clean restart and a kill -9 while an idempotent producer, a plain one and a consumer are at work. The producers have
//! acks=all and are told nothing: they retry.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use rdkafka::{Message, message::BorrowedMessage};

use crate::{
    broker::Broker,
    check::{LIMIT, passed, same, scale},
    clients::{Record, Sender, consume, create, topic},
};

const PARTITIONS: usize = 10;

pub fn interrupted(broker: &Broker) {
    let count = 60_000 * scale();
    create(broker, &[topic("once", PARTITIONS as i32), topic("plain", 1)]);
    let (once, plain) = (Arc::new(Progress::default()), Arc::new(Progress::default()));
    let read_on = thread::scope(|scope| {
        let reader = scope.spawn(|| numbers(broker, "once", PARTITIONS, Some(count)));
        let senders = [
            scope.spawn(|| send(broker, "once", PARTITIONS, count, &[("enable.idempotence", "true")], &once)),
            scope.spawn(|| send(broker, "plain", 1, count, &[("enable.idempotence", "false")], &plain)),
        ];
        for (share, interrupt) in [(count / 6, Broker::stop as fn(&Broker)), (count / 2, Broker::kill)] {
            once.wait_for(share);
            plain.wait_for(share);
            interrupt(broker);
            broker.restart();
        }
        for sender in senders {
            sender.join().expect("a producer");
        }
        reader.join().expect("the consumer")
    });

    let failures = &once.state.lock().expect("progress").failures;
    same("the idempotent producer's failures over a restart and a kill -9", &vec![], failures);
    let expected: Vec<Vec<usize>> = (0..PARTITIONS).map(|n| (n..count).step_by(PARTITIONS).collect()).collect();
    let stored = numbers(broker, "once", PARTITIONS, None);
    same("after a restart and a kill -9: all are there, in order, once", &expected, &stored);
    same("a consumer that read on through both has all, in order, once", &expected, &read_on);
    let kept: HashSet<usize> = numbers(broker, "plain", 1, None).remove(0).into_iter().collect();
    let acknowledged = &plain.state.lock().expect("progress").acknowledged;
    same("acknowledged to the producer without idempotence, and lost", 0, acknowledged.difference(&kept).count());
    same("acknowledged to it", count, acknowledged.len());
    passed(format!("{count} messages of each producer outlived both"));
}

/// What a producer has been told so far.
#[derive(Default)]
struct Progress {
    state: Mutex<Told>,
    more: Condvar,
}

#[derive(Default)]
struct Told {
    acknowledged: HashSet<usize>,
    failures: Vec<String>,
}

impl Progress {
    fn wait_for(&self, count: usize) {
        let told = self.state.lock().expect("progress");
        let (told, _) =
            self.more.wait_timeout_while(told, LIMIT, |told| told.acknowledged.len() < count).expect("progress");
        assert!(told.acknowledged.len() >= count, "only {} acknowledgements of {count}", told.acknowledged.len());
    }
}

/// Sends numbers. Some of them wait until enough is acknowledged, and the interruptions wait for the same, so that these come
/// in between whatever the machine's speed.
fn send(
    broker: &Broker,
    topic: &str,
    partitions: usize,
    count: usize,
    settings: &[(&str, &str)],
    progress: &Arc<Progress>,
) {
    let settings: Vec<_> = settings.iter().copied().chain([("acks", "all"), ("linger.ms", "2")]).collect();
    let sender = Sender::new(broker, &settings, {
        let progress = progress.clone();
        move |number, outcome| {
            let mut told = progress.state.lock().expect("progress");
            match outcome {
                Ok(_) => drop(told.acknowledged.insert(number)),
                Err(error) => told.failures.push(format!("{number}: {error}")),
            }
            progress.more.notify_all();
        }
    });
    for n in 0..count {
        if n == count / 3 {
            progress.wait_for(count / 6);
        } else if n == count * 2 / 3 {
            progress.wait_for(count / 2);
        }
        let partition = Some((n % partitions) as i32);
        sender.send(
            n,
            &Record {
                topic: topic.to_owned(),
                partition,
                value: Some(n.to_string().into_bytes()),
                ..Record::default()
            },
        );
    }
    sender.flush();
}

fn numbers(broker: &Broker, topic: &str, partitions: usize, wanted: Option<usize>) -> Vec<Vec<usize>> {
    let mut found = vec![vec![]; partitions];
    consume(broker, &[], topic, partitions as i32, wanted, |message: &BorrowedMessage<'_>| {
        let text = std::str::from_utf8(message.payload().expect("a value")).expect("text");
        found[message.partition() as usize].push(text.parse().expect("a number"));
    });
    found
}
