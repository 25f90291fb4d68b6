//! Gives back the space of deleted partitions, off the threads that serve requests or follow the metadata: large files, and
//! many of them, take their time.

use std::{path::PathBuf, sync::Arc, thread};

use parking_lot::Mutex;
use tracing::warn;

use crate::{env::SharedDisk, log};

/// The folders that are to go, and at most one thread that removes them. What it does not come to is found by the next start.
#[derive(Clone)]
pub struct Remover(Arc<Shared>);

struct Shared {
    data_dir: PathBuf,
    disk: SharedDisk,
    doomed: Mutex<Doomed>,
}

#[derive(Default)]
struct Doomed {
    dirs: Vec<PathBuf>,
    /// A thread is at it, and will look for what comes meanwhile.
    removing: bool,
}

impl Remover {
    pub fn new(data_dir: PathBuf, disk: SharedDisk) -> Remover {
        Remover(Arc::new(Shared { data_dir, disk, doomed: Mutex::default() }))
    }

    /// Notes a folder in the data folder that was renamed to be removed.
    pub fn add(&self, dir: PathBuf) {
        self.0.doomed.lock().dirs.push(dir);
    }

    /// Removes in the background what was noted by now.
    pub fn start(&self) {
        let mut doomed = self.0.doomed.lock();
        if doomed.removing || doomed.dirs.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.0);
        match thread::Builder::new().name("delete".to_owned()).spawn(move || shared.remove_all()) {
            Ok(_) => doomed.removing = true,
            Err(error) => warn!("no thread to remove deleted files for now: {error}"),
        }
    }
}

impl Shared {
    fn remove_all(&self) {
        loop {
            let dirs = {
                let mut doomed = self.doomed.lock();
                doomed.removing = !doomed.dirs.is_empty();
                if !doomed.removing {
                    return;
                }
                std::mem::take(&mut doomed.dirs)
            };
            // Before anything in them goes: else a power loss may leave half of a folder under the name that it had.
            if let Err(error) = self.disk.sync_dir(&self.data_dir) {
                warn!("{}: deleted files stay until the next start: {error}", self.data_dir.display());
                continue;
            }
            for dir in dirs {
                if let Err(error) = log::remove_deleted(&*self.disk, &dir) {
                    warn!("{}: cannot be removed: {error}", dir.display());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::mpsc};

    use rustix::io::Errno;

    use super::*;
    use crate::env::{
        Disk,
        disk::sim::{Answer, Call, SimDisk},
    };

    fn remover(disk: &Arc<SimDisk>, dirs: &[&str]) -> Remover {
        let shared: SharedDisk = disk.clone();
        for dir in dirs {
            disk.create_dir_all(&Path::new("/data").join(dir)).unwrap();
        }
        Remover::new(PathBuf::from("/data"), shared)
    }

    #[test]
    fn names_are_durable_before_anything_goes_and_nobody_waits() {
        let disk = SimDisk::new(1);
        let remover = remover(&disk, &["a", "b", "c"]);
        let (tell, told) = mpsc::channel();
        disk.set_plan(move |call| {
            let seen = match call {
                Call::SyncDir { .. } => "sync".to_owned(),
                Call::RemoveDir { dir } => dir.display().to_string(),
                _ => return Answer::Proceed,
            };
            tell.send(seen).unwrap();
            Answer::Proceed
        });
        remover.add("/data/a".into());
        remover.add("/data/b".into());
        remover.start();
        remover.add("/data/c".into());
        remover.start();
        let mut calls = Vec::new();
        while calls.last().is_none_or(|last| last != "/data/c") {
            calls.push(told.recv().unwrap());
        }
        assert_eq!(calls.remove(0), "sync");
        calls.retain(|call| call != "sync");
        assert_eq!(calls, ["/data/a", "/data/b", "/data/c"]);
    }

    #[test]
    fn what_cannot_be_made_safe_stays_for_the_next_start() {
        let disk = SimDisk::new(1);
        let remover = remover(&disk, &["a"]);
        let (tell, told) = mpsc::channel();
        disk.set_plan(move |call| {
            tell.send(format!("{call:?}")).unwrap();
            Answer::Fail(Errno::IO)
        });
        remover.add("/data/a".into());
        remover.start();
        assert!(told.recv().unwrap().starts_with("SyncDir"));
        while remover.0.doomed.lock().removing {
            thread::yield_now();
        }
        assert!(told.try_recv().is_err(), "nothing was removed");
    }
}
