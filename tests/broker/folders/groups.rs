//! Groups in a kept folder: who is in them, what was assigned and committed, and which of them are no more.

use std::collections::BTreeMap;

use bytes::Bytes;
use felice_protocol::{
    error::ErrorCode,
    messages::{
        consumer_group_describe::{self, ConsumerGroupDescribeRequest},
        consumer_group_heartbeat::*,
        consumer_protocol::*,
        delete_groups::DeleteGroupsRequest,
        describe_groups::DescribeGroupsRequest,
        heartbeat::HeartbeatRequest,
        join_group::*,
        leave_group::*,
        list_groups::ListGroupsRequest,
        offset_commit::*,
        offset_delete::*,
        offset_fetch::*,
        sync_group::*,
    },
    schema::Stored,
};
use serde::{Deserialize, Serialize};

use crate::{
    client::{Client, error},
    group_settings,
    offsets::{coordinate, until},
};

/// For the broker that makes a folder: its clock stands still, so that nothing may wait for time to pass; and few partitions.
pub const SETTINGS: &[&str] = &[
    "group.initial.rebalance.delay.ms=0",
    "group.consumer.assignment.interval.ms=0",
    "offsets.topic.num.partitions=3",
];

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ExpectedGroups {
    pub live: Vec<ExpectedGroup>,
    /// Whose deletion is in the log.
    pub deleted: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedGroup {
    pub id: String,
    /// As ListGroups names it: `classic` or `consumer`.
    pub kind: String,
    pub state: String,
    /// Of a classic group its protocol, of a consumer group its assignor.
    pub protocol: String,
    /// Generation or epoch.
    pub epoch: i32,
    /// Of its own.
    pub heartbeat_interval_ms: Option<String>,
    pub members: Vec<ExpectedMember>,
    pub offsets: Vec<ExpectedOffset>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub epoch: i32,
    /// Of a classic member the bytes that it sent, in hexadecimal; else the names of topics and the regular expression.
    pub subscription: String,
    /// Of a classic member the bytes that its leader sent; else partitions by topic.
    pub assignment: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Option<String>,
}

// -- what is in it --

impl ExpectedGroups {
    pub fn check(&self, client: &mut Client) {
        // Asking for a coordinator makes the topic, which older folders do not have.
        let Some(first) = self.live.first() else { return };
        coordinate(client, &first.id);
        let mut listed: Vec<_> = client
            .call(5, &ListGroupsRequest::default())
            .groups
            .into_iter()
            .map(|group| (group.group_id, group.group_type, group.group_state))
            .collect();
        listed.sort();
        let mut expected: Vec<_> =
            self.live.iter().map(|group| (group.id.clone(), group.kind.clone(), group.state.clone())).collect();
        expected.sort();
        assert_eq!(listed, expected);
        for group in &self.live {
            assert_eq!(&told(client, &group.id, &group.kind, group.epoch), group);
            group.check_members(client);
        }
        for group in &self.deleted {
            let request = DescribeGroupsRequest { groups: vec![group.clone()], ..DescribeGroupsRequest::default() };
            let answer = client.call(6, &request).groups.remove(0);
            assert_eq!((error(answer.error_code), offsets(client, group)), (ErrorCode::GroupIdNotFound, vec![]));
        }
    }

    /// Each kind of what a log may say of groups is there.
    pub fn check_variety(&self) {
        let of = |kind: &'static str, state: &'static str| {
            self.live.iter().filter(move |group| group.kind == kind && group.state == state)
        };
        for kind in ["classic", "consumer"] {
            let mut members = of(kind, "Stable").flat_map(|group| &group.members);
            assert!(members.clone().any(|member| member.instance_id.is_some()), "{kind}");
            assert!(members.any(|member| member.instance_id.is_none()), "{kind}");
        }
        assert!(of("classic", "Empty").any(|group| group.epoch > 0), "one whose members have left");
        assert!(of("classic", "Empty").any(|group| group.epoch == 0), "one that never had any");
        let mut consumers = of("consumer", "Stable").flat_map(|group| &group.members);
        assert!(consumers.any(|member| !member.subscription.ends_with("Some(\"\")")), "a regular expression");
        assert!(self.live.iter().any(|group| group.heartbeat_interval_ms.is_some()));
        assert!(self.live.iter().all(|group| !group.offsets.is_empty()));
        assert!(!self.deleted.is_empty());
    }

    /// Each member commits once more.
    pub fn go_on(&mut self, client: &mut Client) {
        for group in &mut self.live {
            let (Some(member), Some(committed)) = (group.members.first(), group.offsets.first_mut()) else { continue };
            committed.offset += 1;
            committed.metadata = Some("went on".to_owned());
            commit(client, &group.id, Some(member), committed);
        }
    }
}

impl ExpectedGroup {
    /// They are known by their generation or epoch and by no other.
    fn check_members(&self, client: &mut Client) {
        for member in &self.members {
            for (ahead, fenced) in [(0, None), (1, Some([ErrorCode::IllegalGeneration, ErrorCode::FencedMemberEpoch]))]
            {
                let [classic, consumer] = fenced.unwrap_or([ErrorCode::None; 2]);
                if self.kind == "classic" {
                    let request = HeartbeatRequest {
                        group_id: self.id.clone(),
                        generation_id: member.epoch + ahead,
                        member_id: member.id.clone(),
                        group_instance_id: member.instance_id.clone(),
                        ..HeartbeatRequest::default()
                    };
                    assert_eq!(error(client.call(4, &request).error_code), classic, "{self:?}");
                } else {
                    let request = ConsumerGroupHeartbeatRequest {
                        group_id: self.id.clone(),
                        member_id: member.id.clone(),
                        member_epoch: member.epoch + ahead,
                        instance_id: member.instance_id.clone(),
                        ..ConsumerGroupHeartbeatRequest::default()
                    };
                    let answer = client.call(1, &request);
                    assert_eq!(error(answer.error_code), consumer, "{self:?}");
                    assert!(ahead > 0 || answer.member_epoch == member.epoch, "{answer:?}: {self:?}");
                }
            }
        }
    }
}

/// What the broker tells of a group, but for a classic one's generation, which it does not.
fn told(client: &mut Client, id: &str, kind: &str, generation: i32) -> ExpectedGroup {
    let (state, protocol, epoch, mut members) =
        if kind == "classic" { told_of_classic(client, id, generation) } else { told_of_consumer(client, id) };
    members.sort_by(|a, b| a.id.cmp(&b.id));
    ExpectedGroup {
        id: id.to_owned(),
        kind: kind.to_owned(),
        state,
        protocol,
        epoch,
        heartbeat_interval_ms: group_settings::own_heartbeat_interval(client, id),
        members,
        offsets: offsets(client, id),
    }
}

type Told = (String, String, i32, Vec<ExpectedMember>);

fn told_of_classic(client: &mut Client, id: &str, generation: i32) -> Told {
    let request = DescribeGroupsRequest { groups: vec![id.to_owned()], ..DescribeGroupsRequest::default() };
    let group = client.call(6, &request).groups.remove(0);
    assert_eq!(error(group.error_code), ErrorCode::None, "{id}");
    let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let members = group.members.into_iter().map(|member| ExpectedMember {
        id: member.member_id,
        instance_id: member.group_instance_id,
        epoch: generation,
        subscription: hex(&member.member_metadata),
        assignment: hex(&member.member_assignment),
    });
    (group.group_state, group.protocol_data, generation, members.collect())
}

fn told_of_consumer(client: &mut Client, id: &str) -> Told {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![id.to_owned()], ..Default::default() };
    let group = client.call(1, &request).groups.remove(0);
    assert_eq!(error(group.error_code), ErrorCode::None, "{id}");
    assert_eq!(group.assignment_epoch, group.group_epoch, "{id}");
    let assignment = |assigned: &consumer_group_describe::Assignment| {
        let topics = assigned.topic_partitions.iter().map(|topic| (topic.topic_name.clone(), topic.partitions.clone()));
        format!("{:?}", topics.collect::<BTreeMap<_, _>>())
    };
    let members = group.members.into_iter().map(|member| {
        assert_eq!(assignment(&member.assignment), assignment(&member.target_assignment), "{id}");
        ExpectedMember {
            id: member.member_id,
            instance_id: member.instance_id,
            epoch: member.member_epoch,
            subscription: format!("{:?} {:?}", member.subscribed_topic_names, member.subscribed_topic_regex),
            assignment: assignment(&member.assignment),
        }
    });
    (group.group_state, group.assignor_name, group.group_epoch, members.collect())
}

