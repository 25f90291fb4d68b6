//! All partitions of this broker: opened at the start, made and removed as the cluster's metadata says, flushed, closed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dashmap::{DashMap, DashSet};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{
    Leadership, Partition, Scalars, TopicSettings,
    flusher::{FlushQueue, Flusher},
    health_folder::{FolderHealth, Round, Trouble},
    opening::off_the_async_threads,
    parallel,
    partition::Folder,
    recovering,
    remover::Remover,
    slot::{LogHome, LogSlot, display_bytes},
    stored::Keeper,
};
use crate::{
    env::{Disk, RealDisk, SharedDisk, SharedEnv},
    log::{self, Bench, LogError, Progress, Start},
    metadata::{self, Delta, Image, Topic},
    model::{NodeId, PartitionIndex, Timestamp, TopicId, TopicIdPartition, TopicPartition, Uuid},
    store::{Batch, SharedStore, StoreError},
};

/// From a topic's own settings to what its partitions obey.
pub type SettingsOf = Box<dyn Fn(&BTreeMap<String, String>) -> TopicSettings + Send + Sync>;

/// What the partitions of a broker share.
pub struct ReplicasConfig {
    pub node_id: NodeId,
    pub data_dir: PathBuf,
    /// `directory.id` of the data folder.
    pub directory_id: Uuid,
    /// The last stop was clean: logs are opened without being checked.
    pub clean_start: bool,
    /// `num.recovery.threads.per.data.dir`
    pub recovery_threads: usize,
    /// `log.dir.min.free.bytes`; `None`: by the size of the disk.
    pub min_free_bytes: Option<u64>,
    /// From a topic's own settings to what its partitions obey.
    pub settings: SettingsOf,
}

/// The partitions cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{path}: {cause}", path = path.display())]
    Folder { path: PathBuf, cause: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("stopped before all logs were recovered")]
    Stopped,
}

/// What it took to open, and after an unclean stop to check, all logs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recovery {
    pub checked_bytes: u64,
    pub took_ms: i64,
}

/// The partitions whose log is on this broker.
pub struct Replicas {
    config: ReplicasConfig,
    env: SharedEnv,
    disk: SharedDisk,
    home: Arc<LogHome>,
    store: SharedStore,
    keeper: Keeper,
    partitions: DashMap<TopicIdPartition, Arc<Partition>>,
    /// Partitions whose log could not be opened or made. Who asks for one tries again.
    offline: DashSet<TopicIdPartition>,
    /// What the start took.
    recovery: Recovery,
    /// Held while logs are opened, made or removed.
    changing: Mutex<()>,
    remover: Remover,
    flusher: Flusher,
    health: Arc<FolderHealth>,
}

impl Replicas {
    /// Opens the log of every partition that `image` places here, and tidies up what a crash left behind.
    pub fn start(
        config: ReplicasConfig,
        env: SharedEnv,
        store: SharedStore,
        image: &Image,
        progress: &Progress,
    ) -> Result<Arc<Replicas>, StartError> {
        Replicas::start_on(Arc::new(RealDisk), config, env, store, image, progress)
    }

