//! Committed offsets and classic groups, in `__consumer_offsets`.

use bytes::Bytes;

use crate::{Uuid, schema};

schema! {
    /// Whose offset, in the form of Kafka 0.8.
    LegacyOffsetCommitKey {
        group: String,
        topic: String,
        partition: i32,
    }

    /// An offset, in the form of Kafka 0.8.
    LegacyOffsetCommitValue {
        offset: i64,
        metadata: String,
        commit_timestamp: i64,
    }

    /// Whose offset.
    OffsetCommitKey {
        group: String,
        topic: String,
        partition: i32,
    }

    /// How far a group has come in a partition. Versions: 1 has an expiry of its own, 2 the group's; 3 has the leader
    /// epoch (KIP-320); 4 is flexible and has the topic id.
    OffsetCommitValue {
        offset: i64,
        leader_epoch: i32 [3+, ignorable] = -1,
        metadata: String,
        /// Milliseconds since 1970.
        commit_timestamp: i64,
        /// Milliseconds since 1970; -1 for the group's retention.
        expire_timestamp: i64 [1, ignorable] = -1,
        topic_id: Uuid [4+, tag 0, ignorable],
    }

    /// Which classic group.
    GroupMetadataKey {
        group: String,
    }

    /// A classic group with its members, after a rebalance. Versions: 1 adds the rebalance timeout (KIP-62), 2 the time
    /// of the state, by which offsets expire (KIP-211), 3 static members (KIP-345); 4 is flexible.
    GroupMetadataValue {
        protocol_type: String,
        generation: i32,
        protocol: Option<String>,
        leader: Option<String>,
        /// Milliseconds since 1970.
        current_state_timestamp: i64 [2+, ignorable] = -1,
        members: Vec<MemberMetadata>,
    }

    /// A member of a classic group. Times are in milliseconds.
    MemberMetadata {
        member_id: String,
        group_instance_id: Option<String> [3+, ignorable],
        client_id: String,
        client_host: String,
        rebalance_timeout: i32 [1+, ignorable] = -1,
        session_timeout: i32,
        subscription: Bytes,
        assignment: Bytes,
    }
}
