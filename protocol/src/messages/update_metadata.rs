//! UpdateMetadata (key 6): a controller tells a broker what to answer to Metadata requests. Not in Kafka 4.
//!
//! Version notes:
//! - v0: one endpoint for each broker
//! - v1: several endpoints, each with its security protocol
//! - v2: racks (KIP-36)
//! - v3: names of listeners (KIP-103)
//! - v4: offline replicas (KIP-112)
//! - v5: the broker's epoch (KIP-380); partitions by topic
//! - v6: flexible (KIP-482)
//! - v7: topic ids (KIP-516)
//! - v8: whether a KRaft controller sends it, and whether it is about all partitions (KIP-866)

use crate::{Uuid, schema};

schema! {
    /// The request: see the [module](self).
    UpdateMetadataRequest {
        controller_id: i32,
        is_kraft_controller: bool [8+],
        /// 0 unknown, 1 incremental, 2 all partitions.
        r#type: i8 [8+, tag 0],
        controller_epoch: i32,
        broker_epoch: i64 [5+, ignorable] = -1,
        ungrouped_partition_states: Vec<UpdateMetadataPartitionState> [0-4],
        topic_states: Vec<UpdateMetadataTopicState> [5+],
        live_brokers: Vec<UpdateMetadataBroker>,
    }

    /// A partition's leader and replicas.
    UpdateMetadataPartitionState {
        topic_name: String [0-4, ignorable],
        partition_index: i32,
        controller_epoch: i32,
        leader: i32,
        leader_epoch: i32,
        isr: Vec<i32>,
        zk_version: i32,
        replicas: Vec<i32>,
        offline_replicas: Vec<i32> [4+, ignorable],
    }

    /// The partitions of a topic.
    UpdateMetadataTopicState {
        topic_name: String,
        topic_id: Uuid [7+, ignorable],
        partition_states: Vec<UpdateMetadataPartitionState>,
    }

    /// A live broker.
    UpdateMetadataBroker {
        id: i32,
        v0_host: String [0, ignorable],
        v0_port: i32 [0, ignorable],
        endpoints: Vec<UpdateMetadataEndpoint> [1+, ignorable],
        rack: Option<String> [2+, ignorable],
    }

    /// Where one of a broker's listeners is.
    UpdateMetadataEndpoint {
        port: i32,
        host: String,
        listener: String [3+, ignorable],
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16,
    }

    /// The response: see the [module](self).
    UpdateMetadataResponse {
        error_code: i16,
    }
}
