//! A coordinator over one partition in a temporary folder, without the rest of a broker.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use felice_protocol::{
    coordinator::GroupRecord,
    error::ErrorCode,
    messages::{offset_commit::*, offset_fetch::*},
    record::{Batch, Codec, Compression, TimestampType},
};
use parking_lot::MutexGuard;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

use super::disk::TestDisk;
use crate::{
    controller::{
        self, AlterConfigs, ConfigChange, ConfigOp, CreateTopics, DeleteTopics, InitializeCluster, NewTopic,
        RegisterBroker, Reply, TopicConfigChanges, TopicDefaults, TopicRef,
    },
    coordinator::{
        group::{Answer, Command, GroupSettings, Query, State},
        journal::Journal,
        shard::{Answered, Core, NewCall, Shard, Surroundings},
        view::View,
    },
    env::{Env, SystemEnv},
    log::{LogConfig, Progress},
    metadata::{Delta, Image, Listener},
    model::{NodeId, Offset, PartitionIndex, Principal, Timestamp, TopicId, TopicIdPartition, Uuid},
    quorum::{Quorum, QuorumConfig, Subscriber},
    replica::{Partition, Replicas, ReplicasConfig, TopicSettings},
    store::{MapStore, SharedStore},
};

const NODE: NodeId = NodeId(1);
/// More than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// This machine's, which a test may set.
#[derive(Default)]
pub struct TestEnv(AtomicI64);

impl TestEnv {
    /// Sets the wall clock by so many milliseconds.
    pub fn set_clock_by(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        Timestamp(SystemEnv.now().0 + self.0.load(Ordering::Relaxed))
    }

    fn uuid(&self) -> Uuid {
        SystemEnv.uuid()
    }

    fn random_u64(&self) -> u64 {
        SystemEnv.random_u64()
    }
}

struct Follower(Arc<Replicas>);

impl Subscriber for Follower {
    fn applied(&self, image: &Arc<Image>, delta: &Delta) {
        self.0.apply(image, delta);
    }
}

pub struct Rig {
    pub shard: Arc<Shard>,
    pub partition: Arc<Partition>,
    pub disk: TestDisk,
    pub env: Arc<TestEnv>,
    around: Arc<Surroundings>,
    replicas: Arc<Replicas>,
    task: Option<JoinHandle<()>>,
    _dir: TempDir,
}

fn topic_settings(own: &BTreeMap<String, String>) -> TopicSettings {
    let max_message_bytes = own.get("max.message.bytes").map_or(1_048_588, |text| text.parse().unwrap());
    let flush_messages = own.get("flush.messages").map_or(u64::MAX, |text| text.parse().unwrap());
    TopicSettings {
        log: LogConfig { compacts: true, flush_messages, ..LogConfig::default() },
        max_message_bytes,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        min_insync_replicas: 1,
        compression: None,
        max_decompressed_bytes: 1 << 20,
    }
}

impl Rig {
    /// A coordinator that has loaded its log, which is empty. The topic has the settings that are named.
    pub async fn start(configs: &[(&str, &str)]) -> Rig {
        let mut rig = Rig::not_loaded(configs, GroupSettings::default()).await;
        rig.attend().await;
        rig
    }

    /// As [`Rig::start`], with other settings of groups.
    pub async fn start_with(settings: GroupSettings) -> Rig {
        let mut rig = Rig::not_loaded(&[], settings).await;
        rig.attend().await;
        rig
    }

