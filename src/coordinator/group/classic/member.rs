//! A member of a classic group.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use felice_protocol::messages::{describe_groups::DescribedGroupMember, join_group::*};

use super::super::{CallId, Caller};

/// What a member costs beyond the bytes that it sent: a round figure for maps and timers.
const OVERHEAD: usize = 256;

/// A member of a classic group: what it told at its last JoinGroup, and the calls of it that wait.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassicMember {
    pub id: Arc<str>,
    /// Where the member is static (KIP-345).
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// The one it likes best first; each name once.
    pub protocols: Vec<MemberProtocol>,
    /// What the leader gave it; empty before.
    pub assignment: Bytes,
    pub(super) join: Option<CallId>,
    pub(super) sync: Option<CallId>,
    /// It has not yet been answered the JoinGroup that brought it in, and cannot heartbeat: its session runs although it waits.
    pub(super) is_new: bool,
}

/// A protocol that a member knows, and what it says in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProtocol {
    pub name: Box<str>,
    pub metadata: Bytes,
}

impl ClassicMember {
    /// Who joins with this request under this member id, not waiting for anything yet.
    pub fn new(id: Arc<str>, caller: &Caller, request: &JoinGroupRequest) -> ClassicMember {
        ClassicMember {
            id,
            instance_id: request.group_instance_id.as_deref().map(Arc::from),
            client_id: Arc::clone(&caller.client_id),
            client_host: Arc::clone(&caller.client_host),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: protocols(&request.protocols),
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    /// What it says in a protocol; `None` where it does not know it.
    pub fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|known| &*known.name == protocol).map(|known| &known.metadata)
    }

    /// Whether it would say the same again.
    pub(super) fn matches(&self, told: &[JoinGroupRequestProtocol]) -> bool {
        let known = self.protocols.iter().map(|known| (&*known.name, &known.metadata));
        known.eq(distinct(told).map(|told| (told.name.as_str(), &told.metadata)))
    }

    /// Whether it may be silent: who waits for an answer is not expected to heartbeat.
    pub(super) fn may_be_silent(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// What it takes of memory, about.
    pub(super) fn cost(&self) -> usize {
        let names = self.id.len() + self.instance_id.as_ref().map_or(0, |id| id.len());
        names + self.client_id.len() + self.client_host.len() + protocols_cost(&self.protocols) + OVERHEAD
    }

    /// Without what it says in the group's protocol, which is shown in a stable group only.
    pub(super) fn describe(&self) -> DescribedGroupMember {
        DescribedGroupMember {
            member_id: self.id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            member_assignment: self.assignment.clone(),
            ..DescribedGroupMember::default()
        }
    }
}

/// What a member id takes that was given out and not joined with yet, about.
pub(super) fn pending_cost(member_id: &str) -> usize {
    member_id.len() + OVERHEAD
}

fn protocols_cost(protocols: &[MemberProtocol]) -> usize {
    protocols.iter().map(|known| known.name.len() + known.metadata.len() + size_of::<MemberProtocol>()).sum()
}

/// The protocols of a request, in bytes of their own: a slice would keep the whole frame in memory for as long as the member
/// stays.
pub(super) fn protocols(told: &[JoinGroupRequestProtocol]) -> Vec<MemberProtocol> {
    let own = |protocol: &JoinGroupRequestProtocol| MemberProtocol {
        name: protocol.name.as_str().into(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    distinct(told).map(own).collect()
}

/// Without names that come again: it could not be told which is meant.
fn distinct(told: &[JoinGroupRequestProtocol]) -> impl Iterator<Item = &JoinGroupRequestProtocol> {
    let mut seen = BTreeSet::new();
    told.iter().filter(move |protocol| seen.insert(protocol.name.as_str()))
}
