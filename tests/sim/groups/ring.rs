//! One run: clients, a network, a coordinator and its journal, from event to event as the seed says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    panic::{self, AssertUnwindSafe},
};

use felice_protocol::{coordinator::GroupRecord, error::ErrorCode};

use super::{
    client::{Client, Request},
    coordinator::{Coordinator, Decided},
    oracle::{self, Violation, offsets::Offsets, ownership::Ownership},
    plan::{Plan, REBALANCE_TIMEOUT_MAX_MS, SESSION_TIMEOUT_MAX_MS},
    world::{Wants, World},
};
use crate::{
    coordinator::group::{Answer, CallId, Caller, Command, State},
    model::Timestamp,
    sim::{random::Random, trace::Trace},
};

#[derive(Debug)]
pub struct Failure {
    pub violation: Violation,
    pub trace: Trace,
}

/// What a run came to, to see that runs come to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub digest: (u64, u64),
    pub answered: usize,
    pub assigned: usize,
    pub offsets: usize,
    pub lost: usize,
    pub reloads: usize,
    pub conversions: usize,
    /// Members that came to rest.
    pub settled: usize,
}

impl Summary {
    pub fn add(&mut self, other: Summary) {
        self.answered += other.answered;
        self.assigned += other.assigned;
        self.offsets += other.offsets;
        self.lost += other.lost;
        self.reloads += other.reloads;
        self.conversions += other.conversions;
        self.settled += other.settled;
    }
}

/// One seed, one run, one trace. A run that fails is run again, to tell all of it.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    run_telling(seed, false).or_else(|_| run_telling(seed, true))
}

fn run_telling(seed: u64, tells_all: bool) -> Result<Summary, Box<Failure>> {
    let mut ring = Ring::new(seed);
    ring.tells_all = tells_all;
    let result = panic::catch_unwind(AssertUnwindSafe(|| ring.run())).unwrap_or_else(|panicked| {
        let text = panicked.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation::new("panic", text.unwrap_or_default()))
    });
    match result {
        Ok(()) => Ok(Summary { digest: ring.trace.digest(), ..ring.summary }),
        Err(violation) => Err(Box::new(Failure { violation, trace: ring.trace })),
    }
}

pub(super) struct Ring {
    pub(super) random: Random,
    pub(super) trace: Trace,
    /// Every request, record and answer, which takes longer than all the rest.
    tells_all: bool,
    pub(super) now: Timestamp,
    pub(super) plan: Plan,
    pub(super) world: World,
    pub(super) coordinator: Coordinator,
    /// Who runs where, and how many processes there were.
    pub(super) seats: Vec<Option<Client>>,
    lives: Vec<u32>,
    /// What static members want, by group and name.
    statics: BTreeMap<(String, String), Wants>,
    /// Requests and answers on their way, by when they arrive and in the order of their sending.
    wire: BTreeMap<(Timestamp, u64), Message>,
    sent: u64,
    /// When the last request of each seat arrives.
    last_arrival: Vec<Timestamp>,
    /// Requests that have arrived and are not answered.
    open: BTreeMap<CallId, (Asked, Command)>,
    pub(super) commit_at: Timestamp,
    mishap_at: Timestamp,
    /// The next append does.
    pub(super) fails_next: bool,
    /// Nothing goes wrong any more.
    pub(super) heals: bool,
    /// The last offset that was committed: each commit has its own.
    offsets: i64,
    ownership: Ownership,
    pub(super) kept: Offsets,
    pub(super) summary: Summary,
}

#[derive(Debug)]
enum Message {
    Request(Asked, Command, i16),
    Answer { seat: usize, life: u32, call: CallId, answer: Answer },
}

/// A request, and who waits for its answer: a process, or an operator.
#[derive(Debug, Clone)]
struct Asked {
    call: CallId,
    from: Option<(usize, u32)>,
}

