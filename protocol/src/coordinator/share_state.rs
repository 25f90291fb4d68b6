//! What share groups have done with partitions, in `__share_group_state` (KIP-932).

use crate::{Uuid, schema};

schema! {
    /// Which partition of which share group.
    ShareSnapshotKey {
        group_id: String,
        topic_id: Uuid,
        partition: i32,
    }

    /// The whole state of a partition in a share group.
    ShareSnapshotValue {
        snapshot_epoch: i32,
        state_epoch: i32,
        leader_epoch: i32,
        start_offset: i64,
        /// How many offsets from the start on need no more delivery (KIP-1226); -1 where not known.
        delivery_complete_count: i32 [0+, tag 0] = -1,
        /// Milliseconds since 1970.
        create_timestamp: i64,
        /// Milliseconds since 1970.
        write_timestamp: i64,
        state_batches: Vec<StateBatch>,
    }

    /// The state of offsets from first to last, both included.
    StateBatch {
        first_offset: i64,
        last_offset: i64,
        /// 0 available, 2 acknowledged, 4 archived.
        delivery_state: i8,
        delivery_count: i16,
    }

    /// Which partition of which share group.
    ShareUpdateKey {
        group_id: String,
        topic_id: Uuid,
        partition: i32,
    }

    /// What has changed since the snapshot of this epoch.
    ShareUpdateValue {
        snapshot_epoch: i32,
        leader_epoch: i32,
        /// -1 where it stays.
        start_offset: i64,
        /// How many offsets from the start on need no more delivery (KIP-1226); -1 where not known.
        delivery_complete_count: i32 [0+, tag 0] = -1,
        state_batches: Vec<StateBatch>,
    }
}