fn offsets(client: &mut Client, group: &str) -> Vec<ExpectedOffset> {
    let group = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let answer = client.call(9, &request).groups.remove(0);
    assert_eq!(error(answer.error_code), ErrorCode::None);
    let of = |topic: OffsetFetchResponseTopics| {
        topic.partitions.into_iter().map(move |partition| ExpectedOffset {
            topic: topic.name.clone(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
        })
    };
    answer.topics.into_iter().flat_map(of).collect()
}

fn commit(client: &mut Client, group: &str, member: Option<&ExpectedMember>, offset: &ExpectedOffset) {
    let partition = OffsetCommitRequestPartition {
        partition_index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        committed_metadata: offset.metadata.clone(),
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: member.map_or(-1, |member| member.epoch),
        member_id: member.map(|member| member.id.clone()).unwrap_or_default(),
        group_instance_id: member.and_then(|member| member.instance_id.clone()),
        topics: vec![OffsetCommitRequestTopic {
            name: offset.topic.clone(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let code = client.call(9, &request).topics[0].partitions[0].error_code;
    assert_eq!(error(code), ErrorCode::None, "{group}");
}

// -- how it is made --

/// Needs the topics `segments`, of 3 partitions, `codecs`, of 1, and `empty`, of 2. The second client is for whoever waits for the first.
pub fn fill(client: &mut Client, other: &mut Client) -> ExpectedGroups {
    coordinate(client, "simple");
    // Offsets without members, one of which was deleted.
    for partition in 0..3 {
        commit(client, "simple", None, &at("segments", partition, 7 + i64::from(partition)));
    }
    delete_offset(client, "simple", "segments", 1);

    // A rebalanced group of a static leader and another member.
    let generation = classic_group(client, other, "classic");
    let told_now = told(client, "classic", "classic", generation);
    commit(client, "classic", told_now.members.first(), &at("segments", 0, 20));
    commit(client, "classic", told_now.members.last(), &at("codecs", 0, 3));

    // One whose member has left, and one that has since become a consumer group.
    for group in ["left", "converted"] {
        let (member, _) = join(client, group, None);
        let joined = ExpectedMember {
            id: member.clone(),
            instance_id: None,
            epoch: 1,
            subscription: String::new(),
            assignment: String::new(),
        };
        assert_eq!(sync(client, group, &joined, &[(&member, b"all of it")]), &b"all of it"[..]);
        commit(client, group, Some(&joined), &at("segments", 2, 11));
        leave(client, group, &member);
    }
    consumers(client, "converted", &mut [consumer("converted-member", None, &["segments"], None)]);

    // Members by names, static ones, and by a regular expression.
    group_settings::set_heartbeat_interval(client, "consumer", "6000");
    let mut members = [
        consumer("member-by-name", None, &["segments"], None),
        consumer("member-static", Some("instance"), &["segments"], None),
        consumer("member-by-regex", None, &[], Some("codec.|empty")),
    ];
    consumers(client, "consumer", &mut members);
    let told_now = told(client, "consumer", "consumer", 0);
    commit(client, "consumer", told_now.members.first(), &at("segments", 0, 30));

    commit(client, "deleted", None, &at("segments", 0, 1));
    let request = DeleteGroupsRequest { groups_names: vec!["deleted".to_owned()], ..Default::default() };
    assert_eq!(client.call(2, &request).results[0].error_code, 0);

    let live = [
        ("classic", "classic", generation),
        ("consumer", "consumer", 0),
        ("converted", "consumer", 0),
        ("left", "classic", 2),
        ("simple", "classic", 0),
    ];
    ExpectedGroups {
        live: live.map(|(id, kind, generation)| told(client, id, kind, generation)).into(),
        deleted: vec!["deleted".to_owned()],
    }
}

fn at(topic: &str, partition: i32, offset: i64) -> ExpectedOffset {
    let metadata = Some(format!("at {offset}"));
    ExpectedOffset { topic: topic.to_owned(), partition, offset, leader_epoch: 0, metadata }
}

fn delete_offset(client: &mut Client, group: &str, topic: &str, partition_index: i32) {
    let topic = OffsetDeleteRequestTopic {
        name: topic.to_owned(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index, ..Default::default() }],
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: vec![topic], ..Default::default() };
    let answer = client.call(0, &request);
    assert_eq!((answer.error_code, answer.topics[0].partitions[0].error_code), (0, 0));
}

fn join_request(group: &str, member_id: &str, instance_id: Option<&str>) -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["codecs".to_owned(), "segments".to_owned()],
        user_data: Some(Bytes::from_static(b"letters")),
        ..ConsumerProtocolSubscription::default()
    };
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: subscription.encode_with_version(3).unwrap(),
        ..JoinGroupRequestProtocol::default()
    };
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

/// Joins a group in which nobody is: the member's id and the generation.
fn join(client: &mut Client, group: &str, instance_id: Option<&str>) -> (String, i32) {
    let mut answer = client.call(9, &join_request(group, "", instance_id));
    if error(answer.error_code) == ErrorCode::MemberIdRequired {
        answer = client.call(9, &join_request(group, &answer.member_id, instance_id));
    }
    assert_eq!(error(answer.error_code), ErrorCode::None, "{group}");
    (answer.member_id, answer.generation_id)
}

fn sync(client: &mut Client, group: &str, member: &ExpectedMember, assignments: &[(&str, &'static [u8])]) -> Bytes {
    let assignment = |(member_id, assignment): &(&str, &'static [u8])| SyncGroupRequestAssignment {
        member_id: (*member_id).to_owned(),
        assignment: Bytes::from_static(assignment),
        ..SyncGroupRequestAssignment::default()
    };
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: member.epoch,
        member_id: member.id.clone(),
        group_instance_id: member.instance_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assignments.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    };
    let answer = client.call(5, &request);
    assert_eq!(error(answer.error_code), ErrorCode::None, "{group}");
    answer.assignment
}

/// A static member leads, another has joined it. Returns the generation.
fn classic_group(client: &mut Client, other: &mut Client, group: &str) -> i32 {
    let (leader, first) = join(client, group, Some("instance"));
    let follower = other.call(9, &join_request(group, "", None)).member_id;
    other.send(9, &join_request(group, &follower, None));
    let heartbeat = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: first,
        member_id: leader.clone(),
        group_instance_id: Some("instance".to_owned()),
        ..HeartbeatRequest::default()
    };
    until(|| (error(client.call(4, &heartbeat).error_code) == ErrorCode::RebalanceInProgress).then_some(()));
    let joined = client.call(9, &join_request(group, &leader, Some("instance")));
    let (_, followed): (i32, JoinGroupResponse) = other.receive(9);
    assert_eq!((joined.error_code, followed.error_code, joined.members.len()), (0, 0, 2));
    assert_eq!((&joined.leader, joined.generation_id), (&leader, followed.generation_id));
    let member = |id: &str, instance_id: Option<&str>| ExpectedMember {
        id: id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
        epoch: joined.generation_id,
        subscription: String::new(),
        assignment: String::new(),
    };
    let assignments: [(&str, &'static [u8]); 2] = [(&leader, b"the leader's"), (&follower, b"the other's")];
    assert_eq!(sync(client, group, &member(&leader, Some("instance")), &assignments), &b"the leader's"[..]);
    assert_eq!(sync(other, group, &member(&follower, None), &[]), &b"the other's"[..]);
    joined.generation_id
}

fn leave(client: &mut Client, group: &str, member: &str) {
    let member = MemberIdentity { member_id: member.to_owned(), ..MemberIdentity::default() };
    let request = LeaveGroupRequest { group_id: group.to_owned(), members: vec![member], ..Default::default() };
    let answer = client.call(5, &request);
    assert_eq!((answer.error_code, answer.members[0].error_code), (0, 0));
}

/// A member of a consumer group, as its next heartbeat has it.
fn consumer(
    id: &str,
    instance_id: Option<&str>,
    topics: &[&str],
    regex: Option<&str>,
) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        member_id: id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        subscribed_topic_regex: regex.map(str::to_owned),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// Has members join and go on until each has partitions and all have come to the same epoch.
fn consumers(client: &mut Client, group: &str, members: &mut [ConsumerGroupHeartbeatRequest]) {
    until(|| {
        for member in &mut *members {
            member.group_id = group.to_owned();
            let answer = client.call(1, member);
            assert_eq!(error(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
            member.member_epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                member.topic_partitions = Some(assignment.topic_partitions);
            }
        }
        let (state, _, epoch, told) = told_of_consumer_if_assigned(client, group)?;
        let is_quiet = state == "Stable" && told.iter().all(|member| member.epoch == epoch);
        let has_all = members.iter().all(|member| member.topic_partitions.as_ref().is_some_and(|has| !has.is_empty()));
        (is_quiet && has_all).then_some(())
    });
}

fn told_of_consumer_if_assigned(client: &mut Client, group: &str) -> Option<Told> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    let now = client.call(1, &request).groups.remove(0);
    let is_assigned = now.members.iter().all(|member| member.assignment == member.target_assignment);
    (is_assigned && now.assignment_epoch == now.group_epoch).then(|| told_of_consumer(client, group))
}
