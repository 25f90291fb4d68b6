//! What is served: one handler per API, each in a file of its own, and the table that names them.
//!
//! Dispatch and the ApiVersions answer both come from [`SERVED`], so what is advertised is what is answered.

mod alter_configs;
mod api_versions;
mod config_changes;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_topic_partitions;
mod endpoints;
mod features;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod operations;
mod partitions;
mod produce;
mod refusal;
mod sync_group;
mod topics;

use std::{fmt::Display, future::Future, net::SocketAddr, ops::RangeInclusive, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use felice_protocol::{
    api::{ApiKey, Frame, HeaderError, Request, RequestHeader, parse_request_header, write_response},
    schema::Decoded,
    wire::Wire,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

pub use features::SUPPORTED as SUPPORTED_FEATURES;
pub use fetch::FetchSessions;
pub use init_producer_id::ProducerIds;

use crate::{
    config::BrokerConfig,
    coordinator::GroupCoordinator,
    env::SharedEnv,
    metrics::{Requested, Requests},
    model::{NodeId, Principal},
    quorum::Quorum,
    replica::Replicas,
};

/// A request that takes longer than this is worth a line in the log.
const SLOW_REQUEST: Duration = Duration::from_secs(1);

/// What the arrays of one request may take, in bytes: more than any client has reason to ask for at once (a fetch of a quarter of
/// a million partitions), and little enough to be worked on at the side. Without it a request of `socket.request.max.bytes` could
/// name fifty million topics without a name.
const REQUEST_MEMORY_MAX: usize = 32 << 20;

/// Requests beyond this size are heavy, unless most of it is records.
const HEAVY_REQUEST: usize = 64 << 10;

/// What waits keeps its request in some form of its own, which takes about so many times what was decoded.
const PARKED_FACTOR: usize = 3;

/// What handlers work with.
pub struct Services {
    pub node_id: NodeId,
    pub cluster_id: Arc<str>,
    pub config: Arc<BrokerConfig>,
    pub env: SharedEnv,
    pub quorum: Arc<Quorum>,
    pub replicas: Arc<Replicas>,
    pub groups: Arc<GroupCoordinator>,
    pub producer_ids: ProducerIds,
    pub fetch_sessions: FetchSessions,
    /// How many requests there were of each API, by the place of the API in [`SERVED`].
    pub requests: Requests,
    /// The epoch of this broker's registration.
    pub broker_epoch: i64,
    /// Cancelled when the broker stops: long polls answer at once.
    pub stopping: CancellationToken,
}

impl Services {
    /// Who a client is told is the controller: any broker takes what is for the controller and relays it.
    fn controller_id(&self) -> NodeId {
        self.node_id
    }
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    /// The address by which it reached us: often the right one to tell it.
    pub local: SocketAddr,
    /// The name of the listener it came by.
    pub listener: Arc<str>,
    /// Cancelled when no further request comes from it, and when the broker stops: its long polls answer at once.
    pub leaving: CancellationToken,
}

/// One request's surroundings.
pub struct Context<'a> {
    pub services: &'a Arc<Services>,
    pub peer: &'a Peer,
    pub principal: Principal,
    pub version: i16,
    pub client_id: Option<&'a str>,
    /// An earlier request of this connection waits for its response.
    pub is_behind: bool,
}

/// What is known of a request before its header is.
struct Surroundings<'a> {
    services: &'a Arc<Services>,
    peer: &'a Peer,
    is_behind: bool,
    /// The place of its API in [`SERVED`].
    api: usize,
    /// Of the whole frame.
    size: usize,
}

/// A handler's answer.
pub enum Answer<R> {
    Now(R),
    /// The request waits. Everything whose order matters, such as an append, has been done before this is returned.
    Later(Pin<Box<dyn Future<Output = R> + Send>>),
    /// The same, of which may come nothing: then the connection is closed.
    LaterOrClose(Pin<Box<dyn Future<Output = Option<R>> + Send>>),
    /// Nothing was done yet, and what is to be done takes a processor long: it must not hold up those who share the thread.
    Heavy(Box<dyn FnOnce() -> Answer<R> + Send>),
    /// No response: `acks=0`.
    Silent,
    /// No response and no connection: a failed `acks=0`.
    Close(Closing),
}

/// An [`Answer`], encoded.
pub enum Outcome {
    Ready(Frame),
    Parked {
        /// Resolves to `None` where the connection must be closed instead.
        response: Pin<Box<dyn Future<Output = Option<Frame>> + Send>>,
        /// About what the request keeps in memory while it waits, in bytes.
        memory: usize,
    },
    /// The outcome is what comes of this, which must not be called where it would hold up others.
    Heavy(Box<dyn FnOnce() -> Outcome + Send>),
    Silent,
    Close(Closing),
}

/// Why a connection is closed, for the log.
#[derive(Debug)]
pub struct Closing {
    /// What repetitions of it are summed up as.
    pub kind: &'static str,
    pub reason: String,
}

