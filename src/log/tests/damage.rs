//! Files with a flipped bit, or cut anywhere: what finds it, and what is served then.

use std::path::PathBuf;

use super::*;
use crate::{
    env::disk::sim::Random,
    log::verify::{Circumstances, Finding, Severity, Tally, Verifier},
};

const CLEAN: Circumstances = Circumstances { in_use: false, clean: true };

/// A data folder with two partitions of one topic, closed cleanly: segments, codecs, producers, leader epochs.
struct Folder {
    root: TempDir,
}

impl Folder {
    fn new() -> Folder {
        let root = TempDir::new().unwrap();
        for (index, batches) in [(2, 1), (3, 45)] {
            let (log, _) = open_with(&root.path().join(format!("orders-{index}")), &small(), true, 0);
            for at in 0..batches {
                let codec = Codec::ALL[at % 5];
                let builder = match at % 3 {
                    0 => BatchBuilder::new(codec),
                    kind => BatchBuilder::new(codec).producer(700 + kind as i64, 1, at as i32 / 3 * 2),
                };
                let batch = checked(records(builder, 2, 20 + at, NOW.0 + at as i64 * 10));
                log.append_as_leader(&batch, LeaderEpoch(at as i32 / 15), NOW).unwrap();
            }
            log.close().unwrap();
            assert!(index == 2 || log.segment_bases().len() > 2);
        }
        Folder { root }
    }

    fn partition(&self) -> PathBuf {
        self.root.path().join("orders-3")
    }

    /// The files of the second partition, by name.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.partition()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn verify(&self, circumstances: Circumstances) -> (Tally, Vec<Finding>) {
        let mut found = Vec::new();
        let mut report = |finding: &Finding| found.push(finding.clone());
        let mut progress = |_: &Tally| {};
        let mut verifier = Verifier::new(&RealDisk, circumstances, &mut report, &mut progress);
        verifier.partition(&self.root.path().join("orders-2"));
        verifier.partition(&self.partition());
        let tally = verifier.tally();
        (tally, found)
    }
}

#[test]
fn a_sound_folder_is_found_to_be_sound() {
    let folder = Folder::new();
    let (tally, found) = folder.verify(CLEAN);
    assert_eq!(found, []);
    assert_eq!((tally.partitions, tally.batches, tally.records, tally.damaged), (2, 46, 92, 0));
    let bytes: u64 = ["orders-2", "orders-3"]
        .iter()
        .flat_map(|name| fs::read_dir(folder.root.path().join(name)).unwrap())
        .map(|entry| entry.unwrap())
        .filter(|entry| [".log", "index"].iter().any(|suffix| entry.path().to_str().unwrap().ends_with(suffix)))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(tally.bytes, bytes);
}

/// Which bits of a file mean nothing to anyone but a store that is not looked at here.
fn is_beyond_telling(path: &Path, before: &[u8], after: &[u8]) -> bool {
    // Where the first leader epoch begins is where the log does, which only the store knows.
    let name = path.file_name().unwrap().to_str().unwrap();
    let later = |content: &[u8]| {
        let epochs = epochs::LeaderEpochs::from_checkpoint(&String::from_utf8_lossy(content))?;
        let first = epochs.entries().first()?.epoch;
        Some((first, epochs.entries().get(1..).map(<[_]>::to_vec)))
    };
    name == "leader-epoch-checkpoint" && later(before) == later(after)
}

#[test]
fn verify_finds_each_flipped_bit() {
    let folder = Folder::new();
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for path in folder.files() {
        let sound = fs::read(&path).unwrap();
        let kind = path.extension().map_or("none".into(), |suffix| suffix.to_string_lossy().into_owned());
        // Small files bit by bit, large ones here and there.
        let bits = sound.len() * 8;
        let step = (bits / 100).max(1);
        for bit in (0..bits).step_by(step) {
            let bit = (bit + (bit / step * 7) % step).min(bits - 1);
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if is_beyond_telling(&path, &sound, &flipped) {
                continue;
            }
            fs::write(&path, &flipped).unwrap();
            let (tally, found) = folder.verify(CLEAN);
            assert!(tally.damaged > 0, "bit {bit} of {} goes unnoticed: {found:?}", path.display());
            *kinds.entry(kind.clone()).or_default() += 1;
        }
        fs::write(&path, &sound).unwrap();
    }
    assert_eq!(folder.verify(CLEAN).1, []);
    println!("{kinds:?}");
    assert!(["log", "index", "timeindex", "snapshot", "metadata", "none"].iter().all(|kind| kinds[*kind] > 40));
}

