"""A producer for `scripts/soak kill9`, over librdkafka: arguments, lines and end as scripts/soak.d/kill9/producer.py tells them."""

import os
import select
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts/soak.d/kill9")]

from confluent_kafka import Producer  # noqa: E402
from letters import Letters  # noqa: E402

EAGER = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 10, "retry.backoff.max.ms": 100}
BURST_BYTES = 100_000
MODES = {
    "idempotent": {"enable.idempotence": True},
    "all": {"acks": "all", "max.in.flight": 1},
    "leader": {"acks": 1, "max.in.flight": 1},
}


def main():
    port, topic, partitions, producer, mode, pool, acknowledged, rate = sys.argv[1:]
    partitions, producer, rate, letters = int(partitions), int(producer), int(rate), Letters(pool)
    # A client whose broker is killed has much to say: what goes wrong is seen in what is acknowledged.
    settings = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 2, "linger.ms": 2, **EAGER}
    settings |= {"message.timeout.ms": 600_000, "compression.type": ("none", "gzip")[producer % 2]}
    client = Producer({**settings, **MODES[mode]})
    following, sent = [0] * partitions, 0
    started = time.monotonic()
    with open(acknowledged, "w", buffering=1) as log:
        while (lifted := asked_for()) is not None:
            sent -= lifted * BURST_BYTES
            client.poll(0.01)
            while sent < rate * (time.monotonic() - started):
                partition = sum(following) % partitions
                number = following[partition]
                value = letters.value(producer, partition, number)
                try:
                    client.produce(topic, value, partition=partition, on_delivery=delivered(log, partition, number))
                except BufferError:
                    break
                following[partition] += 1
                sent += len(value)
        while client.flush(1):
            pass


def asked_for():
    """How often standard input has asked for more since the last time; None once it is closed."""
    if not select.select([0], [], [], 0)[0]:
        return 0
    return len(os.read(0, 64)) or None


def delivered(log, partition, number):
    def write(error, message):
        if error is None:
            print(partition, number, 1, message.offset(), len(message.value()), file=log)
        else:
            print(f"refused message {number} for partition {partition}: {error}", file=log)

    return write


main()