    /// A coordinator that does not read its log yet.
    async fn not_loaded(configs: &[(&str, &str)], settings: GroupSettings) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let (disk, env) = (TestDisk::default(), Arc::new(TestEnv::default()));
        let store: SharedStore = Arc::new(MapStore::new());
        let cluster_id = "cluster".to_owned();
        let quorum = QuorumConfig { node_id: NODE, cluster_id: cluster_id.clone() };
        let quorum = Quorum::start(quorum, Arc::clone(&store), env.clone()).await.unwrap();
        let initialize = InitializeCluster { cluster_id: cluster_id.clone(), features: BTreeMap::new() };
        let listener = Listener { name: "L".to_owned(), host: "here".to_owned(), port: 9092, security_protocol: 0 };
        let register = RegisterBroker {
            node_id: NODE,
            cluster_id,
            incarnation_id: env.uuid(),
            listeners: vec![listener],
            rack: None,
            directories: vec![env.uuid()],
            previous_epoch: None,
        };
        let setting = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
        let create = CreateTopics {
            topics: vec![NewTopic {
                name: "groups".to_owned(),
                candidate_id: TopicId(env.uuid()),
                num_partitions: 1,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: configs.iter().map(setting).collect(),
            }],
            validate_only: false,
            defaults: TopicDefaults { num_partitions: 1, replication_factor: 1 },
            seed: 0,
        };
        let mut last = None;
        for command in [
            controller::Command::InitializeCluster(initialize),
            controller::Command::RegisterBroker(register),
            controller::Command::CreateTopics(create),
        ] {
            last = Some(quorum.submit(&Principal::anonymous(), command).await.unwrap());
        }
        let Some(Reply::CreateTopics(created)) = last else { panic!("{last:?}") };
        let topic_id = created[0].1.clone().unwrap().id;
        let config = ReplicasConfig {
            node_id: NODE,
            data_dir: dir.path().to_owned(),
            directory_id: env.uuid(),
            clean_start: true,
            recovery_threads: 1,
            min_free_bytes: Some(0),
            settings: Box::new(topic_settings),
        };
        let (shared, image) = (Arc::new(disk.clone()), quorum.image());
        let replicas =
            Replicas::start_on(shared, config, env.clone(), Arc::clone(&store), &image, &Progress::default()).unwrap();
        quorum.subscribe(Arc::new(Follower(Arc::clone(&replicas))));
        let id = TopicIdPartition { topic_id, partition: PartitionIndex(0) };
        let partition = replicas.partition(id).unwrap();
        let around = Arc::new(Surroundings {
            env: env.clone(),
            quorum: Arc::new(quorum),
            store,
            settings: Arc::new(settings),
            load_bytes: 1 << 20,
        });
        let shard = shard(&partition, &around);
        Rig { shard, partition, disk, env, around, replicas, task: None, _dir: dir }
    }

    /// Has the coordinator load its log.
    pub async fn attend(&mut self) {
        self.task = Some(tokio::spawn(Arc::clone(&self.shard).attend()));
        self.loaded().await;
    }

    pub async fn loaded(&self) {
        let loaded = async {
            while !matches!(*self.shard.core.lock(), Core::Active(_)) {
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(loaded).await;
    }

    /// Another coordinator takes the place of this one, and does not read the log yet.
    pub async fn replace(&mut self) {
        self.shard.end();
        within(self.task.take().unwrap()).await.unwrap();
        self.shard = shard(&self.partition, &self.around);
    }

    /// Nobody carries anything out while this is kept.
    pub fn hold(&self) -> MutexGuard<'_, Core> {
        self.shard.core.lock()
    }

    /// As a request of this version.
    pub fn submit_as(&self, version: i16, command: Command) -> Answered {
        let call = NewCall { version, client_id: "client".into(), client_host: "/127.0.0.1".into() };
        self.shard.submit(call, command)
    }

    pub fn submit(&self, command: Command) -> Answered {
        self.submit_as(i16::MAX, command)
    }

    /// Carries out what was submitted meanwhile.
    pub fn work_off(&self) {
        self.shard.work_off();
    }

    pub async fn commit(&self, group: &str, partition: i32, offset: i64) -> ErrorCode {
        code(answer(self.submit(commit(group, partition, offset, 0))).await)
    }

    /// The offset as clients are told.
    pub async fn fetch(&self, group: &str, partition: i32) -> Option<i64> {
        fetched(within(self.shard.query(asking(group, partition))).await.unwrap())
    }

    /// What clients may be told.
    pub fn committed(&self) -> State {
        match &*self.shard.core.lock() {
            Core::Active(active) => active.committed.clone(),
            _ => panic!("not loaded"),
        }
    }

    /// What a group is doing. Looked at without the queue, so that nobody sees to what is due for this.
    pub fn state_of(&self, group: &str) -> String {
        let Core::Active(active) = &*self.shard.core.lock() else { panic!("not loaded") };
        let (query, image) = (Query::DescribeGroup(group.to_owned()), self.around.quorum.image());
        match active.machine.query(self.env.now(), &active.committed, &image, &query) {
            Answer::DescribeGroup(group) => group.group_state,
            other => panic!("{other:?}"),
        }
    }

    /// What the log comes to, read from its start.
    pub fn replayed(&self) -> State {
        let fresh = View::new(Arc::new(MapStore::new()), self.partition.id());
        self.shard.journal().load(&fresh, 1 << 20, || true).unwrap().state
    }

    /// The batches of the log, each with its records.
    pub fn log(&self) -> Vec<Vec<GroupRecord>> {
        let (mut from, end, mut batches) = (Offset(0), self.partition.log_end(), Vec::new());
        while from < end {
            let slice = self.partition.read_into_memory(from, 1 << 20, end).unwrap();
            let mut left = slice.bytes;
            while !left.is_empty() {
                let (batch, rest) = Batch::split_first(&left).unwrap();
                let bytes = batch.record_bytes(1 << 24).unwrap();
                let records = batch.record_views(&bytes).unwrap().map(|record| {
                    let record = record.unwrap();
                    let value = record.value.map(|value| bytes.slice_ref(value));
                    GroupRecord::decode(&bytes.slice_ref(record.key.unwrap()), value.as_ref()).unwrap()
                });
                batches.push(records.collect());
                left = rest;
            }
            from = slice.next_offset;
        }
        batches
    }

    /// Sets one of the topic's settings.
    pub async fn set(&self, name: &str, value: &str) {
        let change = ConfigChange { name: name.to_owned(), op: ConfigOp::Set, value: Some(value.to_owned()) };
        let topic = self.partition.name().topic.to_string();
        let changes = TopicConfigChanges { topic, changes: vec![change], replaces_all: false };
        let alter = AlterConfigs { topics: vec![changes], validate_only: false };
        let reply = self.around.quorum.submit(&Principal::anonymous(), controller::Command::AlterConfigs(alter)).await;
        assert!(matches!(&reply, Ok(Reply::AlterConfigs(results)) if results[0].1.is_ok()), "{reply:?}");
    }

    pub async fn delete_topic(&self) {
        let id = self.partition.id().topic_id;
        let delete = controller::Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef { name: None, id }] });
        self.around.quorum.submit(&Principal::anonymous(), delete).await.unwrap();
        assert!(self.replicas.partition(self.partition.id()).is_none());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.disk.hold_flushes(false);
        self.shard.end();
        let _ = self.replicas.close();
    }
}

