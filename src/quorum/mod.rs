//! The metadata quorum: an embedded Raft (openraft) whose log is the cluster's metadata, in the store.
//!
//! One broker alone is a quorum of one and takes the same path. A command goes `submit` > [`leader`] (decided against the
//! speculative image) > Raft > [`log`] (written, synced by [`flush`]) > [`machine`] (applied, [`published`] to readers and
//! subscribers) > reply. What is stored is declared in [`stored`].

mod flush;
mod leader;
mod log;
mod machine;
mod published;
mod raft;
mod stored;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use openraft::{Config, Raft, ReadPolicy, SnapshotPolicy, impls::EmptyNode};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::{self, JoinHandle},
};
use tracing::debug;

use self::{
    flush::Disk,
    leader::{Job, Leader, QUEUED_MAX},
    log::Log,
    machine::Machine,
    published::Published,
    raft::{TypeConfig, Unconnected},
};
pub use self::{published::Subscriber, stored::FormError};
use crate::{
    controller::{Command, Reply},
    env::SharedEnv,
    metadata::{Image, Misfit, RecordError},
    model::{NodeId, Principal},
    store::{SharedStore, StoreError},
};

/// How many log entries make a snapshot worth it.
const SNAPSHOT_ENTRIES: u64 = 1000;
/// How often the state machine is asked whether a snapshot is worth it, in log entries.
const SNAPSHOT_CHECK_ENTRIES: u64 = 64;

#[derive(Clone, Debug)]
pub struct QuorumConfig {
    pub node_id: NodeId,
    pub cluster_id: String,
}

/// This broker's part in the metadata quorum.
///
/// Dropping it stops it as a crash would; [`shutdown`](Quorum::shutdown) stops it well.
pub struct Quorum {
    raft: Raft<TypeConfig, Machine>,
    disk: Disk,
    published: Arc<Published>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    leader: Mutex<Option<JoinHandle<()>>>,
}

