//! What consumers say to each other in JoinGroup and SyncGroup, where the protocol type is `consumer`: subscriptions to the
//! leader, assignments from it. The broker carries them without reading, but a tool, or a group that moves from the classic
//! protocol to the new one, must.
//!
//! Each stands behind its version in two bytes: [`Stored::encode_with_version`]. A version that is newer than what is known
//! here is read as the newest known, since versions only add fields at the end.
//!
//! Version notes:
//! - v0: the topics; the assigned partitions
//! - v1: the partitions that the member had (KIP-429)
//! - v2: the generation in which it had them (KIP-792)
//! - v3: the member's rack (KIP-881)
//!
//! [`Stored::encode_with_version`]: crate::schema::Stored::encode_with_version

use bytes::Bytes;

use crate::{schema, stored};

schema! {
    /// What a member wants.
    ConsumerProtocolSubscription {
        topics: Vec<String>,
        user_data: Option<Bytes>,
        owned_partitions: Vec<TopicPartition> [1+, ignorable],
        generation_id: i32 [2+, ignorable] = -1,
        rack_id: Option<String> [3+, ignorable],
    }

    /// What a member gets.
    ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition>,
        user_data: Option<Bytes>,
    }

    /// Partitions of a topic.
    TopicPartition {
        topic: String,
        partitions: Vec<i32>,
    }
}

stored! {
    0 ConsumerProtocolSubscription 0-3;
    0 ConsumerProtocolAssignment 0-3;
}
