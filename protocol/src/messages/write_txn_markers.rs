//! WriteTxnMarkers (key 27): the transaction coordinator has the leaders of partitions write the markers that end a
//! transaction.
//!
//! Version notes:
//! - v0: KIP-98
//! - v1: flexible (KIP-482). The oldest in Kafka 4
//! - v2: the transaction's version, by which a leader knows how strictly to look at the epoch (KIP-1228)

use crate::schema;

schema! {
    /// The request: see the [module](self).
    WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker>,
    }

    /// A marker, and the partitions that it belongs to.
    WritableTxnMarker {
        producer_id: i64,
        producer_epoch: i16,
        /// Whether the transaction is committed, not aborted.
        transaction_result: bool,
        topics: Vec<WritableTxnMarkerTopic>,
        coordinator_epoch: i32,
        transaction_version: i8 [2+, ignorable],
    }

    /// Partitions of a topic.
    WritableTxnMarkerTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The response: see the [module](self).
    WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult>,
    }

    /// What became of a producer's marker.
    WritableTxnMarkerResult {
        producer_id: i64,
        topics: Vec<WritableTxnMarkerTopicResult>,
    }

    /// What became of it in a topic's partitions.
    WritableTxnMarkerTopicResult {
        name: String,
        partitions: Vec<WritableTxnMarkerPartitionResult>,
    }

    /// What became of it in a partition.
    WritableTxnMarkerPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
