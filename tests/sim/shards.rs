//! Which seeds are run, and what is told of one that fails.

use std::{
    env,
    fmt::Display,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use super::{
    cluster::{self, Summary},
    groups, journal,
    oracle::Violation,
    trace::Trace,
};
use crate::env::faults::{Fault, plant};

/// Seeds of each shard; the shards run beside each other.
const SHARD: u64 = 60;

const JOURNAL_SEEDS: u64 = 300;

const GROUPS_SHARD: u64 = 75;

/// What `scripts/soak sim` sets: where to begin, and how many.
fn given(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

pub fn report(ring: &str, seed: u64, violation: &dyn Display, trace: &Trace) -> String {
    format!(
        "{ring}, seed {seed}, broke a promise\n{trace}\n{violation}\n\nreplay: scripts/soak sim --seed {seed} --seeds 1\n"
    )
}

/// The seeds of one shard; panics at the first that fails, having told all about it.
fn run_shard(shard: u64) {
    let mut all = Summary::default();
    for seed in shard * SHARD..(shard + 1) * SHARD {
        match cluster::run(seed) {
            Ok(summary) => {
                all.acknowledged += summary.acknowledged;
                all.deaths += summary.deaths;
                all.truncations += summary.truncations;
                all.views_used += summary.views_used;
                all.expired += summary.expired;
                all.compacted += summary.compacted;
            }
            Err(failure) => panic!("{}", report("the log ring", seed, &failure.violation, &failure.trace)),
        }
    }
    println!("{all:?}");
    // Else the runs did not come far enough to say anything.
    let each = |count: usize, least: usize| assert!(count as u64 >= least as u64 * SHARD, "{all:?}");
    each(all.acknowledged, 20);
    each(all.deaths, 1);
    assert!(all.truncations > 0 && all.views_used > 0 && all.expired > 0 && all.compacted > 0, "{all:?}");
}

macro_rules! shards {
    ($($name:ident = $shard:expr;)*) => {$(
        #[test]
        fn $name() {
            run_shard($shard);
        }
    )*};
}

shards! {
    seeds_of_shard_0 = 0;
    seeds_of_shard_1 = 1;
    seeds_of_shard_2 = 2;
    seeds_of_shard_3 = 3;
    seeds_of_shard_4 = 4;
    seeds_of_shard_5 = 5;
    seeds_of_shard_6 = 6;
    seeds_of_shard_7 = 7;
}

#[test]
fn the_controller_over_a_late_journal() {
    let mut all = journal::Summary::default();
    for seed in 0..JOURNAL_SEEDS {
        match journal::run(seed) {
            Ok(summary) => {
                all.answered += summary.answered;
                all.discarded += summary.discarded;
                all.tenures += summary.tenures;
            }
            Err(failure) => panic!("{}", report("the controller", seed, &failure.violation, &failure.trace)),
        }
    }
    let each = |count: usize, least: usize| assert!(count as u64 >= least as u64 * JOURNAL_SEEDS, "{all:?}");
    each(all.answered, 20);
    each(all.discarded, 5);
    each(all.tenures, 2);
}

/// As [`run_shard`], of the ring of groups.
fn run_groups(shard: u64) {
    let mut all = groups::Summary::default();
    for seed in shard * GROUPS_SHARD..(shard + 1) * GROUPS_SHARD {
        match groups::run(seed) {
            Ok(summary) => all.add(summary),
            Err(failure) => panic!("{}", report("the ring of groups", seed, &failure.violation, &failure.trace)),
        }
    }
    println!("{all:?}");
    let each = |count: usize, least: usize| assert!(count as u64 >= least as u64 * GROUPS_SHARD, "{all:?}");
    each(all.answered, 100);
    each(all.assigned, 10);
    each(all.reloads, 1);
    each(all.settled, 1);
    assert!(all.lost > 0 && all.offsets > 0 && all.conversions > 0, "{all:?}");
}

macro_rules! groups {
    ($($name:ident = $shard:expr;)*) => {$(
        #[test]
        fn $name() {
            run_groups($shard);
        }
    )*};
}

groups! {
    groups_of_shard_0 = 0;
    groups_of_shard_1 = 1;
    groups_of_shard_2 = 2;
    groups_of_shard_3 = 3;
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, 1_000_001] {
        let digest = |seed| match cluster::run(seed) {
            Ok(summary) => summary.digest,
            Err(failure) => failure.trace.digest(),
        };
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
        assert_ne!(digest(seed), digest(seed + 1));
        let digest = |seed| journal::run(seed).map(|summary| summary.digest).ok();
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
        let digest = |seed| groups::run(seed).map(|summary| summary.digest).ok();
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
        assert_ne!(digest(seed), digest(seed + 1));
    }
}

/// Many seeds, on all cores, until one fails. `FELICE_SIM_SEED` is where to begin, `FELICE_SIM_SEEDS` how many.
#[test]
#[ignore = "as long as one likes: scripts/soak sim"]
fn soak() {
    let (first, count) = (given("FELICE_SIM_SEED").unwrap_or(0), given("FELICE_SIM_SEEDS").unwrap_or(1000));
    let next = AtomicU64::new(first);
    let failures: Vec<String> = thread::scope(|scope| {
        let work = || {
            let mut failed = None;
            while failed.is_none() {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    break;
                }
                failed = replay(seed);
            }
            if failed.is_some() {
                next.fetch_add(count, Ordering::Relaxed);
            }
            failed
        };
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let started = tokio::time::Instant::now();
        while !workers.iter().all(|worker| worker.is_finished()) {
            thread::sleep(Duration::from_secs(1));
            let done = next.load(Ordering::Relaxed).saturating_sub(first).min(count);
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{done} of {count} seeds, {:.0} a second", done as f64 / seconds);
        }
        workers.into_iter().filter_map(|worker| worker.join().expect("runs catch their panics")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All rings with one seed.
fn replay(seed: u64) -> Option<String> {
    let journal = journal::run(seed).err();
    let journal = journal.map(|failure| report("the controller", seed, &failure.violation, &failure.trace));
    let groups = || {
        let failure = groups::run(seed).err()?;
        Some(report("the ring of groups", seed, &failure.violation, &failure.trace))
    };
    journal.or_else(groups).or_else(|| {
        let failure = cluster::run(seed).err()?;
        Some(report("the log ring", seed, &failure.violation, &failure.trace))
    })
}

/// The first seed among those of every test run that fails with this mistake in the code, and how.
pub fn find(fault: Fault) -> Option<(u64, Violation)> {
    plant(fault, || {
        let of_the_log = |seed| cluster::run(seed).err().map(|failure| (seed, failure.violation));
        let of_the_journal = |seed| journal::run(seed).err().map(|failure| (seed, failure.violation));
        let of_groups = |seed| groups::run(seed).err().map(|failure| (seed, failure.violation));
        match fault {
            Fault::AnswerGroupsBeforeCommit
            | Fault::KeepGroupSpeculation
            | Fault::AssignUnreleased
            | Fault::IgnoreChangedTopics
            | Fault::CommitWithoutMembership
            | Fault::UpgradeToFirstEpoch
            | Fault::LoadWithoutSessions => (0..4 * GROUPS_SHARD).find_map(of_groups),
            Fault::ReplyBeforeCommit | Fault::KeepSpeculation => (0..JOURNAL_SEEDS).find_map(of_the_journal),
            _ => (0..8 * SHARD).find_map(of_the_log),
        }
    })
}
