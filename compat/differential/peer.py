"""One broker as a case sees it: asks, and writes down what was answered in a form that can be compared.

What has to differ from one broker to another is replaced as it is written down: topic ids by the topic's name, producer and
session ids by the order of their appearance, ports, the cluster's id, the text of messages by whether there is one."""

import re
import socket
import struct
import threading
import time
import uuid

import records
import wire

WAIT_S = 15
SILENCE_S = 0.5
# Lists that are compared by their elements' names, so that one that is missing is one difference.
NAMED = {"Configs", "Synonyms", "SupportedFeatures", "FinalizedFeatures"}

# What groups' members tell each other.
OPAQUE = {"Assignment", "Metadata", "MemberMetadata", "MemberAssignment"}
# What a broker makes up: the end of `client-id-` and a UUID in either form.
MADE_ID = re.compile(r"(^|-)([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9_-]{22})$")


class Peer:
    def __init__(self, broker):
        self.broker = broker
        self.topic_ids = {}  # id -> name
        self._numbered = {}  # (kind, id) -> name
        self._correlation = 0
        self._connection = None
        self.transcript = {}
        self.case = "preparation"

    def begin(self, case):
        """A new case has a new connection, transcript and set of ids; topic ids stay."""
        self.case, self.transcript, self._numbered = case, {}, {}
        self.hang_up()

    def another(self):
        """A second connection to the same broker, for a request that waits for another one."""
        other = Peer(self.broker)
        other.case, other.topic_ids = self.case, self.topic_ids
        return other

    def meanwhile(self, ask):
        """Asks at the side; what comes back waits for the answer."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()

        def answer():
            thread.join()
            return answers[0] if answers else "failed"

        return answer

    def topic(self, name):
        """A case's topics are its own."""
        return f"{self.case}-{name}"

    # Asking.

    def ask(self, label, api, version, fields, record=True, **header):
        """Sends a request and writes its answer down; returns the decoded answer, or None where the broker closed."""
        answer = self.call(api, version, fields, **header)
        if record:
            self.note(f"{label} v{version}", answer)
        return answer if isinstance(answer, dict) else None

    def call(self, api, version, fields, **header):
        """The decoded answer, or a text that says what came instead."""
        self._correlation += 1
        frame = wire.request(api, version, fields, self._correlation, **header)
        raw = self.exchange(struct.pack(">i", len(frame)) + frame)
        if not isinstance(raw, bytes):
            return raw
        return self.decoded(api, version, raw)

    def decoded(self, api, version, raw):
        try:
            correlation_id, message = wire.answer(api, version, raw)
        except (wire.Malformed, UnicodeDecodeError) as failure:
            return f"malformed: {failure}: {raw.hex()[:200]}"
        if correlation_id != self._correlation:
            return f"correlation id {correlation_id} instead of {self._correlation}"
        self._learn(message)
        return message

    def exchange(self, raw, wait=WAIT_S):
        """Sends bytes; returns the next frame of the answer, "closed", or "silent" where nothing comes in time."""
        try:
            connection = self._connected()
            connection.settimeout(wait)
            connection.sendall(raw)
            size = struct.unpack(">i", self._receive(4))[0]
            return self._receive(size)
        except socket.timeout:
            self.hang_up()
            return "silent"
        except (ConnectionError, EOFError):
            self.hang_up()
            return "closed"

    def send(self, api, version, fields):
        """Sends a request that has no answer."""
        self._correlation += 1
        frame = wire.request(api, version, fields, self._correlation)
        self._connected().sendall(struct.pack(">i", len(frame)) + frame)

    def hang_up(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def _connected(self):
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.broker.port), timeout=WAIT_S)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _receive(self, count):
        out = bytearray()
        while len(out) < count:
            part = self._connection.recv(count - len(out))
            if not part:
                raise EOFError
            out += part
        return bytes(out)

    def better_than_kafka(self, label, right, ask):
        """For what Kafka does badly, or does not survive: it is not asked, and the right answer stands in for its own."""
        self.note(label, right if self.broker.kind == "kafka" else ask())

    # Making things ready, unrecorded.

    def create(self, name, partitions=1, **configs):
        """Creates a topic of this case and waits until the broker serves it; returns its full name."""
        full = self.topic(name)
        entries = [{"Name": k.replace("_", "."), "Value": str(v)} for k, v in configs.items()]
        topic = {"Name": full, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": entries}
        answer = self.call("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 10000})
        code = answer["Topics"][0]["ErrorCode"] if isinstance(answer, dict) else answer
        if code != 0:
            raise RuntimeError(f"cannot create {full}: {answer}")
        self.served(full, partitions)
        return full

    def made(self, name):
        """A topic of this case with one partition, made when it is first mentioned."""
        full = self.topic(name)
        return full if full in self.topic_ids.values() else self.create(name)

    def coordinate(self):
        """Waits until all groups are coordinated: the first question makes the topic of their records, whose partitions are led and
        loaded then."""
        everywhere = [f"{self.case}-{n}" for n in range(40)]
        asked = {"KeyType": 0, "CoordinatorKeys": everywhere}
        self.until(lambda: all(c["ErrorCode"] == 0 for c in self.call("FindCoordinator", 4, asked)["Coordinators"]), 30)
        loading = (14, 15, 16)  # COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
        self.until(lambda: all(g["ErrorCode"] not in loading for g in self.call("DescribeGroups", 5, {"Groups": everywhere})["Groups"]), 30)

    def create_for_groups(self, name, partitions=1):
        """Creates a topic and waits until every coordinator knows it: Kafka tells each of them at a time of its own."""
        full = self.create(name, partitions)
        joins = {"MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": 60_000, "SubscribedTopicNames": [full], "TopicPartitions": []}

        def is_known(group):
            answer = self.call("ConsumerGroupHeartbeat", 1, joins | {"GroupId": group})
            self.call("ConsumerGroupHeartbeat", 1, {"GroupId": group, "MemberId": "m", "MemberEpoch": -1})
            return bool(answer["Assignment"] and answer["Assignment"]["TopicPartitions"])

        for n in range(20):  # enough to come to each coordinator
            self.until(lambda: is_known(f"{full}-known-{n}"))
        return full

    def served(self, name, partitions):
        """Waits until the broker serves a topic: Kafka answers from its controller, a little before its broker knows."""
        asked = [{"PartitionIndex": n, "Timestamp": -1} for n in range(partitions)]
        self.until(lambda: all(p["ErrorCode"] == 0 for p in self.call(
            "ListOffsets", 1, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": asked}]})["Topics"][0]["Partitions"]))

    def ready(self):
        """Waits for what Kafka does on its first use: it answers COORDINATOR_LOAD_IN_PROGRESS until it has producer ids."""
        self.until(lambda: self.call("InitProducerId", 5, {"TransactionalId": None, "TransactionTimeoutMs": 1000})["ErrorCode"] == 0)

    def until(self, holds, limit_s=10):
        deadline = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.case}: what was prepared did not come about in {limit_s} s")
            time.sleep(0.01)

    def append(self, topic, *batches, partition=0):
        for each in batches:
            answer = self.call("Produce", 9, produce(topic, each, partition))
            code = answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] if isinstance(answer, dict) else answer
            if code != 0:
                raise RuntimeError(f"{self.case}: cannot append: {answer}")

    def id(self, name):
        """The id of a topic by its full name."""
        for topic_id, known in self.topic_ids.items():
            if known == name:
                return topic_id
        self.call("Metadata", 12, {"Topics": [{"Name": name}]})
        return next(topic_id for topic_id, known in self.topic_ids.items() if known == name)

    # Writing down.

    def note(self, label, answer):
        if label in self.transcript:
            raise RuntimeError(f"{self.case}: two answers are called {label!r}")
        self.transcript[label] = self.plain(answer)

    def _learn(self, message):
        if isinstance(message, list):
            for each in message:
                self._learn(each)
        elif isinstance(message, dict):
            topic_id, name = message.get("TopicId"), message.get("Name") or message.get("Topic")
            if isinstance(topic_id, uuid.UUID) and topic_id.int and name:
                self.topic_ids[topic_id] = name
            for each in message.values():
                self._learn(each)

    def plain(self, value, name=""):
        if isinstance(value, dict):
            return {key: self.plain(each, key) for key, each in value.items()}
        if isinstance(value, list):
            plain = [self.plain(each, name) for each in value]
            if name in NAMED and len({each["Name"] for each in plain}) == len(plain):
                return {each.pop("Name"): each for each in plain}
            return sorted(plain, key=repr) if plain and isinstance(plain[0], dict) and name != "batches" else plain
        if isinstance(value, uuid.UUID):
            return "no id" if value.int == 0 else f"id of {self.topic_ids.get(value, '?')}"
        if name in OPAQUE and isinstance(value, bytes):
            return value.hex()
        if isinstance(value, bytes):
            return self.plain(records.batches(value), "batches")
        if value is None or value == "":
            return value
        if name in ("ProducerId", "producer_id") and value >= 0 or name == "SessionId" and value > 0:
            return self._numbered.setdefault((name, value), f"{name} {len(self._numbered)}")
        if name in ("MemberId", "Leader") and MADE_ID.search(value):
            return self._numbered.setdefault(("member", value), f"member {len(self._numbered)}")
        if name == "FinalizedFeaturesEpoch" and value >= 0:
            return "an epoch"
        if name == "Port":
            return "its port" if value == self.broker.port else value
        if name == "ClusterId":
            return f"a cluster id of {len(value)} characters"
        if name in ("ErrorMessage", "ConfigErrorMessage", "BatchIndexErrorMessage", "Documentation"):
            return "a text"
        if name in ("LogAppendTimeMs", "base_timestamp", "max_timestamp", "Timestamp") and abs(value - time.time() * 1000) < 600_000:
            return "now"
        return value


def produce(topic, batch, partition=0, acks=-1, topic_id=None):
    """The fields of a Produce request with one batch; from version 13 on, the topic is told by its id."""
    data = [{"Name": topic, "TopicId": topic_id or wire.ZERO_ID, "PartitionData": [{"Index": partition, "Records": batch}]}]
    return {"Acks": acks, "TimeoutMs": 10000, "TopicData": data}
