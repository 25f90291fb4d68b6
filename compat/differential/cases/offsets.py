"""ListOffsets and OffsetForLeaderEpoch."""

import wire
from records import TIME, batch

from .mark import case


@case
def list_offsets(peer):
    name, empty = peer.create("t", 2), peer.create("e")
    peer.append(name, batch([b"a", b"b", b"c"], times=[TIME + 10, TIME + 30, TIME + 20]), batch([b"d"], times=[TIME + 25], base_time=TIME + 25))
    peer.append(name, batch([b"e" * 200, b"f"], times=[TIME + 40, TIME + 50], attributes=1), batch([b"g"], base_time=-1))
    for version in wire.versions("ListOffsets"):

        def ask(label, *partitions, **more):
            asked = {}
            for topic, partition, timestamp, *settings in partitions:
                entry = asked.setdefault(topic, {"Name": topic, "Partitions": []})
                entry["Partitions"].append({"PartitionIndex": partition, "Timestamp": timestamp, **(settings[0] if settings else {})})
            peer.ask(label, "ListOffsets", version, {"ReplicaId": -1, "TimeoutMs": 5000, "Topics": list(asked.values()), **more})

        for timestamp in (-1, -2, -3, -4, -5, -6, -7, -100):
            ask(f"special {timestamp}", (name, 0, timestamp))
            ask(f"special {timestamp} of an empty topic", (empty, 0, timestamp))
        for delta in (0, 10, 11, 20, 25, 26, 30, 31, 40, 45, 50, 51, 100_000_000_000):
            ask(f"time {delta}", (name, 0, TIME + delta))
        ask("the first of all times", (name, 0, 0))
        ask("the largest time", (name, 0, (1 << 63) - 1))
        ask("a time in an empty topic", (empty, 0, TIME))
        ask("an unknown partition", (name, 9, -1))
        ask("partition -1", (name, -1, -1))
        ask("an unknown topic", ("nowhere", 0, -1))
        ask("a bad name", ("a/b", 0, -1))
        ask("two partitions", (name, 0, -1), (name, 1, -2))
        ask("one partition twice", (name, 0, -1), (name, 0, -2))
        ask("nothing")
        if version >= 2:
            ask("latest, read committed", (name, 0, -1), IsolationLevel=1)
            ask("earliest, read committed", (name, 0, -2), IsolationLevel=1)
            ask("a time, read committed", (name, 0, TIME + 11), IsolationLevel=1)
        if version >= 4:
            for epoch in (0, -1, 5, -2):
                ask(f"epoch {epoch}", (name, 0, -1, {"CurrentLeaderEpoch": epoch}))


@case
def offset_for_leader_epoch(peer):
    name, empty = peer.create("t"), peer.create("e")
    peer.append(name, batch([b"a", b"b"]), batch())
    for version in wire.versions("OffsetForLeaderEpoch"):

        def ask(label, topic, partition, epoch, current=-1):
            asked = [{"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}]
            peer.ask(label, "OffsetForLeaderEpoch", version, {"ReplicaId": -1, "Topics": [{"Topic": topic, "Partitions": asked}]})

        for epoch in (0, 1, 99, -1, -2):
            ask(f"epoch {epoch}", name, 0, epoch)
            ask(f"epoch {epoch} of an empty topic", empty, 0, epoch)
        ask("the current epoch", name, 0, 0, current=0)
        ask("a current epoch to come", name, 0, 0, current=4)
        ask("a current epoch below all", name, 0, 0, current=-2)
        ask("an unknown partition", name, 5, 0)
        ask("an unknown topic", "nowhere", 0, 0)
        peer.ask("nothing", "OffsetForLeaderEpoch", version, {"ReplicaId": -1, "Topics": []})
