"""A producer that does over a crash what Kafka's own do: with five requests in flight it sends all that were not acknowledged
again, in their order, and an idempotent one under the same sequence numbers.

    producer.py PORT TOPIC PARTITIONS PRODUCER idempotent|all|leader POOL ACKNOWLEDGED BYTES-A-SECOND

A line `partition first-number count offset bytes` goes to the file ACKNOWLEDGED for each batch that was acknowledged, `again N`
where a crash has N batches sent again; `refused ...` ends it. A byte on standard input lifts the rate for a moment. It ends well once standard
input is closed and nothing is left to be acknowledged.
"""

import os
import random
import select
import sys
import time
from collections import deque
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "compat/differential"))

import records  # noqa: E402
from letters import Letters  # noqa: E402
from connection import Connection  # noqa: E402

PRODUCE, DUPLICATE_SEQUENCE_NUMBER = ("Produce", 9), 46
# UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, COORDINATOR_LOAD_IN_PROGRESS,
# COORDINATOR_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, KAFKA_STORAGE_ERROR
RETRIABLE = {3, 5, 6, 7, 14, 15, 19, 20, 56}
BATCH_BYTES_MAX = 200_000
BURST_S = 0.15
GZIP = 1


class Refused(Exception):
    pass


class Producer:
    """Invariant: `unacknowledged` holds what was made and not acknowledged, in the order of making; its first `in_flight`
    were sent on this connection."""

    def __init__(self, port, topic, partitions, number, mode, pool, acknowledged, rate):
        self.port, self.topic, self.partitions, self.number, self.rate = port, topic, partitions, number, rate
        self.idempotent, self.acks = mode == "idempotent", 1 if mode == "leader" else -1
        # Without sequence numbers, a broker cannot keep the order of what is sent before an earlier request is acknowledged.
        self.in_flight_max = 5 if self.idempotent else 1
        self.letters, self.log = Letters(pool), acknowledged
        self.random = random.Random(number)
        self.next = [0] * partitions
        self.producer = (-1, -1)
        self.unacknowledged, self.in_flight = deque(), 0
        self.connection = None
        self.sent_bytes = 0

    def run(self):
        """Requests are made before they are due, so that all that may be in flight can go at once when the rate is lifted."""
        started, stopping, burst_end = time.monotonic(), False, 0
        while not stopping or self.unacknowledged:
            now = time.monotonic()
            if not stopping and select.select([0], [], [], 0)[0]:
                stopping, burst_end = not os.read(0, 64), now + BURST_S
            ahead_s = 0 if stopping or now < burst_end else self.sent_bytes / self.rate - (now - started)
            try:
                self._connect()
                if not stopping and len(self.unacknowledged) < self.in_flight_max:
                    self.unacknowledged.append(self._make())
                if ahead_s <= 0:
                    while self.in_flight < len(self.unacknowledged):
                        self._send(self.unacknowledged[self.in_flight])
                if self.in_flight:
                    self._acknowledged(self.connection.receive())
                elif ahead_s > 0:
                    select.select([0], [], [], min(ahead_s, 0.05))
            except OSError:
                self._hang_up()
                time.sleep(0.01)  # a port offers no event to wait for

    def _connect(self):
        if self.connection is not None:
            return
        self.connection = Connection(self.port)
        if self.idempotent and self.producer[0] < 0:
            answer = self.connection.ask("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
            if answer["ErrorCode"]:
                self._again(answer["ErrorCode"], "InitProducerId")
            self.producer = answer["ProducerId"], answer["ProducerEpoch"]

    def _hang_up(self):
        if self.in_flight:
            print("again", sum(len(request) for request in islice(self.unacknowledged, self.in_flight)), file=self.log)
        if self.connection is not None:
            self.connection.close()
        self.connection, self.in_flight = None, 0

    def _make(self):
        """A request: for some of the partitions a batch each, as partition -> (first number, count, bytes of messages, batch)."""
        request = {}
        for partition in self.random.sample(range(self.partitions), self.random.randint(1, self.partitions)):
            values, size, first = [], 0, self.next[partition]
            for number in range(first, first + self.random.choice((1, 1, 2, 5, 20, 50))):
                values.append(self.letters.value(self.number, partition, number))
                size += len(values[-1])
                if size > BATCH_BYTES_MAX:
                    break
            sequence = first & 0x7FFFFFFF if self.idempotent else -1
            batch = records.batch(
                values, producer=(*self.producer, sequence), base_time=int(time.time() * 1000), attributes=self.random.choice((0, 0, 0, GZIP))
            )
            self.next[partition] += len(values)
            request[partition] = (first, len(values), size, batch)
        return request

    def _send(self, request):
        data = [{"Index": partition, "Records": batch} for partition, (_, _, _, batch) in request.items()]
        self.connection.send(*PRODUCE, {"Acks": self.acks, "TimeoutMs": 30000, "TopicData": [{"Name": self.topic, "PartitionData": data}]})
        self.in_flight += 1
        self.sent_bytes += sum(size for _, _, size, _ in request.values())

    def _acknowledged(self, answer):
        """Takes what is acknowledged from the earliest request. What is to be sent again goes, with all that was sent after it,
        over a new connection, which keeps their order."""
        request = self.unacknowledged[0]
        again = None
        for partition in answer["Responses"][0]["PartitionResponses"]:
            index, code = partition["Index"], partition["ErrorCode"]
            first, count, size, _ = request[index]
            if code in (0, DUPLICATE_SEQUENCE_NUMBER):
                offset = partition["BaseOffset"] if code == 0 else -1
                print(index, first, count, offset, size, file=self.log)
                del request[index]
            elif code in RETRIABLE:
                again = code
            else:
                raise Refused(f"{self.topic}-{index}, message {first} and {count - 1} more: error code {code}")
        self.log.flush()
        if again is not None:
            self._again(again, self.topic)
        if request:
            raise Refused(f"{self.topic}: no answer for partitions {sorted(request)}")
        self.unacknowledged.popleft()
        self.in_flight -= 1

    def _again(self, code, what):
        if code not in RETRIABLE:
            raise Refused(f"{what}: error code {code}")
        raise ConnectionError(f"error code {code}")


def main():
    port, topic, partitions, number, mode, pool, acknowledged, rate = sys.argv[1:]
    with open(acknowledged, "w") as log:
        try:
            Producer(int(port), topic, int(partitions), int(number), mode, pool, log, int(rate)).run()
        except Refused as refused:
            print("refused", refused, file=log)


main()
