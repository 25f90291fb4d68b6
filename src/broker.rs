//! Composition root: what starts and stops, in which order.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use felice_protocol::record::{Codec, Compression, TimestampType};
use futures_util::FutureExt;
use tokio::{net::TcpListener, select, time::interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    api::{self, FetchSessions, ProducerIds, Served, Services},
    config::{self, BrokerConfig, ListenerConfig, TopicCompression, TopicConfig},
    controller::{Command, InitializeCluster, Refusal, RegisterBroker, Reply},
    coordinator::{GroupCoordinator, GroupCoordinatorConfig},
    env::{self, DataFolder, FolderError, Inspected, SharedEnv},
    http::{Http, Phase, Serving},
    log::LogConfig,
    metadata::{Delta, Image, Listener},
    metrics::{Requests, Source},
    model::Principal,
    net::{
        Connections, FrameBudget, Lane, Owed, ReadLimits, Refusals, Shared,
        listener::{self, BindError, Bound, ConnectionLimits},
    },
    quorum::{Quorum, QuorumConfig, QuorumError, SubmitError, Subscriber},
    replica::{self, Housekeeping, HousekeepingConfig, Replicas, ReplicasConfig, ScrubConfig, Scrubber, TopicSettings},
    store::{RocksStore, SharedStore, StoreError},
};

/// RocksDB's folder within the data folder.
const STORE_FOLDER: &str = "metadata";
/// How long a clean stop waits for responses that peers do not take.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// A batch that must be opened may decompress to at most this many times `max.message.bytes`, and at least 64 MiB.
const EXPANSION_MAX: usize = 16;
const EXPANSION_FLOOR: usize = 64 << 20;

