//! Fetch (key 1): reads record batches.
//!
//! - v4: magic 2, isolation level, last stable offset (KIP-98). v5: log start offset (KIP-107). v6: KAFKA_STORAGE_ERROR (KIP-112).
//! - v7: sessions (KIP-227). v9: leader epochs (KIP-320). v10: zstd (KIP-110). v11: rack of the client (KIP-392).
//! - v12: flexible; divergence by the epoch of the last fetched batch (KIP-595). v13: topic ids instead of names (KIP-516).
//! - v14: OFFSET_MOVED_TO_TIERED_STORAGE (KIP-405). v15: the follower's state (KIP-903). v16: where the leader is (KIP-951).
//! - v17: the follower's directory id (KIP-853). v18: the high watermark that a follower knows (KIP-1166).
//!
//! Every fetch has a [`Session`], kept by the broker or only for the one request. An answer is made by looking at the
//! partitions that may have something to tell. Where that is not enough (`min_bytes`), the request waits on its [`Watch`]
//! until so much has arrived, or something happens that must not wait, and looks again.

mod cache;
mod read;
mod session;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use felice_protocol::{
    error::ErrorCode,
    messages::fetch::{
        FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, ForgottenTopic, NodeEndpoint, PartitionData,
    },
    wire::Records,
};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use self::{
    cache::{FINAL_EPOCH, Hold, INITIAL_EPOCH, NO_SESSION, SessionCache, SessionError},
    read::{Look, Place, Terms, told_to},
    session::{Asked, Due, Key, Session, TopicKey},
};
use super::{Answer, Context, Peer, Services};
use crate::{
    model::{Offset, TopicId, Uuid},
    replica::{Isolation, Watch},
};

/// From here on topics are named by their ids.
const FIRST_VERSION_BY_ID: i16 = 13;
/// From here on a follower says who it is in a struct of its own.
const FIRST_VERSION_WITH_REPLICA_STATE: i16 = 15;

/// The fetch sessions of this broker.
pub type FetchSessions = SessionCache<Live>;

/// A session and what wakes it.
pub struct Live {
    session: Session<Place>,
    watch: Arc<Watch>,
}

pub fn handle(cx: &Context<'_>, request: FetchRequest) -> Answer<FetchResponse> {
    let Some(isolation) = Isolation::from_wire(request.isolation_level) else {
        return Answer::Now(all_refused(cx, request));
    };
    let fetch = Fetch::new(cx, &request, isolation);
    let by_id = cx.version >= FIRST_VERSION_BY_ID;
    let sessions = &cx.services.fetch_sessions;
    let (id, epoch) = (request.session_id, request.session_epoch);
    if matches!(epoch, INITIAL_EPOCH | FINAL_EPOCH) {
        if id != NO_SESSION {
            sessions.remove(id);
        }
        let live = Live { session: Session::new(asked(request.topics, by_id)), watch: Watch::new() };
        return fetch.whole(live, epoch == INITIAL_EPOCH);
    }
    let hold = sessions.resume(id, epoch, by_id, cx.services.env.now(), |live, epoch| {
        let Live { session, watch } = live;
        session.update(asked(request.topics, by_id), forgotten(request.forgotten_topics_data, by_id), |slot, place| {
            place.unwatch(watch, slot);
        });
        watch.hand_over(epoch);
        session.len()
    });
    match hold {
        Ok(Some(hold)) => fetch.incremental(hold),
        Ok(None) => Answer::Now(FetchResponse::default()),
        Err(error) => Answer::Now(FetchResponse { error_code: session_code(error).code(), ..FetchResponse::default() }),
    }
}

fn session_code(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIds => ErrorCode::FetchSessionTopicIdError,
    }
}

/// A request on its way.
struct Fetch {
    services: Arc<Services>,
    peer: Peer,
    terms: Terms,
    max_wait: Duration,
    /// An earlier response is not there yet. What is read now would be older than what that one will tell, so reading
    /// waits for its turn: no client sees a high watermark go backwards.
    is_behind: bool,
}

/// What one look brought.
struct Found {
    due: Vec<Due<PartitionData>>,
    bytes: usize,
    /// It can be answered as it is.
    is_enough: bool,
}

