//! Every broker setting that Kafka 4.3 knows, in three kinds: what Felice obeys, what has no meaning here, and what is
//! not obeyed yet. Names, types, defaults and valid values are Kafka's; a default that differs says so in its text.

use super::{
    error::nearest,
    setting::{
        Setting,
        Type::{self, Boolean, Double, Int, List, Long},
        Valid::{self, Any, AtLeast, Between, BetweenOrMinusOne, OneOf, OneOfAnyCase, OnlyYet, Ratio, SubsetOf},
    },
};

/// What Felice does with a setting of a broker.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Obeyed(&'static Setting),
    /// Accepted, since it changes nothing that anyone could notice; the reason is for one warning.
    NoMeaningHere {
        why: &'static str,
    },
    /// Refused.
    NotYet {
        feature: &'static str,
    },
    /// Refused: whoever sets it relies on a protection.
    Security {
        feature: &'static str,
    },
}

/// The kind of the broker setting called `name`; `None` where Kafka has none either.
pub fn kind(name: &str) -> Option<Kind> {
    if let Some(setting) = setting(name) {
        return Some(Kind::Obeyed(setting));
    }
    let group = |groups: &'static [Group]| groups.iter().find(|group| group.names.contains(&name));
    if let Some(group) = group(NO_MEANING_HERE) {
        return Some(Kind::NoMeaningHere { why: group.about });
    }
    if let Some(group) = group(SECURITY) {
        return Some(Kind::Security { feature: group.about });
    }
    if let Some(group) = group(NOT_YET) {
        return Some(Kind::NotYet { feature: group.about });
    }
    // listener.name.<name>.ssl.* and, with a mechanism before it, listener.name.<name>.<mechanism>.sasl.*
    let of_listener = name.strip_prefix("listener.name.");
    let protects = |prefix: &&str| match of_listener {
        Some(rest) => rest.contains(&format!(".{prefix}")),
        None => name.starts_with(*prefix),
    };
    if SECURITY_PREFIXES.iter().any(protects) {
        return Some(Kind::Security { feature: "TLS, SASL and authorization" });
    }
    if of_listener.is_some() {
        return Some(Kind::NotYet { feature: "settings of single listeners" });
    }
    None
}

/// The obeyed broker setting called `name`.
pub fn setting(name: &str) -> Option<&'static Setting> {
    OBEYED.iter().find(|setting| setting.name == name)
}

/// The known name that was probably meant by `name`.
pub fn did_you_mean(name: &str) -> Option<&'static str> {
    let groups = [NO_MEANING_HERE, NOT_YET, SECURITY].into_iter().flatten().flat_map(|group| group.names);
    nearest(name, OBEYED.iter().map(|setting| setting.name).chain(groups.copied()))
}

const fn fixed(
    name: &'static str,
    ty: Type,
    default: Option<&'static str>,
    valid: Valid,
    doc: &'static str,
) -> Setting {
    Setting { name, ty, default, valid, dynamic: false, doc }
}

const fn dynamic(
    name: &'static str,
    ty: Type,
    default: Option<&'static str>,
    valid: Valid,
    doc: &'static str,
) -> Setting {
    Setting { name, ty, default, valid, dynamic: true, doc }
}

const MAX_INT: Option<&str> = Some("2147483647");
pub(super) const MAX_LONG: Option<&str> = Some("9223372036854775807");
pub(super) const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
pub(super) const CLEANUP_POLICIES: Valid = SubsetOf(&["compact", "delete"]);
/// In the order in which Kafka names them.
const REBALANCE_PROTOCOLS: &[&str] = &["consumer", "classic", "share", "streams"];
const MIGRATION_POLICIES: &[&str] = &["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"];
pub(super) const NEVER: Valid = OnlyYet { only: "false", known: &[] };

