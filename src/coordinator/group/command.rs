//! What a group coordinator is asked, and what comes of it.

use std::sync::Arc;

use felice_protocol::{
    Uuid,
    coordinator::GroupRecord,
    error::ErrorCode,
    messages::{
        consumer_group_describe, consumer_group_heartbeat::*, delete_groups::DeletableGroupResult, describe_groups,
        heartbeat::*, join_group::*, leave_group::*, list_groups::ListedGroup, offset_commit::*, offset_delete::*,
        offset_fetch::*, sync_group::*,
    },
};

/// Names a call until it is answered. Unique within a coordinator's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Who calls, and with what it cannot make up itself.
#[derive(Debug, Clone)]
pub struct Caller {
    pub call: CallId,
    /// The version of the request: some rules depend on it.
    pub version: i16,
    pub client_id: Arc<str>,
    /// As Kafka's tools show it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// Random: for a member id, should one be needed.
    pub fresh: Uuid,
}

/// What may change a group. Topics are named by name: who received ids has resolved them.
#[derive(Debug, Clone)]
pub enum Command {
    JoinGroup(JoinGroupRequest),
    SyncGroup(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    /// Topics have their names *and* ids (zero where there is none).
    OffsetCommit(OffsetCommitRequest),
    OffsetDelete(OffsetDeleteRequest),
    /// One group of a DeleteGroups request.
    DeleteGroup(String),
}

/// What only looks.
#[derive(Debug, Clone)]
pub enum Query {
    /// One group of an OffsetFetch request, in the form of version 8 and later. Topics have their names, and their ids
    /// where they were asked for by id.
    OffsetFetch {
        group: OffsetFetchRequestGroup,
        require_stable: bool,
    },
    /// Everything that passes the filters, which are empty where everything does.
    ListGroups {
        states: Vec<String>,
        types: Vec<String>,
    },
    DescribeGroup(String),
    ConsumerGroupDescribe(String),
}

/// Declares [`Answer`], and that whoever knows what was asked takes the answer out by its type.
macro_rules! answers {
    ($($kind:ident($told:ty)),* $(,)?) => {
        /// What a call is answered. Throttle times are not set here.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Answer {
            $($kind($told)),*
        }

        $(impl TryFrom<Answer> for $told {
            type Error = AnotherAnswer;

            fn try_from(answer: Answer) -> Result<Self, AnotherAnswer> {
                match answer {
                    Answer::$kind(told) => Ok(told),
                    _ => Err(AnotherAnswer),
                }
            }
        })*
    };
}

/// It answers something else than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnotherAnswer;

answers! {
    JoinGroup(JoinGroupResponse),
    SyncGroup(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetDelete(OffsetDeleteResponse),
    DeleteGroup(DeletableGroupResult),
    OffsetFetch(OffsetFetchResponseGroup),
    ListGroups(Vec<ListedGroup>),
    DescribeGroup(describe_groups::DescribedGroup),
    ConsumerGroupDescribe(consumer_group_describe::DescribedGroup),
}

impl Answer {
    /// The same answer where what it tells was not appended or not committed: as [`Command::refused`].
    #[must_use]
    pub fn failed(self, error: ErrorCode) -> Answer {
        let code = error.code();
        match self {
            Answer::JoinGroup(answer) => Answer::JoinGroup(refused_join(answer.member_id, error)),
            Answer::SyncGroup(_) => Answer::SyncGroup(refused_sync(error)),
            Answer::Heartbeat(_) => Answer::Heartbeat(HeartbeatResponse { error_code: code, ..Default::default() }),
            Answer::LeaveGroup(_) => Answer::LeaveGroup(LeaveGroupResponse { error_code: code, ..Default::default() }),
            Answer::ConsumerGroupHeartbeat(_) => Answer::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..ConsumerGroupHeartbeatResponse::default()
            }),
            Answer::OffsetCommit(mut answer) => {
                let partitions = answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions
                    .filter(|partition| partition.error_code == 0)
                    .for_each(|partition| partition.error_code = code);
                Answer::OffsetCommit(answer)
            }
            Answer::OffsetDelete(_) => {
                Answer::OffsetDelete(OffsetDeleteResponse { error_code: code, ..OffsetDeleteResponse::default() })
            }
            Answer::DeleteGroup(answer) => Answer::DeleteGroup(DeletableGroupResult { error_code: code, ..answer }),
            // What only looks does not wait for records.
            query => query,
        }
    }
}