    /// [`Replicas::start`] on a disk that may be another than this machine's.
    pub(crate) fn start_on(
        disk: SharedDisk,
        config: ReplicasConfig,
        env: SharedEnv,
        store: SharedStore,
        image: &Image,
        progress: &Progress,
    ) -> Result<Arc<Replicas>, StartError> {
        let keeper = Keeper::new(Arc::clone(&store), config.directory_id);
        let begun = env.now();
        let flusher = {
            let keeper = keeper.clone();
            Flusher::start(move |partition| note_recovery_point(&keeper, partition))
        };
        let flusher = flusher.map_err(|cause| StartError::Folder { path: config.data_dir.clone(), cause })?;
        let home = LogHome { data_dir: config.data_dir.clone(), disk: Arc::clone(&disk), env: Arc::clone(&env) };
        let health = FolderHealth::new(
            config.data_dir.clone(),
            config.min_free_bytes,
            Arc::clone(&disk),
            Arc::clone(&store),
            Arc::clone(&env),
        );
        let remover = Remover::new(config.data_dir.clone(), Arc::clone(&disk));
        let mut replicas = Replicas {
            config,
            env,
            disk,
            home: Arc::new(home),
            store,
            keeper,
            partitions: DashMap::new(),
            offline: DashSet::new(),
            recovery: Recovery::default(),
            changing: Mutex::new(()),
            remover,
            flusher,
            health: Arc::new(health),
        };
        let folders = replicas.tidy(image)?;
        // Most topics have no settings of their own.
        let default = Arc::new((replicas.config.settings)(&BTreeMap::new()));
        let mut here = Vec::new();
        for topic in image.topics() {
            let settings = match topic.configs().next() {
                Some(_) => replicas.settings(topic),
                None => Arc::clone(&default),
            };
            let partitions = topic.partitions();
            let partitions = partitions.filter(|(_, partition)| partition.replicas.contains(&replicas.config.node_id));
            here.extend(partitions.map(|(index, partition)| Place {
                topic,
                index,
                partition,
                settings: Arc::clone(&settings),
            }));
        }
        recovering::recover(
            replicas.config.recovery_threads,
            &here,
            progress,
            |place| replicas.unchecked_bytes(place, replicas.is_clean(place, &folders)),
            |bench, place| replicas.open_or_report(place, replicas.is_clean(place, &folders), bench),
        );
        if progress.is_stopped() {
            return Err(StartError::Stopped);
        }
        if !replicas.config.clean_start {
            let data_dir = &replicas.config.data_dir;
            let failed = |cause| StartError::Folder { path: data_dir.clone(), cause };
            replicas.disk.sync_dir(data_dir).map_err(failed)?;
        }
        let took_ms = replicas.env.now().0.saturating_sub(begun.0);
        let recovery = Recovery { checked_bytes: progress.checked(), took_ms };
        if !replicas.config.clean_start && !replicas.partitions.is_empty() {
            info!(
                partitions = replicas.partitions.len(),
                "recovered after an unclean stop in {:.1} s: {} checked",
                took_ms as f64 / 1000.0,
                display_bytes(recovery.checked_bytes)
            );
        }
        replicas.recovery = recovery;
        let replicas = Arc::new(replicas);
        let weak = Arc::downgrade(&replicas);
        let verify = move || weak.upgrade().map_or_else(Round::default, |replicas| replicas.verify());
        let started = replicas.health.start(verify);
        started.map_err(|cause| StartError::Folder { path: replicas.config.data_dir.clone(), cause })?;
        Ok(replicas)
    }

    /// One round of finding out what is on a disk that has failed.
    fn verify(&self) -> Round {
        let partitions: Vec<Arc<Partition>> = self.partitions.iter().map(|partition| Arc::clone(&partition)).collect();
        // Whoever waits for this disk is told before that takes its time.
        partitions.iter().for_each(|partition| partition.tell_producers());
        let round = Mutex::new(Round::default());
        parallel::for_each(&partitions, |partition| {
            let verified = partition.verify();
            let mut round = round.lock();
            match verified {
                Ok(had_to) => round.checked += usize::from(had_to),
                Err(error) => {
                    round.failed += 1;
                    round.why.get_or_insert_with(|| format!("{}: {error}", partition.name()));
                }
            }
        });
        round.into_inner()
    }

