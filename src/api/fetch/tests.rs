//! The handler over real partitions.

mod committed;

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use felice_protocol::{
    messages::fetch::{FetchPartition, ReplicaState},
    record::{BatchBuilder, Codec, Compression, TimestampType},
};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    api::ProducerIds,
    config::{self, Given},
    controller::{
        Command, CreateTopics, DeleteTopics, InitializeCluster, NewTopic, RegisterBroker, Reply, TopicDefaults,
        TopicRef,
    },
    coordinator::{GroupCoordinator, GroupCoordinatorConfig},
    env::{Env, SystemEnv},
    log::{LogConfig, Progress},
    metadata::{Delta, Image, Listener},
    metrics::Requests,
    model::{PartitionIndex, Principal, TopicIdPartition},
    quorum::{Quorum, QuorumConfig, Subscriber},
    replica::{Acks, Partition, Replicas, ReplicasConfig, TopicSettings},
    store::{MapStore, SharedStore},
};

/// More than a test takes.
const LONG_MS: i32 = 60_000;

struct Follower(Arc<Replicas>);

impl Subscriber for Follower {
    fn applied(&self, image: &Arc<Image>, delta: &Delta) {
        self.0.apply(image, delta);
    }
}

/// A broker without a network.
struct Broker {
    services: Arc<Services>,
    peer: Peer,
    _dir: TempDir,
}

fn settings(own: &BTreeMap<String, String>) -> TopicSettings {
    let zstd = own.get("compression.type").is_some_and(|compression| compression == "zstd");
    TopicSettings {
        log: LogConfig::default(),
        max_message_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        min_insync_replicas: 1,
        compression: zstd.then(|| Compression::new(Codec::Zstd)),
        max_decompressed_bytes: 1 << 20,
    }
}

