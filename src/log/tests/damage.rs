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
        let step = (bits / 130).max(1);
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
    assert!(["log", "index", "timeindex", "snapshot", "metadata", "none"].iter().all(|kind| kinds[*kind] > 50));
}

#[test]
fn verify_finds_each_cut() {
    let folder = Folder::new();
    for path in folder.files() {
        let sound = fs::read(&path).unwrap();
        let is_index = path.extension().is_some_and(|suffix| suffix == "index");
        for length in sound.len().saturating_sub(160)..sound.len() {
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
