//! A consumer's place in a group: joining, heartbeats, what it is assigned, and leaving.
//!
//! By the consumer protocol (KIP-848), where the broker assigns, or by the classic one, where a member does: that of all
//! members is asked to and uses the `range` assignor, eagerly, as clients in every language can.
//!
//! Whoever owns a [`Membership`] calls [`Membership::beat`] when [`Membership::due`] has come. Where that answers a [`Change`],
//! partitions that are not in it any more are committed and let go first; [`Membership::accept`] then tells the group so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use felice_protocol::{
    Uuid,
    error::ErrorCode,
    messages::{
        consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions},
        consumer_protocol::{self, ConsumerProtocolAssignment, ConsumerProtocolSubscription},
        heartbeat::HeartbeatRequest,
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember},
        leave_group::{LeaveGroupRequest, MemberIdentity},
        sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
    },
    schema::{Stored, Versions},
};
use tokio::time::Instant;

use super::{Client, ClientError, groups, groups::Committer};
use crate::model::TopicPartition;

const RANGE: &str = "range";
const CONSUMER: &str = "consumer";
/// The version in which we write subscriptions and assignments to other members: one that all clients read.
const SUBSCRIPTION: i16 = 1;
/// The epoch of a consumer group's member that joins, and of one that leaves.
const JOINING: i32 = 0;
const LEAVING: i32 = -1;
/// How often a rejoin may be refused for reasons that the next one heals.
const ATTEMPTS_MAX: usize = 10;

/// How a member and its group talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Classic,
    Consumer,
}

/// Who joins what.
#[derive(Debug, Clone)]
pub struct MembershipSettings {
    pub group: String,
    pub topics: Vec<String>,
    /// `None`: the consumer protocol, or the classic one where the broker has only that.
    pub protocol: Option<Protocol>,
    /// How long the classic protocol's coordinator waits for a heartbeat before it gives up on the member.
    pub session_timeout: Duration,
    /// How often the classic protocol's member sends one; the consumer protocol's coordinator says so itself.
    pub heartbeat_interval: Duration,
    /// How long this member may take to let go of partitions.
    pub rebalance_timeout: Duration,
}

impl MembershipSettings {
    pub fn new(group: String, topics: Vec<String>) -> MembershipSettings {
        MembershipSettings {
            group,
            topics,
            protocol: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(60),
        }
    }
}

/// What a heartbeat brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    /// These partitions and no others. Those that are missing may still be committed, before [`Membership::accept`].
    To(BTreeSet<TopicPartition>),
    /// Nothing any more, and it is too late to commit: the group has given them to others.
    Lost,
}

/// One member. Dropping it tells nobody; see [`Membership::leave`].
pub struct Membership {
    client: Arc<Client>,
    settings: MembershipSettings,
    protocol: Protocol,
    member_id: String,
    /// The classic protocol's generation, or the consumer protocol's member epoch.
    epoch: i32,
    joined: bool,
    owned: BTreeSet<TopicPartition>,
    /// To be told to the coordinator with the next heartbeat.
    tell_owned: bool,
    due: Instant,
    interval: Duration,
}

