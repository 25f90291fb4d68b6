//! A partition has one owner: in each generation or epoch one member is told to have it, and at no time do two clients that
//! are both members take it for theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::{
    coordinator::group::State,
    sim::groups::{
        client::{Client, Protocol},
        world::Held,
    },
};

#[derive(Debug, Default)]
pub struct Ownership {
    /// By group, by generation or epoch: whose a partition is, by its static name or member id.
    told: BTreeMap<String, BTreeMap<i32, BTreeMap<Held, String>>>,
}

impl Ownership {
    /// A member was told to have these.
    pub fn told(
        &mut self,
        (group, member, epoch): (&str, &str, i32),
        partitions: &BTreeSet<Held>,
    ) -> Result<(), Violation> {
        let epochs = self.told.entry(group.to_owned()).or_default();
        let owners = epochs.entry(epoch).or_default();
        for held in partitions {
            let owner = owners.entry(*held).or_insert_with(|| member.to_owned());
            if owner != member {
                let what = format!("in epoch {epoch} of {group} {held:?} was told {owner}, and now {member}");
                return Err(Violation::new("ownership", what));
            }
        }
        Ok(())
    }

    /// The group is no more, or has nobody: one that comes counts from the beginning.
    pub fn forget(&mut self, group: &str) {
        self.told.remove(group);
    }
}

/// No two of these have the same.
pub fn check<'a>(clients: impl Iterator<Item = &'a Client>, committed: &State) -> Result<(), Violation> {
    let mut owners: BTreeMap<(&str, Held), &Client> = BTreeMap::new();
    for client in clients.filter(|client| !client.owned.is_empty() && is_member(client, committed)) {
        for held in &client.owned {
            if let Some(other) = owners.insert((&client.group, *held), client) {
                let what = format!(
                    "{held:?} is owned by {} in epoch {} and by {} in epoch {}",
                    other.member_id(),
                    other.epoch(),
                    client.member_id(),
                    client.epoch()
                );
                return Err(Violation::new("ownership", what));
            }
        }
    }
    Ok(())
}

fn is_member(client: &Client, committed: &State) -> bool {
    if let Some(group) = committed.classic.get(&*client.group) {
        let Protocol::Classic(classic) = &client.protocol else { return false };
        let is_listed = group.members.iter().any(|member| member.member_id == client.member_id());
        // Kafka keeps a static member that has not rejoined in time, and its leader may give away what it has. It may have been
        // told of this generation all the same, by a coordinator that made another one of that number after it was restarted.
        let was_passed_over = client.instance.is_some() && classic.synced < group.generation;
        return is_listed && !was_passed_over;
    }
    let Some(group) = committed.consumer.get(&*client.group) else { return false };
    let Some(current) = group.currents.get(client.member_id()) else { return false };
    match &client.protocol {
        Protocol::Consumer(_) => true,
        // One that was removed may join with the id that it had, and has what it had until it is told what is its.
        Protocol::Classic(classic) => [current.member_epoch, current.previous_member_epoch].contains(&classic.synced),
    }
}