impl Closing {
    fn malformed(error: impl Display) -> Closing {
        Closing { kind: "malformed requests", reason: format!("malformed request: {error}") }
    }

    fn unsupported(reason: String) -> Closing {
        Closing { kind: "unsupported requests", reason }
    }

    /// A fault of ours.
    pub fn failed() -> Closing {
        Closing { kind: "requests that failed", reason: "the request failed here; see the line before".to_owned() }
    }

    /// A fault of ours.
    fn unencodable() -> Closing {
        Closing { kind: "responses that cannot be encoded", reason: "the response cannot be encoded".to_owned() }
    }
}

/// An API that is served: the versions that are advertised and its handler.
pub struct Served {
    pub key: ApiKey,
    pub versions: RangeInclusive<i16>,
    handler: fn(Surroundings<'_>, &RequestHeader, &Bytes) -> Outcome,
}

/// `served![Api 0..=13 => module::handle, ...]`
macro_rules! served {
    ($($key:ident $versions:expr => $handler:path),* $(,)?) => {
        &[$(Served {
            key: ApiKey::$key,
            versions: $versions,
            handler: |surroundings, header, body| call(surroundings, header, body, $handler),
        }),*]
    };
}

/// Everything that is served, in the order of the API keys.
pub static SERVED: &[Served] = served![
    Produce 3..=13 => produce::handle,
    Fetch 4..=18 => fetch::handle,
    ListOffsets 0..=11 => list_offsets::handle,
    Metadata 0..=13 => metadata::handle,
    OffsetCommit 0..=10 => offset_commit::handle,
    OffsetFetch 0..=10 => offset_fetch::handle,
    FindCoordinator 0..=6 => find_coordinator::handle,
    JoinGroup 0..=9 => join_group::handle,
    Heartbeat 0..=4 => heartbeat::handle,
    LeaveGroup 0..=5 => leave_group::handle,
    SyncGroup 0..=5 => sync_group::handle,
    DescribeGroups 0..=6 => describe_groups::handle,
    ListGroups 0..=5 => list_groups::handle,
    ApiVersions 0..=4 => api_versions::handle,
    CreateTopics 0..=7 => create_topics::handle,
    DeleteTopics 0..=6 => delete_topics::handle,
    DeleteRecords 0..=2 => delete_records::handle,
    InitProducerId 0..=5 => init_producer_id::handle,
    OffsetForLeaderEpoch 0..=4 => offset_for_leader_epoch::handle,
    DescribeConfigs 0..=4 => describe_configs::handle,
    AlterConfigs 0..=2 => alter_configs::handle,
    CreatePartitions 0..=3 => create_partitions::handle,
    DeleteGroups 0..=2 => delete_groups::handle,
    IncrementalAlterConfigs 0..=1 => incremental_alter_configs::handle,
    OffsetDelete 0..=0 => offset_delete::handle,
    DescribeCluster 0..=2 => describe_cluster::handle,
    ConsumerGroupHeartbeat 0..=1 => consumer_group_heartbeat::handle,
    ConsumerGroupDescribe 0..=1 => consumer_group_describe::handle,
    ListConfigResources 0..=1 => list_config_resources::handle,
    DescribeTopicPartitions 0..=0 => describe_topic_partitions::handle,
];

impl Served {
    pub fn of(key: i16) -> Option<&'static Served> {
        Some(&SERVED[Served::place(key)?])
    }

    fn place(key: i16) -> Option<usize> {
        SERVED.iter().position(|served| served.key.code() == key)
    }

    /// The names of the APIs, in the order of [`SERVED`].
    pub fn names() -> Vec<&'static str> {
        SERVED.iter().map(|served| served.key.name()).collect()
    }
}

/// Decodes a request, calls its handler and encodes the answer. Whatever the bytes are, the outcome is an answer or a closed
/// connection.
///
/// `is_behind` says that an earlier request of this connection waits for its response.
pub fn dispatch(services: &Arc<Services>, peer: &Peer, frame: Bytes, is_behind: bool) -> Outcome {
    let (header, body) = match parse_request_header(&frame) {
        Ok(parsed) => parsed,
        Err(error @ HeaderError::UnknownApiKey { .. }) => {
            return Outcome::Close(Closing::unsupported(error.to_string()));
        }
        Err(HeaderError::Malformed(error)) => return Outcome::Close(Closing::malformed(error)),
    };
    let Some(api) = Served::place(header.api_key) else {
        return Outcome::Close(Closing::unsupported(match ApiKey::from_code(header.api_key) {
            Some(key) => format!("{key} (API key {}) is not supported", header.api_key),
            None => format!("unknown API key {}", header.api_key),
        }));
    };
    let served = &SERVED[api];
    if !served.versions.contains(&header.api_version) {
        if served.key == ApiKey::ApiVersions {
            return api_versions::unsupported_version(&header);
        }
        return Outcome::Close(Closing::unsupported(format!(
            "{} version {} is not supported (served are {} to {})",
            served.key,
            header.api_version,
            served.versions.start(),
            served.versions.end()
        )));
    }
    (served.handler)(Surroundings { services, peer, is_behind, api, size: frame.len() }, &header, &body)
}

