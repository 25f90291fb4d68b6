"""kill -9 of the broker while an idempotent producer, a plain one and a consumer are at work. The producers have acks=all
and are told nothing of the crash: they retry."""

import os
import threading

from clients import LIMIT_S, consume, create, flush, producer
from confluent_kafka.admin import NewTopic
from harness.checks import passed, require, same

COUNT = 60_000 * int(os.environ.get("COMPAT_SCALE", "1"))
PARTITIONS = 10


def killed_in_between(broker):
    create(broker, [NewTopic("once", PARTITIONS, 1), NewTopic("plain", 1, 1)])
    expected = [list(range(n, COUNT, PARTITIONS)) for n in range(PARTITIONS)]
    read_on = threading.Thread(target=lambda: seen.append(partitions_of(broker, "once", PARTITIONS, COUNT)))
    seen = []
    read_on.start()

    eager = {"acks": "all", "linger_ms": 2}
    once = Sender(broker, "once", PARTITIONS, enable_idempotence=True, **eager)
    plain = Sender(broker, "plain", 1, **eager)
    for sender in (once, plain):
        sender.start()
    for sender in (once, plain):
        require("too few acknowledgements", sender.under_way.wait(LIMIT_S))
    broker.kill()
    broker.start()
    for sender in (once, plain):
        sender.join(LIMIT_S)
        require("a producer does not end", not sender.is_alive())

    same("the idempotent producer's failures over a kill -9", [], once.failures[:3])
    same("after kill -9: all are there, in order, once", expected, partitions_of(broker, "once", PARTITIONS))
    read_on.join(LIMIT_S)
    same("a consumer that read on through the kill -9 has all, in order, once", [expected], seen)
    stored = set(partitions_of(broker, "plain", 1)[0])
    same("acknowledged to the producer without idempotence, and lost", set(), plain.acknowledged - stored)
    same("acknowledged to it", COUNT, len(plain.acknowledged))
    passed(f"{COUNT} messages of each producer outlived the crash")


class Sender(threading.Thread):
    """Sends COUNT numbers. Half of them wait until a quarter is acknowledged, so that the crash, which waits for the same,
    comes in between whatever the machine's speed."""

    def __init__(self, broker, topic, partitions, **settings):
        super().__init__(daemon=True)
        self.under_way = threading.Event()
        self.failures = []
        self.acknowledged = set()
        self._client = producer(broker, **settings)
        self._topic, self._partitions = topic, partitions

    def run(self):
        for n in range(COUNT):
            self._produce(n)
            while n == COUNT // 2 and not self.under_way.is_set():
                self._client.poll(0.1)
        flush(self._client)

    def _produce(self, n):
        while True:
            try:
                self._client.produce(self._topic, str(n), partition=n % self._partitions, on_delivery=self._delivered)
                return
            except BufferError:
                self._client.poll(0.1)

    def _delivered(self, error, message):
        if error:
            self.failures.append(str(error))
        else:
            self.acknowledged.add(int(message.value()))
        if len(self.acknowledged) >= COUNT // 4:
            self.under_way.set()


def partitions_of(broker, topic, partitions, wanted=None):
    numbers = [[] for _ in range(partitions)]
    for message in consume(broker, topic, partitions, wanted):
        numbers[message.partition()].append(int(message.value()))
    return numbers
