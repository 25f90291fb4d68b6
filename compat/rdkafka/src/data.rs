//! What is sent comes back: every codec, every shape of message, every timestamp, and a large number of messages.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use rdkafka::{
    Message, Offset, Timestamp,
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::RDKafkaErrorCode,
};
use sha2::{Digest, Sha256};

use crate::{
    broker::Broker,
    check::{LIMIT, passed, same, scale},
    clients::{Record, Sender, consume, create, next, offset_at, reader, reader_from, send_all, topic},
};

const PER_CODEC: usize = 5000;
const MANY: usize = 200_000;
const PARTITIONS: i32 = 10;

/// 5,000 messages from nothing to 900 KB with each codec, and which codec they were stored with.
pub fn every_codec(broker: &Broker) {
    const SPREAD: usize = 3;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let name = format!("codec-{codec}");
        create(broker, &[topic(&name, SPREAD as i32)]);
        let records: Vec<_> = (0..PER_CODEC)
            .map(|n| Record {
                topic: name.clone(),
                partition: Some((n % SPREAD) as i32),
                key: Some(label(n)),
                value: Some(letter(n)),
                ..Record::default()
            })
            .collect();
        let stored = send_all(broker, &[("compression.type", codec), ("linger.ms", "50")], &records);
        for (n, delivered) in stored.iter().enumerate() {
            assert_eq!(delivered.offset, (n / SPREAD) as i64, "{codec}: the acknowledgement of message {n}");
        }
        consume(broker, &[], &name, SPREAD as i32, Some(PER_CODEC), |message| {
            let n = message.offset() as usize * SPREAD + message.partition() as usize;
            assert!(message.key() == Some(&label(n)), "{codec}: the key of message {n} differs");
            assert!(message.payload() == Some(&letter(n)), "{codec}: message {n} differs");
        });
        let check = format!("{codec}: {PER_CODEC} came back as they were, in order; the codec of the stored batches");
        same(check, vec![codec.to_owned()], broker.codecs(&name));
    }
}

/// What is null, empty, large or unusual; acks; the largest batch; the partitioner.
pub fn shapes(broker: &Broker) {
    nulls_and_headers(broker);
    every_acks(broker);
    too_large(broker);
    own_partitioner(broker);
    made_again(broker);
}

fn nulls_and_headers(broker: &Broker) {
    create(broker, &[topic("shapes", 1)]);
    let mut large = vec![0; 900_000];
    SmallRng::seed_from_u64(1).fill_bytes(&mut large);
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let headers = vec![
        ("first".to_owned(), some(b"1")),
        ("empty".to_owned(), some(b"")),
        ("null".to_owned(), None),
        ("first".to_owned(), some(b"2")),
        ("größe 大きさ 🐘".to_owned(), some(&large[..10_000])),
    ];
    let sent: Vec<_> = [
        (some(b"k"), some(b"v"), vec![]),
        (None, some(b"no key"), vec![]),
        (some(b"no value"), None, vec![]),
        (None, None, vec![]),
        (some(b""), some(b""), vec![]),
        (some(b"large"), Some(large.clone()), vec![]),
        (some(b"headers"), some(b"v"), headers),
    ]
    .into_iter()
    .map(|(key, value, headers)| Record {
        topic: "shapes".into(),
        partition: Some(0),
        key,
        value,
        headers,
        timestamp: None,
    })
    .collect();
    send_all(broker, &[], &sent);
    let mut back = vec![];
    consume(broker, &[], "shapes", 1, None, |message| back.push(record(message)));
    assert_eq!(back.len(), sent.len(), "shapes that came back");
    for (n, (sent, back)) in sent.iter().zip(&back).enumerate() {
        assert!(sent == back, "shape {n} differs: {:.200}", format!("{back:?}"));
    }
    passed("null and empty keys, values and headers, a header twice, unicode and 900 KB come back as they were");
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: Some(message.partition()),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        timestamp: None,
    }
}

fn every_acks(broker: &Broker) {
    for acks in ["0", "1", "all"] {
        let name = format!("acks-{acks}");
        create(broker, &[topic(&name, 1)]);
        let records: Vec<_> = (0..1000).map(|n| numbered(&name, n)).collect();
        send_all(broker, &[("acks", acks)], &records);
        consume(broker, &[], &name, 1, Some(records.len()), |message| {
            assert!(
                message.payload() == Some(&label(message.offset() as usize)),
                "acks={acks}: {} differs",
                message.offset()
            );
        });
        passed(format!("acks={acks}: {} messages", records.len()));
    }
}

