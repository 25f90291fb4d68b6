//! A Kafka client: typed calls to brokers over the codec, with time-outs, bounds, and retries of what may be retried.
//!
//! - [`Connection`]: one broker. Negotiates versions; calls may overlap.
//! - [`Client`]: a cluster. Knows its brokers, who leads what and who coordinates which group, and connects where needed.
//! - [`topics`], [`offsets`], [`groups`]: what is asked of a cluster as a whole.
//! - [`Producer`], [`Fetcher`], [`Membership`]: the cores of a producer, a consumer, and a consumer's place in a group.
//!
//! Works with any broker that speaks Kafka's protocol. Plaintext so far; [`Connection::over`] takes any stream.

mod address;
mod connection;
mod error;
mod fetcher;
pub mod groups;
mod membership;
pub mod offsets;
mod producer;
pub mod topics;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use felice_protocol::{
    messages::{
        find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
    },
    schema::Versions,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

pub use self::{
    address::{Address, AddressError},
    connection::Connection,
    error::{Advertised, ClientError},
    fetcher::{Fetched, Fetcher, FetcherSettings, Isolation},
    membership::{Assigned, Membership, MembershipSettings, Protocol},
    producer::{Message, Partitioner, Produced, Producer, ProducerSettings},
    topics::{Partition, Topic},
};
use crate::{
    env::SharedEnv,
    model::{NodeId, TopicPartition},
};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What still fails after so long is worth a word to whoever waits.
const MOMENT: Duration = Duration::from_secs(1);

/// Coordinators that are remembered; whoever looks at more groups than that asks again.
const COORDINATORS_MAX: usize = 1000;

/// What a client does alike with every broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// What brokers' logs and quotas know this client by.
    pub client_id: String,
    pub connect_timeout: Duration,
    /// How long an answer may take, beyond what the request itself allows.
    pub request_timeout: Duration,
    /// For how long what may be retried is retried.
    pub patience: Duration,
    /// No answer is larger than this, in bytes.
    pub response_bytes_max: usize,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            client_id: "felice".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(30),
            response_bytes_max: 256 << 20,
        }
    }
}

/// What a connection is for. A broker serves the requests of one connection one after the other, so what may wait there
/// has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Answered at once.
    Requests,
    /// Long polls.
    Fetches,
    /// Joins, which wait for others, and heartbeats.
    Groups,
}

/// A cluster, reached through any of its brokers.
pub struct Client {
    settings: ClientSettings,
    env: SharedEnv,
    bootstrap: Vec<Address>,
    known: Mutex<Known>,
    /// Is told, once, of what fails and is tried again for longer than a moment.
    on_trouble: Option<OnTrouble>,
}

type OnTrouble = Box<dyn Fn(&ClientError) + Send + Sync>;

#[derive(Default)]
struct Known {
    /// By what the last answer said; the second is who said it.
    brokers: BTreeMap<NodeId, (Address, Address)>,
    controller: Option<NodeId>,
    /// Of topics that were asked for.
    leaders: HashMap<TopicPartition, NodeId>,
    /// By group, as long as they answer.
    coordinators: HashMap<String, NodeId>,
    open: HashMap<(Address, Lane), Arc<Connection>>,
    /// Trouble was told.
    told: bool,
}

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub cluster_id: Option<String>,
    pub controller: Option<NodeId>,
    pub brokers: BTreeMap<NodeId, Address>,
    /// Those that were asked for.
    pub topics: Vec<Topic>,
}

impl Client {
    /// Connects to nobody yet.
    pub fn new(bootstrap: Vec<Address>, settings: ClientSettings, env: SharedEnv) -> Client {
        Client { settings, env, bootstrap, known: Mutex::new(Known::default()), on_trouble: None }
    }

    /// With somebody who hears of it, once, when something still fails after a moment of trying it again.
    pub fn telling(self, on_trouble: impl Fn(&ClientError) + Send + Sync + 'static) -> Client {
        Client { on_trouble: Some(Box::new(on_trouble)), ..self }
    }

    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    pub fn env(&self) -> &SharedEnv {
        &self.env
    }

