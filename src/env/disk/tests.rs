//! What both disks do alike, and what the simulated one does when the power is lost.

use std::{collections::BTreeSet, io::ErrorKind, path::Path, sync::Arc};

use rustix::io::Errno;

use super::{
    Disk, DiskFile, OpenMode, RealDisk,
    sim::{Answer, Call, SimDisk},
};

fn create(disk: &dyn Disk, path: &Path, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path, OpenMode::Empty).unwrap();
    assert_eq!(file.write_at(content, &[], 0).unwrap(), content.len());
    file
}

/// A folder `/d` that survives, with nothing in it.
fn sim_disk() -> Arc<SimDisk> {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// All that is left of `/d/f` over many seeds, after what `act` did.
fn outcomes(act: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let disk = sim_disk();
        act(&disk);
        let after = disk.crash(seed);
        match after.read(Path::new("/d/f")) {
            Ok(content) => Some(content),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                None
            }
        }
    };
    (0..300).map(outcome).collect()
}

fn settled(disk: &SimDisk, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = create(disk, Path::new("/d/f"), content);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file
}

#[test]
fn both_disks_do_the_same() {
    let real = tempfile::tempdir().unwrap();
    behaves(&RealDisk, real.path());
    behaves(&*SimDisk::new(0), Path::new("/somewhere"));
}

fn behaves(disk: &dyn Disk, root: &Path) {
    let dir = root.join("a/b");
    disk.create_dir_all(&dir).unwrap();
    disk.create_dir_all(&dir).unwrap();
    let path = dir.join("f");
    let not_found = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::NotFound);
    not_found(disk.open(&path, OpenMode::Existing).unwrap_err());
    not_found(disk.open(&root.join("none/f"), OpenMode::OrCreate).unwrap_err());
    not_found(disk.read(&path).unwrap_err());
    not_found(disk.list(&root.join("none")).unwrap_err());
    not_found(disk.remove_file(&path).unwrap_err());
    not_found(disk.remove_dir_all(&path).unwrap_err());
    not_found(disk.rename(&path, &dir.join("g")).unwrap_err());
    assert!(disk.open(&dir, OpenMode::OrCreate).is_err() && disk.remove_file(&dir).is_err());

    let file = disk.open(&path, OpenMode::OrCreate).unwrap();
    assert!(file.is_empty().unwrap());
    assert_eq!(file.write_at(b"head", b"tail", 2).unwrap(), 8);
    assert_eq!((file.len().unwrap(), &disk.read(&path).unwrap()[..]), (10, &b"\0\0headtail"[..]));
    let mut buffer = [0; 5];
    assert_eq!((file.read_at(&mut buffer, 6).unwrap(), &buffer[..4]), (4, &b"tail"[..]));
    assert_eq!(file.read_at(&mut buffer, 10).unwrap() + file.read_at(&mut buffer, 99).unwrap(), 0);
    let mut spare = Vec::with_capacity(16);
    spare.push(b'>');
    assert_eq!((file.read_to_spare(&mut spare, 2).unwrap(), &spare[..]), (8, &b">headtail"[..]));
    file.set_len(4).unwrap();
    file.set_len(6).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.read(&path).unwrap(), b"\0\0he\0\0");
    assert_eq!(disk.open(&path, OpenMode::OrCreate).unwrap().len().unwrap(), 6);

    let other = dir.join("g");
    create(disk, &other, b"other");
    disk.rename(&path, &other).unwrap();
    assert_eq!(disk.list(&dir).unwrap(), std::slice::from_ref(&other));
    assert_eq!(disk.read(&other).unwrap().len(), 6);
    assert!(disk.open(&other, OpenMode::Empty).unwrap().is_empty().unwrap());
    let moved = root.join("moved");
    disk.rename(&dir, &moved).unwrap();
    assert_eq!(disk.list(&moved).unwrap(), [moved.join("g")]);
    disk.sync_dir(root).unwrap();
    disk.remove_file(&moved.join("g")).unwrap();
    assert_eq!(file.write_at(b"still there", &[], 0).unwrap(), 11);
    assert_eq!(file.len().unwrap(), 11);
    create(disk, &moved.join("h"), b"h");
    disk.remove_dir_all(&moved).unwrap();
    assert_eq!(disk.list(root).unwrap(), [root.join("a")]);
}