/// The limit to the byte: a batch of one record with neither key nor headers has 72 bytes around its value.
fn too_large(broker: &Broker) {
    const LIMIT: usize = 100_000;
    const AROUND: usize = 72;
    create(broker, &[topic("small", 1).set("max.message.bytes", "100000")]);
    let send = |size| {
        let outcome = Arc::new(Mutex::new(None));
        let sender = Sender::new(broker, &[("message.max.bytes", "10000000")], {
            let outcome = outcome.clone();
            move |_, delivered| *outcome.lock().expect("outcome") = Some(delivered.map(|delivered| delivered.offset))
        });
        sender.send(
            0,
            &Record { topic: "small".into(), partition: Some(0), value: Some(vec![0; size]), ..Record::default() },
        );
        sender.flush();
        outcome.lock().expect("outcome").take().expect("an outcome")
    };
    same("a batch of exactly max.message.bytes", Ok(0), send(LIMIT - AROUND));
    let refused = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    same("refused: one byte more", Err(refused), send(LIMIT - AROUND + 1));
}

/// A key stays in its partition, all partitions are used, and a message is where its acknowledgement says.
fn own_partitioner(broker: &Broker) {
    for partitioner in ["consistent_random", "murmur2_random", "fnv1a_random"] {
        let name = format!("spread-{partitioner}");
        create(broker, &[topic(&name, PARTITIONS)]);
        let records: Vec<_> = (0..2000)
            .map(|n| Record {
                topic: name.clone(),
                key: Some(label(n % 100)),
                value: Some(label(n)),
                ..Record::default()
            })
            .collect();
        let stored = send_all(broker, &[("partitioner", partitioner)], &records);
        let (mut of, mut sent) = (HashMap::new(), HashMap::new());
        for (record, delivered) in records.iter().zip(&stored) {
            let first = of.entry(record.key.clone()).or_insert(delivered.partition);
            assert_eq!(*first, delivered.partition, "{partitioner}: the partition of a key");
            sent.insert((delivered.partition, delivered.offset), record.value.clone());
        }
        let used: HashSet<_> = of.values().collect();
        same(format!("{partitioner}: all partitions are used"), PARTITIONS as usize, used.len());
        consume(broker, &[], &name, PARTITIONS, Some(records.len()), |message| {
            let expected = &sent[&(message.partition(), message.offset())];
            assert!(
                message.payload() == expected.as_deref(),
                "{partitioner}: not what was sent to {}",
                message.partition()
            );
        });
    }
    passed("messages are where their acknowledgements said");
}

/// A topic is deleted and made again under a producer that is told nothing of it.
fn made_again(broker: &Broker) {
    let failures = Arc::new(Mutex::new(vec![]));
    let sender = Sender::new(broker, &[("enable.idempotence", "true"), ("linger.ms", "1")], {
        let failures = failures.clone();
        move |number, outcome| failures.lock().expect("failures").extend(outcome.err().map(|error| (number, error)))
    });
    let admin = crate::clients::admin(broker);
    for generation in 0..3_usize {
        create(broker, &[topic("again", 1)]);
        let numbers = generation * 200..(generation + 1) * 200;
        for n in numbers.clone() {
            sender.send(n, &numbered("again", n));
        }
        sender.flush();
        same(
            format!("generation {generation} of a topic: failures"),
            vec![],
            failures.lock().expect("failures").clone(),
        );
        let mut stored = vec![];
        consume(broker, &[], "again", 1, None, |message| stored.push(message.payload().map(<[u8]>::to_vec)));
        let expected: Vec<_> = numbers.map(|n| Some(label(n))).collect();
        assert!(stored == expected, "generation {generation} has {} messages that are not its own", stored.len());
        let deleted = futures_executor::block_on(admin.delete_topics(&["again"], &crate::clients::options()));
        assert_eq!(deleted, Ok(vec![Ok("again".to_owned())]), "deleting generation {generation}");
    }
    passed("a topic made again has a live producer's messages, and none of its predecessor");
}

