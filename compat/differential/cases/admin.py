"""CreateTopics, DeleteTopics, CreatePartitions."""

import uuid

import wire

from .mark import case

POLICY_VIOLATION = 44
UNKNOWN_ID = uuid.UUID(int=0xFE11CE)


@case
def create_topics(peer):
    for version in wire.versions("CreateTopics"):
        name = peer.topic(f"good{version}")
        topic = {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1}
        peer.ask("validate only", "CreateTopics", version, {"Topics": [topic], "validateOnly": True})
        peer.ask("good", "CreateTopics", version, {"Topics": [topic]})
        peer.served(name, 2)
        peer.ask("exists", "CreateTopics", version, {"Topics": [topic]})
        peer.ask("exists, validate only", "CreateTopics", version, {"Topics": [topic], "validateOnly": True})
        peer.ask("none", "CreateTopics", version, {"Topics": []})
        assigned = {"Name": peer.topic(f"assigned{version}"), "NumPartitions": -1, "ReplicationFactor": -1}
        assigned["Assignments"] = [{"PartitionIndex": n, "BrokerIds": [1]} for n in (1, 0)]
        peer.ask("assigned", "CreateTopics", version, {"Topics": [assigned]})
        defaults = {"Name": peer.topic(f"defaults{version}"), "NumPartitions": -1, "ReplicationFactor": -1}
        peer.ask("defaults", "CreateTopics", version, {"Topics": [defaults]})


@case
def create_topics_refused(peer):
    peer.create("ex.ists")

    def ask(label, *topics, version=7, **more):
        filled = [{"NumPartitions": 1, "ReplicationFactor": 1, **topic} for topic in topics]
        peer.ask(label, "CreateTopics", version, {"Topics": filled, **more})

    def assigned(*lists, **more):
        given = [{"PartitionIndex": n, "BrokerIds": brokers} for n, brokers in lists]
        return {"Name": peer.topic("never"), "NumPartitions": -1, "ReplicationFactor": -1, "Assignments": given, **more}

    def configured(*pairs):
        return {"Name": peer.topic("never"), "Configs": [{"Name": name, "Value": value} for name, value in pairs]}

    for name in ("", ".", "..", "a/b", "a b", "a,b", "ä", "x" * 250, "a\0b", "a:b", "$"):
        ask(f"name {name[:20]!r}", {"Name": name})
    ask("name of 249 characters", {"Name": "x" * 249}, validateOnly=True)
    ask("a colliding name", {"Name": peer.topic("ex_ists")})
    ask("two new names that collide", {"Name": peer.topic("n.ew")}, {"Name": peer.topic("n_ew")}, validateOnly=True)
    ask("the same name twice", {"Name": peer.topic("twice")}, {"Name": peer.topic("twice")})
    ask("the same name twice beside a good one", {"Name": peer.topic("t")}, {"Name": peer.topic("t")}, {"Name": peer.topic("beside")})
    ask("good and bad", {"Name": peer.topic("good")}, {"Name": "b?d"})
    for count in (0, -2, -100):
        ask(f"{count} partitions", {"Name": peer.topic("never"), "NumPartitions": count})
    for factor in (0, -2, 2, 32767):
        ask(f"{factor} replicas", {"Name": peer.topic("never"), "ReplicationFactor": factor})
    ask("10,000 partitions", {"Name": peer.topic("never"), "NumPartitions": 10_000}, validateOnly=True)
    ask("10,001 partitions", {"Name": peer.topic("never"), "NumPartitions": 10_001})
    ask("100,000 partitions", {"Name": peer.topic("never"), "NumPartitions": 100_000})
    ask("2,147,483,647 partitions", {"Name": peer.topic("never"), "NumPartitions": 2_147_483_647})
    ask("10,001 partitions in two topics", {"Name": peer.topic("a"), "NumPartitions": 5_000}, {"Name": peer.topic("b"), "NumPartitions": 5_001})
    ask("an assignment to an unknown broker", assigned((0, [9])))
    ask("an assignment to nobody", assigned((0, [])))
    ask("an assignment twice to one broker", assigned((0, [1, 1])))
    ask("an assignment to broker -1", assigned((0, [-1])))
    ask("an assignment with a gap", assigned((0, [1]), (2, [1])))
    ask("an assignment from 1 on", assigned((1, [1])))
    ask("an assignment of one partition twice", assigned((0, [1]), (0, [1])))
    ask("an assignment of partition -1", assigned((-1, [1])))
    ask("assignments of different lengths", assigned((0, [1]), (1, [1, 2])))
    ask("an assignment and a number of partitions", assigned((0, [1]), NumPartitions=1))
    ask("an assignment and a replication factor", assigned((0, [1]), ReplicationFactor=1))
    ask("an unknown setting", configured(("no.such", "1")))
    ask("a broker's setting", configured(("log.retention.ms", "1")))
    for name, value in [("segment.ms", "soon"), ("segment.ms", ""), ("segment.ms", None), ("segment.ms", "-2"), ("segment.bytes", "1"),
                        ("cleanup.policy", "shred"), ("cleanup.policy", ""), ("cleanup.policy", "compact,shred"), ("compression.type", "rar"),
                        ("min.insync.replicas", "0"), ("unclean.leader.election.enable", "maybe"), ("min.cleanable.dirty.ratio", "2"),
                        ("message.timestamp.type", "Never"), ("max.message.bytes", "-1"), ("flush.ms", "9223372036854775808"),
                        ("compression.gzip.level", "0"), ("compression.zstd.level", "23"), ("", "1")]:
        ask(f"{name}={value}", configured((name, value)), validateOnly=True)
    for name, value in [("cleanup.policy", "compact,delete"), ("segment.ms", " 5000 "), ("compression.type", "zstd"), ("retention.ms", "-1"),
                        ("compression.gzip.level", "-1"), ("unclean.leader.election.enable", "TRUE"), ("cleanup.policy", "delete, compact")]:
        ask(f"good {name}={value!r}", configured((name, value)), validateOnly=True)
    lags = [("min.compaction.lag.ms", "6"), ("max.compaction.lag.ms", "5")]
    ask("compaction at least after 6 ms, and at most after 5", configured(*lags), validateOnly=True)
    ask("the same setting twice", configured(("segment.ms", "1"), ("segment.ms", "2")), validateOnly=True)
    ask("names of version 2", {"Name": "a/b"}, version=2)
    for version in (2, 3):
        ask("defaults before version 4", {"Name": peer.topic("never"), "NumPartitions": -1, "ReplicationFactor": -1}, version=version, validateOnly=True)
    ask("a cluster's own topic", {"Name": "__cluster_metadata"})