#[test]
fn what_was_synced_stays_and_of_the_rest_anything_may() {
    let (old, new) = (vec![b'o'; 1500], vec![b'n'; 3000]);
    let left = outcomes(|disk| {
        let file = settled(disk, &old);
        file.write_at(&new, &[], 1500).unwrap();
    });
    let mut seen = [false; 5];
    for content in left {
        let content = content.expect("the file itself was durable");
        assert!(content.starts_with(&old) && content.len() <= 4500);
        let tail = &content[1500..];
        assert!(tail.iter().all(|byte| [0, b'n'].contains(byte)));
        let lost = tail.iter().filter(|byte| **byte == 0).count();
        seen[0] |= tail.is_empty();
        seen[1] |= tail == new;
        seen[2] |= tail.len() < new.len() && lost == 0 && content.len() % 512 != 0;
        seen[3] |= lost > 0 && lost == tail.len();
        seen[4] |= lost > 0 && tail.ends_with(b"n") && lost % 4 == 0;
    }
    assert_eq!(seen, [true; 5], "all lost, all kept, torn, zeroes, a hole");
    let left = outcomes(|disk| {
        settled(disk, &old).write_at(&new, &[], 700).unwrap();
        disk.open(Path::new("/d/f"), OpenMode::Existing).unwrap().sync_data().unwrap();
    });
    assert_eq!(left, [Some([&old[..700], &new].concat())].into());
}

#[test]
fn what_a_cut_removed_does_not_come_back_within_a_new_tail() {
    let left = outcomes(|disk| {
        let file = settled(disk, &[b'o'; 4000]);
        file.set_len(1000).unwrap();
        file.write_at(&[b'n'; 2000], &[], 1000).unwrap();
    });
    let lengths: BTreeSet<usize> = left.iter().flatten().map(Vec::len).collect();
    assert!(lengths.contains(&1000) && lengths.contains(&3000) && lengths.contains(&4000), "{lengths:?}");
    for content in left.iter().flatten().filter(|content| content.len() < 4000) {
        assert!(content[..1000].iter().all(|byte| *byte == b'o'));
        assert!(content[1000..].iter().all(|byte| *byte != b'o'), "{} bytes", content.len());
    }
}

