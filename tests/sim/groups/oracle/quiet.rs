//! A group that nothing happens to comes to rest, within so many heartbeats; then every partition that a live member wants has
//! an owner who wants it, and nothing is written any more.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use felice_protocol::coordinator::GroupRecord;

use super::Violation;
use crate::{
    coordinator::group::State,
    sim::groups::{
        client::Client,
        world::{Held, World},
    },
};

/// The heartbeats, joins and syncs that a member needs at most until its group is at rest: to learn of the others' leaving, to give
/// up, to acknowledge, to be given, each of them twice.
pub const ANSWERS_MAX: u32 = 30;

/// What that takes at most, also where no member is left to be answered.
pub const REST_MAX_MS: i64 = 120_000;

/// Why a group is not at rest, if it is not.
pub fn unrest(group: &str, clients: &[&Client], committed: &State, world: &World) -> Option<String> {
    let members: BTreeSet<&str> = match (committed.classic.get(group), committed.consumer.get(group)) {
        (Some(group), _) => group.members.iter().map(|member| &*member.member_id).collect(),
        (None, Some(group)) => group.members.keys().map(|id| &**id).collect(),
        (None, None) => BTreeSet::new(),
    };
    let live: BTreeSet<&str> = clients.iter().map(|client| client.member_id()).collect();
    if members != live {
        return Some(format!("the members of {group} are {members:?}, and {live:?} live"));
    }
    if let Some(client) = clients.iter().find(|client| !client.is_settled()) {
        return Some(format!("{client:?} is not settled"));
    }
    let mut owners: BTreeMap<Held, &str> = BTreeMap::new();
    for client in clients {
        for held in &client.owned {
            let Some(name) = world.name_of(held.0).filter(|name| client.wants.includes(name)) else {
                return Some(format!("{} has {held:?}, which it does not want", client.member_id()));
            };
            if let Some(other) = owners.insert(*held, client.member_id()) {
                return Some(format!("{name}-{} is both {other}'s and {}'s", held.1, client.member_id()));
            }
        }
    }
    let wanted = clients.iter().flat_map(|client| world.partitions(&client.wants));
    let orphan = wanted.into_iter().find(|held| !owners.contains_key(held))?;
    Some(format!("{orphan:?} of {:?} is nobody's", world.name_of(orphan.0)))
}

/// It took so many answers for a member.
pub fn check_bound(group: &str, answers: u32, why: Option<String>) -> Result<(), Violation> {
    match why {
        Some(why) if answers > ANSWERS_MAX => {
            Err(Violation::new("quiet", format!("{group} is not at rest after {answers} answers: {why}")))
        }
        _ => Ok(()),
    }
}

/// What a group at rest, with members, writes: offsets, and when its regular expressions were looked at last; nothing of itself.
pub fn check_written(group: &str, log: &[(Bytes, Option<Bytes>)]) -> Result<(), Violation> {
    for (key, value) in log {
        let record = GroupRecord::decode(key, value.as_ref());
        let of = match &record {
            Ok(GroupRecord::GroupMetadata(key, _)) => &key.group,
            Ok(GroupRecord::ConsumerGroupMetadata(key, _)) => &key.group_id,
            Ok(GroupRecord::ConsumerGroupMemberMetadata(key, _)) => &key.group_id,
            Ok(GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, _)) => &key.group_id,
            Ok(GroupRecord::ConsumerGroupTargetAssignmentMember(key, _)) => &key.group_id,
            Ok(GroupRecord::ConsumerGroupCurrentMemberAssignment(key, _)) => &key.group_id,
            _ => continue,
        };
        if of == group {
            return Err(Violation::new("quiet", format!("a group at rest has written {record:?}")));
        }
    }
    Ok(())
}
