//! The quorum of one on stores that crash, fill up and come back.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use parking_lot::Mutex;

use super::{stored::StoredEntry, *};
use crate::{
    controller::{
        CreateTopics, DeleteTopics, InitializeCluster, NewTopic, Reason, RegisterBroker, TopicDefaults, TopicRef,
    },
    env::{Env, SystemEnv},
    metadata::{Delta, Listener},
    model::{TopicId, Uuid},
    store::{Batch, Entry, KeyRange, MapStore, Order, RocksStore, Store, Table},
};

const CLUSTER: &str = "oQ5i8hVSTcWoGKYvIZk7YA";

async fn start(store: Arc<MapStore>, snapshot_entries: u64) -> Quorum {
    let config = QuorumConfig { node_id: NodeId(1), cluster_id: CLUSTER.to_owned() };
    let quorum = Quorum::start_with(config, store, Arc::new(SystemEnv), snapshot_entries).await.unwrap();
    register(&quorum).await;
    quorum
}

/// What a broker does first: without a registered broker no topic can be placed.
async fn register(quorum: &Quorum) {
    let initialize = InitializeCluster { cluster_id: CLUSTER.to_owned(), features: BTreeMap::new() };
    submit(quorum, Command::InitializeCluster(initialize)).await.unwrap();
    let listener =
        Listener { name: "PLAINTEXT".to_owned(), host: "localhost".to_owned(), port: 9092, security_protocol: 0 };
    let register = RegisterBroker {
        node_id: NodeId(1),
        cluster_id: CLUSTER.to_owned(),
        incarnation_id: SystemEnv.uuid(),
        listeners: vec![listener],
        rack: None,
        directories: vec![Uuid([3; 16])],
        previous_epoch: None,
    };
    let Reply::RegisterBroker(registered) = submit(quorum, Command::RegisterBroker(register)).await.unwrap() else {
        panic!("another command's reply")
    };
    registered.unwrap();
}

async fn submit(quorum: &Quorum, command: Command) -> Result<Reply, SubmitError> {
    quorum.submit(&Principal::anonymous(), command).await
}

/// Three partitions and one setting: seven records in one batch, counting the topic's own.
async fn create(quorum: &Quorum, name: &str) -> Result<bool, SubmitError> {
    let topic = NewTopic {
        name: name.to_owned(),
        candidate_id: TopicId(SystemEnv.uuid()),
        num_partitions: 3,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: vec![("segment.bytes".to_owned(), Some("1048576".to_owned()))],
    };
    let defaults = TopicDefaults { num_partitions: 1, replication_factor: 1 };
    let command = CreateTopics { topics: vec![topic], validate_only: false, defaults, seed: 0 };
    match submit(quorum, Command::CreateTopics(command)).await? {
        Reply::CreateTopics(results) => match &results[0].1 {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.reason == Reason::TopicAlreadyExists => Ok(false),
            Err(refusal) => panic!("{name}: {refusal:?}"),
        },
        other => panic!("another command's reply: {other:?}"),
    }
}

async fn delete(quorum: &Quorum, name: &str) -> Result<bool, SubmitError> {
    let topic = TopicRef { name: Some(name.to_owned()), id: TopicId::default() };
    match submit(quorum, Command::DeleteTopics(DeleteTopics { topics: vec![topic] })).await? {
        Reply::DeleteTopics(results) => Ok(results[0].result.is_ok()),
        other => panic!("another command's reply: {other:?}"),
    }
}

fn topics(quorum: &Quorum) -> BTreeSet<String> {
    let image = quorum.image();
    for topic in image.topics() {
        assert_eq!(topic.partition_count(), 3, "a part of {}", topic.name());
        assert_eq!(topic.config("segment.bytes"), Some("1048576"), "a part of {}", topic.name());
    }
    image.topics().map(|topic| topic.name().to_string()).collect()
}

struct MapBuilder;

impl StoreBuilder<TypeConfig, Log, Machine, ()> for MapBuilder {
    async fn build(&self) -> Result<((), Log, Machine), StorageError<TypeConfig>> {
        let (log, machine) = storage(Arc::new(MapStore::new()));
        Ok(((), log, machine))
    }
}

struct RocksBuilder;

impl StoreBuilder<TypeConfig, Log, Machine, tempfile::TempDir> for RocksBuilder {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let (log, machine) = storage(Arc::new(RocksStore::open(folder.path()).unwrap()));
        Ok((folder, log, machine))
    }
}