/// Whether decoding and answering this request may take long on a processor, as far as its size tells. Records are not
/// decoded.
pub fn is_heavy(frame: &[u8]) -> bool {
    frame.len() > HEAVY_REQUEST && frame.first_chunk() != Some(&ApiKey::Produce.code().to_be_bytes())
}

fn call<Q: Request + 'static>(
    Surroundings { services, peer, is_behind, api, size }: Surroundings<'_>,
    header: &RequestHeader,
    body: &Bytes,
    handler: fn(&Context<'_>, Q) -> Answer<Q::Response>,
) -> Outcome
where
    Q::Response: 'static,
{
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    let started = Instant::now();
    let Decoded { message, rest, memory } = match Q::decode_within(body, version, REQUEST_MEMORY_MAX) {
        Ok(decoded) => decoded,
        Err(error) => return Outcome::Close(Closing::malformed(error)),
    };
    if rest > 0 {
        // As Kafka does: a client may know of fields that we do not.
        debug!(peer = %peer.address, "{rest} bytes left over after {} version {version}", Q::NAME);
    }
    let context = Context {
        services,
        peer,
        principal: Principal::anonymous(),
        version,
        client_id: header.client_id.as_deref(),
        is_behind,
    };
    let asked = Asked { api, size, version, correlation_id, started, memory };
    asked.outcome::<Q>(services, peer, handler(&context, message))
}

/// What is remembered of a request for its answer.
#[derive(Clone, Copy)]
struct Asked {
    /// The place of its API in [`SERVED`].
    api: usize,
    /// Of the request's frame.
    size: usize,
    version: i16,
    correlation_id: i32,
    started: Instant,
    /// What the request was decoded to.
    memory: usize,
}

impl Asked {
    fn outcome<Q: Request + 'static>(
        self,
        services: &Arc<Services>,
        peer: &Peer,
        answer: Answer<Q::Response>,
    ) -> Outcome
    where
        Q::Response: 'static,
    {
        match answer {
            Answer::Now(response) => match self.answered::<Q>(services, peer, &response, false) {
                Some(frame) => Outcome::Ready(frame),
                None => Outcome::Close(Closing::unencodable()),
            },
            Answer::Later(future) => self.parked::<Q>(services, peer, async { Some(future.await) }),
            Answer::LaterOrClose(future) => self.parked::<Q>(services, peer, future),
            Answer::Heavy(work) => {
                let (services, peer) = (Arc::clone(services), peer.clone());
                // It may have had to wait for its turn; what is slow is counted from there.
                let asked = move || Asked { started: Instant::now(), ..self };
                Outcome::Heavy(Box::new(move || asked().outcome::<Q>(&services, &peer, work())))
            }
            Answer::Silent => {
                self.note::<Q>(services, peer, 0, false);
                Outcome::Silent
            }
            Answer::Close(closing) => {
                self.note::<Q>(services, peer, 0, false);
                Outcome::Close(closing)
            }
        }
    }

    /// The answer's frame; `None` where it cannot be encoded.
    fn answered<Q: Request>(
        self,
        services: &Services,
        peer: &Peer,
        response: &Q::Response,
        has_waited: bool,
    ) -> Option<Frame> {
        let frame = encode::<Q>(self.correlation_id, self.version, response);
        self.note::<Q>(services, peer, frame.as_ref().map_or(0, |frame| frame.len), has_waited);
        response.each_error_code(false, &mut |code| services.requests.note_error(self.api, code));
        frame
    }

    /// Counts the request, with a line where it took too long.
    fn note<Q: Request>(self, services: &Services, peer: &Peer, response_bytes: usize, has_waited: bool) {
        let took = self.started.elapsed();
        services.requests.note(Requested { api: self.api, request_bytes: self.size, response_bytes, took });
        // These wait because they were asked to, or for other members of their group.
        let waits = matches!(Q::API, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup);
        if took >= SLOW_REQUEST && !(has_waited && waits) {
            warn!(peer = %peer.address, "{} took {:.1} s", Q::API, took.as_secs_f64());
        }
    }

    fn parked<Q: Request + 'static>(
        self,
        services: &Arc<Services>,
        peer: &Peer,
        response: impl Future<Output = Option<Q::Response>> + Send + 'static,
    ) -> Outcome
    where
        Q::Response: 'static,
    {
        let (services, peer) = (Arc::clone(services), peer.clone());
        let response = Box::pin(async move {
            let response = response.await?;
            self.answered::<Q>(&services, &peer, &response, true)
        });
        Outcome::Parked { response, memory: self.memory.saturating_mul(PARKED_FACTOR) }
    }
}

fn encode<Q: Request>(correlation_id: i32, version: i16, response: &Q::Response) -> Option<Frame> {
    match write_response(correlation_id, version, response) {
        Ok(frame) => Some(frame),
        Err(error) => {
            error!("cannot encode a response of {} version {version}: {error}", Q::API);
            None
        }
    }
}