impl Broker {
    async fn start() -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let (config, _) = config::load(&Given { data_dir: Some(dir.path()), ..Given::default() }).unwrap();
        let env = Arc::new(SystemEnv);
        let store: SharedStore = Arc::new(MapStore::new());
        let (node_id, cluster_id) = (config.node_id, "cluster".to_owned());
        let quorum = QuorumConfig { node_id, cluster_id: cluster_id.clone() };
        let quorum = Quorum::start(quorum, Arc::clone(&store), env.clone()).await.unwrap();
        let features = BTreeMap::new();
        let initialize = Command::InitializeCluster(InitializeCluster { cluster_id: cluster_id.clone(), features });
        quorum.submit(&Principal::anonymous(), initialize).await.unwrap();
        let listener =
            Listener { name: "PLAINTEXT".to_owned(), host: "here".to_owned(), port: 9092, security_protocol: 0 };
        let register = Command::RegisterBroker(RegisterBroker {
            node_id,
            cluster_id,
            incarnation_id: env.uuid(),
            listeners: vec![listener],
            rack: None,
            directories: vec![env.uuid()],
            previous_epoch: None,
        });
        quorum.submit(&Principal::anonymous(), register).await.unwrap();
        let replicas = ReplicasConfig {
            node_id,
            data_dir: dir.path().to_owned(),
            directory_id: env.uuid(),
            clean_start: true,
            recovery_threads: 2,
            min_free_bytes: None,
            settings: Box::new(settings),
        };
        let replicas =
            Replicas::start(replicas, env.clone(), Arc::clone(&store), &quorum.image(), &Progress::default()).unwrap();
        quorum.subscribe(Arc::new(Follower(Arc::clone(&replicas))));
        let quorum = Arc::new(quorum);
        let groups = GroupCoordinatorConfig::from(&config);
        let groups = GroupCoordinator::start(
            groups,
            env.clone(),
            Arc::clone(&store),
            Arc::clone(&quorum),
            Arc::clone(&replicas),
        );
        let services = Services {
            node_id,
            cluster_id: Arc::from("cluster"),
            config: Arc::new(config),
            env,
            quorum,
            replicas,
            groups,
            producer_ids: ProducerIds::default(),
            fetch_sessions: FetchSessions::new(10, 1 << 30),
            requests: Requests::new(vec![]),
            broker_epoch: 1,
            stopping: CancellationToken::new(),
        };
        let address = "127.0.0.1:9092".parse().unwrap();
        let leaving = services.stopping.child_token();
        let peer = Peer { address, local: address, listener: Arc::from("PLAINTEXT"), leaving };
        Broker { services: Arc::new(services), peer, _dir: dir }
    }

    async fn create(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> TopicId {
        let topic = NewTopic {
            name: name.to_owned(),
            candidate_id: TopicId(self.services.env.uuid()),
            num_partitions: partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        };
        let create = CreateTopics {
            topics: vec![topic],
            validate_only: false,
            defaults: TopicDefaults { num_partitions: 1, replication_factor: 1 },
            seed: 0,
        };
        let reply = self.services.quorum.submit(&Principal::anonymous(), Command::CreateTopics(create)).await;
        let Ok(Reply::CreateTopics(created)) = reply else { panic!("{reply:?}") };
        created[0].1.clone().unwrap().id
    }

    async fn delete(&self, id: TopicId) {
        let delete = Command::DeleteTopics(DeleteTopics { topics: vec![TopicRef { name: None, id }] });
        self.services.quorum.submit(&Principal::anonymous(), delete).await.unwrap();
        assert!(self.services.quorum.image().topic_by_id(id).is_none());
    }

    fn partition(&self, topic_id: TopicId, partition: i32) -> Arc<Partition> {
        let id = TopicIdPartition { topic_id, partition: PartitionIndex(partition) };
        self.services.replicas.partition(id).unwrap()
    }

    /// Appends one batch of `count` records; returns its size.
    fn produce(&self, topic: TopicId, partition: i32, count: usize, value: &[u8]) -> usize {
        let mut batch = BatchBuilder::new(Codec::None);
        for _ in 0..count {
            batch = batch.record(1_000, None, Some(value));
        }
        let batch = batch.build();
        let now = self.services.env.now();
        self.partition(topic, partition).append(&batch, Acks::Leader, 13, now).unwrap();
        batch.len()
    }

    fn ask(&self, version: i16, request: FetchRequest) -> Answer<FetchResponse> {
        let principal = Principal::anonymous();
        handle(
            &Context {
                services: &self.services,
                peer: &self.peer,
                principal,
                version,
                client_id: None,
                is_behind: false,
            },
            request,
        )
    }

    fn now(&self, version: i16, request: FetchRequest) -> FetchResponse {
        match self.ask(version, request) {
            Answer::Now(response) => checked(response),
            _ => panic!("must not wait"),
        }
    }

    /// A fetch that waits.
    fn later(&self, version: i16, request: FetchRequest) -> Waiting {
        match self.ask(version, request) {
            Answer::Later(future) => {
                let mut waiting = Waiting(future);
                waiting.must_wait();
                waiting
            }
            Answer::Now(response) => panic!("must wait: {response:?}"),
            _ => panic!("must wait"),
        }
    }
}

struct Waiting(Pin<Box<dyn Future<Output = FetchResponse> + Send>>);

impl Waiting {
    fn must_wait(&mut self) {
        if let Some(response) = self.0.as_mut().now_or_never() {
            panic!("must wait: {response:?}");
        }
    }

    fn must_answer(mut self) -> FetchResponse {
        checked(self.0.as_mut().now_or_never().expect("must answer"))
    }
}

/// What holds of every answer.
fn checked(response: FetchResponse) -> FetchResponse {
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        assert!(partition.records.is_some(), "librdkafka refuses null");
        assert_eq!(partition.preferred_read_replica, -1);
        if partition.error_code != 0 {
            assert_eq!(
                (partition.high_watermark, partition.last_stable_offset, partition.log_start_offset),
                (-1, -1, -1)
            );
        } else {
            assert!(partition.last_stable_offset <= partition.high_watermark);
        }
    }
    response
}

/// One partition of a request, from `offset` on.
#[derive(Clone, Copy)]
struct Want(TopicId, i32, i64);

fn want(offset: i64, partition: i32) -> FetchPartition {
    FetchPartition { partition, fetch_offset: offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() }
}

