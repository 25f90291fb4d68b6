//! Removes the folders of deleted partitions, off the threads that serve requests or follow the metadata: large files, and many
//! of them, take their time.
//!
//! First all folders get names that no start opens, then the data folder is synced, so that no power loss leaves half of one
//! under its old name, and only then files go. Who makes a partition of the same name meanwhile has the name freed first.
//! What a stop leaves behind is found by the next start, by names or by topic ids.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use tracing::{error, warn};

use crate::{
    env::SharedDisk,
    log::{self, LogError},
};

/// Gives a folder another name, which it returns.
pub type Rename = Box<dyn FnOnce() -> Result<PathBuf, LogError> + Send>;

/// The folders that are to go, and at most one thread that removes them.
#[derive(Clone)]
pub struct Remover(Arc<Shared>);

struct Shared {
    data_dir: PathBuf,
    disk: SharedDisk,
    /// Folders under the names that they had. Locked while one gets another, so that whoever finds a name missing here may use
    /// it.
    named: Mutex<BTreeMap<PathBuf, Rename>>,
    doomed: Mutex<Doomed>,
}

#[derive(Default)]
struct Doomed {
    /// Folders that have other names.
    dirs: Vec<PathBuf>,
    /// A thread is at it, and will look for what comes meanwhile.
    removing: bool,
}

impl Remover {
    pub fn new(data_dir: PathBuf, disk: SharedDisk) -> Remover {
        Remover(Arc::new(Shared { data_dir, disk, named: Mutex::default(), doomed: Mutex::default() }))
    }

    /// Notes the folder of a partition that is deleted.
    pub fn delete(&self, dir: PathBuf, rename: Rename) {
        self.0.named.lock().insert(dir, rename);
    }

    /// Sees to it that no deleted partition has its folder here any more.
    pub fn free_name(&self, dir: &Path) {
        let mut named = self.0.named.lock();
        if let Some(rename) = named.remove(dir) {
            self.0.rename(dir, rename);
        }
    }

    /// As [`Remover::free_name`], of all that were deleted.
    pub fn free_names(&self) {
        self.0.rename_all();
    }

    /// Notes a folder in the data folder that was renamed to be removed.
    pub fn add(&self, dir: PathBuf) {
        self.0.doomed.lock().dirs.push(dir);
    }

    /// Removes in the background what was noted by now.
    pub fn start(&self) {
        let is_anything = !self.0.named.lock().is_empty();
        let mut doomed = self.0.doomed.lock();
        if doomed.removing || !is_anything && doomed.dirs.is_empty() {
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
    fn rename(&self, dir: &Path, rename: Rename) {
        // A full disk may have no room for a longer name. Then it takes its time at once.
        let renamed = rename().or_else(|_| log::remove_deleted(&*self.disk, dir).map(|()| dir.to_owned()));
        match renamed {
            Ok(renamed) if renamed != dir => self.doomed.lock().dirs.push(renamed),
            Ok(_) => {}
            Err(error) => error!("{}: cannot be deleted: {error}", dir.display()),
        }
    }

    fn rename_all(&self) {
        loop {
            // Whoever needs a name comes in between.
            let mut named = self.named.lock();
            let Some((dir, rename)) = named.pop_first() else { return };
            self.rename(&dir, rename);
        }
    }

    fn remove_all(&self) {
        loop {
            self.rename_all();
            let dirs = {
                let named = self.named.lock();
                let mut doomed = self.doomed.lock();
                doomed.removing = !named.is_empty() || !doomed.dirs.is_empty();
                if !doomed.removing {
                    return;
                }
                std::mem::take(&mut doomed.dirs)
            };
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
    use std::sync::mpsc;

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

    #[test]
    fn a_name_is_free_for_who_needs_it_and_nothing_is_renamed_twice() {
        let disk = SimDisk::new(1);
        let remover = remover(&disk, &["a", "b"]);
        let doom = |name: &str| {
            let (from, to) = (Path::new("/data").join(name), Path::new("/data").join(format!("{name}.1-delete")));
            let (disk, dir) = (disk.clone(), from.clone());
            let rename =
                move || disk.rename(&from, &to).map(|()| to).map_err(|error| LogError::io("rename", &from, error));
            remover.delete(dir, Box::new(rename));
        };
        doom("a");
        doom("b");
        remover.free_name(Path::new("/data/a"));
        disk.create_dir_all(Path::new("/data/a")).unwrap();
        remover.free_name(Path::new("/data/a"));
        remover.start();
        while remover.0.doomed.lock().removing {
            thread::yield_now();
        }
        assert_eq!(disk.list(Path::new("/data")).unwrap(), [Path::new("/data/a")], "the new one");
    }

    #[test]
    fn what_cannot_be_renamed_goes_at_once() {
        let disk = SimDisk::new(1);
        let remover = remover(&disk, &["a"]);
        let full = || LogError::io("rename", Path::new("/data/a"), Errno::NOSPC);
        remover.delete("/data/a".into(), Box::new(move || Err(full())));
        remover.free_name(Path::new("/data/a"));
        assert!(disk.list(Path::new("/data")).unwrap().is_empty());
    }
}
