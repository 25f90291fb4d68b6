//! StreamsGroupHeartbeat (key 88): joins, keeps and leaves a Streams group, and carries its topology and tasks.
//!
//! Version notes:
//! - v0: KIP-1071
//! - v1: the acceptable recovery lag takes 64 bits; a description of the topology may be asked for

use crate::schema;

schema! {
    /// The request: see the [module](self).
    StreamsGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
        /// 0 joins, -1 leaves, -2 leaves as a static member that will come back.
        member_epoch: i32,
        endpoint_information_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        rebalance_timeout_ms: i32 = -1,
        topology: Option<Topology>,
        active_tasks: Option<Vec<TaskIds>>,
        standby_tasks: Option<Vec<TaskIds>>,
        warmup_tasks: Option<Vec<TaskIds>>,
        process_id: Option<String>,
        user_endpoint: Option<Endpoint>,
        client_tags: Option<Vec<KeyValue>>,
        task_offsets: Option<Vec<TaskOffset>>,
        task_end_offsets: Option<Vec<TaskOffset>>,
        shutdown_application: bool,
    }

    /// The application's topology.
    Topology {
        epoch: i32,
        subtopologies: Vec<Subtopology>,
    }

    /// A part of it, with the topics that it reads and writes.
    Subtopology {
        subtopology_id: String,
        source_topics: Vec<String>,
        source_topic_regex: Vec<String>,
        state_changelog_topics: Vec<TopicInfo>,
        repartition_sink_topics: Vec<String>,
        repartition_source_topics: Vec<TopicInfo>,
        copartition_groups: Vec<CopartitionGroup>,
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

    /// Topics that must be partitioned alike, by their places in the subtopology's lists.
    CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }

    /// A subtopology's tasks.
    TaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
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

    /// The response: see the [module](self).
    StreamsGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<String>,
        member_id: String,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        acceptable_recovery_lag_legacy: i32 [0],
        task_offset_interval_ms: i32,
        acceptable_recovery_lag: i64 [1+, ignorable] = -1,
        status: Option<Vec<Status>>,
        active_tasks: Option<Vec<TaskIds>>,
        standby_tasks: Option<Vec<TaskIds>>,
        warmup_tasks: Option<Vec<TaskIds>>,
        topology_description_required: bool [1+],
        endpoint_information_epoch: i32,
        partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
    }

    /// What is wrong with the group, or to be done.
    Status {
        status_code: i8,
        status_detail: String,
    }

    /// What the member at an endpoint has.
    EndpointToPartitions {
        user_endpoint: Endpoint,
        active_partitions: Vec<TopicPartition>,
        standby_partitions: Vec<TopicPartition>,
    }

    /// Partitions of a topic.
    TopicPartition {
        topic: String,
        partitions: Vec<i32>,
    }
}