/// By topic id, waiting for one byte, with the session's id and epoch.
fn by_id(wants: &[Want], session: (i32, i32)) -> FetchRequest {
    let topic = |Want(id, partition, offset): &Want| FetchTopic {
        topic_id: id.0,
        partitions: vec![want(*offset, *partition)],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms: LONG_MS,
        min_bytes: 1,
        max_bytes: i32::MAX,
        session_id: session.0,
        session_epoch: session.1,
        topics: wants.iter().map(topic).collect(),
        ..FetchRequest::default()
    }
}

fn by_name(topic: &str, partitions: Vec<FetchPartition>) -> FetchRequest {
    FetchRequest {
        topics: vec![FetchTopic { topic: topic.to_owned(), partitions, ..FetchTopic::default() }],
        ..by_id(&[], (0, -1))
    }
}

/// Partition, error, bytes of records: of each partition of an answer, in order.
fn told(response: &FetchResponse) -> Vec<(i32, ErrorCode, usize)> {
    assert_eq!(response.error_code, 0);
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            let bytes = partition.records.as_ref().map_or(0, Records::len);
            (partition.partition_index, ErrorCode::from(partition.error_code), bytes)
        })
        .collect()
}

fn records(response: &FetchResponse) -> Bytes {
    response.responses[0].partitions[0].records.as_ref().unwrap().bytes().unwrap().clone()
}

const NONE: ErrorCode = ErrorCode::None;

#[tokio::test]
async fn whole_batches_from_the_one_that_holds_the_offset() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let sizes = [10, 20, 30].map(|count| broker.produce(id, 0, count, b"value"));
    for (offset, first, bytes) in
        [(0, 0, sizes.iter().sum()), (9, 0, sizes.iter().sum()), (10, 10, sizes[1] + sizes[2]), (59, 30, sizes[2])]
    {
        for version in 4..=18 {
            let request =
                if version < 13 { by_name("t", vec![want(offset, 0)]) } else { by_id(&[Want(id, 0, offset)], (0, -1)) };
            let response = broker.now(version, request);
            assert_eq!(told(&response), [(0, NONE, bytes)], "offset {offset}, version {version}");
            assert_eq!(records(&response)[..8], i64::to_be_bytes(first));
            let partition = &response.responses[0].partitions[0];
            assert_eq!((partition.high_watermark, partition.log_start_offset), (60, 0));
            assert_eq!((response.session_id, &partition.aborted_transactions), (0, &None));
        }
    }
    let committed = FetchRequest { isolation_level: 1, ..by_id(&[Want(id, 0, 0)], (0, -1)) };
    let response = broker.now(18, committed);
    assert_eq!(response.responses[0].partitions[0].aborted_transactions, Some(Vec::new()));
}

#[tokio::test]
async fn limits_hold_but_for_the_first_batch() {
    let broker = Broker::start().await;
    let id = broker.create("t", 3, &[]).await;
    let size = broker.produce(id, 0, 1, &[0; 1000]);
    for (partition, batches) in [(0, 2), (1, 3), (2, 3)] {
        for _ in 0..batches {
            broker.produce(id, partition, 1, &[0; 1000]);
        }
    }
    let fetch = |max_bytes: usize, partition_max_bytes: usize| {
        let mut request = by_id(&[Want(id, 0, 0), Want(id, 1, 0), Want(id, 2, 0)], (0, -1));
        request.max_bytes = max_bytes as i32;
        for topic in &mut request.topics {
            topic.partitions[0].partition_max_bytes = partition_max_bytes as i32;
        }
        let response = broker.now(18, request);
        told(&response)
            .into_iter()
            .map(|(_, error, bytes)| {
                assert_eq!(error, NONE);
                bytes / size
            })
            .collect::<Vec<_>>()
    };
    let cases: [(usize, usize, [usize; 3]); 8] = [
        (100 * size, 100 * size, [3, 3, 3]),
        (100 * size, 2 * size, [2, 2, 2]),
        (100 * size, 2 * size - 1, [1, 1, 1]),
        (100 * size, 1, [1, 0, 0]),
        (4 * size, 100 * size, [3, 1, 0]),
        (4 * size, 2 * size, [2, 2, 0]),
        (1, 100 * size, [1, 0, 0]),
        (0, 0, [1, 0, 0]),
    ];
    for (max_bytes, partition_max_bytes, expected) in cases {
        assert_eq!(fetch(max_bytes, partition_max_bytes), expected, "{max_bytes} {partition_max_bytes}");
    }
    let mut negative = by_id(&[Want(id, 0, 0)], (0, -1));
    negative.max_bytes = i32::MIN;
    negative.topics[0].partitions[0].partition_max_bytes = i32::MIN;
    assert_eq!(told(&broker.now(18, negative)), [(0, NONE, size)]);
}

