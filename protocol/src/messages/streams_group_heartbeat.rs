//! StreamsGroupHeartbeat (key 88): joins, keeps and leaves a Streams group, and carries its topology and tasks.
//!
//! Version notes:
//! - v0: KIP-1071
//! - v1: the acceptable recovery lag takes 64 bits; a description of the topology may be asked for

use crate::schema;

schema! {
    StreamsGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
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

    Topology {
        epoch: i32,
        subtopologies: Vec<Subtopology>,
    }

    Subtopology {
        subtopology_id: String,
        source_topics: Vec<String>,
        source_topic_regex: Vec<String>,
        state_changelog_topics: Vec<TopicInfo>,
        repartition_sink_topics: Vec<String>,
        repartition_source_topics: Vec<TopicInfo>,
        copartition_groups: Vec<CopartitionGroup>,
    }

    TopicInfo {
        name: String,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<KeyValue>,
    }

    KeyValue {
        key: String,
        value: String,
    }

    CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }

    TaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
    }

    Endpoint {
        host: String,
        port: u16,
    }

    TaskOffset {
        subtopology_id: String,
        partition: i32,
        offset: i64,
    }

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

    Status {
        status_code: i8,
        status_detail: String,
    }

    EndpointToPartitions {
        user_endpoint: Endpoint,
        active_partitions: Vec<TopicPartition>,
        standby_partitions: Vec<TopicPartition>,
    }

    TopicPartition {
        topic: String,
        partitions: Vec<i32>,
    }
}