/// A running broker.
pub struct Broker {
    folder: DataFolder,
    services: Arc<Services>,
    housekeeping: Housekeeping,
    scrubber: Scrubber,
    stopping: CancellationToken,
    tasks: TaskTracker,
    connections: TaskTracker,
    addresses: Vec<Vec<SocketAddr>>,
    /// Until the end, so that it tells of the stop too.
    http: Option<Http>,
    http_addresses: Vec<SocketAddr>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error("cannot listen: {0}")]
    Sockets(io::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the data folder cannot be written: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: {cause}", .path.display())]
    Metadata { path: PathBuf, cause: QuorumError },
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("the controller refused this broker: {0}")]
    Refused(#[from] Refusal),
    #[error("the controller answered something else than it was asked")]
    Confused,
    #[error(transparent)]
    Replicas(#[from] replica::StartError),
    #[error("no thread for housekeeping: {0}")]
    Housekeeping(io::Error),
}

impl Broker {
    /// Binds the listeners, then opens the data folder, so that whatever fails before leaves the disk as it was; and then the
    /// metadata, so that whatever fails before leaves the logs and the mark of the last clean stop as they were. Serves once
    /// everything is loaded: no client sees half a cluster.
    pub async fn start(config: BrokerConfig, folder: Inspected, env: SharedEnv) -> Result<Broker, StartError> {
        let bound: Vec<Bound> = config.listeners.iter().map(listener::bind).collect::<Result<_, _>>()?;
        let addresses = addresses(&bound).map_err(StartError::Sockets)?;
        let sockets = sockets(bound).map_err(StartError::Sockets)?;
        let (http, http_addresses) = start_http(&config)?;
        let folder = folder.open(env.as_ref())?;
        let clean_stop = folder.clean_shutdown();
        let metadata = folder.path().join(STORE_FOLDER);
        let store: SharedStore = Arc::new(RocksStore::open(&metadata)?);
        let config = Arc::new(config);
        let cluster_id: Arc<str> = Arc::from(folder.cluster_id());

        let quorum = Quorum::start(
            QuorumConfig { node_id: config.node_id, cluster_id: cluster_id.to_string() },
            Arc::clone(&store),
            Arc::clone(&env),
        )
        .await
        .map_err(|cause| match cause {
            QuorumError::Store(error) => StartError::Store(error),
            cause => StartError::Metadata { path: metadata, cause },
        })?;
        let quorum = Arc::new(quorum);
        let mut starting = folder.mark_running()?;
        enter(&http, Phase::Starting("opening the logs, which are checked where the last stop was not clean"));
        let broker_epoch = join(&quorum, &config, &folder, &addresses, &env, clean_stop).await?;
        starting.registered(broker_epoch);
        if clean_stop.is_none() && quorum.image().topics().next().is_some() {
            info!("the last stop was not clean: checking what had not been flushed");
        }
        // This fails, or is stopped, before anything was appended.
        let replicas = Replicas::start_apart(
            ReplicasConfig {
                node_id: config.node_id,
                data_dir: folder.path().to_owned(),
                directory_id: folder.directory_id(),
                clean_start: clean_stop.is_some(),
                recovery_threads: config.recovery_threads,
                min_free_bytes: config.min_free_bytes,
                settings: {
                    let config = Arc::clone(&config);
                    Box::new(move |own| topic_settings(&config, own))
                },
            },
            Arc::clone(&env),
            Arc::clone(&store),
            quorum.image(),
        )
        .await?;
        starting.complete();
        let housekeeping = HousekeepingConfig {
            retention_check_interval: config.retention_check_interval,
            cleaner: config.cleaner.clone(),
        };
        let housekeeping =
            Housekeeping::start(Arc::clone(&replicas), housekeeping).map_err(StartError::Housekeeping)?;
        quorum.subscribe(Arc::new(Follower(Arc::clone(&replicas))));
        let scrub = ScrubConfig { interval: config.scrub_interval, bytes_per_second: config.scrub_bytes_per_second };
        let scrubber = Scrubber::start(Arc::clone(&replicas), Arc::clone(&env), scrub)?;

        // After the partitions, which must be there when it looks for them.
        let groups = GroupCoordinatorConfig::from(&*config);
        let groups =
            GroupCoordinator::start(groups, Arc::clone(&env), store, Arc::clone(&quorum), Arc::clone(&replicas));

        let stopping = CancellationToken::new();
        let services = Arc::new(Services {
            node_id: config.node_id,
            cluster_id,
            broker_epoch,
            env,
            quorum,
            replicas,
            groups,
            producer_ids: ProducerIds::default(),
            fetch_sessions: FetchSessions::new(config.max_incremental_fetch_session_cache_slots, env::memory_limit()),
            requests: Requests::new(Served::names()),
            stopping: stopping.clone(),
            config: Arc::clone(&config),
        });
        let tasks = TaskTracker::new();
        let connections = TaskTracker::new();
        let served = accept(&config, &services, &stopping, sockets, &tasks, &connections);
        let sources = vec![housekeeping.cleaned(), served];
        enter(&http, Phase::Serving(Serving { services: Arc::clone(&services), sources }));
        tasks.spawn(expire_producers(Arc::clone(&services), stopping.clone()));
        for line in config::banner(&config, &services.cluster_id, folder.path(), &addresses) {
            info!("{line}");
        }
        if let Some(warning) = config::warning(&addresses) {
            warn!("{warning}");
        }
        Ok(Broker {
            folder,
            services,
            housekeeping,
            scrubber,
            stopping,
            tasks,
            connections,
            addresses,
            http,
            http_addresses,
        })
    }

    /// Where each listener listens, in the order of the settings.
    pub fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// Where HTTP is served; nowhere unless a setting says so.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http_addresses
    }

    /// Waits until the broker is of no more use and better stopped: its metadata can neither be written nor, by trying again, be
    /// made writable. (Kafka halts where its metadata log fails.) A disk that is full or away for a while is waited for instead.
    pub async fn failed(&self) -> QuorumError {
        self.services.quorum.failed().await
    }

    /// Stops cleanly: requests that were read are answered, logs and metadata are made durable, and the folder is marked
    /// so that the next start recovers nothing.
    pub async fn shutdown(self) {
        enter(&self.http, Phase::Stopping);
        self.stopping.cancel();
        // Whoever waits for a group is answered, before its connection is closed.
        self.services.groups.stop().await;
        self.tasks.close();
        self.connections.close();
        self.tasks.wait().await;
        if tokio::time::timeout(STOP_PATIENCE, self.connections.wait()).await.is_err() {
            warn!("{} connections did not take their responses in time", self.connections.len());
        }
        self.housekeeping.stop();
        self.scrubber.stop();
        let closed = self.services.replicas.close();
        // Then whoever stops it knows.
        let has_failed = self.failed().now_or_never().is_some();
        let stopped = self.services.quorum.shutdown().await;
        if let Err(error) = &stopped
            && !has_failed
        {
            error!("the metadata cannot be made durable: {error}");
        }
        if !closed || stopped.is_err() {
            warn!("the next start will recover");
        } else if let Err(error) = self.folder.mark_clean(self.services.broker_epoch) {
            error!("the clean stop cannot be marked, the next start will recover: {error}");
        }
    }
}

