//! What goes wrong with a disk, and when: a process or the power dies in the middle of an operation, a write is cut short,
//! the disk is full for a while, a sync fails.

use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::random::Random;
use crate::env::disk::{
    OpenMode,
    sim::{Answer, Call, SimDisk},
};

/// How a process ends that was not asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// `kill -9`: what was written is there, synced or not.
    Killed,
    /// Everything that was not synced may be lost, on the disk and in the store, each for itself.
    PowerLost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// After so many calls that change something. A write then goes through in part.
    Die(Death, u64),
    /// Writes and new files fail, so many times, the first write after taking some of it.
    Full(u64, u64),
    /// One write is taken in part, and the rest with the next call.
    Short(u64),
    /// One sync fails, and nobody knows what is on the disk: a restart still reads what was written from the cache.
    SyncFails(u64),
}

/// What has happened so far to one disk.
#[derive(Debug, Clone, Default)]
pub struct Happened {
    death: Arc<Mutex<Option<Death>>>,
}

impl Happened {
    /// Nothing that the process does now counts.
    pub fn died(&self) -> bool {
        self.death().is_some()
    }

    pub fn death(&self) -> Option<Death> {
        *self.death.lock()
    }
}

impl Mishap {
    pub fn any(random: &mut Random, power_losses: bool, disk_errors: bool) -> Mishap {
        let after = random.below(12);
        match random.below(if disk_errors { 8 } else { 4 }) {
            0 | 1 if power_losses => Mishap::Die(Death::PowerLost, after),
            0..4 => Mishap::Die(Death::Killed, after),
            4 | 5 => Mishap::Full(after, random.between(1, 6)),
            6 => Mishap::Short(after),
            _ => Mishap::SyncFails(after / 4),
        }
    }

    /// From now on the disk answers with this mishap in store.
    pub fn arm(self, disk: &SimDisk, happened: &Happened, random: &mut Random) {
        let (happened, mut cut) = (happened.clone(), random.clone());
        random.next();
        let mut part = move |length: usize| Answer::Short(cut.index(length.max(1)));
        match self {
            Mishap::Die(death, after) => {
                let mut left = after;
                disk.set_plan(move |call| {
                    let syncs = matches!(call, Call::Sync { .. } | Call::SyncDir { .. });
                    if !happened.died() {
                        if !call.changes() {
                            return Answer::Proceed;
                        }
                        if left > 0 {
                            left -= 1;
                            return Answer::Proceed;
                        }
                        *happened.death.lock() = Some(death);
                        if let Call::Write { length, .. } = call {
                            return part(*length);
                        }
                    }
                    // A sync that a killed process had asked for goes on without it.
                    if syncs && death == Death::Killed { Answer::Proceed } else { Answer::Fail(Errno::IO) }
                });
            }
            Mishap::Full(after, times) => {
                let (mut left, mut times, mut is_first) = (after, times, true);
                disk.set_plan(move |call| {
                    let takes_space = match call {
                        Call::Write { .. } | Call::Rename { .. } | Call::CreateDir { .. } => true,
                        Call::Open { mode, .. } => *mode != OpenMode::Existing,
                        _ => false,
                    };
                    if !takes_space || times == 0 {
                        return Answer::Proceed;
                    }
                    if left > 0 {
                        left -= 1;
                        return Answer::Proceed;
                    }
                    if let Call::Write { length, .. } = call
                        && std::mem::take(&mut is_first)
                        && *length > 1
                    {
                        return match part(*length) {
                            // Nothing written is no answer of a file system.
                            Answer::Short(0) => Answer::Short(1),
                            some => some,
                        };
                    }
                    times -= 1;
                    Answer::Fail(Errno::NOSPC)
                });
            }
            Mishap::Short(after) => {
                let mut left = Some(after);
                disk.set_plan(move |call| {
                    let Call::Write { length, .. } = call else { return Answer::Proceed };
                    match left {
                        Some(0) if *length > 1 => {
                            left = None;
                            match part(*length) {
                                Answer::Short(0) => Answer::Short(1),
                                some => some,
                            }
                        }
                        Some(more) => {
                            left = Some(more.saturating_sub(1));
                            Answer::Proceed
                        }
                        None => Answer::Proceed,
                    }
                });
            }
            Mishap::SyncFails(after) => {
                let mut left = Some(after);
                disk.set_plan(move |call| match (call, left) {
                    (Call::Sync { .. } | Call::SyncDir { .. }, Some(0)) => {
                        left = None;
                        Answer::Fail(Errno::IO)
                    }
                    (Call::Sync { .. } | Call::SyncDir { .. }, Some(more)) => {
                        left = Some(more - 1);
                        Answer::Proceed
                    }
                    _ => Answer::Proceed,
                });
            }
        }
    }
}
