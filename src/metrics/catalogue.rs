//! Every metric that there is: `docs/metrics.md` says the same, and a test holds the two together.
//!
//! Names are Prometheus' way: `_total` for counters, base units (seconds, bytes) at the end, and those of a process as its client
//! libraries call them. Labels are bounded: APIs and error codes by Kafka's lists, topics and groups by [`SERIES_MAX`].

/// At most so many topics, and so many pairs of a group and a topic, have series of their own; those first in order of names. The
/// others are summed up under [`OTHERS`].
pub const SERIES_MAX: usize = 1000;

/// The label of what has no series of its own. No topic can have this name.
pub const OTHERS: &str = "(others)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and begins at 0 when the broker does.
    Counter,
    Gauge,
    /// Of durations, in seconds.
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence, without line breaks and backslashes.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub static $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// All of them, as the documentation lists them.
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    REQUESTS = Counter "felice_requests_total" ["api"] "Requests that were answered, or closed their connection.";
    REQUEST_BYTES = Counter "felice_request_bytes_total" ["api"] "Bytes of these requests, with their headers.";
    RESPONSE_BYTES = Counter "felice_response_bytes_total" ["api"] "Bytes of their answers, with headers and size.";
    REQUEST_SECONDS = Histogram "felice_request_seconds" ["api"] "From a request's arrival to its answer; for a long poll, with the time that it waited as it was asked to.";
    ERRORS = Counter "felice_errors_total" ["api", "error"] "Error codes in answers; one answer may have several, such as one for each partition.";

    CONNECTIONS = Gauge "felice_connections" [] "Connections of clients that are open.";
    CONNECTIONS_ACCEPTED = Counter "felice_connections_accepted_total" [] "Connections of clients that were accepted.";
    CONNECTIONS_CLOSED = Counter "felice_connections_refused_total" ["reason"] "Connections that were refused, or closed for something that the client is to blame for.";
    FRAME_BUDGET_USED = Gauge "felice_frame_budget_used_bytes" [] "Memory that requests take which are being received or handled.";
    FRAME_BUDGET_LIMIT = Gauge "felice_frame_budget_limit_bytes" [] "The most that they may take together (queued.max.request.bytes).";
    OWED = Gauge "felice_owed_bytes" [] "Memory of answers that clients have not taken yet, and of requests that wait.";

    TOPICS = Gauge "felice_topics" [] "Topics of the cluster.";
    PARTITIONS = Gauge "felice_partitions" [] "Partitions that have their log here.";
    PARTITIONS_OFFLINE = Gauge "felice_partitions_offline" [] "Partitions whose log could not be opened.";
    TOPIC_PARTITIONS = Gauge "felice_topic_partitions" ["topic"] "Partitions of a topic that have their log here.";
    TOPIC_BYTES = Gauge "felice_topic_log_bytes" ["topic"] "Bytes of a topic's logs.";
    TOPIC_OFFSETS = Gauge "felice_topic_log_offsets" ["topic"] "Offsets between log start and log end, summed over a topic's partitions.";
    TOPIC_APPENDED = Counter "felice_topic_offsets_appended_total" ["topic"] "Log end offsets, summed over a topic's partitions: its rate is that of records. It does not begin at 0 with the broker.";

    FOLDER_FREE = Gauge "felice_data_folder_free_bytes" [] "Bytes that are free on the disk of the data folder.";
    FOLDER_SIZE = Gauge "felice_data_folder_size_bytes" [] "Size of the disk of the data folder.";
    FOLDER_TROUBLED = Gauge "felice_data_folder_troubled" ["trouble"] "Whether nothing is written because the disk is full, or has failed and is being checked: 1 or 0.";
    DIRTY = Gauge "felice_unflushed_bytes" [] "Bytes that are written and not flushed to the disk.";
    FLUSHES_ASKED = Counter "felice_flush_requests_total" [] "Appends that asked for a flush; one flush serves all that came before it.";
    FLUSH_SECONDS = Histogram "felice_flush_seconds" [] "How long flushes of a partition to the disk took.";
    RECOVERY_BYTES = Gauge "felice_recovery_checked_bytes" [] "Bytes that the start had to check, since the last stop was not clean.";
    RECOVERY_SECONDS = Gauge "felice_recovery_seconds" [] "How long the start took to open, and where needed check, the logs.";
    CLEANER_RUNS = Counter "felice_cleaner_runs_total" [] "Compactions of a partition that were completed.";
    CLEANER_READ = Counter "felice_cleaner_read_bytes_total" [] "Bytes that they read, of what was to be compacted.";
    CLEANER_WRITTEN = Counter "felice_cleaner_written_bytes_total" [] "Bytes that they left of it.";

    GROUPS = Gauge "felice_groups" ["state"] "Groups whose coordinator is here, by state.";
    GROUP_MEMBERS = Gauge "felice_group_members" ["group"] "Members of a group.";
    GROUP_LAG = Gauge "felice_group_lag" ["group", "topic"] "Records between the committed offsets of a group and the high watermarks, summed over a topic's partitions.";

    BUILD_INFO = Gauge "felice_build_info" ["version"] "Always 1: which version this is.";
    CPU = Counter "process_cpu_seconds_total" [] "Processor time that the process has used, in seconds.";
    RESIDENT = Gauge "process_resident_memory_bytes" [] "Memory of the process that is resident.";
    VIRTUAL = Gauge "process_virtual_memory_bytes" [] "Address space of the process.";
    OPEN_FILES = Gauge "process_open_fds" [] "Files and sockets that are open.";
    MAX_FILES = Gauge "process_max_fds" [] "Files and sockets that may be open at once.";
    STARTED = Gauge "process_start_time_seconds" [] "When the process began, in seconds since 1970.";
    THREADS = Gauge "process_threads" [] "Threads of the process.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_prometheus_way() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let Metric { name, kind, help, .. } = metric;
            assert!(name.starts_with("felice_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}: {help}");
        }
    }

    #[test]
    fn the_documentation_lists_them_all() {
        let documentation = include_str!("../../docs/metrics.md");
        let written: Vec<&str> = documentation
            .lines()
            .filter(|line| line.starts_with("| `felice_") || line.starts_with("| `process_"))
            .collect();
        let row = |metric: &&Metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.name(), labels.join(", "), metric.help)
        };
        let rows: Vec<String> = ALL.iter().map(row).collect();
        assert_eq!(written, rows, "docs/metrics.md should read:\n{}", rows.join("\n"));
    }
}