fn shard(partition: &Arc<Partition>, around: &Arc<Surroundings>) -> Arc<Shard> {
    let journal = Journal {
        partition: Arc::clone(partition),
        leader_epoch: partition.leader_epoch(),
        compression: Compression::new(Codec::None),
    };
    Shard::new(journal, Arc::clone(around), CancellationToken::new())
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    time::timeout(LONG, future).await.expect("in time")
}

/// What a call is answered, which must not be nothing.
pub async fn answer(answered: Answered) -> Answer {
    match answered {
        Answered::Now(answer) => answer,
        Answered::Later(answer) => within(answer).await.expect("an answer"),
    }
}

/// A commit of one offset, with metadata of this length.
pub fn commit(group: &str, partition: i32, offset: i64, metadata: usize) -> Command {
    commit_all(group, [partition], offset, metadata)
}

pub fn commit_all(group: &str, indexes: impl IntoIterator<Item = i32>, offset: i64, metadata: usize) -> Command {
    let partition = |index| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_metadata: Some("m".repeat(metadata)),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".to_owned(),
        partitions: indexes.into_iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    Command::OffsetCommit(OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    })
}

pub fn asking(group: &str, partition: i32) -> Query {
    let topic = OffsetFetchRequestTopics {
        name: "t".to_owned(),
        partition_indexes: vec![partition],
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() };
    Query::OffsetFetch { group, require_stable: false }
}

/// Of one partition, if there is one.
pub fn fetched(answer: Answer) -> Option<i64> {
    let Answer::OffsetFetch(group) = answer else { panic!("{answer:?}") };
    Some(group.topics[0].partitions[0].committed_offset).filter(|offset| *offset >= 0)
}

/// The first error that an answer tells.
pub fn code(answer: Answer) -> ErrorCode {
    ErrorCode::from(match &answer {
        Answer::OffsetCommit(answer) => answer.topics[0].partitions[0].error_code,
        Answer::JoinGroup(answer) => answer.error_code,
        Answer::SyncGroup(answer) => answer.error_code,
        Answer::Heartbeat(answer) => answer.error_code,
        Answer::DeleteGroup(answer) => answer.error_code,
        Answer::OffsetDelete(answer) => answer.error_code,
        other => panic!("{other:?}"),
    })
}
