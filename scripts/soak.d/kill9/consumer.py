"""A consumer that reads on through all crashes: what it has read once has to be there at the end, where and what it was.

    consumer.py PORT TOPIC:PARTITIONS ...

It ends once standard input is closed and it has read to the end; then it prints, in JSON, for each partition how far it read
and the SHA-256 of all batches up to there, and what went wrong."""

import hashlib
import json
import select
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "compat/differential"))

import records  # noqa: E402
from connection import Connection  # noqa: E402

MIB = 1 << 20
FETCH = ("Fetch", 12)
RETRIABLE = {3, 5, 6, 56}


class Follower:
    """Of one partition. Invariant: `digest` is that of all batches below `next`."""

    def __init__(self, topic, partition):
        self.topic, self.partition = topic, partition
        self.next = self.high_watermark = 0
        self.digest = hashlib.sha256()
        self.faults = []

    def take(self, answer):
        """Reads an answer; returns whether there was something new."""
        name, code = f"{self.topic}-{self.partition}", answer["ErrorCode"]
        if code:
            if code not in RETRIABLE:
                self.faults.append(f"{name}: error code {code} at offset {self.next}, which was there")
            return False
        if answer["HighWatermark"] < self.high_watermark:
            self.faults.append(f"{name}: the high watermark went back from {self.high_watermark} to {answer['HighWatermark']}")
        self.high_watermark = answer["HighWatermark"]
        start = self.next
        for header, raw in records.split(answer["Records"] or b""):
            if header.base_offset != self.next:
                self.faults.append(f"{name}: a batch of offset {header.base_offset} where {self.next} was due")
            if not records.is_sound(header, raw):
                self.faults.append(f"{name}: a broken batch at offset {header.base_offset}")
            self.digest.update(raw)
            self.next = header.base_offset + header.last_offset_delta + 1
        return self.next > start

    def asked(self):
        return {"Partition": self.partition, "FetchOffset": self.next, "PartitionMaxBytes": MIB}


def fetch(connection, followers):
    """One request for all; returns whether one of them read something."""
    topics = {}
    for each in followers:
        topics.setdefault(each.topic, {})[each.partition] = each
    asked = [{"Topic": topic, "Partitions": [each.asked() for each in partitions.values()]} for topic, partitions in topics.items()]
    answer = connection.ask(*FETCH, {"MaxWaitMs": 200, "MinBytes": 1, "MaxBytes": 8 * MIB, "Topics": asked})
    read = [topics[topic["Topic"]][partition["PartitionIndex"]].take(partition) for topic in answer["Responses"] for partition in topic["Partitions"]]
    return any(read)


def main():
    port, *topics = sys.argv[1:]
    followers = [Follower(name, n) for name, _, count in (topic.rpartition(":") for topic in topics) for n in range(int(count))]
    connection, stopping, reads = None, False, True
    while not stopping or reads or connection is None:
        stopping = stopping or bool(select.select([sys.stdin], [], [], 0)[0])
        try:
            connection = connection or Connection(int(port))
            reads = fetch(connection, followers)
        except OSError:
            if connection is not None:
                connection.close()
            connection = None
            time.sleep(0.01)  # a port offers no event to wait for
        if any(len(each.faults) > 20 for each in followers):
            break
    print(json.dumps([{"topic": f.topic, "partition": f.partition, "next": f.next, "digest": f.digest.hexdigest(), "faults": f.faults} for f in followers]))


main()