impl Ring {
    fn new(seed: u64) -> Ring {
        let mut random = Random::new(seed ^ 0x6772_6f75_7073);
        let plan = Plan::any(&mut random);
        let world = World::new(&mut random);
        let settings = plan.settings(&mut random);
        let now = Timestamp(1_700_000_000_000);
        let mut trace = Trace::default();
        trace.note(format_args!("{plan:?}, {settings:?}"));
        let retention_ms = i64::from(settings.offsets_retention_minutes) * 60_000;
        Ring {
            coordinator: Coordinator::new(settings, now, world.image()),
            seats: (0..plan.seats).map(|_| None).collect(),
            lives: vec![0; plan.seats],
            statics: BTreeMap::new(),
            last_arrival: vec![now; plan.seats],
            random,
            trace,
            tells_all: false,
            now,
            plan,
            world,
            wire: BTreeMap::new(),
            sent: 0,
            open: BTreeMap::new(),
            commit_at: Timestamp(i64::MAX),
            mishap_at: now,
            fails_next: false,
            heals: false,
            offsets: 0,
            ownership: Ownership::default(),
            kept: Offsets::new(retention_ms),
            summary: Summary::default(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        let end = Timestamp(self.now.0 + self.plan.chaos_ms);
        while self.now < end {
            self.step()?;
        }
        self.heal()?;
        self.summary.offsets = self.kept.len();
        Ok(())
    }

    /// Goes on to the next event and does all that is due by then.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        let clients = self.seats.iter().flatten().map(Client::next_at).min();
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let mishap = (!self.heals).then_some(self.mishap_at);
        let next = [clients, wire, mishap, Some(self.commit_at), self.coordinator.machine.next_deadline()];
        let next = next.into_iter().flatten().min().unwrap_or(self.now);
        self.now = Timestamp(next.0.clamp(self.now.0 + 1, self.now.0 + 1_000));
        self.deadlines()?;
        self.deliver()?;
        self.commit()?;
        self.poll()?;
        if !self.heals && self.now >= self.mishap_at {
            self.mishap_at = self.after(1, self.plan.mishap_every_ms * 2);
            self.mishap()?;
        }
        if !self.plan.stale_copies {
            oracle::ownership::check(self.seats.iter().flatten(), &self.coordinator.committed)?;
        }
        Ok(())
    }

    pub(super) fn after(&mut self, least_ms: u64, most_ms: u64) -> Timestamp {
        Timestamp(self.now.0 + self.random.between(least_ms, most_ms.max(least_ms)) as i64)
    }

    fn deadlines(&mut self) -> Result<(), Violation> {
        for _ in 0..1_000 {
            let Some(decided) = self.coordinator.on_deadline(self.now, self.world.image()) else { return Ok(()) };
            if !decided.records.is_empty() || !decided.answers.is_empty() {
                self.note_decided(&"a deadline", &decided);
            }
            self.append(decided)?;
        }
        Err(Violation::new("quiet", "deadlines never end"))
    }

    fn note_decided(&mut self, what: &dyn Display, decided: &Decided) {
        if !self.tells_all {
            let (records, answers) = (decided.records.len(), decided.answers.len());
            return self.trace.note(format_args!("{} {records} records, {answers} answers", self.clock()));
        }
        let mut text = format!("{what}");
        let of_groups = |record: &&GroupRecord| !matches!(record, GroupRecord::OffsetCommit(_, Some(_)));
        decided.records.iter().filter(of_groups).for_each(|record| text += &format!("\n         > {record:?}"));
        let is_commit = |answer: &Answer| matches!(answer, Answer::OffsetCommit(_));
        for (call, answer) in decided.answers.iter().filter(|(_, answer)| !is_commit(answer)) {
            text += &format!("\n         < {} {answer:?}", call.0);
        }
        // What says nothing.
        for silent in [", unknown_tags: UnknownTags(None)", "throttle_time_ms: 0, ", "error_code: 0, "] {
            text = text.replace(silent, "");
        }
        self.trace.note(format_args!("{} {text}", self.clock()));
    }

    pub(super) fn clock(&self) -> i64 {
        self.now.0 - 1_700_000_000_000
    }

    pub(super) fn append(&mut self, decided: Decided) -> Result<(), Violation> {
        self.kept.decided(&decided, &self.coordinator.machine)?;
        if !self.heals && std::mem::take(&mut self.fails_next) && !decided.records.is_empty() {
            return self.fail(decided);
        }
        let was_idle = self.coordinator.in_flight() == 0;
        let answers = self.coordinator.append(decided);
        if was_idle && self.coordinator.in_flight() > 0 {
            self.commit_at = if self.heals { self.now } else { self.after(0, self.plan.commit_ms) };
        }
        if self.random.one_in(8) {
            oracle::replay::check(&self.coordinator)?;
        }
        self.release(answers)
    }

    /// The disk takes nothing now: whoever waits, but for what was appended before, is to look for its coordinator again.
    fn fail(&mut self, decided: Decided) -> Result<(), Violation> {
        self.trace.note(format_args!("{} that cannot be appended", self.clock()));
        let pending = self.coordinator.fail(decided, self.now, self.world.image());
        let waiting: Vec<CallId> = self.open.keys().filter(|call| !pending.contains(call)).copied().collect();
        for call in waiting {
            let Some((asked, command)) = self.open.remove(&call) else { continue };
            self.answer(asked, command.refused(ErrorCode::CoordinatorNotAvailable));
        }
        oracle::replay::check(&self.coordinator)
    }

    /// The journal commits some, or all.
    fn commit(&mut self) -> Result<(), Violation> {
        if self.now < self.commit_at {
            return Ok(());
        }
        let burst = if self.heals { usize::MAX } else { self.random.pick(&[1, 1, 3, usize::MAX]) };
        for _ in 0..burst {
            if !self.commit_one()? {
                break;
            }
        }
        self.commit_at = match self.coordinator.in_flight() {
            0 => Timestamp(i64::MAX),
            _ => self.after(1, self.plan.commit_ms),
        };
        Ok(())
    }

    pub(super) fn commit_one(&mut self) -> Result<bool, Violation> {
        let before = self.coordinator.committed.clone();
        let Some(decided) = self.coordinator.commit() else { return Ok(false) };
        let after = &self.coordinator.committed;
        for group in self.plan.groups.iter().map(|group| group.name) {
            oracle::epochs::check(&before, after, group)?;
            let epochs = [&before, after].map(|state| oracle::epochs::of_group(state, group));
            if epochs.iter().any(|known| known.is_none_or(|(_, members)| members == 0)) {
                self.ownership.forget(group);
                // Who still takes itself for a member joins another group of that name.
                let clients = self.seats.iter_mut().flatten().filter(|client| client.group == group);
                clients.for_each(Client::forget_assured);
            }
            let is_classic = |state: &State| state.classic.contains_key(group);
            let members = epochs[0].is_some_and(|(_, members)| members > 0);
            self.summary.conversions += usize::from(members && is_classic(&before) != is_classic(after));
        }
        self.kept.committed(&decided, (&before, after), &self.world)?;
        self.release(decided.answers)?;
        Ok(true)
    }

    /// Answers leave: what they say holds from here on.
    fn release(&mut self, answers: Vec<(CallId, Answer)>) -> Result<(), Violation> {
        for (call, answer) in answers {
            let Some((asked, command)) = self.open.remove(&call) else {
                let what = format!("{call:?} is answered, which nobody waits for: {answer:?}");
                return Err(Violation::new("answers", what));
            };
            let committed = &self.coordinator.committed;
            let assigned = oracle::vanished::check(&command, &answer, committed, &self.world)?;
            if let Some(assigned) = assigned {
                let whose = (assigned.group, &*assigned.member, assigned.epoch);
                self.ownership.told(whose, &assigned.partitions)?;
                self.summary.assigned += 1;
            }
            self.summary.answered += 1;
            self.answer(asked, answer);
        }
        Ok(())
    }

    fn answer(&mut self, asked: Asked, answer: Answer) {
        let Some((seat, life)) = asked.from else { return };
        if self.is_lost() {
            return;
        }
        let at = if self.heals { self.now } else { self.after(0, self.plan.delay_max_ms) };
        self.send(at, Message::Answer { seat, life, call: asked.call, answer });
    }

    pub(super) fn next_offset(&mut self) -> i64 {
        self.offsets += 1;
        self.offsets
    }

    fn is_lost(&mut self) -> bool {
        !self.heals && self.plan.losses > 0 && self.random.one_in(self.plan.losses)
    }

    fn send(&mut self, at: Timestamp, message: Message) {
        self.sent += 1;
        self.wire.insert((at, self.sent), message);
    }
}

impl Ring {
    /// What has arrived by now, in the order in which it did.
    fn deliver(&mut self) -> Result<(), Violation> {
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Message::Request(asked, command, version) => self.arrived(asked, command, version)?,
                Message::Answer { seat, life, call, answer } => {
                    let is_there = self.lives[seat] == life;
                    let Some(client) = self.seats[seat].as_mut().filter(|_| is_there) else { continue };
                    client.answered(call, answer, self.now, &self.world, &mut self.random)?;
                }
            }
        }
        Ok(())
    }

    fn arrived(&mut self, asked: Asked, command: Command, version: i16) -> Result<(), Violation> {
        let client = asked.from.map_or_else(|| "somebody".to_owned(), |(seat, _)| format!("client {seat}"));
        let caller = Caller {
            call: asked.call,
            version,
            client_id: client.as_str().into(),
            client_host: "/127.0.0.1".into(),
            fresh: self.random.uuid(),
        };
        let what = match &command {
            Command::OffsetCommit(asked) if self.tells_all => {
                format!("{client} commits for {} in epoch {}", asked.group_id, asked.generation_id_or_member_epoch)
            }
            command if self.tells_all => format!("{client} {} {command:?}", asked.call.0),
            _ => String::new(),
        };
        self.open.insert(asked.call, (asked, command.clone()));
        let decided = self.coordinator.decide(self.now, self.world.image(), &caller, command);
        self.note_decided(&what, &decided);
        self.append(decided)
    }

    fn poll(&mut self) -> Result<(), Violation> {
        for seat in 0..self.seats.len() {
            let Some(client) = &mut self.seats[seat] else { continue };
            if client.next_at() > self.now {
                continue;
            }
            if let Some(request) = client.poll(self.now, &self.world, &mut self.offsets, &mut self.random) {
                self.ask(Some(seat), request);
            }
            if self.seats[seat].as_ref().is_some_and(|client| client.is_done) {
                self.seats[seat] = None;
            }
        }
        Ok(())
    }

    /// A request is on its way; those of one client arrive in order.
    pub(super) fn ask(&mut self, seat: Option<usize>, request: Request) {
        let call = CallId(self.sent + 1);
        let from = seat.filter(|_| !request.is_last).map(|seat| (seat, self.lives[seat]));
        if let Some(client) = seat.and_then(|seat| self.seats[seat].as_mut()) {
            client.called(call, self.now, &request);
        }
        let mut at = if self.heals { self.now } else { self.after(0, self.plan.delay_max_ms) };
        if let Some(seat) = seat {
            at = at.max(self.last_arrival[seat]);
            self.last_arrival[seat] = at;
        }
        if self.is_lost() {
            self.sent += 1;
            return;
        }
        let Request { command, version, .. } = request;
        // Not of what may be answered with an assignment that is told only once.
        let may_copy = self.plan.stale_copies && !matches!(command, Command::ConsumerGroupHeartbeat(_));
        let copy = (!self.heals && may_copy && self.random.one_in(10)).then(|| command.clone());
        self.send(at, Message::Request(Asked { call, from }, command, version));
        if let Some(copy) = copy {
            let (at, call) = (self.after(0, 8_000), CallId(self.sent + 1));
            self.send(at, Message::Request(Asked { call, from: None }, copy, version));
        }
    }

    /// A process begins.
    pub(super) fn begin(&mut self, seat: usize) {
        let group = self.random.index(self.plan.groups.len());
        let mut client = self.plan.groups[group].client(seat, self.now, &mut self.random);
        // Kafka does not look whether a static member comes back with the same topics, and so it has to.
        if let Some(instance) = &client.instance {
            let known = self.statics.entry((client.group.clone(), instance.clone()));
            client.wants = known.or_insert_with(|| Wants::any(&mut self.random, false)).clone();
        }
        self.trace.note(format_args!("{} client {seat} begins: {client:?}", self.clock()));
        self.lives[seat] += 1;
        self.seats[seat] = Some(client);
    }

    /// What is not committed is lost, but for the first part of it; who waits is told so, or not.
    pub(super) fn lose_tail(&mut self) -> Result<(), Violation> {
        let (in_flight, kept) = (self.coordinator.in_flight(), self.random.index(self.coordinator.in_flight() + 1));
        self.trace.note(format_args!("{} the coordinator keeps {kept} of {in_flight} decisions", self.clock()));
        for _ in 0..kept {
            self.commit_one()?;
        }
        self.summary.lost += in_flight - kept;
        self.summary.reloads += 1;
        let lost = self.coordinator.lose(self.now, self.world.image());
        let mut told: Vec<(Asked, Answer)> = Vec::new();
        for (call, answer) in lost {
            let Some((asked, _)) = self.open.remove(&call) else {
                return Err(Violation::new("answers", format!("{call:?} was answered before: {answer:?}")));
            };
            told.push((asked, answer.failed(ErrorCode::NotCoordinator)));
        }
        let waiting = std::mem::take(&mut self.open).into_values();
        told.extend(waiting.map(|(asked, command)| (asked, command.refused(ErrorCode::NotCoordinator))));
        for (asked, answer) in told {
            if self.heals || !self.random.one_in(3) {
                self.answer(asked, answer);
            }
        }
        self.commit_at = Timestamp(i64::MAX);
        oracle::replay::check_stored(&self.coordinator)?;
        oracle::replay::check(&self.coordinator)?;
        self.kept.check(&self.coordinator.committed)
    }

    /// All mishaps end. Then every group comes to rest, stays there, and also when its coordinator begins anew.
    fn heal(&mut self) -> Result<(), Violation> {
        self.trace.note(format_args!("{} all mishaps end", self.clock()));
        self.heals = true;
        self.commit_at = self.now;
        for client in self.seats.iter_mut().flatten() {
            client.stalled_until = None;
        }
        // By then the dead are out of their groups, and late copies have arrived.
        self.go_on(SESSION_TIMEOUT_MAX_MS + REBALANCE_TIMEOUT_MAX_MS + 2_000)?;
        self.seats.iter_mut().flatten().for_each(|client| client.answers = 0);
        let give_up = Timestamp(self.now.0 + oracle::quiet::REST_MAX_MS);
        while let Some((group, why)) = self.unrest() {
            if self.now > give_up {
                return Err(Violation::new("quiet", format!("{group} never comes to rest: {why}")));
            }
            let clients = self.seats.iter().flatten().filter(|client| client.group == group);
            let answers = clients.map(|client| client.answers).max().unwrap_or(0);
            oracle::quiet::check_bound(group, answers, Some(why))?;
            self.step()?;
        }
        self.summary.settled += self.seats.iter().flatten().count();
        self.trace.note(format_args!("{} all groups are at rest", self.clock()));
        self.stays_at_rest()?;
        self.lose_tail()?;
        self.stays_at_rest()?;
        if let Some((asked, command)) = self.open.values().next()
            && self.coordinator.in_flight() == 0
        {
            return Err(Violation::new("answers", format!("{asked:?} waits for ever: {command:?}")));
        }
        self.kept.check(&self.coordinator.committed)?;
        oracle::replay::check_stored(&self.coordinator)?;
        oracle::replay::check(&self.coordinator)
    }

    fn go_on(&mut self, ms: i64) -> Result<(), Violation> {
        let until = Timestamp(self.now.0 + ms);
        while self.now < until {
            self.step()?;
        }
        Ok(())
    }

    /// Which group is not at rest, and why.
    fn unrest(&self) -> Option<(&'static str, String)> {
        self.plan.groups.iter().find_map(|group| {
            let clients: Vec<&Client> =
                self.seats.iter().flatten().filter(|client| client.group == group.name).collect();
            let why = oracle::quiet::unrest(group.name, &clients, &self.coordinator.committed, &self.world);
            why.map(|why| (group.name, why))
        })
    }

    fn stays_at_rest(&mut self) -> Result<(), Violation> {
        let told = |ring: &Ring| -> Vec<(String, i32)> {
            ring.seats.iter().flatten().map(|client| (client.member_id().to_owned(), client.epoch())).collect()
        };
        let (before, written) = (told(self), self.coordinator.log().len());
        self.go_on(9_000)?;
        if let Some((group, why)) = self.unrest() {
            return Err(Violation::new("quiet", format!("{group} did not stay at rest: {why}")));
        }
        let after = told(self);
        if before != after {
            return Err(Violation::new("quiet", format!("nothing happened, and {before:?} became {after:?}")));
        }
        let groups: BTreeSet<&str> = self.seats.iter().flatten().map(|client| &*client.group).collect();
        let written = &self.coordinator.log()[written..];
        groups.into_iter().try_for_each(|group| oracle::quiet::check_written(group, written))
    }
}
