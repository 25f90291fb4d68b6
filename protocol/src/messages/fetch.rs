//! Fetch (key 1): reads record batches of partitions. Consumers and followers alike.
//!
//! Records are answered from the batch that contains the fetch offset on, in whole batches, and the first batch of the
//! first partition that has any even where it exceeds the limits. An empty answer is an empty byte string: librdkafka
//! refuses null.
//!
//! Version notes:
//! - v0: message format 0
//! - v1: throttle time (KIP-13)
//! - v2: message format 1: timestamps (KIP-32)
//! - v3: a limit for the whole response, so that the order of partitions matters (KIP-74)
//! - v4: isolation level, last stable offset, aborted transactions; record format 2 (KIP-98). The oldest in Kafka 4
//! - v5: log start offset (KIP-107)
//! - v6: KAFKA_STORAGE_ERROR may be answered (KIP-112)
//! - v7: sessions: only what changed is asked for and answered (KIP-227)
//! - v8: throttling happens after the response (KIP-219)
//! - v9: the client's leader epoch is checked (KIP-320)
//! - v10: zstd (KIP-110)
//! - v11: reading from the closest replica: rack id, preferred read replica (KIP-392)
//! - v12: flexible (KIP-482); the epoch of the last fetched batch shows divergence, the leader is told (KIP-595)
//! - v13: topic ids instead of names (KIP-516)
//! - v14: OFFSET_MOVED_TO_TIERED_STORAGE may be answered (KIP-405)
//! - v15: a follower tells its broker epoch, in a struct of its own (KIP-903)
//! - v16: where the current leader is (KIP-951)
//! - v17: the follower's directory id (KIP-853)
//! - v18: the high watermark that the follower knows, so that a new one is told at once (KIP-1166)

use crate::{Uuid, schema, wire::Records};

schema! {
    /// The request: see the [module](self).
    FetchRequest {
        cluster_id: Option<String> [12+, tag 0, ignorable],
        replica_id: i32 [0-14] = -1,
        replica_state: ReplicaState [15+, tag 1],
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 [3+, ignorable] = i32::MAX,
        /// 0 read_uncommitted, 1 read_committed.
        isolation_level: i8 [4+, ignorable],
        /// 0 for a new session or none.
        session_id: i32 [7+, ignorable],
        /// 0 opens a session; -1 closes it, or asks without one.
        session_epoch: i32 [7+, ignorable] = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<ForgottenTopic> [7+],
        rack_id: String [11+, ignorable],
    }

    /// Who fetches: a follower, or -1.
    ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// A topic to read.
    FetchTopic {
        topic: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<FetchPartition>,
    }

    /// A partition to read, and from where on.
    FetchPartition {
        partition: i32,
        current_leader_epoch: i32 [9+, ignorable] = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [12+] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        partition_max_bytes: i32,
        replica_directory_id: Uuid [17+, tag 0, ignorable],
        high_watermark: i64 [18+, tag 1, ignorable] = i64::MAX,
    }

    /// Partitions that leave the session.
    ForgottenTopic {
        topic: String [7-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<i32>,
    }

    /// The response: see the [module](self).
    FetchResponse {
        throttle_time_ms: i32 [1+, ignorable],
        error_code: i16 [7+, ignorable],
        session_id: i32 [7+],
        responses: Vec<FetchableTopicResponse>,
        node_endpoints: Vec<NodeEndpoint> [16+, tag 0],
    }

    /// A topic's records.
    FetchableTopicResponse {
        topic: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<PartitionData>,
    }

    /// A partition's records, and how far it has come.
    PartitionData {
        partition_index: i32,
        error_code: i16,
        high_watermark: i64,
        last_stable_offset: i64 [4+, ignorable] = -1,
        log_start_offset: i64 [5+, ignorable] = -1,
        diverging_epoch: EpochEndOffset [12+, tag 0],
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        snapshot_id: SnapshotId [12+, tag 2],
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+, ignorable],
        preferred_read_replica: i32 [11+] = -1,
        records: Option<Records>,
    }

    /// Where the follower's log diverged: the leader's largest epoch up to the follower's last, and its end.
    EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// Who leads.
    LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// The snapshot that the follower must read first.
    SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// A transaction that the reader must leave out, from its first offset to its marker.
    AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// Where a leader is.
    NodeEndpoint {
        node_id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }
}
