"""Producers, consumers and admin clients as a user makes them: defaults, but for what a check is about."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from harness.checks import Wrong, require, settled

LIMIT_S = 100


def producer(broker, **settings):
    return Producer({**common(broker), **named(settings)})


def consumer(broker, **settings):
    defaults = {"group.id": "none", "enable.auto.commit": False, "check.crcs": True, "auto.offset.reset": "error"}
    return Consumer({**common(broker), **defaults, **named(settings)})


def admin(broker):
    return AdminClient(common(broker))


def common(broker):
    """Quiet: what goes wrong is seen in results, and a client whose broker is killed has much to say."""
    return {"bootstrap.servers": broker.address, "log_level": 2, "reconnect.backoff.max.ms": 200}


def named(settings):
    """linger_ms=5 for what librdkafka calls linger.ms."""
    return {name.replace("_", "."): value for name, value in settings.items()}


def create(broker, topics):
    """Creates topics and waits until the broker serves all their partitions. Kafka answers CreateTopics a little before
    that, and an idempotent producer whose first batch then fails while its second is taken never gets its first in."""
    client = admin(broker)
    for future in client.create_topics(topics).values():
        future.result(LIMIT_S)
    ends = {TopicPartition(t.topic, n): OffsetSpec.latest() for t in topics for n in range(t.num_partitions)}
    names = ", ".join(topic.topic for topic in topics)
    settled(f"created and served: {names}", [], lambda: [str(f.exception(LIMIT_S)) for f in client.list_offsets(ends).values() if f.exception(LIMIT_S)])


def flush(client):
    require("the producer could not deliver all", client.flush(LIMIT_S) == 0)


def consume(broker, topic, partitions, wanted=None, **settings):
    """Yields the messages from the beginning to `wanted` of them, or to the end offsets of now; a gap in a partition's
    offsets is an error."""
    reader = consumer(broker, **settings)
    try:
        every = range(partitions)
        if wanted is None:
            wanted = sum(reader.get_watermark_offsets(TopicPartition(topic, n), LIMIT_S)[1] for n in every)
        reader.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in every])
        following = dict.fromkeys(every, 0)
        seen, deadline = 0, time.monotonic() + LIMIT_S
        while seen < wanted:
            if time.monotonic() > deadline:
                raise Wrong(f"{topic}: only {seen} of {wanted} messages came")
            for message in reader.consume(10000, timeout=0.2):
                if message.error():
                    require(f"{topic}: {message.error()}", message.error().retriable() or not message.error().fatal())
                    continue
                at = following[message.partition()]
                require(f"{topic}-{message.partition()}: {message.offset()} instead of {at}", message.offset() == at)
                following[message.partition()] += 1
                seen += 1
                yield message
    finally:
        reader.close()
