//! The data folder: whose it is, that only one process uses it, and whether the last one stopped cleanly.
//!
//! `meta.properties` (Kafka's version 1) names the cluster, the node and the folder; `.lock` is held while a broker
//! runs; `.kafka_cleanshutdown` is there between a clean stop and the next start, and holds the broker epoch (KIP-966).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, FlockOperation, access, fcntl_lock, flock},
    process::{Flock, FlockType, fcntl_getlk},
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Env;
use crate::model::{NodeId, Uuid};

const META: &str = "meta.properties";
const LOCK: &str = ".lock";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Version 1 of `meta.properties` is Kafka's; this number is ours, for what else lies in the folder. A build whose data older
/// builds cannot read raises it at its first start: they then refuse the folder at the first look, with nothing in it touched.
const FORMAT: u32 = 1;
const FORMAT_KEY: &str = "felice.format";

/// Why a folder cannot be used. Each is one line for whoever started the broker.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the data folder {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("the data folder {} cannot be written: {}", .0.display(), .1)]
    Unwritable(PathBuf, io::Error),
    #[error("the data folder {} cannot be created: {}", .0.display(), .1)]
    NotCreated(PathBuf, io::Error),
    #[error("the data folder {} is in use by another process", .0.display())]
    Locked(PathBuf),
    #[error("the data folder {} belongs to node {found}, and this is node {wanted} (node.id)", .path.display())]
    OtherNode { path: PathBuf, found: NodeId, wanted: NodeId },
    #[error("the data folder {} was written by a newer Felice ({what}); this one cannot read it", .path.display())]
    Newer { path: PathBuf, what: String },
    #[error("the data folder {} belongs to Apache Kafka, whose data Felice cannot take over", .0.display())]
    Kafkas(PathBuf),
    #[error("the folder {} has files and no {META}: it is not a data folder", .0.display())]
    Foreign(PathBuf),
    #[error("{} cannot be read: {why}", .path.join(META).display())]
    Damaged { path: PathBuf, why: String },
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// A folder that was looked at and found usable; nothing was changed yet.
#[derive(Debug)]
pub struct Inspected {
    path: PathBuf,
    node_id: NodeId,
    /// Held from the first look on where the folder already exists.
    lock: Option<File>,
}

/// An open data folder. While this lives, no other process opens it.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    identity: Identity,
    clean_shutdown: Option<i64>,
    _lock: File,
}

/// A start that is under way: the mark of a clean stop is away. Dropped before [`complete`](Starting::complete), where the start
/// comes to nothing, it puts the mark back, since what the mark is about was not touched.
#[derive(Debug)]
#[must_use]
pub struct Starting<'a> {
    folder: &'a DataFolder,
    /// What the mark said or is to say now; `None` where there was no mark.
    broker_epoch: Option<i64>,
}

/// What `meta.properties` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    cluster_id: String,
    node_id: NodeId,
    directory_id: Uuid,
}

/// What `.kafka_cleanshutdown` says, in Kafka's words.
#[derive(Serialize, Deserialize)]
struct CleanShutdown {
    version: i32,
    #[serde(rename = "brokerEpoch")]
    broker_epoch: i64,
}

