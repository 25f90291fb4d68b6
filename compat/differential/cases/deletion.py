"""DeleteRecords, and what is answered afterwards."""

import wire
from records import TIME, batch

from .mark import case

EARLIEST, LATEST = -2, -1


@case
def delete_records(peer):
    for version in wire.versions("DeleteRecords"):
        name, empty = peer.create(f"t{version}", 2), peer.create(f"e{version}")
        for n in range(10):
            peer.append(name, batch([b"a", b"b"], base_time=TIME + n))

        def ask(label, *partitions):
            asked = {}
            for topic, partition, offset in partitions:
                entry = asked.setdefault(topic, {"Name": topic, "Partitions": []})
                entry["Partitions"].append({"PartitionIndex": partition, "Offset": offset})
            peer.ask(label, "DeleteRecords", version, {"Topics": list(asked.values()), "TimeoutMs": 5000})

        def after(label):
            for timestamp in (EARLIEST, LATEST, TIME):
                asked = [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": timestamp}]}]
                peer.ask(f"{label}: offset for {timestamp} v{version}", "ListOffsets", 5, {"ReplicaId": -1, "Topics": asked})

        ask("nothing at all", (name, 0, 0))
        ask("three", (name, 0, 3))
        after("three")
        ask("fewer than are gone", (name, 0, 1))
        ask("in the middle of a batch", (name, 0, 7))
        after("in the middle of a batch")
        ask("beyond the end", (name, 0, 21))
        ask("a negative offset", (name, 0, -2))
        ask("the smallest offset", (name, 0, -(1 << 63)))
        ask("the largest offset", (name, 0, (1 << 63) - 1))
        ask("an unknown partition", (name, 2, 0))
        ask("partition -1", (name, -1, 0))
        ask("an unknown topic", ("nowhere", 0, 0))
        ask("a bad name", ("a/b", 0, 0))
        ask("no name", ("", 0, 0))
        ask("an empty partition", (name, 1, -1), (empty, 0, 0))
        ask("good and bad", (name, 0, 9), (name, 5, 0), ("nowhere", 1, 5))
        ask("one partition twice", (name, 0, 11), (name, 0, 10))
        after("one partition twice")
        one = {"Name": name, "Partitions": [{"PartitionIndex": 0, "Offset": 12}]}
        other = {"Name": name, "Partitions": [{"PartitionIndex": 1, "Offset": 0}]}
        peer.ask("one topic twice", "DeleteRecords", version, {"Topics": [one, other], "TimeoutMs": 5000})
        ask("no topics")
        peer.ask("no partitions", "DeleteRecords", version, {"Topics": [{"Name": name, "Partitions": []}], "TimeoutMs": 5000})
        peer.ask("no time", "DeleteRecords", version, {"Topics": [one], "TimeoutMs": -1})
        for offset in (11, 12):
            fetched = {"Topic": name, "Partitions": [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1000}]}
            fields = {"ReplicaId": -1, "MaxWaitMs": 10, "MinBytes": 0, "MaxBytes": 1000, "Topics": [fetched]}
            peer.ask(f"a fetch from {offset} v{version}", "Fetch", 11, fields)
        ask("all", (name, 0, -1))
        after("all")


@case
def delete_records_by_policy(peer):
    for policy in ("delete", "compact", "compact,delete", ""):
        name = peer.create(f"policy-{policy.replace(',', '-')}", cleanup_policy=policy)
        peer.append(name, batch([b"a", b"b"], keys=[b"k", b"l"]))
        asked = {"Name": name, "Partitions": [{"PartitionIndex": 0, "Offset": 1}]}
        peer.ask(f"cleanup.policy={policy}", "DeleteRecords", 2, {"Topics": [asked], "TimeoutMs": 5000})
    for name in ("__consumer_offsets", "__transaction_state"):
        asked = {"Name": name, "Partitions": [{"PartitionIndex": 99, "Offset": 1}]}
        peer.ask(f"a coordinator's topic {name}", "DeleteRecords", 2, {"Topics": [asked], "TimeoutMs": 5000})
