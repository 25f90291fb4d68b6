//! StreamsGroupTopologyDescriptionUpdate (key 93): a member of a Streams group describes the group's topology, for
//! people to see.
//!
//! Version notes:
//! - v0: KIP-1331

use crate::schema;

schema! {
    /// The request: see the [module](self).
    StreamsGroupTopologyDescriptionUpdateRequest {
        group_id: String,
        member_id: String,
        topology_epoch: i32,
        topology_description: TopologyDescription,
    }

    /// A topology.
    TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology>,
        global_stores: Vec<TopologyDescriptionGlobalStore>,
    }

    /// A part of it, whose nodes run together.
    TopologyDescriptionSubtopology {
        subtopology_id: String,
        nodes: Vec<TopologyDescriptionNode>,
    }

    /// A node.
    TopologyDescriptionNode {
        name: String,
        /// 1 source, 2 processor, 3 sink.
        node_type: i8,
        source_topics: Vec<String>,
        sink_topic: Option<String>,
        stores: Vec<String>,
        successors: Vec<String>,
    }

    /// A store that each instance has in full.
    TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode,
        processor: TopologyDescriptionNode,
    }

    /// The response: see the [module](self).
    StreamsGroupTopologyDescriptionUpdateResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
    }
}
