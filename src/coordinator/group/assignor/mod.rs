//! Who of a consumer group shall have which partitions: what the coordinator computes for all members whenever the group's
//! epoch is raised (KIP-848), by one of the two rules that Kafka has, `uniform` and `range`.
//!
//! ```text
//!  GroupSpec ──> Board: topic x partition -> owner ──> range          fills it anew
//!                                                      uniform        changes as little as makes it even
//!                                                      heterogeneous  the same where subscriptions differ
//!                              └──> GroupAssignment
//! ```
//!
//! A result depends on nothing but the specification. Each partition of each topic that somebody subscribes to has exactly one
//! owner, a subscriber. Racks play no part, as they play none in Kafka's assignors since 4.0.

mod board;
mod chains;
mod heterogeneous;
mod range;
mod uniform;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use felice_protocol::coordinator::consumer_group::TopicPartition;
use thiserror::Error;

use crate::model::TopicId;
use board::Board;

/// A rule, by the name under which clients ask for it (`group.remote.assignor`) and the broker offers it
/// (`group.consumer.assignors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// All members have the same number of partitions, give or take one, and keep what they have where they can.
    Uniform,
    /// Of each topic, contiguous ranges in the members' order: topics with as many partitions and subscribers are
    /// co-partitioned.
    Range,
}

/// A group as an assignor sees it.
#[derive(Debug, Clone, Default)]
pub struct GroupSpec<'a> {
    /// Ascending by member id.
    pub members: Vec<MemberSpec<'a>>,
    /// How many partitions each topic has. Topics that nobody subscribes to may be in it.
    pub topics: BTreeMap<TopicId, u32>,
}

#[derive(Debug, Clone, Default)]
pub struct MemberSpec<'a> {
    pub member_id: &'a str,
    /// Of a static member.
    pub instance_id: Option<&'a str>,
    /// Ascending. Members that subscribe to the same had best share it.
    pub subscribed: Arc<[TopicId]>,
    /// What the last assignment gave it; what is no longer there or not subscribed to does no harm.
    pub assigned: &'a [TopicPartition],
}

/// What each member shall have, in the order of the specification's members.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAssignment {
    /// Ascending by topic id, each topic with its partitions, ascending. `None` is what it had, to the letter.
    pub members: Vec<Option<Vec<TopicPartition>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssignError {
    #[error("a member subscribes to topic {0}, which does not exist")]
    UnknownTopic(TopicId),
}

impl Assignor {
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// Costs about as much as there are partitions and members' subscriptions together.
    pub fn assign(self, group: &GroupSpec<'_>) -> Result<GroupAssignment, AssignError> {
        let mut board = match self {
            Assignor::Uniform => Board::with_owners(group)?,
            Assignor::Range => Board::without_owners(group)?,
        };
        match self {
            Assignor::Range => range::assign(&mut board),
            Assignor::Uniform if board.is_homogeneous() => uniform::assign(&mut board),
            Assignor::Uniform => heterogeneous::assign(&mut board),
        }
        Ok(board.into_assignment())
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no assignor of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no such assignor; there are uniform and range")]
pub struct UnknownAssignor;

impl FromStr for Assignor {
    type Err = UnknownAssignor;

    fn from_str(name: &str) -> Result<Assignor, UnknownAssignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name).ok_or(UnknownAssignor)
    }
}

#[cfg(test)]
mod tests;