impl Membership {
    /// Chooses a protocol; joins with the first [`Membership::beat`].
    pub async fn new(client: Arc<Client>, settings: MembershipSettings) -> Result<Membership, ClientError> {
        let protocol = match settings.protocol {
            Some(protocol) => protocol,
            None => {
                let connection = client.retrying(async || client.any().await).await?;
                let versions = Versions::from(0);
                match connection.version::<ConsumerGroupHeartbeatRequest>(versions, "the consumer protocol") {
                    Ok(_) => Protocol::Consumer,
                    Err(_) => Protocol::Classic,
                }
            }
        };
        Ok(Membership {
            interval: settings.heartbeat_interval,
            client,
            settings,
            protocol,
            member_id: String::new(),
            epoch: JOINING,
            joined: false,
            owned: BTreeSet::new(),
            tell_owned: false,
            due: Instant::now(),
        })
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// When the next [`Membership::beat`] is to be called.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Who commits, as this member.
    pub fn committer(&self) -> Committer {
        Committer { member_id: self.member_id.clone(), instance: None, generation: self.epoch }
    }

    /// Joins, or says that this member is alive. Returns what it is assigned where that has changed.
    pub async fn beat(&mut self) -> Result<Option<Assigned>, ClientError> {
        let beaten = match self.protocol {
            Protocol::Consumer => self.beat_consumer().await,
            Protocol::Classic if self.joined => self.beat_classic().await,
            Protocol::Classic => self.join_classic().await.map(Some),
        };
        self.due = Instant::now() + self.interval;
        match beaten {
            Ok(Some(Assigned::To(partitions))) if partitions == self.owned && self.joined => Ok(None),
            // The group lives longer than one heartbeat that got lost.
            Err(error) if error.is_retriable() && self.joined => Ok(None),
            Err(error) if self.forgotten_by(&error) => {
                self.joined = false;
                self.epoch = JOINING;
                self.due = Instant::now();
                Ok((!self.owned.is_empty()).then_some(Assigned::Lost))
            }
            // Any broker may have the API; whether the cluster has the feature is said by the coordinator.
            Err(error)
                if self.protocol == Protocol::Consumer
                    && self.settings.protocol.is_none()
                    && error.code() == Some(ErrorCode::UnsupportedVersion) =>
            {
                self.protocol = Protocol::Classic;
                self.member_id.clear();
                self.due = Instant::now();
                Ok(None)
            }
            beaten => beaten,
        }
    }

    /// The partitions of the last [`Assigned`] are taken, all others are let go.
    pub fn accept(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.owned = partitions;
        self.tell_owned = true;
        if self.protocol == Protocol::Consumer || !self.joined {
            self.due = Instant::now();
        }
    }

    /// Leaves the group, so that others get its partitions at once.
    pub async fn leave(&mut self) -> Result<(), ClientError> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        self.joined = false;
        match self.protocol {
            Protocol::Consumer => self.heartbeat(LEAVING, None).await.map(drop),
            Protocol::Classic => self.leave_classic().await,
        }
    }

    /// Whether the coordinator does not know this member, or not in this epoch: then it joins anew.
    fn forgotten_by(&mut self, error: &ClientError) -> bool {
        match error.code() {
            Some(ErrorCode::UnknownMemberId) => {
                self.member_id.clear();
                true
            }
            Some(ErrorCode::FencedMemberEpoch | ErrorCode::IllegalGeneration) => true,
            _ => false,
        }
    }

