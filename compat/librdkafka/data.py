"""What is sent comes back: every codec, every shape of message, every timestamp, and a large number of messages."""

import hashlib
import os
import time

from clients import LIMIT_S, admin, consume, consumer, create, flush, producer
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TopicPartition
from confluent_kafka.admin import NewTopic
from harness import segment
from harness.checks import passed, require, same

MANY = 200_000 * int(os.environ.get("COMPAT_SCALE", "1"))
PARTITIONS = 10


def every_codec(broker):
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    create(broker, [NewTopic(f"codec-{codec}", 1, 1) for codec in codecs])
    letters = [letter(n) for n in range(5000)]
    for codec in codecs:
        topic = f"codec-{codec}"
        sender = producer(broker, compression_type=codec, linger_ms=1000)
        for n, value in enumerate(letters):
            sender.produce(topic, value, key=str(n))
        flush(sender)
        back = [(message.key(), message.value()) for message in consume(broker, topic, 1)]
        require(f"{codec}: what came back differs", back == [(str(n).encode(), value) for n, value in enumerate(letters)])
        same(f"{codec}: 5000 came back; the codec of the stored batches", [codec], segment.codecs(broker.data, topic))


def headers_nulls_and_sizes(broker):
    create(broker, [NewTopic("shapes", 1, 1)])
    headers = [("first", b"1"), ("empty", b""), ("null", None), ("first", b"2"), ("größe", os.urandom(10_000))]
    sent = [
        (b"k", b"v", None),
        (None, b"no key", None),
        (b"no value", None, None),
        (None, None, None),
        (b"", b"", None),
        (b"large", os.urandom(900_000), None),
        (b"headers", b"v", headers),
    ]
    sender = producer(broker)
    for key, value, each in sent:
        sender.produce("shapes", value, key=key, headers=each or [], partition=0)
    flush(sender)
    back = [(message.key(), message.value(), message.headers()) for message in consume(broker, "shapes", 1)]
    same("null and empty keys and values, 900 KB and headers come back as they were", sent, back)


def timestamps(broker):
    create(broker, [NewTopic("created", 1, 1), NewTopic("appended", 1, 1, config={"message.timestamp.type": "LogAppendTime"})])
    base = int(time.time() * 1000) - 3_600_000
    times = [100, 300, 200, 400, 400, 350]
    acknowledged = []
    before = int(time.time() * 1000)
    sender = producer(broker, linger_ms=500)
    for topic in ("created", "appended"):
        for each in times:
            sender.produce(topic, b"v", partition=0, timestamp=base + each, on_delivery=lambda error, m: acknowledged.append(m))
    flush(sender)
    after = int(time.time() * 1000)

    created = [message.timestamp() for message in consume(broker, "created", 1)]
    same("create times", [(TIMESTAMP_CREATE_TIME, base + each) for each in times], created)
    appended = {message.timestamp() for message in consume(broker, "appended", 1)}
    # How many batches there are is up to librdkafka's threads.
    batches = len(list(segment.batches(broker.data, "appended", 0)))
    require(f"{len(appended)} append times in {batches} batches", len(appended) <= batches)
    same("type of append time", {TIMESTAMP_LOG_APPEND_TIME}, {kind for kind, _ in appended})
    stamps = {stamp for _, stamp in appended}
    require(f"append times {stamps} are the broker's", before <= min(stamps) and max(stamps) <= after)
    same("the acknowledgement has it", stamps, {m.timestamp()[1] for m in acknowledged if m.topic() == "appended"})

    reader = consumer(broker)
    for sought, offset in [(0, 0), (100, 0), (101, 1), (250, 1), (300, 1), (301, 3), (400, 3), (401, -1)]:
        found = reader.offsets_for_times([TopicPartition("created", 0, base + sought)], LIMIT_S)[0].offset
        same(f"first offset at or after {sought} ms within the batch", offset, found)
    reader.assign([TopicPartition("created", 0, 3)])
    rest = [reader.poll(LIMIT_S).offset() for _ in range(3)]
    same("a consumer begins in the middle of a batch", [3, 4, 5], rest)
    reader.close()


def made_again(broker):
    """A topic is deleted and made again under a producer that is told nothing of it."""
    sender, failures = producer(broker, enable_idempotence=True, linger_ms=1), []
    client = admin(broker)
    for generation in range(3):
        create(broker, [NewTopic("again", 2, 1)])
        for n in range(200):
            value = f"{generation} {n}"
            sender.produce("again", value, partition=n % 2, on_delivery=lambda error, m: failures.append(str(error)) if error else None)
        flush(sender)
        stored = sorted(message.value().decode() for message in consume(broker, "again", 2))
        same(f"generation {generation}: failures", [], failures[:3])
        require("it has its own messages, and none of its predecessor", stored == sorted(f"{generation} {n}" for n in range(200)))
        client.delete_topics(["again"])["again"].result(LIMIT_S)
    passed("a topic made again has a live producer's messages, and none of its predecessor")


def two_hundred_thousand(broker):
    create(broker, [NewTopic("many", PARTITIONS, 1)])
    sent = [hashlib.sha256() for _ in range(PARTITIONS)]
    received = [hashlib.sha256() for _ in range(PARTITIONS)]
    wrong = []

    def acknowledged(error, message):
        if error or int(message.key()) // PARTITIONS != message.offset():
            wrong.append((error, message.key(), message.partition(), message.offset()))

    sender = producer(broker, enable_idempotence=True, compression_type="lz4")
    for n in range(MANY):
        value = letter(n)
        sent[n % PARTITIONS].update(value)
        while True:
            try:
                sender.produce("many", value, key=str(n), partition=n % PARTITIONS, on_delivery=acknowledged)
                break
            except BufferError:
                sender.poll(1)
    flush(sender)
    same("acknowledged at other offsets than those of sending, or failed", [], wrong[:3])
    count = 0
    for message in consume(broker, "many", PARTITIONS):
        received[message.partition()].update(message.value())
        count += 1
    same("messages", MANY, count)
    same("hashes of the partitions", [each.hexdigest()[:8] for each in sent], [each.hexdigest()[:8] for each in received])
    passed("idempotent, five requests in flight, lz4")


def letter(n):
    """Shrinks also alone: librdkafka sends what does not as it was, and how many share a batch is up to its threads."""
    return (f"Liebste Felice, dies ist Brief Nummer {n}, und es folgen noch viele" + ", und noch viele" * 20).encode()
