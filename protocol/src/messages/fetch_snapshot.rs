//! FetchSnapshot (key 59): a piece of a snapshot of the metadata log.
//!
//! Version notes:
//! - v0: KIP-630
//! - v1: the replica's directory id; where the leader is (KIP-853)

use crate::{Uuid, schema, wire::Records};

schema! {
    /// The request: see the [module](self).
    FetchSnapshotRequest {
        cluster_id: Option<String> [0+, tag 0],
        replica_id: i32 = -1,
        max_bytes: i32 = i32::MAX,
        topics: Vec<TopicSnapshot>,
    }

    /// A topic: the metadata log is the only one.
    TopicSnapshot {
        name: String,
        partitions: Vec<PartitionSnapshot>,
    }

    /// Which snapshot, and from which byte on.
    PartitionSnapshot {
        partition: i32,
        current_leader_epoch: i32,
        snapshot_id: SnapshotId,
        position: i64,
        replica_directory_id: Uuid [1+, tag 0, ignorable],
    }

    /// A snapshot, by the end offset and epoch of what is in it.
    SnapshotId {
        end_offset: i64,
        epoch: i32,
    }

    /// The response: see the [module](self).
    FetchSnapshotResponse {
        throttle_time_ms: i32,
        error_code: i16,
        topics: Vec<TopicSnapshotResponse>,
        node_endpoints: Vec<NodeEndpoint> [1+, tag 0],
    }

    /// A topic's snapshots.
    TopicSnapshotResponse {
        name: String,
        partitions: Vec<PartitionSnapshotResponse>,
    }

    /// A piece: `position` is that of its first byte in the snapshot, `size` the whole snapshot's size.
    PartitionSnapshotResponse {
        index: i32,
        error_code: i16,
        snapshot_id: SnapshotId,
        current_leader: LeaderIdAndEpoch [0+, tag 0],
        size: i64,
        position: i64,
        /// May begin and end amid a batch.
        unaligned_records: Records,
    }

    /// Who leads.
    LeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: u16,
    }
}
