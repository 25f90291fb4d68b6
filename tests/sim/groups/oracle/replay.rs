//! The state that is decided upon is the state that a replay of the log gives, record for record: of all that was appended, and,
//! after a restart, of what is committed, compacted or not.

use std::collections::BTreeMap;

use bytes::Bytes;
use felice_protocol::coordinator::GroupRecord;

use super::Violation;
use crate::{coordinator::group::State, sim::groups::coordinator::Coordinator};

/// Of what is appended.
pub fn check(coordinator: &Coordinator) -> Result<(), Violation> {
    let mut replayed = coordinator.committed.clone();
    coordinator.uncommitted().for_each(|record| replayed.apply(None, record));
    same("what is decided upon", coordinator.machine.state(), &replayed)
}

/// Of what is stored: the whole log, and the last record of each key, in the order in which they are left.
pub fn check_stored(coordinator: &Coordinator) -> Result<(), Violation> {
    let log = coordinator.log();
    same("the log", &coordinator.committed, &replay(log.iter())?)?;
    let last: BTreeMap<&Bytes, usize> = log.iter().enumerate().map(|(at, (key, _))| (key, at)).collect();
    let is_last = |at: usize, key: &Bytes| last.get(key) == Some(&at);
    let compacted = log.iter().enumerate().filter(|(at, (key, _))| is_last(*at, key)).map(|(_, record)| record);
    same("the compacted log", &coordinator.committed, &replay(compacted.clone())?)?;
    let without_tombstones = compacted.filter(|(_, value)| value.is_some());
    same("the compacted log without tombstones", &coordinator.committed, &replay(without_tombstones)?)
}

fn replay<'a>(log: impl Iterator<Item = &'a (Bytes, Option<Bytes>)>) -> Result<State, Violation> {
    let mut state = State::default();
    for (key, value) in log {
        let record = GroupRecord::decode(key, value.as_ref());
        let record = record.map_err(|error| Violation::new("replay", format!("a record cannot be read: {error}")))?;
        state.apply(None, &record);
    }
    Ok(state)
}

fn same(what: &str, live: &State, replayed: &State) -> Result<(), Violation> {
    if live == replayed {
        return Ok(());
    }
    // In words that are short enough to be read.
    let records = |state: &State| state.records().map(|record| format!("{record:?}")).collect::<Vec<_>>();
    let (live, replayed) = (records(live), records(replayed));
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|record| !those.contains(record)).cloned().collect::<Vec<_>>().join("\n  ")
    };
    let what = format!("{what}: live only\n  {}\nreplayed only\n  {}", only(&live, &replayed), only(&replayed, &live));
    Err(Violation::new("replay", what))
}
