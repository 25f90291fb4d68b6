//! A disk in memory that a simulated power loss takes apart. The same seeds and calls give the same bytes.
//!
//! What is written is seen at once. What a power loss leaves of it is at least as harsh as what ext4 (data=ordered) and xfs
//! may leave, and never what no journal could:
//!
//! - **Content.** What [`DiskFile::sync_data`] returned for stays. Of later writes nothing may be left, or all, or the first
//!   ones up to any byte, or each sector (or page) as it was at any moment since, one torn within: the kernel writes pages
//!   back when it likes. A file may thus have its new length and zeroes where data was lost.
//! - **Length.** Cuts and extensions by [`DiskFile::set_len`] happen in order, and what a cut that survived removed does
//!   not come back. A file that was written to may have any length between the old and the new one.
//! - **Names.** What [`Disk::sync_dir`] returned for stays, in that folder alone: a new folder needs its parent synced, a new
//!   file's own sync does nothing for its name. Of later changes none may be left, or all, or the first ones, or each by
//!   itself, but for those to the same name, which keep their order. A rename is one change: never both names, never none.
//! - **A failed sync.** What was unsynced is left to fate as if the power were lost then, but goes on to be seen; a later
//!   sync that succeeds does not cover it, as on Linux, whose pages are clean after the error.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use super::{Disk, DiskFile, FilePool, OpenMode, Space};
use crate::model::Timestamp;

/// Written whole or not at all, as a rule.
const SECTOR: usize = 512;
const PAGE: usize = 4096;
const ROOT: Node = 0;
/// Few, so that files are closed and opened again all the time.
const OPEN_MAX: usize = 5;

