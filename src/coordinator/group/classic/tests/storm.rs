//! Many members at once, and members that do anything at any time.

use std::collections::BTreeMap;

use super::*;

/// With work that is quadratic somewhere this would take minutes.
#[test]
fn ten_thousand_members_join_sync_and_are_lost() {
    const MEMBERS: usize = 10_000;
    let mut bench = Bench::new(GroupSettings { record_max_bytes: usize::MAX, ..GroupSettings::default() });
    let pending: Vec<CallId> = (0..MEMBERS).map(|_| bench.join(joining(""))).collect();
    let ids: Vec<String> = pending.into_iter().map(|call| bench.refused(call).1).collect();
    let calls: Vec<CallId> = ids.iter().map(|id| bench.join(joining(id))).collect();
    bench.pass(SETTLE_MS);
    let seats: Vec<Seat> = calls.into_iter().map(|call| bench.seat(call, &joining(""))).collect();
    assert_eq!(seats.iter().map(|seat| seat.members.len()).sum::<usize>(), MEMBERS, "only the leader is told of all");
    let calls: Vec<CallId> = seats.iter().map(|seat| bench.sync(seat, &[])).collect();
    for call in calls {
        assert_eq!(bench.synced(call), Some(Ok(String::new())));
    }
    for seat in &seats {
        assert_eq!(bench.heartbeat(seat), ErrorCode::None);
    }
    // All join once more, then all sessions end at the same time.
    let leader = seats.iter().position(|seat| seat.leads).expect("a leader");
    let mut calls = vec![bench.join(joining(&seats[leader].member_id))];
    calls.extend(
        seats.iter().filter(|seat| !seat.leads).map(|seat| seat.member_id.clone()).map(|id| bench.join(joining(&id))),
    );
    for call in calls {
        assert_eq!(bench.seat(call, &joining("")).generation, 2);
    }
    bench.pass(i64::from(SESSION_MS));
    assert_eq!(bench.state(), "Empty");
}

/// A client that does what clients do, and at times something else.
#[derive(Debug, Clone, Default)]
struct Client {
    instance_id: Option<String>,
    seat: Option<Seat>,
    member_id: String,
    call: Option<CallId>,
    synced: bool,
    metadata: u64,
}

struct Storm {
    bench: Bench,
    clients: Vec<Client>,
    random: u64,
    /// What was told to whom as its assignment, by generation. Forgotten with a restart: a generation that was not recorded comes again.
    told: BTreeMap<(i32, String), String>,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut storm = Storm {
            bench: Bench::new(GroupSettings { classic_max_size: 7, ..GroupSettings::default() }),
            clients: Vec::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            told: BTreeMap::new(),
        };
        for at in 0..6 {
            let instance_id = (at % 3 == 0).then(|| format!("i{at}"));
            storm.clients.push(Client { instance_id, ..Client::default() });
        }
        storm
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn join(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let request = JoinGroupRequest {
            group_instance_id: client.instance_id.clone(),
            protocols: protocols(&[("range", &client.metadata.to_string())]),
            ..joining(&client.member_id)
        };
        let version = if self.below(3) == 0 { 3 } else { 9 };
        let call = self.bench.call_as(Command::JoinGroup(request), version, "client");
        self.clients[at].call = Some(call);
        self.clients[at].seat = None;
        self.clients[at].synced = false;
    }

    fn sync(&mut self, at: usize) {
        let Some(seat) = self.clients[at].seat.clone() else { return };
        let assigned: Vec<String> = seat.members.iter().map(|id| format!("{} of {id}", seat.generation)).collect();
        let assignments: Vec<(&str, &str)> =
            seat.members.iter().zip(&assigned).map(|(id, assigned)| (&**id, &**assigned)).collect();
        let call = self.bench.sync(&seat, &assignments);
        self.clients[at].call = Some(call);
    }