/// Why the quorum cannot start, or has stopped. One line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the metadata log cannot be read: {0}")]
    Form(#[from] FormError),
    #[error("{0}")]
    Record(#[from] RecordError),
    #[error("the metadata log is damaged: {0}")]
    Misfit(#[from] Misfit),
    #[error("the metadata log is damaged: entries between {before} and {after} are missing")]
    Hole { before: u64, after: u64 },
    #[error("the metadata snapshot {number} is damaged at chunk {chunk}")]
    Snapshot { number: i64, chunk: i32 },
    #[error("the metadata belongs to cluster {found}, not {expected}")]
    OtherCluster { found: String, expected: String },
    #[error("the metadata belongs to a quorum of nodes {found}; this node is {expected}, and votes alone")]
    OtherVoters { found: String, expected: NodeId },
    #[error("the metadata quorum stopped: {0}")]
    Raft(String),
}

/// Why a command was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Ask again, or ask the leader. Where leadership was lost meanwhile, the command may still have been carried out.
    #[error("this node does not lead the metadata quorum")]
    NotLeader { leader: Option<NodeId> },
    #[error("the metadata quorum has stopped")]
    Stopped,
    #[error("the command failed: {0}")]
    Internal(String),
}

impl Quorum {
    /// Starts the quorum on what `store` holds, and waits until the image is complete and this node leads.
    ///
    /// On a full disk this waits until there is space.
    pub async fn start(config: QuorumConfig, store: SharedStore, env: SharedEnv) -> Result<Quorum, QuorumError> {
        Quorum::start_with(config, store, env, SNAPSHOT_ENTRIES).await
    }

    async fn start_with(
        config: QuorumConfig,
        store: SharedStore,
        env: SharedEnv,
        snapshot_entries: u64,
    ) -> Result<Quorum, QuorumError> {
        let node_id = u64::try_from(config.node_id.0).map_err(|_| FormError::Range("node id"))?;
        let raft_config = Arc::new(raft_config(&config.cluster_id, snapshot_entries)?);
        let disk = Disk::new(store);
        let published = Arc::new(Published::default());
        let machine = Machine::open(disk.clone(), published.clone(), snapshot_entries)?;
        let stopped = |e: &dyn fmt::Display| disk.failure().unwrap_or_else(|| QuorumError::Raft(e.to_string()));
        let log = Log::new(disk.clone());
        // Before Raft writes the vote of a new term: what a newer version wrote is refused as it is.
        log.check()?;
        let raft = Raft::new(node_id, raft_config, Unconnected, log, machine).await.map_err(|e| stopped(&e))?;
        if raft.is_initialized().await.map_err(|e| stopped(&e))? {
            let voters = raft.voter_ids().collect::<Vec<_>>();
            if voters != [node_id] {
                let found = voters.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                let _ = raft.shutdown().await;
                return Err(QuorumError::OtherVoters { found, expected: config.node_id });
            }
            raft.trigger().elect(false).await.map_err(|e| stopped(&e))?;
        } else {
            let voters = BTreeMap::from([(node_id, EmptyNode::default())]);
            raft.initialize(voters).await.map_err(|e| stopped(&e))?;
        }
        raft.wait(None).metrics(|m| m.state.is_leader(), "leads").await.map_err(|e| stopped(&e))?;
        raft.ensure_linearizable(ReadPolicy::ReadIndex).await.map_err(|e| stopped(&e))?;
        if let Some(found) = published.image().cluster_id().filter(|found| *found != config.cluster_id) {
            let _ = raft.shutdown().await;
            return Err(QuorumError::OtherCluster { found: found.to_owned(), expected: config.cluster_id });
        }
        let (jobs, queue) = mpsc::channel(QUEUED_MAX);
        let leader = task::spawn(Leader::new(raft.clone(), published.clone(), env).run(queue));
        Ok(Quorum { raft, disk, published, jobs: Mutex::new(Some(jobs)), leader: Mutex::new(Some(leader)) })
    }

    /// Carries out a command. When this returns, what the reply says is committed, safe from a power loss, in
    /// [`image`](Quorum::image), and every subscriber has seen it.
    pub async fn submit(&self, principal: &Principal, command: Command) -> Result<Reply, SubmitError> {
        debug!(%principal, ?command, "submitted");
        let jobs = self.jobs.lock().clone().ok_or(SubmitError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(Job { command, reply }).await.map_err(|_| SubmitError::Stopped)?;
        drop(jobs);
        answer.await.map_err(|_| SubmitError::Stopped)?
    }

    /// The committed metadata as of now.
    pub fn image(&self) -> Arc<Image> {
        self.published.image()
    }

    /// The log index up to which [`image`](Quorum::image) is; a later image's is not lower. An image read after this may
    /// be newer.
    pub fn image_version(&self) -> i64 {
        self.published.version()
    }

    /// Tells the subscriber the whole image before this returns, as if all of it had just been created, and then every
    /// change.
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        self.published.subscribe(subscriber);
    }

    /// Waits until the quorum has stopped by itself, which it does only where its storage is of no more use.
    pub async fn failed(&self) -> QuorumError {
        let reason = self.raft.wait(None).metrics(|m| m.running_state.is_err(), "stops").await;
        let text = match reason {
            Ok(metrics) => metrics.running_state.err().map_or_else(String::new, |e| e.to_string()),
            Err(error) => error.to_string(),
        };
        self.disk.failure().unwrap_or(QuorumError::Raft(text))
    }

    /// Answers all commands that were submitted, takes no more, and syncs the store. Where the disk does not take data
    /// it does not wait for it.
    pub async fn shutdown(&self) -> Result<(), QuorumError> {
        self.disk.close();
        drop(self.jobs.lock().take());
        let leader = self.leader.lock().take();
        if let Some(leader) = leader {
            leader.await.map_err(|e| QuorumError::Raft(e.to_string()))?;
        }
        self.raft.shutdown().await.map_err(|e| QuorumError::Raft(e.to_string()))?;
        let store = self.disk.store().clone();
        let settled = task::spawn_blocking(move || store.settle()).await;
        Ok(settled.map_err(|e| QuorumError::Raft(e.to_string()))??)
    }
}

/// Nothing here ticks: a quorum of one is elected when told to, and needs no heartbeats.
fn raft_config(cluster_id: &str, snapshot_entries: u64) -> Result<Config, QuorumError> {
    let config = Config {
        cluster_name: cluster_id.to_owned(),
        enable_tick: false,
        enable_heartbeat: false,
        enable_elect: false,
        // Each start is a new term: its first entry commits all that is in the log.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries.min(SNAPSHOT_CHECK_ENTRIES)),
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map_err(|e| QuorumError::Raft(e.to_string()))
}