#[test]
fn verify_finds_each_cut() {
    let folder = Folder::new();
    for path in folder.files() {
        let sound = fs::read(&path).unwrap();
        let is_index = path.extension().is_some_and(|suffix| suffix == "index");
        for length in sound.len().saturating_sub(100)..sound.len() {
            // An offset index may always have fewer entries.
            if is_index && length % 8 == 0 {
                continue;
            }
            fs::write(&path, &sound[..length]).unwrap();
            let (tally, found) = folder.verify(CLEAN);
            assert!(tally.damaged > 0, "{} cut to {length} goes unnoticed: {found:?}", path.display());
        }
        fs::remove_file(&path).unwrap();
        let (tally, _) = folder.verify(CLEAN);
        let is_needed = path.extension().is_none_or(|suffix| suffix != "snapshot");
        assert_eq!(tally.damaged > 0, is_needed, "{} is gone", path.display());
        fs::write(&path, &sound).unwrap();
    }
    assert_eq!(folder.verify(CLEAN).1, []);
}

/// What is behind damage is looked at, and not taken for damaged too.
#[test]
fn the_walk_goes_on_behind_damage() {
    let folder = Folder::new();
    let path = folder.partition().join("00000000000000000000.log");
    let sound = fs::read(&path).unwrap();
    let headers = headers(&sound);
    let (all, _) = folder.verify(CLEAN);
    let second = headers[0].size();
    // A length, a magic, and bytes of a record.
    for (at, lost) in [(second + 8, 1), (second + 10, 1), (second + 16, 1), (second + 70, 1)] {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x41;
        fs::write(&path, &damaged).unwrap();
        let (tally, found) = folder.verify(CLEAN);
        assert_eq!(tally.batches, all.batches - lost, "{at}: {found:?}");
        let of_log: Vec<_> = found.iter().filter(|finding| finding.path == path).collect();
        assert_eq!(of_log.len(), 1, "{found:?}");
        assert_eq!((of_log[0].position, of_log[0].offset), (Some(second as u64), Some(Offset(2))), "{found:?}");
    }
}

#[test]
fn beside_a_broker_and_after_a_kill_a_torn_tail_is_no_damage() {
    let folder = Folder::new();
    let path = folder.files().into_iter().rfind(|path| path.extension().is_some_and(|s| s == "log")).unwrap();
    let snapshot = folder.files().into_iter().rfind(|path| path.extension().is_some_and(|s| s == "snapshot")).unwrap();
    fs::remove_file(snapshot).unwrap();
    let sound = fs::read(&path).unwrap();
    let last = headers(&sound).last().unwrap().size();
    for cut in [1, 30, last - 1] {
        fs::write(&path, &sound[..sound.len() - cut]).unwrap();
        let (tally, found) = folder.verify(Circumstances { in_use: true, clean: false });
        assert_eq!((tally.damaged, tally.notes), (0, 0), "{found:?}");
        let (tally, found) = folder.verify(Circumstances { in_use: false, clean: false });
        assert_eq!((tally.damaged, tally.notes), (0, 1), "{found:?}");
        assert_eq!((found[0].severity, found[0].offset), (Severity::Note, Some(Offset(88))));
        assert!(found[0].what.contains("an append was interrupted"), "{found:?}");
        assert!(folder.verify(CLEAN).0.damaged > 0);
    }
}

#[test]
fn leftovers_are_told_and_no_damage() {
    let folder = Folder::new();
    for name in ["00000000000000000000.log.cleaned", "00000000000000000007.log.deleted", "notes.txt"] {
        fs::write(folder.partition().join(name), "left").unwrap();
    }
    let (tally, found) = folder.verify(CLEAN);
    assert_eq!((tally.damaged, tally.notes), (0, 3), "{found:?}");
    fs::write(folder.partition().join("00000000000000000099.index"), "left").unwrap();
    assert_eq!(folder.verify(Circumstances::default()).0.notes, 4);
    let (tally, found) = folder.verify(CLEAN);
    assert_eq!((tally.damaged, tally.notes), (1, 3), "after a clean stop its segment is missing: {found:?}");
}

