//! The rules of classic groups, by subject.

mod commit;
mod join;
mod leave;
mod load;
mod rebalance;
mod static_member;
mod storm;
mod sync;

use bytes::Bytes;
use felice_protocol::{
    coordinator::{GroupRecord, offsets::GroupMetadataValue},
    error::ErrorCode,
    messages::{heartbeat::*, join_group::*, leave_group::*, sync_group::*},
};

use super::super::{Answer, CallId, Command, GroupSettings, testing::Bench};

const GROUP: &str = "g";
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
const DELAY_MS: i32 = 3_000;
/// How long the first rebalance takes for members that come together.
const SETTLE_MS: i64 = 2 * DELAY_MS as i64;

fn bench() -> Bench {
    Bench::new(GroupSettings { initial_rebalance_delay_ms: DELAY_MS, ..GroupSettings::default() })
}

fn of_size(max: usize) -> Bench {
    Bench::new(GroupSettings { classic_max_size: max, ..GroupSettings::default() })
}

/// A join of a consumer that knows `range`.
fn joining(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&[("range", "m")]),
        ..JoinGroupRequest::default()
    }
}

fn joining_as(instance_id: &str, member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance_id.to_owned()), ..joining(member_id) }
}

fn protocols(of: &[(&str, &str)]) -> Vec<JoinGroupRequestProtocol> {
    let protocol = |(name, metadata): &(&str, &str)| JoinGroupRequestProtocol {
        name: (*name).to_owned(),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        ..JoinGroupRequestProtocol::default()
    };
    of.iter().map(protocol).collect()
}

fn error(code: i16) -> ErrorCode {
    ErrorCode::from(code)
}

/// What a member has of its group once it has joined.
#[derive(Debug, Clone)]
struct Seat {
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
    leads: bool,
    members: Vec<String>,
}

impl Bench {
    fn join(&mut self, request: JoinGroupRequest) -> CallId {
        self.call(Command::JoinGroup(request))
    }

    /// A join in version 3, which needs no member id.
    fn join_v3(&mut self, request: JoinGroupRequest) -> CallId {
        self.call_as(Command::JoinGroup(request), 3, "client")
    }

    fn joined(&mut self, call: CallId) -> Option<JoinGroupResponse> {
        self.answer(call).map(|answer| match answer {
            Answer::JoinGroup(answer) => answer,
            other => panic!("not of a JoinGroup: {other:?}"),
        })
    }

    fn refused(&mut self, call: CallId) -> (ErrorCode, String) {
        let answer = self.joined(call).expect("answered");
        (error(answer.error_code), answer.member_id)
    }

    fn seat(&mut self, call: CallId, request: &JoinGroupRequest) -> Seat {
        let answer = self.joined(call).expect("answered");
        assert_eq!(error(answer.error_code), ErrorCode::None);
        Seat {
            leads: answer.leader == answer.member_id,
            member_id: answer.member_id,
            instance_id: request.group_instance_id.clone(),
            generation: answer.generation_id,
            members: answer.members.into_iter().map(|member| member.member_id).collect(),
        }
    }

    fn sync(&mut self, seat: &Seat, assignments: &[(&str, &str)]) -> CallId {
        let request = syncing(seat, assignments);
        self.call(Command::SyncGroup(request))
    }

    fn synced(&mut self, call: CallId) -> Option<Result<String, ErrorCode>> {
        self.answer(call).map(|answer| match answer {
            Answer::SyncGroup(answer) if answer.error_code == 0 => {
                Ok(String::from_utf8(answer.assignment.to_vec()).expect("text"))
            }
            Answer::SyncGroup(answer) => Err(error(answer.error_code)),
            other => panic!("not of a SyncGroup: {other:?}"),
        })
    }

    fn heartbeat(&mut self, seat: &Seat) -> ErrorCode {
        let call = self.call(Command::Heartbeat(HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: seat.generation,
            member_id: seat.member_id.clone(),
            group_instance_id: seat.instance_id.clone(),
            ..HeartbeatRequest::default()
        }));
        match self.answer(call) {
            Some(Answer::Heartbeat(answer)) => error(answer.error_code),
            other => panic!("not of a heartbeat: {other:?}"),
        }
    }

    fn leave(&mut self, members: Vec<MemberIdentity>) -> LeaveGroupResponse {
        let request = LeaveGroupRequest { group_id: GROUP.to_owned(), members, ..LeaveGroupRequest::default() };
        let call = self.call(Command::LeaveGroup(request));
        match self.answer(call) {
            Some(Answer::LeaveGroup(answer)) => answer,
            other => panic!("not of a leave: {other:?}"),
        }
    }

    fn leave_one(&mut self, member_id: &str) -> ErrorCode {
        error(self.leave(vec![identity(member_id, None)]).members[0].error_code)
    }

    fn state(&self) -> &'static str {
        self.machine.classic_state(GROUP).unwrap_or("Dead")
    }

    /// A stable group of dynamic members; the first one leads. Each is assigned `a` and its index.
    fn stable(&mut self, size: usize) -> Vec<Seat> {
        let requests: Vec<_> = (0..size).map(|_| joining("")).collect();
        self.stable_of(&requests)
    }

    fn stable_of(&mut self, requests: &[JoinGroupRequest]) -> Vec<Seat> {
        let calls: Vec<CallId> = requests.iter().map(|request| self.join_v3(request.clone())).collect();
        self.pass(SETTLE_MS);
        let mut seats: Vec<Seat> =
            calls.iter().zip(requests).map(|(call, request)| self.seat(*call, request)).collect();
        seats.sort_by_key(|seat| !seat.leads);
        self.sync_all(&seats);
        self.records();
        seats
    }

    fn sync_all(&mut self, seats: &[Seat]) {
        let assigned: Vec<String> = (0..seats.len()).map(|at| format!("a{at}")).collect();
        let assignments: Vec<(&str, &str)> =
            seats.iter().zip(&assigned).map(|(seat, assigned)| (&*seat.member_id, &**assigned)).collect();
        let calls: Vec<CallId> = seats.iter().rev().map(|seat| self.sync(seat, &assignments)).collect();
        for (call, assigned) in calls.into_iter().rev().zip(assigned) {
            assert_eq!(self.synced(call), Some(Ok(assigned)));
        }
        assert_eq!((self.state(), self.waiting()), ("Stable", 0));
    }

    /// The one record that was written since this was asked last.
    fn record(&mut self) -> Option<GroupMetadataValue> {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        match &records[0] {
            GroupRecord::GroupMetadata(key, value) if key.group == GROUP => value.clone(),
            other => panic!("not of the group: {other:?}"),
        }
    }
}

fn syncing(seat: &Seat, assignments: &[(&str, &str)]) -> SyncGroupRequest {
    let assignment = |(member_id, assignment): &(&str, &str)| SyncGroupRequestAssignment {
        member_id: (*member_id).to_owned(),
        assignment: Bytes::copy_from_slice(assignment.as_bytes()),
        ..SyncGroupRequestAssignment::default()
    };
    SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: seat.generation,
        member_id: seat.member_id.clone(),
        group_instance_id: seat.instance_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assignments.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    }
}

fn identity(member_id: &str, instance_id: Option<&str>) -> MemberIdentity {
    MemberIdentity {
        member_id: member_id.to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        ..MemberIdentity::default()
    }
}