#[test]
fn names_are_lost_until_their_folder_is_synced_and_renames_are_whole() {
    let path = Path::new("/d/f");
    let unnamed = outcomes(|disk| create(disk, path, b"x").sync_data().unwrap());
    assert_eq!(unnamed, [None, Some(b"x".to_vec())].into(), "a file's own sync does not keep its name");
    let replaced = outcomes(|disk| {
        settled(disk, b"old");
        create(disk, Path::new("/d/t"), b"new").sync_data().unwrap();
        disk.rename(Path::new("/d/t"), path).unwrap();
    });
    assert_eq!(replaced, [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
    let removed = |sync: &str| {
        outcomes(|disk| {
            settled(disk, b"old");
            disk.remove_file(path).unwrap();
            disk.sync_dir(Path::new(sync)).unwrap();
        })
    };
    assert_eq!(removed("/d"), [None].into());
    assert_eq!(removed("/"), [None, Some(b"old".to_vec())].into(), "another folder's sync is no help");

    // Of two files made one after the other, either may be lost.
    let left: BTreeSet<Vec<String>> = (0..100)
        .map(|seed| {
            let disk = sim_disk();
            for path in ["/d/1", "/d/2"] {
                create(&*disk, Path::new(path), b"");
            }
            let names = disk.crash(seed).list(Path::new("/d")).unwrap();
            names.iter().map(|path| path.display().to_string()).collect()
        })
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn a_folder_that_is_renamed_takes_its_files_along() {
    for seed in 0..50 {
        let disk = sim_disk();
        settled(&disk, b"x");
        disk.rename(Path::new("/d"), Path::new("/e")).unwrap();
        let after = disk.crash(seed);
        let found = ["/d/f", "/e/f"].map(|path| after.read(Path::new(path)).is_ok());
        assert!(found == [true, false] || found == [false, true], "{found:?}");
    }
}

#[test]
fn after_a_failed_sync_a_later_one_proves_nothing() {
    let left = outcomes(|disk| {
        let file = settled(disk, b"");
        file.write_at(b"first", &[], 0).unwrap();
        disk.set_plan(|call| if matches!(call, Call::Sync { .. }) { Answer::Fail(Errno::IO) } else { Answer::Proceed });
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
        disk.clear_plan();
        assert_eq!(disk.read(Path::new("/d/f")).unwrap(), b"first", "it is seen until the power goes");
        file.write_at(b"second", &[], 5).unwrap();
        file.sync_data().unwrap();
    });
    assert_eq!(left.len(), 1, "fate was decided when the sync failed");
    let fates: BTreeSet<Vec<u8>> = (0..40)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            let file = create(&*disk, Path::new("/f"), b"first");
            disk.sync_dir(Path::new("/")).unwrap();
            disk.set_plan(|_| Answer::Fail(Errno::IO));
            file.sync_data().unwrap_err();
            disk.clear_plan();
            file.write_at(b"second", &[], 5).unwrap();
            file.sync_data().unwrap();
            disk.crash(0).read(Path::new("/f")).unwrap()
        })
        .collect();
    assert!(fates.contains(&b"firstsecond"[..]) && fates.contains(&b"\0\0\0\0\0second"[..]), "{fates:?}");
}

#[test]
fn a_plan_makes_calls_short_or_fail() {
    let disk = sim_disk();
    let file = settled(&disk, b"old");
    let mut writes = 0;
    disk.set_plan(move |call| match call {
        Call::Write { position, length, .. } => {
            writes += 1;
            assert_eq!((*position, *length), (3, 6));
            [Answer::Short(4), Answer::Fail(Errno::NOSPC)][writes - 1]
        }
        Call::Read { .. } => Answer::Short(1),
        _ => Answer::Proceed,
    });
    assert_eq!(file.write_at(b"head", b"er", 3).unwrap(), 4);
    assert_eq!(file.write_at(b"header", &[], 3).unwrap_err().raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    assert_eq!(file.read_at(&mut [0; 9], 0).unwrap(), 1);
    assert_eq!(disk.read(Path::new("/d/f")).unwrap(), b"oldhead");
}

#[test]
fn the_dead_reach_nothing_and_a_kill_takes_nothing() {
    let disk = sim_disk();
    let file = create(&*disk, Path::new("/d/f"), b"unsynced");
    let next = disk.kill();
    assert!(file.write_at(b"x", &[], 0).is_err() && file.sync_data().is_err() && file.len().is_err());
    assert!(disk.read(Path::new("/d/f")).is_err() && disk.sync_dir(Path::new("/d")).is_err());
    assert_eq!(next.read(Path::new("/d/f")).unwrap(), b"unsynced");
    // Not synced yet, though.
    assert!((0..50).any(|seed| {
        let disk = sim_disk();
        create(&*disk, Path::new("/d/f"), b"unsynced");
        disk.kill().crash(seed).read(Path::new("/d/f")).is_err()
    }));
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let run = |seed| {
        let disk = sim_disk();
        for at in 0..20 {
            let file = create(&*disk, &Path::new("/d").join(at.to_string()), &[at; 5000]);
            file.write_at(&[at + 100; 3000], &[], 1000).unwrap();
        }
        let after = disk.crash(seed);
        let names = after.list(Path::new("/d")).unwrap();
        names.into_iter().map(|path| (after.read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1), run(2));
}