#[tokio::test]
async fn the_brokers_own_limit_holds() {
    let broker = Broker::start().await;
    let mut request = by_id(&[], (0, -1));
    request.min_bytes = i32::MAX;
    let principal = Principal::anonymous();
    let cx = Context {
        services: &broker.services,
        peer: &broker.peer,
        principal,
        version: 18,
        client_id: None,
        is_behind: false,
    };
    let terms = Fetch::new(&cx, &request, crate::replica::Isolation::ReadUncommitted).terms;
    let limit = broker.services.config.fetch_max_bytes;
    assert_eq!((terms.max_bytes, terms.min_bytes), (limit, limit));
}

#[tokio::test]
async fn errors_are_answered_at_once() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let zstd = broker.create("zstd", 1, &[("compression.type", "zstd")]).await;
    broker.produce(id, 0, 10, b"value");
    broker.produce(zstd, 0, 1, b"value");
    let partition = |change: fn(&mut FetchPartition)| {
        let mut partition = want(0, 0);
        change(&mut partition);
        partition
    };
    let cases: Vec<(&str, i16, FetchPartition, ErrorCode)> = vec![
        ("t", 12, want(-1, 0), ErrorCode::OffsetOutOfRange),
        ("t", 12, want(11, 0), ErrorCode::OffsetOutOfRange),
        ("t", 12, want(i64::MAX, 0), ErrorCode::OffsetOutOfRange),
        ("t", 12, want(0, 1), ErrorCode::UnknownTopicOrPartition),
        ("t", 12, want(0, -1), ErrorCode::UnknownTopicOrPartition),
        ("u", 12, want(0, 0), ErrorCode::UnknownTopicOrPartition),
        ("t", 12, partition(|asked| asked.current_leader_epoch = 1), ErrorCode::UnknownLeaderEpoch),
        ("t", 12, partition(|asked| asked.current_leader_epoch = -2), ErrorCode::FencedLeaderEpoch),
        ("t", 12, partition(|asked| asked.last_fetched_epoch = 1), ErrorCode::OffsetOutOfRange),
        ("zstd", 9, want(0, 0), ErrorCode::UnsupportedCompressionType),
        ("zstd", 10, want(0, 0), NONE),
    ];
    for (topic, version, asked, expected) in cases {
        let response = broker.now(version, by_name(topic, vec![asked.clone()]));
        assert_eq!(told(&response)[0].1, expected, "{topic} {version} {asked:?}");
    }
    let nobody = TopicId(broker.services.env.uuid());
    assert_eq!(told(&broker.now(13, by_id(&[Want(nobody, 0, 0)], (0, -1)))), [(0, ErrorCode::UnknownTopicId, 0)]);
    let beyond = by_id(&[Want(id, 7, 0)], (0, -1));
    assert_eq!(told(&broker.now(13, beyond)), [(7, ErrorCode::UnknownTopicOrPartition, 0)]);

    let isolation = FetchRequest { isolation_level: 2, ..by_name("t", vec![want(0, 0)]) };
    let response = broker.now(12, isolation);
    assert_eq!(response.error_code, ErrorCode::UnknownServerError.code());
    assert_eq!(response.responses[0].partitions[0].error_code, response.error_code);
}

#[tokio::test]
async fn a_broker_that_is_no_replica_is_refused() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    for (epoch, expected) in
        [(-1, ErrorCode::NotLeaderOrFollower), (0, ErrorCode::UnknownLeaderEpoch), (9, ErrorCode::UnknownLeaderEpoch)]
    {
        let mut request = by_id(&[Want(id, 0, 0)], (0, -1));
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request.replica_state = ReplicaState { replica_id: 7, replica_epoch: 1, ..ReplicaState::default() };
        assert_eq!(told(&broker.now(18, request))[0].1, expected);
        let mut request = by_name("t", vec![FetchPartition { current_leader_epoch: epoch, ..want(0, 0) }]);
        request.replica_id = 7;
        assert_eq!(told(&broker.now(12, request))[0].1, expected);
    }
}