pub fn timestamps(broker: &Broker) {
    create(broker, &[topic("created", 1), topic("appended", 1).set("message.timestamp.type", "LogAppendTime")]);
    let base = now() - 3_600_000;
    let times = [100, 300, 200, 400, 400, 350];
    let before = now();
    let send = |name: &str| {
        let records = times.map(|time| Record { timestamp: Some(base + time), ..numbered(name, 0) });
        // Held back for a while, so that they share a batch.
        send_all(broker, &[("linger.ms", "500")], &records)
    };
    send("created");
    let acknowledged: HashSet<_> = send("appended").iter().map(|delivered| delivered.timestamp).collect();
    let after = now();

    let mut created = vec![];
    consume(broker, &[], "created", 1, None, |message| created.push(message.timestamp()));
    same("create times", times.map(|time| Timestamp::CreateTime(base + time)).to_vec(), created);
    let mut appended = HashSet::new();
    consume(broker, &[], "appended", 1, None, |message| match message.timestamp() {
        Timestamp::LogAppendTime(time) => drop(appended.insert(Some(time))),
        other => panic!("{other:?} instead of an append time"),
    });
    // How many batches there are is up to librdkafka's threads.
    assert!(appended.len() <= broker.batches("appended", 0), "{} append times", appended.len());
    assert!(
        appended.iter().flatten().all(|time| (before..=after).contains(time)),
        "append times {appended:?} are not the broker's"
    );
    same("append times are the broker's, and in the acknowledgements", appended, acknowledged);

    let reader = reader(broker, &[]);
    for (sought, expected) in [
        (0, Some(0)),
        (100, Some(0)),
        (101, Some(1)),
        (250, Some(1)),
        (300, Some(1)),
        (301, Some(3)),
        (400, Some(3)),
        (401, None),
    ] {
        let found = offset_at(&reader, "created", 0, base + sought);
        same(format!("the first offset at or after {sought} ms within the batch"), Ok(expected), found);
    }
    let reader = reader_from(broker, &[], "created", &[(0, Offset::Offset(3))]);
    let rest: Vec<_> = (0..3).map(|_| next(&reader, LIMIT).map(|message| message.offset())).collect();
    same("a consumer begins in the middle of a batch", vec![Some(3), Some(4), Some(5)], rest);
}

/// 200,000 with lz4, five idempotent requests in flight; hashes over each partition.
pub fn two_hundred_thousand(broker: &Broker) {
    let count = MANY * scale();
    create(broker, &[topic("many", PARTITIONS)]);
    let wrong = Arc::new(Mutex::new(None));
    let sender = Sender::new(broker, &[("enable.idempotence", "true"), ("compression.type", "lz4")], {
        let wrong = wrong.clone();
        move |n, outcome| {
            let expected = Ok((n / PARTITIONS as usize) as i64);
            let offset = outcome.map(|delivered| delivered.offset);
            if offset != expected {
                wrong.lock().expect("wrong").get_or_insert((n, offset));
            }
        }
    });
    let (mut sent, mut received) = (hashes(), hashes());
    for n in 0..count {
        let partition = n % PARTITIONS as usize;
        let value = line(n);
        sent[partition].update(&value);
        let record =
            Record { topic: "many".into(), partition: Some(partition as i32), value: Some(value), ..Record::default() };
        sender.send(n, &record);
    }
    sender.flush();
    same("acknowledged at other offsets than those of sending, or failed", None, wrong.lock().expect("wrong").clone());
    consume(broker, &[], "many", PARTITIONS, Some(count), |message| {
        received[message.partition() as usize].update(message.payload().expect("a value"));
    });
    let short = |hashes: Vec<Sha256>| hashes.into_iter().map(|hash| hex(&hash.finalize()[..4])).collect::<Vec<_>>();
    same(format!("{count} messages; the hashes of the partitions"), short(sent), short(received));
}

fn hashes() -> Vec<Sha256> {
    vec![Sha256::new(); PARTITIONS as usize]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// A message for partition 0 that has its number in its value.
pub fn numbered(topic: &str, n: usize) -> Record {
    Record { topic: topic.to_owned(), partition: Some(0), value: Some(label(n)), ..Record::default() }
}

/// Shrinks when compressed even where it is all that is in a batch: librdkafka sends what does not as it was.
pub fn label(n: usize) -> Vec<u8> {
    format!("{n}: an Felice {}", "an Felice ".repeat(10)).into_bytes()
}

/// Empty, short, or 900 KB long.
fn letter(n: usize) -> Vec<u8> {
    let line = line(n);
    if n % 500 == 7 {
        vec![]
    } else if n % 2000 == 1234 {
        line.repeat(900_000 / line.len())
    } else {
        line.repeat(n % 20)
    }
}

fn line(n: usize) -> Vec<u8> {
    format!("Liebste Felice, dies ist Brief Nummer {n}, und es folgen noch viele. ").into_bytes()
}
