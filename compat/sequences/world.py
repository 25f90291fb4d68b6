"""The two brokers, asked the same at the same time; what a sequence knows of its topics; and the comparison."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import state
from differences import differ, short

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PARTITIONS = 2
SETTLED_S = 1.2  # several intervals of retention and cleaner
SETTLE_LIMIT_S = 40
SHOWN = 6
# What is not the same on two brokers, is told otherwise, or is compared elsewhere (compat/differential): texts, settings; and a log
# start that retention may be about to move.
IGNORED = {"ErrorMessage", "BatchIndexErrorMessage", "LogStartOffset", "ThrottleTimeMs", "CurrentLeader", "NodeEndpoints", "Configs"}


class Different(Exception):
    """The brokers do not agree; the message says where."""


@dataclass
class Topic:
    """What a sequence knows of a topic. Where a broker compresses anew, batches differ in size from one to the other, and so would
    segments: `is_recompressed` has none that end by their size."""

    name: str
    policy: str
    is_recompressed: bool
    clock_ms: int  # about the time of the next records
    settings: dict = field(default_factory=dict)
    sequences: dict = field(default_factory=dict)  # (producer, partition) -> next sequence number
    sent: list = field(default_factory=list)  # the latest batches of idempotent producers


class World:
    """Invariant: both brokers were asked the same, and have answered the same."""

    def __init__(self, seed, tested, kafka):
        self.random = random.Random(seed)
        self.peers = tested, kafka
        self.topics, self.producers = [], []  # of a producer, its id on each broker, and its epoch
        self.steps, self.counts = [], {"records": 0, "removed by retention": 0, "removed by compaction": 0, "restarts": 0, "kills": 0}
        self.started_ms = int(time.time() * 1000)
        self._pool = ThreadPoolExecutor(2)

    def close(self):
        self._pool.shutdown()

    # Asking.

    def each(self, ask):
        """What `ask` returns for each broker; both are asked at the same time."""
        return [future.result() for future in [self._pool.submit(ask, peer) for peer in self.peers]]

    def same(self, what, ask):
        """Asks both, compares, and returns what the broker under test said."""
        tested, kafka = self.each(ask)
        self.compare(what, tested, kafka)
        return tested

    def ask(self, what, api, version, fields):
        """Sends both a request, whose `fields` may depend on the peer; compares the answers and returns that of the broker under test."""
        answers = self.each(lambda peer: peer.call(api, version, fields(peer) if callable(fields) else fields))
        tested, kafka = (cleaned(peer.plain(answer)) for peer, answer in zip(self.peers, answers))
        self.compare(what, tested, kafka)
        return answers[0]

    def compare(self, what, tested, kafka):
        differences = list(differ(tested, kafka))
        if differences:
            lines = [f"{path or 'the answer'}\n           {self.peers[0].broker.kind}: {short(mine)}\n           kafka:  {short(its)}" for path, mine, its in differences]
            more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            raise Different(f"{what}:\n         " + "\n         ".join(lines[:SHOWN] + more))

    def on_kafka(self, wait):
        """Kafka answers from its controller, a little before its broker knows."""
        for peer in self.peers:
            if peer.broker.kind == "kafka":
                wait(peer)

    # Topics and their settings.

    def create(self, topic, partitions=PARTITIONS):
        configs = [{"Name": name, "Value": str(value)} for name, value in topic.settings.items()]
        asked = {"Name": topic.name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": configs}
        self.ask(f"CreateTopics {topic.name}", "CreateTopics", 5, {"Topics": [asked], "timeoutMs": 30000})
        self.each(lambda peer: peer.served(topic.name, partitions))

    def delete(self, topic):
        self.ask(f"DeleteTopics {topic.name}", "DeleteTopics", 5, {"TopicNames": [topic.name], "TimeoutMs": 30000})
        self.each(lambda peer: peer.until(lambda: self._is_gone(peer, topic.name), 30))

    def _is_gone(self, peer, name):
        told = peer.call("Metadata", 8, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False})["Topics"][0]["ErrorCode"]
        return told == 3 and state.list_offsets(peer, name, [(0, -1)])[0][0] == 3

    def alter(self, topic, **settings):
        settings = {name.replace("_", "."): str(value) for name, value in settings.items()}
        changed = {name: value for name, value in settings.items() if topic.settings.get(name) != value}
        if not changed:
            return
        configs = [{"Name": name, "ConfigOperation": 0, "Value": value} for name, value in changed.items()]
        asked = {"Resources": [{"ResourceType": 2, "ResourceName": topic.name, "Configs": configs}], "ValidateOnly": False}
        answer = self.ask(f"alter {topic.name} {changed}", "IncrementalAlterConfigs", 1, asked)
        if answer["Responses"][0]["ErrorCode"]:
            return
        topic.settings.update(changed)
        self.on_kafka(lambda peer: self._await_settings(peer, topic, changed))

    def _await_settings(self, peer, topic, changed):
        """Kafka's broker shows a setting before it obeys it; when a topic that was created after that is served, it obeys."""

        def shown():
            asked = {"Resources": [{"ResourceType": 2, "ResourceName": topic.name, "ConfigurationKeys": list(changed)}]}
            told = peer.call("DescribeConfigs", 4, asked)["Results"][0]["Configs"]
            return {each["Name"]: each["Value"] for each in told} == changed

        peer.until(shown, 30)
        name = f"{topic.name}-fence"
        peer.call("CreateTopics", 5, {"Topics": [{"Name": name, "NumPartitions": 1, "ReplicationFactor": 1}], "timeoutMs": 30000})
        peer.served(name, 1)
        peer.call("DeleteTopics", 5, {"TopicNames": [name], "TimeoutMs": 30000})
        peer.until(lambda: self._is_gone(peer, name), 30)

    # Comparing.

    def state(self, peer, topic):
        return {partition: state.state(peer, topic.name, partition, self.started_ms) for partition in range(PARTITIONS)}

    def settle(self, what, topic):
        """Waits until nothing has changed for a while and both hold the same; returns that state."""
        limit = time.monotonic() + SETTLE_LIMIT_S
        last, since = None, time.monotonic()
        while True:
            now = self.each(lambda peer: self.state(peer, topic))
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > SETTLED_S and (now[0] == now[1] or time.monotonic() > limit):
                self.compare(what, *now)
                return now[0]
            time.sleep(0.2)

    def compare_topic(self, what, topic):
        """All that both hold of a topic, and what they answer to questions about it."""
        told = self.same(what, lambda peer: self.state(peer, topic))
        for partition, part in told.items():
            self.same(f"{what}, the largest timestamp of {topic.name}-{partition}", lambda peer: self._largest(peer, topic, partition, part))
        times = [-1, -2, 0, topic.clock_ms, self.started_ms + DAY_MS, *(topic.clock_ms - self.random.randrange(10 * DAY_MS) for _ in range(3))]
        times += [self.random.choice(list(part["records"].values()))[0] for part in told.values() if part["records"]]
        asked = [(n, t) for n in range(PARTITIONS) for t in times if t != "its arrival"]
        self.same(f"{what}, ListOffsets {asked}", lambda peer: self._by_time(peer, topic, asked, told))
        for partition, part in told.items():
            for offset in {-1, part["log start"] - 1, part["log end"] + 1, *(self.random.randint(0, part["log end"]) for _ in range(3))}:
                self.same(f"{what}, Fetch {topic.name}-{partition} at {offset}", lambda peer: self._fetch(peer, topic, partition, offset))

    def offsets(self, peer, topic, asked):
        told = state.list_offsets(peer, topic.name, asked)
        return [(code, "its arrival" if self.started_ms <= stamp else stamp, offset) for code, stamp, offset in told]

    # Kafka knows the largest timestamp of a segment, and not that its record is gone by DeleteRecords, or by compaction from a batch
    # that is kept for its producer's sake. Asked for the largest, it answers with the record that is gone; asked for a time, it finds
    # nothing in such a segment and looks no further. The right answer is made from what is left.

    def _largest(self, peer, topic, partition, part):
        told = self.offsets(peer, topic, [(partition, -3)])[0]
        if peer.broker.kind != "kafka" or not 0 <= told[2] < part["log start"]:
            return told
        if not part["records"]:
            return (0, -1, -1)
        largest = max(stamp for stamp, *_ in part["records"].values())
        return (0, largest, next(offset for offset, (stamp, *_) in part["records"].items() if stamp == largest))

    def _by_time(self, peer, topic, asked, told):
        answers = self.offsets(peer, topic, asked)
        if peer.broker.kind != "kafka":
            return answers
        for n, (partition, time_ms) in enumerate(asked):
            if time_ms >= 0 and answers[n] == (0, -1, -1):
                left = told[partition]["records"].items()
                late = ((0, stamp, offset) for offset, (stamp, *_) in left if time_ms <= (self.started_ms if stamp == "its arrival" else stamp))
                answers[n] = next(late, answers[n])
        return answers

    def _fetch(self, peer, topic, partition, offset):
        told = state.fetch(peer, topic.name, partition, offset)
        headers = [header for header, _ in state.records.split(told["Records"] or b"")]
        return {
            "error code": told["ErrorCode"],
            "high watermark": told["HighWatermark"],
            "first batch": (headers[0].base_offset, headers[0].last_offset_delta) if headers else None,
        }


def cleaned(answer):
    if isinstance(answer, dict):
        return {name: cleaned(each) for name, each in answer.items() if name not in IGNORED}
    if isinstance(answer, list):
        return [cleaned(each) for each in answer]
    return answer


def first_segment(peer, topic, partition):
    """Where the first segment begins, by its file's name."""
    return min(int(file.stem) for file in (peer.broker.data / f"{topic.name}-{partition}").glob("*.log"))