#[tokio::test]
async fn who_is_sent_away_is_told_the_leader() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    for version in [15, 16] {
        let mut request = by_id(&[Want(id, 0, 0)], (0, -1));
        request.topics[0].partitions[0].current_leader_epoch = -2;
        let response = broker.now(version, request);
        assert_eq!(told(&response)[0].1, ErrorCode::FencedLeaderEpoch);
        let leader = &response.responses[0].partitions[0].current_leader;
        if version < 16 {
            assert_eq!((leader.leader_id, response.node_endpoints.len()), (-1, 0));
        } else {
            assert_eq!((leader.leader_id, leader.leader_epoch), (broker.services.node_id.0, 0));
            assert_eq!(response.node_endpoints[0].node_id, broker.services.node_id.0);
            assert_eq!(response.node_endpoints.len(), 1);
        }
    }
}

#[tokio::test]
async fn divergence_is_answered_at_once() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    broker.produce(id, 0, 10, b"value");
    let mut request = by_id(&[Want(id, 0, 11)], (0, -1));
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let response = broker.now(18, request);
    assert_eq!(told(&response), [(0, NONE, 0)]);
    let partition = &response.responses[0].partitions[0];
    assert_eq!((partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset), (0, 10));
    assert_eq!(partition.high_watermark, 10);
}

#[test]
fn old_clients_are_told_of_a_failed_disk_in_words_they_know() {
    let storage = ErrorCode::KafkaStorageError.code();
    assert_eq!(told_to(5, storage), ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(told_to(6, storage), storage);
    assert_eq!(told_to(5, 1), 1);
}

#[tokio::test]
async fn waits_for_min_bytes_and_no_longer() {
    let broker = Broker::start().await;
    let id = broker.create("t", 2, &[]).await;
    let mut request = by_id(&[Want(id, 0, 0), Want(id, 1, 0)], (0, -1));
    request.min_bytes = 2_500;
    let mut waiting = broker.later(18, request);
    for partition in [0, 1] {
        broker.produce(id, partition, 1, &[0; 1000]);
        waiting.must_wait();
    }
    broker.produce(id, 0, 1, &[0; 1000]);
    let told: Vec<_> =
        told(&waiting.must_answer()).into_iter().map(|(partition, _, bytes)| (partition, bytes / 1000)).collect();
    assert_eq!(told, [(0, 2), (1, 1)]);
}

#[tokio::test]
async fn the_deadline_brings_what_is_there() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    for (session, epoch) in [(0, -1), (0, 0)] {
        let mut request = by_id(&[Want(id, 0, 0)], (session, epoch));
        request.max_wait_ms = 30;
        request.min_bytes = 1 << 20;
        let waiting = broker.later(18, request);
        let size = broker.produce(id, 0, 1, b"small");
        let response = tokio::time::timeout(Duration::from_secs(20), waiting.0).await.unwrap();
        assert!(told(&response)[0].2 >= size);
    }
    let mut request = by_id(&[Want(id, 0, 2)], (0, -1));
    request.max_wait_ms = 0;
    assert_eq!(told(&broker.now(18, request)), [(0, NONE, 0)]);
    let mut request = by_id(&[Want(id, 0, 2)], (0, -1));
    request.min_bytes = 0;
    assert_eq!(told(&broker.now(18, request)), [(0, NONE, 0)]);
}

#[tokio::test]
async fn stopping_ends_every_wait() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let session = first(&broker, &[Want(id, 0, 0)]);
    let whole = broker.later(18, by_id(&[Want(id, 0, 0)], (0, -1)));
    let incremental = broker.later(18, by_id(&[], (session, 1)));
    broker.services.stopping.cancel();
    assert_eq!(told(&whole.must_answer()), [(0, NONE, 0)]);
    assert_eq!(told(&incremental.must_answer()), []);
    broker.now(18, by_id(&[Want(id, 0, 0)], (0, -1)));
}