    /// A connection to any broker: one that is open, else the first that answers.
    pub async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        let (open, others) = {
            let known = self.known.lock();
            let open = known.open.iter().find(|((_, lane), open)| *lane == Lane::Requests && open.is_open());
            let others: Vec<Address> = known.brokers.values().map(|(address, _)| address.clone()).collect();
            (open.map(|(_, open)| Arc::clone(open)), others)
        };
        if let Some(open) = open {
            return Ok(open);
        }
        let mut failed = None;
        for address in self.bootstrap.iter().chain(&others) {
            match self.connection(address, Lane::Requests).await {
                Ok(connection) => return Ok(connection),
                // The first is the address that the user named first.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| ClientError::Connect {
            address: Address::new("", 0),
            reason: "no broker was named".to_owned(),
            advertised: None,
        }))
    }

    /// A connection to this broker.
    pub async fn node(&self, node: NodeId, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let known = |client: &Client| client.known.lock().brokers.get(&node).cloned();
        let (address, by) = match known(self) {
            Some(found) => found,
            None => {
                self.cluster(Some(&[])).await?;
                known(self).ok_or(ClientError::NoBroker(node))?
            }
        };
        self.connection(&address, lane).await.map_err(|error| match error {
            ClientError::Connect { address, reason, .. } if !self.bootstrap.contains(&address) => {
                ClientError::Connect { address, reason, advertised: Some(Advertised { node, by }) }
            }
            error => error,
        })
    }

    /// The broker that decides about topics and settings. Where that is not known, any: brokers pass such requests on.
    pub async fn controller(&self) -> Result<Arc<Connection>, ClientError> {
        let known = self.known.lock().controller;
        let controller = match known {
            Some(node) => Some(node),
            None => self.cluster(Some(&[])).await?.controller,
        };
        match controller {
            Some(node) => self.node(node, Lane::Requests).await,
            None => self.any().await,
        }
    }

    async fn connection(&self, address: &Address, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let key = (address.clone(), lane);
        if let Some(open) = self.known.lock().open.get(&key).filter(|open| open.is_open()) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(Connection::open(address, &self.settings).await?);
        let mut known = self.known.lock();
        known.open.retain(|_, open| open.is_open());
        // Somebody else may have been quicker.
        Ok(Arc::clone(known.open.entry(key).or_insert(opened)))
    }

    /// Asks which brokers there are, and about topics: `None` is all of them. What is learned is kept.
    pub async fn cluster(&self, topics: Option<&[&str]>) -> Result<Cluster, ClientError> {
        let connection = self.any().await?;
        let topic =
            |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        // Before version 4 to ask for a topic was to create it.
        let version = connection.version::<MetadataRequest>(Versions::from(4), "looking at a cluster")?;
        let response = connection.call(version, &request).await?;
        ClientError::check(response.error_code, None, || "metadata".to_owned())?;
        self.learn(&response, connection.address())
    }

    fn learn(&self, response: &MetadataResponse, by: &Address) -> Result<Cluster, ClientError> {
        let mut brokers = BTreeMap::new();
        for broker in &response.brokers {
            brokers.insert(NodeId(broker.node_id), address_of(&broker.host, broker.port, by)?);
        }
        let controller = Some(NodeId(response.controller_id)).filter(|node| brokers.contains_key(node));
        let topics: Vec<Topic> = response.topics.iter().map(Topic::from_wire).collect();
        let mut known = self.known.lock();
        known.brokers = brokers.iter().map(|(node, address)| (*node, (address.clone(), by.clone()))).collect();
        known.controller = controller;
        for topic in &topics {
            for partition in &topic.partitions {
                let key = TopicPartition { topic: topic.name.clone(), partition: partition.index };
                match partition.leader {
                    Some(leader) => known.leaders.insert(key, leader),
                    None => known.leaders.remove(&key),
                };
            }
        }
        Ok(Cluster { cluster_id: response.cluster_id.clone(), controller, brokers, topics })
    }

    /// Who led the partition when its topic was last asked for with [`Client::cluster`].
    pub fn leader(&self, partition: &TopicPartition) -> Option<NodeId> {
        self.known.lock().leaders.get(partition).copied()
    }

    /// The broker that coordinates a group.
    pub async fn coordinator(&self, group: &str) -> Result<NodeId, ClientError> {
        if let Some(node) = self.known.lock().coordinators.get(group) {
            return Ok(*node);
        }
        let connection = self.any().await?;
        let version =
            connection.version::<FindCoordinatorRequest>(Versions::from(0), "finding a group's coordinator")?;
        let request = if version >= 4 {
            FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..FindCoordinatorRequest::default() }
        } else {
            FindCoordinatorRequest { key: group.to_owned(), ..FindCoordinatorRequest::default() }
        };
        let response = connection.call(version, &request).await?;
        let found = Found::from_wire(response, group, connection.address())?;
        let address = address_of(&found.host, found.port, connection.address())?;
        let mut known = self.known.lock();
        known.brokers.entry(found.node).or_insert((address, connection.address().clone()));
        if known.coordinators.len() >= COORDINATORS_MAX {
            known.coordinators.clear();
        }
        known.coordinators.insert(group.to_owned(), found.node);
        Ok(found.node)
    }

    /// Makes a call to a group's coordinator, and makes it again where it may be retried, as after the coordinator moved.
    pub async fn at_coordinator<T>(
        &self,
        group: &str,
        mut call: impl AsyncFnMut(&Connection) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.retrying(async || {
            let called = async {
                let node = self.coordinator(group).await?;
                call(&*self.node(node, Lane::Groups).await?).await
            };
            let done = called.await;
            if done.as_ref().is_err_and(ClientError::is_retriable) {
                self.known.lock().coordinators.remove(group);
            }
            done
        })
        .await
    }

    /// Makes an attempt again, after a pause, as long as it fails with what may be retried and patience lasts.
    pub async fn retrying<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let started = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            match attempt().await {
                Err(error) if error.is_retriable() && started.elapsed() + backoff < self.settings.patience => {
                    if started.elapsed() >= MOMENT {
                        self.tell(&error);
                    }
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                done => return done,
            }
        }
    }

    fn tell(&self, error: &ClientError) {
        let told_before = std::mem::replace(&mut self.known.lock().told, true);
        if let Some(on_trouble) = self.on_trouble.as_ref().filter(|_| !told_before) {
            on_trouble(error);
        }
    }
}

