//! openraft's types as the metadata quorum has them, and the network between its voters.

use std::fmt;

use bytes::Bytes;
use openraft::{
    EntryPayload, OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    impls::{EmptyNode, Entry, leader_id_std},
    network::RPCOption,
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
    vote::RaftLeaderId,
};

use crate::metadata::Image;

openraft::declare_raft_types!(
    /// Node ids are Kafka's, widened; a command is a batch of metadata records and has no answer but being applied.
    pub TypeConfig:
        D = RecordBatch,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        Vote = openraft::impls::Vote<Self::LeaderId>,
        Entry = Entry<CommittedLeader, Self::Payload>,
);

pub type CommittedLeader = <LeaderId as RaftLeaderId>::Committed;
pub type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub type LogEntry = Entry<CommittedLeader, EntryPayload<RecordBatch, u64, EmptyNode>>;
pub type LogId = openraft::LogId<CommittedLeader>;
pub type Membership = openraft::Membership<u64, EmptyNode>;
pub type Snapshot = openraft::Snapshot<CommittedLeader, u64, EmptyNode, Image>;
pub type SnapshotMeta = openraft::SnapshotMeta<CommittedLeader, u64, EmptyNode>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeader, u64, EmptyNode>;
pub type Vote = openraft::impls::Vote<LeaderId>;

/// Metadata records that take effect together, encoded by [`encode_batch`](crate::metadata::encode_batch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch(pub Bytes);

impl fmt::Display for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B of metadata records", self.0.len())
    }
}

/// A quorum of one sends nothing: whoever asks hears that the node cannot be reached.
pub struct Unconnected;

impl RaftNetworkFactory<TypeConfig> for Unconnected {
    type Network = Unconnected;

    async fn new_client(&mut self, _target: u64, _node: &EmptyNode) -> Unconnected {
        Unconnected
    }
}

fn unreachable() -> Unreachable<TypeConfig> {
    Unreachable::from_string("this broker is a quorum of one")
}

impl RaftNetworkV2<TypeConfig> for Unconnected {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    /// openraft's default would grant it.
    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(unreachable().into())
    }
}