/// A call that is about to be made, as a [`Plan`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    Open { path: &'a Path, mode: OpenMode },
    ReadWhole { path: &'a Path },
    List { dir: &'a Path },
    CreateDir { dir: &'a Path },
    Rename { from: &'a Path, to: &'a Path },
    RemoveFile { path: &'a Path },
    RemoveDir { dir: &'a Path },
    SyncDir { dir: &'a Path },
    Read { path: &'a Path, position: u64, length: usize },
    Write { path: &'a Path, position: u64, length: usize },
    SetLen { path: &'a Path, length: u64 },
    Sync { path: &'a Path },
}

impl Call<'_> {
    /// Whether the call may change what a power loss leaves: the steps at which a crash makes a difference.
    pub fn changes(&self) -> bool {
        match self {
            Call::Open { mode, .. } => !matches!(mode, OpenMode::Existing | OpenMode::ReadOnly),
            Call::ReadWhole { .. } | Call::List { .. } | Call::Read { .. } => false,
            _ => true,
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Proceed,
    /// A read or write takes at most so many bytes.
    Short(usize),
    Fail(Errno),
}

/// Decides about each call, in order. It must not call the disk.
pub type Plan = Box<dyn FnMut(&Call<'_>) -> Answer + Send>;

/// A small generator of random numbers (SplitMix64), whose sequence never changes.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }
}

/// A disk as one process sees it. [`SimDisk::crash`] and [`SimDisk::kill`] give the next process's; this one, and the
/// files opened through it, answer with errors from then on.
pub struct SimDisk(Arc<Mutex<State>>, FilePool);

/// A file or folder by whatever name.
type Node = u64;

struct State {
    folders: BTreeMap<Node, Folder>,
    files: BTreeMap<Node, Content>,
    /// Changes to folders that are not durable, in order.
    pending: Vec<Change>,
    next_node: Node,
    random: Random,
    plan: Option<Plan>,
    /// What is told of it. No write fails for it: that is the plan's.
    space: Space,
    dead: bool,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    /// What is seen: `durable` with the pending changes.
    entries: BTreeMap<OsString, Node>,
    durable: BTreeMap<OsString, Node>,
}

/// Entries of folders that change in one step.
#[derive(Debug, Clone)]
struct Change(Vec<Entry>);

/// What a name in a folder stands for from now on.
#[derive(Debug, Clone)]
struct Entry {
    folder: Node,
    name: OsString,
    node: Option<Node>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What `durable` lacks, in order, but for what a failed sync left to fate.
    unsynced: Vec<Edit>,
}

#[derive(Debug, Clone)]
enum Edit {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl SimDisk {
    /// An empty disk. The seed decides what is left of a failed sync.
    pub fn new(seed: u64) -> Arc<SimDisk> {
        let folders = BTreeMap::from([(ROOT, Folder::default())]);
        SimDisk::with(State { folders, ..State::empty(Random::new(seed)) })
    }

    fn with(state: State) -> Arc<SimDisk> {
        Arc::new(SimDisk(Arc::new(Mutex::new(state)), FilePool::new(OPEN_MAX)))
    }

    /// Asks `plan` about every call from now on.
    pub fn set_plan(&self, plan: impl FnMut(&Call<'_>) -> Answer + Send + 'static) {
        self.0.lock().plan = Some(Box::new(plan));
    }

    /// Every call proceeds again.
    pub fn clear_plan(&self) {
        self.0.lock().plan = None;
    }

    /// From now on this is what is told of the space.
    pub fn set_space(&self, space: Space) {
        self.0.lock().space = space;
    }

    /// The disk as the next process finds it after a power loss. The seed decides what is left of what was not synced.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Arc<SimDisk> {
        SimDisk::with(self.die().after_power_loss(Random::new(seed)))
    }

    /// The disk as the next process finds it after this one was killed: all that was written is there, synced or not.
    #[must_use]
    pub fn kill(&self) -> Arc<SimDisk> {
        SimDisk::with(self.die())
    }

    /// The same disk once more, to see what would become of it.
    #[must_use]
    pub fn fork(&self) -> Arc<SimDisk> {
        let state = self.0.lock();
        let State { folders, files, pending, next_node, random, .. } = &*state;
        SimDisk::with(State {
            folders: folders.clone(),
            files: files.clone(),
            pending: pending.clone(),
            next_node: *next_node,
            ..State::empty(random.clone())
        })
    }

    fn die(&self) -> State {
        let mut state = self.0.lock();
        let dead = State { dead: true, ..State::empty(state.random.clone()) };
        State { plan: None, ..std::mem::replace(&mut *state, dead) }
    }

    /// The state, once the plan agreed.
    fn ask(&self, call: Call<'_>) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.0.lock();
        state.ask(call)?;
        Ok(state)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.ask(Call::Open { path, mode })?;
        let node = match state.find(path)? {
            Some(node) if state.folders.contains_key(&node) => return Err(Errno::ISDIR.into()),
            Some(node) => node,
            None if matches!(mode, OpenMode::Existing | OpenMode::ReadOnly) => return Err(Errno::NOENT.into()),
            None => {
                let node = state.new_node();
                state.files.insert(node, Content::default());
                let entry = state.entry(path, Some(node))?;
                state.change(vec![entry]);
                node
            }
        };
        if mode == OpenMode::Empty {
            state.content(node)?.edit(Edit::SetLen(0));
        }
        Ok(Arc::new(SimFile { disk: Arc::clone(&self.0), node, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.ask(Call::ReadWhole { path })?;
        let node = state.find(path)?.ok_or(Errno::NOENT)?;
        Ok(state.content(node)?.seen.clone())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.ask(Call::List { dir })?;
        let folder = state.folder(dir)?;
        Ok(state.folders[&folder].entries.keys().map(|name| dir.join(name)).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::CreateDir { dir })?;
        let mut above: Vec<&Path> = dir.ancestors().filter(|path| path.file_name().is_some()).collect();
        while let Some(path) = above.pop() {
            match state.find(path)? {
                Some(node) if state.folders.contains_key(&node) => {}
                Some(_) => return Err(Errno::NOTDIR.into()),
                None => {
                    let node = state.new_node();
                    state.folders.insert(node, Folder::default());
                    let entry = state.entry(path, Some(node))?;
                    state.change(vec![entry]);
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::Rename { from, to })?;
        let node = state.find(from)?.ok_or(Errno::NOENT)?;
        if state.find(to)?.is_some_and(|there| state.folders.contains_key(&there)) {
            return Err(Errno::EXIST.into());
        }
        let entries = vec![state.entry(from, None)?, state.entry(to, Some(node))?];
        state.change(entries);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::RemoveFile { path })?;
        let node = state.find(path)?.ok_or(Errno::NOENT)?;
        if state.folders.contains_key(&node) {
            return Err(Errno::ISDIR.into());
        }
        let entry = state.entry(path, None)?;
        state.change(vec![entry]);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::RemoveDir { dir })?;
        let folder = state.folder(dir)?;
        state.empty_folder(folder);
        let entry = state.entry(dir, None)?;
        state.change(vec![entry]);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::RemoveDir { dir })?;
        let folder = state.folder(dir)?;
        if !state.folders[&folder].entries.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        let entry = state.entry(dir, None)?;
        state.change(vec![entry]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.ask(Call::SyncDir { dir })?;
        let folder = state.folder(dir)?;
        state.settle(folder);
        Ok(())
    }

    fn files(&self) -> &FilePool {
        &self.1
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let state = self.0.lock();
        if state.dead { Err(Errno::IO.into()) } else { Ok(state.space) }
    }
}

/// An open file, by whatever name it has now.
struct SimFile {
    disk: Arc<Mutex<State>>,
    node: Node,
    /// The name it was opened by.
    path: PathBuf,
}

impl SimFile {
    /// What `act` makes of the content, once the plan agreed; it is told how many bytes it may take.
    fn with<T>(&self, call: Call<'_>, act: impl FnOnce(&mut Content, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        let most = state.ask(call)?;
        act(state.content(self.node)?, most)
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.path.display())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().content(self.node)?.seen.len() as u64)
    }

    /// Time stands still here.
    fn modified(&self) -> io::Result<Timestamp> {
        self.disk.lock().content(self.node).map(|_| Timestamp(0))
    }

    fn set_modified(&self, _: Timestamp) -> io::Result<()> {
        self.disk.lock().content(self.node).map(|_| ())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let call = Call::Read { path: &self.path, position, length: buffer.len() };
        self.with(call, |content, most| {
            let found = content.seen.get(position as usize..).unwrap_or_default();
            let length = found.len().min(buffer.len()).min(most);
            buffer[..length].copy_from_slice(&found[..length]);
            Ok(length)
        })
    }

    fn read_to_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        self.with(Call::Read { path: &self.path, position, length: room }, |content, most| {
            let found = content.seen.get(position as usize..).unwrap_or_default();
            let length = found.len().min(room).min(most);
            buffer.extend_from_slice(&found[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, head: &[u8], tail: &[u8], position: u64) -> io::Result<usize> {
        let length = head.len() + tail.len();
        self.with(Call::Write { path: &self.path, position, length }, |content, most| {
            let mut bytes = [head, tail].concat();
            bytes.truncate(most);
            let written = bytes.len();
            if written > 0 {
                content.edit(Edit::Write { at: position as usize, bytes });
            }
            Ok(written)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(Call::SetLen { path: &self.path, length: len }, |content, _| {
            content.edit(Edit::SetLen(len as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let asked = state.ask(Call::Sync { path: &self.path });
        let mut random = state.random.clone();
        let alive = !state.dead;
        if let Ok(content) = state.content(self.node) {
            match &asked {
                Ok(_) => content.settle(),
                Err(_) if alive => content.leave_to_fate(&mut random),
                Err(_) => {}
            }
        }
        state.random = random;
        asked.map(|_| ())
    }

    fn as_file(&self) -> Option<Arc<File>> {
        None
    }
}

impl State {
    fn empty(random: Random) -> State {
        State {
            folders: BTreeMap::new(),
            files: BTreeMap::new(),
            pending: Vec::new(),
            next_node: ROOT + 1,
            random,
            plan: None,
            space: Space { available: 1 << 50, total: 1 << 50 },
            dead: false,
        }
    }

    /// How many bytes a call may take, or the error it has to end with.
    fn ask(&mut self, call: Call<'_>) -> io::Result<usize> {
        if self.dead {
            return Err(io::Error::other("the process that opened this disk is dead"));
        }
        match self.plan.as_mut().map_or(Answer::Proceed, |plan| plan(&call)) {
            Answer::Proceed => Ok(usize::MAX),
            Answer::Short(most) => Ok(most),
            Answer::Fail(errno) => Err(errno.into()),
        }
    }

    fn new_node(&mut self) -> Node {
        self.next_node += 1;
        self.next_node
    }

    /// What a path stands for; an error where a folder above it is missing.
    fn find(&self, path: &Path) -> io::Result<Option<Node>> {
        let Some(name) = path.file_name() else { return Ok(Some(ROOT)) };
        let folder = self.folder(path.parent().unwrap_or(Path::new("/")))?;
        Ok(self.folders[&folder].entries.get(name).copied())
    }

    fn folder(&self, dir: &Path) -> io::Result<Node> {
        let mut at = ROOT;
        for component in dir.components() {
            let Component::Normal(name) = component else { continue };
            at = *self.folders.get(&at).ok_or(Errno::NOTDIR)?.entries.get(name).ok_or(Errno::NOENT)?;
        }
        if self.folders.contains_key(&at) { Ok(at) } else { Err(Errno::NOTDIR.into()) }
    }

    fn content(&mut self, node: Node) -> io::Result<&mut Content> {
        self.files.get_mut(&node).ok_or(Errno::ISDIR.into())
    }

    fn entry(&self, path: &Path, node: Option<Node>) -> io::Result<Entry> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        Ok(Entry { folder: self.folder(path.parent().unwrap_or(Path::new("/")))?, name, node })
    }

    fn change(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            if let Some(folder) = self.folders.get_mut(&entry.folder) {
                set(&mut folder.entries, entry);
            }
        }
        self.pending.push(Change(entries));
    }

    fn empty_folder(&mut self, folder: Node) {
        let entries: Vec<(OsString, Node)> =
            self.folders[&folder].entries.iter().map(|(name, node)| (name.clone(), *node)).collect();
        for (name, node) in entries {
            if self.folders.contains_key(&node) {
                self.empty_folder(node);
            }
            self.change(vec![Entry { folder, name, node: None }]);
        }
    }

    /// Makes the pending changes of a folder durable, and those that they build on.
    fn settle(&mut self, folder: Node) {
        let mut names: BTreeSet<(Node, OsString)> = BTreeSet::new();
        let mut settled = Vec::new();
        let mut pending = Vec::new();
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            let touches = |entry: &Entry| entry.folder == folder || names.contains(&entry.key());
            if change.0.iter().any(touches) {
                names.extend(change.0.iter().map(Entry::key));
                settled.push(change);
            } else {
                pending.push(change);
            }
        }
        pending.reverse();
        self.pending = pending;
        settled.iter().rev().for_each(|change| self.make_durable(change));
    }

    fn make_durable(&mut self, change: &Change) {
        for entry in &change.0 {
            if let Some(folder) = self.folders.get_mut(&entry.folder) {
                set(&mut folder.durable, entry);
            }
        }
    }

    fn after_power_loss(mut self, mut random: Random) -> State {
        for change in surviving(std::mem::take(&mut self.pending), &mut random) {
            self.make_durable(&change);
        }
        let mut after = State { next_node: self.next_node, ..State::empty(random.clone()) };
        // What no name leads to any more is gone.
        let mut reached = vec![ROOT];
        while let Some(node) = reached.pop() {
            if let Some(folder) = self.folders.remove(&node) {
                reached.extend(folder.durable.values());
                after.folders.insert(node, Folder { entries: folder.durable.clone(), durable: folder.durable });
            }
            if let Some(content) = self.files.remove(&node) {
                let left = content.after_power_loss(&mut random);
                after.files.insert(node, Content { seen: left.clone(), durable: left, unsynced: Vec::new() });
            }
        }
        State { random, ..after }
    }
}

impl Entry {
    fn key(&self) -> (Node, OsString) {
        (self.folder, self.name.clone())
    }
}

fn set(entries: &mut BTreeMap<OsString, Node>, entry: &Entry) {
    match entry.node {
        Some(node) => entries.insert(entry.name.clone(), node),
        None => entries.remove::<OsStr>(&entry.name),
    };
}

/// Which changes of names a power loss leaves.
fn surviving(mut pending: Vec<Change>, random: &mut Random) -> Vec<Change> {
    match random.below(4) {
        0 => pending.clear(),
        1 => {}
        2 => pending.truncate(random.between(0, pending.len())),
        _ => {
            let mut lost: BTreeSet<(Node, OsString)> = BTreeSet::new();
            pending.retain(|change| {
                let survives = random.below(2) == 0 && !change.0.iter().any(|entry| lost.contains(&entry.key()));
                if !survives {
                    lost.extend(change.0.iter().map(Entry::key));
                }
                survives
            });
        }
    }
    pending
}

impl Content {
    fn edit(&mut self, edit: Edit) {
        edit.apply(&mut self.seen);
        self.unsynced.push(edit);
    }

    fn settle(&mut self) {
        self.unsynced.drain(..).for_each(|edit| edit.apply(&mut self.durable));
    }

    fn leave_to_fate(&mut self, random: &mut Random) {
        self.durable = self.after_power_loss(random);
        self.unsynced.clear();
    }

    /// The bytes that a power loss leaves.
    fn after_power_loss(&self, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable.clone();
        if self.unsynced.is_empty() {
            return left;
        }
        match random.below(4) {
            0 => left,
            1 => {
                self.unsynced.iter().for_each(|edit| edit.apply(&mut left));
                left
            }
            2 => {
                let whole = random.below(self.unsynced.len());
                self.unsynced[..whole].iter().for_each(|edit| edit.apply(&mut left));
                self.unsynced[whole].apply_torn(&mut left, random);
                left
            }
            _ => self.sector_by_sector(random),
        }
    }

    /// Each sector as it was at a moment of its own.
    fn sector_by_sector(&self, random: &mut Random) -> Vec<u8> {
        let edits = &self.unsynced;
        let cuts: Vec<usize> = (0..edits.len()).filter(|at| matches!(edits[*at], Edit::SetLen(_))).collect();
        let cuts_left = random.between(0, cuts.len());
        // From the last cut that survived up to the first that did not, lengths are possible; data may be any since.
        let since = cuts_left.checked_sub(1).map_or(0, |last| cuts[last] + 1);
        let until = cuts.get(cuts_left).copied().unwrap_or(edits.len());
        let mut bytes = self.durable.clone();
        let mut lengths = vec![bytes.len()];
        for edit in edits {
            edit.apply(&mut bytes);
            lengths.push(bytes.len());
        }
        let moment = random.between(since, until);
        let mut length = lengths[moment];
        if moment < until && random.below(2) == 0 {
            let grown = random.between(length, lengths[moment + 1].max(length));
            length = if random.below(2) == 0 { grown } else { (grown / SECTOR * SECTOR).max(length) };
        }
        let unit = if random.below(2) == 0 { SECTOR } else { PAGE };
        let mut by_moment: Vec<Vec<usize>> = vec![Vec::new(); edits.len() + 1];
        for start in (0..length).step_by(unit) {
            let moment = match random.below(4) {
                0 => since,
                1 => random.between(since, edits.len()),
                _ => edits.len(),
            };
            by_moment[moment].push(start);
        }
        let mut left = vec![0; length];
        let mut bytes = self.durable.clone();
        for (moment, starts) in by_moment.iter().enumerate() {
            for start in starts {
                copy_unit(&bytes, &mut left, *start, unit);
            }
            let Some(edit) = edits.get(moment) else { break };
            if random.below(8) == 0
                && let Some(start) = starts.last()
            {
                let mut torn = bytes.clone();
                edit.apply_torn(&mut torn, random);
                copy_unit(&torn, &mut left, *start, unit);
            }
            edit.apply(&mut bytes);
        }
        left
    }
}

fn copy_unit(from: &[u8], to: &mut [u8], start: usize, unit: usize) {
    let end = (start + unit).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Edit::Write { at, bytes: written } => write(bytes, *at, written),
            Edit::SetLen(length) => bytes.resize(*length, 0),
        }
    }

    /// Only the beginning of a write; a cut or extension is whole.
    fn apply_torn(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        match self {
            Edit::Write { at, bytes: written } => write(bytes, *at, &written[..random.between(0, written.len())]),
            Edit::SetLen(length) => bytes.resize(*length, 0),
        }
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    let end = at + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(written);
}