#[rustfmt::skip]
pub static OBEYED: &[Setting] = &[
    // Who this broker is.
    fixed("node.id", Int, Some("1"), AtLeast(0),
        "This broker's number in its cluster. Kafka asks for it; here it is 1 unless set."),
    fixed("broker.id", Int, Some("-1"), Any,
        "The old name of node.id; where both are set they must agree."),
    fixed("broker.rack", Type::String, None, Any,
        "The rack or zone that this broker stands in, as told to clients."),
    fixed("process.roles", List, Some("broker,controller"), SubsetOf(&["broker", "controller"]),
        "Felice is always both a broker and a controller; only that is accepted."),
    fixed("log.dirs", List, None, Any,
        "The data folder; --data-dir goes before it. More than one folder is not supported yet."),
    fixed("log.dir", List, None, Any,
        "The data folder where log.dirs is not set. Felice never keeps data in /tmp unless told to."),

    // Who can reach it, and how.
    dynamic("listeners", List, Some("PLAINTEXT://localhost:9092"), Any,
        "Where to listen, as NAME://host:port with commas between. No host means all addresses, localhost both IPv4 and IPv6, port 0 any free port. \
         Kafka listens on all addresses by default, Felice on localhost only."),
    fixed("advertised.listeners", List, None, Any,
        "The addresses that clients are told to connect to. Unset, each client is told the address by which it reached the broker."),
    dynamic("listener.security.protocol.map", Type::String, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any,
        "The security protocol of each listener name. Only PLAINTEXT is supported yet."),
    fixed("inter.broker.listener.name", Type::String, None, Any,
        "The listener that other brokers use; by default the one called PLAINTEXT, else the first."),
    fixed("security.inter.broker.protocol", Type::String, Some("PLAINTEXT"), Any,
        "The protocol between brokers. Only PLAINTEXT is supported yet."),
    fixed("controller.listener.names", List, Some(""), Any,
        "Those of the listeners that are for controllers. They are not opened: a node is its own controller, and there are no others yet."),
    fixed("controller.quorum.bootstrap.servers", List, Some(""), Any,
        "Where controllers are; here, this node's own controller listener and nothing else."),
    fixed("controller.quorum.voters", List, Some(""), Any,
        "The controllers as id@host:port; here, this node itself and nothing else."),
    fixed("http.listen", List, Some(""), Any,
        "Where to serve metrics (/metrics) and health (/readyz, /livez) by HTTP, as host:port with commas between; nowhere where it is empty. \
         Felice's own setting."),
    dynamic("max.connections", Int, MAX_INT, AtLeast(0),
        "Connections that the broker keeps open at once; further ones wait until one closes."),
    dynamic("max.connections.per.ip", Int, MAX_INT, AtLeast(0),
        "Connections that one address may have open at once; further ones are closed."),
    dynamic("max.connections.per.ip.overrides", Type::String, Some(""), Any,
        "Other limits than max.connections.per.ip for some addresses, as host:limit with commas between."),
    fixed("connections.max.idle.ms", Long, Some("600000"), Any,
        "A connection without a request for this long is closed; negative means never."),
    fixed("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1),
        "The largest request; a connection that announces a larger one is closed."),
    fixed("queued.max.request.bytes", Long, Some("-1"), Any,
        "Memory for requests that are being received or handled; -1 takes a quarter of what the machine or cgroup gives. Kafka has no limit by default."),

    // Topics.
    fixed("auto.create.topics.enable", Boolean, Some("true"), Any,
        "Whether asking for a topic that does not exist creates it."),
    fixed("delete.topic.enable", Boolean, Some("true"), Any,
        "Whether topics may be deleted."),
    fixed("num.partitions", Int, Some("1"), AtLeast(1),
        "Partitions of a topic that is created without saying how many."),
    fixed("default.replication.factor", Int, Some("1"), Between(1, 32767),
        "Copies of each partition of a topic that is created without saying how many."),
    dynamic("unclean.leader.election.enable", Boolean, Some("false"), NEVER,
        "Whether a replica that lacks acknowledged records may lead. Never, so far."),

    // The log. Most of these are the defaults of the topic settings that `topic` names.
    dynamic("log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576),
        "Size at which a segment is closed and the next one begun."),
    dynamic("log.roll.ms", Long, None, AtLeast(1),
        "Age at which a segment is closed; goes before log.roll.hours."),
    fixed("log.roll.hours", Int, Some("168"), AtLeast(1),
        "Age at which a segment is closed."),
    dynamic("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4),
        "Largest size of a segment's offset index; a segment whose index is full is closed."),
    dynamic("log.index.interval.bytes", Int, Some("4096"), AtLeast(0),
        "Bytes of log between two entries of the offset index."),
    dynamic("log.flush.interval.messages", Long, MAX_LONG, AtLeast(1),
        "Records after which a partition is flushed to disk. At 1 every acknowledgement waits for its flush, and so survives a power loss."),
    dynamic("log.flush.interval.ms", Long, None, Any,
        "Time after which written records are flushed to disk; unset, log.flush.scheduler.interval.ms holds."),
    fixed("log.flush.scheduler.interval.ms", Long, MAX_LONG, Any,
        "Time after which written records are flushed to disk where log.flush.interval.ms is not set."),
    dynamic("log.cleanup.policy", List, Some("delete"), CLEANUP_POLICIES,
        "What happens to old records: `delete` removes old segments, `compact` keeps the last record of each key, both do both; empty keeps everything."),
    dynamic("log.retention.ms", Long, None, Any,
        "Age of its newest record at which a segment is deleted; -1 is without limit. Goes before log.retention.minutes."),
    fixed("log.retention.minutes", Int, None, Any,
        "Age of its newest record at which a segment is deleted; -1 is without limit. Goes before log.retention.hours."),
    fixed("log.retention.hours", Int, Some("168"), Any,
        "Age of its newest record at which a segment is deleted; -1 is without limit."),
    dynamic("log.retention.bytes", Long, Some("-1"), Any,
        "Size of a partition above which its oldest segments are deleted; -1 is without limit."),
    fixed("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1),
        "How often logs are looked through for segments to delete."),
    dynamic("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0),
        "How long the files of a deleted segment stay on disk, renamed."),
    dynamic("log.roll.jitter.ms", Long, None, AtLeast(0),
        "The most by which a segment is closed before its age, at random; goes before log.roll.jitter.hours."),
    fixed("log.roll.jitter.hours", Int, Some("0"), AtLeast(0),
        "The most by which a segment is closed before its age, at random."),
    fixed("log.cleaner.enable", Boolean, Some("true"), Any,
        "Whether compacted topics are compacted."),
    dynamic("log.cleaner.threads", Int, Some("1"), AtLeast(0),
        "Threads that compact."),
    dynamic("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0),
        "How long a cleaner thread waits where there is nothing to compact."),
    dynamic("log.cleaner.dedupe.buffer.size", Long, Some("134217728"), AtLeast(1_048_576),
        "The most memory that all cleaner threads take to remember keys, in bytes. It is taken as keys are met."),
    dynamic("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0),
        "Bytes that are read and written at once while compacting."),
    dynamic("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any,
        "How full the memory for keys gets before the rest is left to the next time."),
    dynamic("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any,
        "The most that all cleaner threads read and write together, in bytes a second."),
    dynamic("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Ratio,
        "The share of a compacted log that must be dirty before it is cleaned."),
    dynamic("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0),
        "How long a tombstone or transaction marker stays in a compacted topic after it was first cleaned."),
    dynamic("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0),
        "Time for which a record is not compacted."),
    dynamic("log.cleaner.max.compaction.lag.ms", Long, MAX_LONG, AtLeast(1),
        "Time after which a record must become eligible for compaction, however little of the log is dirty."),
    fixed("log.scrub.interval.ms", Long, Some("604800000"), AtLeast(-1),
        "How often all closed segments are read and their CRCs checked, to find what the disk has changed; -1: never. Felice's own setting."),
    fixed("log.scrub.io.max.bytes.per.second", Long, Some("10485760"), AtLeast(1),
        "How fast closed segments are read to check them, in bytes a second. Felice's own setting."),
    fixed("log.dir.min.free.bytes", Long, Some("-1"), AtLeast(-1),
        "Free bytes below which appends to a data folder are refused, so that topics can still be deleted. -1: a 32nd of the disk, \
         at most 64 MiB. Felice's own setting."),
    dynamic("num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1),
        "Threads that open and check logs at the start."),
    dynamic("log.preallocate", Boolean, Some("false"), NEVER,
        "Whether a segment's file is made at full size at once."),
    dynamic("log.message.timestamp.type", Type::String, Some("CreateTime"), OneOf(TIMESTAMP_TYPES),
        "Whether a record's timestamp is the producer's or the time of its append."),
    dynamic("log.message.timestamp.before.max.ms", Long, MAX_LONG, AtLeast(0),
        "How far a producer's timestamp may lie in the past."),
    dynamic("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0),
        "How far a producer's timestamp may lie in the future."),
    dynamic("message.max.bytes", Int, Some("1048588"), AtLeast(0),
        "The largest record batch, as it arrives (that is, compressed)."),
    dynamic("min.insync.replicas", Int, Some("1"), AtLeast(1),
        "In-sync replicas without which a write with acks=all is refused."),
    dynamic("compression.type", Type::String, Some("producer"), OneOf(CODECS),
        "The codec in which batches are stored; `producer` keeps them as they came."),
    dynamic("compression.gzip.level", Int, Some("-1"), BetweenOrMinusOne(1, 9),
        "Level for batches that the broker compresses with gzip."),
    dynamic("compression.lz4.level", Int, Some("9"), Between(1, 17),
        "Level for batches that the broker compresses with lz4."),
    dynamic("compression.zstd.level", Int, Some("3"), Between(-131_072, 22),
        "Level for batches that the broker compresses with zstd."),

    // Producing and fetching.
    fixed("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024),
        "The most that one fetch returns, whatever the client asks for; a single larger batch is still returned."),
    fixed("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0),
        "Fetch sessions that the broker remembers."),
    fixed("max.request.partition.size.limit", Int, Some("2000"), AtLeast(1),
        "Partitions that one DescribeTopicPartitions answer holds at most."),
    dynamic("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1),
        "An idempotent producer that has not written for this long is forgotten."),
    fixed("producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1),
        "How often idempotent producers are looked through for expired ones."),

    // Consumer groups: the coordinator.
    fixed("group.coordinator.rebalance.protocols", List, Some("classic,consumer"), SubsetOf(REBALANCE_PROTOCOLS),
        "The protocols by which members of a group may share partitions; classic is always one. Kafka has streams too, which is not supported yet."),
    fixed("offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1),
        "Bytes of __consumer_offsets that are read at once when groups are loaded."),
    fixed("offsets.topic.num.partitions", Int, Some("50"), AtLeast(1),
        "Partitions of __consumer_offsets when it is created; not to be changed later."),
    fixed("offsets.topic.replication.factor", Type::Short, Some("3"), AtLeast(1),
        "Copies of each partition of __consumer_offsets; where there are fewer brokers, one on each."),
    fixed("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1),
        "Size at which a segment of __consumer_offsets is closed; small ones are compacted and loaded sooner."),
    fixed("offsets.topic.compression.codec", Int, Some("0"), Any,
        "The codec of the batches in __consumer_offsets: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."),
    fixed("offset.metadata.max.bytes", Int, Some("4096"), Any,
        "The most bytes of metadata that may be committed with an offset."),
    fixed("offsets.retention.minutes", Int, Some("10080"), AtLeast(1),
        "How long committed offsets are kept once their group is empty, or, of a consumer without a group, after the commit."),
    fixed("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1),
        "How often groups are looked through for expired offsets."),

    // Groups of the classic protocol.
    fixed("group.min.session.timeout.ms", Int, Some("6000"), Any,
        "The shortest session timeout that a member may ask for."),
    fixed("group.max.session.timeout.ms", Int, Some("1800000"), Any,
        "The longest session timeout that a member may ask for."),
    fixed("group.initial.rebalance.delay.ms", Int, Some("3000"), Any,
        "How long an empty group waits for more members after its first one, before it shares out partitions."),
    fixed("group.max.size", Int, MAX_INT, AtLeast(1),
        "The most members of a group of the classic protocol."),

    // Groups of the consumer protocol (KIP-848). Some are the defaults of settings of single groups, which `group` names.
    fixed("group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1),
        "After this long without a heartbeat a member is removed from its group."),
    fixed("group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1),
        "The shortest session timeout that a group may be given."),
    fixed("group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1),
        "The longest session timeout that a group may be given."),
    fixed("group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1),
        "How often members are told to send a heartbeat."),
    fixed("group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1),
        "The shortest heartbeat interval that a group may be given."),
    fixed("group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1),
        "The longest heartbeat interval that a group may be given."),
    fixed("group.consumer.max.size", Int, MAX_INT, AtLeast(1),
        "The most members of a group of the consumer protocol."),
    fixed("group.consumer.assignors", List, Some("uniform,range"), Any,
        "The assignors that members may ask for, by name; the first one is for members that ask for none."),
    fixed("group.consumer.migration.policy", Type::String, Some("bidirectional"), OneOfAnyCase(MIGRATION_POLICIES),
        "Whether a group with members may go from the classic protocol to the consumer protocol (upgrade), back (downgrade), both ways \
         (bidirectional) or neither (disabled)."),
    dynamic("group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0),
        "The least time between two assignments of a group."),
    fixed("group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0),
        "The shortest assignment interval that a group may be given."),
    fixed("group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0),
        "The longest assignment interval that a group may be given."),
    fixed("group.consumer.regex.refresh.interval.ms", Int, Some("600000"), AtLeast(10_000),
        "How often the topics that match a group's regular expressions are looked up even though no topic came or went."),
];

