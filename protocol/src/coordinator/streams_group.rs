//! Streams groups (KIP-1071), in `__consumer_offsets`.

use crate::schema;

schema! {
    /// Which Streams group.
    StreamsGroupMetadataKey {
        group_id: String,
    }

    /// A Streams group's epoch.
    StreamsGroupMetadataValue {
        epoch: i32,
        /// Of the topics that the topology reads (KIP-1101).
        metadata_hash: i64,
        validated_topology_epoch: i32 [0+, tag 0] = -1,
        last_assignment_configs: Option<Vec<LastAssignmentConfig>> [0+, tag 1] = Some(Vec::new()),
    }

    /// A setting that the last assignment was made with.
    LastAssignmentConfig {
        key: String,
        value: String,
    }

    /// Which member.
    StreamsGroupMemberMetadataKey {
        group_id: String,
        member_id: String,
    }

    /// What a member has said of itself.
    StreamsGroupMemberMetadataValue {
        instance_id: Option<String>,
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        rebalance_timeout_ms: i32 = -1,
        topology_epoch: i32,
        process_id: String,
        user_endpoint: Option<Endpoint>,
        client_tags: Vec<KeyValue>,
    }

    /// Where a member can be asked about its state.
    Endpoint {
        host: String,
        port: u16,
    }

    /// A name and a value.
    KeyValue {
        key: String,
        value: String,
    }

    /// Which Streams group.
    StreamsGroupTargetAssignmentMetadataKey {
        group_id: String,
    }

    /// The group epoch that the target assignment is for.
    StreamsGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
        /// Milliseconds since 1970; 0 where not known.
        assignment_timestamp: i64 [0+, tag 0, ignorable],
    }

    /// Which member.
    StreamsGroupTargetAssignmentMemberKey {
        group_id: String,
        member_id: String,
    }

    /// The tasks that a member shall have.
    StreamsGroupTargetAssignmentMemberValue {
        active_tasks: Vec<TargetTaskIds>,
        standby_tasks: Vec<TargetTaskIds>,
        warmup_tasks: Vec<TargetTaskIds>,
    }

    /// A subtopology's tasks.
    TargetTaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
    }

    /// Which member.
    StreamsGroupCurrentMemberAssignmentKey {
        group_id: String,
        member_id: String,
    }

    /// The tasks that a member has, and those that it is to give up.
    StreamsGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        /// 0 stable, 1 unrevoked tasks, 2 unreleased tasks, 127 unknown.
        state: i8,
        active_tasks: Vec<TaskIds>,
        standby_tasks: Vec<TaskIds>,
        warmup_tasks: Vec<TaskIds>,
        active_tasks_pending_revocation: Vec<TaskIds>,
        standby_tasks_pending_revocation: Vec<TaskIds>,
        warmup_tasks_pending_revocation: Vec<TaskIds>,
    }

    /// A subtopology's tasks.
    TaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
        /// The member's epoch when it got each of the tasks; empty where not known.
        assignment_epochs: Option<Vec<i32>> [0+, tag 0] = Some(Vec::new()),
    }

    /// Which Streams group.
    StreamsGroupTopologyKey {
        group_id: String,
    }

    /// The application's topology.
    StreamsGroupTopologyValue {
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
        topic_configs: Vec<TopicConfig>,
    }

    /// A setting of an internal topic.
    TopicConfig {
        key: String,
        value: String,
    }

    /// Topics that must be partitioned alike, by their places in the subtopology's lists.
    CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }
}
