//! Members of groups, over sockets.

use std::{thread, time::Duration};

use felice_protocol::{
    error::ErrorCode,
    messages::{heartbeat::HeartbeatRequest, join_group::*, sync_group::*},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    client::{Client, error},
    harness::Process,
    offsets::coordinate,
};

const SESSION: Duration = Duration::from_secs(1);

/// Joins a group alone, and has an assignment; returns the heartbeat of who it is.
fn join_alone(client: &mut Client, group: &str) -> HeartbeatRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..JoinGroupRequestProtocol::default() };
    let join = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: SESSION.as_millis() as i32,
        rebalance_timeout_ms: SESSION.as_millis() as i32,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let joined = client.call(3, &join);
    assert_eq!(error(joined.error_code), ErrorCode::None);
    let sync = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..SyncGroupRequest::default()
    };
    assert_eq!(error(client.call(3, &sync).error_code), ErrorCode::None);
    HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..HeartbeatRequest::default()
    }
}

#[test]
fn a_broker_that_was_stopped_for_a_while_hears_its_members_before_it_takes_them_for_dead() {
    let folder = TempDir::new().unwrap();
    let settings =
        ["offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=100"];
    let broker = Process::start(folder.path(), &settings);
    let mut clients: Vec<Client> = (0..20).map(|_| broker.client()).collect();
    coordinate(&mut clients[0], "g");
    let group = |index: usize| format!("g{index}");
    let beats: Vec<HeartbeatRequest> =
        clients.iter_mut().enumerate().map(|(index, client)| join_alone(client, &group(index))).collect();
    let process = Pid::from_raw(broker.id() as i32).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    thread::sleep(3 * SESSION);
    for (client, beat) in clients.iter_mut().zip(&beats) {
        client.send(4, beat);
    }
    kill_process(process, Signal::CONT).unwrap();
    for client in &mut clients {
        let (_, answer) = client.receive::<felice_protocol::messages::heartbeat::HeartbeatResponse>(4);
        assert_eq!(error(answer.error_code), ErrorCode::None);
    }
    // Who is dead is found out all the same.
    thread::sleep(2 * SESSION);
    assert_eq!(error(clients[0].call(4, &beats[0]).error_code), ErrorCode::UnknownMemberId);
}
