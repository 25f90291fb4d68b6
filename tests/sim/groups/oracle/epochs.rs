//! Generations, group epochs and member epochs never go back while there are members, nor by a change of the protocol; and
//! (`client/mod.rs`) no member is told one below that in which it had got its assignment.

use super::Violation;
use crate::coordinator::group::State;

/// A group's generation or epoch, and how many members it has.
pub fn of_group(state: &State, group: &str) -> Option<(i32, usize)> {
    let classic = state.classic.get(group).map(|group| (group.generation, group.members.len()));
    let consumer = || {
        let group = state.consumer.get(group)?;
        // Before anything is assigned the log may not tell it.
        Some((group.metadata.as_ref().map_or(1, |metadata| metadata.epoch), group.members.size()))
    };
    classic.or_else(consumer)
}

/// From one committed state to the next one.
pub fn check(before: &State, after: &State, group: &str) -> Result<(), Violation> {
    if before.classic.contains_key(group) == after.classic.contains_key(group)
        && before.consumer.contains_key(group) == after.consumer.contains_key(group)
        && after.classic.contains_key(group)
        && after.consumer.contains_key(group)
    {
        return Err(Violation::new("epochs", format!("{group} is of both kinds")));
    }
    if let (Some((then, members)), Some((now, _))) = (of_group(before, group), of_group(after, group))
        && now < then
        && members > 0
    {
        return Err(Violation::new("epochs", format!("{group} of {members} members went from epoch {then} to {now}")));
    }
    let (Some(before), Some(after)) = (before.consumer.get(group), after.consumer.get(group)) else { return Ok(()) };
    let epoch = after.metadata.as_ref().map_or(1, |metadata| metadata.epoch);
    for (member, current) in &after.currents {
        let then = before.currents.get(member).map_or(-1, |current| current.member_epoch);
        let now = current.member_epoch;
        // -2 is a static member that has left for a while.
        if now < then && now != -2 {
            return Err(Violation::new("epochs", format!("{member} of {group} went from epoch {then} to {now}")));
        }
        if now > epoch {
            return Err(Violation::new("epochs", format!("{member} is at epoch {now} where {group} is at {epoch}")));
        }
    }
    Ok(())
}
