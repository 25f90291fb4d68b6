"""Fetch: limits, offsets, epochs, sessions."""

import uuid

import wire
from records import batch

from .mark import case

UNKNOWN_ID = uuid.UUID(int=0xFE11CE)


def fields(peer, *partitions, **more):
    """A Fetch of (topic, partition, offset) triples, or of (topic, partition, offset, settings)."""
    topics = {}
    for topic, partition, offset, *settings in partitions:
        known = isinstance(topic, str) and topic.startswith(peer.case)
        topic_id = topic if isinstance(topic, uuid.UUID) else peer.id(topic) if known else UNKNOWN_ID
        entry = topics.setdefault(topic, {"Topic": topic if isinstance(topic, str) else "", "TopicId": topic_id, "Partitions": []})
        entry["Partitions"].append({"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20, **(settings[0] if settings else {})})
    return {"MaxWaitMs": 0, "MinBytes": 0, "Topics": list(topics.values()), **more}


def letters(count, size=1):
    return batch([b"%d" % n * size for n in range(count)])


@case
def fetch_plain(peer):
    name, empty = peer.create("t", 2), peer.create("e")
    peer.append(name, letters(3), letters(2), letters(5))
    for version in wire.versions("Fetch"):

        def ask(label, *partitions, **more):
            peer.ask(label, "Fetch", version, fields(peer, *partitions, **more))

        ask("from the start", (name, 0, 0))
        ask("from within a batch", (name, 0, 1))
        ask("the last", (name, 0, 9))
        ask("the end", (name, 0, 10))
        ask("beyond the end", (name, 0, 11))
        ask("far beyond", (name, 0, 1 << 40))
        ask("a negative offset", (name, 0, -1))
        ask("another negative offset", (name, 0, -2))
        ask("an empty partition", (name, 1, 0))
        ask("an empty topic", (empty, 0, 0))
        ask("read committed", (name, 0, 0), IsolationLevel=1)
        ask("two partitions", (name, 0, 3), (name, 1, 0))
        ask("two topics", (name, 0, 3), (empty, 0, 0))
        ask("an unknown partition", (name, 7, 0))
        ask("partition -1", (name, -1, 0))
        ask("an unknown topic", ("nowhere", 0, 0))
        ask("a known and an unknown topic", (name, 0, 5), ("nowhere", 0, 0))
        ask("nothing")
        ask("one partition twice", (name, 0, 0), (name, 0, 5))


@case
def fetch_limits(peer):
    name = peer.create("t", 2)
    one = letters(3, 100)
    peer.append(name, one, one, one)
    peer.append(name, one, one, partition=1)
    size = len(one)
    for version in (4, 12, 18):

        def ask(label, *partitions, **more):
            peer.ask(label, "Fetch", version, fields(peer, *partitions, **more))

        for limit in (0, 1, size - 1, size, size + 1, 2 * size, 3 * size, -1):
            ask(f"a partition's limit of {limit - size:+} from one batch", (name, 0, 0, {"PartitionMaxBytes": limit}))
            ask(f"a request's limit of {limit - size:+} from one batch", (name, 0, 0), MaxBytes=limit)
            ask(f"a request's limit of {limit - size:+}, two partitions", (name, 0, 0), (name, 1, 0), MaxBytes=limit)
        ask("both partitions' limits of 1", (name, 0, 0, {"PartitionMaxBytes": 1}), (name, 1, 0, {"PartitionMaxBytes": 1}))
        ask("the first at its end, the second with a limit of 1", (name, 0, 9, {"PartitionMaxBytes": 1}), (name, 1, 0, {"PartitionMaxBytes": 1}))
        ask("a negative wait", (name, 0, 9), MaxWaitMs=-1)
        ask("a wait for more than there is", (name, 0, 6), MaxWaitMs=50, MinBytes=1 << 20)
        ask("a wait at the end", (name, 0, 9), MaxWaitMs=50, MinBytes=1)
        ask("no wait, although an error is there", (name, 0, 99), MaxWaitMs=30000, MinBytes=1)
        ask("negative least bytes", (name, 0, 0), MinBytes=-1)


@case
def fetch_epochs(peer):
    name = peer.create("t")
    peer.append(name, letters(3))
    for version in range(9, 19):

        def ask(label, *partitions, **more):
            peer.ask(label, "Fetch", version, fields(peer, *partitions, **more))

        ask("the right epoch", (name, 0, 0, {"CurrentLeaderEpoch": 0}))
        ask("no epoch", (name, 0, 0, {"CurrentLeaderEpoch": -1}))
        ask("an epoch to come", (name, 0, 0, {"CurrentLeaderEpoch": 5}))
        ask("an epoch below all", (name, 0, 0, {"CurrentLeaderEpoch": -2}))
        ask("an epoch to come, beyond the end", (name, 0, 50, {"CurrentLeaderEpoch": 5}))
        if version >= 12:
            ask("last fetched of this epoch", (name, 0, 3, {"CurrentLeaderEpoch": 0, "LastFetchedEpoch": 0}))
            ask("last fetched beyond the end", (name, 0, 7, {"CurrentLeaderEpoch": 0, "LastFetchedEpoch": 0}))
            ask("last fetched of an epoch to come", (name, 0, 3, {"CurrentLeaderEpoch": 0, "LastFetchedEpoch": 4}))


@case
def fetch_sessions(peer):
    name, other = peer.create("t", 2), peer.create("o")
    peer.append(name, letters(3))
    for version in range(7, 19):
        epoch = 0

        def ask(label, *partitions, session=0, at=0, **more):
            given = fields(peer, *partitions, SessionId=session, SessionEpoch=at, **more)
            return peer.ask(label, "Fetch", version, given)

        def forgotten(*partitions):
            return [{"Topic": topic, "TopicId": peer.id(topic), "Partitions": [n]} for topic, n in partitions]

        end = peer.call("ListOffsets", 1, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]})
        end = end["Topics"][0]["Partitions"][0]["Offset"]
        session = ask("a new session", (name, 0, end), (name, 1, 0))["SessionId"]
        ask("nothing new", session=session, at=1)
        peer.append(name, letters(1))
        ask("something new", session=session, at=2)
        ask("that again, for the offset has not moved", session=session, at=3)
        ask("an offset moved", (name, 0, end + 1), session=session, at=4)
        ask("a topic more", (other, 0, 0), session=session, at=5)
        ask("an unknown topic more", ("nowhere", 0, 0), session=session, at=6)
        ask("an unknown topic's error stays", session=session, at=7)
        ask("a partition less", session=session, at=8, ForgottenTopicsData=forgotten((name, 1)))
        ask("forgetting what is not there", session=session, at=9, ForgottenTopicsData=forgotten((name, 1)))
        ask("a wrong epoch", session=session, at=77)
        ask("the right epoch after a wrong one", session=session, at=10)
        ask("an epoch from before", session=session, at=3)
        ask("an offset out of range", (name, 0, 1 << 30), session=session, at=11)
        ask("and it stays out of range", session=session, at=12)
        ask("an unknown session", session=session + 12345 if session < 1 << 30 else 12345, at=1)
        ask("an unknown session, to be closed", session=999, at=-1)
        ask("session 0 in the middle", session=0, at=5)
        ask("closing", (name, 0, end), session=session, at=-1)
        ask("closed", session=session, at=13)
        again = ask("a new one", (name, 0, end), session=0, at=0)["SessionId"]
        ask("replaced by a full fetch", (name, 1, 0), session=again, at=0)
        ask("replaced, so unknown", session=again, at=1)
        ask("no session", (name, 0, end), session=0, at=-1)
        ask("a session of nothing", session=0, at=0)