/// Serves HTTP, where that is wanted, and returns its addresses.
fn start_http(config: &BrokerConfig) -> Result<(Option<Http>, Vec<SocketAddr>), StartError> {
    if config.http.is_empty() {
        return Ok((None, Vec::new()));
    }
    let listener = ListenerConfig { name: "HTTP".to_owned(), bind: config.http.clone(), advertised: None };
    let bound = listener::bind(&listener)?;
    let addresses = bound.addresses().map_err(StartError::Sockets)?;
    let http = Http::start(bound.sockets).map_err(StartError::Sockets)?;
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    info!("HTTP on {}: /metrics, /readyz, /livez", shown.join(", "));
    Ok((Some(http), addresses))
}

fn enter(http: &Option<Http>, phase: Phase) {
    if let Some(http) = http {
        http.enter(phase);
    }
}

/// Tells the cluster of this broker, and a new cluster of itself. Returns the broker epoch.
async fn join(
    quorum: &Quorum,
    config: &BrokerConfig,
    folder: &DataFolder,
    addresses: &[Vec<SocketAddr>],
    env: &SharedEnv,
    clean_stop: Option<i64>,
) -> Result<i64, StartError> {
    let principal = Principal::broker();
    let cluster_id = folder.cluster_id().to_owned();
    let features: BTreeMap<String, i16> =
        api::SUPPORTED_FEATURES.iter().map(|feature| (feature.name.to_owned(), feature.max)).collect();
    let initialize = InitializeCluster { cluster_id: cluster_id.clone(), features };
    match quorum.submit(&principal, Command::InitializeCluster(initialize)).await? {
        Reply::InitializeCluster(result) => drop(result?),
        _ => return Err(StartError::Confused),
    }
    let listeners = config
        .listeners
        .iter()
        .zip(addresses)
        .filter_map(|(listener, addresses)| {
            let (host, port) = listener.advertise(*addresses.first()?);
            Some(Listener { name: listener.name.clone(), host, port, security_protocol: 0 })
        })
        .collect();
    let register = RegisterBroker {
        node_id: config.node_id,
        cluster_id,
        incarnation_id: env.uuid(),
        listeners,
        rack: config.rack.clone(),
        directories: vec![folder.directory_id()],
        previous_epoch: clean_stop,
    };
    match quorum.submit(&principal, Command::RegisterBroker(register)).await? {
        Reply::RegisterBroker(result) => Ok(result?.epoch),
        _ => Err(StartError::Confused),
    }
}

fn addresses(bound: &[Bound]) -> io::Result<Vec<Vec<SocketAddr>>> {
    bound.iter().map(Bound::addresses).collect()
}

/// All sockets, each with the name of its listener.
fn sockets(bound: Vec<Bound>) -> io::Result<Vec<(Arc<str>, TcpListener)>> {
    let named = bound
        .into_iter()
        .flat_map(|Bound { name, sockets }| sockets.into_iter().map(move |socket| (Arc::clone(&name), socket)));
    named.map(|(name, socket)| Ok((name, TcpListener::from_std(socket)?))).collect()
}

/// Opens the listeners to clients. Returns what there is to show of their connections.
fn accept(
    config: &BrokerConfig,
    services: &Arc<Services>,
    stopping: &CancellationToken,
    sockets: Vec<(Arc<str>, TcpListener)>,
    tasks: &TaskTracker,
    connections: &TaskTracker,
) -> Arc<dyn Source> {
    let (budget, max_frame) = frame_bounds(config, env::memory_limit());
    if max_frame < config.socket_request_max_bytes {
        warn!(
            "this process may use little memory: requests beyond {} MiB are refused, although socket.request.max.bytes \
             allows {} MiB",
            max_frame >> 20,
            config.socket_request_max_bytes >> 20
        );
    }
    let shared = Arc::new(Shared {
        services: Arc::clone(services),
        budget: FrameBudget::new(budget),
        owed: Owed::new(budget / 2),
        lane: Lane::default(),
        limits: ReadLimits { max_frame, max_idle: config.connections_max_idle },
        refusals: Refusals::new(Arc::clone(&services.env)),
        stopping: stopping.clone(),
    });
    tasks.spawn({
        let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
        async move { shared.refusals.sum_up(stopping).await }
    });
    let overrides: HashMap<_, _> =
        config.max_connections_per_ip_overrides.iter().map(|(ip, limit)| (*ip, *limit)).collect();
    let limits = ConnectionLimits::new(config.max_connections, config.max_connections_per_ip, overrides);
    for (name, socket) in sockets {
        tasks.spawn(listener::accept(Arc::clone(&shared), socket, name, Arc::clone(&limits), connections.clone()));
    }
    Arc::new(Connections { shared, limits })
}