impl Fetch {
    fn new(cx: &Context<'_>, request: &FetchRequest, isolation: Isolation) -> Fetch {
        let replica_id = match cx.version {
            ..FIRST_VERSION_WITH_REPLICA_STATE => request.replica_id,
            _ => request.replica_state.replica_id,
        };
        let max_bytes = size(request.max_bytes).min(cx.services.config.fetch_max_bytes);
        Fetch {
            services: Arc::clone(cx.services),
            peer: cx.peer.clone(),
            terms: Terms {
                version: cx.version,
                is_follower: replica_id >= 0,
                isolation,
                max_bytes,
                min_bytes: size(request.min_bytes).min(max_bytes),
            },
            max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
            is_behind: cx.is_behind,
        }
    }

    /// A request that names all its partitions: without a session, or the first of one (`keep`).
    fn whole(self, mut live: Live, keep: bool) -> Answer<FetchResponse> {
        let mut is_first = true;
        if !self.is_behind {
            // Who has data waiting is answered without being registered anywhere.
            let found = self.look(&mut live, true, false, true);
            if found.is_enough || self.must_not_wait() {
                return Answer::Now(self.answer_whole(live, found.due, keep));
            }
            is_first = false;
        }
        Answer::Later(Box::pin(async move {
            let deadline = Instant::now() + self.max_wait;
            let mut is_last = self.must_not_wait();
            loop {
                let found = self.look(&mut live, true, true, is_first);
                is_first = false;
                if found.is_enough || is_last {
                    return self.answer_whole(live, found.due, keep);
                }
                let wanted = self.terms.min_bytes.saturating_sub(found.bytes);
                drop(found);
                is_last = !self.wait(&live.watch, 0, wanted, deadline).await;
            }
        }))
    }

    fn answer_whole(&self, mut live: Live, due: Vec<Due<PartitionData>>, keep: bool) -> FetchResponse {
        let mut response = self.answer(&mut live, due);
        if keep {
            let (size, env) = (live.session.len(), &self.services.env);
            let by_id = self.terms.version >= FIRST_VERSION_BY_ID;
            let sessions = &self.services.fetch_sessions;
            response.session_id =
                sessions.create(live, size, self.terms.is_follower, by_id, env.now(), || env.random_u64());
        }
        response
    }

    /// A request that goes on with its session.
    fn incremental(self, hold: Hold<Live>) -> Answer<FetchResponse> {
        let mut unmet = None;
        if !self.is_behind {
            match self.try_incremental(&hold, true, self.must_not_wait()) {
                Ok(response) => return Answer::Now(response),
                Err(wants) => unmet = Some(wants),
            }
        }
        Answer::Later(Box::pin(async move {
            let deadline = Instant::now() + self.max_wait;
            let looked = unmet.map_or_else(|| self.try_incremental(&hold, true, self.must_not_wait()), Err);
            let (watch, mut wanted) = match looked {
                Ok(response) => return response,
                Err(wants) => wants,
            };
            loop {
                let is_last = !self.wait(&watch, hold.epoch(), wanted, deadline).await;
                match self.try_incremental(&hold, false, is_last) {
                    Ok(response) => return response,
                    Err((_, unmet)) => wanted = unmet,
                }
            }
        }))
    }

    /// The answer; or, where there is not enough for one, what to wait on and for how many bytes more.
    fn try_incremental(
        &self,
        hold: &Hold<Live>,
        is_first: bool,
        is_last: bool,
    ) -> Result<FetchResponse, (Arc<Watch>, usize)> {
        let session_id = hold.session_id();
        let Some(mut live) = hold.lock() else {
            let error_code = ErrorCode::InvalidFetchSessionEpoch.code();
            return Ok(FetchResponse { error_code, session_id, ..FetchResponse::default() });
        };
        let found = self.look(&mut live, false, true, is_first);
        if found.is_enough || is_last {
            return Ok(FetchResponse { session_id, ..self.answer(&mut live, found.due) });
        }
        Err((Arc::clone(&live.watch), self.terms.min_bytes.saturating_sub(found.bytes)))
    }

    fn look(&self, live: &mut Live, everything: bool, watch: bool, is_first: bool) -> Found {
        let Live { session, watch: own_watch } = live;
        let mut marks = Vec::new();
        own_watch.take_marks(&mut marks);
        session.mark(&marks);
        let mut look = Look::new(&self.services, &self.terms, watch.then_some(&*own_watch), is_first);
        let due = session.look(everything, |at, slot| look.read(at, slot));
        let is_enough = look.is_urgent || look.bytes >= self.terms.min_bytes || look.missing == session.len();
        Found { due, bytes: look.bytes, is_enough }
    }

    fn must_not_wait(&self) -> bool {
        self.max_wait.is_zero() || self.peer.leaving.is_cancelled()
    }