impl Inspected {
    /// Looks whether node `node_id` can use the folder at `path`, which need not exist, and changes nothing.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn new(path: &Path, node_id: NodeId) -> Result<Inspected, FolderError> {
        let path = path.to_owned();
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => return Err(FolderError::NotADirectory(path)),
            Ok(_) => check_writable(&path).map_err(|error| FolderError::Unwritable(path.clone(), error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                check_creatable(&path).map_err(|error| FolderError::NotCreated(path.clone(), error))?;
                return Ok(Inspected { path, node_id, lock: None });
            }
            Err(error) => return Err(FolderError::NotCreated(path, error)),
        }
        let lock = match OpenOptions::new().read(true).write(true).open(path.join(LOCK)) {
            Ok(file) => Some(take(file, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(FolderError::Unwritable(path, error)),
        };
        match Identity::read(&path)? {
            Some(identity) => identity.check(&path, node_id)?,
            None if is_empty(&path).map_err(|error| FolderError::Io(path.clone(), error))? => {}
            None => return Err(FolderError::Foreign(path)),
        }
        Ok(Inspected { path, node_id, lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the folder; a new one gets its identity now. Call it once all else that can fail at a start has not.
    ///
    /// # Errors
    /// Why it could not be created or locked.
    pub fn open(self, env: &dyn Env) -> Result<DataFolder, FolderError> {
        let Inspected { path, node_id, lock } = self;
        let parents = create(&path).map_err(|error| FolderError::NotCreated(path.clone(), error))?;
        let lock = match lock {
            Some(lock) => lock,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false).mode(0o640);
                let file =
                    options.open(path.join(LOCK)).map_err(|error| FolderError::Unwritable(path.clone(), error))?;
                take(file, &path)?
            }
        };
        // Only now, under the lock, is what it says sure to stay.
        let identity = match Identity::read(&path)? {
            Some(identity) => identity,
            None => {
                let identity = Identity { cluster_id: env.uuid().to_string(), node_id, directory_id: env.uuid() };
                identity.write(&path).map_err(|error| FolderError::Unwritable(path.clone(), error))?;
                identity
            }
        };
        identity.check(&path, node_id)?;
        // Last, since a file system's journal then mostly has them already, and a start should be short.
        for parent in parents {
            sync_directory(&parent).map_err(|error| FolderError::Unwritable(path.clone(), error))?;
        }
        let clean_shutdown = clean_mark(&path).unwrap_or_else(|why| {
            warn!("{why}; the start will recover");
            None
        });
        Ok(DataFolder { path, identity, clean_shutdown, _lock: lock })
    }
}

impl DataFolder {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Made when the folder of the cluster's first broker was.
    pub fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    pub fn node_id(&self) -> NodeId {
        self.identity.node_id
    }

    /// Tells this folder from any other that the node has or had.
    pub fn directory_id(&self) -> Uuid {
        self.identity.directory_id
    }

    /// The broker epoch of the last run, where that stopped cleanly; `None` after a crash and in a new folder.
    pub fn clean_shutdown(&self) -> Option<i64> {
        self.clean_shutdown
    }

    /// Takes the mark of a clean stop away, durably. Call it before the first write to any partition's log. (The metadata needs no
    /// mark: what is written there can be torn at any moment.)
    ///
    /// # Errors
    /// The disk's; the mark may then still be there.
    pub fn mark_running(&self) -> io::Result<Starting<'_>> {
        match fs::remove_file(self.path.join(CLEAN_SHUTDOWN)) {
            Ok(()) => sync_directory(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Starting { folder: self, broker_epoch: self.clean_shutdown })
    }

    /// Marks that everything was written and flushed. Call it after the last write to anything in the folder.
    ///
    /// # Errors
    /// The disk's; the next start then recovers.
    pub fn mark_clean(&self, broker_epoch: i64) -> io::Result<()> {
        let mark = serde_json::to_vec(&CleanShutdown { version: 0, broker_epoch })?;
        write_whole(&self.path, CLEAN_SHUTDOWN, &mark)
    }
}

impl Starting<'_> {
    /// The broker has this epoch from now on.
    pub fn registered(&mut self, broker_epoch: i64) {
        self.broker_epoch = self.broker_epoch.map(|_| broker_epoch);
    }

    /// From now on logs may be written.
    pub fn complete(mut self) {
        self.broker_epoch = None;
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(epoch) = self.broker_epoch
            && let Err(error) = self.folder.mark_clean(epoch)
        {
            warn!("the mark of the last clean stop is lost, the next start will recover: {error}");
        }
    }
}

impl Identity {
    fn read(path: &Path) -> Result<Option<Identity>, FolderError> {
        let damaged = |why: String| FolderError::Damaged { path: path.to_owned(), why };
        let text = match fs::read(path.join(META)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let properties = java_properties::read(text.as_slice()).map_err(|error| damaged(error.to_string()))?;
        let newer = |what: String| FolderError::Newer { path: path.to_owned(), what };
        let number = |name: &str| {
            let text = properties.get(name).ok_or_else(|| damaged(format!("{name} is missing")))?;
            text.trim().parse::<i32>().map_err(|_| damaged(format!("{name} is no number")))
        };
        match properties.get("version").map_or("0", |version| version.trim()) {
            "1" => {}
            "0" => return Err(FolderError::Kafkas(path.to_owned())),
            other => return Err(newer(format!("version {other} of {META}"))),
        }
        if !properties.contains_key(FORMAT_KEY) {
            return Err(FolderError::Kafkas(path.to_owned()));
        }
        let format = number(FORMAT_KEY)?;
        if u32::try_from(format) != Ok(FORMAT) {
            return Err(newer(format!("format {format}")));
        }
        let text = |name: &str| properties.get(name).cloned().ok_or_else(|| damaged(format!("{name} is missing")));
        Ok(Some(Identity {
            cluster_id: text("cluster.id")?,
            node_id: NodeId(number("node.id")?),
            directory_id: text("directory.id")?.parse().map_err(|_| damaged("directory.id is no uuid".to_owned()))?,
        }))
    }

    fn check(&self, path: &Path, wanted: NodeId) -> Result<(), FolderError> {
        if self.node_id == wanted {
            return Ok(());
        }
        Err(FolderError::OtherNode { path: path.to_owned(), found: self.node_id, wanted })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let Identity { cluster_id, node_id, directory_id } = self;
        // A cluster id is base64url, so nothing in here needs escapes.
        let text = format!(
            "cluster.id={cluster_id}\ndirectory.id={directory_id}\n{FORMAT_KEY}={FORMAT}\nnode.id={node_id}\nversion=1\n"
        );
        write_whole(path, META, text.as_bytes())
    }
}

/// What can be told of a data folder without taking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// The broker's number and the cluster's id; `None` where there is no `meta.properties`.
    pub identity: Option<(NodeId, String)>,
    /// Another process has it open.
    pub in_use: bool,
    /// The broker epoch of the last run, where that stopped cleanly and the mark can be read.
    pub clean_shutdown: Option<i64>,
    /// Why the mark of a clean stop means nothing.
    pub damaged_mark: Option<String>,
}

impl Glimpse {
    /// Looks, and changes nothing, not even for a moment.
    ///
    /// # Errors
    /// `meta.properties` cannot be read.
    pub fn of(path: &Path) -> Result<Glimpse, FolderError> {
        if !path.is_dir() {
            return Err(FolderError::NotADirectory(path.to_owned()));
        }
        let identity = Identity::read(path)?.map(|identity| (identity.node_id, identity.cluster_id));
        let in_use = File::open(path.join(LOCK)).is_ok_and(|file| {
            fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).is_ok_and(|holder| holder.is_some())
        });
        let (clean_shutdown, damaged_mark) = match clean_mark(path) {
            Ok(mark) => (mark, None),
            Err(why) => (None, Some(why)),
        };
        Ok(Glimpse { identity, in_use, clean_shutdown, damaged_mark })
    }
}