    /// Why nothing new may be put into the data folder now; reading and deleting go on.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.check(self.env.now()).err()
    }

    pub fn partition(&self, id: TopicIdPartition) -> Option<Arc<Partition>> {
        self.partitions.get(&id).map(|partition| Arc::clone(&partition))
    }

    /// Whether the partition belongs here and its log cannot be opened.
    pub fn is_offline(&self, id: TopicIdPartition) -> bool {
        self.offline.contains(&id)
    }

    /// Tries again to make or open the log of a partition that is offline: its disk may have room by now.
    pub fn reopen(&self, image: &Image, id: TopicIdPartition) -> Option<Arc<Partition>> {
        let _changing = self.changing.lock();
        if self.offline.contains(&id) {
            let topic = image.topic_by_id(id.topic_id)?;
            let partition = topic.partition(id.partition)?;
            let place = Place { topic, index: id.partition, partition, settings: self.settings(topic) };
            self.open(&place, false, &mut Bench::new(&Progress::default())).ok()?;
            self.offline.remove(&id);
            info!(topic = %topic.name(), partition = id.partition.0, "partition is online again");
        }
        self.partition(id)
    }

    pub(super) fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.iter().map(|partition| Arc::clone(&partition)).collect()
    }

    pub(super) fn recovery(&self) -> Recovery {
        self.recovery
    }

    pub(super) fn flush_queue(&self) -> FlushQueue {
        self.flusher.queue()
    }

    pub(super) fn health(&self) -> &FolderHealth {
        &self.health
    }

    pub(super) fn offline_count(&self) -> usize {
        self.offline.len()
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.now()
    }

    pub(super) fn random(&self) -> u64 {
        self.env.random_u64()
    }

    /// The folders of the partitions whose log is here.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let folder = |partition: &Partition| log::partition_dir(&self.config.data_dir, partition.name());
        self.partitions.iter().map(|partition| folder(&partition)).collect()
    }

    /// How many partitions have their log here.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Follows the cluster's metadata. Returns once logs of new partitions exist and deleted ones are gone from sight, so
    /// a client that is told of a topic can use it.
    pub fn apply(&self, image: &Image, delta: &Delta) {
        if delta.partitions.is_empty() && delta.topics_deleted.is_empty() && delta.topic_configs.is_empty() {
            return;
        }
        off_the_async_threads(|| self.follow(image, delta));
    }

    fn follow(&self, image: &Image, delta: &Delta) {
        let _changing = self.changing.lock();
        let gone: Vec<_> = delta
            .topics_deleted
            .iter()
            .flat_map(|(id, deleted)| {
                (0..deleted.partitions)
                    .map(|index| (&deleted.name, TopicIdPartition { topic_id: *id, partition: PartitionIndex(index) }))
            })
            .collect();
        self.remove_all(&gone);
        for (id, deleted) in &delta.topics_deleted {
            info!(topic = %deleted.name, id = %id, "topic deleted");
        }
        let mut new_topics = BTreeSet::new();
        let mut new_here = Vec::new();
        for id in &delta.partitions {
            let Some(topic) = image.topic_by_id(id.topic_id) else { continue };
            let Some(partition) = topic.partition(id.partition) else { continue };
            match self.partition(*id) {
                Some(known) => known.apply_leadership(leadership(partition)),
                None if partition.replicas.contains(&self.config.node_id) => {
                    new_topics.extend(delta.topics_created.get(&id.topic_id));
                    let settings = match new_here.last() {
                        Some(Place { topic: last, settings, .. }) if last.id() == topic.id() => Arc::clone(settings),
                        _ => self.settings(topic),
                    };
                    new_here.push(Place { topic, index: id.partition, partition, settings });
                }
                None => {}
            }
        }
        let progress = Progress::default();
        parallel::for_each(&new_here, |place| self.open_or_report(place, false, &mut Bench::new(&progress)));
        for id in &new_topics {
            if let Some(topic) = image.topic_by_id(*id) {
                info!(topic = %topic.name(), id = %id, partitions = topic.partition_count(), "topic created");
            }
        }
        for id in delta.topic_configs.difference(&delta.topics_created) {
            if let Some(topic) = image.topic_by_id(*id) {
                let settings = self.settings(topic);
                for (index, _) in topic.partitions() {
                    if let Some(partition) = self.partition(TopicIdPartition { topic_id: *id, partition: index }) {
                        partition.apply_settings(Arc::clone(&settings));
                    }
                }
            }
        }
    }

    /// Makes everything durable and closes all logs; nothing may be appended any more. Whether the next start may trust
    /// what is on disk: not where a log could not be closed, or opened in the first place.
    #[must_use]
    pub fn close(&self) -> bool {
        self.health.stop();
        self.remover.free_names();
        self.flusher.stop();
        let partitions = self.all();
        let batch = Mutex::new(Batch::new());
        let is_clean = AtomicBool::new(self.offline.is_empty());
        parallel::for_each(&partitions, |partition| {
            partition.close();
            match partition.shut() {
                Ok(Some((scalars, at_rest))) => {
                    scalars.put_at_rest(&at_rest, &mut batch.lock(), self.config.directory_id, partition.id());
                }
                // It was not opened: what is stored of it holds.
                Ok(None) => {}
                Err(error) => {
                    error!(partition = %partition.name(), "the log cannot be closed cleanly: {error}");
                    is_clean.store(false, Ordering::Relaxed);
                }
            }
        });
        if let Err(error) = self.store.write_synced(&batch.into_inner()) {
            error!("recovery points cannot be stored: {error}");
            // A clean start takes them for where the logs end.
            is_clean.store(false, Ordering::Relaxed);
        }
        is_clean.into_inner()
    }

    /// Forgets idempotent producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now: Timestamp) {
        for partition in &self.partitions {
            // One that was not opened does so when it is.
            if let Some(log) = partition.opened() {
                log.expire_producers(now);
            }
        }
    }

    fn settings(&self, topic: &Topic) -> Arc<TopicSettings> {
        let own = topic.configs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Arc::new((self.config.settings)(&own))
    }

    /// Whether a clean stop has left the log of a partition as it was, and it is still there.
    fn is_clean(&self, place: &Place<'_>, folders: &HashSet<String>) -> bool {
        self.config.clean_start && folders.contains(&place.name().to_string())
    }

    fn unchecked_bytes(&self, place: &Place<'_>, is_clean: bool) -> u64 {
        let scalars = || Scalars::load(&*self.store, self.config.directory_id, place.id());
        if is_clean {
            return 0;
        }
        let Ok(Scalars { recovery_point, log_start, .. }) = scalars() else { return 0 };
        let start = Start { clean: false, recovery_point, log_start };
        log::unchecked_bytes(&*self.disk, &self.home.dir(&place.name()), start).unwrap_or(0)
    }

    /// As [`Replicas::open`]; a partition whose log cannot be opened is offline, and the others go on.
    fn open_or_report(&self, place: &Place<'_>, is_clean: bool, bench: &mut Bench<'_>) {
        match self.open(place, is_clean, bench) {
            Ok(()) | Err(StartError::Log(LogError::Stopped)) => {}
            Err(error) => {
                error!(topic = %place.topic.name(), partition = place.index.0, "partition is offline: {error}");
                self.offline.insert(place.id());
            }
        }
    }

    /// Opens or makes one log. One that `is_clean`, and of which is known what it holds, is left at rest until somebody needs it.
    fn open(&self, place: &Place<'_>, is_clean: bool, bench: &mut Bench<'_>) -> Result<(), StartError> {
        let (id, name, topic_id) = (place.id(), place.name(), place.topic.id());
        let (scalars, at_rest) = Scalars::load_at_rest(&*self.store, self.config.directory_id, id)?;
        let Scalars { recovery_point, log_start, .. } = scalars;
        self.remover.free_name(&self.home.dir(&name));
        let start = Start { clean: is_clean, recovery_point, log_start };
        let home = Arc::clone(&self.home);
        let slot = match at_rest.filter(|_| is_clean) {
            Some(at_rest) => LogSlot::at_rest(home, name, topic_id, start, at_rest),
            None => {
                let (log, _) = home.open_among(&name, topic_id, place.settings.log.clone(), start, bench)?;
                LogSlot::open(home, log)
            }
        };
        let (node, settings) = (self.config.node_id, Arc::clone(&place.settings));
        let leadership = leadership(place.partition);
        let folder = Folder { flusher: self.flusher.queue(), health: Arc::clone(&self.health) };
        let partition = Partition::new(id, node, slot, settings, leadership, scalars, folder);
        self.partitions.insert(id, partition);
        Ok(())
    }

    fn remove_all(&self, gone: &[(&Arc<str>, TopicIdPartition)]) {
        gone.iter().for_each(|(name, id)| self.remove(name, *id));
        self.remover.start();
        let mut batch = Batch::new();
        gone.iter().for_each(|(_, id)| Scalars::delete(&mut batch, self.config.directory_id, *id));
        if let Err(error) = self.store.write(&batch) {
            error!("recovery points of deleted partitions cannot be removed: {error}");
        }
    }

    fn remove(&self, topic: &Arc<str>, id: TopicIdPartition) {
        if self.offline.remove(&id).is_some() {
            // What there is of it must not be in the way of a topic of the same name.
            let name = TopicPartition { topic: Arc::clone(topic), partition: id.partition };
            let dir = log::partition_dir(&self.config.data_dir, &name);
            match self.remove_stray(&dir, &name, Some(id.topic_id)) {
                Err(StartError::Log(error)) if error.is_not_found() => {}
                Err(error) => error!(partition = %name, "the log cannot be deleted: {error}"),
                Ok(()) => {}
            }
        }
        let Some((_, partition)) = self.partitions.remove(&id) else { return };
        partition.close();
        let (dir, unique) = (self.home.dir(partition.name()), self.env.uuid());
        self.remover.delete(dir, Box::new(move || partition.delete(unique)));
    }

    /// Removes folders of deleted partitions, and sets aside those that the metadata does not know: a crash came between
    /// a topic's deletion and that of its files. Returns the names of the folders of partitions that there are.
    fn tidy(&self, image: &Image) -> Result<HashSet<String>, StartError> {
        let data_dir = &self.config.data_dir;
        let failed = |cause| StartError::Folder { path: data_dir.clone(), cause };
        let mut folders = HashSet::new();
        for path in self.disk.list(data_dir).map_err(failed)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if log::is_deleted_dir(name) {
                self.remover.add(path);
            } else if let Some(partition) = log::parse_partition_dir(name) {
                let known = image
                    .topic(&partition.topic)
                    .and_then(|topic| topic.partition(partition.partition).map(|_| topic.id()));
                // Whose a folder is that the metadata knows is told when its log is opened; after a clean stop it is not that of
                // an older topic of the same name.
                if self.config.clean_start && known.is_some() {
                    folders.insert(name.to_owned());
                    continue;
                }
                let found = match known {
                    Some(id) => log::read_owner(&*self.disk, &path, id),
                    None => log::read_partition_metadata(&*self.disk, &path),
                };
                let found = match found {
                    // Whose these files are nobody knows: they stay, and a log that should be there is offline.
                    Err(error @ LogError::Corrupt { .. }) => {
                        warn!(%partition, "left alone: {error}");
                        continue;
                    }
                    found => found?,
                };
                if found.is_some() && found != known {
                    self.remove_stray(&path, &partition, found)?;
                } else if known.is_none() {
                    // One whose making was interrupted. Whatever else is in a folder of such a name stays.
                    let _ = self.disk.remove_dir(&path);
                } else {
                    folders.insert(name.to_owned());
                }
            }
        }
        self.remover.start();
        Ok(folders)
    }

    fn remove_stray(
        &self,
        dir: &Path,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
    ) -> Result<(), StartError> {
        let id = topic_id.map(|id| id.to_string()).unwrap_or_default();
        let to = log::set_aside(&*self.disk, dir, partition, self.env.uuid())?;
        info!(%partition, "removing the files of a deleted topic (id {id})");
        self.remover.add(to);
        Ok(())
    }
}

/// A partition that belongs on this broker.
struct Place<'a> {
    topic: &'a Topic,
    index: PartitionIndex,
    partition: &'a metadata::Partition,
    settings: Arc<TopicSettings>,
}

impl Place<'_> {
    fn id(&self) -> TopicIdPartition {
        TopicIdPartition { topic_id: self.topic.id(), partition: self.index }
    }

    fn name(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(self.topic.name()), partition: self.index }
    }
}

fn leadership(partition: &metadata::Partition) -> Leadership {
    Leadership {
        leader: Some(partition.leader).filter(|leader| leader.0 >= 0),
        leader_epoch: partition.leader_epoch,
        replication_factor: partition.replicas.len(),
        isr: partition.isr.to_vec(),
    }
}

/// After a flush: what is below needs no check after a crash. Stored once a segment, not once a flush.
fn note_recovery_point(keeper: &Keeper, partition: &Partition) {
    let Some(recovery_point) = partition.recovery_point_to_store() else { return };
    if let Err(error) = partition.keep(keeper, |stored| stored.recovery_point = recovery_point)
        && !partition.is_closed()
    {
        warn!(partition = %partition.name(), "its recovery point cannot be stored: {error}");
    }
}