/// Begins a session; returns its id.
fn first(broker: &Broker, wants: &[Want]) -> i32 {
    let response = broker.now(18, FetchRequest { max_wait_ms: 0, ..by_id(wants, (0, 0)) });
    assert_eq!(told(&response).len(), wants.len());
    assert_ne!(response.session_id, 0);
    response.session_id
}

#[tokio::test]
async fn a_session_answers_what_is_new() {
    let broker = Broker::start().await;
    let id = broker.create("t", 3, &[]).await;
    let session = first(&broker, &[Want(id, 0, 0), Want(id, 1, 0), Want(id, 2, 0)]);
    let waiting = broker.later(18, by_id(&[], (session, 1)));
    let size = broker.produce(id, 1, 2, b"value");
    let response = waiting.must_answer();
    assert_eq!(told(&response), [(1, NONE, size)]);
    assert_eq!(response.session_id, session);
    // The client says nothing: it gets the same again, and before it what had no data last time.
    broker.produce(id, 2, 2, b"value");
    assert_eq!(told(&broker.now(18, by_id(&[], (session, 2)))), [(2, NONE, size), (1, NONE, size)]);
    // The client moves on.
    let mut waiting = broker.later(18, by_id(&[Want(id, 1, 2), Want(id, 2, 2)], (session, 3)));
    waiting.must_wait();
    broker.produce(id, 0, 2, b"value");
    assert_eq!(told(&waiting.must_answer()), [(0, NONE, size)]);
    // A partition is forgotten, and no longer wakes anyone.
    let mut request = by_id(&[Want(id, 0, 2)], (session, 4));
    let forgotten = ForgottenTopic { topic_id: id.0, partitions: vec![1], ..ForgottenTopic::default() };
    request.forgotten_topics_data = vec![forgotten];
    let mut waiting = broker.later(18, request);
    broker.produce(id, 1, 2, b"value");
    waiting.must_wait();
    broker.produce(id, 2, 2, b"value");
    assert_eq!(told(&waiting.must_answer()), [(2, NONE, size)]);
    // All are forgotten: the session ends.
    let mut request = by_id(&[], (session, 5));
    let forgotten = ForgottenTopic { topic_id: id.0, partitions: vec![0, 2], ..ForgottenTopic::default() };
    request.forgotten_topics_data = vec![forgotten];
    let response = broker.now(18, request);
    assert_eq!((told(&response), response.session_id), (vec![], 0));
    assert_eq!((broker.services.fetch_sessions.len(), broker.services.fetch_sessions.partition_count()), (0, 0));
}

#[tokio::test]
async fn a_session_that_begins_with_data_learns_of_its_quiet_partitions_too() {
    let broker = Broker::start().await;
    let id = broker.create("t", 2, &[]).await;
    let size = broker.produce(id, 0, 1, b"value");
    let response = broker.now(18, by_id(&[Want(id, 0, 0), Want(id, 1, 0)], (0, 0)));
    assert_eq!(told(&response), [(0, NONE, size), (1, NONE, 0)]);
    broker.produce(id, 1, 1, b"value");
    let response = broker.now(18, by_id(&[Want(id, 0, 1)], (response.session_id, 1)));
    assert_eq!(told(&response), [(1, NONE, size)]);
}