impl Command {
    /// Whether a later decision may answer it, and then the answer where none comes.
    pub fn may_wait(&self, error: ErrorCode) -> Option<Answer> {
        match self {
            Command::JoinGroup(request) => Some(Answer::JoinGroup(refused_join(request.member_id.clone(), error))),
            Command::SyncGroup(_) => Some(Answer::SyncGroup(refused_sync(error))),
            _ => None,
        }
    }

    /// The group that is meant.
    pub fn group_id(&self) -> &str {
        match self {
            Command::JoinGroup(request) => &request.group_id,
            Command::SyncGroup(request) => &request.group_id,
            Command::Heartbeat(request) => &request.group_id,
            Command::LeaveGroup(request) => &request.group_id,
            Command::ConsumerGroupHeartbeat(request) => &request.group_id,
            Command::OffsetCommit(request) => &request.group_id,
            Command::OffsetDelete(request) => &request.group_id,
            Command::DeleteGroup(group_id) => group_id,
        }
    }

    /// The answer where the command could not be carried out at all: no coordinator here, or not yet.
    pub fn refused(self, error: ErrorCode) -> Answer {
        let code = error.code();
        match self {
            Command::JoinGroup(request) => Answer::JoinGroup(refused_join(request.member_id, error)),
            Command::SyncGroup(_) => Answer::SyncGroup(refused_sync(error)),
            // As Kafka: while its group is loaded a member is not disturbed, and its session begins when that is done.
            Command::Heartbeat(_) if error == ErrorCode::CoordinatorLoadInProgress => {
                Answer::Heartbeat(HeartbeatResponse::default())
            }
            Command::Heartbeat(_) => Answer::Heartbeat(HeartbeatResponse { error_code: code, ..Default::default() }),
            Command::LeaveGroup(_) => Answer::LeaveGroup(LeaveGroupResponse { error_code: code, ..Default::default() }),
            Command::ConsumerGroupHeartbeat(_) => Answer::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..ConsumerGroupHeartbeatResponse::default()
            }),
            Command::OffsetCommit(request) => Answer::OffsetCommit(refused_commit(request, error)),
            Command::OffsetDelete(_) => {
                Answer::OffsetDelete(OffsetDeleteResponse { error_code: code, ..OffsetDeleteResponse::default() })
            }
            Command::DeleteGroup(group_id) => {
                Answer::DeleteGroup(DeletableGroupResult { group_id, error_code: code, ..Default::default() })
            }
        }
    }
}

/// A JoinGroup that is answered with an error.
pub fn refused_join(member_id: String, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code: error.code(), member_id, ..JoinGroupResponse::default() }
}

/// A SyncGroup that is answered with an error.
pub fn refused_sync(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() }
}

/// An OffsetCommit of which nothing was committed.
pub fn refused_commit(request: OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let partition = |partition: OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: error.code(),
        ..OffsetCommitResponsePartition::default()
    };
    let topic = |topic: OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetCommitResponseTopic::default()
    };
    OffsetCommitResponse { topics: request.topics.into_iter().map(topic).collect(), ..OffsetCommitResponse::default() }
}

/// What decisions come to: records, which are applied already to the state that later decisions see, and answers, which may
/// leave when these records are committed.
#[derive(Debug, Default)]
pub struct Out {
    pub records: Vec<GroupRecord>,
    pub answers: Vec<(CallId, Answer)>,
    /// Each record may hold without those after it, so that they may be several appends; all others are one.
    pub is_divisible: bool,
}

impl Out {
    pub fn answer(&mut self, call: CallId, answer: Answer) {
        self.answers.push((call, answer));
    }
}
