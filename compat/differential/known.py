"""The differences from Kafka that are meant, or not yet done: each with its reason. One that no answer shows any more
fails the run, so that the list stays true."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

ANY = object()


@dataclass(frozen=True, eq=False)
class Known:
    reason: str
    case: str = "*"
    label: str = "*"
    path: str = "*"  # of a field, such as *Topics[*].ErrorCode; with every [n] written as []
    felice: object = ANY
    kafka: object = ANY

    def covers(self, case, label, path, felice, kafka):
        return (
            fnmatchcase(case, self.case)
            and fnmatchcase(label, self.label)
            and fnmatchcase(re.sub(r"\[\d+\]", "[]", path).replace("[]", ":"), self.path.replace("[]", ":"))
            and self.felice in (ANY, felice)
            and self.kafka in (ANY, kafka)
        )


def known(reason, *places):
    """One entry for each place (case, label, path and what else it takes)."""
    return [Known(reason, **dict(zip(("case", "label", "path", "felice", "kafka"), place))) for place in places]


# Topic settings that belong to what is not built yet: refused by name, and so not listed either.
NOT_YET = """follower.replication.throttled.replicas leader.replication.throttled.replicas local.retention.bytes local.retention.ms
    remote.log.copy.disable remote.log.delete.on.disable""".split()

KNOWN = [
    # What Felice says more, or has otherwise.
    *known(
        "A producer is told in words why its batch was refused.",
        ("produce*", "*", "*.ErrorMessage", "a text", None),
    ),
    *known(
        "Features are what this version has: its own levels of metadata.version, and no share, streams or transaction protocol yet.",
        ("api_versions", "good*", "SupportedFeatures.*"),
        ("api_versions", "good*", "FinalizedFeatures.*"),
    ),
    *known(
        "Kafka makes the default of min.insync.replicas a setting of the cluster (KIP-966); here it is a default.",
        ("create_topics*", "*", "*.Configs.min.insync.replicas.ConfigSource", 5, 3),
        ("describe_configs", "*", "*.Configs.min.insync.replicas.ConfigSource", 5, 3),
        ("describe_configs", "*", "*.Configs.min.insync.replicas.Synonyms"),
    ),
    *known(
        "Versions that Kafka 4 dropped are served, with the answers of Kafka 3.9.",
        ("api_versions", "good*", "ApiKeys[].MinVersion", 0, 1),
        ("api_versions", "good*", "ApiKeys[].MinVersion", 0, 2),
    ),
    *known(
        "OffsetCommit and OffsetFetch 0 are served with the offsets of all other versions; Kafka 3.9 kept theirs in ZooKeeper.",
        ("offset_commit_and_fetch_old", "* v0"),
    ),
    *known(
        "Whoever commits one partition twice is answered twice, as Kafka 4 does; Kafka 3.9 answers once.",
        ("offset_commit_and_fetch_old", "commit: one partition twice v1", "Topics[].Partitions"),
    ),
    *known(
        "A default is told as one below version 1 too, as the field says; Kafka 3.9 leaves it out.",
        ("describe_configs_old", "*", "*.IsDefault", True, False),
    ),
    *known(
        "ListOffsets 0 answers a partition that is named twice once: each answer may hold an offset for every segment.",
        ("list_offsets_0", "one partition twice*", "*"),
    ),
    *known(
        "A broker's own settings cannot be changed while it runs yet.",
        ("describe_configs_old", "some of the broker*", "*.ReadOnly", True, False),
    ),
    # Where Felice is ahead of its answer.
    *known(
        "A topic that is created for a client is there in the answer, and one that cannot be is told so; Kafka lets ask again.",
        ("metadata_auto_creation", "a colliding name*", "*.ErrorCode", 17, 3),
    ),
    *known(
        "A connection is read on while a fetch waits, so that the fetch sees what was sent after it.",
        ("many_at_once", "* Fetch", "*.HighWatermark"),
        ("many_at_once", "* Fetch", "*.LastStableOffset"),
    ),
    # What is checked more strictly. No client sends these.
    *known(
        "Two new names that collide (a.b, a_b) collide in one request as well.",
        ("create_topics_refused", "two new names that collide*", "Topics*"),
    ),
    *known(
        "Bytes after the batch are refused, where Kafka drops them.",
        ("produce_bad_batches", "bytes after the batch*", "Responses*"),
    ),
    *known(
        "Offset deltas count from 0: each record has the offset that its place in the batch says.",
        ("produce_bad_batches", "deltas that skip*", "Responses*"),
        ("produce_bad_batches", "deltas in the wrong order*", "Responses*"),
    ),
    *known(
        "A producer id with an epoch of -1 is no producer.",
        ("produce_bad_batches", "a negative epoch*", "Responses*"),
    ),
    *known(
        "A partition that comes twice in a Produce request is told so; Kafka drops one of the two batches without a word.",
        ("produce_where", "one partition twice*", "Responses*"),
        ("produce_where", "one topic twice*", "Responses*"),
    ),
    *known(
        "A leader epoch below -1 is older than any; Kafka's Fetch, and nothing else of it, takes it for none.",
        ("fetch_epochs", "an epoch below all*"),
    ),
    *known(
        "A length of -2 and a name that is no UTF-8 are malformed.",
        ("hostile_bytes", "an array of length -2", "", "closed", "answered"),
        ("hostile_bytes", "a name that is not UTF-8", "", "closed", "answered"),
    ),
    *known(
        "A regular expression that takes much memory once it is compiled is refused.",
        ("groups_bad_input", "regex repeated", "", 128, 0),
    ),
    # What Kafka fails on with UNKNOWN_SERVER_ERROR.
    *known(
        "A topic with neither id nor name has no valid name.",
        ("metadata_by_id", "neither id nor name*"),
    ),
    *known(
        "A bad name is the fault of that topic alone, and INVALID_TOPIC_EXCEPTION.",
        ("describe_topic_partitions", "bad names*"),
    ),
    *known(
        "An unknown operation is INVALID_REQUEST.",
        ("incremental_alter_configs", "an unknown operation*", "*.ErrorCode", 42, -1),
        ("incremental_alter_configs", "an unknown operation*", "*.ErrorMessage", "a text", None),
    ),
    *known(
        "A negative size limit is none at all, and the first batch comes all the same.",
        ("fetch_limits", "*limit of -389*"),
    ),
    *known(
        "A group that is made of offsets only goes with the last of them; Kafka shows it as empty until it looks for expired ones, or restarts.",
        ("offset_delete", "the group after it*", "Groups[].*"),
    ),
    *known(
        "An OffsetFetch with an epoch and without a member is of no member of the group.",
        ("consumer_lives", "*: fetch of no member*", "Groups[].ErrorCode", 25, -1),
    ),
    # What Felice answers in full.
    *known(
        "Topics asked for by name beside others asked for by id are answered as well.",
        ("metadata_by_id", "one by id, one by name*", "Topics"),
    ),
    *known(
        "Only whole batches are sent.",
        ("fetch_limits", "*limit of +1*", "*.Records"),
    ),
    # Not built yet.
    *known(
        "Settings of what is not built yet are not listed.",
        *((case, "*", f"*.Configs.{name}", "absent") for case in ("create_topics*", "describe_configs") for name in NOT_YET),
        *(("group_configs", "describe*", f"*.Configs.{kind}.*", "absent") for kind in ("share", "streams")),
    ),
    *known(
        "Unclean election is not built yet: its setting is refused.",
        ("create_topics_refused", "good unclean.leader.election.enable=*", "Topics*"),
    ),
]