#[tokio::test]
async fn session_errors_are_kafkas() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    broker.produce(id, 0, 1, b"value");
    let session = first(&broker, &[Want(id, 0, 0)]);
    let error = |version, request| {
        let response = broker.now(version, request);
        assert_eq!((response.session_id, response.responses.len()), (0, 0));
        ErrorCode::from(response.error_code)
    };
    let unknown = if session == 1 { 2 } else { 1 };
    assert_eq!(error(18, by_id(&[], (unknown, 1))), ErrorCode::FetchSessionIdNotFound);
    assert_eq!(error(18, by_id(&[], (0, 1))), ErrorCode::FetchSessionIdNotFound);
    assert_eq!(error(18, by_id(&[], (session, 2))), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(error(18, by_id(&[], (session, -2))), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(error(12, by_id(&[], (session, 1))), ErrorCode::FetchSessionTopicIdError);
    assert_eq!(told(&broker.now(18, by_id(&[], (session, 1)))).len(), 1, "the session lives on");
    assert_eq!(error(18, by_id(&[], (session, 1))), ErrorCode::InvalidFetchSessionEpoch, "the same request twice");
    // The final epoch closes the session and begins none; the initial one closes it and begins another.
    let response = broker.now(18, by_id(&[Want(id, 0, 0)], (session, -1)));
    assert_eq!((told(&response).len(), response.session_id), (1, 0));
    assert_eq!(error(18, by_id(&[], (session, 2))), ErrorCode::FetchSessionIdNotFound);
    let second = first(&broker, &[Want(id, 0, 0)]);
    let third = broker.now(18, by_id(&[Want(id, 0, 0)], (second, 0))).session_id;
    assert_ne!(third, second);
    assert_eq!(broker.services.fetch_sessions.len(), 1);
}

#[tokio::test]
async fn a_later_request_sends_the_earlier_one_of_its_session_away() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let session = first(&broker, &[Want(id, 0, 0)]);
    let earlier = broker.later(18, by_id(&[], (session, 1)));
    let later = broker.later(18, by_id(&[], (session, 2)));
    let response = earlier.must_answer();
    assert_eq!(response.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    assert_eq!(response.session_id, session);
    let size = broker.produce(id, 0, 1, b"value");
    assert_eq!(told(&later.must_answer()), [(0, NONE, size)]);
}

#[tokio::test]
async fn sessions_by_name_work_as_well() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let full = FetchRequest { max_wait_ms: 0, session_epoch: 0, ..by_name("t", vec![want(0, 0)]) };
    let session = broker.now(7, full).session_id;
    let waiting = broker.later(12, FetchRequest { session_id: session, session_epoch: 1, ..by_id(&[], (0, 0)) });
    let size = broker.produce(id, 0, 1, b"value");
    let response = waiting.must_answer();
    assert_eq!(told(&response), [(0, NONE, size)]);
    assert_eq!(response.responses[0].topic, "t");
}

#[tokio::test]
async fn a_topic_that_goes_wakes_who_waits_and_its_data_is_gone() {
    let broker = Broker::start().await;
    let old = broker.create("t", 1, &[]).await;
    broker.produce(old, 0, 5, b"old");
    let by_id_session = first(&broker, &[Want(old, 0, 5)]);
    let full = FetchRequest { max_wait_ms: 0, session_epoch: 0, ..by_name("t", vec![want(5, 0)]) };
    let by_name_session = broker.now(12, full).session_id;
    let named = |epoch| FetchRequest { session_id: by_name_session, session_epoch: epoch, ..by_id(&[], (0, 0)) };

    let waiting =
        [broker.later(18, by_id(&[Want(old, 0, 5)], (0, -1))), broker.later(18, by_id(&[], (by_id_session, 1)))];
    let waiting_by_name = broker.later(12, named(1));
    let files = Arc::downgrade(&broker.partition(old, 0));
    broker.delete(old).await;
    for waiting in waiting {
        let [(0, error, 0)] = told(&waiting.must_answer())[..] else { panic!() };
        assert!(matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId), "{error:?}");
    }
    assert_eq!(told(&waiting_by_name.must_answer()), [(0, ErrorCode::UnknownTopicOrPartition, 0)]);

    // Its folder is renamed by then, which may happen in the background and needs it.
    let new = broker.create("t", 1, &[]).await;
    assert_eq!(files.strong_count(), 0, "no session keeps the files");
    let size = broker.produce(new, 0, 5, b"new");
    assert_eq!(told(&broker.now(18, by_id(&[], (by_id_session, 2)))), [(0, ErrorCode::InconsistentTopicId, 0)]);
    assert_eq!(told(&broker.now(18, by_id(&[Want(old, 0, 0)], (0, -1)))), [(0, ErrorCode::UnknownTopicId, 0)]);
    let mut from_start = named(2);
    from_start.topics = by_name("t", vec![want(0, 0)]).topics;
    let response = broker.now(12, from_start);
    assert_eq!(told(&response), [(0, NONE, size)]);
    assert!(records(&response).windows(3).any(|bytes| bytes == b"new"));
}