    /// Takes the answer of a client's call, if there is one.
    fn listen(&mut self, at: usize) {
        let Some(call) = self.clients[at].call else { return };
        let Some(answer) = self.bench.answer(call) else { return };
        let client = &mut self.clients[at];
        client.call = None;
        match answer {
            Answer::JoinGroup(answer) => match error(answer.error_code) {
                ErrorCode::None => {
                    client.member_id = answer.member_id.clone();
                    client.seat = Some(Seat {
                        leads: answer.leader == answer.member_id,
                        member_id: answer.member_id,
                        instance_id: client.instance_id.clone(),
                        generation: answer.generation_id,
                        members: answer.members.into_iter().map(|member| member.member_id).collect(),
                    });
                }
                ErrorCode::MemberIdRequired => client.member_id = answer.member_id,
                ErrorCode::RebalanceInProgress => {}
                ErrorCode::UnknownMemberId
                | ErrorCode::FencedInstanceId
                | ErrorCode::GroupMaxSizeReached
                | ErrorCode::UnknownServerError => client.member_id = String::new(),
                other => panic!("a join is answered {other:?}"),
            },
            Answer::SyncGroup(answer) => match error(answer.error_code) {
                ErrorCode::None => {
                    let Some(seat) = &client.seat else { return };
                    let assignment = String::from_utf8(answer.assignment.to_vec()).expect("text");
                    // A static member that has come back has what its old member id was given.
                    let expected = match seat.member_id.starts_with('i') {
                        true => assignment.starts_with(&format!("{} of i", seat.generation)),
                        false => assignment == format!("{} of {}", seat.generation, seat.member_id),
                    };
                    assert!(assignment.is_empty() || expected, "{assignment:?} for {seat:?}");
                    let key = (seat.generation, seat.member_id.clone());
                    let before = self.told.entry(key).or_insert_with(|| assignment.clone());
                    assert_eq!(*before, assignment, "a member's assignment changes within a generation");
                    client.synced = true;
                }
                ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => client.seat = None,
                ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                    client.seat = None;
                    client.member_id = String::new();
                }
                other => panic!("a sync is answered {other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// What a client does that behaves.
    fn behave(&mut self, at: usize) {
        self.listen(at);
        let client = self.clients[at].clone();
        match (client.call, client.seat) {
            (Some(_), _) => {}
            (None, None) => self.join(at),
            (None, Some(_)) if !client.synced => self.sync(at),
            (None, Some(seat)) => match self.bench.heartbeat(&seat) {
                ErrorCode::None => {}
                ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => self.join(at),
                ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                    self.clients[at].member_id = String::new();
                    self.join(at);
                }
                other => panic!("a heartbeat is answered {other:?}"),
            },
        }
    }

    fn misbehave(&mut self, at: usize) {
        match self.below(9) {
            // It has crashed, and starts anew.
            0 => {
                let instance_id = self.clients[at].instance_id.clone();
                self.clients[at] = Client { instance_id, ..Client::default() };
            }
            1 => {
                let member_id = self.clients[at].member_id.clone();
                self.bench.leave_one(&member_id);
                self.clients[at].member_id = String::new();
            }
            2 => {
                let instance_id = self.clients[at].instance_id.clone();
                self.bench.leave(vec![identity("", instance_id.as_deref())]);
            }
            3 => self.clients[at].metadata += 1,
            // Another connection, the same member.
            4 => self.join(at),
            5 => self.sync(at),
            6 => {
                let far = i64::try_from(self.below(100_000)).expect("small");
                self.bench.pass(far);
            }
            7 => {
                self.bench.restart();
                self.told.clear();
                self.clients.iter_mut().for_each(|client| client.call = None);
            }
            // Somebody else's words.
            _ => {
                let other = usize::try_from(self.below(6)).expect("small");
                self.clients[at].member_id = self.clients[other].member_id.clone();
                self.clients[at].seat = None;
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..400 {
            let at = usize::try_from(self.below(6)).expect("small");
            if self.below(8) == 0 {
                self.misbehave(at);
            } else {
                self.behave(at);
            }
            let passed = i64::try_from(self.below(700)).expect("small");
            self.bench.pass(passed);
        }
        // All behave from here on: the group comes to rest.
        for (at, client) in self.clients.iter_mut().enumerate() {
            // Two under one member id would chase each other for ever.
            let instance_id = client.instance_id.clone();
            *client = Client { instance_id, metadata: client.metadata, ..Client::default() };
            assert!(at < 6);
        }
        for _ in 0..600 {
            for at in 0..6 {
                self.behave(at);
            }
            self.bench.pass(1_000);
        }
        let seats: Vec<&Seat> = self.clients.iter().filter_map(|client| client.seat.as_ref()).collect();
        assert_eq!((self.bench.state(), seats.len()), ("Stable", 6));
        assert!(seats.iter().all(|seat| seat.generation == seats[0].generation), "{seats:?}");
        assert!(self.clients.iter().all(|client| client.synced && client.call.is_none()));
        assert_eq!(self.bench.machine.classic_group(GROUP).expect("a group").members().len(), 6);
        assert_eq!(self.bench.waiting(), 0, "a call is forgotten");
        self.bench.restart();
        assert_eq!(self.bench.state(), "Stable");
    }
}

#[test]
fn members_that_do_anything_leave_a_group_that_comes_to_rest() {
    for seed in 0..200 {
        let result = std::panic::catch_unwind(|| Storm::new(seed).run());
        assert!(result.is_ok(), "seed {seed}");
    }
}