    async fn beat_consumer(&mut self) -> Result<Option<Assigned>, ClientError> {
        if self.member_id.is_empty() {
            // From version 1 on a member names itself.
            self.member_id = self.client.env().uuid().to_string();
        }
        let epoch = if self.joined { self.epoch } else { JOINING };
        let owned = if !self.joined {
            Some(Vec::new())
        } else if self.tell_owned {
            let ids = self.topic_ids().await?;
            let topic = |(name, partitions): (&str, Vec<i32>)| {
                let topic_id = ids.iter().find(|(_, known)| &***known == name).map(|(id, _)| *id)?;
                Some(TopicPartitions { topic_id, partitions, ..TopicPartitions::default() })
            };
            Some(groups::by_topic(&self.owned).into_iter().filter_map(topic).collect())
        } else {
            None
        };
        let response = self.heartbeat(epoch, owned).await?;
        if let Some(id) = response.member_id {
            self.member_id = id;
        }
        if !self.joined {
            self.owned.clear();
        }
        self.joined = true;
        self.tell_owned = false;
        self.epoch = response.member_epoch;
        self.interval =
            Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0).clamp(100, 60_000));
        let Some(assignment) = response.assignment else { return Ok(None) };
        let ids = self.topic_ids().await?;
        let named = assignment.topic_partitions.iter().filter_map(|topic| {
            // A topic that was deleted meanwhile has no name any more.
            ids.get(&topic.topic_id).map(|name| (&**name, topic.partitions.as_slice()))
        });
        Ok(Some(Assigned::To(groups::partitions_of(named))))
    }

    async fn topic_ids(&self) -> Result<BTreeMap<Uuid, Arc<str>>, ClientError> {
        let names: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        let cluster = self.client.cluster(Some(&names)).await?;
        Ok(cluster.topics.into_iter().map(|topic| (topic.id.0, topic.name)).collect())
    }

    async fn heartbeat(
        &self,
        epoch: i32,
        owned: Option<Vec<TopicPartitions>>,
    ) -> Result<felice_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse, ClientError> {
        let group = &self.settings.group;
        let joins = epoch == JOINING;
        let mut request = ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: self.member_id.clone(),
            member_epoch: epoch,
            rebalance_timeout_ms: if joins { super::topics::millis(self.settings.rebalance_timeout) } else { -1 },
            subscribed_topic_names: joins.then(|| self.settings.topics.clone()),
            topic_partitions: owned,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.client
            .at_coordinator(group, async |connection| {
                let versions = Versions::from(0);
                let version = connection.version::<ConsumerGroupHeartbeatRequest>(versions, "the consumer protocol")?;
                if version == 0 && joins {
                    request.member_id.clear();
                }
                let response = connection.call(version, &request).await?;
                let what = || format!("membership in group {group}");
                ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
                Ok(response)
            })
            .await
    }

    async fn beat_classic(&mut self) -> Result<Option<Assigned>, ClientError> {
        let group = &self.settings.group;
        let request = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let beaten = self
            .client
            .at_coordinator(group, async |connection| {
                let version = connection.version::<HeartbeatRequest>(Versions::from(0), "membership in a group")?;
                let response = connection.call(version, &request).await?;
                ClientError::check(response.error_code, None, || format!("membership in group {group}"))
            })
            .await;
        match beaten {
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {
                // Eagerly: all is let go, then one joins again and is told what one has.
                self.joined = false;
                Ok(Some(Assigned::To(BTreeSet::new())))
            }
            beaten => beaten.map(|()| None),
        }
    }

    async fn join_classic(&mut self) -> Result<Assigned, ClientError> {
        for _ in 0..ATTEMPTS_MAX {
            let joined = match self.join().await {
                Ok(joined) => joined,
                Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) => {
                    self.member_id.clear();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(joined) = joined else { continue };
            match self.sync(&joined).await {
                Ok(partitions) => {
                    self.joined = true;
                    return Ok(Assigned::To(partitions));
                }
                Err(error)
                    if matches!(
                        error.code(),
                        Some(
                            ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration
                        )
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        let what = format!("membership in group {}", self.settings.group);
        Err(ClientError::refused(ErrorCode::RebalanceInProgress.code(), Some("it does not come to rest"), what))
    }

    /// `None` where the coordinator wants to see the member id that it gave (KIP-394).
    async fn join(&mut self) -> Result<Option<JoinGroupResponse>, ClientError> {
        let subscription = ConsumerProtocolSubscription {
            topics: self.settings.topics.clone(),
            ..ConsumerProtocolSubscription::default()
        };
        let protocol = JoinGroupRequestProtocol {
            name: RANGE.to_owned(),
            metadata: subscription.encode_with_version(SUBSCRIPTION)?,
            ..JoinGroupRequestProtocol::default()
        };
        let group = &self.settings.group;
        let request = JoinGroupRequest {
            group_id: group.clone(),
            session_timeout_ms: super::topics::millis(self.settings.session_timeout),
            rebalance_timeout_ms: super::topics::millis(self.settings.rebalance_timeout),
            member_id: self.member_id.clone(),
            protocol_type: CONSUMER.to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        };
        let waits = self.settings.rebalance_timeout;
        let response = self
            .client
            .at_coordinator(group, async |connection| {
                let version = connection.version::<JoinGroupRequest>(Versions::from(0), "membership in a group")?;
                let response = connection.call_for(version, &request, waits).await?;
                match ErrorCode::from_code(response.error_code) {
                    Some(ErrorCode::MemberIdRequired) => Ok(response),
                    _ => {
                        ClientError::check(response.error_code, None, || format!("membership in group {group}"))?;
                        Ok(response)
                    }
                }
            })
            .await?;
        self.member_id.clone_from(&response.member_id);
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            return Ok(None);
        }
        self.epoch = response.generation_id;
        Ok(Some(response))
    }

    async fn sync(&self, joined: &JoinGroupResponse) -> Result<BTreeSet<TopicPartition>, ClientError> {
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if leads { self.assign(&joined.members).await? } else { Vec::new() };
        let group = &self.settings.group;
        let request = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: joined.protocol_name.clone(),
            assignments,
            ..SyncGroupRequest::default()
        };
        let waits = self.settings.rebalance_timeout;
        self.client
            .at_coordinator(group, async |connection| {
                let version = connection.version::<SyncGroupRequest>(Versions::from(0), "membership in a group")?;
                let response = connection.call_for(version, &request, waits).await?;
                ClientError::check(response.error_code, None, || format!("membership in group {group}"))?;
                Ok(groups::assigned(&response.assignment))
            })
            .await
    }

    /// As the group's leader: who gets what.
    async fn assign(
        &self,
        members: &[JoinGroupResponseMember],
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut subscriptions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for member in members {
            let subscription = ConsumerProtocolSubscription::decode_with_any_version(&member.metadata);
            subscriptions.insert(&member.member_id, subscription.map(|it| it.topics).unwrap_or_default());
        }
        let topics: BTreeSet<&str> = subscriptions.values().flatten().map(String::as_str).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let cluster = self.client.cluster(Some(&topics)).await?;
        let counts = cluster.topics.iter().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect();
        range(&subscriptions, &counts)
            .into_iter()
            .map(|(member_id, assigned)| {
                let topic = |(topic, partitions): (String, Vec<i32>)| consumer_protocol::TopicPartition {
                    topic,
                    partitions,
                    ..consumer_protocol::TopicPartition::default()
                };
                let assignment = ConsumerProtocolAssignment {
                    assigned_partitions: assigned.into_iter().map(topic).collect(),
                    ..ConsumerProtocolAssignment::default()
                };
                Ok(SyncGroupRequestAssignment {
                    member_id: member_id.to_owned(),
                    assignment: assignment.encode_with_version(SUBSCRIPTION)?,
                    ..SyncGroupRequestAssignment::default()
                })
            })
            .collect()
    }

    async fn leave_classic(&self) -> Result<(), ClientError> {
        let group = &self.settings.group;
        self.client
            .at_coordinator(group, async |connection| {
                let version = connection.version::<LeaveGroupRequest>(Versions::from(0), "leaving a group")?;
                let mut request = LeaveGroupRequest { group_id: group.clone(), ..LeaveGroupRequest::default() };
                if version >= 3 {
                    let member_id = self.member_id.clone();
                    request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
                } else {
                    request.member_id.clone_from(&self.member_id);
                }
                let response = connection.call(version, &request).await?;
                let own = response.members.first().map_or(0, |member| member.error_code);
                let what = || format!("leaving group {group}");
                ClientError::check(response.error_code, None, what)?;
                ClientError::check(own, None, what)
            })
            .await
    }
}

/// Kafka's `range` assignor: of each topic a run of partitions to each of its subscribers, in the order of their ids, the first
/// ones one more where it does not come out even.
fn range<'a>(
    subscriptions: &BTreeMap<&'a str, Vec<String>>,
    partitions: &BTreeMap<String, usize>,
) -> BTreeMap<&'a str, BTreeMap<String, Vec<i32>>> {
    let mut assigned: BTreeMap<&str, BTreeMap<String, Vec<i32>>> =
        subscriptions.keys().map(|member| (*member, BTreeMap::new())).collect();
    for (topic, count) in partitions {
        let members: Vec<&str> =
            subscriptions.iter().filter(|(_, topics)| topics.contains(topic)).map(|(member, _)| *member).collect();
        let Some(each) = count.checked_div(members.len()) else { continue };
        let more = count % members.len();
        let mut first = 0;
        for (at, member) in members.into_iter().enumerate() {
            let end = first + each + usize::from(at < more);
            if end > first
                && let Some(topics) = assigned.get_mut(member)
            {
                topics.insert(topic.clone(), (first..end).filter_map(|index| i32::try_from(index).ok()).collect());
            }
            first = end;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_even_and_cover_all() {
        let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let subscriptions =
            BTreeMap::from([("m1", topics(&["a", "b"])), ("m2", topics(&["a"])), ("m3", topics(&["a", "gone"]))]);
        let partitions = BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 2), ("gone".to_owned(), 0)]);
        let shown: Vec<String> =
            range(&subscriptions, &partitions).iter().map(|(member, topics)| format!("{member} {topics:?}")).collect();
        assert_eq!(shown, [r#"m1 {"a": [0, 1, 2], "b": [0, 1]}"#, r#"m2 {"a": [3, 4]}"#, r#"m3 {"a": [5, 6]}"#]);
        let many = BTreeMap::from([("m1", topics(&["a"])), ("m2", topics(&["a"]))]);
        let one = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(range(&many, &one)["m2"], BTreeMap::new());
    }
}