#[tokio::test]
async fn what_does_not_exist_does_not_hurry_what_does() {
    let broker = Broker::start().await;
    let id = broker.create("t", 1, &[]).await;
    let nobody = TopicId(broker.services.env.uuid());
    let waiting = broker.later(18, by_id(&[Want(nobody, 0, 0), Want(id, 0, 0)], (0, -1)));
    let size = broker.produce(id, 0, 1, b"value");
    assert_eq!(told(&waiting.must_answer()), [(0, NONE, size), (0, ErrorCode::UnknownTopicId, 0)]);
}

#[tokio::test]
async fn an_empty_request_is_answered_at_once() {
    let broker = Broker::start().await;
    assert_eq!(told(&broker.now(18, by_id(&[], (0, -1)))), []);
    let session = broker.now(18, by_id(&[], (0, 0))).session_id;
    assert_ne!(session, 0);
    assert_eq!(broker.now(18, by_id(&[], (session, 1))).session_id, 0, "and ends");
}

#[tokio::test]
async fn without_slots_every_fetch_is_without_a_session() {
    let mut broker = Broker::start().await;
    Arc::get_mut(&mut broker.services).unwrap().fetch_sessions = FetchSessions::new(0, 1 << 30);
    let id = broker.create("t", 1, &[]).await;
    broker.produce(id, 0, 1, b"value");
    assert_eq!(broker.now(18, by_id(&[Want(id, 0, 0)], (0, 0))).session_id, 0);
}

#[tokio::test]
async fn many_quiet_partitions_in_a_session() {
    let broker = Broker::start().await;
    let id = broker.create("t", 300, &[]).await;
    let wants: Vec<Want> = (0..300).map(|partition| Want(id, partition, 0)).collect();
    let session = first(&broker, &wants);
    let mut waiting = broker.later(18, by_id(&[], (session, 1)));
    for epoch in 2..50 {
        let partition = (epoch * 7) % 300;
        let size = broker.produce(id, partition, 1, b"value");
        assert_eq!(told(&waiting.must_answer()), [(partition, NONE, size)]);
        waiting = broker.later(18, by_id(&[Want(id, partition, 1)], (session, epoch)));
    }
}

#[tokio::test]
async fn consumers_read_everything_once_while_producers_append() {
    let broker = Arc::new(Broker::start().await);
    let id = broker.create("t", 4, &[]).await;
    let producer = tokio::task::spawn_blocking({
        let broker = Arc::clone(&broker);
        move || {
            for round in 0..2_000 {
                broker.produce(id, round % 4, 1 + (round as usize % 3), b"value");
            }
        }
    });
    let mut offsets = [0_i64; 4];
    let wants = |offsets: &[i64; 4], changed: &[i32]| -> Vec<Want> {
        changed.iter().map(|partition| Want(id, *partition, offsets[*partition as usize])).collect()
    };
    let (mut session, mut epoch, mut changed) = (0, 0, vec![0, 1, 2, 3]);
    while offsets.iter().sum::<i64>() < 3_999 {
        let mut request = by_id(&wants(&offsets, &changed), (session, epoch));
        request.max_bytes = 2_000;
        let response = match broker.ask(18, request) {
            Answer::Now(response) => response,
            Answer::Later(future) => tokio::time::timeout(Duration::from_secs(20), future).await.expect("woken"),
            _ => panic!(),
        };
        assert_eq!(response.error_code, 0);
        (session, epoch) = (response.session_id, epoch + 1);
        changed.clear();
        for topic in &response.responses {
            for partition in &topic.partitions {
                let records = partition.records.as_ref().unwrap().bytes().unwrap();
                let mut rest = &records[..];
                while !rest.is_empty() {
                    let number = |at: usize| i32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
                    let base = i64::from_be_bytes(rest[..8].try_into().unwrap());
                    let offset = &mut offsets[partition.partition_index as usize];
                    assert_eq!(base, *offset);
                    *offset = base + i64::from(number(23)) + 1;
                    rest = &rest[12 + number(8) as usize..];
                }
                if !records.is_empty() {
                    changed.push(partition.partition_index);
                }
            }
        }
    }
    producer.await.unwrap();
}