/// Nothing that is in a file takes much memory or time, or ends the process.
#[test]
fn any_bytes_can_be_verified() {
    let folder = Folder::new();
    let mut random = Random::new(5);
    for round in 0..60 {
        for path in folder.files() {
            let length = random.below(600);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            if round % 2 == 0 && bytes.len() > 20 {
                // A header, as far as the eye can see.
                bytes[..8].copy_from_slice(&(random.below(100) as i64).to_be_bytes());
                bytes[8] = 0;
                bytes[9] = 0;
                bytes[16] = 2;
            }
            fs::write(&path, bytes).unwrap();
        }
        for circumstances in [CLEAN, Circumstances::default(), Circumstances { in_use: true, clean: false }] {
            folder.verify(circumstances);
        }
    }
}

/// Everything in the log, batch by batch.
fn read_over_holes(log: &Log) -> Vec<u8> {
    let (mut all, mut from) = (Vec::new(), log.log_start());
    while from < log.log_end() {
        let slice = log.read(from, 0, log.log_end(), true).unwrap();
        assert!(slice.next_offset > from, "no way on from {from}");
        all.extend_from_slice(&slice.bytes);
        from = slice.next_offset;
    }
    all
}

/// Compaction leaves holes, and a batch before a hole says itself, by its CRC, where it ends.
#[test]
fn a_compacted_log_is_sound_and_is_read_over_its_holes() {
    let folder = Folder::new();
    let dir = folder.partition();
    fs::remove_dir_all(&dir).unwrap();
    let config = LogConfig { compacts: true, ..small() };
    let (log, _) = open_with(&dir, &config, true, 0);
    for at in 0..200_i64 {
        let key = format!("key {}", at * at % 23);
        let builder = (0..2).fold(BatchBuilder::new(Codec::None), |builder, record| {
            builder.record(NOW.0 + at, Some(format!("{key}{record}").as_bytes()), Some(&[b'v'; 60]))
        });
        append(&log, &checked(builder));
    }
    log.flush().unwrap();
    let range = log.cleanable(Some(Offset::ZERO), log.log_end(), NOW).unwrap();
    let settings = CompactSettings { now: NOW, seed: [1, 2], io_buffer_bytes: 4096, decompressed_max: 1 << 20 };
    let mut map = OffsetMap::with_memory(1 << 20, 0.9);
    log.compact(&range, &mut map, &settings, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    let (end, whole) = (log.log_end(), read_over_holes(&log));
    log.close().unwrap();
    for entry in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|suffix| suffix == "deleted") {
            fs::remove_file(entry).unwrap();
        }
    }
    let (tally, found) = folder.verify(CLEAN);
    assert_eq!(found, []);
    assert!(tally.batches < 120, "{tally:?}");

    let (log, _) = open_with(&dir, &config, true, end.0);
    assert_eq!((log.log_end(), &read_over_holes(&log)), (end, &whole));
    let batches = headers(&whole);
    for from in 0..end.0 {
        let expected = batches.iter().find(|header| header.last_offset() >= from).unwrap();
        for in_memory in [true, false] {
            let bytes = all_bytes(&log, from, 1, in_memory).unwrap();
            let header = BatchHeader::parse(&bytes).unwrap();
            assert_eq!((header.base_offset, header.size()), (expected.base_offset, bytes.len()), "from {from}");
        }
    }
}

/// The bytes of a batch without what its CRC does not cover and no client relies on: its leader epoch.
fn without_epoch(batch: &[u8]) -> Vec<u8> {
    [&batch[..12], &batch[16..]].concat()
}

/// What a log that was sound held, batch by batch.
struct Original {
    batches: Vec<(BatchHeader, Vec<u8>)>,
}

impl Original {
    fn of(folder: &Folder) -> Original {
        let mut batches = Vec::new();
        for path in folder.files().iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "log")) {
            let mut bytes = &fs::read(path).unwrap()[..];
            while !bytes.is_empty() {
                let header = BatchHeader::parse(bytes).unwrap();
                batches.push((header, bytes[..header.size()].to_vec()));
                bytes = &bytes[header.size()..];
            }
        }
        Original { batches }
    }

    fn end(&self) -> i64 {
        self.batches.last().unwrap().0.next_offset()
    }

    /// Holds an answer against what was written: each batch is at its offsets, of its size, and the same or known as damaged by
    /// its CRC. Returns the offset after it.
    fn check(&self, from: i64, bytes: &Bytes, why: &str) -> i64 {
        let mut at = self.batches.partition_point(|(header, _)| header.last_offset() < from);
        let mut rest = bytes.clone();
        let mut next = from;
        while !rest.is_empty() {
            let (batch, after) =
                Batch::split_first(&rest).unwrap_or_else(|error| panic!("{why}: {error} after {next}"));
            let (header, written) = &self.batches[at];
            let found = batch.header();
            assert_eq!(
                (found.base_offset, found.last_offset(), found.size()),
                (header.base_offset, header.last_offset(), header.size()),
                "{why}: from {from}"
            );
            let is_same = without_epoch(batch.bytes()) == without_epoch(written);
            assert!(is_same || batch.verify_crc().is_err(), "{why}: offset {next} is another");
            (rest, next, at) = (after, found.next_offset(), at + 1);
        }
        next
    }
}

