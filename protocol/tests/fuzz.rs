//! A bounded run of what is fuzzed without bounds by `scripts/soak fuzz`: the same bodies, on what Kafka's classes made,
//! changed here and there, on random bytes, and on everything that once was wrong (`fuzz/regressions`).

mod bodies;
mod common;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use bytes::Bytes;
use common::{Random, mutate, stored_vectors, vectors};
use felice_protocol::{
    api::ApiKey,
    coordinator::{GroupRecord, ShareStateRecord, TransactionRecord},
    record::{Codec, Compression, ControlType, compress},
};

type Body = fn(&[u8]);
type Seeds = fn() -> Vec<Vec<u8>>;

/// Each fuzz target: its body, and what it starts from.
const TARGETS: [(&str, Body, Seeds); 4] = [
    ("requests", bodies::requests, request_seeds),
    ("responses", bodies::responses, response_seeds),
    ("batches", bodies::batches, batch_seeds),
    ("stored", bodies::stored, stored_seeds),
];

#[test]
fn requests_keep_their_promises() {
    run("requests", 60_000);
}

#[test]
fn responses_keep_their_promises() {
    run("responses", 60_000);
}

#[test]
fn batches_keep_their_promises() {
    run("batches", 12_000);
}

#[test]
fn stored_records_keep_their_promises() {
    run("stored", 60_000);
}

#[test]
fn what_once_was_wrong_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    let mut inputs = 0;
    for (target, body, _) in TARGETS {
        for entry in fs::read_dir(folder.join(target)).into_iter().flatten() {
            let path = entry.unwrap().path();
            tried(body, &fs::read(&path).unwrap(), &path.display().to_string());
            inputs += 1;
        }
    }
    assert!(inputs > 0, "nothing in {}", folder.display());
}

/// Runs the body on each seed, on seeds that were changed, and on random bytes.
fn run(target: &str, changed: usize) {
    let (_, body, seeds) = TARGETS.into_iter().find(|(name, ..)| *name == target).expect("a target");
    let seeds = seeds();
    assert!(seeds.len() > 30, "only {} seeds", seeds.len());
    for (index, seed) in seeds.iter().enumerate() {
        tried(body, seed, &format!("seed {index}"));
    }
    let mut random = Random(4);
    for round in 0..changed {
        let mut input = seeds[random.below(seeds.len())].clone();
        mutate(&mut input, &mut random);
        tried(body, &input, &format!("changed seed {round}"));
    }
    for round in 0..changed / 4 {
        let len = random.below(80);
        let mut input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        if input.len() > 4 && random.once_in(2) {
            input[0] = 0;
            input[1] %= ApiKey::ALL.len() as u8;
            input[2] = 0;
            input[3] %= 16;
        }
        tried(body, &input, &format!("random bytes {round}"));
    }
}

/// Says which bytes a body failed on.
fn tried(body: Body, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        eprintln!("failed on {what}: {}", hex(input));
        resume_unwind(panic);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every vector of a request, behind a header.
fn request_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for ((api, version, is_request), bodies) in vectors() {
        if !is_request {
            continue;
        }
        let mut header = [api.to_be_bytes(), version.to_be_bytes()].concat();
        header.extend_from_slice(b"\0\0\0\x07\0\x04kcat");
        if ApiKey::from_code(api).is_some_and(|api| api.is_flexible(version)) {
            header.push(0);
        }
        seeds.extend(bodies.iter().map(|body| [&header, &body[..]].concat()));
    }
    seeds
}

/// Every vector of a response, behind key, version and header.
fn response_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for ((api, version, is_request), bodies) in vectors() {
        if is_request {
            continue;
        }
        let mut header = vec![api as u8, version as u8, 0, 0, 0, 7];
        let flexible = ApiKey::from_code(api).is_some_and(|api| api != ApiKey::ApiVersions && api.is_flexible(version));
        if flexible {
            header.push(0);
        }
        seeds.extend(bodies.iter().map(|body| [&header, &body[..]].concat()));
    }
    seeds
}

