"""librdkafka's admin client, as far as topics, their settings and their offsets go."""

import os
import time

from clients import LIMIT_S, admin, consumer, flush, producer
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from harness.checks import Wrong, require, same, settled


def admin_calls(broker):
    client = admin(broker)
    node = describe_cluster(broker, client)
    create_topics(client, node)
    create_partitions(client, node)
    configs(client)
    list_offsets(broker, client)
    delete_records(broker, client)
    delete_topics(client)


def describe_cluster(broker, client):
    cluster = client.describe_cluster().result(LIMIT_S)
    same("one node", 1, len(cluster.nodes))
    same("its address", broker.address, f"{cluster.nodes[0].host}:{cluster.nodes[0].port}")
    same("it is the controller", cluster.nodes[0].id, cluster.controller.id)
    require(f"cluster id {cluster.cluster_id}", len(cluster.cluster_id) == 22)
    return cluster.nodes[0].id


def create_topics(client, node):
    only(client.create_topics([NewTopic("dry", 3, 1)], validate_only=True))
    require("validate_only creates nothing", "dry" not in client.list_topics(timeout=LIMIT_S).topics)
    create_all(client, NewTopic("ten", 10, 1), NewTopic("defaults"), NewTopic("assigned", 2, replica_assignment=[[node], [node]]))
    create_all(client, NewTopic("settings", 1, 1, config={"segment.ms": "1234567", "cleanup.policy": "delete"}))
    refused("an existing topic", KafkaError.TOPIC_ALREADY_EXISTS, client.create_topics([NewTopic("ten", 1, 1)]))
    refused("a name with a slash", KafkaError.TOPIC_EXCEPTION, client.create_topics([NewTopic("a/b", 1, 1)]))
    refused("three replicas on one broker", KafkaError.INVALID_REPLICATION_FACTOR, client.create_topics([NewTopic("three", 1, 3)]))
    refused("an unknown setting", KafkaError.INVALID_CONFIG, client.create_topics([NewTopic("bad", 1, 1, config={"no.such": "1"})]))
    refused("100,000 partitions", KafkaError.POLICY_VIOLATION, client.create_topics([NewTopic("huge", 100_000, 1)]))
    create_all(client, NewTopic("a.b", 1, 1))
    refused("a colliding name", KafkaError.TOPIC_EXCEPTION, client.create_topics([NewTopic("a_b", 1, 1)]))

    settled("list_topics", {"ten": 10, "defaults": 1, "assigned": 2, "settings": 1, "a.b": 1}, lambda: listed(client))
    described = describe(client, "ten")
    same("describe_topics: partitions", list(range(10)), [partition.id for partition in described.partitions])
    for partition in described.partitions:
        replicas = [replica.id for replica in partition.replicas], [replica.id for replica in partition.isr]
        require(f"leader, replicas and ISR of {partition.id}", (partition.leader.id, replicas) == (node, ([node], [node])))
    require("a topic has an id", str(described.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA"))
    refused("describing an unknown topic", KafkaError.UNKNOWN_TOPIC_OR_PART, client.describe_topics(TopicCollection(["nowhere"])))


def create_partitions(client, node):
    only(client.create_partitions([NewPartitions("defaults", 4)], validate_only=True))
    same("validate_only adds none", 1, len(describe(client, "defaults").partitions))
    only(client.create_partitions([NewPartitions("defaults", 4)]))
    only(client.create_partitions([NewPartitions("defaults", 5, replica_assignment=[[node]])]))
    settled("five partitions", 5, lambda: len(describe(client, "defaults").partitions))
    refused("fewer partitions", KafkaError.INVALID_PARTITIONS, client.create_partitions([NewPartitions("defaults", 2)]))
    refused("partitions of an unknown topic", KafkaError.UNKNOWN_TOPIC_OR_PART, client.create_partitions([NewPartitions("nowhere", 2)]))


def configs(client):
    entries = settings(client)
    same("a setting of the topic", ("1234567", ConfigSource.DYNAMIC_TOPIC_CONFIG.value), (entries["segment.ms"].value, entries["segment.ms"].source))
    same("cleanup.policy reads exactly", "delete", entries["cleanup.policy"].value)
    same("a default", ("1048588", ConfigSource.DEFAULT_CONFIG.value), (entries["max.message.bytes"].value, entries["max.message.bytes"].source))
    for operation, name, value, expected in [
        (AlterConfigOpType.SET, "segment.ms", "7654321", "7654321"),
        (AlterConfigOpType.APPEND, "cleanup.policy", "delete", "delete"),
        (AlterConfigOpType.SUBTRACT, "cleanup.policy", "compact", "delete"),
        (AlterConfigOpType.APPEND, "cleanup.policy", "compact", "delete,compact"),
        (AlterConfigOpType.SET, "cleanup.policy", "delete", "delete"),
        (AlterConfigOpType.SET, "retention.ms", "86400000", "86400000"),
        (AlterConfigOpType.DELETE, "segment.ms", None, "604800000"),
        (AlterConfigOpType.SET, "max.message.bytes", "2000000", "2000000"),
        (AlterConfigOpType.SET, "segment.bytes", "1048576", "1048576"),
        (AlterConfigOpType.SET, "message.timestamp.type", "LogAppendTime", "LogAppendTime"),
        (AlterConfigOpType.SET, "compression.type", "zstd", "zstd"),
        (AlterConfigOpType.SET, "min.insync.replicas", "2", "2"),
        (AlterConfigOpType.SET, "flush.messages", "1", "1"),
    ]:
        only(client.incremental_alter_configs([change(operation, name, value)]))
        settled(f"{operation.name} {name}", expected, lambda: settings(client)[name].value)
    only(client.incremental_alter_configs([change(AlterConfigOpType.SET, "segment.ms", "1")], validate_only=True))
    same("validate_only changes nothing", "604800000", settings(client)["segment.ms"].value)
    for check, name, value in [("a bad value", "segment.ms", "soon"), ("an unknown setting", "no.such", "1")]:
        refused(check, KafkaError.INVALID_CONFIG, client.incremental_alter_configs([change(AlterConfigOpType.SET, name, value)]))
    if os.environ.get("BROKER") != "kafka":
        not_supported_yet(client)
    refused("settings of an unknown topic", KafkaError.UNKNOWN_TOPIC_OR_PART, client.describe_configs([ConfigResource("topic", "nowhere")]))


def not_supported_yet(client):
    """What Felice would not obey it refuses, by name."""
    for name, value in [("preallocate", "true"), ("remote.storage.enable", "true")]:
        topic = NewTopic("later", 1, 1, config={name: value})
        refused(f"CreateTopics with {name}={value}", KafkaError.INVALID_CONFIG, client.create_topics([topic]), naming=name)
        altered = client.incremental_alter_configs([change(AlterConfigOpType.SET, name, value)])
        refused(f"{name}={value}", KafkaError.INVALID_CONFIG, altered, naming=name)
    require("a topic that is refused is not created", "later" not in listed(client))


def list_offsets(broker, client):
    base = int(time.time() * 1000) - 1000
    sender = producer(broker, linger_ms=500)
    for each in (10, 30, 20):
        sender.produce("ten", b"v", partition=3, timestamp=base + each)
    flush(sender)
    partition = TopicPartition("ten", 3)
    for name, spec, expected in [
        ("earliest", OffsetSpec.earliest(), 0),
        ("latest", OffsetSpec.latest(), 3),
        ("max_timestamp", OffsetSpec.max_timestamp(), 1),
        ("for_timestamp", OffsetSpec.for_timestamp(base + 11), 1),
        ("for_timestamp after all", OffsetSpec.for_timestamp(base + 31), -1),
    ]:
        same(f"list_offsets {name}", expected, only(client.list_offsets({partition: spec})).offset)


def delete_records(broker, client):
    """Of the three records that are in partition 3."""
    deleted = only(client.delete_records([TopicPartition("ten", 3, 2)]))
    same("delete_records: the low watermark", 2, deleted.low_watermark)
    earliest = lambda: only(client.list_offsets({TopicPartition("ten", 3): OffsetSpec.earliest()})).offset
    same("delete_records: the earliest offset", 2, earliest())
    reader = consumer(broker)
    reader.assign([TopicPartition("ten", 3, 1)])
    message = reader.poll(LIMIT_S)
    reader.close()
    same("delete_records: a consumer below is told", KafkaError._AUTO_OFFSET_RESET, message.error().code())
    beyond = client.delete_records([TopicPartition("ten", 3, 4)])
    refused("delete_records beyond the end", KafkaError.OFFSET_OUT_OF_RANGE, beyond)
    refused("delete_records of an unknown topic, as the client finds", KafkaError._NOENT, client.delete_records([TopicPartition("nowhere", 0, 0)]))
    same("delete_records: all", 3, only(client.delete_records([TopicPartition("ten", 3, OFFSET_END)])).low_watermark)


def delete_topics(client):
    only(client.delete_topics(["ten"]))
    refused("a deleted topic", KafkaError.UNKNOWN_TOPIC_OR_PART, client.delete_topics(["ten"]))
    for future in client.delete_topics(["defaults", "assigned", "settings", "a.b"]).values():
        future.result(LIMIT_S)
    settled("all topics are deleted", {}, lambda: listed(client))


def create_all(client, *topics):
    for future in client.create_topics(list(topics)).values():
        future.result(LIMIT_S)


def listed(client):
    """All topics but the coordinators' own, which come when somebody asks for a coordinator."""
    topics = client.list_topics(timeout=LIMIT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")}


def describe(client, topic):
    return only(client.describe_topics(TopicCollection([topic])))


def settings(client):
    return only(client.describe_configs([ConfigResource("topic", "settings")]))


def change(operation, name, value):
    entry = ConfigEntry(name, value, incremental_operation=operation)
    return ConfigResource("topic", "settings", incremental_configs=[entry])


def only(futures):
    """The result of the one future in a dictionary of them."""
    (future,) = futures.values()
    return future.result(LIMIT_S)


def refused(check, code, futures, naming=""):
    """That a call fails with this code, and with a message that has `naming` in it."""
    try:
        answer = only(futures)
    except KafkaException as failure:
        same(f"refused: {check}", code, failure.args[0].code())
        require(f"{check}: <{failure.args[0].str()}> does not name {naming}", naming in failure.args[0].str())
    else:
        raise Wrong(f"{check}: expected error {code}, got {answer}")