fn all_bytes(log: &Log, from: i64, max: usize, in_memory: bool) -> Result<Bytes, ReadError> {
    let (from, until) = (Offset(from), log.log_end());
    if in_memory {
        return Ok(log.read(from, max, until, true)?.bytes);
    }
    Ok(match log.slice(from, max, until, true, 300)?.records {
        Records::Bytes(bytes) => bytes,
        Records::File(range) => {
            let mut bytes = vec![0; range.len];
            std::os::unix::fs::FileExt::read_exact_at(&*range.file, &mut bytes, range.offset).unwrap();
            Bytes::from(bytes)
        }
    })
}

/// Whatever bit flips in whatever file: what is read is what was written, or an error.
#[test]
fn no_flipped_bit_makes_a_client_read_something_else() {
    let folder = Folder::new();
    let original = Original::of(&folder);
    let files = folder.files();
    let mut random = Random::new(11);
    let (mut refused, mut errors) = (0, 0);
    for seed in 0..400 {
        let copy = TempDir::new().unwrap();
        for path in &files {
            fs::copy(path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        // Mostly logs, and mostly their headers.
        let logs: Vec<_> = files.iter().filter(|path| path.extension().is_some_and(|s| s == "log")).collect();
        let path = if seed % 3 == 0 { &files[random.below(files.len())] } else { logs[random.below(logs.len())] };
        let is_log = logs.contains(&path);
        let path = copy.path().join(path.file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let bit = if is_log && seed % 2 == 0 {
            let headers = headers(&bytes);
            let skipped: usize = headers[..random.below(headers.len())].iter().map(BatchHeader::size).sum();
            skipped * 8 + random.below(HEADER_LEN * 8)
        } else {
            random.below(bytes.len() * 8)
        };
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();
        let why = format!("seed {seed}, bit {bit} of {}", path.file_name().unwrap().display());

        let start = Start { clean: seed % 5 > 0, recovery_point: Offset(original.end()), log_start: Offset::ZERO };
        let id = TopicId(Uuid([7; 16]));
        let Ok((log, _)) = Log::open(Arc::new(RealDisk), copy.path(), partition(), id, small(), start, NOW) else {
            refused += 1;
            assert!(!is_log, "{why}: cannot be opened");
            continue;
        };
        assert_eq!(log.log_end().0, original.end(), "{why}: what was durable stays");
        let mut lost = 0;
        for round in 0..2 {
            for max in [1, 500, 5000] {
                for in_memory in [true, false] {
                    let mut from = 0;
                    while from < log.log_end().0 {
                        match all_bytes(&log, from, max, in_memory) {
                            Ok(bytes) => {
                                let next = original.check(from, &bytes, &why);
                                assert!(next > from, "{why}: no way on from {from}");
                                from = next;
                            }
                            Err(ReadError::Log(LogError::Corrupt { .. })) => {
                                errors += 1;
                                lost += usize::from(max == 1 && in_memory && round == 0);
                                from += 1;
                            }
                            Err(error) => panic!("{why}: {error} at {from}"),
                        }
                    }
                }
            }
        }
        // A batch has two offsets; beside the one that is damaged, those to the next index entry may be out of reach.
        assert!(lost <= if is_log { 8 } else { 0 }, "{why}: {lost} offsets are lost");
        for at in (0..500).step_by(7) {
            let timestamp = Timestamp(NOW.0 + at);
            if let Ok(found) = log.offset_for_timestamp(timestamp)
                && !is_log
            {
                let expected = original.batches.iter().find(|(header, _)| header.max_timestamp >= timestamp.0);
                if let (Some(found), Some((expected, _))) = (found, expected) {
                    assert!(
                        (expected.base_offset..=expected.last_offset()).contains(&found.offset.0),
                        "{why}: at time {at}"
                    );
                }
            }
        }
    }
    println!("{refused} refused, {errors} errors");
    assert!(errors > 50);
}