fn storage(store: SharedStore) -> (Log, Machine) {
    let disk = Disk::new(store);
    let machine = Machine::open(disk.clone(), Arc::new(Published::default()), SNAPSHOT_ENTRIES).unwrap();
    (Log::new(disk), machine)
}

#[tokio::test]
async fn openraft_accepts_the_map_store() {
    Suite::test_all(MapBuilder).await.unwrap();
}

#[tokio::test]
async fn openraft_accepts_rocksdb() {
    Suite::test_all(RocksBuilder).await.unwrap();
}

#[tokio::test]
async fn commands_are_decided_in_order_and_seen_at_once() {
    let quorum = start(Arc::new(MapStore::new()), SNAPSHOT_ENTRIES).await;
    let version = quorum.image_version();
    assert!(create(&quorum, "a").await.unwrap());
    assert_eq!(topics(&quorum), BTreeSet::from(["a".to_owned()]));
    assert_eq!(quorum.image_version(), version + 1, "all its records are one entry");
    assert!(!create(&quorum, "a").await.unwrap(), "it exists");
    assert!(delete(&quorum, "a").await.unwrap());
    assert!(!delete(&quorum, "a").await.unwrap(), "it is gone");
    assert!(topics(&quorum).is_empty());
    quorum.shutdown().await.unwrap();
    assert_eq!(create(&quorum, "b").await, Err(SubmitError::Stopped));
}

/// Of many who want the same name, one gets it; and the disk is not asked for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commands_share_appends() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(RocksStore::open(folder.path()).unwrap());
    let config = QuorumConfig { node_id: NodeId(1), cluster_id: CLUSTER.to_owned() };
    let quorum = Quorum::start(config.clone(), store.clone(), Arc::new(SystemEnv)).await.unwrap();
    register(&quorum).await;
    let created = FuturesUnordered::new();
    for n in 0..600 {
        let quorum = &quorum;
        created.push(async move { create(quorum, &format!("t{}", n % 200)).await.unwrap() });
    }
    let created = created.filter(|created| std::future::ready(*created)).count().await;
    assert_eq!(created, 200);
    assert_eq!(topics(&quorum).len(), 200);
    quorum.shutdown().await.unwrap();
    let before = quorum.image();
    drop(quorum);
    let again = Quorum::start(config, store, Arc::new(SystemEnv)).await.unwrap();
    assert_eq!(again.image(), before);
    again.shutdown().await.unwrap();
}

/// Ends the process at random moments, with a random part of what was not synced on the disk: every acknowledged
/// command is there, and each topic wholly or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_power_losses() {
    let mut random = 0x5eed_u64;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut store = Arc::new(MapStore::new());
    // What is known of each topic: there, gone, or (None) left open by a command that was not answered.
    let mut known = BTreeMap::<String, Option<bool>>::new();
    for round in 0..150_u64 {
        let start = start(store.clone(), 10 + next(30));
        let quorum = match next(10) {
            // Now and then the process ends while it starts.
            0 => {
                let _ = tokio::time::timeout(Duration::from_micros(next(800)), start).await;
                store = crash(&store, &mut next);
                continue;
            }
            _ => start.await,
        };
        let found = topics(&quorum);
        for (name, expected) in &mut known {
            let is_there = found.contains(name);
            assert!(expected.is_none_or(|expected| expected == is_there), "round {round}: {name} is there: {is_there}");
            *expected = Some(is_there);
        }
        let unknown = found.iter().filter(|name| !known.contains_key(*name)).collect::<Vec<_>>();
        assert!(unknown.is_empty(), "round {round}: {unknown:?}");
        let answers = Mutex::new(Vec::new());
        let commands = FuturesUnordered::new();
        let count = 1 + next(40);
        for n in 0..count {
            let name = format!("t{}", next(60));
            if known.insert(name.clone(), None) == Some(None) {
                // Already in this round; what comes of two in flight is not known.
                continue;
            }
            let (quorum, answers, is_create) = (&quorum, &answers, next(3) > 0);
            commands.push(async move {
                let answer = if is_create { create(quorum, &name).await } else { delete(quorum, &name).await };
                if answer.is_ok() {
                    answers.lock().push((name, is_create, n));
                }
            });
        }
        let all = async { commands.count().await };
        let _ = tokio::time::timeout(Duration::from_micros(200 + next(6000)), all).await;
        let crashed = crash(&store, &mut next);
        for (name, is_create, _) in answers.lock().drain(..) {
            known.insert(name, Some(is_create));
        }
        store = crashed;
    }
    assert!(known.len() > 40);
}