/// Names that share a reason or a feature.
struct Group {
    about: &'static str,
    names: &'static [&'static str],
}

#[rustfmt::skip]
static NO_MEANING_HERE: &[Group] = &[
    Group { about: "one runtime with a thread for each core does all work", names: &[
        "background.threads", "group.coordinator.background.threads", "group.coordinator.threads", "num.io.threads",
        "num.network.threads", "num.replica.alter.log.dirs.threads", "num.replica.fetchers",
        "remote.log.manager.copier.thread.pool.size", "remote.log.manager.expiration.thread.pool.size",
        "remote.log.manager.follower.thread.pool.size", "remote.log.manager.thread.pool.size", "remote.log.reader.threads",
        "share.coordinator.threads",
    ] },
    Group { about: "requests in memory are bounded by queued.max.request.bytes", names: &["queued.max.requests"] },
    Group { about: "what a group coordinator has to write is appended at once, together with whatever has come by then", names: &[
        "group.coordinator.append.linger.ms",
    ] },
    Group { about: "there are no other replicas yet that a commit could wait for", names: &["offsets.commit.timeout.ms"] },
    Group { about: "records of groups are encoded into the batch that is appended, without a buffer to keep", names: &[
        "group.coordinator.cached.buffer.max.bytes",
    ] },
    Group { about: "the kernel sizes socket buffers and queues by itself", names: &[
        "replica.socket.receive.buffer.bytes", "socket.listen.backlog.size", "socket.receive.buffer.bytes", "socket.send.buffer.bytes",
    ] },
    Group { about: "waiting requests are woken by what they wait for and need no purging", names: &[
        "delete.records.purgatory.purge.interval.requests", "fetch.purgatory.purge.interval.requests",
        "producer.purgatory.purge.interval.requests", "share.fetch.purgatory.purge.interval.requests",
    ] },
    Group { about: "there is no JVM", names: &[
        "auto.include.jmx.reporter", "kafka.metrics.polling.interval.secs", "kafka.metrics.reporters", "metric.reporters", "metrics.num.samples",
        "metrics.recording.level", "metrics.sample.window.ms",
    ] },
    Group { about: "there is no ZooKeeper", names: &[
        "broker.id.generation.enable", "reserved.broker.max.id", "zookeeper.connect", "zookeeper.connection.timeout.ms",
        "zookeeper.max.in.flight.requests", "zookeeper.metadata.migration.enable", "zookeeper.session.timeout.ms",
    ] },
    Group { about: "checkpoints are written as they change, in the data folder's store", names: &[
        "log.flush.offset.checkpoint.interval.ms", "log.flush.start.offset.checkpoint.interval.ms",
        "replica.high.watermark.checkpoint.interval.ms",
    ] },
    Group { about: "the metadata log lives in the data folder's store, which bounds it", names: &[
        "metadata.log.max.record.bytes.between.snapshots", "metadata.log.max.snapshot.interval.ms", "metadata.log.segment.bytes",
        "metadata.log.segment.ms", "metadata.max.idle.interval.ms", "metadata.max.retention.bytes", "metadata.max.retention.ms",
    ] },
    Group { about: "there are no other brokers yet to wait for, to hear of or to hand over to", names: &[
        "auto.leader.rebalance.enable", "broker.heartbeat.interval.ms", "broker.session.timeout.ms", "controlled.shutdown.enable",
        "controller.quorum.append.linger.ms", "controller.quorum.auto.join.enable",
        "controller.quorum.election.backoff.max.ms", "controller.quorum.election.timeout.ms",
        "controller.quorum.fetch.max.bytes", "controller.quorum.fetch.snapshot.max.bytes", "controller.quorum.fetch.timeout.ms",
        "controller.quorum.request.timeout.ms", "controller.quorum.retry.backoff.ms",
        "controller.socket.timeout.ms", "initial.broker.registration.timeout.ms", "leader.imbalance.check.interval.seconds",
        "replica.fetch.backoff.ms", "replica.fetch.max.bytes", "replica.fetch.min.bytes", "replica.fetch.response.max.bytes",
        "replica.fetch.wait.max.ms", "replica.lag.time.max.ms", "replica.selector.class", "replica.socket.timeout.ms", "request.timeout.ms",
        "socket.connection.setup.timeout.max.ms", "socket.connection.setup.timeout.ms",
    ] },
    Group { about: "there are no transactions yet, and so no such topic", names: &[
        "transaction.state.log.load.buffer.size", "transaction.state.log.min.isr", "transaction.state.log.num.partitions",
        "transaction.state.log.replication.factor", "transaction.state.log.segment.bytes",
    ] },
    Group { about: "there are no share groups yet, and so no such topic", names: &[
        "share.coordinator.load.buffer.size", "share.coordinator.state.topic.compression.codec", "share.coordinator.state.topic.min.isr",
        "share.coordinator.state.topic.num.partitions", "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.segment.bytes",
    ] },
    Group { about: "records are always stored in format 2, and versions are negotiated", names: &[
        "inter.broker.protocol.version", "log.message.downconversion.enable", "log.message.format.version",
    ] },
];