/// The mark of a clean stop; `None` where there is none, an error where it cannot be read.
fn clean_mark(path: &Path) -> Result<Option<i64>, String> {
    let path = path.join(CLEAN_SHUTDOWN);
    match fs::read(&path) {
        Ok(text) => match serde_json::from_slice::<CleanShutdown>(&text) {
            Ok(mark) if mark.version == 0 => Ok(Some(mark.broker_epoch)),
            Ok(mark) => Err(format!("{}: version {} is not known", path.display(), mark.version)),
            Err(error) => Err(format!("{} is damaged: {error}", path.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Locks a folder's lock file, against other brokers and, as far as Java's locks go, against Kafka.
fn take(file: File, path: &Path) -> Result<File, FolderError> {
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive)
        .and_then(|()| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive));
    match locked {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::ACCESS) => Err(FolderError::Locked(path.to_owned())),
        Err(error) => Err(FolderError::Io(path.join(LOCK), error.into())),
    }
}

fn check_writable(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether the nearest of the folder's ancestors that exists takes new entries.
fn check_creatable(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors().skip(1) {
        match fs::metadata(ancestor) {
            Ok(metadata) if metadata.is_dir() => return check_writable(ancestor),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Creates the folder and its missing ancestors, readable to the owner and his group only. Returns the directories that
/// got a new entry, to be synced.
fn create(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|ancestor| !ancestor.exists());
    let parents = missing.filter_map(Path::parent).map(Path::to_owned).collect();
    DirBuilder::new().recursive(true).mode(0o750).create(&path)?;
    Ok(parents)
}

/// Whether nothing but what systems and an interrupted first start leave behind is in the folder.
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && name != "lost+found" && name != format!("{META}.tmp") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a file so that after a crash it is there whole or, as before, not at all.
fn write_whole(folder: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    sync_directory(folder)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEnv;

    fn open(path: &Path, node: i32) -> Result<DataFolder, FolderError> {
        Inspected::new(path, NodeId(node))?.open(&SystemEnv)
    }

    fn refused(path: &Path) -> String {
        let names = |path: &Path| {
            let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = path.is_dir().then(|| names(path));
        let told = Inspected::new(path, NodeId(1)).expect_err("refused").to_string();
        assert_eq!(path.is_dir().then(|| names(path)), before, "a refused folder is not touched");
        told.replace(&path.display().to_string(), "F")
    }

    #[test]
    fn a_new_folder_gets_an_identity_and_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let inspected = Inspected::new(&path, NodeId(3)).unwrap();
        assert!(!root.path().join("a").exists(), "looking creates nothing");

        let first = inspected.open(&SystemEnv).unwrap();
        assert_eq!((first.cluster_id().len(), first.node_id(), first.clean_shutdown()), (22, NodeId(3), None));
        let identity = first.identity.clone();
        drop(first);
        assert_eq!(open(&path, 3).unwrap().identity, identity);

        let text = fs::read_to_string(path.join(META)).unwrap();
        let expected = format!(
            "cluster.id={}\ndirectory.id={}\nfelice.format=1\nnode.id=3\nversion=1\n",
            identity.cluster_id, identity.directory_id
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_clean_stop_is_known_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = open(root.path(), 1).unwrap();
        folder.mark_clean(42).unwrap();
        let mark = fs::read_to_string(root.path().join(CLEAN_SHUTDOWN)).unwrap();
        assert_eq!(mark, r#"{"version":0,"brokerEpoch":42}"#);
        drop(folder);

        let folder = open(root.path(), 1).unwrap();
        assert_eq!(folder.clean_shutdown(), Some(42));
        folder.mark_running().unwrap().complete();
        folder.mark_running().unwrap().complete();
        drop(folder);
        assert_eq!(open(root.path(), 1).unwrap().clean_shutdown(), None);
    }

    #[test]
    fn a_start_that_comes_to_nothing_keeps_the_mark() {
        let root = tempfile::tempdir().unwrap();
        let mark = root.path().join(CLEAN_SHUTDOWN);
        let folder = open(root.path(), 1).unwrap();
        drop(folder.mark_running().unwrap());
        assert!(!mark.exists(), "there was none");
        folder.mark_clean(42).unwrap();
        drop(folder);

        for (registered, epoch) in [(None, 42), (Some(43), 43), (None, 43)] {
            let folder = open(root.path(), 1).unwrap();
            let mut starting = folder.mark_running().unwrap();
            assert!(!mark.exists(), "a crash from here on is one");
            if let Some(epoch) = registered {
                starting.registered(epoch);
            }
            drop(starting);
            drop(folder);
            assert_eq!(open(root.path(), 1).unwrap().clean_shutdown(), Some(epoch));
        }
    }

    #[test]
    fn only_one_process_has_it() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), 1).unwrap();
        assert_eq!(refused(root.path()), "the data folder F is in use by another process");
        drop(first);
        let looked = Inspected::new(root.path(), NodeId(1)).unwrap();
        assert_eq!(refused(root.path()), "the data folder F is in use by another process");
        drop(looked);
        open(root.path(), 1).unwrap();
    }

    #[test]
    fn two_first_starts_make_one_identity() {
        let root = tempfile::tempdir().unwrap();
        let slow = Inspected::new(root.path(), NodeId(1)).unwrap();
        let other = Inspected::new(root.path(), NodeId(2)).unwrap();
        drop(other.open(&SystemEnv).unwrap());
        let told = slow.open(&SystemEnv).expect_err("the other was faster").to_string();
        assert!(told.ends_with("belongs to node 2, and this is node 1 (node.id)"), "{told}");
    }

    #[test]
    fn folders_of_others_are_refused_and_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let with_meta = |meta: &str| {
            let path = root.path().join(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
            fs::create_dir(&path).unwrap();
            fs::write(path.join(META), meta).unwrap();
            path
        };
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let ids = "cluster.id=c\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\n";
        for (meta, told) in [
            (
                format!("{ids}felice.format=1\nversion=1\nnode.id=2\n"),
                "the data folder F belongs to node 2, and this is node 1 (node.id)",
            ),
            (
                format!("{ids}felice.format=2\nversion=1\nnode.id=1\n"),
                "the data folder F was written by a newer Felice (format 2); this one cannot read it",
            ),
            (
                format!("{ids}version=2\nnode.id=1\n"),
                "the data folder F was written by a newer Felice (version 2 of meta.properties); this one cannot read it",
            ),
            (
                format!("#\n#Sun Nov 22\n{ids}version=1\nnode.id=1\n"),
                "the data folder F belongs to Apache Kafka, whose data Felice cannot take over",
            ),
            (
                "version=0\nbroker.id=1\n".to_owned(),
                "the data folder F belongs to Apache Kafka, whose data Felice cannot take over",
            ),
            (
                "felice.format=1\nversion=1\nnode.id=1\n".to_owned(),
                "F/meta.properties cannot be read: cluster.id is missing",
            ),
            (
                format!("{ids}felice.format=1\nversion=1\nnode.id=one\n"),
                "F/meta.properties cannot be read: node.id is no number",
            ),
        ] {
            assert_eq!(refused(&with_meta(&meta)), told);
        }

        let foreign = root.path().join("home");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("letter.txt"), "Dear Felice").unwrap();
        assert_eq!(refused(&foreign), "the folder F has files and no meta.properties: it is not a data folder");
        let file = foreign.join("letter.txt");
        assert_eq!(refused(&file), "the data folder F is not a directory");
        assert_eq!(refused(&file.join("x")), "the data folder F cannot be created: Not a directory (os error 20)");
        // Even root, who may write everywhere, makes no folder here; a user is told at the first look.
        let told = open(Path::new("/proc/felice/data"), 1).expect_err("no folder").to_string();
        assert!(told.starts_with("the data folder /proc/felice/data cannot be created: "), "{told}");
    }

    #[test]
    fn a_fresh_mount_counts_as_empty() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lost+found")).unwrap();
        fs::write(root.path().join("meta.properties.tmp"), "clus").unwrap();
        open(root.path(), 1).unwrap();
    }
}