@case
def fetch_by_id(peer):
    name, old = peer.create("t"), peer.create("old")
    old_id = peer.id(old)
    peer.append(name, letters(2))
    peer.call("DeleteTopics", 6, {"Topics": [{"Name": old}], "TimeoutMs": 10000})
    peer.until(lambda: peer.call("Metadata", 12, {"Topics": [{"Name": old}], "AllowAutoTopicCreation": False})["Topics"][0]["ErrorCode"] == 3)
    for version in range(13, 19):
        peer.ask("known", "Fetch", version, fields(peer, (peer.id(name), 0, 0)))
        peer.ask("unknown", "Fetch", version, fields(peer, (UNKNOWN_ID, 0, 0)))
        peer.ask("zero", "Fetch", version, fields(peer, (wire.ZERO_ID, 0, 0)))
        peer.ask("deleted", "Fetch", version, fields(peer, (old_id, 0, 0)))
        peer.ask("unknown and known", "Fetch", version, fields(peer, (UNKNOWN_ID, 0, 0), (peer.id(name), 0, 0)))
        peer.ask("unknown, in a new session", "Fetch", version, fields(peer, (UNKNOWN_ID, 0, 0), (peer.id(name), 0, 0), SessionId=0, SessionEpoch=0))
    peer.ask("by name in a session by id", "Fetch", 12, fields(peer, (name, 0, 0), SessionId=12, SessionEpoch=1))


@case
def topic_made_anew(peer):
    """Delete and create under the same name: a new id, and none of the old data."""
    name = peer.create("t")
    old = peer.id(name)
    peer.append(name, letters(5))
    peer.call("DeleteTopics", 6, {"Topics": [{"Name": name}], "TimeoutMs": 10000})
    peer.until(lambda: peer.call("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False})["Topics"][0]["ErrorCode"] == 3)
    peer.topic_ids[old] = "the old one"
    peer.create("t")
    peer.ask("by the old id", "Fetch", 13, fields(peer, (old, 0, 0)))
    peer.ask("by the name", "Fetch", 12, fields(peer, (name, 0, 0)))
    peer.ask("by the name, from the old end", "Fetch", 12, fields(peer, (name, 0, 5)))
    peer.ask("metadata of the old id", "Metadata", 12, {"Topics": [{"TopicId": old, "Name": None}], "AllowAutoTopicCreation": False})
    peer.append(name, letters(1))
    peer.ask("new data", "Fetch", 13, fields(peer, (peer.id(name), 0, 0)))