/// Bytes that all frames may take together, and the largest frame. Where nobody said how many, a quarter of the memory, and
/// then no frame may be larger either: one of 100 MiB is the end of a process that has 64.
fn frame_bounds(config: &BrokerConfig, memory: usize) -> (usize, usize) {
    let max_frame = config.socket_request_max_bytes;
    match config.queued_max_request_bytes {
        Some(budget) => (budget, max_frame),
        None => (memory / 4, max_frame.min(memory / 4)),
    }
}

async fn expire_producers(services: Arc<Services>, stopping: CancellationToken) {
    let mut ticks = interval(services.config.producer_id_expiration_check_interval.max(Duration::from_millis(1)));
    ticks.tick().await;
    loop {
        select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => services.replicas.expire_producers(services.env.now()),
        }
    }
}

/// What the partitions of a topic with these settings of its own obey.
fn topic_settings(broker: &BrokerConfig, own: &BTreeMap<String, String>) -> TopicSettings {
    let config = broker.topic(own).unwrap_or_else(|error| {
        // The controller checked them when they were set; a later version may be stricter.
        error!("a topic's settings are not valid any more, the broker's hold instead: {error}");
        broker.topic(&BTreeMap::new()).unwrap_or_else(|error| unreachable!("the broker's own settings: {error}"))
    });
    TopicSettings {
        log: log_config(broker, &config),
        max_message_bytes: config.max_message_bytes as usize,
        timestamp_type: match config.timestamp_type {
            config::TimestampType::CreateTime => TimestampType::CreateTime,
            config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        min_insync_replicas: config.min_insync_replicas,
        compression: compression(&config.compression),
        max_decompressed_bytes: (config.max_message_bytes as usize * EXPANSION_MAX).max(EXPANSION_FLOOR),
    }
}

fn log_config(broker: &BrokerConfig, topic: &TopicConfig) -> LogConfig {
    LogConfig {
        deletes: topic.deletes,
        compacts: topic.compacts,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        delete_retention_ms: topic.delete_retention_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        segment_bytes: u64::from(topic.segment_bytes),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: u64::from(topic.segment_index_bytes),
        index_interval_bytes: u64::from(topic.index_interval_bytes),
        flush_messages: u64::try_from(topic.flush_messages).unwrap_or(u64::MAX),
        flush_ms: topic.flush_ms,
        producer_id_expiration_ms: i64::try_from(broker.producer_id_expiration.as_millis()).unwrap_or(i64::MAX),
    }
}

fn compression(topic: &TopicCompression) -> Option<Compression> {
    let with_level = |codec, level| Compression::with_level(codec, level).unwrap_or_else(|_| Compression::new(codec));
    Some(match *topic {
        TopicCompression::Producer => return None,
        TopicCompression::Uncompressed => Compression::NONE,
        TopicCompression::Snappy => Compression::new(Codec::Snappy),
        TopicCompression::Gzip { level: None } => Compression::new(Codec::Gzip),
        TopicCompression::Gzip { level: Some(level) } => with_level(Codec::Gzip, level),
        TopicCompression::Lz4 { level } => with_level(Codec::Lz4, level),
        TopicCompression::Zstd { level } => with_level(Codec::Zstd, level),
    })
}

/// Hands what changes in the metadata to the partitions.
struct Follower(Arc<Replicas>);

impl Subscriber for Follower {
    fn applied(&self, image: &Arc<Image>, delta: &Delta) {
        self.0.apply(image, delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Given};

    #[test]
    fn frames_are_small_where_memory_is() {
        let of = |set: &[&str], memory| {
            let set: Vec<String> = set.iter().map(|setting| (*setting).to_owned()).collect();
            let (config, _) = config::load(&Given { set: &set, ..Given::default() }).expect("good settings");
            frame_bounds(&config, memory)
        };
        const MIB: usize = 1 << 20;
        assert_eq!(of(&[], 4096 * MIB), (1024 * MIB, 100 * MIB));
        assert_eq!(of(&[], 64 * MIB), (16 * MIB, 16 * MIB));
        assert_eq!(of(&["queued.max.request.bytes=209715200"], 64 * MIB), (200 * MIB, 100 * MIB));
    }
}