fn crash(store: &MapStore, next: &mut impl FnMut(u64) -> u64) -> Arc<MapStore> {
    let kept = next(store.unsynced() as u64 + 1) as usize;
    Arc::new(store.crash(kept))
}

/// The log is cut behind each snapshot, and both together make the same image.
#[tokio::test]
async fn the_log_does_not_grow_without_end() {
    let store = Arc::new(MapStore::new());
    let quorum = start(store.clone(), 20).await;
    for n in 0..600 {
        let name = format!("t{}", n % 7);
        if !create(&quorum, &name).await.unwrap() {
            assert!(delete(&quorum, &name).await.unwrap());
        }
    }
    let entries = || store.scan(Table::RaftLog, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap().len();
    eventually(|| entries() <= 60).await;
    let snapshots = store.scan(Table::Snapshot, &KeyRange::all(), Order::Ascending, 99).unwrap();
    assert_eq!(snapshots.len(), 1, "older ones are gone");
    let before = quorum.image();
    quorum.shutdown().await.unwrap();
    let config = QuorumConfig { node_id: NodeId(1), cluster_id: CLUSTER.to_owned() };
    let again = Quorum::start(config, store, Arc::new(SystemEnv)).await.unwrap();
    assert_eq!(again.image(), before);
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let tried = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(tried).await;
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A full disk delays commands and fails none; what was decided meanwhile happens.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let store = Arc::new(MapStore::new());
    let quorum = start(store.clone(), SNAPSHOT_ENTRIES).await;
    store.set_fault(Some(StoreError::Full { path: "/data".into() }));
    {
        let mut created = std::pin::pin!(create(&quorum, "a"));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut created).await;
        assert!(early.is_err(), "acknowledged without a disk: {early:?}");
        assert!(topics(&quorum).is_empty(), "seen before it is committed");
        store.set_fault(None);
        assert!(within(created).await.unwrap());
    }
    assert!(within(create(&quorum, "b")).await.unwrap());
    // And it does not hold up the end of the process.
    store.set_fault(Some(StoreError::Full { path: "/data".into() }));
    let (created, stopped) = within(async { tokio::join!(create(&quorum, "c"), quorum.shutdown()) }).await;
    assert_eq!(created, Err(SubmitError::Stopped));
    assert_eq!(stopped, Err(QuorumError::Store(StoreError::Full { path: "/data".into() })));
    let store = Arc::new(store.crash(0));
    assert_eq!(topics(&start(store, SNAPSHOT_ENTRIES).await), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

/// A store that is of no more use stops the quorum, and says why.
#[tokio::test]
async fn a_broken_store_is_reported() {
    let store = Arc::new(MapStore::new());
    let quorum = start(store.clone(), SNAPSHOT_ENTRIES).await;
    let corrupt = StoreError::Corrupt { path: "/data".into(), reason: "block checksum mismatch".into() };
    store.set_fault(Some(corrupt.clone()));
    let (created, reason) = within(async { tokio::join!(create(&quorum, "a"), quorum.failed()) }).await;
    assert_eq!(created, Err(SubmitError::Stopped));
    assert_eq!(reason, QuorumError::Store(corrupt));
    assert_eq!(within(create(&quorum, "b")).await, Err(SubmitError::Stopped));
}

#[derive(Default)]
struct Witness(Mutex<Vec<(BTreeSet<String>, Delta)>>);

impl Subscriber for Witness {
    fn applied(&self, image: &Arc<Image>, delta: &Delta) {
        let names = image.topics().map(|topic| topic.name().to_string()).collect();
        self.0.lock().push((names, delta.clone()));
    }
}

#[tokio::test]
async fn subscribers_see_all_in_order_before_the_reply() {
    let quorum = start(Arc::new(MapStore::new()), SNAPSHOT_ENTRIES).await;
    create(&quorum, "a").await.unwrap();
    let witness = Arc::new(Witness::default());
    quorum.subscribe(witness.clone());
    {
        let seen = witness.0.lock();
        assert_eq!(seen.len(), 1, "the image that there was");
        let (names, delta) = &seen[0];
        assert_eq!(names, &BTreeSet::from(["a".to_owned()]));
        assert_eq!((delta.topics_created.len(), delta.partitions.len(), delta.brokers.len()), (1, 3, 1));
    }
    create(&quorum, "b").await.unwrap();
    assert_eq!(witness.0.lock().len(), 2, "before the reply");
    delete(&quorum, "a").await.unwrap();
    let seen = witness.0.lock();
    assert_eq!((seen[1].1.topics_created.len(), seen[1].1.partitions.len()), (1, 3));
    assert_eq!(seen[2].0, BTreeSet::from(["b".to_owned()]));
    assert_eq!(seen[2].1.topics_deleted.values().next().unwrap().partitions, 3);
}

async fn refusal(store: MapStore, node_id: i32, cluster_id: &str) -> QuorumError {
    refusal_of(Arc::new(store), node_id, cluster_id).await
}

async fn refusal_of(store: Arc<MapStore>, node_id: i32, cluster_id: &str) -> QuorumError {
    let config = QuorumConfig { node_id: NodeId(node_id), cluster_id: cluster_id.to_owned() };
    let started = within(Quorum::start(config, store, Arc::new(SystemEnv))).await;
    started.err().expect("it started")
}

/// All that a store holds.
fn contents(store: &MapStore) -> Vec<Vec<Entry>> {
    Table::ALL.iter().map(|table| store.scan(*table, &KeyRange::all(), Order::Ascending, usize::MAX).unwrap()).collect()
}

/// The store as it is after a clean stop with one topic.
async fn stopped() -> MapStore {
    let store = Arc::new(MapStore::new());
    let quorum = start(store.clone(), SNAPSHOT_ENTRIES).await;
    create(&quorum, "a").await.unwrap();
    quorum.shutdown().await.unwrap();
    store.crash(0)
}

#[tokio::test]
async fn what_cannot_be_read_stops_the_start_with_one_line() {
    let last = |store: &MapStore| store.scan(Table::RaftLog, &KeyRange::all(), Order::Descending, 1).unwrap().remove(0);
    type Damage = Box<dyn Fn(&MapStore, &mut Batch)>;
    let cases: [(&str, Damage); 4] = [
        (
            "metadata record 77 (version 0) is not known; a newer version of Felice wrote it",
            Box::new(move |store, batch| {
                // One record, of four bytes: key and version.
                let records = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 4, 0, 77, 0, 0]);
                let entry = StoredEntry { term: 1, records: Some(records), voters: None, ..StoredEntry::default() };
                batch.put(Table::RaftLog, last(store).0, stored::to_bytes(&entry).unwrap());
            }),
        ),
        (
            "the metadata log cannot be read: version 9 of StoredEntry is not known; a newer version of Felice wrote it",
            Box::new(move |store, batch| {
                let (key, mut value) = last(store);
                value[1] = 9;
                batch.put(Table::RaftLog, key, value);
            }),
        ),
        (
            "the metadata log is damaged: entries between 1 and 3 are missing",
            Box::new(|_, batch| {
                batch.delete(Table::RaftLog, 2_u64.to_be_bytes());
            }),
        ),
        (
            "the metadata log cannot be read: StoredVote.term: the frame ends within it",
            Box::new(|_, batch| {
                batch.put(Table::RaftState, "vote", [0, 0, 1]);
            }),
        ),
    ];
    for (expected, damage) in cases {
        let store = Arc::new(stopped().await);
        let mut batch = Batch::new();
        damage(&store, &mut batch);
        store.write_synced(&batch).unwrap();
        let before = contents(&store);
        assert_eq!(refusal_of(Arc::clone(&store), 1, CLUSTER).await.to_string(), expected);
        assert_eq!(contents(&store), before, "{expected}: it is left as it was");
    }
}

#[tokio::test]
async fn the_metadata_of_others_is_refused() {
    let other = QuorumError::OtherCluster { found: CLUSTER.to_owned(), expected: "another".to_owned() };
    assert_eq!(refusal(stopped().await, 1, "another").await, other);
    let other = QuorumError::OtherVoters { found: "1".to_owned(), expected: NodeId(2) };
    assert_eq!(refusal(stopped().await, 2, CLUSTER).await, other);
}