/// Whatever begins so protects something, even where Kafka does not know the name.
const SECURITY_PREFIXES: &[&str] =
    &["ssl.", "sasl.", "security.", "zookeeper.ssl.", "oauth.", "principal.", "authorizer.", "super.users"];

#[rustfmt::skip]
static SECURITY: &[Group] = &[
    Group { about: "authentication", names: &[
        "connection.failed.authentication.delay.ms", "connections.max.reauth.ms", "delegation.token.expiry.check.interval.ms",
        "delegation.token.expiry.time.ms", "delegation.token.max.lifetime.ms", "delegation.token.secret.key", "principal.builder.class",
        "zookeeper.set.acl",
    ] },
    Group { about: "access control", names: &["allow.everyone.if.no.acl.found", "authorizer.class.name", "early.start.listeners", "super.users"] },
    Group { about: "policies that are Java classes", names: &[
        "alter.config.policy.class.name", "client.quota.callback.class", "create.topic.policy.class.name",
    ] },
    Group { about: "values that are kept elsewhere", names: &["config.providers"] },
];

#[rustfmt::skip]
static NOT_YET: &[Group] = &[
    Group { about: "data in several folders", names: &[
        "alter.log.dirs.replication.quota.window.num", "alter.log.dirs.replication.quota.window.size.seconds", "cordoned.log.dirs",
        "log.dir.failure.timeout.ms", "metadata.log.dir",
    ] },
    Group { about: "quotas", names: &[
        "controller.quota.window.num", "controller.quota.window.size.seconds", "max.connection.creation.rate", "quota.window.num",
        "quota.window.size.seconds", "replication.quota.window.num", "replication.quota.window.size.seconds",
    ] },
    Group { about: "streams groups", names: &[
        "group.streams.assignment.interval.ms", "group.streams.heartbeat.interval.ms", "group.streams.initial.rebalance.delay.ms",
        "group.streams.max.assignment.interval.ms", "group.streams.max.heartbeat.interval.ms", "group.streams.max.session.timeout.ms",
        "group.streams.max.size", "group.streams.max.standby.replicas", "group.streams.min.assignment.interval.ms",
        "group.streams.min.heartbeat.interval.ms", "group.streams.min.session.timeout.ms", "group.streams.num.standby.replicas",
        "group.streams.session.timeout.ms",
    ] },
    Group { about: "share groups", names: &[
        "group.share.assignment.interval.ms", "group.share.assignors", "group.share.delivery.count.limit", "group.share.heartbeat.interval.ms",
        "group.share.max.assignment.interval.ms", "group.share.max.delivery.count.limit", "group.share.max.heartbeat.interval.ms",
        "group.share.max.partition.max.record.locks", "group.share.max.record.lock.duration.ms", "group.share.max.session.timeout.ms",
        "group.share.max.share.sessions", "group.share.max.size", "group.share.min.assignment.interval.ms", "group.share.min.delivery.count.limit",
        "group.share.min.heartbeat.interval.ms", "group.share.min.partition.max.record.locks", "group.share.min.record.lock.duration.ms",
        "group.share.min.session.timeout.ms", "group.share.partition.max.record.locks", "group.share.record.lock.duration.ms",
        "group.share.session.timeout.ms", "share.coordinator.append.linger.ms", "share.coordinator.cached.buffer.max.bytes",
        "share.coordinator.snapshot.update.records.per.snapshot", "share.coordinator.write.timeout.ms",
    ] },
    Group { about: "transactions", names: &[
        "add.partitions.to.txn.retry.backoff.max.ms", "add.partitions.to.txn.retry.backoff.ms",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms", "transaction.max.timeout.ms", "transaction.partition.verification.enable",
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        "transaction.two.phase.commit.enable", "transactional.id.expiration.ms",
    ] },
    Group { about: "tiered storage", names: &[
        "follower.fetch.last.tiered.offset.enable", "log.local.retention.bytes", "log.local.retention.ms", "remote.fetch.max.wait.ms",
        "remote.list.offsets.request.timeout.ms", "remote.log.index.file.cache.total.size.bytes", "remote.log.manager.copy.max.bytes.per.second",
        "remote.log.manager.copy.quota.window.num", "remote.log.manager.copy.quota.window.size.seconds",
        "remote.log.manager.fetch.max.bytes.per.second", "remote.log.manager.fetch.quota.window.num",
        "remote.log.manager.fetch.quota.window.size.seconds", "remote.log.manager.task.interval.ms",
        "remote.log.metadata.custom.metadata.max.bytes", "remote.log.metadata.manager.class.name", "remote.log.metadata.manager.class.path",
        "remote.log.metadata.manager.impl.prefix", "remote.log.metadata.manager.listener.name", "remote.log.reader.max.pending.tasks",
        "remote.log.storage.manager.class.name", "remote.log.storage.manager.class.path", "remote.log.storage.manager.impl.prefix",
        "remote.log.storage.system.enable",
    ] },
    Group { about: "client telemetry", names: &["telemetry.max.bytes"] },
];
