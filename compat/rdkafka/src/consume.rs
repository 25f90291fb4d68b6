//! Consuming from every place, in small and large portions, with partitions paused, and from a long poll.

use std::time::{Duration, Instant};

use rdkafka::{
    Message, Offset,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    broker::Broker,
    check::{LIMIT, passed, same},
    clients::{
        LONG_POLL_MS, Record, Sender, consume, create, next, places, reader_at_end, reader_from, send_all, topic,
    },
    data::{label, now, numbered},
};

/// Longer than what a fetch may wait for messages.
const QUIET: Duration = Duration::from_millis(3 * LONG_POLL_MS);

pub fn from_everywhere(broker: &Broker) {
    create(broker, &[topic("read", 3)]);
    let base = now() - 100_000;
    let records: Vec<_> = (0..300)
        .map(|n| Record {
            partition: Some(n % 3),
            timestamp: Some(base + i64::from(n)),
            ..numbered("read", n as usize)
        })
        .collect();
    send_all(broker, &[], &records);
    places_and_seeks(broker, base);
    out_of_range(broker);
    pausing(broker);
    portions(broker);
    tail(broker);
}

fn places_and_seeks(broker: &Broker, base: i64) {
    let first = |reader: &BaseConsumer| next(reader, LIMIT).map(|message| message.offset());
    for (from, expected) in [(Offset::Beginning, 0), (Offset::Offset(42), 42), (Offset::OffsetTail(1), 99)] {
        let reader = reader_from(broker, &[], "read", &[(0, from)]);
        same(format!("a consumer from {from:?}"), Some(expected), first(&reader));
    }
    let reader = reader_at_end(broker, &[], "read", &[0]);
    send_all(broker, &[], &[numbered("read", 0)]);
    same("a consumer from End has what is sent then", Some(100), first(&reader));
    let reader = reader_from(broker, &[], "read", &[(0, Offset::Offset(101))]);
    assert!(next(&reader, QUIET).is_none(), "a consumer from the end offset has nothing to read");
    send_all(broker, &[], &[numbered("read", 0)]);
    same("a consumer from the end offset has what is sent then", Some(101), first(&reader));
    let reader = reader_from(broker, &[], "read", &[(1, Offset::Beginning)]);
    same("before a seek", Some(0), first(&reader));
    for offset in [77, 5] {
        reader.seek("read", 1, Offset::Offset(offset), LIMIT).expect("a seek");
        same(format!("after a seek to {offset}"), Some(offset), first(&reader));
    }
    let found = reader.offsets_for_timestamp(base + 100, LIMIT).expect("offsets for a time");
    reader.seek_partitions(found, LIMIT).expect("a seek");
    same("after a seek to a time", Some(33), first(&reader)); // message 100 is the 34th of partition 1
    same("watermarks", Ok((0, 102)), reader.fetch_watermarks("read", 0, LIMIT));
}

fn out_of_range(broker: &Broker) {
    let beyond = [(2, Offset::Offset(1_000_000))];
    let reader = reader_from(broker, &[("auto.offset.reset", "earliest")], "read", &beyond);
    same("out of range, reset to earliest", Some(0), next(&reader, LIMIT).map(|message| message.offset()));
    let eof = [("auto.offset.reset", "latest"), ("enable.partition.eof", "true")];
    let reader = reader_from(broker, &eof, "read", &beyond);
    let told = reader.poll(LIMIT).expect("something to be told").map(|message| message.offset());
    same("out of range, reset to latest", Err(KafkaError::PartitionEOF(2)), told);
    same("where the next message will be", Ok((0, 100)), reader.fetch_watermarks("read", 2, LIMIT));
    let reader = reader_from(broker, &[], "read", &[(2, Offset::Offset(1_000_000))]);
    let deadline = Instant::now() + LIMIT;
    let error = loop {
        match reader.poll(Duration::from_secs(1)) {
            Some(outcome) => break outcome.map(|message| message.offset()),
            None => assert!(Instant::now() < deadline, "out of range is not told"),
        }
    };
    same(
        "out of range, without a reset",
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)),
        error,
    );
}

fn pausing(broker: &Broker) {
    let reader = reader_at_end(broker, &[], "read", &[0, 1, 2]);
    let paused = places("read", &[(1, Offset::Invalid)]);
    reader.pause(&paused).expect("a pause");
    let records: Vec<_> = (0..30).map(|n| Record { partition: Some(n % 3), ..numbered("read", n as usize) }).collect();
    send_all(broker, &[], &records);
    for _ in 0..20 {
        let message = next(&reader, LIMIT).expect("the messages of the other partitions");
        assert_ne!(message.partition(), 1, "a paused partition was read");
    }
    assert!(next(&reader, QUIET).is_none(), "the rest is in a paused partition");
    reader.resume(&paused).expect("going on");
    let resumed: Vec<_> =
        (0..10).map(|_| next(&reader, LIMIT).map(|message| (message.partition(), message.offset()))).collect();
    same("resumed, where it was paused", (100..110).map(|offset| Some((1, offset))).collect::<Vec<_>>(), resumed);
}

/// Batches that are larger than what is asked for at once: a broker hands out whole batches, one at least.
fn portions(broker: &Broker) {
    create(broker, &[topic("portions", 2)]);
    let sender = Sender::new(broker, &[], |_, _| {});
    for n in 0..30_u8 {
        let value = Some(vec![n; 50_000]);
        let record = Record { topic: "portions".into(), partition: Some(i32::from(n % 2)), value, ..Record::default() };
        sender.send(0, &record);
        if n % 5 == 4 {
            sender.flush(); // so that there are several batches
        }
    }
    let small = [("fetch.message.max.bytes", "1000")];
    let tiny = [("fetch.message.max.bytes", "1000"), ("fetch.max.bytes", "1000"), ("message.max.bytes", "1000")];
    for (name, settings) in
        [("the defaults", &[][..]), ("at most 1000 bytes of a partition", &small), ("at most 1000 bytes", &tiny)]
    {
        consume(broker, settings, "portions", 2, Some(30), |message| {
            let n = message.offset() as u8 * 2 + message.partition() as u8;
            assert!(message.payload() == Some(&[n; 50_000]), "message {n} differs");
        });
        passed(format!("batches of 50 KB, fetched with {name}"));
    }
}

/// How long a message takes from its sending to a consumer that waits for it.
fn tail(broker: &Broker) {
    const COUNT: usize = 100;
    let reader = reader_at_end(broker, &[("fetch.wait.max.ms", "1000")], "read", &[2]);
    let sender = Sender::new(broker, &[("linger.ms", "0")], |_, _| {});
    let mut took: Vec<_> = (0..COUNT)
        .map(|n| {
            let started = Instant::now();
            sender.send(n, &Record { partition: Some(2), ..numbered("read", n) });
            let message = next(&reader, LIMIT).expect("the message");
            assert!(message.payload() == Some(&label(n)), "message {n} came as another");
            started.elapsed()
        })
        .collect();
    took.sort();
    let (median, last) = (took[COUNT / 2], took[COUNT - 1]);
    assert!(
        median < Duration::from_millis(100),
        "a message reaches a waiting consumer after {median:?} (half of them)"
    );
    passed("a message reaches a consumer in a long poll at once");
    println!("  sent and read: {median:.2?} (half of them), {last:.2?} (all)");
}