/// A coordinator as either form of the answer names it.
struct Found {
    node: NodeId,
    host: String,
    port: i32,
}

impl Found {
    fn from_wire(response: FindCoordinatorResponse, group: &str, by: &Address) -> Result<Found, ClientError> {
        let what = || format!("the coordinator of group {group}");
        match response.coordinators.into_iter().next() {
            Some(found) => {
                ClientError::check(found.error_code, found.error_message.as_deref(), what)?;
                Ok(Found { node: NodeId(found.node_id), host: found.host, port: found.port })
            }
            None => {
                ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
                if response.host.is_empty() {
                    let reason = "no coordinator in the answer".to_owned();
                    return Err(ClientError::Protocol { address: by.clone(), reason });
                }
                Ok(Found { node: NodeId(response.node_id), host: response.host, port: response.port })
            }
        }
    }
}

fn address_of(host: &str, port: i32, by: &Address) -> Result<Address, ClientError> {
    match u16::try_from(port) {
        Ok(port) if !host.is_empty() => Ok(Address::new(host, port)),
        _ => {
            let reason = format!("it names a broker at {host:?}, port {port}");
            Err(ClientError::Protocol { address: by.clone(), reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brokers that are clients of each other have many tasks and threads.
    #[test]
    fn calls_may_be_made_on_any_thread() {
        fn any_thread<T: Send>(_: impl FnOnce(&'static Client, &'static Connection) -> T) {}
        any_thread(async |client, connection| {
            let _ = connection.call(4, &MetadataRequest::default()).await;
            let _ = client.node(NodeId(1), Lane::Fetches).await;
            let _ = client.cluster(None).await;
            let _ = client.coordinator("g").await;
        });
    }
}
