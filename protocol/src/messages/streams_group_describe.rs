//! StreamsGroupDescribe (key 89): Streams groups, their members and topologies.
//!
//! Version notes:
//! - v0: KIP-1071
//! - v1: the topology's description, and the assignor

use crate::schema;

schema! {
    /// The request: see the [module](self).
    StreamsGroupDescribeRequest {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
        include_topology_description: bool [1+],
    }

    /// The response: see the [module](self).
    StreamsGroupDescribeResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribedGroup>,
    }

    /// A group.
    DescribedGroup {
        error_code: i16,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        topology: Option<Topology>,
        members: Vec<Member>,
        /// One bit for each operation, by its number in ACLs; `i32::MIN` where not asked for.
        authorized_operations: i32 = i32::MIN,
        topology_description: Option<TopologyDescription> [1+],
        topology_description_status: i8 [1+],
        assignor_name: Option<String> [1+, ignorable],
    }

    /// The application's topology.
    Topology {
        epoch: i32,
        subtopologies: Option<Vec<Subtopology>>,
    }

    /// A part of it, with the topics that it reads and writes.
    Subtopology {
        subtopology_id: String,
        source_topics: Vec<String>,
        repartition_sink_topics: Vec<String>,
        state_changelog_topics: Vec<TopicInfo>,
        repartition_source_topics: Vec<TopicInfo>,
    }

    /// An internal topic.
    TopicInfo {
        name: String,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<KeyValue>,
    }

    /// A name and a value.
    KeyValue {
        key: String,
        value: String,
    }

    /// A member: what it has, and what it shall have.
    Member {
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        topology_epoch: i32,
        process_id: String,
        user_endpoint: Option<Endpoint>,
        client_tags: Vec<KeyValue>,
        task_offsets: Vec<TaskOffset>,
        task_end_offsets: Vec<TaskOffset>,
        assignment: Assignment,
        target_assignment: Assignment,
        is_classic: bool,
    }

    /// Where a member can be asked about its state.
    Endpoint {
        host: String,
        port: u16,
    }

    /// How far a task's state has come.
    TaskOffset {
        subtopology_id: String,
        partition: i32,
        offset: i64,
    }

    /// A member's tasks.
    Assignment {
        active_tasks: Vec<TaskIds>,
        standby_tasks: Vec<TaskIds>,
        warmup_tasks: Vec<TaskIds>,
    }

    /// A subtopology's tasks.
    TaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
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
}
