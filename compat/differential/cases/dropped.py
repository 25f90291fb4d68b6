"""Versions that Kafka 4 no longer has and Felice has: ListOffsets 0, CreateTopics 0-1 and their like."""

import time

import wire
from records import TIME, batch

from .mark import dropped


@dropped
def list_offsets_0(peer):
    name, empty, rolled = peer.create("t", 2), peer.create("e"), peer.create("r", segment_bytes=1024 * 1024)
    peer.append(name, batch([b"a", b"b", b"c"]), batch([b"d"]))
    for _ in range(4):
        peer.append(rolled, batch([b"x" * 600_000]))

    def ask(label, *partitions, replica=-1):
        asked = {}
        for topic, partition, timestamp, most in partitions:
            entry = asked.setdefault(topic, {"Name": topic, "Partitions": []})
            entry["Partitions"].append({"PartitionIndex": partition, "Timestamp": timestamp, "MaxNumOffsets": most})
        peer.ask(label, "ListOffsets", 0, {"ReplicaId": replica, "Topics": list(asked.values())})

    now = int(time.time() * 1000)
    for most in (0, 1, 2, 3, 100, 2_147_483_647):
        for which, topic in (("a topic", name), ("an empty topic", empty), ("four segments", rolled)):
            for timestamp in (-1, -2, -3, -100, 0, TIME):
                ask(f"{most} of {which} at {timestamp}", (topic, 0, timestamp, most))
            ask(f"{most} of {which} in an hour", (topic, 0, now + 3_600_000, most))
    ask("an unknown partition", (name, 9, -1, 1))
    ask("partition -1", (name, -1, -1, 1))
    ask("an unknown topic", ("nowhere", 0, -1, 1))
    ask("a bad name", ("a/b", 0, -1, 1))
    ask("two partitions", (name, 0, -1, 1), (name, 1, -2, 1))
    ask("one partition twice", (name, 0, -1, 1), (name, 0, -2, 1))
    ask("nothing")
    ask("for debugging", (name, 0, -1, 9), replica=-2)


@dropped
def create_topics_old(peer):
    for version in wire.dropped("CreateTopics"):

        def ask(label, *topics, **more):
            filled = [{"NumPartitions": 1, "ReplicationFactor": 1, **topic} for topic in topics]
            peer.ask(label, "CreateTopics", version, {"Topics": filled, "timeoutMs": 10_000, **more})

        name = peer.topic(f"good{version}")
        if version >= 1:
            ask("validate only", {"Name": name}, validateOnly=True)
        ask("good", {"Name": name, "NumPartitions": 2})
        peer.served(name, 2)
        ask("exists", {"Name": name})
        ask("none")
        ask("a bad name", {"Name": "a/b"})
        ask("no partitions", {"Name": peer.topic("never"), "NumPartitions": 0})
        ask("-1 partitions", {"Name": peer.topic(f"never{version}"), "NumPartitions": -1})
        ask("-1 replicas", {"Name": peer.topic(f"nor{version}"), "ReplicationFactor": -1})
        ask("too many replicas", {"Name": peer.topic("never"), "ReplicationFactor": 2})
        ask("an unknown setting", {"Name": peer.topic("never"), "Configs": [{"Name": "no.such", "Value": "1"}]})
        ask("the same name twice", {"Name": peer.topic("twice")}, {"Name": peer.topic("twice")})
        assigned = {"Name": peer.topic(f"assigned{version}"), "NumPartitions": -1, "ReplicationFactor": -1}
        ask("assigned", {**assigned, "Assignments": [{"PartitionIndex": n, "BrokerIds": [1]} for n in (1, 0)]})


@dropped
def delete_topics_old(peer):
    for version in wire.dropped("DeleteTopics"):
        name = peer.create(f"t{version}")
        ask = lambda label, *names: peer.ask(label, "DeleteTopics", version, {"TopicNames": names, "TimeoutMs": 10_000})
        ask("good and unknown", name, "nowhere")
        ask("again", name)
        ask("none")
        ask("a bad name", "a/b")


@dropped
def offset_for_leader_epoch_old(peer):
    name, empty = peer.create("t"), peer.create("e")
    peer.append(name, batch([b"a", b"b"]), batch())
    for version in wire.dropped("OffsetForLeaderEpoch"):

        def ask(label, topic, partition, epoch):
            asked = [{"Partition": partition, "LeaderEpoch": epoch}]
            peer.ask(label, "OffsetForLeaderEpoch", version, {"Topics": [{"Topic": topic, "Partitions": asked}]})

        for epoch in (0, 1, 99, -1, -2):
            ask(f"epoch {epoch}", name, 0, epoch)
            ask(f"epoch {epoch} of an empty topic", empty, 0, epoch)
        ask("an unknown partition", name, 5, 0)
        ask("an unknown topic", "nowhere", 0, 0)
        peer.ask("nothing", "OffsetForLeaderEpoch", version, {"Topics": []})


@dropped
def describe_configs_old(peer):
    name = peer.create("t", segment_bytes=2_000_000, compression_type="gzip")
    keys = ["segment.bytes", "compression.type", "max.message.bytes", "min.insync.replicas", "message.timestamp.type"]
    for version in wire.dropped("DescribeConfigs"):

        def ask(label, kind, resource, names):
            asked = {"ResourceType": kind, "ResourceName": resource, "ConfigurationKeys": names}
            peer.ask(label, "DescribeConfigs", version, {"Resources": [asked]})

        ask("some of a topic", 2, name, keys)
        ask("some of the broker", 4, "1", ["num.partitions", "message.max.bytes", "node.id", "log.segment.bytes"])
        ask("an unknown setting", 2, name, ["no.such"])
        ask("an unknown topic", 2, "nowhere", keys)
        ask("a bad name", 2, "a/b", keys)
        ask("another broker", 4, "77", None)
        ask("an unknown kind", 9, name, None)
