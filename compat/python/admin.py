"""The client's admin calls, as far as topics and their settings go. Errors are compared by Kafka's codes."""

from clients import code_of
from harness.checks import require, same, settled

UNKNOWN_TOPIC_OR_PARTITION = 3
INVALID_TOPIC = 17
TOPIC_ALREADY_EXISTS = 36
INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38
INVALID_REPLICA_ASSIGNMENT = 39
INVALID_CONFIG = 40
POLICY_VIOLATION = 44


def admin_calls(client, broker):
    with client.admin() as admin:
        node = cluster(admin, broker)
        topics(admin, node)
        refused_topics(admin, node)
        partitions(admin)
        settings(admin)
        deleted(admin)


def cluster(admin, broker):
    nodes, controller, cluster_id = admin.cluster()
    same("one node, with the address by which it was reached, which is the controller", {controller: broker.address}, nodes)
    require(f"cluster id {cluster_id}", len(cluster_id) == 22)
    return controller


def topics(admin, node):
    admin.create_topic("dry", 3, validate_only=True)
    require("validate_only creates nothing", "dry" not in admin.topics())
    admin.create_topic("ten", 10)
    admin.create_topic("assigned", assignments={0: [node], 1: [node]})
    admin.create_topic("settings", 1, settings={"segment.ms": "1234567", "cleanup.policy": "delete"})
    settled("topics", {"ten", "assigned", "settings"}, admin.topics)
    expected = {n: (node, [node], [node]) for n in range(10)}
    settled("leader, replicas and ISR of ten partitions", expected, lambda: admin.describe_topic("ten"))
    same("describing an unknown topic", UNKNOWN_TOPIC_OR_PARTITION, code_of(admin.describe_topic, "nowhere"))


def refused_topics(admin, node):
    for check, code, name, options in [
        ("an existing topic", TOPIC_ALREADY_EXISTS, "ten", {"partitions": 1}),
        ("a name with a slash", INVALID_TOPIC, "a/b", {"partitions": 1}),
        ("an empty name", INVALID_TOPIC, "", {"partitions": 1}),
        ("a name of 250 characters", INVALID_TOPIC, "x" * 250, {"partitions": 1}),
        ("no partitions", INVALID_PARTITIONS, "zero", {"partitions": 0}),
        ("three replicas on one broker", INVALID_REPLICATION_FACTOR, "three", {"partitions": 1, "replicas": 3}),
        ("an unknown broker", INVALID_REPLICA_ASSIGNMENT, "nobody", {"assignments": {0: [node + 77]}}),
        ("an unknown setting", INVALID_CONFIG, "bad", {"partitions": 1, "settings": {"no.such": "1"}}),
        ("a bad value", INVALID_CONFIG, "bad", {"partitions": 1, "settings": {"segment.ms": "soon"}}),
        ("100,000 partitions", POLICY_VIOLATION, "huge", {"partitions": 100_000}),
    ]:
        same(f"refused: {check}", code, code_of(admin.create_topic, name, **options))


def partitions(admin):
    admin.create_partitions("assigned", 4, validate_only=True)
    same("validate_only adds none", 2, len(admin.describe_topic("assigned")))
    admin.create_partitions("assigned", 4)
    settled("two more partitions", 4, lambda: len(admin.describe_topic("assigned")))
    same("refused: fewer partitions", INVALID_PARTITIONS, code_of(admin.create_partitions, "assigned", 2))
    same("refused: partitions of an unknown topic", UNKNOWN_TOPIC_OR_PARTITION, code_of(admin.create_partitions, "nowhere", 2))


def settings(admin):
    described = admin.settings("settings")
    named = ("segment.ms", "cleanup.policy", "max.message.bytes")
    same("settings given, and a default", ["1234567", "delete", "1048588"], [described[name] for name in named])
    for name, value in [("segment.ms", "7654321"), ("max.message.bytes", "2000000"), ("message.timestamp.type", "LogAppendTime")]:
        admin.alter("settings", name, value)
        settled(f"{name} is altered", value, lambda: admin.settings("settings")[name])
    same("refused: a bad value", INVALID_CONFIG, code_of(admin.alter, "settings", "segment.ms", "soon"))
    same("refused: an unknown setting", INVALID_CONFIG, code_of(admin.alter, "settings", "no.such", "1"))
    same("refused: altering an unknown topic", UNKNOWN_TOPIC_OR_PARTITION, code_of(admin.alter, "nowhere", "segment.ms", "1"))


def deleted(admin):
    for name in ("ten", "assigned", "settings"):
        admin.delete_topic(name)
    settled("all topics are deleted", set(), admin.topics)
    same("refused: deleting it again", UNKNOWN_TOPIC_OR_PARTITION, code_of(admin.delete_topic, "ten"))
