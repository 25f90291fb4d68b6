"""Numbered messages that flow all the time."""

import threading
import time

from confluent_kafka import KafkaError, KafkaException, Producer
from harness.checks import require

PER_SECOND = 200
LIMIT_S = 40


class Flow:
    """A producer whose messages are numbers, one partition after the other. It is idempotent, and so has each number once."""

    def __init__(self, address, partitions):
        self.partitions = list(partitions)
        self.sent = 0
        self.acknowledged = {}  # {partition: {number: offset, or None where a retry was told only that it is there}}
        self._failed = []
        self._ended = threading.Event()
        settings = {"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5, "log_level": 2}
        times = {"message.timeout.ms": 600_000, "reconnect.backoff.max.ms": 100, "topic.metadata.refresh.interval.ms": 500}
        self._client = Producer({**settings, **times})
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def also(self, partitions):
        """From now on to these as well."""
        self.partitions = self.partitions + list(partitions)

    def await_sent(self, number):
        """Returns once this message has been sent: a measure of time."""
        while self.sent < number:
            time.sleep(1 / PER_SECOND)

    def end(self):
        """Returns once all is acknowledged."""
        self._ended.set()
        self._thread.join(LIMIT_S)
        require(f"not all messages were acknowledged within {LIMIT_S} s", not self._thread.is_alive())
        require(f"{len(self._failed)} messages failed: {self._failed[:3]}", not self._failed)

    def abandon(self):
        """Whatever is not acknowledged."""
        self._client.purge()
        self._ended.set()

    def _run(self):
        start = time.monotonic()
        while not self._ended.is_set():
            while self.sent < (time.monotonic() - start) * PER_SECOND:
                topic, number = self.partitions[self.sent % len(self.partitions)]
                try:
                    self._client.produce(topic, str(self.sent), partition=number, on_delivery=self._delivered)
                except KafkaException as failure:
                    if failure.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                        raise
                    break  # the client has yet to hear that the topic grew
                self.sent += 1
            self._client.poll(0.01)
        while self._client.flush(1):
            pass

    def _delivered(self, failure, message):
        if failure is not None:
            self._failed.append(str(failure))
            return
        partition = (message.topic(), message.partition())
        offset = message.offset() if message.offset() >= 0 else None
        self.acknowledged.setdefault(partition, {})[int(message.value())] = offset
