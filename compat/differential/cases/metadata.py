"""Metadata, DescribeCluster, DescribeTopicPartitions."""

import uuid

import wire

from .mark import case

UNKNOWN_ID = uuid.UUID(int=0xFE11CE)


@case
def metadata(peer):
    one, two = peer.create("one"), peer.create("two", 3)
    for version in wire.versions("Metadata"):

        def ask(label, names, **more):
            topics = None if names is None else [{"Name": name} for name in names]
            peer.ask(label, "Metadata", version, {"Topics": topics, "AllowAutoTopicCreation": False, **more}, record=label != "all topics")
            return peer.call("Metadata", version, {"Topics": topics, "AllowAutoTopicCreation": False, **more})

        # Version 0 says "all" by an empty array; from 1 on, null does. Other cases' topics are left out.
        answer = ask("all topics", [] if version == 0 else None)
        answer["Topics"] = [topic for topic in answer["Topics"] if topic["Name"].startswith("metadata-")]
        peer.note(f"all topics v{version}", answer)
        if version > 0:
            ask("no topics", [])
        ask("one", [one])
        ask("two", [one, two])
        ask("the same twice", [one, one])
        if version >= 4:  # before, the client has no say and the topic is created
            ask("unknown", ["metadata-nowhere"])
            ask("known and unknown", [one, "metadata-nowhere"])
        ask("bad names", ["a/b", "", ".", "..", "x" * 250])
        if version >= 8:
            ask("authorized operations of topics", [one], IncludeTopicAuthorizedOperations=True)
            ask("authorized operations of an unknown topic", ["metadata-nowhere"], IncludeTopicAuthorizedOperations=True)
        if 8 <= version <= 10:
            ask("authorized operations of the cluster", [one], IncludeClusterAuthorizedOperations=True)


@case
def metadata_auto_creation(peer):
    for version in wire.versions("Metadata"):
        name = peer.topic(f"made{version}")
        fields = {"Topics": [{"Name": name}], "AllowAutoTopicCreation": True}
        peer.call("Metadata", version, fields)
        peer.served(name, 1)
        peer.ask("made", "Metadata", version, fields)
    fields = {"Topics": [{"Name": "a b"}, {"Name": ""}], "AllowAutoTopicCreation": True}
    peer.ask("bad names", "Metadata", 12, fields)
    peer.create("col.li_ding")
    peer.ask("a colliding name", "Metadata", 12, {"Topics": [{"Name": peer.topic("col_li.ding")}], "AllowAutoTopicCreation": True})


@case
def metadata_by_id(peer):
    one, two = peer.create("one"), peer.create("two")
    for version in (10, 11, 12, 13):
        for label, topics in {
            "by id": [{"TopicId": peer.id(one), "Name": None}],
            "by unknown id": [{"TopicId": UNKNOWN_ID, "Name": None}],
            "by known and unknown id": [{"TopicId": peer.id(one), "Name": None}, {"TopicId": UNKNOWN_ID, "Name": None}],
            "by two ids": [{"TopicId": peer.id(one), "Name": None}, {"TopicId": peer.id(two), "Name": None}],
            "by id and name": [{"TopicId": peer.id(one), "Name": one}],
            "by id and another's name": [{"TopicId": peer.id(one), "Name": two}],
            "one by id, one by name": [{"TopicId": peer.id(one), "Name": None}, {"Name": two}],
            "neither id nor name": [{"Name": None}],
        }.items():
            peer.ask(label, "Metadata", version, {"Topics": topics, "AllowAutoTopicCreation": False})


@case
def describe_cluster(peer):
    for version in wire.versions("DescribeCluster"):
        peer.ask("plain", "DescribeCluster", version, {})
        peer.ask("authorized operations", "DescribeCluster", version, {"IncludeClusterAuthorizedOperations": True})
        if version >= 1:
            peer.ask("controllers, which a broker does not list", "DescribeCluster", version, {"EndpointType": 2})
            peer.ask("an unknown endpoint type", "DescribeCluster", version, {"EndpointType": 9})
        if version >= 2:
            peer.ask("fenced brokers too", "DescribeCluster", version, {"IncludeFencedBrokers": True})


@case
def describe_topic_partitions(peer):
    one, five = peer.create("one"), peer.create("five", 5)

    def ask(label, names, limit=2000, cursor=None):
        fields = {"Topics": [{"Name": name} for name in names], "ResponsePartitionLimit": limit, "Cursor": cursor}
        peer.ask(label, "DescribeTopicPartitions", 0, fields)

    def cursor(name, partition):
        return {"TopicName": name, "PartitionIndex": partition}

    ask("one", [one])
    ask("two", [one, five])
    ask("the same twice", [one, one])
    ask("unknown", ["nowhere"])
    ask("bad names", ["a/b", "", ".."])
    ask("known and unknown", ["nowhere", one])
    ask("a limit within a topic", [five], 3)
    ask("a limit at a topic's end", [five, one], 5)
    ask("a limit of one", [five, one], 1)
    ask("a limit of 0", [five, one], 0)
    ask("a negative limit", [five, one], -1)
    ask("from a cursor", [five, one], 3, cursor(five, 3))
    ask("from a cursor past the topic's end", [five, one], 3, cursor(five, 9))
    ask("from a cursor at the second topic", [five, one], 3, cursor(one, 0))
    ask("from a cursor at an unknown topic", [five, one], 3, cursor("describe_topic_partitions-g", 0))
    ask("from a cursor after all topics", [five, one], 3, cursor("zzz", 0))
    ask("from a negative cursor", [five, one], 3, cursor(five, -1))
    ask("a cursor with an empty name", [five, one], 3, cursor("", 0))