@case
def delete_topics(peer):
    for version in wire.versions("DeleteTopics"):
        name, other = peer.create(f"one{version}"), peer.create(f"two{version}")

        def ask(label, *names, **more):
            fields = {"TopicNames": list(names), "Topics": [{"Name": each} for each in names], "TimeoutMs": 10000, **more}
            peer.ask(label, "DeleteTopics", version, fields)

        ask("none")
        ask("unknown", "nowhere")
        ask("bad names", "a/b", "")
        ask("the same twice", name, name)
        ask("known and unknown", name, "nowhere")
        peer.until(lambda: peer.call("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False})["Topics"][0]["ErrorCode"] == 3)
        ask("deleted before", name)
        ask("the other", other)


@case
def delete_topics_by_id(peer):
    one, two, three = peer.create("one"), peer.create("two"), peer.create("three")

    def ask(label, *topics):
        peer.ask(label, "DeleteTopics", 6, {"Topics": list(topics), "TimeoutMs": 10000})

    ask("unknown id", {"TopicId": UNKNOWN_ID, "Name": None})
    ask("neither", {"Name": None})
    ask("both", {"TopicId": peer.id(one), "Name": one})
    ask("id twice", {"TopicId": peer.id(one), "Name": None}, {"TopicId": peer.id(one), "Name": None})
    ask("one topic by id and by name", {"TopicId": peer.id(one), "Name": None}, {"Name": one})
    ask("by id", {"TopicId": peer.id(two), "Name": None})
    ask("one by id, one by name", {"TopicId": peer.id(one), "Name": None}, {"Name": three})
    peer.until(lambda: peer.call("Metadata", 12, {"Topics": [{"Name": two}], "AllowAutoTopicCreation": False})["Topics"][0]["ErrorCode"] == 3)
    ask("deleted before", {"TopicId": peer.id(two), "Name": None})
    peer.ask("an old id", "Metadata", 12, {"Topics": [{"TopicId": peer.id(two), "Name": None}], "AllowAutoTopicCreation": False})


@case
def create_partitions(peer):
    for version in wire.versions("CreatePartitions"):
        name = peer.create(f"t{version}")

        def ask(label, *topics, **more):
            filled = [{"Name": name, "Assignments": None, **topic} for topic in topics]
            peer.ask(label, "CreatePartitions", version, {"Topics": filled, "TimeoutMs": 10000, **more})

        def to(*lists):
            return [{"BrokerIds": brokers} for brokers in lists]

        ask("none")
        ask("validate only", {"Count": 3}, ValidateOnly=True)
        ask("three", {"Count": 3})
        peer.served(name, 3)
        ask("as many", {"Count": 3})
        ask("fewer", {"Count": 2})
        ask("zero", {"Count": 0})
        ask("negative", {"Count": -1})
        ask("unknown", {"Name": "nowhere", "Count": 3})
        ask("bad name", {"Name": "a/b", "Count": 3})
        ask("the same twice", {"Count": 4}, {"Count": 5})
        ask("one assigned", {"Count": 4, "Assignments": to([1])})
        peer.served(name, 4)
        ask("too few assigned", {"Count": 6, "Assignments": to([1])})
        ask("too many assigned", {"Count": 5, "Assignments": to([1], [1])})
        ask("an empty list of assignments", {"Count": 5, "Assignments": []}, ValidateOnly=True)
        ask("assigned to nobody", {"Count": 5, "Assignments": to([])})
        ask("assigned to an unknown broker", {"Count": 5, "Assignments": to([9])})
        ask("assigned twice to one", {"Count": 5, "Assignments": to([1, 1])})
        ask("other replication factor", {"Count": 5, "Assignments": to([1, 2])})
        ask("10,000 more", {"Count": 10_004}, ValidateOnly=True)
        # Kafka answers these with UNKNOWN_SERVER_ERROR, but makes 10,000 of the partitions, or runs out of memory.
        for count in (10_005, 100_000, 2_147_483_647):
            too_many = {"Topics": [{"Name": name, "Count": count, "Assignments": None}], "TimeoutMs": 10000}
            peer.better_than_kafka(f"{count} partitions v{version}", POLICY_VIOLATION,
                                   lambda: peer.call("CreatePartitions", version, too_many)["Results"][0]["ErrorCode"])
        ask("and it still has four", {"Count": 4})