/// Kafka's batches as a log and as produced, their payloads as compressed data, and records to build.
fn batch_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for line in include_str!("data/batches/vectors.tsv").lines() {
        let (_, hex) = line.split_once('\t').unwrap();
        let batch: Bytes = common::unhex(hex);
        if batch.len() > 4096 {
            continue;
        }
        let codec = batch[22] & 7;
        seeds.push([&[0][..], &batch].concat());
        seeds.push([&[0][..], &batch, &batch].concat());
        // Limits as they are by default, on a compacted topic, with both bounds of time, and with a codec of the topic's.
        for limits in [0xf0, 0xf8, 0xfc, 0xf2, 0x00, 0x10, 0x20, 0x30, 0x40] {
            seeds.push([&[1, limits, 0][..], &batch].concat());
        }
        seeds.push([&[2, codec][..], &batch[61..]].concat());
        seeds.push([&[3, codec, 7][..], &batch[61..]].concat());
    }
    for (id, codec) in (0..).zip(Codec::ALL) {
        for text in [&b""[..], b"a", &b"Kafka's records. ".repeat(40), &[0; 5000]] {
            let mut packed = vec![2, id];
            compress(Compression::new(codec), text, &mut packed).unwrap();
            seeds.push(packed.clone());
            if codec == Codec::Snappy {
                seeds.push([&[2, 5][..], &packed[2 + 16..]].concat());
            }
        }
    }
    seeds
}

/// Every vector of what is stored: keys with their values, values behind keys of our own, and values alone.
fn stored_seeds() -> Vec<Vec<u8>> {
    let vectors = stored_vectors();
    let seed = |kind: u8, key: &[u8], value: &[u8]| [&[kind, key.len() as u8][..], key, value].concat();
    let mut seeds = Vec::new();
    let topics = [GroupRecord::TYPES, TransactionRecord::TYPES, ShareStateRecord::TYPES];
    for (kind, types) in (0..).zip(topics) {
        for record in types {
            let keys = &vectors[&(format!("{}Key", record.name), 0)];
            for version in record.versions.min..=record.versions.max {
                let values = &vectors[&(format!("{}Value", record.name), version)];
                seeds.extend(keys.iter().zip(values).map(|(key, value)| seed(kind, key, value)));
            }
            seeds.extend(keys.iter().map(|key| seed(kind | 0x80, key, b"")));
        }
    }
    for ((name, _), values) in &vectors {
        let (kind, key) = match &name[..] {
            "EndTxnMarker" => (3, ControlType::Commit.key()),
            "LeaderChangeMessage" => (3, ControlType::LeaderChange.key()),
            "SnapshotHeaderRecord" => (3, ControlType::SnapshotHeader.key()),
            "SnapshotFooterRecord" => (3, ControlType::SnapshotFooter.key()),
            "KRaftVersionRecord" => (3, ControlType::KraftVersion.key()),
            "VotersRecord" => (3, ControlType::KraftVoters.key()),
            "ConsumerProtocolSubscription" => (4, [0; 4]),
            "ConsumerProtocolAssignment" => (5, [0; 4]),
            "DefaultPrincipalData" => (6, [0; 4]),
            _ => continue,
        };
        seeds.extend(values.iter().map(|value| seed(kind, &key, value)));
    }
    seeds
}

/// Not a test: how `scripts/soak fuzz` gets the seeds, a file each in a folder for each target.
#[test]
#[ignore = "writes files: set FELICE_FUZZ_SEEDS to the folder they go to"]
fn write_the_seeds() {
    let folder = std::env::var_os("FELICE_FUZZ_SEEDS").expect("FELICE_FUZZ_SEEDS");
    for (target, _, seeds) in TARGETS {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).unwrap();
        for (index, seed) in seeds().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:05}")), seed).unwrap();
        }
    }
}