    /// Whether it was worth it: false once there is no more time.
    async fn wait(&self, watch: &Watch, turn: i32, bytes: usize, deadline: Instant) -> bool {
        select! {
            () = watch.wait(turn, bytes as u64) => true,
            () = sleep_until(deadline) => false,
            () = self.peer.leaving.cancelled() => false,
        }
    }

    fn answer(&self, live: &mut Live, mut due: Vec<Due<PartitionData>>) -> FetchResponse {
        live.session.tell(&due);
        let is_missing = |due: &Due<_>| live.session.slot(due.slot).is_some_and(|slot| slot.place.is_missing());
        // As Kafka does: what does not exist comes last.
        if !due.is_sorted_by_key(is_missing) {
            due.sort_by_key(is_missing);
        }
        let mut response = FetchResponse::default();
        let mut topic: Option<&TopicKey> = None;
        for Due { slot, seen } in due {
            let Some(slot) = live.session.slot(slot) else { continue };
            if topic != Some(&slot.key.topic) {
                topic = Some(&slot.key.topic);
                response.responses.push(match &slot.key.topic {
                    TopicKey::Id(id) => FetchableTopicResponse { topic_id: id.0, ..FetchableTopicResponse::default() },
                    TopicKey::Name(name) => {
                        FetchableTopicResponse { topic: name.to_string(), ..FetchableTopicResponse::default() }
                    }
                });
            }
            let error_code = told_to(self.terms.version, seen.data.error_code);
            if let Some(topic) = response.responses.last_mut() {
                topic.partitions.push(PartitionData { error_code, ..seen.data });
            }
        }
        response.node_endpoints = self.leaders(&response);
        response
    }

    /// The addresses of the leaders that the answer names.
    fn leaders(&self, response: &FetchResponse) -> Vec<NodeEndpoint> {
        let mut leaders: Vec<i32> = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.current_leader.leader_id)
            .filter(|leader| *leader >= 0)
            .collect();
        if leaders.is_empty() {
            return Vec::new();
        }
        leaders.sort_unstable();
        let endpoints = self.services.endpoints(&self.services.quorum.image(), &self.peer);
        endpoints
            .into_iter()
            .filter(|endpoint| !endpoint.fenced && leaders.binary_search(&endpoint.node_id.0).is_ok())
            .map(|endpoint| NodeEndpoint {
                node_id: endpoint.node_id.0,
                host: endpoint.host,
                port: endpoint.port,
                rack: endpoint.rack,
                ..NodeEndpoint::default()
            })
            .collect()
    }
}

fn asked(topics: Vec<FetchTopic>, by_id: bool) -> impl Iterator<Item = (Key, Asked)> {
    topics.into_iter().flat_map(move |topic| {
        let key = topic_key(topic.topic, topic.topic_id, by_id);
        topic.partitions.into_iter().map(move |partition| {
            let asked = Asked {
                fetch_offset: Offset(partition.fetch_offset),
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: size(partition.partition_max_bytes),
            };
            (Key { topic: key.clone(), partition: partition.partition }, asked)
        })
    })
}

fn forgotten(topics: Vec<ForgottenTopic>, by_id: bool) -> impl Iterator<Item = Key> {
    topics.into_iter().flat_map(move |topic| {
        let key = topic_key(topic.topic, topic.topic_id, by_id);
        topic.partitions.into_iter().map(move |partition| Key { topic: key.clone(), partition })
    })
}

fn topic_key(name: String, id: Uuid, by_id: bool) -> TopicKey {
    if by_id { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(Arc::from(name)) }
}

/// A size as the wire has it; negative ones are nothing.
fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

/// As Kafka answers an isolation level that does not exist.
fn all_refused(cx: &Context<'_>, request: FetchRequest) -> FetchResponse {
    let error_code = ErrorCode::UnknownServerError.code();
    let mut response = FetchResponse { error_code, session_id: request.session_id, ..FetchResponse::default() };
    if cx.version < FIRST_VERSION_BY_ID {
        let partition = |index| PartitionData {
            partition_index: index,
            error_code,
            high_watermark: -1,
            aborted_transactions: Some(Vec::new()),
            records: Some(Records::default()),
            ..PartitionData::default()
        };
        response.responses = request
            .topics
            .into_iter()
            .map(|topic| FetchableTopicResponse {
                topic: topic.topic,
                partitions: topic.partitions.iter().map(|asked| partition(asked.partition)).collect(),
                ..FetchableTopicResponse::default()
            })
            .collect();
    }
    response
}
